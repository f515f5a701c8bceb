"""Metrics agree with scikit-learn's, and their intervals are as wide as they should be."""

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.metrics import (
    accuracy_score,
    f1_score,
    log_loss,
    matthews_corrcoef,
    precision_recall_fscore_support,
)

from automl.metrics import FORMULAS, LOWEST, METRICS, SCORES, Counts, by_label, row_losses, wilson_interval

REFERENCES = {
    "accuracy": accuracy_score,
    "macro_f1": lambda labels, predictions: f1_score(labels, predictions, average="macro", zero_division=0),
    "matthews": matthews_corrcoef,
}


def test_every_metric_has_a_score_with_an_interval() -> None:
    assert set(METRICS) == set(SCORES) == set(FORMULAS) == set(LOWEST) == set(REFERENCES)


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize(("rows", "classes"), [(3, 3), (5, 3), (40, 2), (300, 7)])
def test_agrees_with_scikit_learn(name: str, rows: int, classes: int) -> None:
    rng = np.random.default_rng(rows)
    for _ in range(20):
        labels, predictions = rng.integers(classes, size=(2, rows))
        labels[:2] = 0, 1  # scikit-learn warns of a single label
        assert METRICS[name](labels, predictions) == pytest.approx(REFERENCES[name](labels, predictions), abs=1e-12)


def test_a_label_that_neither_side_has_does_not_count() -> None:
    labels = np.array([0, 0, 5, 5])
    assert METRICS["macro_f1"](labels, labels) == 1.0
    assert METRICS["macro_f1"](labels, np.array([0, 0, 5, 3])) == pytest.approx((1 + 2 / 3 + 0) / 3)


def test_a_constant_prediction_has_no_correlation() -> None:
    assert METRICS["matthews"](np.array([0, 1, 1]), np.array([1, 1, 1])) == 0.0


@pytest.mark.parametrize("name", FORMULAS)
def test_no_rows_have_no_score(name: str) -> None:
    nothing = np.zeros((2, 3))
    assert np.isnan(FORMULAS[name](Counts(nothing, nothing, nothing))).all()


@pytest.mark.parametrize(("successes", "rows"), [(0, 5), (5, 5), (37, 50), (830, 1000)])
@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_wilson_agrees_with_scipy(successes: int, rows: int, confidence: float) -> None:
    reference = binomtest(successes, rows).proportion_ci(confidence, method="wilson")
    assert wilson_interval(successes, rows, confidence) == pytest.approx((reference.low, reference.high), abs=1e-12)


@pytest.mark.parametrize(("name", "truth"), [("accuracy", 0.8), ("macro_f1", 0.8), ("matthews", 0.7)])
def test_intervals_cover_the_truth_about_as_often_as_they_say(name: str, truth: float) -> None:
    """Three even labels, 80 % right, errors even: the truth is known in closed form."""
    rng, covered, width = np.random.default_rng(0), 0, 0.0
    for _ in range(200):
        labels = rng.integers(3, size=150)
        predictions = np.where(rng.random(150) < 0.8, labels, (labels + rng.integers(1, 3, size=150)) % 3)
        score = SCORES[name](labels, predictions)
        assert score.low <= score.value <= score.high
        covered += score.low <= truth <= score.high
        width += (score.high - score.low) / 200
    assert covered >= 180  # of 200; below 180 has a chance under 1 % where the interval is right
    assert width < 0.22  # 4 standard errors are 0.13 for accuracy, 0.2 for Matthews


@pytest.mark.parametrize("name", SCORES)
def test_where_every_row_is_right_the_interval_still_has_width(name: str) -> None:
    labels = np.arange(30) % 3
    score = SCORES[name](labels, labels)
    assert (score.value, score.high, score.rows) == (1.0, 1.0, 30)
    assert score.low == pytest.approx(wilson_interval(30, 30)[0])


@pytest.mark.parametrize("name", SCORES)
def test_the_same_rows_in_another_order_have_the_same_interval(name: str) -> None:
    rng = np.random.default_rng(3)
    labels, predictions = rng.integers(3, size=(2, 90))
    order = rng.permutation(90)
    assert SCORES[name](labels, predictions) == SCORES[name](labels[order], predictions[order])


def test_log_loss_is_clipped() -> None:
    labels = np.array([0, 1, 1])
    sure = np.array([[0.9, 0.1], [0.2, 0.8], [0.5, 0.5]])
    assert row_losses(labels, sure).mean() == pytest.approx(log_loss(labels, sure))
    assert np.isfinite(row_losses(labels, np.array([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0]], np.float32))).all()


@pytest.mark.parametrize("name", SCORES)
def test_rows_that_belong_together_have_the_interval_of_their_groups(name: str) -> None:
    rng = np.random.default_rng(0)
    labels, groups = np.repeat(rng.integers(2, size=80), 10), np.repeat(np.arange(80), 10)
    predictions = np.where(np.repeat(rng.random(80) < 0.8, 10), labels, 1 - labels)
    apart, together = SCORES[name](labels, predictions), SCORES[name](labels, predictions, groups)
    assert together.value == apart.value
    assert together.high - together.low == pytest.approx(10**0.5 * (apart.high - apart.low), rel=0.2)


def test_each_label_has_scikit_learns_figures() -> None:
    rng, names = np.random.default_rng(0), ["a", "b", "c", "no row has it"]
    labels, predictions = rng.integers(3, size=(2, 60))
    found = by_label(labels, predictions, names)
    expected = precision_recall_fscore_support(labels, predictions, labels=range(4), zero_division=0)
    for place, what in enumerate(("precision", "recall", "f1", "rows")):
        assert [found[name][what] for name in names] == pytest.approx(list(expected[place])), what
