"""What is surely worse than the winner is told apart from it; what may be as good is named."""

import numpy as np
import pytest

from automl.errors import DataError
from automl.metrics import METRICS
from automl.selection import differences
from automl.selection.compare import scored
from tests.selection.studies import said_with, study


@pytest.mark.parametrize("metric", METRICS)
def test_names_those_that_may_be_as_good(metric: str) -> None:
    evidence = study(2, [0.85, 0.84, 0.6], rows=300, labels=3)
    others = {"close": evidence.probabilities[1], "far": evidence.probabilities[2], "itself": evidence.probabilities[0]}
    found = differences(evidence.labels, evidence.probabilities[0], others, metric)
    assert [one.name for one in found if not one.told_apart] == ["close", "itself"]
    for difference in found:
        expected = evidence.score(0, metric) - METRICS[metric](evidence.labels, others[difference.name].argmax(-1)[0])
        assert difference.value == pytest.approx(expected, abs=1e-6)
        assert difference.low <= difference.value <= difference.high
    assert (found[2].low, found[2].high) == (0.0, 0.0)


def test_being_paired_tells_apart_what_separate_intervals_cannot() -> None:
    labels = np.zeros(200, int)
    winner, other = np.repeat([0, 1], [150, 50]), np.repeat([0, 1], [138, 62])  # wrong on the same rows and 12 more
    (found,) = differences(labels, winner, {"other": other}, "accuracy")
    assert found.told_apart
    assert found.value == pytest.approx(0.06)


def test_equals_are_told_apart_about_as_rarely_as_it_says() -> None:
    apart = 0
    for seed in range(200):
        evidence = study(seed, [0.8, 0.8], rows=120)
        apart += differences(
            evidence.labels, *map(evidence.predictions, (0,)), {"o": evidence.predictions(1)}, "accuracy", samples=300
        )[0].told_apart
    assert 1 <= apart <= 12  # of 200 at 2.5 % a side; more has a chance under 1 %


def test_repeats_are_compared_by_their_mean_and_only_where_both_are_known() -> None:
    labels, winner = np.zeros(4, int), np.array([[0, 0, 0, 1], [0, 0, 1, 1]])
    other = said_with(np.array([1, 0, 1, 0]), 2, 0.8)
    other[3] = np.nan
    (found,) = differences(labels, winner, {"other": other}, "accuracy")
    assert found.rows == 3
    assert found.value == pytest.approx((3 / 3 + 2 / 3) / 2 - 1 / 3)
    assert differences(labels, winner, {"unknown": np.full((4, 2), np.nan)}, "accuracy") == []


def test_a_seed_that_one_side_lacks_or_has_in_part_takes_no_rows_from_the_comparison() -> None:
    labels = np.array([0, 1, 0, 1, 0, 1])
    wrong = 1 - labels
    twice = np.stack([labels, np.where(np.arange(6) < 3, wrong, labels)])  # .75 in the mean
    once = np.stack([wrong, np.full(6, -1)])
    partly = np.stack([labels, np.where(np.arange(6) < 2, wrong, -1)])  # its second seed is on one fold alone
    first, second = differences(labels, twice, {"once": once, "partly": partly}, "accuracy")
    assert (first.value, first.rows) == (0.75, 6)
    assert (second.value, second.rows) == (-0.25, 6)
    assert differences(labels, twice, {"never": np.full(6, -1)}, "accuracy") == []


def test_a_score_has_the_interval_of_the_same_bootstrap() -> None:
    rng, groups = np.random.default_rng(0), np.arange(400) // 40
    labels = rng.integers(2, size=400)
    said = np.where(rng.random((2, 400)) < 0.8, labels, 1 - labels)
    by_group = np.where(groups < 8, labels, 1 - labels)  # whole groups are right or wrong
    found = scored(labels, {"two": said, "one": by_group, "none": np.full(400, -1)}, "accuracy")
    assert found["two"].value == pytest.approx((said == labels).mean())
    assert (found["two"].rows, set(found)) == (400, {"two", "one"})
    assert all(0.025 < one.high - one.value < 0.06 for one in found.values())
    together = scored(labels, {"one": by_group}, "accuracy", groups=groups)["one"]
    assert together.value - together.low > 0.15, "ten rows of a kind are drawn together"


def test_a_score_without_an_error_is_not_taken_for_certain() -> None:
    labels = np.repeat([0, 1], 20)
    found = scored(labels, {"right": labels}, "macro_f1")["right"]
    assert (found.value, found.high) == (1, 1)
    assert found.low < 0.92


def test_a_higher_confidence_has_a_wider_interval() -> None:
    evidence = study(4, [0.85, 0.8], rows=100)
    said = evidence.predictions(0), {"other": evidence.predictions(1)}
    (narrow,) = differences(evidence.labels, *said, "accuracy", confidence=0.8)
    (wide,) = differences(evidence.labels, *said, "accuracy", confidence=0.99)
    assert wide.low < narrow.low
    assert narrow.high < wide.high


def test_other_rows_than_the_labels_are_an_error() -> None:
    with pytest.raises(DataError, match="majority have the shape"):
        differences(np.zeros(4, int), np.zeros(4, int), {"majority": np.zeros(3, int)}, "accuracy")


def test_what_is_better_than_the_winner_is_told_as_that() -> None:
    labels = np.zeros(200, int)
    (found,) = differences(labels, np.repeat([0, 1], [120, 80]), {"other": np.repeat([0, 1], [170, 30])}, "accuracy")
    assert (found.outdone, found.told_apart) == (True, False)


def test_rows_that_belong_together_are_drawn_together() -> None:
    labels, groups = np.zeros(200, int), np.repeat(np.arange(10), 20)
    winner, other = np.repeat([0, 1], [160, 40]), np.repeat([0, 1], [140, 60])
    (apart,) = differences(labels, winner, {"other": other}, "accuracy")
    (together,) = differences(labels, winner, {"other": other}, "accuracy", groups=groups)
    assert apart.told_apart
    assert not together.told_apart, "one author of ten differs"
