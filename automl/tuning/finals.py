"""After the race: the winner's models of all folds and seeds form a committee, and one plain model learns from it.

Its rehearsal does the same without one fold, whose rows then tell what the lesson gains or costs. The average of the
models' weights is tried on them, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from automl.params import Params
from automl.records import State, Trial
from automl.spaces import BoundSpace
from automl.study import Study
from automl.training.averaging import AVERAGEABLE
from automl.training.distillation import BEGUN, NOT_EXPRESSIBLE, student_params
from automl.tuning.configurations import Configuration
from automl.tuning.orders import Order

ANSWERS, STUDENT, REHEARSAL, AVERAGE, REFIT = "answers", "student", "rehearsal", "average", "refit"


class Finals:
    """What remains to be done for a winner, step by step; what was done is in the study's facts.

    Args:
        winner: the configuration that is shipped.
        space: that it was chosen from.
    """

    def __init__(self, study: Study, winner: Configuration, space: BoundSpace) -> None:
        self._study = study
        self._model, self._params = space.model_of(winner.params), Params(**space.params(winner.params))
        self.members = [trial for trial in winner.trials.values() if is_member(trial)]
        self._running: set[str] = set()
        self._failed: set[str] = set()

    @property
    def witnesses(self) -> list[Trial]:
        """The members that did not see the first fold, whose rows judge what is made of them."""
        first = self.members[0].facts["fold"]
        return [trial for trial in self.members if trial.facts["fold"] == first]

    @property
    def committee(self) -> str:
        """The members in words."""
        return "the winner's one model" if len(self.members) == 1 else f"the winner's {len(self.members)} models"

    def lesson(self, name: str) -> dict[str, Any] | None:
        """What came of the student, its rehearsal, or the average; None where it was not made of these members."""
        return self._study.facts[name] if self._taught(name) else None

    @property
    def open(self) -> bool:
        """Whether anything is left to do."""
        return bool(self._orders())

    @property
    def running(self) -> bool:
        """Whether an order is under way."""
        return bool(self._running)

    def next(self) -> Order | None:
        """What to do next; None while that waits for what runs, and in the end."""
        waiting = [order for order in self._orders() if order.name not in self._running | self._failed]
        if waiting and not self._failed:
            self._running.add(waiting[0].name)
            return waiting[0]
        return None

    def done(self, key: str, facts: Mapping[str, Any]) -> None:
        """Record the end of an order."""
        self._running.discard(key)
        self._study.record(key, {**facts, "committee": self._numbers(self.members)})

    def failed(self, key: str, error: str) -> None:
        """An order broke: nothing further is tried in this run."""
        self._running.discard(key)
        self._failed.add(key)
        self._study.record(f"{key} error", error)

    def _orders(self) -> list[Order]:
        """What is open now, the longest first: members' answers, and once all are there the lessons.

        One model of a plain technique has nothing to teach: it is trained again on every row.
        """
        if not self.members:
            return []
        if len(self.members) == 1 and self._params.technique not in NOT_EXPRESSIBLE:
            return [] if self._taught(REFIT) else [self.refit()]
        open_answers = [self._answer(trial) for trial in self.members if not self._answered(trial)]
        if open_answers:
            return open_answers
        witnesses = self.witnesses
        fold = int(witnesses[0].facts["fold"])
        lessons = [
            self._lesson(STUDENT, self.members, None, f"one plain model learns from {self.committee}"),
            self._lesson(REHEARSAL, witnesses, fold, f"the same without fold {fold}, whose rows tell what that gains"),
        ]
        if len(witnesses) > 1 and self._params.technique in AVERAGEABLE:
            lessons.append(self._average(witnesses))
        return [lesson for lesson in lessons if not self._taught(lesson.name)]

    def _answer(self, trial: Trial) -> Order:
        facts = trial.facts
        return Order(
            f"{ANSWERS} {trial.number}",
            None,
            {
                "job": "answer",
                "number": trial.number,
                "model": self._model,
                "params": self._params.model_dump(),
                "path": facts["checkpoint"],
                "sha256": facts["checkpoint_sha256"],
            },
            f"the winner's model of trial {trial.number} labels every text, for a plain model to learn from",
        )

    def refit(self) -> Order:
        """Train one model as the winner, on every labelled row and its own labels."""
        return self._lesson(REFIT, [], None, "the winner is trained again, on every labelled row", self._params)

    def _average(self, witnesses: list[Trial]) -> Order:
        return Order(
            AVERAGE,
            None,
            {
                "job": "average",
                "model": self._model,
                "params": self._params.model_dump(),
                "judged": _files(witnesses),
                "others": _files([trial for trial in self.members if trial not in witnesses]),
                "fold": witnesses[0].facts["fold"],
            },
            f"the weights of {self.committee} are averaged, and that is compared with each",
        )

    def _lesson(
        self, name: str, members: list[Trial], fold: int | None, about: str, params: Params | None = None
    ) -> Order:
        known = self._study.facts
        said = [known[f"{ANSWERS} {trial.number}"] for trial in members]
        return Order(
            name,
            None,
            {
                "job": "teach",
                "name": name,
                "model": self._model,
                "params": (params or student_params(self._params)).model_dump(),
                "committee": [(one["answers"], one["answers_sha256"]) for one in said],
                "begin": _files(members) if self._params.technique in BEGUN else [],
                "teachers": self._params.model_dump(),
                "seed": self.members[0].facts["seed"],
                "fold": fold,
            },
            about,
        )

    def _answered(self, trial: Trial) -> bool:
        return f"{ANSWERS} {trial.number}" in self._study.facts

    def _taught(self, name: str) -> bool:
        recorded = self._study.facts.get(name)
        return recorded is not None and recorded["committee"] == self._numbers(self.members)

    @staticmethod
    def _numbers(trials: list[Trial]) -> list[int]:
        return sorted(trial.number for trial in trials)


def _files(trials: list[Trial]) -> list[tuple[str, str]]:
    return [(trial.facts["checkpoint"], trial.facts["checkpoint_sha256"]) for trial in trials]


def is_member(trial: Trial) -> bool:
    """Whether a trial's model can answer in a committee."""
    return trial.state is State.COMPLETE and "checkpoint" in trial.facts
