"""What is kept of a trial: the tensors it trained, and its logits of held-out rows, in files of safetensors."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from automl.errors import NothingUsable

if TYPE_CHECKING:
    import torch

LOGITS = "automl.logits"
USED_TOKENS = "automl.used_tokens"  # which rows of the full embedding table the rows of a trained one are


def write_tensors(path: Path, tensors: Mapping[str, torch.Tensor], used_tokens: np.ndarray) -> str:
    """Write them whole or not at all; the file's SHA-256.

    Args:
        used_tokens: ids of the vocabulary that the trial trained with, [used] int64.
    """
    import torch
    from safetensors.torch import save

    return _write(path, save({**tensors, USED_TOKENS: torch.from_numpy(used_tokens)}))


def read_tensors(path: Path, sha256: str) -> tuple[dict[str, torch.Tensor], np.ndarray]:
    """What `write_tensors` was given.

    Raises:
        NothingUsable: the file is gone or was changed.
    """
    from safetensors.torch import load

    tensors = load(_read(path, sha256))
    return tensors, tensors.pop(USED_TOKENS).numpy()


def write_logits(path: Path, logits: np.ndarray) -> str:
    """Write them, [held-out rows, labels] in the order of the rows, whole or not at all; the file's SHA-256."""
    from safetensors.numpy import save

    return _write(path, save({LOGITS: np.ascontiguousarray(logits, dtype=np.float32)}))


def read_logits(path: Path, sha256: str) -> np.ndarray:
    """What `write_logits` was given. Raises NothingUsable where the file is gone or was changed."""
    from safetensors.numpy import load

    return np.asarray(load(_read(path, sha256))[LOGITS])


def _write(path: Path, content: bytes) -> str:
    part = path.with_name(path.name + ".part")
    part.write_bytes(content)
    part.replace(path)
    return hashlib.sha256(content).hexdigest()


def _read(path: Path, sha256: str) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise NothingUsable(f"{path}, which a trial wrote, is gone ({error}); search again as another study") from None
    if hashlib.sha256(content).hexdigest() != sha256:
        raise NothingUsable(f"{path} is not what its trial wrote (its hash differs); search again as another study")
    return content
