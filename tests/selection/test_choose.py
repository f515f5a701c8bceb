"""The choice is by means over what is shared, and the race drops only what is surely worse."""

import numpy as np
import pytest

from automl.errors import NothingUsable
from automl.records import State, Trial
from automl.selection import Evidence, best_trial, finalists, rank
from tests.selection.studies import said_with


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


def test_the_best_trial_is_complete_and_on_a_tie_the_earlier() -> None:
    def trial(number: int, state: State, value: float | None) -> Trial:
        return Trial(number, state, {}, value, {}, {})

    trials = [trial(0, State.PRUNED, 0.9), trial(2, State.COMPLETE, 0.8), trial(1, State.COMPLETE, 0.8)]
    best = best_trial(trials)
    assert best is not None
    assert best.number == 1
    assert best_trial(trials[:1]) is None
