"""What the benchmark of the search compares on: the rows of each cell, and the test rows that nobody may learn from."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from automl.texts import normalised

SIZES = ((1000, 300.0), (100, 120.0))  # training rows, seconds a run
QUICK_SIZES = ((40, 40.0),)  # they only show that it runs
UNUSED = 2000  # at most, of the training rows that a run did not get
ROWS_A_LABEL = 2  # at least: every competitor cuts validation rows from its own

Row = dict[str, str]


@dataclass(frozen=True)
class Cell:
    """A task, how many of its rows there are to learn from, and for how many seconds.

    Args:
        data: a folder with train.jsonl and test.jsonl, of "text" and "label"; anything else in it is not read.
    """

    data: Path
    rows: int
    limit: float

    @property
    def name(self) -> str:
        return f"{self.data.name}-{self.rows}"


def make_cells(folders: Sequence[Path], sizes: Sequence[tuple[int, float]]) -> list[Cell]:
    """Every folder at every size, larger sizes first."""
    return [Cell(folder, rows, limit) for rows, limit in sizes for folder in folders]


def read_rows(file: Path) -> list[Row]:
    """Text and label of each line."""
    with file.open(encoding="utf-8") as lines:
        return [{name: row[name] for name in ("text", "label")} for row in map(json.loads, lines)]


def write_rows(file: Path, rows: Sequence[Row]) -> None:
    """One JSON object a line; the folder is made."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def subsample(cell: Cell, seed: int) -> list[Row]:
    """The training rows of one run, in proportion to the labels, the same for every competitor.

    Texts that stand in the test rows, and repeated ones, are left out first: some competitors would drop them, others
    would learn them.
    """
    pool = _pool(cell)
    labels = np.array([row["label"] for row in pool])
    rng = np.random.default_rng([seed, cell.rows])
    chosen = [
        rng.permutation(np.flatnonzero(labels == label))[:count]
        for label, count in shares(Counter(labels.tolist()), cell.rows).items()
    ]
    return [pool[index] for index in rng.permutation(np.concatenate(chosen))]


def unused(cell: Cell, rows: Sequence[Row], seed: int) -> list[Row]:
    """Training rows that a run did not get, drawn as those were: what its estimate speaks of.

    Test rows are often of another kind than training rows. What a search says of unseen rows it can only say of rows
    like its own.
    """
    used = {normalised(row["text"]) for row in rows}
    rest = [row for row in _pool(cell) if normalised(row["text"]) not in used]
    return [rest[index] for index in np.random.default_rng([seed, len(rest)]).permutation(len(rest))[:UNUSED]]


def shares(counts: Mapping[str, int], rows: int) -> dict[str, int]:
    """How many of `rows` each label gets: in proportion, by largest remainder, and at least two.

    Raises:
        ValueError: there are too few rows for that.
    """
    if rows > sum(counts.values()) or rows < ROWS_A_LABEL * len(counts) or min(counts.values()) < ROWS_A_LABEL:
        raise ValueError(f"{rows} rows of {len(counts)} labels cannot be drawn from {dict(counts)}")
    exact = {label: rows * count / sum(counts.values()) for label, count in sorted(counts.items())}
    given = {label: max(ROWS_A_LABEL, int(share)) for label, share in exact.items()}
    while (left := rows - sum(given.values())) != 0:
        step = 1 if left > 0 else -1
        free = [label for label in given if given[label] + step in range(ROWS_A_LABEL, counts[label] + 1)]
        label = max(free, key=lambda name: step * (exact[name] - given[name]))
        given[label] += step
    return given


def fingerprint(*parts: object) -> str:
    """Changes with whatever changes a run's outcome but is not told by its record."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:12]


def _pool(cell: Cell) -> list[Row]:
    """The training rows, each once, without those of the test rows."""
    seen = {normalised(row["text"]) for row in read_rows(cell.data / "test.jsonl")}
    pool: list[Row] = []
    for row in read_rows(cell.data / "train.jsonl"):
        if normalised(row["text"]) not in seen:
            seen.add(normalised(row["text"]))
            pool.append(row)
    return pool
