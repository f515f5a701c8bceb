"""How far a search is: counts, the configurations that lead, and the time that is left."""

from __future__ import annotations

import math
from collections import Counter

from automl.progress.events import Standing, StudyStarted, TrialEnded
from automl.records import State


class Tally:
    """Counts the trials of a study. Times are seconds since `StudyStarted`, as the caller's clock has them."""

    def __init__(self, study: StudyStarted) -> None:
        """Begin with what `study` says had been done before."""
        self._study = study
        self._started: dict[int, float] = {}  # running trials
        self._seconds = 0.0
        self.counts: Counter[State] = Counter()
        self._standings = {one.configuration: one for one in study.standings}
        self._leader = study.leader

    @property
    def ended(self) -> int:
        """Trials of the budget that are over, those of earlier runs included."""
        return self._study.done + self.counts.total()

    def start(self, number: int, now: float) -> None:
        """Trial `number` began at `now`."""
        self._started[number] = now

    def end(self, trial: TrialEnded) -> None:
        """A trial is over. Only a finite value of a complete one counts."""
        self._started.pop(trial.number, None)
        self._seconds += trial.seconds
        self.counts[trial.state] += 1
        self._leader = trial.leader
        if trial.state is State.COMPLETE and trial.value is not None and math.isfinite(trial.value):
            number = trial.number if trial.configuration is None else trial.configuration
            before = self._standings.get(number, Standing(number, trial.params, 0, 0.0))
            trainings = before.trainings + 1
            mean = before.mean + (trial.value - before.mean) / trainings
            self._standings[number] = Standing(number, before.params, trainings, mean)

    def leaders(self, count: int) -> list[Standing]:
        """The best configurations: who leads, as the search counts, then who was trained on most folds and seeds.

        Values of different folds do not compare, so that the best of all of them would only be the luckiest.
        """

        def place(one: Standing) -> tuple[bool, int, float, int]:
            return one.configuration != self._leader, -one.trainings, -one.mean, one.configuration

        return sorted(self._standings.values(), key=place)[:count]

    def remaining(self, now: float) -> float | None:
        """Seconds until the budget or the time limit is used up; None until a trial has ended.

        The trials that are left are taken to last as long as the mean of those that ended; what the running ones have
        done already is subtracted.
        """
        if not self.counts:
            return None
        mean = self._seconds / self.counts.total()
        left = max(0, self._study.budget - self.ended)
        if not left:
            return 0.0
        behind = sum(min(now - start, mean) for start in self._started.values())
        estimate = max(0.0, mean * left - behind) / min(left, self._study.workers)
        limit = self._study.time_limit
        return estimate if limit is None else min(estimate, max(0.0, limit - now))
