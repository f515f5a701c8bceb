"""How the techniques of a search stand beside each other: which earn more tries, and which may yet be the best."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from automl.records import State
from automl.tuning.configurations import Cell, Configuration

COARSE = 100  # held-out rows, below which one fold cannot rank techniques, nor many configurations
RANKED_A_ROW = 1 / 2  # configurations, there; the best of more would be that by chance
PATIENCE = 12  # of a technique in a row, none of which came near its best, after which trying more hardly pays
MOST_AT_ONCE = 8  # configurations of one technique that are proposed before the sampler has heard of any of them


@dataclass(frozen=True)
class Arms:
    """The techniques that a search chooses between, by what is known of their configurations.

    Args:
        names: cheap ones first; one without a name stands for all, where they are equals.
        arm_of: the technique of a configuration.
        cells: where configurations are compared, in the order of the race.
        held_out: rows of a cell; 0 takes values for exact.
        recipes: what is tried before the sampler proposes.
        width: of the range that values lie in.
    """

    names: Sequence[str]
    arm_of: Callable[[Mapping[str, Any]], str]
    cells: Sequence[Cell]
    held_out: int
    recipes: Sequence[Mapping[str, Any]]
    width: float = 1.0

    @property
    def coarse(self) -> bool:
        """Whether a cell has too few rows to tell much."""
        return 0 < self.held_out < COARSE

    @property
    def resolution(self) -> float:
        """Standard error of a value in one cell, at most: that of a share of rows, as accuracy is, for its range."""
        return self.width * math.sqrt(0.25 / self.held_out) if self.held_out else 0.0

    def worthwhile(self, found: Sequence[Configuration]) -> list[str]:
        """The arms that more of is to be tried: a costly one must have done better than every cheaper one.

        It has to lead by half a standard error of so few rows: what is closer is decided by cost.
        """
        best, first = self.champions(found), self.cells[:1]
        values = [best[arm].worth(first)[0] if arm in best else -math.inf for arm in self.names]
        lead = self.resolution / 2
        return [arm for place, arm in enumerate(self.names) if not place or values[place] > max(values[:place]) + lead]

    def contenders(self, found: Sequence[Configuration], place: int = 1) -> list[str]:
        """The arms whose best may be as good as the best of all: the cells up to a place have too few rows to tell."""
        cells, champions = self.cells[:place], self.champions(found, place)
        values = {arm: one.worth(cells)[0] for arm, one in champions.items()}
        least = max(values.values(), default=0.0) - self.resolution / math.sqrt(place)
        return [arm for arm in self.names if values.get(arm, -math.inf) >= least]

    def open(self, found: Sequence[Configuration]) -> list[str]:
        """The arms that the sampler is to propose of: those that may yet have something better.

        These are the worthwhile ones; when nothing better comes of them, also those that may be as good.
        """
        if self.exhausted(found):
            return []
        worthwhile = [arm for arm in self.worthwhile(found) if not self._settled(arm, found)]
        return worthwhile or [arm for arm in self.contenders(found) if not self._settled(arm, found)]

    def exhausted(self, found: Sequence[Configuration]) -> bool:
        """Whether they are as many as few held-out rows can rank."""
        return self.coarse and len(found) >= max(self.held_out * RANKED_A_ROW, 2 * len(self.names))

    def hopeful(self, found: Sequence[Configuration]) -> list[str]:
        """Those that may have something better, whatever they have earned."""
        return [arm for arm in self.names if not self._settled(arm, found)]

    def with_room(self, arms: Sequence[str], found: Sequence[Configuration]) -> tuple[str, ...]:
        """Those of which not so many run that more would be proposed without having heard of any."""
        running = Counter(self.arm_of(one.params) for one in found if self._runs_first(one))
        return tuple(arm for arm in arms if running[arm] < MOST_AT_ONCE)

    def champions(self, found: Sequence[Configuration], place: int = 1) -> dict[str, Configuration]:
        """The best of each arm in the cells up to a place."""
        return {self.arm_of(one.params): one for one in reversed(ranked(found, self.cells[:place]))}

    def _settled(self, arm: str, found: Sequence[Configuration]) -> bool:
        """Whether the last `PATIENCE` configurations that the sampler proposed of it all ended below its best three."""
        first = self.cells[0]
        alike = [one for one in found if self.arm_of(one.params) == arm]
        ended = [one for one in alike if one.trials[first].state not in (State.RUNNING, State.WAITING)]
        recipes = {key(recipe) for recipe in self.recipes}
        proposed = [one for one in ended if key(one.params) not in recipes][-PATIENCE:]
        best = {one.number for one in ranked(ended, [first])[:3]}
        return len(proposed) == PATIENCE and not any(one.number in best for one in proposed)

    def _runs_first(self, one: Configuration) -> bool:
        """Whether it is being tried."""
        first = self.cells[0]
        return first in one.trials and one.trials[first].state is State.RUNNING


def ranked(found: Sequence[Configuration], cells: Sequence[Cell]) -> list[Configuration]:
    """All that were completed in these cells, the best first."""
    return sorted((one for one in found if one.complete(cells)), key=lambda one: one.worth(cells), reverse=True)


def key(params: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    """Params, to be looked for among others."""
    return tuple(sorted(params.items()))
