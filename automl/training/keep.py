"""What is kept of a trial: the tensors it trained, in one file of safetensors."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from automl.errors import NothingUsable

if TYPE_CHECKING:
    import torch

USED_TOKENS = "automl.used_tokens"  # which rows of the full embedding table the rows of a trained one are


def write_tensors(path: Path, tensors: Mapping[str, torch.Tensor], used_tokens: np.ndarray) -> str:
    """Write them whole or not at all; the file's SHA-256.

    Args:
        used_tokens: ids of the vocabulary that the trial trained with, [used] int64.
    """
    import torch
    from safetensors.torch import save

    content = save({**tensors, USED_TOKENS: torch.from_numpy(used_tokens)})
    part = path.with_suffix(".part")
    part.write_bytes(content)
    part.replace(path)
    return hashlib.sha256(content).hexdigest()


def read_tensors(path: Path, sha256: str) -> tuple[dict[str, torch.Tensor], np.ndarray]:
    """What `write_tensors` was given.

    Raises:
        NothingUsable: the file is gone or was changed.
    """
    from safetensors.torch import load

    try:
        content = path.read_bytes()
    except OSError as error:
        raise NothingUsable(f"the checkpoint {path} is gone ({error}); search again as another study") from None
    if hashlib.sha256(content).hexdigest() != sha256:
        raise NothingUsable(f"{path} is not what its trial wrote (its hash differs); search again as another study")
    tensors = load(content)
    return tensors, tensors.pop(USED_TOKENS).numpy()
