"""What a trial leaves on disk is what is read again, or an error that says what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from automl.errors import NothingUsable
from automl.training.keep import read_logits, read_tensors, write_logits, write_tensors

LOGITS = np.array([[0.5, -1.25], [3.0, 0.0], [np.pi, -np.inf]], dtype=np.float32)


@pytest.mark.parametrize("logits", [LOGITS, LOGITS[:0], LOGITS[::-1], LOGITS.T.copy().T, LOGITS.astype(np.float64)])
def test_logits_are_read_as_they_were_written(tmp_path: Path, logits: np.ndarray) -> None:
    path = tmp_path / "trial-00001.logits"
    read = read_logits(path, write_logits(path, logits))
    np.testing.assert_array_equal(read, logits.astype(np.float32))
    assert read.dtype == np.float32
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_tensors_are_read_as_they_were_written(tmp_path: Path) -> None:
    path, weight = tmp_path / "trial.safetensors", torch.arange(6.0).reshape(2, 3)
    tensors, used = read_tensors(path, write_tensors(path, {"weight": weight}, np.array([0, 4, 9])))
    assert list(tensors) == ["weight"]
    assert torch.equal(tensors["weight"], weight)
    assert used.tolist() == [0, 4, 9]


@pytest.mark.parametrize("kind", ["logits", "tensors"])
@pytest.mark.parametrize("fault", ["one bit", "cut short", "another trial's", "gone", "a folder"])
def test_what_the_trial_did_not_write_is_refused(tmp_path: Path, kind: str, fault: str) -> None:
    path = tmp_path / "trial"

    def write(to: Path, factor: float) -> str:
        if kind == "logits":
            return write_logits(to, LOGITS[:2] * factor)
        return write_tensors(to, {"weight": torch.ones(3) * factor}, np.arange(3))

    sha256 = write(path, 1.0)
    content = bytearray(path.read_bytes())
    if fault == "one bit":
        content[-1] ^= 1
        path.write_bytes(content)
    elif fault == "cut short":
        path.write_bytes(content[:-4])
    elif fault == "another trial's":
        write(path, 2.0)
    else:
        path.unlink()
        if fault == "a folder":
            path.mkdir()
    read: Any = read_logits if kind == "logits" else read_tensors
    with pytest.raises(NothingUsable, match=r"trial.* (is gone|hash differs).*search again") as error:
        read(path, sha256)
    assert "\n" not in str(error.value)


def test_a_write_that_is_cut_off_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "trial.logits"
    sha256 = write_logits(path, LOGITS)

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        write_logits(path, LOGITS * 2)
    np.testing.assert_array_equal(read_logits(path, sha256), LOGITS)
