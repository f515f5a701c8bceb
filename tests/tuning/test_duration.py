"""The time that is left for searching is what the last steps do not need, by what like trainings took."""

from __future__ import annotations

from typing import Any

import pytest

from automl.params import Params
from automl.records import State, Trial
from automl.spaces import Arm, Param, SearchSpace
from automl.tuning import duration
from automl.tuning.policy import make_policy
from tests.tuning.records import a_trial

PLAIN = Params(num_train_epochs=2, per_device_train_batch_size=10)


def ended(seconds: float, pace: float = 100.0, **more: Any) -> Trial:
    return a_trial(0, 0.5, seconds=seconds, examples_per_second=pace, **more)


def test_a_training_takes_as_long_as_its_like_and_one_of_a_new_kind_as_long_as_the_longest() -> None:
    like = [ended(2.0), ended(4.0), ended(3.0), ended(99.0, state=State.PRUNED)]
    assert duration.training(like, [ended(50.0)]) == 3.0
    assert duration.training([], [ended(5.0), ended(50.0)]) == 50.0
    assert duration.training([], []) == 0.0


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        (PLAIN, 200),
        (Params(**{**PLAIN.model_dump(), "min_steps": 50}), 500),
        (PLAIN.model_copy(update={"max_steps": 3}), 30),
    ],
)
def test_examples_are_those_of_the_epochs_and_at_least_of_the_least_steps(params: Params, expected: int) -> None:
    assert duration.examples(params, 95) == expected


def test_the_wait_for_a_worker_that_starts_is_no_part_of_a_training() -> None:
    assert duration.training([ended(9.0, busy_seconds=4.0)]) == 4.0


def test_what_went_on_with_another_trial_did_but_a_part_of_a_training() -> None:
    assert duration.training([ended(9.0, busy_seconds=3.0, resumed_step=2)]) == pytest.approx(4.0)


def test_one_plain_model_is_trained_again_on_every_row() -> None:
    space = SearchSpace("s", "", (Param("learning_rate", "float", 1e-5, 1e-3, default=1e-4),), (Arm(""),)).over(
        {"m": 6}
    )
    params = {"learning_rate": 1e-4}
    trial = a_trial(0, 0.5, params=params, busy_seconds=8.0, examples_per_second=96.0, checkpoint="a")
    forecast = duration.Forecast(space, make_policy(space, n_folds=5, seed=7), rows=100)
    assert forecast.last_steps([trial]) == pytest.approx(duration.CAREFUL * duration.REFIT_TRAININGS * 8.0)


def test_the_last_steps_are_answers_and_two_lessons_side_by_side_where_there_are_workers() -> None:
    lesson, answer = 200 / 100 + 1, 100 / 300 + 1
    one = duration.last_steps(PLAIN, 100.0, members=4, rows=100, workers=1)
    two = duration.last_steps(PLAIN, 100.0, members=4, rows=100, workers=2)
    assert one == pytest.approx(duration.CAREFUL * (4 * answer + 2 * lesson))
    assert two == pytest.approx(duration.CAREFUL * (2 * answer + lesson))
    assert duration.last_steps(PLAIN, 0.0, members=4, rows=100, workers=2) == 0.0


def test_further_rows_are_answered_for_and_make_no_lesson_longer() -> None:
    more = duration.last_steps(PLAIN, 100.0, 4, 100, 2, unlabelled=600) - duration.last_steps(PLAIN, 100.0, 4, 100, 2)
    assert more == pytest.approx(duration.CAREFUL * 2 * 600 / 300)


def test_the_pace_is_that_of_trainings_as_deep_as_the_students_and_a_heads_only_where_nothing_else_is_known() -> None:
    head = (Params(technique="features"), ended(0.1, pace=1e6))
    pairs = (Params(technique="contrastive"), ended(5.0, pace=10))
    upper = (PLAIN.model_copy(update={"frozen_layers": 4}), ended(3.0, pace=500))
    deep = (PLAIN, ended(9.0, pace=100))
    assert duration.pace(PLAIN, [head, pairs, upper, deep], depth=6) == 100
    assert duration.pace(PLAIN, [head, pairs, upper], depth=6) == pytest.approx(500 * 1.5 / 5.5), "six layers, not two"
    assert duration.pace(PLAIN, [head, pairs], depth=6) == 10
    encoded = (Params(technique="features"), ended(0.1, pace=1500))
    assert duration.pace(PLAIN, [head, encoded], depth=6) == 1500 / duration.ENCODING_SPEED, "the other had them cached"
    assert duration.pace(PLAIN, [], depth=6) == 0
