"""The estimate is what unseen data will say, although the configuration was chosen for its score."""

import numpy as np
import pytest

from automl.metrics import wilson_interval
from automl.selection import Difference, Estimate, Evidence, careful, estimate
from tests.selection.studies import said_with, study

STUDIES = 50


def best(evidence: Evidence, metric: str = "accuracy") -> int:
    """The one that is chosen of those that know most: the best by its mean."""
    known = {number: evidence.covered(number).sum() for number in evidence.numbers}
    return max(
        (number for number in known if known[number] == max(known.values())),
        key=lambda number: (evidence.score(number, metric), -number),
    )


def over_studies(metric: str, truth: float, **how: object) -> tuple[float, float, float, float]:
    """Of many studies of equals: mean error of the naive score and of the estimate, coverage, mean width."""
    studies = [study(seed, [0.8] * 24, **how) for seed in range(STUDIES)]
    found = [estimate(one, metric, best(one, metric), samples=200, seed=seed) for seed, one in enumerate(studies)]
    naive, value, low, high = np.array([(e.naive, e.value, e.low, e.high) for e in found]).T
    covered = float(np.mean((low <= truth) & (truth <= high)))
    return float(np.mean(naive - truth)), float(np.mean(value - truth)), covered, float(np.mean(high - low))


@pytest.mark.parametrize(("metric", "truth"), [("accuracy", 0.8), ("macro_f1", 0.8), ("matthews", 0.7)])
def test_the_luck_of_the_chosen_is_taken_off(metric: str, truth: float) -> None:
    naive, error, covered, width = over_studies(metric, truth, labels=3, folds=1)
    assert naive > 0.03
    assert abs(error) < 0.01
    assert covered >= 0.9
    errors = 4 * {"accuracy": 0.028, "macro_f1": 0.028, "matthews": 0.042}[metric]  # 4 standard errors of 200 rows
    assert 1.2 * errors < width < 1.6 * errors  # it is careful


def test_most_of_the_luck_of_those_who_survived_a_race_is_taken_off() -> None:
    """Two of 24 equals go on after the first fold, as few as in a search: the others are no part of the evidence."""
    studies = [study(seed, [0.8] * 24, kept=2, rows=300) for seed in range(STUDIES)]
    found = [estimate(one, "accuracy", best(one), samples=200, seed=seed) for seed, one in enumerate(studies)]
    naive = np.mean([one.score(best(one), "accuracy") - 0.8 for one in studies])
    assert naive > 0.02
    assert abs(np.mean([one.value - 0.8 for one in found])) < naive / 3
    assert np.mean([one.low <= 0.8 <= one.high for one in found]) >= 0.9
    assert {one.rows for one in found} == {240}, "not the first fold: it chose"


def test_those_who_were_dropped_do_not_count() -> None:
    evidence = study(0, [0.8, 0.8, 0.7, 0.6], kept=2)
    whole = [number for number in evidence.numbers if evidence.covered(number).all(axis=1).any()]
    left = {number: evidence.probabilities[number] for number in whole}
    assert len(left) == 2
    fewer, winner = Evidence(evidence.labels, evidence.folds, left), best(evidence)
    assert estimate(evidence, "macro_f1", winner) == estimate(fewer, "macro_f1", winner)


def test_where_one_part_is_held_out_all_that_were_tried_on_it_count() -> None:
    """Only the winner has further seeds."""
    evidence = study(0, [0.8] * 20, folds=1, repeats=3)
    for number in set(evidence.numbers) - {best(evidence)}:
        evidence.probabilities[number][1:] = np.nan
    alone = Evidence(evidence.labels, evidence.folds, {best(evidence): evidence.probabilities[best(evidence)]})
    one, other = (estimate(each, "accuracy", best(evidence)) for each in (evidence, alone))
    assert one.value < other.value - 0.01


def test_who_may_not_be_shipped_does_not_raise_what_is_expected_of_another() -> None:
    evidence = study(1, [0.95, 0.7, 0.7], rows=300)
    told = estimate(evidence, "accuracy", 1, eligible={1, 2})
    assert told.value < 0.78
    assert estimate(evidence, "accuracy", 1).value > 0.9


