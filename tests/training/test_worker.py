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
from automl.models import checkpoint, vocabulary
from automl.params import Params
from automl.records import Splits
from automl.tasks.kinds import kind_of
from automl.training.data import TrainingData
from automl.training.distillation import NOT_EXPRESSIBLE, STUDENT
from automl.training.loop import TrainingDiverged, predict_logits
from automl.training.techniques import Trainer
from automl.training.worker import TrialWorker, WorkerSetup
from tests.tiny import make_rows
from tests.training.conftest import LABELS

KIND = kind_of("classification")
FAST = {"learning_rate": 5e-3, "num_train_epochs": 3, "per_device_train_batch_size": 8}
PLAIN_TECHNIQUES = ("fine_tuning", "lora", "ia3", "bitfit", "prompt_tuning", "prefix_tuning")


@pytest.fixture(scope="module")
def setup(found: checkpoint.Checkpoint, data: TrainingData, tmp_path_factory: pytest.TempPathFactory) -> WorkerSetup:
    used = vocabulary.used_tokens([data.rows], 0)
    folder = tmp_path_factory.mktemp("trials")
    return WorkerSetup(
        weights={"pretrained": found},
        kind="classification",
        label_names=LABELS,
        data=replace(data, rows=vocabulary.renumber(data.rows, used)),
        used_tokens=used,
        checkpoints=folder,
        threads=1,
        device="cpu",
        text_start=1,
        cache=folder / "cache",
        precision="float32",
    )


@pytest.fixture(scope="module")
def worker(setup: WorkerSetup) -> TrialWorker:
    return TrialWorker(setup)


def end(worker: TrialWorker, params: dict[str, Any], number: int = 0) -> dict[str, Any]:
    *reports, last = worker.run(number, {**FAST, **params}, seed=0)
    assert last["final"]
    assert not any(report.get("final") for report in reports)
    return last


def score(model: Any, found: checkpoint.Checkpoint, data: TrainingData) -> float:
    logits = predict_logits(model, data.rows, 0, data.validation)  # the full vocabulary's token ids
    return float(np.mean(KIND.predict(logits) == data.rows.labels[data.validation]))


def built(found: checkpoint.Checkpoint, params: dict[str, Any], last: dict[str, Any]) -> Any:
    splits = Splits(None, None, None, LABELS, "")  # type: ignore[arg-type]  # only the names are used
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


@pytest.mark.parametrize("technique", NOT_EXPRESSIBLE)
def test_what_transformers_cannot_express_is_taught_to_what_it_can(
    worker: TrialWorker, found: checkpoint.Checkpoint, data: TrainingData, technique: str
) -> None:
    params = {**FAST, "technique": technique, "feature_source": "all", "augmentation": "typos"}
    teacher = end(worker, params)
    path = Path(teacher["checkpoint"])
    student = worker.distil(0, params, path, teacher["checkpoint_sha256"], seed=0)
    assert student["checkpoint"] != teacher["checkpoint"]
    assert score(built(found, STUDENT.model_dump(), student), found, data) == student["value"]
    assert student["value"] > 0.65  # as tiny as it is, from random weights


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


def test_a_loss_that_is_no_number_in_float32_either_is_the_trials_end(setup: WorkerSetup) -> None:
    worker = TrialWorker(replace(setup, precision="bfloat16"))
    base = worker._base("pretrained")
    with torch.no_grad():
        base.model.get_input_embeddings().weight.fill_(float("nan"))
    with pytest.raises(TrainingDiverged, match="training loss is nan"):
        list(worker.run(0, FAST, 0))


def no_room_for(rows: int, model: Any) -> None:
    """Let torch's own allocator fail where more rows than these come in at once in training."""

    def ask(module: Any, args: Any, features: dict[str, torch.Tensor]) -> None:
        if module.training and len(features["attention_mask"]) > rows:
            torch.empty(2**58)

    model.base_model.register_forward_pre_hook(ask, with_kwargs=True)


def test_a_batch_that_does_not_fit_is_halved_once(setup: WorkerSetup) -> None:
    worker = TrialWorker(setup)
    no_room_for(4, worker._base("pretrained").model)
    last = end(worker, {})
    assert last["accumulation"] == 2
    assert last["train_examples"] == 3 * len(setup.data.train)
    with pytest.raises(RuntimeError, match="DefaultCPUAllocator"):
        end(worker, {"per_device_train_batch_size": 16})


def test_another_error_is_not_taken_for_a_lack_of_memory(setup: WorkerSetup) -> None:
    worker = TrialWorker(setup)
    calls = []

    def fail(*_: Any) -> None:
        calls.append(1)
        raise RuntimeError("something else")

    worker._base("pretrained").model.classifier.register_forward_pre_hook(fail)
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
