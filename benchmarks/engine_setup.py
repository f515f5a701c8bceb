"""What the benchmark of the training engine trains: how much of it, which texts, which model."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from automl.data.batches import encode
from automl.data.splits import Choices, make_splits
from automl.models import checkpoint
from automl.records import Encoded, Rows, Splits
from automl.tasks import sources
from automl.tasks.kinds import kind_of

KIND = "classification"
MAX_LENGTH = 128  # tokens
BATCH_SIZE = 16
CORES = len(os.sched_getaffinity(0))


@dataclass(frozen=True)
class Scale:
    """How much is measured: what the figures are made with, and what only shows that everything runs."""

    train_rows: int = 800
    validation_rows: int = 200
    test_rows: int | None = None  # None: all
    repetitions: int = 3
    processes: int = CORES  # 0: all in this process
    epochs: int = 3
    frozen_epochs: int = 5
    head_trials: int = 200
    matmul_width: int = 2048
    matmul_seconds: float = 2.0
    cost_rows: tuple[int, ...] = (100, 300, 1000, 3000, 10000)
    cost_steps: int = 64
    cost_repetitions: int = 2
    cost_tokens: tuple[int, ...] = (16, 32, 64, 128, 256)
    tokens_a_point: int = 32768
    accuracy_seeds: int = 5
    accuracy_epochs: int = 4


QUICK = Scale(
    train_rows=48,
    validation_rows=16,
    test_rows=32,
    repetitions=1,
    epochs=1,
    frozen_epochs=2,
    head_trials=6,
    matmul_width=256,
    matmul_seconds=0.05,
    cost_rows=(32, 64, 96),
    cost_steps=2,
    cost_repetitions=1,
    cost_tokens=(8, 16, 32),
    tokens_a_point=512,
    accuracy_seeds=2,
    accuracy_epochs=1,
)


@dataclass(frozen=True)
class Task:
    """Texts of one task, and the model that is trained on them."""

    name: str
    splits: Splits
    model: checkpoint.Checkpoint
    scale: Scale

    @property
    def train(self) -> Rows:
        return _first(self.splits.parts(0)[0], self.scale.train_rows)

    @property
    def validation(self) -> Rows:
        return _first(self.splits.held_out(0), self.scale.validation_rows)

    @property
    def test(self) -> Rows:
        return _first(self.splits.test, self.scale.test_rows)

    @property
    def depth(self) -> int:
        """Encoder layers."""
        return checkpoint.depth(self.model)

    @property
    def max_positions(self) -> int:
        """Longest text that the model can read, in tokens."""
        return checkpoint.max_positions(self.model)

    @property
    def max_length(self) -> int:
        """Tokens at which texts are cut."""
        return min(MAX_LENGTH, self.max_positions)

    @cached_property
    def tokenizer(self) -> Any:
        return checkpoint.load_tokenizer(self.model)

    @property
    def all_texts(self) -> tuple[str, ...]:
        """Texts of every split."""
        return self.splits.labelled.inputs + self.splits.test.inputs


def read_task(source: str, model: checkpoint.Checkpoint, scale: Scale) -> Task:
    """A folder or file of labelled texts, or a task that the product knows by name."""
    raw = replace(sources.load(source), train_size=None)  # all of its rows
    return Task(raw.name, make_splits(raw, kind_of(raw.kind), Choices(folds=1)), model, scale)


def encoded(task: Task, rows: Rows, max_length: int | None = None) -> Encoded:
    """Tokenised as the product does it."""
    return encode(task.tokenizer, rows.inputs, rows.labels, max_length or task.max_length)


def _first(rows: Rows, count: int | None) -> Rows:
    return Rows(rows.inputs[:count], rows.labels[:count])


def report(line: str) -> None:
    """Progress, for whoever waits."""
    print(line, file=sys.stderr, flush=True)
