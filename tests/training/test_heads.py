"""Heads learn, weigh rows, survive a file, and say on plain features what they were fitted to say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load, save
from sklearn.linear_model import LogisticRegression

from automl.params import Params
from automl.training.heads import Head, fit_head, load_head

HEADS = ["logistic_regression", "mlp", "knn"]


def blobs(labels: np.ndarray, dims: int, distance: float, seed: int = 0, layers: int | None = None) -> np.ndarray:
    """A cloud of rows around a centre for each label; far from 0 and of unequal spread, as an encoder's states are."""
    rng = np.random.default_rng(seed)
    shape = (dims,) if layers is None else (layers, dims)
    centres = np.random.default_rng(99).normal(size=(int(labels.max()) + 1, *shape)) * distance / dims**0.5
    scale = np.random.default_rng(98).uniform(0.01, 3, shape)
    return np.asarray((centres[labels] + rng.normal(size=(len(labels), *shape))) * scale + 5, np.float32)


def fit(features: np.ndarray, labels: np.ndarray, n_labels: int = 3, seed: int = 0, **params: Any) -> Head:
    weight = params.pop("sample_weight", None)
    return fit_head(features, labels, n_labels, Params(**params), seed, weight)


def probabilities(logits: np.ndarray) -> np.ndarray:
    exp = np.exp(logits - logits.max(1, keepdims=True))
    return np.asarray(exp / exp.sum(1, keepdims=True))


@pytest.mark.parametrize("feature_head", HEADS)
@pytest.mark.parametrize("layers", [None, 4])
def test_a_head_learns_and_survives_a_file(feature_head: str, layers: int | None) -> None:
    labels = np.arange(240) % 3
    features, fresh = (blobs(labels, 20, 6, seed, layers) for seed in (0, 1))
    head = fit(features, labels, feature_head=feature_head)
    logits = head.logits(fresh)
    assert logits.shape == (240, 3)
    assert logits.dtype == np.float32
    assert np.mean(logits.argmax(1) == labels) > 0.9
    again = load_head(load(save(head.tensors())))
    np.testing.assert_array_equal(again.logits(fresh), logits)


@pytest.mark.parametrize(("rows", "dims", "n_labels"), [(90, 20, 2), (90, 20, 3), (40, 200, 2), (40, 200, 3)])
@pytest.mark.parametrize("c", [1e-3, 1.0])
def test_logistic_regression_is_scikit_learns_on_standardised_features(
    rows: int, dims: int, n_labels: int, c: float
) -> None:
    labels = np.arange(rows) % n_labels
    features, fresh = (blobs(labels, dims, 2, seed).astype(np.float64) for seed in (0, 1))
    mean, spread = features.mean(0), features.std(0)
    expected = LogisticRegression(C=c, max_iter=5000, tol=1e-8).fit((features - mean) / spread, labels)
    head = fit(features.astype(np.float32), labels, n_labels, logistic_regression_c=c)
    np.testing.assert_allclose(
        probabilities(head.logits(fresh.astype(np.float32))),
        expected.predict_proba((fresh - mean) / spread),
        atol=0.01,
    )


@pytest.mark.parametrize("feature_head", HEADS)
@pytest.mark.parametrize("present", [[0, 2], [1]])
def test_a_label_without_rows_is_never_predicted(feature_head: str, present: list[int]) -> None:
    labels = np.array(present)[np.arange(60) % len(present)]
    logits = fit(blobs(labels, 8, 4), labels, feature_head=feature_head).logits(blobs(labels, 8, 4, seed=1))
    assert np.isfinite(logits).all()
    assert set(logits.argmax(1)) == set(present)


@pytest.mark.parametrize("feature_head", HEADS)
def test_dimensions_that_are_constant_but_for_rounding_change_nothing(feature_head: str) -> None:
    labels = np.arange(120) % 3
    features, fresh = (blobs(labels, 10, 4, seed) for seed in (0, 1))
    noise = np.random.default_rng(0).normal(size=(2, 120, 30)).astype(np.float32) * 1e-6

    def accuracy(extra: list[np.ndarray]) -> float:
        wide = [np.concatenate([part, more], axis=1) for part, more in zip((features, fresh), extra, strict=True)]
        return float(np.mean(fit(wide[0], labels, feature_head=feature_head).logits(wide[1]).argmax(1) == labels))

    constant = accuracy([np.full((120, 30), 0.7, np.float32)] * 2)
    assert accuracy([0.7 + part for part in noise]) == pytest.approx(constant, abs=0.02)
    assert constant > 0.8


