"""New configurations from Optuna's sampler, which sees each configuration as it did where all were compared."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from automl.records import State, Trial
from automl.spaces import ARM, BoundSpace
from automl.tuning.job import SEARCH

if TYPE_CHECKING:
    import optuna


ATTEMPTS = 8  # to propose something of an arm that is wanted
RANDOM_FIRST = 8  # configurations, recipes among them, before the sampler learns from what it saw


class Proposer:
    """Tree-structured Parzen estimators over a conditional space: the arm first, then each of its params by itself.

    A joint model would be made of the params of every arm, whichever is taken in the end: ten times as slow, and no
    better with the few trials that an arm gets. It has a study of its own, in memory: repeats of a good configuration
    on other folds would look to it like further, better or worse, configurations. It is made anew from the record when
    a search goes on.
    """

    def __init__(self, space: BoundSpace, seed: int, trials: Iterable[Trial] = ()) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._space = space
        known = [trial for trial in trials if trial.facts["stage"] == SEARCH]
        sampler = optuna.samplers.TPESampler(seed=seed + len(known), n_startup_trials=RANDOM_FIRST, multivariate=False)
        self._study = optuna.create_study(sampler=sampler, direction="maximize")
        self._open: dict[int, optuna.Trial] = {}
        self._proposed: optuna.Trial | None = None
        for trial in known:
            self.started(trial)
            if trial.state not in (State.WAITING, State.RUNNING):
                self.ended(trial)

    def propose(self, arms: Sequence[str] = ()) -> dict[str, Any]:
        """A configuration to try, as Optuna names its params.

        Args:
            arms: what it is to be one of; where the sampler insists on others, it is of the last of them. None are all.
        """
        for _ in range(ATTEMPTS if len(arms) != 1 else 0):
            self._proposed = self._study.ask()
            if not arms or self._space.suggest_arm(self._proposed) in arms:
                break
            self._study.tell(self._proposed, state=_state("FAIL"))  # the sampler passes over these
        else:
            self._study.enqueue_trial({ARM: arms[-1]})
            self._proposed = self._study.ask()
        self._space.suggest(self._proposed)
        return dict(self._proposed.params)

    def started(self, trial: Trial) -> None:
        """A configuration runs: others are proposed elsewhere meanwhile. Repeats of one are passed over."""
        if trial.facts["stage"] != SEARCH or "continues" in trial.facts or trial.number in self._open:
            return  # the last is one that was given back, and runs again
        proposed, self._proposed = self._proposed, None
        if proposed is None or proposed.params != trial.params:  # a recipe, or a trial of an earlier run
            proposed = self._given(trial.params)
        self._open[trial.number] = proposed

    def ended(self, trial: Trial) -> None:
        """What became of it."""
        own = self._open.pop(trial.number, None)
        if own is None and "continues" in trial.facts:  # the sampler has seen it stopped; now it sees it again
            own = self._given(trial.params)
        if own is None:
            return
        for step, value in sorted(trial.intermediate.items()):
            own.report(value, step)
        done = trial.state is State.COMPLETE
        self._study.tell(own, trial.value if done else None, state=_state(trial.state.value))

    def _given(self, params: Mapping[str, Any]) -> optuna.Trial:
        self._study.enqueue_trial(dict(params))
        return self._ask()

    def _ask(self) -> optuna.Trial:
        trial = self._study.ask()
        self._space.suggest(trial)
        return trial


def _state(name: str) -> optuna.trial.TrialState:
    import optuna

    return optuna.trial.TrialState[name]
