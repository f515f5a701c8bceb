"""Single trainings become evidence, and evidence can say what it covers, predicts and scores."""

import numpy as np
import pytest

from automl.metrics import METRICS
from automl.selection import Evidence, gather
from tests.selection.studies import study


def small() -> Evidence:
    """Four rows, two folds, two repeats; configuration 7 lacks the second fold of the second repeat."""
    labels, folds = np.array([0, 1, 1, 0]), np.array([0, 1, 0, 1])
    cells = {
        (7, 0, 0): np.array([[0.9, 0.1], [0.6, 0.4]]),
        (7, 0, 1): np.array([[0.3, 0.7], [0.8, 0.2]]),
        (7, 1, 0): np.array([[0.5, 0.5], [0.1, 0.9]]),
    }
    return gather(labels, folds, cells, repeats=2)


def test_cells_land_on_the_rows_of_their_fold() -> None:
    evidence = small()
    assert evidence.numbers == [7]
    assert evidence.covered(7).tolist() == [[True] * 4, [True, False, True, False]]
    assert evidence.predictions(7).tolist() == [[0, 1, 0, 0], [0, -1, 1, -1]]


def test_the_ensemble_is_the_mean_over_the_repeats_that_cover_a_row() -> None:
    evidence = small()
    expected = [[0.7, 0.3], [0.3, 0.7], [0.35, 0.65], [0.8, 0.2]]
    assert evidence.ensemble(7) == pytest.approx(np.array(expected), abs=1e-6)
    evidence.probabilities[7][0] = np.nan
    assert np.isnan(evidence.ensemble(7)).all(axis=1).tolist() == [False, True, False, True]


def test_scores_are_of_the_covered_rows() -> None:
    evidence = small()
    assert evidence.score(7, "accuracy") == pytest.approx((3 + 2) / 6)
    first = np.array([[True] * 4, [False] * 4])
    assert evidence.score(7, "macro_f1", first) == METRICS["macro_f1"](evidence.labels, np.array([0, 1, 0, 0]))


def test_one_that_said_nothing_is_not_counted() -> None:
    evidence = study(0, [0.8, 0.8])
    evidence.probabilities[1][:] = np.nan
    assert evidence.numbers == [0]
