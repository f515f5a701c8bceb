"""The exported folder is there whole or not at all, and a checkpoint that is not the trial's own is not shipped."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from automl.errors import NothingUsable, OutputError
from automl.export.folder import build_model, require_room, write_folder
from automl.models import checkpoint
from automl.params import Params
from automl.tasks.kinds import kind_of
from tests.tiny import make_model

KIND = kind_of("classification")


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> checkpoint.Checkpoint:
    return checkpoint.resolve(str(make_model(tmp_path_factory.mktemp("model"))))


@pytest.fixture(scope="module")
def model(found: checkpoint.Checkpoint) -> Any:
    return checkpoint.load(found, KIND.auto_class, ["no", "yes"])[0]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 64 KiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    if os.getuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("nobody may mount a disk here")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk_leaves_the_earlier_folder_and_nothing_half_written(
    small_disk: Path, found: checkpoint.Checkpoint, model: Any
) -> None:
    (small_disk / "model").mkdir()
    (small_disk / "model" / "result.json").write_text('{"study": "s"}')
    with pytest.raises(OutputError, match=r"the model cannot be written .* the study is safe"):
        write_folder(small_disk / "model", model, found, 64, {"study": "s"}, "card")
    assert [path.relative_to(small_disk).as_posix() for path in small_disk.rglob("*")] == ["model", "model/result.json"]


def test_a_studys_own_folder_is_replaced_whole(tmp_path: Path, found: checkpoint.Checkpoint, model: Any) -> None:
    folder = tmp_path / "model"
    write_folder(folder, model, found, 64, {"study": "s", "n": 1}, "first")
    (folder / "stray.txt").touch()
    require_room(folder, "s", 0)
    write_folder(folder, model, found, 64, {"study": "s", "n": 2}, "second")
    assert (folder / "README.md").read_text() == "second"
    assert not (folder / "stray.txt").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    with pytest.raises(OutputError, match="is not empty"):
        require_room(folder, "another study", 0)


def test_what_lies_beside_is_not_touched_and_a_link_is_followed(
    tmp_path: Path, found: checkpoint.Checkpoint, model: Any
) -> None:
    big_disk, link = tmp_path / "disk" / "model", tmp_path / "model"
    big_disk.mkdir(parents=True)
    link.symlink_to(big_disk)
    for name in ("model.old", "model.part"):
        (tmp_path / name).mkdir()
        (big_disk.parent / name).mkdir()
        (big_disk.parent / name / "mine").touch()
    for n in (1, 2):
        require_room(link, "s", 0)
        write_folder(link, model, found, 64, {"study": "s", "n": n}, "card")
    assert link.is_symlink()
    assert sorted(path.name for path in big_disk.parent.iterdir()) == ["model", "model.old", "model.part"]
    assert (big_disk.parent / "model.old" / "mine").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["disk", "model", "model.old", "model.part"]


def test_what_has_come_there_meanwhile_is_not_replaced(
    tmp_path: Path, found: checkpoint.Checkpoint, model: Any
) -> None:
    folder = tmp_path / "runs"
    require_room(folder, "s", 0)
    folder.mkdir()
    (folder / "studies.db").write_text("all trials")
    with pytest.raises(OutputError, match="is not empty"):
        write_folder(folder, model, found, 64, {"study": "s"}, "card")
    assert [path.name for path in tmp_path.rglob("*")] == ["runs", "studies.db"]


@pytest.mark.parametrize("name", [".", "..", "new/../.", "x" * 300, "file/model"])
def test_a_folder_that_cannot_be_replaced_is_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "file").touch()
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(OutputError, match=r"^--output "):
        require_room(Path(name), "s", 0)


@pytest.mark.parametrize("fault", ["gone", "changed"])
def test_a_checkpoint_that_is_not_the_trials_own_is_not_shipped(
    tmp_path: Path, found: checkpoint.Checkpoint, fault: str
) -> None:
    path = tmp_path / "trial.safetensors"
    if fault == "changed":
        path.write_bytes(b"something else")
    splits: Any = SimpleNamespace(label_names=("no", "yes"))
    with pytest.raises(NothingUsable, match=r"trial\.safetensors.* (is gone|hash differs).*search again"):
        build_model(found, KIND, splits, Params(), path, "0" * 64, 1)
