"""Rare labels are told, weighed and drawn as often as asked."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from automl.data.imbalance import balanced_epoch, imbalance, label_weights, scarce

LABELS = np.repeat([0, 1, 2], [80, 16, 4])
some_labels = st.lists(st.integers(0, 5), min_size=1, max_size=200).map(np.array)


@pytest.mark.parametrize(("how", "ratio"), [("none", 1.0), ("balanced", 20.0), ("sqrt_balanced", 20**0.5)])
def test_a_rare_label_weighs_more(how: str, ratio: float) -> None:
    weights = label_weights(LABELS, 3, how)  # type: ignore[arg-type]
    assert weights.dtype == np.float32
    assert weights[2] / weights[0] == pytest.approx(ratio)


def test_balanced_weights_give_every_label_the_same_sum() -> None:
    sums = label_weights(LABELS, 3, "balanced") * np.bincount(LABELS)
    assert sums == pytest.approx(sums[0])


@given(some_labels, st.sampled_from(["none", "balanced", "sqrt_balanced"]))
def test_the_mean_weight_of_the_rows_is_one(labels: np.ndarray, how: str) -> None:
    weights = label_weights(labels, 7, how)  # type: ignore[arg-type]
    assert weights[labels].mean() == pytest.approx(1, rel=1e-5)
    assert weights[6] == 1, "a label without rows"


@given(some_labels, st.integers(0, 10))
def test_an_epoch_draws_every_label_equally_often(labels: np.ndarray, seed: int) -> None:
    rows = balanced_epoch(labels, np.random.default_rng(seed))
    assert len(rows) == len(labels)
    drawn = [np.bincount(rows[labels[rows] == label], minlength=len(labels)) for label in np.unique(labels)]
    sums = [int(times.sum()) for times in drawn]
    assert max(sums) - min(sums) <= 1
    for label, times in zip(np.unique(labels), drawn, strict=True):
        own = times[labels == label]
        assert own.max() - own.min() <= 1, "a row came again before all of its label had come"


def test_epochs_differ_and_leave_no_row_out_for_ever() -> None:
    rng = np.random.default_rng(0)
    epochs = [balanced_epoch(LABELS, rng) for _ in range(40)]
    assert not np.array_equal(epochs[0], epochs[1])
    assert set(np.concatenate(epochs)) == set(range(len(LABELS)))
    again = balanced_epoch(LABELS, np.random.default_rng(0))
    assert np.array_equal(epochs[0], again)


def test_an_epoch_is_shuffled_and_chance_decides_which_label_has_one_row_more() -> None:
    labels = np.array([0, 0, 1])
    more = {
        int(np.bincount(labels[balanced_epoch(labels, np.random.default_rng(seed))]).argmax()) for seed in range(20)
    }
    assert more == {0, 1}
    rows = balanced_epoch(LABELS, np.random.default_rng(0))
    assert np.count_nonzero(np.diff(LABELS[rows])) > 30


def test_the_report_names_the_largest_and_the_smallest_label() -> None:
    found = imbalance(LABELS, 3)
    assert (found.largest, found.largest_rows, found.smallest, found.smallest_rows) == (0, 80, 2, 4)
    assert found.ratio == 20
    assert found.is_imbalanced
    sentence = found.sentence(["ham", "spam", "scam"])
    assert sentence == "The labels are imbalanced: 'ham' has 80 training rows, 'scam' has 4."


def test_balanced_labels_are_nothing_to_report() -> None:
    for labels in (np.repeat([0, 1], [50, 50]), np.repeat([0, 1], [59, 20])):
        assert not imbalance(labels, 2).is_imbalanced
        assert imbalance(labels, 2).sentence(["a", "b"]) is None
    assert imbalance(np.repeat([0, 1], [60, 20]), 2).sentence(["a", "b"])


def test_a_label_without_rows_is_the_smallest() -> None:
    found = imbalance(np.array([0, 0, 1]), 3)
    assert (found.smallest, found.smallest_rows, found.ratio) == (2, 0, float("inf"))
    assert found.is_imbalanced


def test_labels_with_too_few_rows_to_say_anything_of_are_named() -> None:
    names = ["ham", "spam", "scam"]
    labelled, test = np.repeat([0, 1, 2], [9, 5, 4]), np.repeat([0, 1, 2], [9, 5, 1])
    sentence = scarce({"labelled": labelled, "test": test}, names)
    assert sentence == "Too few rows to tell how well they are found: 'scam' (4 labelled, 1 test)."
    assert scarce({"labelled": labelled, "test": labelled[:14]}, names[:2]) is None
    many = [f"label {number}" for number in range(9)]
    assert str(scarce({"test": np.arange(8)}, many)).endswith("'label 4' (1 test) and 4 more.")
