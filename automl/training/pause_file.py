"""A stopped training in a file of safetensors, which only the very same training can go on from."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from automl.training.cache import SPARE_DISK_BYTES
from automl.training.pause import Paused

if TYPE_CHECKING:
    import torch

TRAINING, NUMBERS, SHA256 = "automl.training", "automl.numbers", "automl.sha256"  # beside the tensors


def pause_path(folder: Path, number: int) -> Path:
    """Where a trial that is stopped leaves its state."""
    return folder / f"trial-{number:05d}.state"


def identity(*parts: Any) -> str:
    """SHA-256 of values, arrays, and mappings and dataclasses of them: equal for what may share a state."""
    digest = hashlib.sha256()
    for piece in _pieces(parts):
        digest.update(piece)
        digest.update(b"\0")
    return digest.hexdigest()


def write_pause(path: Path, training: str, paused: Paused) -> None:
    """Write it whole or not at all. Where the disk is full or refuses there is none: nothing is lost but time.

    Args:
        training: its `identity`.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    numbers = json.dumps(paused.numbers)
    tensors = {name: tensor.cpu().contiguous() for name, tensor in paused.tensors.items()}
    part = path.with_name(path.name + ".part")
    try:
        if shutil.disk_usage(path.parent).free < sum(map(_size, tensors.values())) + SPARE_DISK_BYTES:
            return
        save_file(tensors, part, {TRAINING: training, NUMBERS: numbers, SHA256: _sha256(training, numbers, tensors)})
        part.replace(path)
    except (OSError, SafetensorError):
        part.unlink(missing_ok=True)


def read_pause(path: Path, training: str) -> Paused | None:
    """What `write_pause` was given; None where there is no file, or it was changed, or is of another training."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            known = file.metadata() or {}
            if known.get(TRAINING) != training:
                return None
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # it is no dict
    except (OSError, SafetensorError):
        return None
    numbers = known.get(NUMBERS, "")
    if known.get(SHA256) != _sha256(training, numbers, tensors):
        return None
    return Paused(tensors, json.loads(numbers))


def _size(tensor: torch.Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def _sha256(training: str, numbers: str, tensors: Mapping[str, torch.Tensor]) -> str:
    """Of all that is in the file."""
    import torch

    bits = {name: tensor.reshape(-1).view(torch.uint8).numpy() for name, tensor in tensors.items()}
    return identity(training, numbers, {name: (str(tensors[name].dtype), bits[name]) for name in bits})


def _pieces(part: Any) -> Iterator[bytes | memoryview]:
    if isinstance(part, np.ndarray):
        yield f"{part.dtype} {part.shape}".encode()
        yield np.ascontiguousarray(part).reshape(-1).view(np.uint8).data
    elif isinstance(part, Mapping):
        for name in sorted(part):
            yield from _pieces((name, part[name]))
    elif isinstance(part, tuple | list):
        for one in part:
            yield from _pieces(one)
    elif is_dataclass(part):
        yield from _pieces(vars(part))
    else:
        yield str(part).encode()
