"""The race of the best configurations: over one cell after the other, and ever fewer of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from automl.records import Trial
from automl.tuning.arms import Arms, ranked
from automl.tuning.configurations import Cell, Configuration, configurations
from automl.tuning.job import RACE, Job

ENTRANTS_SHARE = 1 / 3  # of the completed configurations, that enter the race
MOST_ENTRANTS, FEWEST_ENTRANTS = 8, 2


@dataclass(frozen=True)
class Race:
    """Who is trained where, and who is in front.

    Args:
        cells: where configurations are compared, in order; they were tried in the first.
        finalists: how many are trained in every cell.
        techniques: the best of each that may be as good has a place of its own.
    """

    cells: Sequence[Cell]
    finalists: int
    techniques: Arms

    def next(self, found: Sequence[Configuration], *, spare: bool = False) -> Job | None:
        """The next training of one that is admitted.

        Args:
            spare: of those that nobody waits for, or of the others.
        """
        for place, cell in enumerate(self.cells[1:], start=1):
            for one in self.admitted(found, place):
                if cell not in one.trials and one.spare == spare:
                    return Job(RACE, cell, one.params, one.number)
        return None

    def ahead(self, found: Sequence[Configuration]) -> Job | None:
        """A cell that those in front come to, if nobody overtakes them."""
        places = range(len(self.cells), 0, -1)
        front = next((best for place in places if (best := ranked(found, self.cells[:place]))), [])
        return self._untrained(front[: self.finalists])

    def overtaking(self, found: Sequence[Configuration]) -> Job | None:
        """A cell that others in the race come to, if they overtake those in front."""
        hopeful = self._may_win(found)  # the models of others are gone
        job = self._untrained([one for one in self.admitted(found, 1) if one.number in hopeful])
        return None if job is None else replace(job, speculative=True)

    def admitted(self, found: Sequence[Configuration], place: int) -> list[Configuration]:
        """Ever fewer configurations: those that are trained in the cell at this place, the best before it first."""
        first = sum(one.complete(self.cells[:1]) for one in found)
        entrants = min(max(math.ceil(first * ENTRANTS_SHARE), FEWEST_ENTRANTS), MOST_ENTRANTS)
        return self._in_line(found, place)[: self._room(entrants, place)]

    def leader(self, found: Sequence[Configuration]) -> Configuration | None:
        """The best of those that came furthest in the race; None where nothing was completed.

        A place counts once some have come there, or no one else is on the way: the first would else win by its speed.
        Who is on the way, has most of it behind and is ahead so far, is compared with the best there by what both had.
        Nobody leads again who was beaten further on.
        """
        contest = list(found)
        for place in range(len(self.cells), 0, -1):
            cells, numbers = self.cells[:place], {one.number for one in contest}
            coming = [rival for rival in self._on_the_way(found, place) if rival.number in numbers]
            there = ranked(contest, cells)
            if not there:
                continue
            if coming and len(ranked(found, cells)) < FEWEST_ENTRANTS:
                contest = [one for one in contest if not one.lost(cells[-1])]
                continue
            ahead = [rival for rival in coming if self._ahead_of(there[0], rival, place)]
            if not ahead:
                return there[0]
            contest = [there[0], *ahead]
        return None

    def worth_keeping(self, trials: Sequence[Trial]) -> set[int]:
        """Numbers of the trials whose models may be shipped: those of every configuration that may still win.

        Among them whatever is being trained: it may have been pushed out meanwhile, and come back by how that ends.
        """
        found = configurations(trials)
        numbers = self._may_win(found) | self._may_win([one for one in found if not one.spare])
        kept = [one for one in found if one.number in numbers or one.at_work]
        return {trial.number for one in kept for trial in one.trials.values()}

    def _may_win(self, found: Sequence[Configuration]) -> set[int]:
        """Numbers of those that may still come to the front. Who is none of them once never is again.

        More than race now: one that is further down is admitted when more were completed, or when another technique
        lost its place.
        """
        cells, hopeful = self.cells, set[int]()
        for place in range(1, len(cells) + 1):
            best = ranked(found, cells[:place])[: self._room(MOST_ENTRANTS, place)]
            for one in (*best, *self.techniques.champions(found, place).values()):
                if place == len(cells) or not one.complete(cells[: place + 1]):  # else it is judged further on
                    hopeful.add(one.number)
        return hopeful

    def _untrained(self, wanted: Sequence[Configuration]) -> Job | None:
        """The first cell that the first of these has yet to be trained in, if it was stopped in none."""
        cells = self.cells
        for one in wanted:
            for cell in cells:
                if cell not in one.trials and not any(one.lost(other) for other in cells):
                    return Job(RACE, cell, one.params, one.number)
        return None

    def _on_the_way(self, found: Sequence[Configuration], place: int) -> list[Configuration]:
        """Those that are to be trained in the cells up to this place, and have yet to end there."""
        coming = {
            one.number: one
            for before, cell in enumerate(self.cells[1:place], start=1)
            for one in self.admitted(found, before)
            if not one.complete([cell]) and not one.lost(cell) and (cell in one.trials or not one.spare)
        }
        return list(coming.values())

    def _ahead_of(self, best: Configuration, rival: Configuration, place: int) -> bool:
        """Whether a rival was better where both were trained, over more than half of the cells up to this place."""
        shared = [cell for cell in self.cells[:place] if rival.complete([cell])]
        return 2 * len(shared) > place and rival.worth(shared) > best.worth(shared)

    def _in_line(self, found: Sequence[Configuration], place: int) -> list[Configuration]:
        """Who comes first to the cell at this place: the best of each technique, then the best of the others.

        Of what is alike in most things one is enough to know about. A technique whose best is clearly behind has no
        place of its own, but after one small fold.
        """
        there, champions = ranked(found, self.cells[:place]), self.techniques.champions(found, place)
        arms = champions if self.techniques.coarse and place == 1 else self.techniques.contenders(found, place)
        first = {champions[arm].number for arm in arms}
        return sorted(there, key=lambda one: one.number not in first)  # stable: the better ones first

    def _room(self, entrants: int, place: int) -> int:
        """How many of the entrants are trained in the cell at this place: half as many in each as in the one before."""
        return max(entrants >> (place - 1), self.finalists)
