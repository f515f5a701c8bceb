"""A tiny pretrained model and a task that it can learn, for every test of the training engine."""

from __future__ import annotations

import numpy as np
import pytest

from automl.data.augment import Resources, make_copies
from automl.data.batches import encode
from automl.models import checkpoint
from automl.training.data import TrainingData
from tests.tiny import make_model, make_rows

LABELS = ("negative", "positive")
TRAIN, VALIDATION = 120, 60


@pytest.fixture(scope="session")
def found(tmp_path_factory: pytest.TempPathFactory) -> checkpoint.Checkpoint:
    """A BERT of three layers with 500 words that no text has."""
    return checkpoint.resolve(str(make_model(tmp_path_factory.mktemp("model"), extra_words=500)))


@pytest.fixture(scope="session")
def data(found: checkpoint.Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> TrainingData:
    """120 training rows, 60 validation rows, and two copies of the training rows with typing errors."""
    rows = make_rows(TRAIN + VALIDATION)
    texts = [row["text"] for row in rows]
    copies = make_copies(texts[:TRAIN], "typos", 2, 0, Resources(), tmp_path_factory.mktemp("copies"))
    labels = np.array([LABELS.index(row["label"]) for row in rows])
    encoded = encode(
        checkpoint.load_tokenizer(found),
        [*texts, *copies[0], *copies[1]],
        np.concatenate([labels, labels[:TRAIN], labels[:TRAIN]]),
        32,
    )
    numbers = np.arange(len(encoded))
    return TrainingData(
        encoded,
        numbers[:TRAIN],
        numbers[TRAIN : TRAIN + VALIDATION],
        0,
        {"typos": numbers[TRAIN + VALIDATION :].reshape(2, TRAIN)},
    )
