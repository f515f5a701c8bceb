"""A tiny pretrained model and a task that it can learn, for every test of the training engine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from automl.data.augment import Resources, make_copies
from automl.data.batches import encode
from automl.data.folds import ALWAYS_TRAINED
from automl.models import checkpoint, vocabulary
from automl.training.data import StudyData, TrainingData
from automl.training.worker import BackboneSetup, WorkerSetup
from tests.tiny import make_model, make_rows

LABELS = ("negative", "positive")
TRAIN, HELD_OUT = 120, 60
TINY = "tiny"  # what workers know the model by


@pytest.fixture(scope="session")
def found(tmp_path_factory: pytest.TempPathFactory) -> checkpoint.Checkpoint:
    """A BERT of three layers with 500 words that no text has."""
    return checkpoint.resolve(str(make_model(tmp_path_factory.mktemp("model"), extra_words=500)))


@pytest.fixture(scope="session")
def study_data(found: checkpoint.Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> StudyData:
    """180 labelled rows, of which fold 0 holds out the last 60, and two copies of each with typing errors."""
    rows = make_rows(TRAIN + HELD_OUT)
    texts = [row["text"] for row in rows]
    copies = make_copies(texts, "typos", 2, 0, Resources(), tmp_path_factory.mktemp("copies"))
    labels = np.array([LABELS.index(row["label"]) for row in rows])
    encoded = encode(
        checkpoint.load_tokenizer(found), [*texts, *copies[0], *copies[1]], np.concatenate([labels, labels, labels]), 32
    )
    folds = np.where(np.arange(len(rows)) < TRAIN, ALWAYS_TRAINED, 0)
    return StudyData(encoded, folds, 0, {"typos": np.arange(len(rows), len(encoded)).reshape(2, len(rows))})


@pytest.fixture(scope="session")
def data(study_data: StudyData) -> TrainingData:
    """The 120 rows that fold 0 trains on, with their copies, and the 60 that it holds out."""
    return study_data.fold(0)


def backbone_setup(found: checkpoint.Checkpoint, study_data: StudyData) -> BackboneSetup:
    """What a worker is told of a model whose tokenizer read these rows; 0 is its padding."""
    used = vocabulary.used_tokens([study_data.rows], 0)
    data = replace(study_data, rows=vocabulary.renumber(study_data.rows, used))
    return BackboneSetup({"pretrained": found}, data, used, text_start=1)


def setup_for(found: checkpoint.Checkpoint, study_data: StudyData, folder: Path) -> WorkerSetup:
    """A worker's, on that task with the words that occur."""
    return WorkerSetup(
        backbones={TINY: backbone_setup(found, study_data)},
        kind="classification",
        label_names=LABELS,
        checkpoints=folder,
        threads=1,
        device="cpu",
        cache=folder / "cache",
        precision="float32",
    )


@pytest.fixture(scope="module")
def setup(found: checkpoint.Checkpoint, study_data: StudyData, tmp_path_factory: pytest.TempPathFactory) -> WorkerSetup:
    """In a new folder, with fold 0 to hold out."""
    return setup_for(found, study_data, tmp_path_factory.mktemp("trials"))