@pytest.mark.parametrize("feature_head", HEADS)
def test_heavier_rows_count_more(feature_head: str) -> None:
    labels = (np.arange(300) % 10 == 0).astype(np.int64)  # a tenth
    features, fresh = blobs(labels, 6, 0.5), blobs(labels, 6, 0.5, seed=1)
    heavy = np.where(labels == 1, 5.0, 5 / 9)

    def share(**weight: Any) -> float:
        return float(fit(features, labels, 2, feature_head=feature_head, **weight).logits(fresh).argmax(1).mean())

    assert share() < 0.1 < 0.2 < share(sample_weight=heavy)


def test_the_layer_that_tells_most_is_heard_most() -> None:
    labels = np.arange(200) % 2
    features = np.random.default_rng(0).normal(size=(200, 4, 6)).astype(np.float32)
    features[:, 2, 0] += 3 * labels
    mix = fit(features, labels, 2, feature_head="knn").tensors()["knn.mix"]
    assert mix.argmax() == 2
    assert mix[2] > 0.5
    assert mix.sum() == pytest.approx(1)


def test_a_larger_c_is_a_weaker_penalty() -> None:
    labels = np.arange(90) % 3
    norms = [
        np.linalg.norm(fit(blobs(labels, 8, 2), labels, logistic_regression_c=c).tensors()["linear.weight"])
        for c in (1e-4, 1e-2, 1)
    ]
    assert norms == sorted(norms)
    assert norms[0] < norms[2] / 10


def test_the_mlp_draws_from_its_seed_alone_and_has_its_width() -> None:
    labels = np.arange(60) % 3
    features = blobs(labels, 8, 2)
    tensors = [fit(features, labels, seed=seed, feature_head="mlp", mlp_width=24).tensors() for seed in (3, 3, 4)]
    assert tensors[0]["mlp.hidden_weight"].shape == (24, 8)
    for name, value in tensors[0].items():
        np.testing.assert_array_equal(value, tensors[1][name])
        assert not np.array_equal(value, tensors[2][name])


@pytest.mark.parametrize(
    "regulariser", [{"hidden_dropout_prob": 0.9}, {"weight_decay": 1.0}, {"label_smoothing_factor": 0.9}]
)
def test_what_regularises_the_mlp_makes_it_less_sure(regulariser: dict[str, float]) -> None:
    labels = np.arange(120) % 3
    features = blobs(labels, 8, 3)
    plain: dict[str, Any] = {
        "hidden_dropout_prob": 0.0,
        "weight_decay": 0.0,
        "label_smoothing_factor": 0.0,
        "feature_head": "mlp",
    }
    sure, unsure = (
        probabilities(fit(features, labels, **params).logits(features)).max(1).mean()
        for params in (plain, plain | regulariser)
    )
    assert unsure < sure - 0.01


def test_neighbours_vote_by_their_similarity() -> None:
    directions = np.array([[0.0, 1], [0, -1], [0.1, 1], [3, 0], [-3, 0.0]], dtype=np.float32)
    labels = np.array([0, 0, 1, 2, 2])
    near = fit(directions, labels, feature_head="knn", knn_neighbors=1).logits(directions)
    np.testing.assert_array_equal(near.argmax(1), labels)  # a row's nearest row is itself
    all_of_them = fit(directions, labels, feature_head="knn", knn_neighbors=256).logits(directions[:1])
    assert probabilities(all_of_them)[0, :2].min() > probabilities(all_of_them)[0, 2]  # those are at right angles


@given(neighbors=st.integers(1, 256), rows=st.integers(1, 30), seed=st.integers(0, 100))
@settings(max_examples=30, deadline=None, derandomize=True)
def test_neighbours_give_every_label_a_probability(neighbors: int, rows: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    features, labels = rng.normal(size=(rows, 5)).astype(np.float32), rng.integers(0, 4, rows)
    logits = fit(features, labels, 4, feature_head="knn", knn_neighbors=neighbors).logits(features)
    np.testing.assert_allclose(np.exp(logits).sum(1), 1, rtol=1e-5)
    assert (logits > -10).all()
