"""Ways to search, each replayed over recorded curves: what it knew, and what that was worth, as time went by."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from automl.progress import TrialEnded
from automl.records import State, Trial
from automl.spaces import BoundSpace
from automl.study import Study, study_in_memory
from automl.tuning.budget import Budget
from automl.tuning.configurations import configurations
from automl.tuning.curves import Recorded, Table, nearest_in
from automl.tuning.duration import Forecast
from automl.tuning.job import SEARCH, Job
from automl.tuning.plan import Search
from automl.tuning.policy import Policy, make_policy
from automl.tuning.simulate import Usage, Workers, simulate
from automl.tuning.simulated_work import Clock

ENDLESS = 100_000  # trials, where time is the limit
Find = Callable[[Mapping[str, Any]], Recorded]


@dataclass(frozen=True)
class Recording:
    """A table, ready to answer.

    Args:
        cells: that searches see.
        judge: what a recorded configuration is worth.
    """

    table: Table
    space: BoundSpace
    find: Find
    cells: int
    judge: Callable[[Recorded], float]

    def seen(self, params: Mapping[str, Any]) -> Recorded:
        """What searches see of the nearest recorded configuration."""
        found = self.find(params)
        return replace(found, curves=found.curves[: self.cells])

    def worth(self, params: Mapping[str, Any]) -> float:
        """Of the nearest recorded configuration."""
        return self.judge(self.find(params))

    @property
    def best(self) -> float:
        """The most that any is worth."""
        return max(map(self.judge, self.table.recorded))


def recording(table: Table, *, held_back: bool = False) -> Recording:
    """The table as searches see it.

    Args:
        held_back: whether they are judged by the last cell, which they do not see; else by the mean over all.
    """
    space, cells = table.space, len(table.recorded[0].curves)
    find = nearest_in(table, space)
    if held_back:
        return Recording(table, space, find, cells - 1, lambda one: one.curves[-1].value)
    return Recording(table, space, find, cells, lambda one: one.value)


@dataclass(frozen=True)
class Moment:
    """What a search had when a trial ended.

    Args:
        busy: seconds that its workers had computed by then, summed over all trials, lost attempts among them.
        seen: the best value that a training had shown it on the first cell.
        worth: of the configuration that it would have chosen then, see `recording`.
    """

    busy: float
    seen: float
    worth: float


@dataclass(frozen=True)
class Replay:
    """A search from its start to its end."""

    moments: tuple[Moment, ...]
    usage: Usage
    trials: int


@dataclass(frozen=True)
class OneCell:
    """A policy that tries configurations on the first cell, and does nothing else."""

    policy: Policy  # over one cell
    draws: Iterator[Mapping[str, Any]] | None = None  # None: recipes, then what the sampler proposes

    def next(self, trials: Sequence[Trial], used: float) -> Job | None:
        """Something new."""
        if self.draws is None:
            return self.policy.next(trials, 0.0)
        return Job(SEARCH, self.policy.cells[0], next(self.draws))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.policy, name)


def ours(known: Recording, seed: int, budget: int) -> Policy:
    """The product's, as `automl.pipeline` makes it, over as many folds as were recorded."""
    facts = known.table.facts
    held_out = facts.get("rows", 0) // facts.get("folds", 1)
    return replace(
        make_policy(known.space, n_folds=known.cells, seed=seed, budget=budget, held_out=held_out), repeats=0
    )


def without_recipes(known: Recording, seed: int, budget: int) -> Policy:
    """Every configuration is the sampler's."""
    return Policy(known.cells, seed, (), budget=budget)


def without_race(known: Recording, seed: int, budget: int) -> OneCell:
    """The best on the first cell wins."""
    return OneCell(replace(make_policy(known.space, n_folds=1, seed=seed), repeats=0))


def at_random(known: Recording, seed: int, budget: int) -> OneCell:
    """Independent draws from the whole space."""
    return OneCell(Policy(1, seed, ()), _drawn(known.space, seed))


@dataclass(frozen=True)
class Way:
    """How to search, and whether weak trials are stopped."""

    policy: Callable[[Recording, int, int], Any]
    pruning: bool = True


RANDOM, OURS = "random", "ours"
WAYS = {
    RANDOM: Way(at_random, pruning=False),
    OURS: Way(ours),
    "no pruning": Way(ours, pruning=False),
    "no recipes": Way(without_recipes),
    "no race": Way(without_race),
}


@dataclass
class Watch:
    """A progress that asks, whenever a trial has ended, what the search would choose."""

    study: Study
    policy: Any
    clock: Clock
    worth: Callable[[Mapping[str, Any]], float]
    moments: list[Moment] = field(default_factory=list)

    def emit(self, event: object) -> None:
        """Note the moment."""
        if not isinstance(event, TrialEnded):
            return
        trials = self.study.trials()
        leader = self.policy.race.leader(configurations(trials))
        if leader is not None:
            worth = self.worth(leader.params)
            self.moments.append(Moment(round(self.clock.busy, 2), _best_seen(trials, self.policy), round(worth, 5)))

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, *error: object) -> None:
        pass


def replay(
    known: Recording, way: Way, seed: int, workers: Workers, *, budget: int = ENDLESS, until: float = math.inf
) -> Replay:
    """One whole search. Its last steps are left out: they choose nothing.

    Args:
        budget: trials.
        until: seconds on the clock.
    """
    with study_in_memory("replay") as study:
        clock, policy = Clock(), way.policy(known, seed, budget)
        watch = Watch(study, policy, clock, known.worth)
        search = Search(
            study,
            known.space,
            policy,
            budget=Budget(budget, deadline=until if until < math.inf else None, clock=clock),
            progress=watch,
            facts={},
            forecast=Forecast(known.space, policy, rows=known.table.facts.get("rows", 0), workers=workers.count),
        )
        usage = simulate(search, study, known.seen, clock, workers, until=until)
        return Replay(tuple(watch.moments), usage, len(study.trials()))


def _best_seen(trials: Sequence[Trial], policy: Any) -> float:
    first = policy.cells[0]
    here = (trial for trial in trials if trial.facts["seed"] == first.seed and trial.state is State.COMPLETE)
    return max((trial.value or 0.0 for trial in here), default=0.0)


def _drawn(space: BoundSpace, seed: int) -> Iterator[dict[str, Any]]:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed))
    while True:
        trial = study.ask()
        space.suggest(trial)
        yield dict(trial.params)
