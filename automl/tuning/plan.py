"""What a search does next, and what it does with each answer. The same whoever executes the trials."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from automl.progress import Notice, Progress, TrialEnded, TrialReported, TrialStarted
from automl.records import State, Trial
from automl.selection import best_trial
from automl.study import Study
from automl.tuning.pruning import goes_on

if TYPE_CHECKING:
    import optuna


def make_sampler(seed: int, trials: int) -> optuna.samplers.BaseSampler:
    """TPE over all params. A study with `trials`, waiting ones included, goes on with new random numbers."""
    import optuna

    return optuna.samplers.TPESampler(seed=seed + trials, n_startup_trials=10)


HOPELESS = 4  # trials that broke in a row, none of which reported a value: the fault is not in their params


class Search:
    """Asks the study for trials within the budget, feeds it their reports, and ends each of them once.

    Args:
        budget: trials to start in the study's whole life, pruned and failed ones included.
        facts: recorded in every trial before it runs (seed, fingerprints, versions).
        deadline: on the clock of `time.monotonic`, seconds; None is no limit.
    """

    def __init__(
        self,
        study: Study,
        distributions: Mapping[str, Any],
        fixed: Mapping[str, Any],
        *,
        budget: int,
        progress: Progress,
        facts: Mapping[str, Any],
        deadline: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._study = study
        self._distributions = distributions
        self._fixed = fixed
        self._progress = progress
        self._facts = facts
        self._deadline = deadline
        self._clock = clock
        self._left = budget - sum(trial.state is not State.WAITING for trial in study.trials())
        self._running: dict[int, _Running] = {}
        self._best = best_trial(study.trials())
        self.interrupted = False  # set from outside, by a signal handler
        self._announced = False
        self._broken = 0

    @property
    def stopping(self) -> bool:
        """No trial is to be started, and running ones are to be given back."""
        late = self._deadline is not None and self._clock() >= self._deadline
        if (self.interrupted or late) and not self._announced:
            self._announced = True
            why = "interrupted (once more aborts)" if self.interrupted else "time is up"
            self._progress.emit(Notice("warning", f"{why}: running trials are given back, the best so far is exported"))
        return self.interrupted or late

    def ask(self) -> Trial | None:
        """The next trial, with every param it needs; None when there is none to start."""
        if self._left <= 0 or self.stopping or self._broken >= HOPELESS:
            return None
        trial = self._study.ask(self._distributions, self._facts)
        self._left -= 1
        params = {**self._fixed, **trial.params}
        self._running[trial.number] = _Running(params, self._clock())
        self._progress.emit(TrialStarted(trial.number, params))
        return Trial(trial.number, trial.state, params, None, {}, trial.facts)

    def report(self, number: int, step: int, steps: int, value: float, facts: Mapping[str, Any]) -> bool:
        """Record a value; whether the trial goes on."""
        self._running[number].facts.update(facts)
        self._broken = 0
        self._study.report(number, step, value)
        self._progress.emit(TrialReported(number, step, steps, value))
        return goes_on(step, value, self._study.values_at(step, without=number))

    def complete(self, number: int, value: float, facts: Mapping[str, Any]) -> None:
        """End a trial that ran its whole schedule. Of the checkpoints only the best so far is kept."""
        trial = self._end(number, State.COMPLETE, value, facts)
        best, self._best = self._best, best_trial([trial, self._best] if self._best else [trial])
        loser = best if self._best is trial else trial
        if loser is not None and "checkpoint" in loser.facts:
            Path(loser.facts["checkpoint"]).unlink(missing_ok=True)

    def prune(self, number: int) -> None:
        """End a trial that was stopped because it is weak."""
        self._end(number, State.PRUNED, None, {})

    def fail(self, number: int, error: str, facts: Mapping[str, Any]) -> None:
        """End a trial that broke."""
        self._broken += 1
        self._end(number, State.FAIL, None, {**facts, "error": error})

    def release(self) -> list[int]:
        """Give back every trial that still runs, to be run again by the same command. Their numbers."""
        numbers = sorted(self._running)
        for number in numbers:
            self._study.release(number)
            del self._running[number]
        return numbers

    def _end(self, number: int, state: State, value: float | None, facts: Mapping[str, Any]) -> Trial:
        running = self._running.pop(number)
        seconds = self._clock() - running.started
        trial = self._study.end(number, state, value, {**running.facts, **facts, "seconds": round(seconds, 3)})
        self._progress.emit(
            TrialEnded(number, state, trial.value, seconds, running.params, facts.get("error"), facts.get("checkpoint"))
        )
        return trial


class _Running:
    """A trial between ask and end: its full params, when it started, and the facts of its last report."""

    def __init__(self, params: Mapping[str, Any], started: float) -> None:
        self.params = params
        self.started = started
        self.facts: dict[str, Any] = {}
