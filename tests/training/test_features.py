"""Pooled states are what the encoder says of each text alone; they are stored once; a head on them is a trial."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from automl.models.layers import set_dropout
from automl.params import Params
from automl.records import Encoded, Report, TrialResult
from automl.tasks.kinds import kind_of
from automl.training.data import TrainingData
from automl.training.feature_store import shared_arrays
from automl.training.features import POOLINGS, cls_place, pooled_states, select, train_features
from automl.training.heads import Head
from tests.models.architectures import ARCHITECTURES, PADDING, VOCABULARY, WIDTH, texts, tiny

KIND = kind_of("classification")
LAST = ("xlnet", "gpt2")  # these have read the whole text only at its end


def encoded(rows: list[np.ndarray], labels: np.ndarray | None = None) -> Encoded:
    starts = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
    ids = np.concatenate(rows).astype(np.int32)
    return Encoded({"input_ids": ids}, starts, np.zeros(len(rows), np.int64) if labels is None else labels)


def as_tokenized(name: str, count: int = 9) -> Encoded:
    """Texts with the special tokens where the architecture's tokenizer puts them; GPT-2's all begin with one word."""
    start, end = {"xlnet": ([], [3, 2]), "gpt2": ([7], [])}.get(name, ([2], [3]))
    return encoded([np.array([*start, *row, *end]) for row in texts(count, vocabulary=VOCABULARY)])


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_pooled_states_are_those_of_each_text_alone(name: str) -> None:
    model, data = tiny(name), as_tokenized(name)
    rows = np.array([5, 0, 8, 3, 1])
    states = pooled_states(model, data, rows, PADDING)
    layers = model.config.num_hidden_layers
    assert {pooling: array.shape for pooling, array in states.items()} == dict.fromkeys(
        POOLINGS, (5, layers + 1, WIDTH)
    )
    for place, row in enumerate(rows):
        ids = torch.from_numpy(data.features["input_ids"][data.starts[row] : data.starts[row + 1]].astype(np.int64))
        with torch.inference_mode():
            output = model.eval().base_model(input_ids=ids[None], output_hidden_states=True)
        hidden = torch.stack(output.hidden_states)[:, 0].numpy()  # [layers + 1, seq, width]
        expected = {"cls": hidden[:, -1 if name in LAST else 0], "mean": hidden.mean(1), "max": hidden.max(1)}
        for pooling in POOLINGS:
            np.testing.assert_allclose(states[pooling][place], expected[pooling], atol=1e-4, err_msg=pooling)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_token_that_stands_for_the_text_is_found(name: str) -> None:
    assert cls_place(tiny(name), as_tokenized(name), PADDING) == (-1 if name in LAST else 0)


def test_the_encoder_is_frozen_meanwhile_and_trains_on_afterwards() -> None:
    model, data = tiny("bert"), as_tokenized("bert")
    set_dropout(model, 0.5, 0.5)
    model.bert.embeddings.eval()
    one, other = (pooled_states(model, data, np.arange(9), PADDING)["mean"] for _ in range(2))
    np.testing.assert_array_equal(one, other)
    assert model.training
    assert not model.bert.embeddings.training


@pytest.mark.parametrize("layers", [1, 3, 6])
def test_sources_take_the_layers_that_they_name(layers: int) -> None:
    states = np.random.default_rng(0).normal(size=(5, layers + 1, 4)).astype(np.float32)
    last = states[:, 1:][:, -4:]
    np.testing.assert_array_equal(select(states, "last"), states[:, layers])
    np.testing.assert_array_equal(select(states, "second_to_last"), states[:, layers - 1])
    np.testing.assert_allclose(select(states, "mean_last_four"), last.mean(1))
    np.testing.assert_array_equal(select(states, "weighted_last_four"), last)
    np.testing.assert_array_equal(select(states, "concat_last_four"), np.concatenate(list(last.swapaxes(0, 1)), axis=1))
    np.testing.assert_array_equal(select(states, "all"), states.reshape(5, -1))


@pytest.fixture(scope="module")
def task() -> tuple[dict[str, np.ndarray], TrainingData]:
    """States of 200 texts, 4 layers, width 8: only layer 3 pooled by mean tells the label; from 150 on copies."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 200)
    labels[150:] = labels[:50]
    states: dict[str, np.ndarray] = {pooling: rng.normal(size=(200, 5, 8)).astype(np.float32) for pooling in POOLINGS}
    states["mean"][:, 3, :2] += 4 * labels[:, None]
    data = TrainingData(
        encoded([np.array([5])] * 200, labels),
        np.arange(50),
        np.arange(50, 150),
        0,
        {"typos": np.arange(150, 200)[None]},
    )
    return states, data


def run(
    task: tuple[dict[str, np.ndarray], TrainingData], seed: int = 0, **params: Any
) -> tuple[Report, TrialResult, Head]:
    trial = train_features(task[0], Params(technique="features", **params), task[1], KIND, seed=seed, n_labels=2)
    report, result = next(trial), next(trial)
    with pytest.raises(StopIteration) as end:
        next(trial)
    assert isinstance(report, Report)
    assert isinstance(result, TrialResult)
    return report, result, end.value.value


@pytest.mark.parametrize("feature_head", ["logistic_regression", "mlp", "knn"])
@pytest.mark.parametrize("feature_source", ["second_to_last", "mean_last_four", "weighted_last_four", "all"])
def test_a_trial_reports_what_its_head_is_worth(
    task: tuple[dict[str, np.ndarray], TrainingData], feature_head: str, feature_source: str
) -> None:
    report, result, head = run(task, feature_head=feature_head, feature_source=feature_source)
    states, data = task
    logits = head.logits(select(states["mean"], feature_source)[data.held_out])
    assert report.value == result.value == np.mean(logits.argmax(1) == data.rows.labels[data.held_out]) > 0.75
    np.testing.assert_array_equal(result.logits, logits)
    assert (report.step, report.steps, result.best_step) == (8, 8, 8)
    assert report.train_loss < 0.6


