"""Rows that belong together, such as those of one author: numbered by a column, and on one side of every split."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np

from automl.errors import DataError
from automl.records import RawTask, Rows


def read_groups(task: RawTask, column: str | None) -> dict[str, np.ndarray]:
    """A number for each row's group, by split; one value is one group wherever it stands, and an empty one is its own.

    Nothing where no column is named.

    Raises:
        DataError: a split lacks the column.
    """
    if column is None:
        return {}
    numbers: dict[object, int] = {}
    found = {}
    for split, table in task.splits.items():
        if column not in table.columns:
            there = ", ".join(map(repr, table.columns))
            raise DataError(f"{table.origin}: no column {column!r} (--group-column); the columns are {there}")
        values = (object() if value in (None, "") else str(value) for value in table.columns[column])
        found[split] = np.array([numbers.setdefault(value, len(numbers)) for value in values], dtype=np.int64)
    return found


def without_parted_groups(given: Mapping[str, Rows], dropped: Counter[str]) -> dict[str, Rows]:
    """Keep the test rows as they are; in the other splits keep no row of a group that a later split has."""
    kept, taken = dict(given), np.zeros(0, dtype=np.int64)
    for split in ("test", "validation", "train"):
        rows = given.get(split)
        if rows is None or rows.groups is None:
            continue
        parted = np.isin(rows.groups, taken)
        if parted.any():
            dropped[f"{split} row of a group that stands in another split"] += int(parted.sum())
            kept[split] = rows.take(np.flatnonzero(~parted))
        taken = np.concatenate([taken, rows.groups])
    return kept
