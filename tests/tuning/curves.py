"""A small table of learning curves, made up by hand, and a search over it on a simulated clock."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from automl.progress import Event
from automl.spaces import Arm, BoundSpace, Param, SearchSpace
from automl.study import Study
from automl.tuning.budget import Budget
from automl.tuning.curves import Curve, Point, Recorded, Table, nearest_in
from automl.tuning.plan import Search
from automl.tuning.policy import make_policy
from automl.tuning.simulate import Usage, Workers, simulate
from automl.tuning.simulated_work import Clock

RATE = Param("learning_rate", "float", 1e-5, 1e-1, log=True, default=1e-3)
SPACE = SearchSpace("one", "", (RATE,), (Arm(""),)).over({"tiny": 6})


def curve(values: Sequence[float], seconds: float, steps: Sequence[int] = (1, 2, 4, 6, 8)) -> Curve:
    """A training that takes so many seconds, as many for each eighth of it."""
    points = zip(steps, values, strict=True)
    return Curve(tuple(Point(step, value, 1 - value, seconds * step / 8) for step, value in points), seconds)


def table(*recorded: tuple[float, Sequence[float], float], cells: int = 1) -> Table:
    """Configurations as learning rate, values and seconds, alike in every cell."""
    return Table({}, tuple(Recorded({"learning_rate": rate}, (curve(v, s),) * cells) for rate, v, s in recorded))


class Story:
    """A progress that remembers what was told, and when."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.events: list[tuple[float, Event]] = []

    def emit(self, event: Event) -> None:
        self.events.append((self._clock.now, event))

    def __enter__(self) -> Story:
        return self

    def __exit__(self, *error: object) -> None:
        pass


def make_search(
    study: Study,
    *,
    rates: Sequence[float] = (),
    budget: int = 4,
    space: BoundSpace = SPACE,
    cells: int = 1,
    seed: int = 0,
    until: float | None = None,
) -> tuple[Search, Story, Clock]:
    """The very class that Ray's bridge drives; `rates` are its recipes."""
    clock = Clock()
    story = Story(clock)
    recipes = [{"learning_rate": rate} for rate in rates] or space.recipes()
    policy = replace(make_policy(space, n_folds=cells, seed=seed, budget=budget, recipes=recipes), repeats=0)
    spent = Budget(budget, deadline=until, clock=clock)
    search = Search(study, space, policy, budget=spent, progress=story, facts={})
    return search, story, clock


def replay(
    study: Study,
    recorded: Table,
    workers: Workers,
    *,
    space: BoundSpace = SPACE,
    until: float = math.inf,
    **options: Any,
) -> tuple[Usage, Story, Clock]:
    """Run a whole search."""
    search, story, clock = make_search(study, space=space, until=until if until < math.inf else None, **options)
    return simulate(search, study, nearest_in(recorded, space), clock, workers, until=until), story, clock
