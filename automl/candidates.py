"""What could be shipped of a winner, what each of that is worth on rows that it did not see, and what comes first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from automl.metrics import METRICS
from automl.prepare import Prepared
from automl.selection import Difference, differences
from automl.training.distillation import targets
from automl.training.keep import read_logits
from automl.tuning.finals import AVERAGE, REFIT, REHEARSAL, STUDENT, Finals

SINGLE, ENSEMBLE = "single", "ensemble"
PREFERRED = (STUDENT, AVERAGE, REFIT)  # where the evidence does not tell them apart: who knows most comes first


@dataclass(frozen=True)
class Candidate:
    """Its score on the rows of one fold, which neither it nor what it was made of has seen."""

    value: float
    predictions: np.ndarray  # [rows of the fold]


@dataclass(frozen=True)
class Candidates:
    """All that there is evidence of, by name. A refit has that of the single model, whose training it repeats.

    Args:
        unheard: whether there is a student whose rehearsal had no time.
        groups: [rows of the fold], of rows that belong together.
    """

    named: Mapping[str, Candidate]
    labels: np.ndarray  # [rows of the fold]
    metric: str
    seed: int
    unheard: bool = False
    groups: np.ndarray | None = None

    @property
    def preferred(self) -> str:
        """The first of the preferred that no plain candidate is better than by more than chance.

        Without evidence of its own, a student that learned from all models comes before one that repeats a single one.
        """
        for name in PREFERRED[:-1]:
            rivals = [rival for rival in self.named if rival not in (name, ENSEMBLE)]
            if name in self.named and not any(self.lead(rival, name).told_apart for rival in rivals):
                return name
        return STUDENT if self.unheard else REFIT

    def lead(self, one: str, other: str) -> Difference:
        """What one is better by than another on the same rows, with its interval."""
        said = {other: self.named[other].predictions}
        own = self.named[one].predictions
        (gap,) = differences(self.labels, own, said, self.metric, groups=self.groups, seed=self.seed)
        return gap

    @property
    def lost(self) -> bool:
        """Whether the student is worse than a model that it learned from, by more than chance."""
        return STUDENT in self.named and self.lead(SINGLE, STUDENT).told_apart

    def __str__(self) -> str:
        return ", ".join(f"{name} {one.value:.3f}" for name, one in self.named.items())


def gather_candidates(finals: Finals, prepared: Prepared) -> Candidates:
    """What the models of a winner, and what was made of them, said of the first fold."""
    splits, kind = prepared.splits, prepared.kind
    rows = splits.held_out(finals.witnesses[0].facts["fold"])
    labels = rows.labels

    def candidate(logits: np.ndarray) -> Candidate:
        predictions = kind.predict(logits)
        return Candidate(METRICS[kind.metric](labels, predictions), predictions)

    witnesses = [_said(trial.facts) for trial in finals.witnesses]
    named = {SINGLE: candidate(witnesses[0])}
    if len(witnesses) > 1:
        named[ENSEMBLE] = candidate(np.log(targets(witnesses) + 1e-12))
    for name, rehearsed in ((STUDENT, REHEARSAL), (AVERAGE, AVERAGE)):
        lesson = finals.lesson(rehearsed)
        made = finals.lesson(name) is not None
        if made and lesson is not None and lesson.get("kept", 2) > 1:  # else it is one of the models
            named[name] = candidate(_said(lesson))
    unheard = STUDENT not in named and finals.lesson(STUDENT) is not None
    return Candidates(named, labels, kind.metric, prepared.request.seed, unheard, rows.groups)


def _said(facts: Mapping[str, Any]) -> np.ndarray:
    return read_logits(Path(facts["predictions"]), facts["predictions_sha256"])
