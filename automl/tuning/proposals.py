"""New configurations from Optuna's samplers, which see each configuration as it did where all were compared."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from automl.records import State, Trial
from automl.spaces import ARM, BoundSpace
from automl.tuning.policy import SEARCH

if TYPE_CHECKING:
    import optuna
    from optuna.distributions import BaseDistribution

    _Asked = tuple[optuna.Trial, optuna.Trial]  # for the arm, and for the params within it

ATTEMPTS = 8  # to propose an arm that is wanted
RANDOM_FIRST = 8  # configurations, recipes among them, before the arm is chosen by what was seen
RANDOM_FIRST_OF_ARM = 4  # likewise, before an arm's own params are
GOOD_SHARE, MOST_GOOD = 0.2, 25  # of an arm's configurations, those that its sampler takes for good ones


class Proposer:
    """Tree-structured Parzen estimators: one chooses the arm, and each arm has one of its own for its params.

    A proposal asks two of them, each over what concerns it; one sampler over the whole conditional space would model
    every arm each time, whichever it takes. They have studies of their own, in memory: repeats of a good configuration
    on other folds would look like further, better or worse, configurations. All are made anew from the record when a
    search goes on.
    """

    def __init__(self, space: BoundSpace, seed: int, trials: Iterable[Trial] = ()) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        known = [trial for trial in trials if trial.facts["stage"] == SEARCH]
        names = [arm.name for arm in space.arms]
        seeds = np.random.SeedSequence([seed, len(known)]).generate_state(1 + len(names)).tolist()
        self._space = space
        self._choice: dict[str, BaseDistribution] = {ARM: optuna.distributions.CategoricalDistribution(names)}
        self._choices = _study(seeds[0], n_startup_trials=RANDOM_FIRST)
        inside = {"n_startup_trials": RANDOM_FIRST_OF_ARM, "multivariate": True, "gamma": _good}
        self._within = {name: _study(own, **inside) for name, own in zip(names, seeds[1:], strict=True)}
        self._open: dict[int, _Asked] = {}
        self._proposed: _Asked | None = None
        for trial in known:
            self.started(trial)
            if trial.state not in (State.WAITING, State.RUNNING):
                self.ended(trial)

    def propose(self, arms: Sequence[str] = ()) -> dict[str, Any]:
        """A configuration to try, as Optuna names its params.

        Args:
            arms: what it is to be one of; where the sampler insists on others, it is of the last of them. None are all.
        """
        for _ in range(ATTEMPTS):
            choice = self._choices.ask(self._choice)
            if not arms or choice.params[ARM] in arms:
                break
            self._choices.tell(choice, state=_state("FAIL"))  # the sampler passes over these
        else:
            self._choices.enqueue_trial({ARM: arms[-1]})
            choice = self._choices.ask(self._choice)
        self._proposed = choice, self._ask_within(choice.params[ARM])
        return self._params(self._proposed)

    def started(self, trial: Trial) -> None:
        """A configuration runs: others are proposed elsewhere meanwhile. Repeats of one are passed over."""
        if trial.facts["stage"] != SEARCH or "continues" in trial.facts or trial.number in self._open:
            return  # the last is one that was given back, and runs again
        proposed, self._proposed = self._proposed, None
        if proposed is None or self._params(proposed) != trial.params:  # a recipe, or a trial of an earlier run
            proposed = self._given(trial.params)
        self._open[trial.number] = proposed

    def ended(self, trial: Trial) -> None:
        """What became of it."""
        asked = self._open.pop(trial.number, None)
        if asked is None and "continues" in trial.facts:  # the samplers have seen it stopped; now they see it again
            asked = self._given(trial.params)
        if asked is None:
            return
        done = trial.state is State.COMPLETE
        for study, own in zip((self._choices, self._within[asked[0].params[ARM]]), asked, strict=True):
            for step, value in sorted(trial.intermediate.items()):
                own.report(value, step)
            study.tell(own, trial.value if done else None, state=_state(trial.state.value))

    def _given(self, params: Mapping[str, Any]) -> _Asked:
        arm = self._space.arm_of(params)
        self._choices.enqueue_trial({ARM: arm})
        self._within[arm].enqueue_trial({name: value for name, value in params.items() if name != ARM})
        return self._choices.ask(self._choice), self._ask_within(arm)

    def _ask_within(self, arm: str) -> optuna.Trial:
        distributions = self._space.distributions(arm)
        return self._within[arm].ask({name: one for name, one in distributions.items() if name != ARM})

    def _params(self, asked: _Asked) -> dict[str, Any]:
        choice, own = asked
        return (choice.params if len(self._space.arms) > 1 else {}) | own.params


def _study(seed: int, **options: Any) -> optuna.Study:
    import optuna

    return optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed, **options), direction="maximize")


def _good(count: int) -> int:
    return min(math.ceil(GOOD_SHARE * count), MOST_GOOD)


def _state(name: str) -> optuna.trial.TrialState:
    import optuna

    return optuna.trial.TrialState[name]
