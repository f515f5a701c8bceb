"""The average of several models' weights takes in what it gains from, and leaves out what spoils it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from automl.models.shape import settled
from automl.params import Params
from automl.training.averaging import greedy_average, mean_tensors
from automl.training.distillation import restored
from automl.training.keep import read_tensors
from automl.training.loop import predict_logits
from automl.training.worker import TrialWorker, WorkerSetup
from tests.training.conftest import TINY

PARAMS = Params(learning_rate=5e-3, num_train_epochs=6, per_device_train_batch_size=8, frozen_layers=1)
Tensors = Mapping[str, torch.Tensor]


@pytest.fixture(scope="module")
def worker(setup: WorkerSetup) -> TrialWorker:
    return TrialWorker(setup)


@pytest.fixture(scope="module")
def ends(worker: TrialWorker) -> list[dict[str, Any]]:
    return [list(worker.run(seed, TINY, PARAMS.model_dump(), seed=seed, fold=0))[-1] for seed in (0, 1)]


@pytest.fixture(scope="module")
def models(ends: list[dict[str, Any]]) -> list[Tensors]:
    return [read_tensors(Path(end["checkpoint"]), end["checkpoint_sha256"])[0] for end in ends]


def average(worker: TrialWorker, models: list[Tensors]) -> Any:
    base = worker._base(TINY, "pretrained")
    return greedy_average(worker._trainers[TINY], base, PARAMS, models, fold=0, precision="float32")


def spoilt(model: Tensors) -> Tensors:
    return {name: -3 * tensor for name, tensor in model.items()}


def test_equal_models_are_their_own_average_and_all_are_taken_in(worker: TrialWorker, models: list[Tensors]) -> None:
    one = average(worker, [models[0]] * 2)
    assert len(one.kept) == 2
    torch.testing.assert_close(dict(one.tensors), dict(models[0]))


def test_it_is_judged_as_the_model_with_the_mean_of_the_weights(worker: TrialWorker, models: list[Tensors]) -> None:
    found = average(worker, models)
    wanted = mean_tensors([models[place] for place in found.kept])
    base = worker._base(TINY, "pretrained")
    data = worker._trainers[TINY].data.fold(0)
    model = restored(base, settled(PARAMS, base.model), wanted)
    logits = predict_logits(model, data.rows, data.pad_token_id, data.held_out)
    torch.testing.assert_close(torch.from_numpy(found.logits), torch.from_numpy(logits))
    assert (found.value, found.loss) == data.judge(worker._trainers[TINY].kind, logits)


def test_it_is_never_worse_than_the_best_and_what_spoils_it_is_left_out(
    worker: TrialWorker, models: list[Tensors]
) -> None:
    alone = [average(worker, [model]).value for model in models]
    assert average(worker, models).value >= max(alone)
    found = average(worker, [spoilt(models[0]), *models])
    assert 0 not in found.kept
    assert found.value >= max(alone)


def test_the_worker_writes_the_mean_of_what_was_kept_and_of_those_that_nobody_could_judge(
    worker: TrialWorker, ends: list[dict[str, Any]], models: list[Tensors]
) -> None:
    files = [(end["checkpoint"], end["checkpoint_sha256"]) for end in ends]
    (done,) = worker.work(
        {
            "job": "average",
            "model": TINY,
            "params": PARAMS.model_dump(),
            "judged": files[:1],
            "others": files[1:],
            "fold": 0,
        }
    )
    assert done["kept"] == 1
    assert done["value"] == pytest.approx(ends[0]["value"]), "the one that was judged"
    tensors, _ = read_tensors(Path(done["checkpoint"]), done["checkpoint_sha256"])
    torch.testing.assert_close(tensors, mean_tensors(models))
