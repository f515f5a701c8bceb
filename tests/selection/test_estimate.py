"""The estimate is what unseen data will say, although the configuration was chosen for its score."""

import numpy as np
import pytest

from automl.errors import NothingUsable
from automl.metrics import wilson_interval
from automl.selection import Evidence, estimate, rank
from tests.selection.studies import said_with, study

STUDIES = 50


def over_studies(metric: str, truth: float, **how: object) -> tuple[float, float, float, float]:
    """Of many studies of equals: mean error of the naive score and of the estimate, coverage, mean width."""
    found = [estimate(study(seed, [0.8] * 24, **how), metric, samples=200, seed=seed) for seed in range(STUDIES)]
    naive, value, low, high = np.array([(e.naive, e.value, e.low, e.high) for e in found]).T
    covered = float(np.mean((low <= truth) & (truth <= high)))
    return float(np.mean(naive - truth)), float(np.mean(value - truth)), covered, float(np.mean(high - low))


@pytest.mark.parametrize(("metric", "truth"), [("accuracy", 0.8), ("macro_f1", 0.8), ("matthews", 0.7)])
def test_the_luck_of_the_chosen_is_taken_off(metric: str, truth: float) -> None:
    naive, error, covered, width = over_studies(metric, truth, labels=3)
    assert naive > 0.03
    assert abs(error) < 0.01
    assert covered >= 0.9
    errors = 4 * {"accuracy": 0.028, "macro_f1": 0.028, "matthews": 0.042}[metric]  # 4 standard errors of 200 rows
    assert 1.2 * errors < width < 1.6 * errors  # it is careful


def test_most_of_the_luck_of_those_who_survived_a_race_is_taken_off() -> None:
    naive, error, covered, _ = over_studies("accuracy", 0.8, kept=8, rows=300)
    assert naive > 0.035
    assert abs(error) < naive / 4
    assert covered >= 0.9


def test_those_who_were_dropped_do_not_count() -> None:
    evidence = study(0, [0.8, 0.8, 0.7, 0.6], kept=2)
    left = {number: evidence.probabilities[number] for number in evidence.numbers if evidence.complete_repeats(number)}
    assert len(left) == 2
    assert estimate(evidence, "macro_f1") == estimate(Evidence(evidence.labels, evidence.folds, left), "macro_f1")


def test_the_interval_is_around_the_value() -> None:
    found = estimate(study(0, [0.7], rows=400), "accuracy")
    assert (found.low + found.high) / 2 == pytest.approx(found.value, abs=0.01)


def test_a_clear_winner_keeps_its_score() -> None:
    evidence = study(3, [0.9, 0.6, 0.55], rows=400)
    found = estimate(evidence, "accuracy")
    assert found.value == pytest.approx(found.naive, abs=0.004)
    assert found.naive == pytest.approx(rank(evidence, "accuracy")[0].value)
    assert found.rows == 400


def test_the_ensemble_is_scored_where_it_is_what_ships() -> None:
    evidence = study(0, [0.7, 0.5], rows=300, repeats=5)
    one, all_of_them = estimate(evidence, "accuracy"), estimate(evidence, "accuracy", of="ensemble")
    truth = float(np.mean(evidence.ensemble(0).argmax(axis=1) == evidence.labels))
    assert one.naive == pytest.approx(evidence.score(0, "accuracy"))
    assert all_of_them.naive == pytest.approx(truth)
    assert all_of_them.value > one.value + 0.05


def test_samples_break_ties_by_log_loss() -> None:
    """Both are right in one repeat and wrong in the other; one is surer where it is right."""
    labels = np.zeros(30, int)
    right, wrong = labels, 1 - labels
    unsure = np.stack([said_with(right, 2, 0.6), said_with(wrong, 2, 0.9)])
    sure = np.stack([said_with(right, 2, 0.9), said_with(wrong, 2, 0.6)])
    found = estimate(Evidence(labels, labels, {0: unsure, 1: sure}), "accuracy", of="ensemble")
    assert (found.naive, found.value) == (1.0, 1.0)


def test_where_every_row_is_right_the_interval_is_as_wide_as_wilsons() -> None:
    labels = np.arange(40) % 2
    evidence = Evidence(labels, np.zeros(40, int), {0: said_with(labels, 2, 0.9)[None]})
    found = estimate(evidence, "macro_f1")
    assert (found.value, found.high) == (1.0, 1.0)
    assert found.low == pytest.approx(wilson_interval(40, 40)[0])


@pytest.mark.parametrize("rows", [1, 2, 5])
def test_a_handful_of_rows_is_enough_not_to_fail(rows: int) -> None:
    found = estimate(study(0, [0.9, 0.5, 0.2], rows=rows, folds=2, kept=2), "matthews")
    assert -1 <= found.low <= found.value <= found.high <= 1


def test_the_same_seed_gives_the_same_estimate() -> None:
    evidence = study(5, [0.8] * 6)
    assert estimate(evidence, "macro_f1", seed=1) == estimate(evidence, "macro_f1", seed=1)
    assert estimate(evidence, "macro_f1", seed=1) != estimate(evidence, "macro_f1", seed=2)


def test_nothing_to_estimate_is_an_error() -> None:
    with pytest.raises(NothingUsable):
        estimate(Evidence(np.array([0]), np.array([0]), {}), "accuracy")
