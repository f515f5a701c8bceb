"""What the rest of the package asks of a kind of task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from automl.records import Table

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class RawRows:
    """Usable rows of one table before labels are numbered; `dropped` counts the others by reason."""

    inputs: list[str]
    labels: list[Any]
    dropped: Mapping[str, int]


class Kind(Protocol):
    """One kind of task: its columns, labels, model class, loss and metric."""

    name: str
    metric: str
    auto_class: str  # the class of transformers that holds such a model
    pipeline: str  # the pipeline of transformers that runs it

    def find_columns(self, table: Table, text: str | None, label: str | None) -> tuple[str, str]:
        """Names of the input and label columns; raises DataError where that is ambiguous."""
        ...

    def read_rows(self, table: Table, columns: tuple[str, str]) -> RawRows:
        """Rows with a usable input and label."""
        ...

    def label_names(self, labels: Sequence[Any], origin: str) -> tuple[str, ...]:
        """Every label that occurs, in the order of their ids."""
        ...

    def encode_labels(self, labels: Sequence[Any], names: tuple[str, ...], origin: str) -> np.ndarray:
        """Label ids, [rows]; raises DataError for a label that is not among `names`."""
        ...

    def strata(self, labels: np.ndarray) -> np.ndarray:
        """A class per row, [rows], that splits keep in proportion."""
        ...

    def loss(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Mean loss of a batch; logits [batch, labels], labels [batch]."""
        ...

    def predict(self, logits: np.ndarray) -> np.ndarray:
        """Predictions in the form of the labels; logits [rows, labels]."""
        ...
