"""Every row is held out once, labels keep their proportions, and groups are never parted."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automl.data.folds import ALWAYS_TRAINED, FEW_ROWS, HELD_OUT_SHARE, folds_by_size, make_folds
from automl.errors import DataError


def per_fold(folds: np.ndarray, strata: np.ndarray) -> np.ndarray:
    """Rows of each stratum in each fold, [folds, strata]."""
    return np.array([np.bincount(strata[folds == fold], minlength=strata.max() + 1) for fold in range(folds.max() + 1)])


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=2, max_size=80), st.integers(2, 12), st.integers(0, 99))
def test_every_row_is_held_out_once_and_labels_keep_their_proportions(labels: list[int], count: int, seed: int) -> None:
    strata = np.array(labels)
    if np.bincount(strata).max() < 2:
        return
    folds = make_folds(strata, None, count, seed)
    assert folds.shape == strata.shape
    held_out = per_fold(folds, strata)
    assert len(held_out) == min(count, np.bincount(strata).max())
    assert np.ptp(held_out, axis=0).max() <= 1, "each label within one row"
    assert np.ptp(held_out.sum(axis=1)) <= 1, "and so all of them"


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_groups_are_never_parted_and_no_fold_is_empty(data: st.DataObject) -> None:
    groups = np.array(data.draw(st.lists(st.integers(0, 9), min_size=4, max_size=60)))
    strata = np.array(data.draw(st.lists(st.integers(0, 2), min_size=len(groups), max_size=len(groups))))
    count = data.draw(st.integers(1, 6))
    if len(np.unique(groups)) < 2 or np.bincount(strata).max() < 2:
        return
    folds = make_folds(strata, groups, count, data.draw(st.integers(0, 9)))
    for group in np.unique(groups):
        assert len(set(folds[groups == group])) == 1
    assert set(np.unique(folds)) - {ALWAYS_TRAINED} == set(range(folds.max() + 1)), "each fold holds something out"
    assert folds.max() >= 0
    assert (folds != 0).any(), "and leaves something to train on"
    if count > 1:
        assert ALWAYS_TRAINED not in folds


def test_groups_keep_the_proportions_as_far_as_they_go() -> None:
    rng = np.random.default_rng(0)
    strata, groups = rng.integers(0, 3, 600), rng.integers(0, 120, 600)
    held_out = per_fold(make_folds(strata, groups, 5, 0), strata)
    assert held_out.min() > 0.75 * held_out.max()


def test_one_held_out_part_leaves_the_other_rows_always_trained() -> None:
    strata = np.arange(100) % 2
    folds = make_folds(strata, None, 1, 0)
    assert set(folds) == {ALWAYS_TRAINED, 0}
    assert np.bincount(strata[folds == 0]).tolist() == [HELD_OUT_SHARE * 50] * 2


def test_the_seed_decides() -> None:
    strata = np.arange(60) % 3
    first, again, other = (make_folds(strata, None, 5, seed).tolist() for seed in (0, 0, 1))
    assert first == again != other
    groups = np.arange(60) // 2
    first, again, other = (make_folds(strata, groups, 5, seed).tolist() for seed in (0, 0, 1))
    assert first == again != other


@pytest.mark.parametrize("count", [1, 5, 10])
def test_a_label_rarer_than_the_folds_is_missing_from_some(count: int) -> None:
    strata = np.array([0] * 40 + [1] * 3)
    folds = make_folds(strata, None, count, 0)
    rare = folds[strata == 1]
    assert len(set(rare)) == (3 if count > 1 else len(set(rare)))
    assert folds.max() + 1 == count


def test_there_are_no_more_folds_than_rows_of_a_label_or_groups_could_fill() -> None:
    assert make_folds(np.array([0, 0, 0, 1]), None, 10, 0).max() + 1 == 3
    assert make_folds(np.arange(40) % 2, np.arange(40) // 10, 10, 0).max() + 1 == 4
    assert make_folds(np.arange(40) % 2, np.arange(40) // 20, 1, 0).max() + 1 == 1


def test_rows_of_as_many_labels_can_still_be_held_out() -> None:
    assert sorted(make_folds(np.arange(6), None, 2, 0)) == [0, 0, 0, 1, 1, 1]


def test_rows_of_one_group_cannot_be_split() -> None:
    with pytest.raises(DataError, match=r"--group-column: 6 rows that are to be split are all of one group"):
        make_folds(np.arange(6) % 2, np.zeros(6, np.int64), 2, 0)


def test_fewer_rows_have_more_folds() -> None:
    assert [folds_by_size(rows) for rows in (4, 300, FEW_ROWS - 1, FEW_ROWS, 100_000)] == [5, 5, 5, 1, 1]
