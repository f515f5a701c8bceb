"""A worker runs any technique, leaves what its model can be built from, and tries once more where that may help."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from automl.data.batches import encode
from automl.export.folder import build_model
from automl.models import checkpoint
from automl.params import Params
from automl.records import Rows, Splits
from automl.tasks.kinds import kind_of
from automl.training import worker as worker_module
from automl.training.data import StudyData, TrainingData
from automl.training.keep import read_logits
from automl.training.loop import TrainingDiverged, predict_logits
from automl.training.techniques import Trainer
from automl.training.worker import TrialWorker, WorkerSetup
from tests.tiny import make_rows
from tests.training.conftest import LABELS, TINY, TRAIN

KIND = kind_of("classification")
FAST = {"learning_rate": 5e-3, "num_train_epochs": 3, "per_device_train_batch_size": 8}
PLAIN_TECHNIQUES = ("fine_tuning", "lora", "ia3", "bitfit", "prompt_tuning", "prefix_tuning")


@pytest.fixture(scope="module")
def worker(setup: WorkerSetup) -> TrialWorker:
    return TrialWorker(setup)


def end(worker: TrialWorker, params: dict[str, Any], number: int = 0, fold: int | None = 0) -> dict[str, Any]:
    *reports, last = worker.run(number, TINY, {**FAST, **params}, seed=0, fold=fold)
    assert last["final"]
    assert not any(report.get("final") for report in reports)
    return last


def score(model: Any, found: checkpoint.Checkpoint, data: TrainingData) -> float:
    logits = predict_logits(model, data.rows, 0, data.held_out)  # the full vocabulary's token ids
    return float(np.mean(KIND.predict(logits) == data.rows.labels[data.held_out]))


def built(found: checkpoint.Checkpoint, params: dict[str, Any], last: dict[str, Any]) -> Any:
    nothing = Rows((), np.zeros(0, np.int64))
    splits = Splits(nothing, np.zeros(0, np.int64), nothing, LABELS, "")  # only the names are used
    path = Path(last["checkpoint"])
    return build_model(found, KIND, splits, Params(**params), path, last["checkpoint_sha256"], 1)


@pytest.mark.parametrize("technique", PLAIN_TECHNIQUES)
def test_what_a_trial_leaves_is_the_model_that_was_measured(
    worker: TrialWorker, found: checkpoint.Checkpoint, data: TrainingData, technique: str
) -> None:
    params = {**FAST, "technique": technique, "frozen_layers": 1, "num_virtual_tokens": 4, "reinitialized_layers": 1}
    last = end(worker, params)
    assert last["cached_layers"] == (0 if technique.endswith("_tuning") and technique != "fine_tuning" else 1)
    assert score(built(found, params, last), found, data) == last["value"]


def test_a_trial_leaves_no_trace_in_the_next(worker: TrialWorker) -> None:
    first = end(worker, {"frozen_layers": 1})
    for params in ({"technique": "lora"}, {"hidden_dropout_prob": 0.5}, {"technique": "contrastive"}, {"mixout": 0.5}):
        end(worker, params)
    again = end(worker, {"frozen_layers": 1})
    assert (again["value"], again["checkpoint_sha256"]) == (first["value"], first["checkpoint_sha256"])


@pytest.mark.parametrize("recipe", [{"mixout": 0.5}, {"pretrained_decay": 0.5}])
def test_a_head_has_no_pretrained_values_however_it_was_drawn_when_the_model_was_loaded(
    setup: WorkerSetup, recipe: dict[str, float]
) -> None:
    ends = []
    for seed in (0, 1):  # 0 is the trial's seed too: the head that it draws is the one that was loaded
        torch.manual_seed(seed)
        ends.append(end(TrialWorker(setup), {**recipe, "num_train_epochs": 1})["checkpoint_sha256"])
    assert ends[0] == ends[1]


@pytest.mark.parametrize("technique", ["fine_tuning", "features", "contrastive"])
def test_a_trial_leaves_what_it_said_of_the_held_out_rows(
    worker: TrialWorker, data: TrainingData, technique: str
) -> None:
    last = end(worker, {"technique": technique})
    assert "logits" not in last, "a record holds no arrays"
    logits = read_logits(Path(last["predictions"]), last["predictions_sha256"])
    assert logits.shape == (len(data.held_out), 2)
    assert np.mean(KIND.predict(logits) == data.rows.labels[data.held_out]) == last["value"]


@pytest.mark.parametrize("technique", ["fine_tuning", "lora", "features", "contrastive"])
def test_every_row_can_be_trained_on(worker: TrialWorker, study_data: StudyData, technique: str) -> None:
    last = end(worker, {"technique": technique, "frozen_layers": 1, "num_train_epochs": 1}, number=9, fold=None)
    assert last["value"] is None
    assert last["train_examples"] == len(study_data.folds)
    assert read_logits(Path(last["predictions"]), last["predictions_sha256"]).shape == (0, 2)


def test_an_order_names_the_work_and_is_answered_with_its_end(worker: TrialWorker) -> None:
    trial = {"job": "trial", "number": 4, "model": TINY, "params": FAST, "seed": 0, "fold": 0}
    *reports, last = worker.work(trial)
    assert [report["step"] for report in reports] == [1, 2, 4, 6, 8]
    assert last["final"]
    path, sha256 = last["checkpoint"], last["checkpoint_sha256"]
    (said,) = worker.work({"job": "answer", "number": 4, "model": TINY, "params": FAST, "path": path, "sha256": sha256})
    assert said["final"]
    committee = [(said["answers"], said["answers_sha256"])]
    lesson = {
        "job": "teach",
        "name": "student",
        "model": TINY,
        "params": FAST,
        "committee": committee,
        "seed": 0,
        "fold": 0,
    }
    (learned,) = worker.work(lesson)
    assert learned["final"]
    assert learned["value"] > 0.65  # as tiny as it is, from random weights
    assert Path(learned["checkpoint"]).name == "lesson-student.safetensors"


def test_a_loss_that_is_no_number_is_tried_again_in_float32(
    setup: WorkerSetup, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = TrialWorker(replace(setup, precision="bfloat16"))
    train, tried = Trainer.train, []

    def overflowing(self: Trainer, *args: Any, precision: str, **options: Any) -> Iterator[Any]:
        tried.append(precision)
        if precision == "bfloat16":
            raise TrainingDiverged("the training loss is nan")
        yield from train(self, *args, precision=precision, **options)

    monkeypatch.setattr(Trainer, "train", overflowing)
    assert end(worker, {})["precision"] == "float32"
    assert tried == ["bfloat16", "float32"]


def test_a_lesson_whose_loss_is_no_number_is_tried_again_in_float32(
    setup: WorkerSetup, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = TrialWorker(replace(setup, precision="bfloat16"))
    teach, tried = worker_module.teach, []

    def overflowing(*args: Any, precision: str, **options: Any) -> Iterator[Any]:
        tried.append(precision)
        if precision == "bfloat16":
            raise TrainingDiverged("the training loss is nan")
        yield from teach(*args, precision=precision, **options)

    monkeypatch.setattr(worker_module, "teach", overflowing)
    learned = worker.teach("student", TINY, FAST, committee=[], seed=0, fold=0)
    assert (learned["precision"], tried) == ("float32", ["bfloat16", "float32"])


def test_a_loss_that_is_no_number_in_float32_either_is_the_trials_end(setup: WorkerSetup) -> None:
    worker = TrialWorker(replace(setup, precision="bfloat16"))
    base = worker._base(TINY, "pretrained")
    with torch.no_grad():
        base.model.get_input_embeddings().weight.fill_(float("nan"))
    with pytest.raises(TrainingDiverged, match="training loss is nan"):
        list(worker.run(0, TINY, FAST, seed=0))


def no_room_for(rows: int, model: Any) -> None:
    """Let torch's own allocator fail where more rows than these come in at once in training."""

    def ask(module: Any, args: Any, features: dict[str, torch.Tensor]) -> None:
        if module.training and len(features["attention_mask"]) > rows:
            torch.empty(2**58)

    model.base_model.register_forward_pre_hook(ask, with_kwargs=True)


