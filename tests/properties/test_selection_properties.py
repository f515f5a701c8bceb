"""Whatever the evidence: order is no matter, and intervals hold their value."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automl.metrics import LOWEST, METRICS, SCORES
from automl.selection import Evidence, differences, estimate
from tests.selection.studies import said_with

metrics = st.sampled_from(sorted(METRICS))


@st.composite
def evidences(draw: st.DrawFn) -> Evidence:
    """Any small study: few rows, coarse probabilities with many ties, configurations that got any part of the way."""
    rows, labels, folds, repeats, size = (
        draw(st.integers(least, most)) for least, most in ((2, 24), (2, 4), (1, 3), (1, 3), (1, 6))
    )
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    fold = np.arange(rows) % folds
    probabilities = {}
    for number in range(size):
        said = said_with(rng.integers(labels, size=(repeats, rows)), labels, rng.choice([0.5, 0.7, 1.0]))
        cells = draw(st.integers(1, folds * repeats)) if number else folds * repeats  # the first is complete
        reached = np.arange(repeats)[:, None] * folds + fold[None] < cells
        said[~reached] = np.nan
        probabilities[number] = said
    return Evidence(rng.integers(labels, size=rows), fold, probabilities)


@settings(deadline=None, max_examples=60)
@given(evidences(), metrics, st.randoms(use_true_random=False))
def test_order_of_rows_and_of_configurations_is_no_matter(evidence, metric, random) -> None:
    order = random.sample(range(len(evidence.labels)), len(evidence.labels))
    numbers = random.sample(sorted(evidence.probabilities), len(evidence.probabilities))
    shuffled = {number: evidence.probabilities[number][:, order] for number in numbers}
    other = Evidence(evidence.labels[order], evidence.folds[order], shuffled)
    one, two = (estimate(each, metric, 0, samples=60) for each in (evidence, other))
    assert (one.value, one.low, one.high, one.naive) == pytest.approx(
        (two.value, two.low, two.high, two.naive), abs=1e-9
    )


@settings(deadline=None, max_examples=60)
@given(evidences(), metrics)
def test_an_estimate_lies_in_its_interval_and_the_interval_in_the_range(evidence, metric) -> None:
    found = estimate(evidence, metric, 0, samples=60)
    assert LOWEST[metric] <= found.low <= found.value <= found.high <= 1
    assert found.low < found.high
    assert 1 <= found.rows <= len(evidence.labels)
    said = evidence.predictions(0)[0]
    score = SCORES[metric](evidence.labels, said)
    assert LOWEST[metric] <= score.low <= score.value <= score.high <= 1


@settings(deadline=None, max_examples=60)
@given(evidences(), metrics)
def test_a_difference_is_the_opposite_of_its_opposite(evidence, metric) -> None:
    last = max(evidence.probabilities)
    one, two = evidence.probabilities[0], evidence.probabilities[last]
    there = differences(evidence.labels, one, {"other": two}, metric, samples=100)
    back = differences(evidence.labels, two, {"other": one}, metric, samples=100)
    assert [(d.value, d.low, d.high) for d in there] == [
        pytest.approx((-d.value, -d.high, -d.low), abs=1e-9) for d in back
    ]