@pytest.mark.parametrize("feature_source", ["last", "weighted_last_four"])
@pytest.mark.parametrize("feature_head", ["logistic_regression", "mlp", "knn"])
def test_without_held_out_rows_there_is_no_value(
    task: tuple[dict[str, np.ndarray], TrainingData], feature_head: str, feature_source: str
) -> None:
    unwatched = task[0], replace(task[1], held_out=np.arange(0))
    report, result, _ = run(unwatched, feature_head=feature_head, feature_source=feature_source)
    assert (report.value, report.loss, result.value, result.loss) == (None, None, None, None)
    assert result.logits.shape == (0, 2)


def test_a_trial_reads_its_pooling_and_its_source(task: tuple[dict[str, np.ndarray], TrainingData]) -> None:
    assert run(task, feature_source="second_to_last")[1].value > 0.9
    assert run(task, feature_source="last")[1].value < 0.7
    assert run(task, feature_source="second_to_last", pooling="max")[1].value < 0.7


def test_a_trial_trains_on_altered_copies_too(task: tuple[dict[str, np.ndarray], TrainingData]) -> None:
    assert run(task)[1].train_examples == 50
    assert run(task, augmentation="typos")[1].train_examples == 100


def test_class_weights_reach_the_head(task: tuple[dict[str, np.ndarray], TrainingData]) -> None:
    states, data = task
    labels = data.rows.labels
    few = np.concatenate([np.flatnonzero(labels[:50] == 0), np.flatnonzero(labels[:50] == 1)[:4]])
    unequal = states, replace(data, train=few)

    def share_of_the_rare(class_weights: str) -> float:
        head = run(unequal, class_weights=class_weights, feature_source="last", logistic_regression_c=0.01)[2]
        return float(np.mean(head.logits(states["mean"][:, -1]).argmax(1)))

    assert share_of_the_rare("none") < 0.1 < share_of_the_rare("balanced")


def shared(folder: Path, compute: Callable[[], dict[str, np.ndarray]], rows: int = 6) -> dict[str, np.ndarray]:
    return shared_arrays(folder, "abc", ("cls", "mean"), rows, compute)


class Computation:
    """Counts how often it was done."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds, self.times = seconds, 0
        self.arrays = {
            name: np.random.default_rng(seed).normal(size=(6, 3, 50)).astype(np.float32)
            for seed, name in enumerate(("cls", "mean"))
        }

    def __call__(self) -> dict[str, np.ndarray]:
        self.times += 1
        time.sleep(self.seconds)
        return self.arrays

    def same(self, found: dict[str, np.ndarray]) -> bool:
        return all(np.array_equal(found[name], array) for name, array in self.arrays.items())


def test_arrays_are_computed_once_and_mapped_afterwards(tmp_path: Path) -> None:
    compute = Computation()
    for _ in range(3):
        found = shared(tmp_path / "new", compute)
        assert compute.same(found)
        assert all(isinstance(array, np.memmap) and not array.flags.writeable for array in found.values())
    assert compute.times == 1
    assert not list(tmp_path.rglob("*.part"))


def test_who_asks_meanwhile_waits(tmp_path: Path) -> None:
    compute, found = Computation(seconds=0.3), []
    threads = [threading.Thread(target=lambda: found.append(shared(tmp_path, compute))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert compute.times == 1
    assert len(found) == 3
    assert all(map(compute.same, found))


def test_who_dies_while_computing_leaves_it_to_the_next(tmp_path: Path) -> None:
    code = f"""
        import os
        from pathlib import Path
        from automl.training.feature_store import shared_arrays
        shared_arrays(Path({str(tmp_path)!r}), "abc", ("cls", "mean"), 6, lambda: os._exit(7))
    """
    assert subprocess.run([sys.executable, "-c", textwrap.dedent(code)]).returncode == 7
    compute = Computation()
    assert compute.same(shared(tmp_path, compute))


@pytest.mark.parametrize("harm", ["cut", "empty", "noise", "pickle", "missing", "other rows"])
def test_a_broken_file_is_made_again(tmp_path: Path, harm: str) -> None:
    compute = Computation()
    shared(tmp_path, compute)
    path = tmp_path / "abc-mean.npy"
    whole = path.read_bytes()
    if harm == "pickle":
        np.save(path, np.array([{"a": 1}] * 6, dtype=object), allow_pickle=True)
    elif harm == "missing":
        path.unlink()
    elif harm == "other rows":
        np.save(path, compute.arrays["mean"][:5])
    else:
        path.write_bytes({"cut": whole[:-9], "empty": b"", "noise": b"x" * len(whole)}[harm])
    assert compute.same(shared(tmp_path, compute))
    assert compute.times == 2
    assert path.read_bytes() == whole


@pytest.mark.parametrize("room", [1500, 4000])  # for no array, for the first one
def test_a_full_disk_leaves_the_arrays_in_memory_and_no_file(tmp_path: Path, room: int) -> None:
    compute = Computation()
    compute.arrays["mean"] = np.tile(compute.arrays["mean"], 2)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
    try:
        found = shared(tmp_path, compute)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert compute.same(found)
    assert os.listdir(tmp_path) == ["abc.lock"]


def test_a_folder_that_cannot_be_made_leaves_the_arrays_in_memory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    compute = Computation()
    assert compute.same(shared(tmp_path / "file" / "states", compute))
    assert compute.times == 1
