"""What every trial of a study trains and is compared on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from automl.metrics import METRICS
from automl.params import Params
from automl.records import Encoded
from automl.tasks.kinds import Kind


@dataclass(frozen=True)
class TrainingData:
    """Every text of a study once, and by row number which of them one training sees and which it is judged on.

    Whatever is computed for a text (see `cache`) is so shared between trials, however they combine the rows.
    """

    rows: Encoded
    train: np.ndarray  # [training rows] int64
    held_out: np.ndarray  # [held-out rows] int64; empty where a model is made to be shipped
    pad_token_id: int
    copies: Mapping[str, np.ndarray] = field(default_factory=dict)  # augmentation -> [copies, training rows] int64
    unlabelled: np.ndarray = field(default_factory=lambda: np.arange(0))  # [further rows]: of a lesson, never a trial

    def training_rows(self, params: Params) -> np.ndarray:
        """Numbers of the rows to train on: the training rows, their altered copies if any are wanted, further ones."""
        copies = () if params.augmentation == "none" else self.copies[params.augmentation][: params.augmentation_copies]
        return np.concatenate([self.train, *copies, self.unlabelled])

    def judge(self, kind: Kind, logits: np.ndarray) -> tuple[float | None, float | None]:
        """Value (the kind's metric, higher is better) and mean loss of the held-out rows; None where there are none.

        Args:
            logits: [held-out rows, labels].
        """
        import torch

        if not len(self.held_out):
            return None, None
        labels = self.rows.labels[self.held_out]
        loss = float(kind.loss(torch.from_numpy(logits), torch.from_numpy(labels)))
        return METRICS[kind.metric](labels, kind.predict(logits)), loss


@dataclass(frozen=True)
class StudyData:
    """Every text of a study once: the labelled rows first, then their altered copies, last those without a label."""

    rows: Encoded
    folds: np.ndarray  # [labelled rows] int64, as `records.Splits` has them
    pad_token_id: int
    copies: Mapping[str, np.ndarray] = field(default_factory=dict)  # augmentation -> [copies, labelled rows] int64
    unlabelled: int = 0  # rows at the end whose label is not read

    @property
    def trial_rows(self) -> np.ndarray:
        """Numbers of the rows that trials see."""
        return np.arange(len(self.rows) - self.unlabelled)

    @property
    def unlabelled_rows(self) -> np.ndarray:
        """Numbers of the others."""
        return np.arange(len(self.rows) - self.unlabelled, len(self.rows))

    def fold(self, number: int | None) -> TrainingData:
        """What one fold trains on and holds out; None trains on every labelled row."""
        train = np.arange(len(self.folds)) if number is None else np.flatnonzero(self.folds != number)
        held_out = np.arange(0) if number is None else np.flatnonzero(self.folds == number)
        copies = {name: made[:, train] for name, made in self.copies.items()}
        return TrainingData(self.rows, train, held_out, self.pad_token_id, copies)

    def lesson(self, number: int | None) -> TrainingData:
        """What a student learns from: the rows of the fold, and those without a label."""
        return replace(self.fold(number), unlabelled=self.unlabelled_rows)