def test_a_batch_that_does_not_fit_is_halved_once(setup: WorkerSetup) -> None:
    worker = TrialWorker(setup)
    no_room_for(4, worker._base(TINY, "pretrained").model)
    last = end(worker, {})
    assert last["accumulation"] == 2
    assert last["train_examples"] == 3 * TRAIN
    with pytest.raises(RuntimeError, match="DefaultCPUAllocator"):
        end(worker, {"per_device_train_batch_size": 16})


def test_another_error_is_not_taken_for_a_lack_of_memory(setup: WorkerSetup) -> None:
    worker = TrialWorker(setup)
    calls = []

    def fail(*_: Any) -> None:
        calls.append(1)
        raise RuntimeError("something else")

    worker._base(TINY, "pretrained").model.classifier.register_forward_pre_hook(fail)
    with pytest.raises(RuntimeError, match="something else"):
        end(worker, {})
    assert len(calls) == 1


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_features_are_computed_once_for_all_workers(
    setup: WorkerSetup, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    setup = replace(setup, cache=tmp_path / "cache", precision=precision)
    params = {"technique": "features", "feature_source": "concat_last_four"}
    first = end(TrialWorker(setup), params)
    monkeypatch.setattr("automl.training.techniques.pooled_states", None)  # would be called
    assert end(TrialWorker(setup), params)["value"] == first["value"]
    for head in ("mlp", "knn"):
        assert end(TrialWorker(setup), {**params, "feature_head": head})["value"] > 0.6


def test_a_text_reads_the_same_to_worker_and_export(found: checkpoint.Checkpoint) -> None:
    tokenizer = checkpoint.load_tokenizer(found)
    texts = [row["text"] for row in make_rows(5)]
    encoded = encode(tokenizer, texts, np.zeros(5, dtype=np.int64), 32)
    assert encoded.lengths.tolist() == [len(tokenizer(text)["input_ids"]) for text in texts]
