"""The choice is by means over what is shared, and the race drops only what is surely worse."""

from dataclasses import replace

import numpy as np
import pytest

from automl.errors import NothingUsable
from automl.metrics import METRICS
from automl.records import State, Trial
from automl.selection import Evidence, best_trial, finalists, rank, weaker
from tests.selection.studies import said_with, study


def of_predictions(labels: list[int], said: dict[int, list[list[int]]], folds: list[int] | None = None) -> Evidence:
    """Evidence of configurations that predicted this, [repeats][rows]; -1 is unknown."""
    probabilities = {number: said_with(np.maximum(rows, 0), 2, 0.7) for number, rows in said.items()}
    for number, rows in said.items():
        probabilities[number][np.array(rows) < 0] = np.nan
    return Evidence(np.array(labels), np.array(folds or [0] * len(labels)), probabilities)


def test_the_mean_over_seeds_wins_and_not_the_best_seed() -> None:
    lucky_once = [[1, 1, 1, 1], [0, 0, 0, 0], [0, 0, 1, 1]]
    steady = [[1, 1, 1, 0], [1, 1, 1, 0], [1, 1, 0, 1]]
    standings = rank(of_predictions([1, 1, 1, 1], {0: lucky_once, 1: steady}), "accuracy")
    assert [standing.number for standing in standings] == [1, 0]
    assert [standing.value for standing in standings] == pytest.approx([0.75, 0.5])


def test_caution_prefers_the_steady_one() -> None:
    wild = [[1, 1, 1, 1, 1], [1, 1, 0, 0, 0]]
    steady = [[1, 1, 1, 0, 0], [1, 1, 1, 0, 0]]
    evidence = of_predictions([1] * 5, {0: wild, 1: steady})
    assert rank(evidence, "accuracy")[0].number == 0
    assert rank(evidence, "accuracy", cautious=True)[0].number == 1


def test_ties_go_to_the_smaller_log_loss_then_to_the_earlier() -> None:
    evidence = of_predictions([0, 1, 1], {number: [[0, 1, 0]] for number in (3, 1, 2)})
    assert [standing.number for standing in rank(evidence, "accuracy")] == [1, 2, 3]
    evidence.probabilities[2][0, 0] = [0.9, 0.1]
    assert [standing.number for standing in rank(evidence, "accuracy")] == [2, 1, 3]


def test_incomplete_evidence_cannot_win_while_there_is_complete() -> None:
    half = of_predictions([1, 1, 1, 1], {0: [[1, 1, -1, -1]], 1: [[1, 0, 1, 0]]}, folds=[0, 0, 1, 1])
    assert [standing.number for standing in rank(half, "accuracy")] == [1]
    one_seed = of_predictions([1, 1], {0: [[1, 1], [-1, -1]], 1: [[1, 0], [1, 1]]})
    assert [standing.number for standing in rank(one_seed, "accuracy")] == [1]


def test_without_a_complete_repeat_all_are_compared_on_what_they_share() -> None:
    early = of_predictions([1] * 6, {0: [[1, 0, 1, 1, -1, -1]], 1: [[1, 1, -1, -1, -1, -1]]}, folds=[0, 0, 1, 1, 2, 2])
    assert [(standing.number, standing.value) for standing in rank(early, "accuracy")] == [(1, 1.0), (0, 0.5)]


def test_where_nothing_is_shared_the_one_with_more_evidence_stays() -> None:
    apart = of_predictions([1] * 3, {0: [[1, -1, -1]], 1: [[-1, 0, 1]]}, folds=[0, 1, 1])
    numbers, cells = finalists(apart)
    assert (numbers, cells.tolist()) == ([1], [[False, True, True]])


def test_no_evidence_is_an_error_of_one_line() -> None:
    with pytest.raises(NothingUsable, match=r"--time-limit"):
        rank(Evidence(np.array([0, 1]), np.array([0, 0]), {}), "accuracy")


@pytest.mark.parametrize("metric", METRICS)
def test_a_clearly_worse_one_is_weaker_and_the_leader_is_not(metric: str) -> None:
    evidence = study(1, [0.85, 0.65], rows=150)
    assert weaker(evidence, 1, 0, metric)
    assert not weaker(evidence, 0, 1, metric)
    assert not weaker(evidence, 0, 0, metric)


@pytest.mark.parametrize("metric", METRICS)
def test_equals_are_called_weaker_about_as_rarely_as_it_says(metric: str) -> None:
    called = sum(weaker(study(seed, [0.8, 0.8], rows=120), 1, 0, metric, swaps=500) for seed in range(200))
    assert called <= 18  # of 200 at 5 %; more has a chance under 1 %
    assert called >= 2  # it has power at all


def test_nothing_is_said_before_the_least_evidence() -> None:
    evidence = study(0, [0.99, 0.01], rows=99, folds=1)
    assert not weaker(evidence, 1, 0, "accuracy")
    assert weaker(study(0, [0.99, 0.01], rows=100, folds=1), 1, 0, "accuracy")
    assert weaker(study(0, [0.99, 0.01], rows=30, folds=3), 1, 0, "accuracy")
    assert not weaker(study(0, [0.99, 0.01], rows=30, folds=2), 1, 0, "accuracy")


def test_only_shared_cells_speak() -> None:
    evidence = study(0, [0.9, 0.9], rows=250)
    evidence.probabilities[0][0, evidence.folds != 0] = said_with(1 - evidence.labels[evidence.folds != 0], 2, 0.7)
    whole = replace(evidence, probabilities={n: p.copy() for n, p in evidence.probabilities.items()})
    evidence.probabilities[1][0, evidence.folds != 0] = np.nan
    assert weaker(whole, 0, 1, "accuracy")
    assert not weaker(evidence, 0, 1, "accuracy")


def test_the_best_trial_is_complete_and_on_a_tie_the_earlier() -> None:
    def trial(number: int, state: State, value: float | None) -> Trial:
        return Trial(number, state, {}, value, {}, {})

    trials = [trial(0, State.PRUNED, 0.9), trial(2, State.COMPLETE, 0.8), trial(1, State.COMPLETE, 0.8)]
    best = best_trial(trials)
    assert best is not None
    assert best.number == 1
    assert best_trial(trials[:1]) is None
