"""What a search does next, and what it does with each answer. The same whoever executes the trials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from automl.progress import Notice, PhaseStarted, Progress, TrialEnded, TrialReported, TrialStarted
from automl.records import State, Trial
from automl.spaces import BoundSpace
from automl.study import Study
from automl.study.record import LEADER
from automl.tuning.budget import Budget
from automl.tuning.configurations import Cell, cell_of, configuration_of, configurations
from automl.tuning.duration import Forecast
from automl.tuning.finals import Finals
from automl.tuning.job import RACE, Job
from automl.tuning.kept import forget_models, forget_states, leader_with_models
from automl.tuning.orders import Order
from automl.tuning.policy import Policy
from automl.tuning.proposals import Proposer
from automl.tuning.pruning import goes_on, seed_goes_on
from automl.tuning.reasons import ended_because, on_target, why_racing

HOPELESS = 4  # trials that broke in a row, none of which reported a value: the fault is not in their params


class Search:
    """Asks the policy for trials within the budget, feeds the study their reports, and ends each of them once.

    Args:
        facts: recorded in every trial before it runs (fingerprints, versions).
        forecast: how long things take, where time is limited.
        checkpoints: folder in which stopped trainings leave their states, of which those of use are kept.
    """

    def __init__(
        self,
        study: Study,
        space: BoundSpace,
        policy: Policy,
        *,
        budget: Budget,
        progress: Progress,
        facts: Mapping[str, Any],
        forecast: Forecast | None = None,
        checkpoints: Path | None = None,
    ) -> None:
        self._study = study
        self._space, self._arm_of = space, space.arm_of
        self._policy = policy
        self._budget = budget
        self._progress = progress
        self._facts = facts
        self._forecast = forecast or Forecast(space, policy)
        self._checkpoints = checkpoints
        trials = study.trials()
        self._started = sum(trial.state is not State.WAITING for trial in trials)
        self._proposer = Proposer(space, policy.seed, trials)
        self._seen: dict[tuple[Cell, str, int], dict[int, float]] = {}  # cell, arm, step -> configuration -> value
        for trial in trials:
            for step, value in trial.intermediate.items():
                self._seen_at(cell_of(trial), self._arm_of(trial.params), step)[configuration_of(trial)] = value
        self._running: dict[int, _Running] = {}
        self._leader: int | None = study.facts.get(LEADER)
        self._finals: Finals | None = None
        self._racing = self._nothing_new = self._no_time = False
        self.interrupted = False  # set from outside, by a signal handler
        self._announced = False
        self._broken = 0

    def count_workers(self, workers: int) -> None:
        """Tell how many there are, where that shows only when they start."""
        self._forecast = replace(self._forecast, workers=workers)

    def stop(self) -> None:
        """Start nothing more, and give running trials back; may be called by another thread."""
        self.interrupted = True

    @property
    def stopping(self) -> bool:
        """No trial is to be started, and running ones are to be given back."""
        stopping = self.interrupted or (self._budget.late and not self._nearly_ready)
        if stopping and not self._announced:
            self._announced = True
            why = "asked to stop (once more aborts)" if self.interrupted else "time is up"
            self._progress.emit(Notice("warning", f"{why}: running trials are given back, the best so far is exported"))
        return stopping

    @property
    def _nearly_ready(self) -> bool:
        """Whether the last steps were begun in time: what is shipped would else be made of a single fold's model."""
        return self._finals is not None and self._finals.open and not self._budget.overdue

    @property
    def used(self) -> float:
        """Share of the budget that is used up."""
        trials = self._study.trials()
        if on_target(self._policy, self._budget, trials):
            return 1.0
        started = self._started - sum("spare" in trial.facts for trial in trials)
        return self._budget.used(started, lambda: self._forecast.last_steps(trials))

    @property
    def running(self) -> bool:
        """Whether something is under way, whose end may bring more to do."""
        return bool(self._running) or (self._finals is not None and self._finals.running)

    @property
    def over(self) -> bool:
        """Whether nothing is left to do, without asking for it."""
        trials = self._study.trials()
        if any(trial.state is State.WAITING for trial in trials):
            return False
        if self._started < self._budget.trials and self._policy.next(trials, self.used) is not None:
            return False
        finals = self._last_steps()
        return finals is None or not finals.open

    def ask(self) -> Order | None:
        """The next thing to do; None when there is none to start now."""
        if self.stopping:
            return None
        trial = None if self._broken >= HOPELESS else self._study.again() or self._new()
        self._nothing_new = trial is None
        if trial is not None:
            return self._start(trial)
        if self._running and not self._in_vain:  # what runs may still change who wins
            return None
        self._finals = self._finals or self._last_steps()
        order = self._finals.next() if self._finals else None
        if order is not None:
            self._progress.emit(PhaseStarted(order.about))
        return order

    def done(self, step: str, facts: Mapping[str, Any]) -> None:
        """Record the end of one of the last steps."""
        if self._finals is not None:
            self._finals.done(step, facts)

    def broke(self, step: str, error: str) -> None:
        """One of the last steps failed."""
        if self._finals is not None:
            self._finals.failed(step, error)
        self._progress.emit(Notice("warning", f"{step}: {error}; another model is shipped in its place"))

    def _last_steps(self) -> Finals | None:
        leader = leader_with_models(self._policy, configurations(self._study.trials()))
        return None if leader is None else Finals(self._study, leader, self._space)

    def _start(self, trial: Trial) -> Order:
        self._started += 1
        shown, cell = self._space.told(trial.params), cell_of(trial)
        self._running[trial.number] = _Running(
            shown,
            self._budget.clock(),
            cell,
            trial.facts["stage"],
            self._arm_of(trial.params),
            configuration_of(trial),
            bool(trial.facts.get("spare")),
        )
        self._proposer.started(trial)
        self._progress.emit(TrialStarted(trial.number, shown))
        payload = {
            "job": "trial",
            "number": trial.number,
            "model": self._space.model_of(trial.params),
            "params": self._space.params(trial.params),
            "seed": cell.seed,
            "fold": cell.fold,
        }
        if "continues" in trial.facts:
            payload["resume"] = trial.facts["continues"]
        return Order(f"trial {trial.number}", trial.number, payload)

    def _new(self) -> Trial | None:
        if self._started >= self._budget.trials:
            return None
        trials = self._study.trials()
        job = self._policy.next(trials, self.used)
        self._no_time = job is not None and bool(trials) and not self._in_time(job, trials)
        if job is None or self._no_time:
            return None
        if job.stage == RACE and not self._racing:
            self._racing = True
            self._progress.emit(Notice("info", why_racing(self._policy, self._budget, trials)))
        params = job.params
        if params is None:
            params = self._proposer.propose([arm for arm in job.arms if arm])
        facts = {**self._facts, "stage": job.stage, "fold": job.cell.fold, "seed": job.cell.seed}
        facts["settings"] = self._space.told(params)  # with what the space fixes, for who has the record alone
        if job.configuration is not None:
            facts["configuration"] = job.configuration
        facts |= {name: True for name in ("speculative", "spare") if getattr(job, name)}
        if job.continues is not None:
            facts["continues"] = job.continues
        distributions = self._space.distributions(self._arm_of(params))
        return self._study.start(params, distributions, facts)

    @property
    def ended_because(self) -> str:
        """Why the search is over although there are trials left."""
        if self._broken >= HOPELESS:
            return f"{HOPELESS} trials broke in a row"
        late = self._no_time or self._budget.late
        return ended_because(self._policy, self._budget, self._study.trials(), late=late)

    def _in_time(self, job: Job, trials: Sequence[Trial]) -> bool:
        """Whether a training would still end before the last steps have to begin."""
        forecast = self._forecast
        return self._budget.has_time_for(lambda: forecast.training(job, trials) + forecast.last_steps(trials))

    def report(self, number: int, step: int, steps: int, value: float, facts: Mapping[str, Any]) -> bool:
        """Record a value; whether the trial goes on."""
        running = self._running[number]
        if "worker" in facts and "worker" not in running.facts:  # told now to those who watch, the rest in the end
            self._study.note(number, {"worker": facts["worker"]})
        running.facts.update(facts)
        if self._broken < HOPELESS:  # else it was said that no more are tried
            self._broken = 0
        self._study.report(number, step, value)
        self._progress.emit(TrialReported(number, step, steps, value))
        seen = self._seen_at(running.cell, running.arm, step)  # techniques rise at different paces
        seen[running.configuration] = value
        if self._in_vain:
            return False
        others = [other for configuration, other in seen.items() if configuration != running.configuration]
        rule = seed_goes_on if running.stage == RACE else goes_on
        return rule(step, value, others)

    @property
    def _in_vain(self) -> bool:
        """Whether nobody waits for what runs, and nothing but the last steps is left to do."""
        return self._nothing_new and all(one.spare for one in self._running.values())

    def _seen_at(self, cell: Cell, arm: str, step: int) -> dict[int, float]:
        """What was seen there, by configuration."""
        return self._seen.setdefault((cell, arm, step), {})

    def complete(self, number: int, value: float, facts: Mapping[str, Any]) -> None:
        """End a trial that ran its whole schedule. Only checkpoints that may still be of use are kept."""
        if self._finals is not None:  # the winner is known: it came too late
            return self.prune(number)
        self._end(number, State.COMPLETE, value, facts)
        forget_models(self._policy, self._study.trials())

    def prune(self, number: int) -> None:
        """End a trial that was stopped because it is weak."""
        self._end(number, State.PRUNED, None, {})

    def fail(self, number: int, error: str, facts: Mapping[str, Any]) -> None:
        """End a trial that broke."""
        self._broken += 1
        self._end(number, State.FAIL, None, {**facts, "error": error})
        if self._broken == HOPELESS:
            self._progress.emit(Notice("warning", f"{HOPELESS} trials broke in a row, no more are tried: {error}"))

    def release(self) -> list[int]:
        """Give back every trial that still runs, to be run again by the same command. Their numbers."""
        numbers = sorted(self._running)
        for number in numbers:
            self._study.release(number)
            del self._running[number]
        self._forget_states(promotable=False)
        return numbers

    def _end(self, number: int, state: State, value: float | None, facts: Mapping[str, Any]) -> Trial:
        running, self._nothing_new = self._running.pop(number), False
        seconds = self._budget.clock() - running.started
        trial = self._study.end(number, state, value, {**running.facts, **facts, "seconds": round(seconds, 3)})
        self._proposer.ended(trial)
        self._forget_states()
        if state is State.COMPLETE or running.stage == RACE:  # others change nothing there, and are most
            self._follow_leader()
        self._progress.emit(
            TrialEnded(
                number,
                state,
                trial.value,
                seconds,
                running.params,
                facts.get("error"),
                facts.get("checkpoint"),
                running.configuration,
                self._leader,
            )
        )
        return trial

    def _follow_leader(self) -> None:
        """Record who leads, if it is another one, for those who watch."""
        leader = leader_with_models(self._policy, configurations(self._study.trials()))
        if leader is not None and leader.number != self._leader:
            self._leader = leader.number
            self._study.record(LEADER, leader.number)

    def _forget_states(self, *, promotable: bool = True) -> None:
        if self._checkpoints is not None:
            forget_states(self._checkpoints, self._policy, self._study.trials(), promotable=promotable)


@dataclass
class _Running:
    """A trial between start and end: what is shown of it, when it started, and the facts of its last report."""

    params: Mapping[str, Any]
    started: float
    cell: Cell
    stage: str
    arm: str
    configuration: int
    spare: bool
    facts: dict[str, Any] = field(default_factory=dict)
