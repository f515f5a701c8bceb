"""States of frozen layers: computed once, exact, shared, bounded, and never a reason to fail."""

from __future__ import annotations

import multiprocessing
import os
import resource
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from automl.data.batches import collate
from automl.models import checkpoint
from automl.models.replay import record
from automl.training import cache
from automl.training.cache import CachedStates, StateCache
from automl.training.data import TrainingData
from tests.training.conftest import LABELS

ROWS = np.arange(40)


@pytest.fixture
def model(found: checkpoint.Checkpoint) -> Any:
    return checkpoint.load(found, "AutoModelForSequenceClassification", LABELS)[0]


def states(
    folder: Path, model: Any, data: TrainingData, rows: np.ndarray = ROWS, **options: Any
) -> CachedStates | None:
    store = StateCache(folder, **{"max_bytes": options.pop("max_bytes", cache.MAX_BYTES)})
    return store.states(model, 2, data.rows, rows, pad_token_id=0, **{"weights": "w", **options})


@pytest.mark.parametrize("left", [False, True])
def test_a_batch_holds_what_the_layers_put_out_and_nothing_at_padding(
    tmp_path: Path, model: Any, data: TrainingData, left: bool
) -> None:
    data = replace(data, rows=replace(data.rows, pad_left=left))
    found = states(tmp_path, model, data)
    assert found is not None
    rows = np.array([7, 3, 31])
    features = collate(data.rows, rows, 0)
    inside = features["attention_mask"].bool()
    batch = found.batch(rows)
    torch.testing.assert_close(batch[inside], record(model, 2, features)[inside], rtol=1e-4, atol=1e-5)
    assert not batch[~inside].any()


def test_only_texts_that_are_not_there_yet_are_computed(
    tmp_path: Path, model: Any, data: TrainingData, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed: list[list[int]] = []
    compute = cache._compute

    def counting(path: Path, *args: Any) -> None:
        computed.append(args[3].tolist())
        compute(path, *args)

    monkeypatch.setattr(cache, "_compute", counting)
    states(tmp_path, model, data, ROWS[:10])
    states(tmp_path, model, data, ROWS[5:20])
    states(tmp_path, model, data, ROWS[:20])
    states(tmp_path, model, data, ROWS[:5], weights="others")
    assert computed == [list(range(10)), list(range(10, 20)), list(range(5))]


def test_types_are_kept_apart_and_unrounded(tmp_path: Path, model: Any, data: TrainingData) -> None:
    whole = states(tmp_path, model, data)
    half = states(tmp_path, model.to(torch.bfloat16), data)
    assert whole is not None
    assert half is not None
    assert whole.batch(ROWS[:3]).dtype is torch.float32
    rows = ROWS[:1]  # alone in a batch as in the cache's own: equal to the last bit where the shapes are
    assert half.batch(rows).dtype is torch.bfloat16
    torch.testing.assert_close(
        half.batch(rows), record(model, 2, collate(data.rows, rows, 0)).detach(), rtol=0.02, atol=0.02
    )


def test_without_room_there_are_no_states(tmp_path: Path, model: Any, data: TrainingData) -> None:
    assert states(tmp_path, model, data, max_bytes=1000) is None


def test_what_was_used_longest_ago_makes_room_and_stays_readable_to_who_has_it(
    tmp_path: Path, model: Any, data: TrainingData
) -> None:
    first = states(tmp_path, model, data, weights="first")
    assert first is not None
    before = first.batch(ROWS[:4])
    bound = int(2.5 * sum(path.stat().st_blocks * 512 for path in tmp_path.glob("*.states")))
    os.utime(next(tmp_path.glob("*.states")), (1, 1))
    states(tmp_path, model, data, weights="second", max_bytes=bound)
    assert len(list(tmp_path.glob("*.states"))) == 2
    states(tmp_path, model, data, weights="third", max_bytes=bound)
    assert len(list(tmp_path.glob("*.states"))) == 2
    assert torch.equal(first.batch(ROWS[:4]), before)
    again = states(tmp_path, model, data, weights="first")
    assert again is not None
    assert torch.equal(again.batch(ROWS[:4]), before)


def test_a_file_cut_short_by_a_kill_is_computed_again(tmp_path: Path, model: Any, data: TrainingData) -> None:
    first = states(tmp_path, model, data)
    assert first is not None
    before = first.batch(ROWS)
    next(tmp_path.glob("*.done")).unlink()  # it is written last
    file = next(tmp_path.glob("*.states"))
    file.write_bytes(b"\0" * 100)
    again = states(tmp_path, model, data)
    assert again is not None
    assert torch.equal(again.batch(ROWS), before)


def _in_little_room(folder: Path, model: Any, data: TrainingData, answer: Any) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))  # as a disk that is full
    import signal

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    answer.put(states(folder, model, data) is None)


def _states(folder: Path, model: Any, data: TrainingData, answer: Any) -> None:
    found = states(folder, model, data)
    answer.put(None if found is None else found.batch(ROWS[:4]).numpy())


def in_processes(target: Any, count: int, *args: Any) -> list[Any]:
    context = multiprocessing.get_context("fork")
    answer = context.Queue()
    processes = [context.Process(target=target, args=(*args, answer)) for _ in range(count)]
    for process in processes:
        process.start()
    answers = [answer.get(timeout=60) for _ in processes]
    for process in processes:
        process.join()
    return answers


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # forks while torch has threads: they are idle
def test_a_full_disk_means_no_states_and_no_failure(tmp_path: Path, model: Any, data: TrainingData) -> None:
    torch.set_num_threads(1)
    assert in_processes(_in_little_room, 1, tmp_path, model, data) == [True]


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_processes_that_ask_at_once_share_the_work_and_get_the_same(
    tmp_path: Path, model: Any, data: TrainingData, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.set_num_threads(1)
    monkeypatch.setattr(cache, "BLOCK", 8)
    compute = cache._compute

    def telling(path: Path, *args: Any) -> None:
        with (tmp_path / "computed.txt").open("a") as file:
            file.write(f"{args[3].tolist()}\n")
        compute(path, *args)

    monkeypatch.setattr(cache, "_compute", telling)
    one, *others = in_processes(_states, 3, tmp_path, model, data)
    assert one is not None
    assert all(np.array_equal(one, other) for other in others)
    assert len(list(tmp_path.glob("*.states"))) == 1
    blocks = (tmp_path / "computed.txt").read_text().splitlines()
    assert len(blocks) == len(set(blocks)) == 5, "each block once, by whoever was first"
