"""A worker with two encoders: each trains, answers and teaches as it does alone, with its own words and depth."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from automl.data.batches import encode
from automl.export.folder import build_model
from automl.models import checkpoint
from automl.params import Params
from automl.records import Rows, Splits
from automl.tasks.kinds import kind_of
from automl.training.data import StudyData
from automl.training.keep import read_logits
from automl.training.loop import predict_logits
from automl.training.worker import BackboneSetup, TrialWorker, WorkerSetup
from tests.tiny import make_model, make_rows
from tests.training.conftest import LABELS, TINY, backbone_setup

KIND = kind_of("classification")
FAST = {"learning_rate": 5e-3, "num_train_epochs": 3, "per_device_train_batch_size": 8}
DEEP = "deep"


@pytest.fixture(scope="module")
def deep(tmp_path_factory: pytest.TempPathFactory) -> checkpoint.Checkpoint:
    """Another model: deeper, wider, and with a vocabulary in which the same words have other numbers."""
    return checkpoint.resolve(str(make_model(tmp_path_factory.mktemp("deep"), layers=5, width=48, words_first=300)))


@pytest.fixture(scope="module")
def deep_data(deep: checkpoint.Checkpoint, study_data: StudyData) -> StudyData:
    """The same rows, as its tokenizer reads them."""
    rows = make_rows(len(study_data.folds))
    labels = study_data.rows.labels[: len(rows)]
    encoded = encode(checkpoint.load_tokenizer(deep), [row["text"] for row in rows], labels, 32)
    return replace(study_data, rows=encoded, copies={})


def a_worker(backbones: dict[str, BackboneSetup], folder: Path) -> TrialWorker:
    cache = folder / "cache"
    return TrialWorker(
        WorkerSetup(backbones, "classification", LABELS, folder, 1, "cpu", cache=cache, precision="float32")
    )


@pytest.fixture(scope="module")
def both(
    found: checkpoint.Checkpoint, study_data: StudyData, deep: checkpoint.Checkpoint, deep_data: StudyData
) -> dict[str, BackboneSetup]:
    return {TINY: backbone_setup(found, study_data), DEEP: backbone_setup(deep, deep_data)}


@pytest.fixture(scope="module")
def worker(both: dict[str, BackboneSetup], tmp_path_factory: pytest.TempPathFactory) -> TrialWorker:
    return a_worker(both, tmp_path_factory.mktemp("both"))


def end(worker: TrialWorker, model: str, params: dict[str, Any], number: int = 1) -> dict[str, Any]:
    return list(worker.run(number, model, params, seed=0))[-1]


@pytest.mark.parametrize("technique", ["fine_tuning", "features"])
@pytest.mark.parametrize("model", [TINY, DEEP])
def test_each_trains_as_it_does_alone(
    worker: TrialWorker, both: dict[str, BackboneSetup], tmp_path: Path, model: str, technique: str
) -> None:
    params = {**FAST, "technique": technique, "frozen_layers": 2}
    alone, beside = end(a_worker({model: both[model]}, tmp_path), model, params), end(worker, model, params)
    assert (beside["value"], beside["loss"]) == (alone["value"], alone["loss"])
    assert beside["cached_layers"] == (2 if technique == "fine_tuning" else 0)


def test_what_a_trial_leaves_is_a_model_of_its_own_vocabulary_and_depth(
    worker: TrialWorker, deep: checkpoint.Checkpoint, deep_data: StudyData
) -> None:
    last, nothing = end(worker, DEEP, FAST), Rows((), np.zeros(0, np.int64))
    splits = Splits(nothing, np.zeros(0, np.int64), nothing, LABELS, "")  # only the names are used
    model = build_model(deep, KIND, splits, Params(**FAST), Path(last["checkpoint"]), last["checkpoint_sha256"], 1)
    assert model.config.num_hidden_layers == 5
    held_out = deep_data.fold(0).held_out
    logits = predict_logits(model, deep_data.rows, 0, held_out)  # the full vocabulary's token ids
    assert np.mean(KIND.predict(logits) == deep_data.rows.labels[held_out]) == last["value"]


def test_a_committee_answers_and_teaches_with_its_own(worker: TrialWorker, deep_data: StudyData) -> None:
    last = end(worker, DEEP, FAST)
    said = worker.answer(1, DEEP, FAST, last["checkpoint"], last["checkpoint_sha256"])
    logits = read_logits(Path(said["answers"]), said["answers_sha256"])
    held_out = deep_data.fold(0).held_out
    assert np.mean(KIND.predict(logits[held_out]) == deep_data.rows.labels[held_out]) == last["value"]
    lesson = worker.teach("s", DEEP, FAST, [(said["answers"], said["answers_sha256"])], seed=0, fold=0)
    assert lesson["value"] > 0.65


def test_a_model_is_loaded_when_it_is_first_asked_for(both: dict[str, BackboneSetup], tmp_path: Path) -> None:
    worker = a_worker(both, tmp_path)
    assert list(worker._bases) == [(TINY, "pretrained")]
    end(worker, DEEP, {**FAST, "num_train_epochs": 1})
    assert list(worker._bases) == [(TINY, "pretrained"), (DEEP, "pretrained")]
