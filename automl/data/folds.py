"""Which labelled row is held out when: seeded, stratified folds that keep groups together, or one held-out part."""

from __future__ import annotations

import warnings

import numpy as np

from automl.errors import DataError

ALWAYS_TRAINED = -1  # in place of a fold's number: this row is never held out
FEW_ROWS = 1500  # below it one held-out part is too small to compare configurations on: every row is held out once
FOLDS, HELD_OUT_SHARE = 5, 0.2


def folds_by_size(rows: int) -> int:
    """How many folds compare configurations best: 1 is a single held-out part.

    More than five would train on more rows, but each would tell less of a configuration, and cost as much.
    """
    return FOLDS if rows < FEW_ROWS else 1


def make_folds(strata: np.ndarray, groups: np.ndarray | None, count: int, seed: int) -> np.ndarray:
    """The fold that holds each row out, [rows] int64 from 0 on; with a count of 1, most rows are `ALWAYS_TRAINED`.

    Every fold has about the same share of each stratum, as far as groups allow.

    Args:
        strata: [rows], such as the labels.
        groups: [rows]; rows of one group are always held out together. None: each row by itself.
        count: 1 or more; fewer folds are made where no stratum, or no more groups, would fill them.
        seed: of the shuffling.

    Raises:
        DataError: all rows are of one group.
    """
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    parts = round(1 / HELD_OUT_SHARE) if count == 1 else count
    largest = int(np.unique(strata, return_counts=True)[1].max())
    parts = min(parts, largest)
    if largest < 2:
        strata = np.zeros_like(strata)  # a row of each label: nothing to be in proportion
    if groups is not None:
        parts = min(parts, len(np.unique(groups)))
        if len(np.unique(groups)) < 2:
            raise DataError(
                f"--group-column: {len(groups)} rows that are to be split are all of one group: "
                "name another column, or leave it out"
            )
    kinds = StratifiedKFold if groups is None else StratifiedGroupKFold
    splitter = kinds(n_splits=max(parts, 2), shuffle=True, random_state=seed)
    folds = np.full(len(strata), ALWAYS_TRAINED, dtype=np.int64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a label rarer than the folds: it is missing from some of them
        for fold, (_, held_out) in enumerate(splitter.split(np.zeros(len(strata)), strata, groups)):
            if fold < count:
                folds[held_out] = fold
    return folds
