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
    kept: list[int]  # the places in the table that the inputs had


@dataclass(frozen=True)
class LossRecipe:
    """How a trial weighs its rows and targets; a kind applies what has a meaning for it."""

    label_smoothing: float = 0.0  # share of the target spread over all labels
    focal_gamma: float = 0.0  # 0: every row counts the same, however right it is already
    label_weights: torch.Tensor | None = None  # [labels] float32; None: every label counts the same


PLAIN = LossRecipe()


class Kind(Protocol):
    """One kind of task: its columns, labels, model class, loss and metric."""

    name: str
    metrics: tuple[str, ...]  # what its models can be chosen by, by the names of `automl.metrics`
    metric: str  # what they are chosen by
    auto_class: str  # the class of transformers that holds such a model
    pipeline: str  # the pipeline of transformers that runs it

    def by(self, metric: str) -> Kind:
        """The same kind, chosen by one of its other metrics."""
        ...

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

    def loss(self, logits: torch.Tensor, labels: torch.Tensor, recipe: LossRecipe = PLAIN) -> torch.Tensor:
        """Mean loss of a batch; logits [batch, labels], labels [batch], or [batch, labels] probabilities."""
        ...

    def divergence(self, one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        """How far two predictions for the same rows are apart, symmetric, 0 where equal; both [batch, labels]."""
        ...

    def predict(self, logits: np.ndarray) -> np.ndarray:
        """Predictions in the form of the labels; logits [rows, labels]."""
        ...
