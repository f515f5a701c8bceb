"""A state is read only as it was written, and only by the very same training."""

from __future__ import annotations

import math
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from automl.training import pause_file
from automl.training.pause import Paused
from automl.training.pause_file import identity, read_pause, write_pause

TENSORS = {"a": torch.arange(6.0).reshape(2, 3), "step": torch.tensor(3.0), "none": torch.zeros(0, 2)}
NUMBERS = {"done": 3, "best": -math.inf, "value": None, "loss": 0.1 + 0.2}
PAUSED = Paused(TENSORS, NUMBERS)


def test_a_state_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "trial-00001.state"
    write_pause(path, "one", PAUSED)
    read = read_pause(path, "one")
    assert read is not None
    assert read.numbers == NUMBERS
    assert {name: (tensor.dtype, tensor.tolist()) for name, tensor in read.tensors.items()} == {
        name: (tensor.dtype, tensor.tolist()) for name, tensor in TENSORS.items()
    }
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_what_is_read_may_be_changed_and_the_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "state"
    write_pause(path, "one", PAUSED)
    before, read = path.read_bytes(), read_pause(path, "one")
    assert read is not None
    read.tensors["a"].fill_(9.0)
    assert path.read_bytes() == before
    write_pause(path, "one", Paused({"a": torch.ones(2, 3)}, {}))
    assert read.tensors["a"].unique().tolist() == [9.0]


@pytest.mark.parametrize(
    "fault", ["another training's", "a tensor", "a number", "cut short", "empty", "a pickle", "a folder", "gone"]
)
def test_what_is_not_this_trainings_state_is_no_state(tmp_path: Path, fault: str) -> None:
    path = tmp_path / "state"
    write_pause(path, "two" if fault == "another training's" else "one", PAUSED)
    content = path.read_bytes()
    assert content.count(b"done") == 1
    changed = {
        "a tensor": content[:-1] + bytes([content[-1] ^ 1]),
        "a number": content.replace(b'done\\": 3', b'done\\": 4'),
        "cut short": content[:-4],
        "empty": b"",
        "a pickle": pickle.dumps(TENSORS),
    }
    if fault in changed:
        assert changed[fault] != content
        path.write_bytes(changed[fault])
    elif fault in ("a folder", "gone"):
        path.unlink()
        if fault == "a folder":
            path.mkdir()
    assert read_pause(path, "one") is None


@pytest.mark.parametrize("fault", ["no folder", "a folder in its place", "nearly full"])
def test_where_the_disk_refuses_nothing_is_left_and_nothing_breaks(
    tmp_path: Path, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "trials" / "state"
    if fault == "a folder in its place":
        path.mkdir(parents=True)
        (path / "file").touch()
    elif fault == "nearly full":
        path.parent.mkdir()
        monkeypatch.setattr(pause_file, "SPARE_DISK_BYTES", 2**60)
    write_pause(path, "one", PAUSED)
    assert not path.is_file()
    assert not list(tmp_path.rglob("*.part"))


def test_a_write_that_is_cut_off_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "state"
    write_pause(path, "one", PAUSED)

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        write_pause(path, "one", Paused({}, {}))
    read = read_pause(path, "one")
    assert read is not None
    assert read.numbers == NUMBERS


@dataclass
class Data:
    rows: np.ndarray
    names: tuple[str, ...] = ("a", "b")


def test_an_identity_is_of_all_that_is_in_the_values() -> None:
    rows = np.arange(2000).reshape(2, 1000)  # longer than numpy prints
    later = rows.copy()
    later[1, 500] += 1
    values: list[Any] = [
        (Data(rows), {"seed": 1}),
        (Data(later), {"seed": 1}),
        (Data(rows.T), {"seed": 1}),
        (Data(rows.reshape(1, 2000)), {"seed": 1}),
        (Data(rows.astype(np.int32)), {"seed": 1}),
        (Data(rows, ("ab",)), {"seed": 1}),
        (Data(rows), {"seed": 11}),
        (Data(rows), {"seed": None}),
        (Data(rows), {"seed": 1, "fold": 0}),
    ]
    assert len({identity(*value) for value in values}) == len(values)
    assert identity({"b": 1, "a": rows}) == identity({"a": rows.copy(), "b": 1})
    assert identity({"fold": np.int64(3)}) == identity({"fold": 3})
