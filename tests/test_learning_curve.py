"""What more labels would bring is the power law's own answer; the rows that scores are of stay the same."""

from __future__ import annotations

import numpy as np
import pytest

from automl.baselines import Baseline, baselines
from automl.learning_curve import SHARES, LearningCurve, Share, gain, kept_errors, learning_curve
from automl.records import Rows, Splits


def splits(rows: int = 60, folds: int = 3) -> Splits:
    labels = np.arange(rows) % 2
    texts = tuple(f"{'good fine' if label else 'bad dull'} text {number}" for number, label in enumerate(labels))
    labelled = Rows(texts, labels)
    return Splits(labelled, np.arange(rows) // 2 % folds, labelled.take(np.arange(2)), ("no", "yes"), "f")


@pytest.mark.parametrize("more", [1, 100, 1000])
def test_the_gain_is_that_of_the_power_law(more: int) -> None:
    rows = (100, 200, 300, 400)
    values = [[1 - 2 * n**-0.5] * 3 for n in rows]
    found = gain(LearningCurve("m", rows, values), more)
    assert found.value == pytest.approx(2 * 400**-0.5 - 2 * (400 + more) ** -0.5)
    assert found.low == pytest.approx(found.high) == pytest.approx(found.value)
    share = kept_errors(LearningCurve("m", rows, values), more)
    assert share.value == pytest.approx((400 / (400 + more)) ** 0.5)


def test_where_folds_differ_there_is_an_interval_around_the_gain() -> None:
    values = [[0.5, 0.6], [0.6, 0.65], [0.65, 0.75], [0.7, 0.72]]
    found = gain(LearningCurve("m", (100, 200, 300, 400), values), 100)
    assert found.low < found.value < found.high
    assert found == gain(LearningCurve("m", (100, 200, 300, 400), values), 100)


def test_more_rows_are_never_said_to_hurt_and_one_size_says_nothing() -> None:
    worse = LearningCurve("m", (100, 200, 300, 400), [[0.7], [0.6], [0.6], [0.5]])
    assert kept_errors(worse, 100).value == 1.0
    assert gain(worse, 100).value == 0
    assert kept_errors(LearningCurve("m", (3, 3, 3, 3), [[0.5], [0.6], [0.7], [0.8]]), 100) == Share(1.0, 1.0, 1.0)


def test_a_model_without_a_mistake_gains_nothing() -> None:
    found = gain(LearningCurve("m", (10, 20, 30, 40), [[1.0, 1.0]] * 4), 100)
    assert found.value == pytest.approx(0, abs=1e-9)


def test_ever_more_rows_are_trained_on_and_the_same_ones_held_out() -> None:
    seen: list[tuple[int, int]] = []

    def fit(train: Rows) -> object:
        seen.append((len(train), len(set(train.inputs))))
        return lambda texts: np.zeros(len(texts), dtype=np.int64)

    curve = learning_curve(Baseline("zeros", fit), splits(), "accuracy", seed=0)  # type: ignore[arg-type]
    assert curve.rows == [round(share * 40) for share in SHARES]
    assert [count for count, _ in seen] == [count for count in curve.rows for _ in range(3)]
    assert all(count == different for count, different in seen)
    assert curve.values == [[0.5] * 3] * 4  # half of what is held out has label 0


def test_a_real_baseline_learns_from_more() -> None:
    tfidf = next(one for one in baselines(0, {}) if one.name.startswith("tfidf"))
    curve = learning_curve(tfidf, splits(), "accuracy", seed=0)
    assert np.mean(curve.values[-1]) == 1.0
    assert np.mean(curve.values[0]) <= np.mean(curve.values[-1])
    assert curve == learning_curve(tfidf, splits(), "accuracy", seed=0)


def test_of_one_held_out_part_nobody_knows_how_sure_the_gain_is() -> None:
    found = kept_errors(LearningCurve("m", (100, 200, 300, 400), [[0.6], [0.7], [0.75], [0.8]]), 100)
    assert found.low == pytest.approx(found.value**2)
    assert found.high == 1.0
