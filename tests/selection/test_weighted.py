"""Scores under weights are the scores of rows repeated so often."""

import numpy as np
import pytest

from automl.metrics import METRICS
from automl.selection.weighted import affordable, draw_weights, weighted_scores
from tests.selection.studies import study


@pytest.mark.parametrize("metric", METRICS)
def test_a_weight_is_a_number_of_copies(metric: str) -> None:
    rng = np.random.default_rng(0)
    labels, predictions = rng.integers(4, size=50), rng.integers(4, size=(3, 50))
    weights = draw_weights(50, 20, seed=1)
    found = weighted_scores(metric, labels, predictions[:, None], np.ones((1, 50), bool), weights)
    for sample, copies in enumerate(weights.astype(int)):
        expected = [METRICS[metric](np.repeat(labels, copies), np.repeat(said, copies)) for said in predictions]
        assert found[sample] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("metric", METRICS)
def test_repeats_with_fewer_rows_weigh_less(metric: str) -> None:
    evidence = study(0, [0.9, 0.4], rows=40, labels=3, repeats=2)
    cells = np.array([[True] * 40, [True] * 10 + [False] * 30])
    said = np.stack([evidence.predictions(number) for number in (0, 1)])
    found = weighted_scores(metric, evidence.labels, said, cells, np.ones((1, 40), np.float32))
    assert found[0] == pytest.approx([evidence.score(number, metric, cells) for number in (0, 1)])


def test_a_sample_has_as_many_rows_as_there_are() -> None:
    weights = draw_weights(30, 500, seed=0)
    assert weights.shape == (500, 30)
    assert (weights.sum(axis=1) == 30).all()
    assert np.mean(weights == 0) == pytest.approx(np.exp(-1), abs=0.02)


def test_very_many_rows_have_fewer_samples() -> None:
    assert affordable(1000, 10_000) == 1000
    assert affordable(1000, 100_000) == 300
    assert affordable(1000, 10_000_000) == 200
    assert affordable(50, 10_000_000) == 50
