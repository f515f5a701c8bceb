"""The labelled rows of a study in a file beside its trials' predictions, for those who look at them later."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from automl.errors import DataError
from automl.records import SPLITS, Splits

FOLDER = "folder"  # study fact: where its files are, on the machine that searched
ROWS = "rows.jsonl"  # in that folder


@dataclass(frozen=True)
class LabelledRows:
    """Every labelled row in its order. The fold holds it out; below 0 none does.

    `places` are where the user has it: the row of its table, from 0. Older studies do not tell these, nor groups.
    """

    texts: Sequence[str]
    labels: np.ndarray  # [rows] ids
    folds: np.ndarray  # [rows]
    label_names: Sequence[str]
    groups: np.ndarray | None = None  # [rows]: of rows that belong together
    places: np.ndarray | None = None  # [rows]
    splits: Sequence[str] | None = None  # which of the user's files they are in

    def take(self, index: np.ndarray) -> LabelledRows:
        """These rows, in this order."""
        groups, places = (None if one is None else one[index] for one in (self.groups, self.places))
        splits = None if self.splits is None else [self.splits[place] for place in index]
        texts = [self.texts[place] for place in index]
        return LabelledRows(texts, self.labels[index], self.folds[index], self.label_names, groups, places, splits)

    @property
    def held_out(self) -> np.ndarray:
        """Places of the rows that some fold holds out."""
        return np.flatnonzero(self.folds >= 0)


def write_rows(path: Path, splits: Splits) -> None:
    """Write them whole or not at all, unless they are there: a study has but one set of rows."""
    if path.exists():
        return
    part = path.with_suffix(".part")
    with part.open("w", encoding="utf-8", errors="backslashreplace") as file:
        file.write(json.dumps({"labels": list(splits.label_names)}, ensure_ascii=False) + "\n")
        labelled = splits.labelled
        columns = {"text": labelled.inputs, "label": labelled.labels.tolist(), "fold": splits.folds.tolist()}
        if labelled.groups is not None:
            columns["group"] = labelled.groups.tolist()
        if labelled.origins is not None:
            columns["row"] = labelled.origins[:, 1].tolist()
            columns["split"] = [SPLITS[split] for split in labelled.origins[:, 0]]
        for row in zip(*columns.values(), strict=True):
            file.write(json.dumps(dict(zip(columns, row, strict=True)), ensure_ascii=False) + "\n")
    part.replace(path)


def read_rows(path: Path) -> LabelledRows:
    """What `write_rows` wrote. Raises DataError where it is not there, or is something else."""
    try:
        with path.open(encoding="utf-8") as file:
            head, *rows = map(json.loads, file)
        return LabelledRows(
            [str(row["text"]) for row in rows],
            np.array([row["label"] for row in rows], dtype=np.int64),
            np.array([row["fold"] for row in rows], dtype=np.int64),
            [str(name) for name in head["labels"]],
            _column(rows, "group"),
            _column(rows, "row"),
            [str(row["split"]) for row in rows] if rows and "split" in rows[0] else None,
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{path} cannot be read ({error}); it lies where the search ran: open the dashboard there"
        ) from None


def _column(rows: Sequence[Mapping[str, Any]], name: str) -> np.ndarray | None:
    return np.array([row[name] for row in rows], dtype=np.int64) if rows and name in rows[0] else None
