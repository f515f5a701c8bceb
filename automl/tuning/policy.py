"""What to train next, from nothing but the record: first recipes, then proposals, then a race of the best over folds.

Stateless, so that a search that was killed goes on exactly where it was, and a simulation asks the very same questions.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from automl.records import State, Trial

SEARCH, RACE = "search", "race"  # why a trial was run: to try a configuration, or to know more about a good one
SEARCH_SHARE = 0.45  # of the budget, after which nothing new is tried
MORE_SEARCH_SHARE = 0.75  # until then something new is tried where the race has nothing to do
ENTRANTS_SHARE = 1 / 3  # of the completed configurations, that enter the race
MOST_ENTRANTS, FEWEST_ENTRANTS = 8, 2
PATIENCE = 16  # configurations in a row, none of which came near the best, after which trying more hardly pays


@dataclass(frozen=True)
class Cell:
    """One place where configurations are compared: all of them with this seed, on this fold."""

    fold: int
    seed: int


@dataclass(frozen=True)
class Job:
    """A training to start. `params` of None are the sampler's to propose."""

    stage: str
    cell: Cell
    params: Mapping[str, Any] | None = None
    configuration: int | None = None  # number of the trial that had these params first


@dataclass(frozen=True)
class Configuration:
    """What is known of one set of params: the trials that have it, by cell."""

    number: int
    params: Mapping[str, Any]
    trials: Mapping[Cell, Trial]

    def complete(self, cells: Sequence[Cell]) -> bool:
        """Whether it was trained to the end in every one of these cells."""
        return all(cell in self.trials and self.trials[cell].state is State.COMPLETE for cell in cells)

    def lost(self, cell: Cell) -> bool:
        """Whether it was stopped, or broke, in this cell."""
        return cell in self.trials and self.trials[cell].state in (State.PRUNED, State.FAIL)

    def worth(self, cells: Sequence[Cell]) -> tuple[float, float, int]:
        """What it is ranked by: mean value over the cells, then mean loss, then age. More is better."""
        trials = [self.trials[cell] for cell in cells]
        loss = fmean(float(trial.facts.get("loss") or 0.0) for trial in trials)
        return fmean(trial.value or 0.0 for trial in trials), -loss, -self.number


