"""A trial that was stopped goes on from its state, or where there is no good one begins anew: the end is the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from automl.training.pause import Paused
from automl.training.pause_file import pause_path, read_pause, write_pause
from automl.training.worker import TrialWorker, WorkerSetup
from tests.training.conftest import TINY

PARAMS: dict[str, Any] = {
    "learning_rate": 5e-3,
    "num_train_epochs": 2,
    "per_device_train_batch_size": 16,
    "frozen_layers": 1,
    "weight_averaging": "ema",
    "mixout": 0.2,
}


@pytest.fixture
def worker(setup: WorkerSetup, tmp_path: Path) -> TrialWorker:
    return TrialWorker(replace(setup, checkpoints=tmp_path))


@pytest.fixture(scope="module")
def expected(setup: WorkerSetup) -> dict[str, Any]:
    """How the trial ends when nothing stops it."""
    return end(TrialWorker(setup), 1)


def stop(worker: TrialWorker, number: int, step: int, params: dict[str, Any] = PARAMS, **order: Any) -> None:
    """Stop a trial as the executor does: by closing its generator."""
    work = worker.work(
        {"job": "trial", "number": number, "model": TINY, "params": params, "seed": 0, "fold": 0, **order}
    )
    for report in work:
        if report["step"] == step:
            break
    work.close()


def end(worker: TrialWorker, number: int, params: dict[str, Any] = PARAMS, **order: Any) -> dict[str, Any]:
    order = {"job": "trial", "number": number, "model": TINY, "params": params, "seed": 0, "fold": 0, **order}
    *reports, last = worker.work(order)
    assert {report["resumed_step"] for report in reports} <= {last["resumed_step"]}
    assert all(report["step"] > last["resumed_step"] for report in reports)
    return last


def assert_same(last: dict[str, Any], expected: dict[str, Any], resumed_step: int) -> None:
    same = ("value", "loss", "best_step", "train_examples", "predictions_sha256", "checkpoint_sha256")
    assert {name: last[name] for name in same} == {name: expected[name] for name in same}
    assert last["resumed_step"] == resumed_step


@pytest.mark.parametrize("step", [1, 2, 4, 6])
def test_a_trial_that_was_given_back_goes_on_from_where_it_was(
    worker: TrialWorker, expected: dict[str, Any], tmp_path: Path, step: int
) -> None:
    assert expected["resumed_step"] == 0
    stop(worker, 7, step)
    assert [file.name for file in tmp_path.iterdir()] == ["trial-00007.state"]
    assert_same(end(worker, 7), expected, step)
    assert not pause_path(tmp_path, 7).exists(), "it is of no use any more"


def test_another_trial_and_another_process_can_continue_it(
    setup: WorkerSetup, worker: TrialWorker, expected: dict[str, Any], tmp_path: Path
) -> None:
    stop(worker, 7, 2)
    other = TrialWorker(worker._setup)
    assert_same(end(other, 9, resume=7), expected, 2)
    assert pause_path(tmp_path, 7).exists(), "it is not this trial's to remove"


def test_its_own_state_counts_more_than_that_of_the_one_it_continues(
    worker: TrialWorker, expected: dict[str, Any], tmp_path: Path
) -> None:
    stop(worker, 7, 2)
    before = pause_path(tmp_path, 7).read_bytes()
    stop(worker, 9, 4, resume=7)
    assert pause_path(tmp_path, 7).read_bytes() == before != pause_path(tmp_path, 9).read_bytes()
    assert_same(end(worker, 9, resume=7), expected, 4)


def test_where_its_own_state_is_broken_it_goes_on_from_the_one_it_continues(
    worker: TrialWorker, expected: dict[str, Any], tmp_path: Path
) -> None:
    stop(worker, 7, 2)
    pause_path(tmp_path, 9).write_bytes(b"half")
    assert_same(end(worker, 9, resume=7), expected, 2)


def cut(path: Path, worker: TrialWorker) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def of_other_params(path: Path, worker: TrialWorker) -> None:
    stop(worker, 7, 4, {**PARAMS, "learning_rate": 4e-3})


def of_another_seed(path: Path, worker: TrialWorker) -> None:
    stop(worker, 7, 4, seed=1)


def of_another_fold(path: Path, worker: TrialWorker) -> None:
    stop(worker, 7, 4, fold=None)


def of_another_precision(path: Path, worker: TrialWorker) -> None:
    stop(TrialWorker(replace(worker._setup, precision="bfloat16")), 7, 4)


def changed(worker: TrialWorker, **what: Any) -> WorkerSetup:
    return replace(worker._setup, backbones={TINY: replace(worker._setup.backbones[TINY], **what)})


def of_other_labels(path: Path, worker: TrialWorker) -> None:
    data = worker._setup.backbones[TINY].data
    rows = replace(data.rows, labels=1 - data.rows.labels)
    stop(TrialWorker(changed(worker, data=replace(data, rows=rows))), 7, 4)


def of_other_words(path: Path, worker: TrialWorker) -> None:
    used = worker._setup.backbones[TINY].used_tokens.copy()
    used[-1] += 1
    stop(TrialWorker(changed(worker, used_tokens=used)), 7, 4)


def that_does_not_fit(path: Path, worker: TrialWorker) -> None:
    """As a version of this package would have it that knows one thing less."""
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        training = file.metadata()["automl.training"]
    paused = read_pause(path, training)
    assert paused is not None
    tensors = {name: tensor for name, tensor in paused.tensors.items() if name != "random"}
    write_pause(path, training, Paused(tensors, paused.numbers))


@pytest.mark.parametrize(
    "fault",
    [
        Path.unlink,
        cut,
        of_other_params,
        of_another_seed,
        of_another_fold,
        of_another_precision,
        of_other_labels,
        of_other_words,
        that_does_not_fit,
    ],
)
def test_without_a_good_state_of_its_own_training_it_begins_anew(
    worker: TrialWorker, expected: dict[str, Any], tmp_path: Path, fault: Callable[..., None]
) -> None:
    stop(worker, 7, 4)
    path = pause_path(tmp_path, 7)
    before = path.read_bytes()
    fault(path) if fault is Path.unlink else fault(path, worker)
    assert not path.exists() or path.read_bytes() != before
    assert_same(end(worker, 8, resume=7), expected, 0)


@pytest.mark.parametrize("technique", ["features", "contrastive"])
def test_techniques_with_loops_of_their_own_begin_anew(worker: TrialWorker, tmp_path: Path, technique: str) -> None:
    params = {"technique": technique, "num_train_epochs": 1}
    work = worker.run(7, TINY, params, seed=0)
    next(work)
    work.close()
    assert list(tmp_path.iterdir()) == []
    assert end(worker, 8, params, resume=7)["resumed_step"] == 0


def test_a_trial_that_ended_leaves_no_state(worker: TrialWorker, tmp_path: Path) -> None:
    work = worker.run(7, TINY, PARAMS, seed=0)
    while not next(work).get("final"):
        pass
    work.close()
    assert not list(tmp_path.glob("*.state*"))


def test_a_trial_that_was_stopped_before_it_began_leaves_none_either(worker: TrialWorker, tmp_path: Path) -> None:
    worker.run(7, TINY, PARAMS, seed=0).close()
    assert list(tmp_path.iterdir()) == []


def test_a_second_attempt_in_float32_is_continued_as_such(
    setup: WorkerSetup, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """bfloat16 breaks again, at once, and then the state of the second attempt is found."""
    from automl.training import techniques
    from automl.training.loop import TrainingDiverged, train

    def overflowing(*args: Any, precision: str, **options: Any) -> Any:
        if precision == "bfloat16":
            raise TrainingDiverged("the training loss is nan")
        return train(*args, precision=precision, **options)

    monkeypatch.setattr(techniques, "train", overflowing)
    worker = TrialWorker(replace(setup, checkpoints=tmp_path, precision="bfloat16"))
    expected = end(worker, 1)
    assert expected["precision"] == "float32"
    stop(worker, 7, 4)
    assert_same(end(worker, 7), expected, 4)
    np.testing.assert_equal(len(list(tmp_path.glob("*.state*"))), 0)
