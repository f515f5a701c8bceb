"""What a fold trains on and holds out; the judge of what a model says of it."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from automl.params import Params
from automl.records import Encoded
from automl.tasks.kinds import kind_of
from automl.training.data import StudyData

KIND = kind_of("classification")


@pytest.fixture
def study() -> StudyData:
    """Six labelled rows in three folds, the last of which is always trained on, and two copies of each."""
    rows = Encoded({"input_ids": np.arange(18, dtype=np.int32)}, np.arange(19), np.tile([0, 1, 0, 1, 0, 1], 3))
    return StudyData(rows, np.array([0, 1, 2, 0, 1, -1]), 0, {"typos": np.arange(6, 18).reshape(2, 6)})


@pytest.mark.parametrize("fold", [0, 1, 2])
def test_a_fold_holds_out_its_rows_and_trains_on_the_others(study: StudyData, fold: int) -> None:
    data = study.fold(fold)
    assert data.held_out.tolist() == np.flatnonzero(study.folds == fold).tolist()
    assert sorted([*data.train, *data.held_out]) == list(range(6))


def test_without_a_fold_every_labelled_row_is_trained_on(study: StudyData) -> None:
    data = study.fold(None)
    assert data.train.tolist() == list(range(6))
    assert len(data.held_out) == 0
    assert data.copies["typos"].tolist() == study.copies["typos"].tolist()


@pytest.mark.parametrize("fold", [0, 1, 2, None])
@pytest.mark.parametrize("copies", [1, 2])
def test_no_altered_copy_of_a_held_out_row_is_trained_on(study: StudyData, fold: int | None, copies: int) -> None:
    data = study.fold(fold)
    seen = data.training_rows(Params(augmentation="typos", augmentation_copies=copies))
    assert len(seen) == (1 + copies) * len(data.train)
    assert not set(seen % 6) & set(data.held_out.tolist()), "row i, and its copies i + 6 and i + 12"
    assert data.training_rows(Params()).tolist() == data.train.tolist()


@pytest.mark.parametrize("fold", [0, None])
def test_rows_without_a_label_are_part_of_a_lesson_and_of_no_trial(study: StudyData, fold: int | None) -> None:
    more = replace(study, rows=replace(study.rows, starts=np.arange(24), labels=np.append(study.rows.labels, [-1] * 5)))
    more = replace(more, unlabelled=5)
    augmented = Params(augmentation="typos")
    trial, lesson = more.fold(fold), more.lesson(fold)
    for params in (Params(), augmented):
        assert trial.training_rows(params).tolist() == study.fold(fold).training_rows(params).tolist()
        seen = lesson.training_rows(params).tolist()
        assert seen == [*trial.training_rows(params), 18, 19, 20, 21, 22]
    assert lesson.held_out.tolist() == trial.held_out.tolist()
    assert [*more.trial_rows, *more.unlabelled_rows] == list(range(23))


def test_the_judge_says_what_share_is_right_and_how_surely(study: StudyData) -> None:
    data = study.fold(0)  # of labels 0 and 1
    value, loss = data.judge(KIND, np.array([[2.0, 0.0], [2.0, 0.0]], dtype=np.float32))
    right, wrong = math.log1p(math.exp(-2)), math.log1p(math.exp(2))
    assert value == 0.5
    assert loss == pytest.approx((right + wrong) / 2)
    assert study.fold(None).judge(KIND, np.zeros((0, 2), dtype=np.float32)) == (None, None)