@dataclass(frozen=True)
class Policy:
    """The order of a search over so many folds.

    Args:
        seed: of the first cell; each further cell has the next one.
        repeats: further cells, after each fold had one, with which the best are known better.
        budget: trials in all, so that the race is cut to what there are; 0 is no bound.
    """

    n_folds: int
    seed: int
    recipes: Sequence[Mapping[str, Any]]
    repeats: int = 0
    budget: int = 0

    @property
    def finalists(self) -> int:
        """How many configurations are trained in every cell."""
        return FEWEST_ENTRANTS if not self.budget or self.budget >= 4 * len(self.cells) else 1

    @property
    def cells(self) -> list[Cell]:
        """Where configurations are compared, in the order of the race; the search has the first."""
        return [Cell(number % self.n_folds, self.seed + number) for number in range(self.n_folds + self.repeats)]

    def next(self, trials: Sequence[Trial], used: float) -> Job | None:
        """The next training; None where there is none to start before a running one has ended, or none at all.

        Args:
            trials: the study's, by number; waiting ones have been started again before.
            used: share of the budget, of trials or time, whichever is further.
        """
        found = configurations(trials)
        settled = self.settled(found)
        if not found or (used < self._search_share and not settled):
            return self._search(found)
        race = self._race(found)
        if race is None and used < MORE_SEARCH_SHARE * self._search_share / SEARCH_SHARE and not settled:
            return self._search(found)  # and what is found so joins the race
        return race

    def settled(self, found: Sequence[Configuration]) -> bool:
        """Whether the last `PATIENCE` configurations that the sampler proposed all ended below the best three."""
        first = self.cells[0]
        ended = [one for one in found if one.trials[first].state not in (State.RUNNING, State.WAITING)]
        proposed = ended[len(self.recipes) :][-PATIENCE:]
        ranked = sorted((one for one in ended if one.complete([first])), key=lambda one: one.worth([first]))
        best = {one.number for one in ranked[-3:]}
        return len(proposed) == PATIENCE and not any(one.number in best for one in proposed)

    def _search(self, found: Sequence[Configuration]) -> Job:
        tried = {_key(one.params) for one in found}
        waiting = (recipe for recipe in self.recipes if _key(recipe) not in tried)
        return Job(SEARCH, self.cells[0], next(waiting, None))

    def _race(self, found: Sequence[Configuration]) -> Job | None:
        cells = self.cells
        for place in range(1, len(cells)):
            cell = cells[place]
            for one in self.admitted(found, place):
                if cell not in one.trials:
                    return Job(RACE, cell, one.params, one.number)
        return None

    def admitted(self, found: Sequence[Configuration], place: int) -> list[Configuration]:
        """Ever fewer configurations: those that are trained in the cell at this place, the best before it first."""
        first = sum(one.complete(self.cells[:1]) for one in found)
        entrants = min(max(math.ceil(first * ENTRANTS_SHARE), FEWEST_ENTRANTS), MOST_ENTRANTS)
        return self._ranked(found, place)[: self._room(entrants, place)]

    def leader(self, found: Sequence[Configuration]) -> Configuration | None:
        """The best of those that came furthest in the race; None where nothing was completed.

        A place counts once some have come there, or no one else is on the way: the first would else win by its speed.
        """
        for place in range(len(self.cells), 0, -1):
            ranked = self._ranked(found, place)
            if len(ranked) >= FEWEST_ENTRANTS or (ranked and not self._on_the_way(found, place)):
                return ranked[0]
        return None

    def worth_keeping(self, trials: Sequence[Trial]) -> set[int]:
        """Numbers of the trials whose models may be shipped: those of every configuration that may still win.

        More than race now: with each configuration that is completed, one that is further down may be admitted.
        """
        found, cells = configurations(trials), self.cells
        kept: set[int] = set()
        for place in range(1, len(cells) + 1):
            for one in self._ranked(found, place)[: self._room(MOST_ENTRANTS, place)]:
                if place == len(cells) or not one.complete(cells[: place + 1]):  # else it is judged further on
                    kept |= {trial.number for trial in one.trials.values()}
        return kept

    def _on_the_way(self, found: Sequence[Configuration], place: int) -> bool:
        """Whether one that is to be trained in the cells up to this place has yet to end there."""
        return any(
            not one.complete([cell]) and not one.lost(cell)
            for before, cell in enumerate(self.cells[1:place], start=1)
            for one in self.admitted(found, before)
        )

    def _ranked(self, found: Sequence[Configuration], place: int) -> list[Configuration]:
        """All that were completed in so many cells, the best first."""
        cells = self.cells[:place]
        return sorted((one for one in found if one.complete(cells)), key=lambda one: one.worth(cells), reverse=True)

    def _room(self, entrants: int, place: int) -> int:
        """How many of the entrants are trained in the cell at this place: half as many in each as in the one before."""
        return max(entrants >> (place - 1), self.finalists)

    @property
    def _search_share(self) -> float:
        """Of the budget, what may be spent on trying: the race to its end must fit into the rest."""
        race = self.finalists * (len(self.cells) - 1)
        return min(SEARCH_SHARE, max(1 - race / self.budget, 0.0)) if self.budget else SEARCH_SHARE


def configurations(trials: Sequence[Trial]) -> list[Configuration]:
    """Trials by what they have in common; a trial that was repeated in a cell counts as it was last."""
    groups: dict[int, dict[Cell, Trial]] = {}
    for trial in trials:
        number = int(trial.facts.get("configuration", trial.number))
        groups.setdefault(number, {})[cell_of(trial)] = trial
    by_number = {trial.number: trial for trial in trials}
    return [Configuration(number, by_number[number].params, groups[number]) for number in sorted(groups)]


def cell_of(trial: Trial) -> Cell:
    """Where a trial was compared."""
    return Cell(int(trial.facts["fold"]), int(trial.facts["seed"]))


def _key(params: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    return tuple(sorted(params.items()))
