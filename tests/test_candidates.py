"""What is shipped of a winner: who knows most comes first, unless the evidence clearly speaks for another."""

from __future__ import annotations

import numpy as np

from automl.candidates import SINGLE, Candidate, Candidates
from automl.tuning.finals import AVERAGE, REFIT, STUDENT

LABELS = np.arange(400) % 2


def candidates(*, unheard: bool = False, **right: float) -> Candidates:
    """Each by the share of rows that it gets right, other rows for each."""
    named = {}
    for number, (name, share) in enumerate(right.items()):
        is_right = np.random.default_rng(number).permutation(len(LABELS)) < share * len(LABELS)
        named[name] = Candidate(share, np.where(is_right, LABELS, 1 - LABELS))
    return Candidates(named, LABELS, "accuracy", seed=0, unheard=unheard)


def test_the_student_comes_first_unless_another_is_clearly_better() -> None:
    assert candidates(**{SINGLE: 0.8, STUDENT: 0.8, AVERAGE: 0.8}).preferred == STUDENT
    assert candidates(**{SINGLE: 0.81, STUDENT: 0.8, AVERAGE: 0.81}).preferred == STUDENT, "that is chance"
    assert candidates(**{SINGLE: 0.8, STUDENT: 0.6, AVERAGE: 0.8}).preferred == AVERAGE
    assert candidates(**{SINGLE: 0.9, STUDENT: 0.6, AVERAGE: 0.6}).preferred == REFIT


def test_a_student_without_a_rehearsal_comes_before_one_model_but_not_before_what_was_tried() -> None:
    assert candidates(**{SINGLE: 0.8}).preferred == REFIT
    assert candidates(unheard=True, **{SINGLE: 0.8}).preferred == STUDENT
    assert candidates(unheard=True, **{SINGLE: 0.8, AVERAGE: 0.8}).preferred == AVERAGE
