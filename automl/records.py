"""The frozen values that travel between modules. No behaviour beyond what a value can say of itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Table:
    """Rows as they were read: column name -> values, all of one length.

    `label_names` is set only where the source itself names its integer labels (a `datasets` ClassLabel).
    """

    columns: Mapping[str, list[Any]]
    origin: str
    label_names: tuple[str, ...] | None = None

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), []))


@dataclass(frozen=True)
class RawTask:
    """What a source gave: one table a split, before any row was checked.

    `splits` has the key "train" and may have "validation" and "test". `stand_in` is a sentence for the user where this
    data stands in for what was asked; it is None otherwise. `train_size` is the named task's own default (rows).
    """

    name: str
    splits: Mapping[str, Table]
    source: str
    text_column: str | None = None
    label_column: str | None = None
    stand_in: str | None = None
    train_size: int | None = None
    licence: str | None = None
    kind: str = "classification"
    metric: str | None = None  # what a named task is usually judged by; None: what its kind is


SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Rows:
    """Inputs of one split and their encoded labels (`labels[i]` belongs to `inputs[i]`)."""

    inputs: tuple[str, ...]
    labels: np.ndarray  # [rows], int64 for classification
    groups: np.ndarray | None = None  # [rows] int64: rows that belong together, such as those of one author
    origins: np.ndarray | None = None  # [rows, 2] int64: place in SPLITS, and row of its table as it was given

    def __len__(self) -> int:
        return len(self.inputs)

    def take(self, index: np.ndarray) -> Rows:
        """These rows, in this order."""
        further = (None if one is None else one[index] for one in (self.groups, self.origins))
        return Rows(tuple(self.inputs[i] for i in index), self.labels[index], *further)

    def joined(self, other: Rows) -> Rows:
        """These rows, then the others."""
        pairs = ((self.groups, other.groups), (self.origins, other.origins))
        further = (None if one is None or two is None else np.concatenate([one, two]) for one, two in pairs)
        return Rows(self.inputs + other.inputs, np.concatenate([self.labels, other.labels]), *further)


@dataclass(frozen=True)
class Splits:
    """The data of one study. `test` is looked at once, after the winner is chosen."""

    labelled: Rows  # what models are trained on, and compared on where they have not seen it
    folds: np.ndarray  # [labelled rows] int64: the fold that holds a row out; below 0 it is always trained on
    test: Rows
    label_names: tuple[str, ...]
    fingerprint: str
    dropped: Mapping[str, int] = field(default_factory=dict)
    repeated: Rows = Rows((), np.zeros(0, np.int64))  # left out, for a labelled row has the same text

    @property
    def n_folds(self) -> int:
        """1 is a single held-out part."""
        return int(self.folds.max()) + 1

    def parts(self, fold: int) -> tuple[Rows, Rows]:
        """What is trained on, and what is held out, in one fold."""
        return self.labelled.take(np.flatnonzero(self.folds != fold)), self.held_out(fold)

    def held_out(self, fold: int) -> Rows:
        """What a model of this fold does not see."""
        return self.labelled.take(np.flatnonzero(self.folds == fold))


@dataclass(frozen=True)
class Encoded:
    """Token features of many rows, concatenated; row i is [starts[i]:starts[i + 1]]. Shared between processes as is."""

    features: Mapping[str, np.ndarray]  # name (input_ids, …) -> [all tokens] int32
    starts: np.ndarray  # [rows + 1] int64
    labels: np.ndarray  # [rows]
    pad_left: bool = False  # batches are padded before the text, for models that read their answer off its end (XLNet)

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def lengths(self) -> np.ndarray:
        """Tokens a row, [rows]."""
        return np.diff(self.starts)


@dataclass(frozen=True)
class Report:
    """One evaluation point of a running trial. `step` of `steps` is its place in the trial's own schedule."""

    step: int
    steps: int
    value: float | None  # None where no row is held out
    loss: float | None
    train_loss: float
    examples_per_second: float
    resumed_step: int = 0  # where the training went on from the state of one that was stopped; 0: it began anew


@dataclass(frozen=True)
class TrialResult:
    """How a training ended: what the step that it kept says of the held-out rows, and what it cost."""

    value: float | None
    loss: float | None
    logits: np.ndarray  # [held-out rows, labels] float32
    best_step: int
    seconds: float
    train_examples: int
    examples_per_second: float
    precision: str
    cached_layers: int = 0  # frozen layers whose outputs came from the cache
    accumulation: int = 1  # parts that each batch was computed in, to fit into memory
    resumed_step: int = 0  # as in `Report`


class State(str, Enum):
    """States of a trial, by Optuna's names."""

    WAITING = "WAITING"
    RUNNING = "RUNNING"
    COMPLETE = "COMPLETE"
    PRUNED = "PRUNED"
    FAIL = "FAIL"


@dataclass(frozen=True)
class Trial:
    """A trial as the study has it: `facts` are seed, versions, cost, checkpoint and the like, times the database's."""

    number: int
    state: State
    params: Mapping[str, Any]
    value: float | None
    intermediate: Mapping[int, float]
    facts: Mapping[str, Any]
    started: datetime | None = None
    ended: datetime | None = None


@dataclass(frozen=True)
class Score:
    """A metric's value with its 95 % interval over `rows` rows."""

    value: float
    low: float
    high: float
    rows: int
