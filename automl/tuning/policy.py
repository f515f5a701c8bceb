"""What to train next, from nothing but the record: first recipes, then proposals, then a race of the best over folds.

Stateless, so that a search that was killed goes on exactly where it was, and a simulation asks the very same questions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from automl.records import State, Trial
from automl.spaces import BoundSpace
from automl.tuning.arms import Arms, key
from automl.tuning.configurations import Cell, Configuration, configurations
from automl.tuning.job import SEARCH, Job
from automl.tuning.pruning import standing, stopped_too_early
from automl.tuning.race import FEWEST_ENTRANTS, Race

SEARCH_SHARE = 0.45  # of the budget, after which the race has precedence
MORE_SEARCH_SHARE = 0.75  # until then something new is tried where the race has nothing to do
MORE_SEEDS, MORE_SEEDS_WITH_FOLDS = 2, 1  # for finalists; each fold brings a seed of its own
FAR_OFF = 4  # eighths of its schedule, up to which a training is worth waiting for with something else to do
MOST_PAUSED = 8  # stopped trainings whose state is kept, so that they can go on


@dataclass(frozen=True)
class Policy:
    """The order of a search over so many folds.

    Args:
        seed: of the first cell; each further cell has the next one.
        repeats: further cells, after each fold had one, with which the best are known better.
        budget: trials in all, so that the race is cut to what there are; 0 is no bound.
        arm_of: the technique of a configuration: what is half trained is compared with its like only.
        arms: all techniques, cheap ones first; one without a name stands for all, where they are equals.
        held_out: rows of a cell; 0 takes values for exact.
        width: of the range that values lie in.
    """

    n_folds: int
    seed: int
    recipes: Sequence[Mapping[str, Any]]
    repeats: int = 0
    budget: int = 0
    arm_of: Callable[[Mapping[str, Any]], str] = lambda params: ""
    arms: Sequence[str] = ("",)
    held_out: int = 0
    width: float = 1.0

    @property
    def finalists(self) -> int:
        """How many configurations are trained in every cell."""
        return FEWEST_ENTRANTS if not self.budget or self.budget >= 4 * (self.n_folds + self.repeats) else 1

    @property
    def cells(self) -> list[Cell]:
        """Where configurations are compared, in the order of the race; the search has the first.

        With a small budget not every fold has its turn: a search that tries nothing is none.
        """
        places = self.n_folds + self.repeats
        if self.budget:
            places = min(places, 1 + int((1 - SEARCH_SHARE) * self.budget / self.finalists))
        return [Cell(number % self.n_folds, self.seed + number) for number in range(places)]

    @property
    def techniques(self) -> Arms:
        """How they stand."""
        return Arms(self.arms, self.arm_of, self.cells, self.held_out, self.recipes, self.width)

    @property
    def race(self) -> Race:
        """Of the best configurations."""
        return Race(self.cells, self.finalists, self.techniques)

    def next(self, trials: Sequence[Trial], used: float) -> Job | None:
        """The next training; None where there is none to start before a running one has ended, or none at all.

        Args:
            trials: the study's, by number; waiting ones have been started again before.
            used: share of the budget, of time or of trials other than spare ones, whichever is further.
        """
        everything = configurations(trials)
        found, job = [one for one in everything if not one.spare], None
        started = len(trials) / self.budget if self.budget else 0.0
        search_too = max(used, started) < self._room_for_search(MORE_SEARCH_SHARE)
        search_first = search_too and used < self._room_for_search(SEARCH_SHARE)
        if search_first or not found:
            job = self._search(found)
        job = job or self.race.next(found)
        if job is None and search_too:
            job = self._search(found)  # and what is found so joins the race
        running = [trial for trial in trials if trial.state is State.RUNNING]
        if job is None and running:  # a worker would else wait for them
            job = self._ahead(found, running, search_first)
            if job is None and search_too and not self.techniques.exhausted(found):
                job = self._spare(everything, running)
        return job

    def _ahead(self, found: Sequence[Configuration], running: Sequence[Trial], search: bool) -> Job | None:
        """What will be wanted, or may be, while what runs is on its way."""
        job = self.race.ahead(found)
        if job is None and any(_is_waited_for(trial) for trial in running):
            job = self.race.overtaking(found)
            if job is None and search and not self.techniques.exhausted(found):
                job = self._speculation(found)
        return job

    def _search(self, found: Sequence[Configuration]) -> Job | None:
        first = self.cells[0]
        tried, known = {key(one.params) for one in found}, {self.arm_of(one.params) for one in found}
        open_arms = self.techniques.open(found)
        earned = {*self.techniques.worthwhile(found), *open_arms}
        for recipe in self.recipes:  # of each technique the first one, and further ones where it has earned them
            arm = self.arm_of(recipe)
            if (arm not in known or arm in earned) and key(recipe) not in tried:
                return Job(SEARCH, first, recipe)
        for one, share_above, company in self._stopped(found):
            if stopped_too_early(share_above, company):
                return Job(SEARCH, first, one.params, one.number, continues=one.trials[first].number)
        arms = self.techniques.with_room(open_arms, found)
        return Job(SEARCH, first, arms=arms) if arms else None

    def _speculation(self, found: Sequence[Configuration]) -> Job | None:
        """Something of a technique that may yet turn out to be worth it; of the costliest there is never too much."""
        hopeful = self.techniques.hopeful(found)
        arms = self.techniques.with_room(hopeful, found) or tuple(hopeful[-1:])
        return Job(SEARCH, self.cells[0], arms=arms, speculative=True) if arms else None

    def _spare(self, found: Sequence[Configuration], running: Sequence[Trial]) -> Job | None:
        """What takes the time of idle workers only: it may win if it comes through the race before all others have."""
        if all(trial.facts.get("spare") for trial in running):
            return None
        job = self.race.next(found, spare=True) or Job(SEARCH, self.cells[0], arms=tuple(self.arms[-1:]))
        return replace(job, spare=True)

    def paused(self, found: Sequence[Configuration]) -> list[Configuration]:
        """Those that were stopped while others were tried, the best of their company first."""
        return [one for one, _, _ in self._stopped(found)]

    def _stopped(self, found: Sequence[Configuration]) -> list[tuple[Configuration, float, int]]:
        """The same, with the share of its company that is better than one was, and how many these are in all."""
        first = self.cells[0]
        company: dict[tuple[str, int], list[float]] = {}
        for one in found:
            arm = self.arm_of(one.params)
            for step, value in one.trials[first].intermediate.items():
                company.setdefault((arm, step), []).append(value)
        for values in company.values():
            values.sort()
        stopped = []
        for one in found:
            if one.trials[first].state is State.PRUNED and one.trials[first].intermediate:
                step, value = max(one.trials[first].intermediate.items())
                stopped.append((one, *standing(value, company[self.arm_of(one.params), step])))
        return sorted(stopped, key=lambda entry: (entry[1], entry[0].number))[:MOST_PAUSED]

    def _room_for_search(self, share: float) -> float:
        """Of the budget, what may be spent on trying: a share, as far as the race to its end fits into the rest."""
        race = self.finalists * (len(self.cells) - 1)
        return min(share, max(1 - race / self.budget, 0.0)) if self.budget else share


def make_policy(
    space: BoundSpace,
    *,
    n_folds: int,
    seed: int,
    budget: int = 0,
    recipes: Sequence[Mapping[str, Any]] | None = None,
    held_out: int = 0,
    width: float = 1.0,
) -> Policy:
    """The policy of a search over a space.

    Args:
        n_folds: 1 for a single held-out part, on which finalists get further seeds.
        recipes: what is tried first; None: the space's own.
        held_out: rows of a fold; 0 takes values for exact.
        width: of the range that values lie in.
    """
    own = space.recipes() if recipes is None else recipes
    repeats = MORE_SEEDS if n_folds == 1 else MORE_SEEDS_WITH_FOLDS
    arms = [arm.name for arm in space.arms]
    return Policy(n_folds, seed, own, repeats, budget, space.arm_of, arms, held_out, width)


def _is_waited_for(trial: Trial) -> bool:
    """Whether others than idle workers have a use for its end, and it is still far off."""
    far_off = max(trial.intermediate, default=0) <= FAR_OFF
    return far_off and not trial.facts.get("speculative") and not trial.facts.get("spare")