def test_rows_that_belong_together_are_one_piece_of_evidence() -> None:
    """Each text is there ten times: the interval is that of a tenth of the rows."""
    single = study(2, [0.8], rows=100, folds=1)
    labels, said = np.repeat(single.labels, 10), np.repeat(single.probabilities[0], 10, axis=1)
    groups = np.repeat(np.arange(100), 10)
    apart, together = (Evidence(labels, np.zeros(1000, int), {0: said}, one) for one in (None, groups))
    narrow, wide = (estimate(one, "accuracy", 0) for one in (apart, together))
    assert wide.high - wide.low == pytest.approx(10**0.5 * (narrow.high - narrow.low), rel=0.2)


def test_what_moves_it_widens_it_and_it_stays_in_the_range() -> None:
    told = Estimate(0.8, 0.76, 0.83, 100, 0.8)
    moved = told.moved("accuracy", 0.01, -0.02, 0.05)
    assert (moved.value, moved.low, moved.high) == pytest.approx((0.81, 0.81 - 0.05, 0.81 + 0.05))
    high = told.moved("accuracy", 0.19, 0.18, 0.25)
    assert (high.value, high.high) == (pytest.approx(0.99), 1.0)
    assert told.moved("accuracy", -0.9, -0.95, -0.85).low == 0.0
    assert told.moved("matthews", -0.9, -0.95, -0.85).low < 0


def test_a_gain_that_few_rows_have_shown_is_hardly_believed() -> None:
    usual, least, most = careful(None, 0.25)
    assert least < 0 < usual < 0.02 < most
    few, many = Difference("student", 0.1, -0.1, 0.3, 20), Difference("student", 0.1, 0.095, 0.105, 8000)
    value, low, high = careful(few, 0.25)
    assert usual < value < usual + 0.01
    assert least < low < 0 < high
    assert high - low < most - least
    assert careful(many, 0.25)[0] == pytest.approx(0.1, rel=0.1)


def test_rows_that_do_not_tell_two_models_apart_say_the_less_the_fewer_they_are() -> None:
    same = [careful(Difference("same", 0.0, 0.0, 0.0, rows), 0.25) for rows in (20, 200, 20_000)]
    (_, *widest), (_, *wide), (_, *narrow) = same
    assert same[0][0] > same[1][0] > same[2][0] >= 0.0
    assert np.ptp(widest) > np.ptp(wide) > np.ptp(narrow)


def test_the_interval_is_around_the_value() -> None:
    found = estimate(study(0, [0.7], rows=400), "accuracy", 0)
    assert (found.low + found.high) / 2 == pytest.approx(found.value, abs=0.01)


def test_a_clear_winner_keeps_its_score() -> None:
    evidence = study(3, [0.9, 0.6, 0.55], rows=400)
    found = estimate(evidence, "accuracy", 0)
    assert found.value == pytest.approx(found.naive, abs=0.004)
    assert found.naive == pytest.approx(evidence.score(0, "accuracy", evidence.covered(0) & (evidence.folds != 0)))
    assert found.rows == 320


def test_where_every_row_is_right_the_interval_is_as_wide_as_wilsons() -> None:
    labels = np.arange(40) % 2
    evidence = Evidence(labels, np.zeros(40, int), {0: said_with(labels, 2, 0.9)[None]})
    found = estimate(evidence, "macro_f1", 0)
    assert (found.value, found.high) == (1.0, 1.0)
    assert found.low == pytest.approx(wilson_interval(40, 40)[0])


@pytest.mark.parametrize("rows", [1, 2, 5])
def test_a_handful_of_rows_is_enough_not_to_fail(rows: int) -> None:
    found = estimate(study(0, [0.9, 0.5, 0.2], rows=rows, folds=2, kept=2), "matthews", 0)
    assert -1 <= found.low <= found.value <= found.high <= 1


def test_the_same_seed_gives_the_same_estimate() -> None:
    evidence = study(5, [0.8] * 6)
    assert estimate(evidence, "macro_f1", 0, seed=1) == estimate(evidence, "macro_f1", 0, seed=1)
    assert estimate(evidence, "macro_f1", 0, seed=1) != estimate(evidence, "macro_f1", 0, seed=2)
