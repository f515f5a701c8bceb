"""Which split of a data set is train, validation or test."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from automl.errors import DataError
from automl.records import Table

ROLES = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
}
HIDDEN = (None, -1, "-1", "")

Value = TypeVar("Value")


def by_role(found: Mapping[str, Value], origin: str) -> dict[str, Value]:
    """The same values under "train", "validation" and "test". A single split is train; other names are left out.

    Raises:
        DataError: two splits have one role, or none is train.
    """
    if len(found) == 1:
        return {"train": next(iter(found.values()))}
    roles: dict[str, Value] = {}
    for name, value in found.items():
        role = ROLES.get(name.lower())
        if role in roles:
            raise DataError(f"{origin}: more than one {role} split among {', '.join(found)}; keep one")
        if role is not None:
            roles[role] = value
    if "train" not in roles:
        raise DataError(f"{origin}: no train split among {', '.join(found) or 'no splits'}; name one of them train")
    return {role: roles[role] for role in ("train", "validation", "test") if role in roles}


def without_hidden_labels(splits: Mapping[str, Table], label_column: str | None) -> dict[str, Table]:
    """Leave out validation and test splits whose labels are all withheld (-1 or nothing), as benchmarks do."""
    return {role: table for role, table in splits.items() if role == "train" or not _hidden(table, label_column)}


def _hidden(table: Table, label_column: str | None) -> bool:
    column = table.columns.get(label_column or "label", [0])
    return all(value in HIDDEN for value in column)
