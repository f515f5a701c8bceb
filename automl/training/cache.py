"""What frozen layers put out, computed once for each (starting weights, number of layers, text) of a study.

The states lie in memory-mapped files: workers and trials share them, the operating system keeps in memory what fits and
leaves the rest on disk. They are written in the type that the layers compute in, so nothing is rounded on the way.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from automl.data.batches import collate, evaluation_batches, on_device
from automl.models.replay import Replay, install, is_exact, record
from automl.records import Encoded

MAX_BYTES = 4 * 2**30  # of a study's states together; the least recently used go first
BLOCK = 128  # rows that one process computes at a time
SPARE_DISK_BYTES = 2**30  # left free for the study's record and checkpoints


@dataclass(frozen=True)
class CachedStates:
    """States of the texts of a study after some frozen layers."""

    layers: int
    data: Encoded
    states: np.ndarray  # [all tokens, width], memory-mapped; bfloat16 as int16

    def batch(self, rows: np.ndarray, device: str = "cpu") -> Any:
        """States of these rows, [batch, seq, width], 0 at padding."""
        import torch

        lengths, starts = self.data.lengths[rows], self.data.starts[rows]
        padded = np.zeros((len(rows), int(lengths.max()), self.states.shape[1]), dtype=self.states.dtype)
        for out, start, length in zip(padded, starts, lengths, strict=True):
            _inside(out, length, self.data)[:] = self.states[start : start + length]
        tensor = on_device(padded, device)
        return tensor.view(torch.bfloat16) if self.states.dtype == np.int16 else tensor


@dataclass(frozen=True)
class StateCache:
    """The states of one study, in one folder."""

    folder: Path
    max_bytes: int = MAX_BYTES

    def states(
        self, model: Any, layers: int, data: Encoded, rows: np.ndarray, *, weights: str, pad_token_id: int
    ) -> CachedStates | None:
        """States of at least these rows after the first `layers` layers; computes those that nobody has yet.

        Args:
            model: on its device, in the type it trains in; its first layers have the starting weights.
            layers: 1 to the model's depth.
            weights: what tells these starting weights from others, such as a checkpoint's SHA-256.

        Returns:
            None where there is no room, or states would not be exact: the trial then computes its layers in every step.
        """
        parameter = next(model.parameters())
        device = str(parameter.device)
        wanted = np.unique(rows)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            path = self.folder / f"{fingerprint(data, weights, layers, parameter.dtype)}.states"
            missing = _missing(path, data, wanted)
            probe = record(model, layers, collate(data, wanted[:1], pad_token_id, device))
            width, size = probe.shape[-1], probe.element_size()
            if len(missing) == len(wanted) and not is_exact(
                model, layers, collate(data, wanted[:2], pad_token_id, device)
            ):
                return None  # an architecture that mixes texts, or reads its embeddings further up
            if not self._make_room(path, int(data.lengths[missing].sum()) * width * size):
                return None
            for rows in _claimed(path, data, wanted):
                _compute(path, model, layers, data, rows, pad_token_id)
            os.utime(path)  # used last now
            shape, dtype = (int(data.starts[-1]), width), np.int16 if size == 2 else np.float32
            return CachedStates(layers, data, np.memmap(path, dtype=dtype, mode="r", shape=shape))
        except (OSError, ValueError):  # the disk is full, or gone; or another process made room of this very file
            return None

    def _make_room(self, path: Path, needed: int) -> bool:
        """Drop what was used longest ago until `needed` more bytes fit. A file that others have mapped stays theirs."""
        others = sorted((p for p in self.folder.glob("*.states") if p != path), key=lambda p: p.stat().st_mtime)
        used = sum(_bytes(p) for p in others) + (_bytes(path) if path.exists() else 0)
        if used - sum(map(_bytes, others)) + needed > self.max_bytes:
            return False
        while others and (
            used + needed > self.max_bytes or shutil.disk_usage(self.folder).free < needed + SPARE_DISK_BYTES
        ):
            oldest = others.pop(0)
            used -= _bytes(oldest)
            oldest.with_suffix(".done").unlink(missing_ok=True)
            oldest.unlink(missing_ok=True)
        return shutil.disk_usage(self.folder).free >= needed + SPARE_DISK_BYTES


@contextmanager
def replaying(model: Any, cached: CachedStates | None) -> Iterator[Replay | None]:
    """Within the block the model begins with states that are cached; give them to it before each forward pass."""
    if cached is None:
        yield None
        return
    replay = install(model, cached.layers)
    try:
        yield replay
    finally:
        replay.remove()


def _claimed(path: Path, data: Encoded, wanted: np.ndarray) -> Iterator[np.ndarray]:
    """Blocks of rows for this process to compute; ends when every wanted row is there.

    Processes that want the same rows share the work: each takes blocks that no other has, and waits for what is left.
    The system frees the locks of a process that dies, and the next one takes over.
    """
    blocks = np.unique(wanted // BLOCK)
    order = np.random.default_rng(os.getpid()).permutation(blocks).tolist()
    with path.with_suffix(".lock").open("w") as lock:
        for flags in (fcntl.LOCK_EX | fcntl.LOCK_NB, fcntl.LOCK_EX):  # first what is free, then what others had
            for block in order:
                try:
                    fcntl.lockf(lock, flags, 1, block)
                except BlockingIOError:
                    continue
                rows = _missing(path, data, wanted[wanted // BLOCK == block])
                if len(rows):
                    yield rows
                fcntl.lockf(lock, fcntl.LOCK_UN, 1, block)


def _compute(path: Path, model: Any, layers: int, data: Encoded, rows: np.ndarray, pad_token_id: int) -> None:
    """Write the states of rows where they belong, then say that they are there."""
    import torch

    device = str(next(model.parameters()).device)
    with _opened(path) as states_file, _opened(path.with_suffix(".done")) as done_file:
        for batch in evaluation_batches(data.lengths[rows]):
            states = record(model, layers, collate(data, rows[batch], pad_token_id, device)).cpu()
            bits = states.contiguous().view(torch.int16 if states.element_size() == 2 else torch.float32).numpy()
            row_bytes = bits.shape[-1] * bits.itemsize
            if os.fstat(states_file).st_size < int(data.starts[-1]) * row_bytes:
                os.ftruncate(states_file, int(data.starts[-1]) * row_bytes)
            for row, state in zip(rows[batch], bits, strict=True):
                content = np.ascontiguousarray(_inside(state, data.lengths[row], data)).tobytes()
                if os.pwrite(states_file, content, int(data.starts[row]) * row_bytes) != len(content):
                    raise OSError(f"{path}: no room")
        for row in rows:
            os.pwrite(done_file, b"\1", int(row))


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    """A file descriptor: plain writes tell of a full disk, where writing to a memory map would kill the process."""
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        yield file
    finally:
        os.close(file)


def _inside(padded: np.ndarray, length: int, data: Encoded) -> np.ndarray:
    """The part of a padded row, [seq, width], that is text."""
    return padded[len(padded) - length :] if data.pad_left else padded[:length]


def _missing(path: Path, data: Encoded, wanted: np.ndarray) -> np.ndarray:
    """Those of the wanted rows whose states are not in the file."""
    marks = path.with_suffix(".done")
    if not (path.exists() and marks.exists()):
        return wanted
    done = np.zeros(len(data), dtype=np.uint8)
    written = np.frombuffer(marks.read_bytes(), dtype=np.uint8)
    done[: len(written)] = written
    return np.asarray(wanted[done[wanted] == 0])


def fingerprint(data: Encoded, *more: object) -> str:
    """Tells what was computed from these tokens, and from whatever else is named, from anything else."""
    digest = hashlib.sha256(" ".join(map(str, more)).encode())
    for name in sorted(data.features):
        digest.update(data.features[name].tobytes())
    digest.update(data.starts.tobytes())
    return digest.hexdigest()[:24]


def _bytes(path: Path) -> int:
    return path.stat().st_blocks * 512
