"""What every trial of a study trains and is compared on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from automl.params import Params
from automl.records import Encoded


@dataclass(frozen=True)
class TrainingData:
    """Every text of a study once, and by row number which of them are trained on and which compare trials.

    Whatever is computed for a text (see `cache`) is so shared between trials, however they combine the rows.
    """

    rows: Encoded
    train: np.ndarray  # [training rows] int64
    validation: np.ndarray  # [validation rows] int64
    pad_token_id: int
    copies: Mapping[str, np.ndarray] = field(default_factory=dict)  # augmentation -> [copies, training rows] int64

    def training_rows(self, params: Params) -> np.ndarray:
        """Numbers of the rows that a trial trains on: the training rows and their altered copies, if it wants any."""
        if params.augmentation == "none":
            return self.train
        return np.concatenate([self.train, *self.copies[params.augmentation][: params.augmentation_copies]])
