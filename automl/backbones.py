"""The encoders that are searched at once: found, checked, and each with a short name of its own."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from automl.errors import UsageError
from automl.models import checkpoint
from automl.models.checkpoint import Checkpoint
from automl.params import Params
from automl.spaces import SearchSpace


@dataclass(frozen=True)
class Backbone:
    """One encoder of a search."""

    name: str  # short, and no other's: what arms and orders call it
    checkpoint: Checkpoint
    depth: int  # encoder layers
    max_length: int  # tokens
    mask_model: Checkpoint | None = None  # of the augmentation masked_words, where it is wanted

    @property
    def weights_bytes(self) -> int:
        """What its weights take on disk."""
        return sum(path.stat().st_size for path in self.checkpoint.folder.glob("*.safetensors"))


def find_backbones(
    models: str, space: SearchSpace, *, max_length: int, mask_model: str | None, offline: bool
) -> dict[str, Backbone]:
    """What is searched over, by short name, in the order of the request.

    Args:
        models: comma separated folders and Hub ids.
        max_length: tokens of a text that are read where a model has room for as many.
        mask_model: of the augmentation masked_words; None: each encoder is its own.

    Raises:
        UsageError: one of them is empty, is there twice or cannot be used; the message names it.
    """
    found = _checkpoints(models, offline)
    masking = "masked_words" in space.values("augmentation")
    other = checkpoint.resolve(mask_model, offline=offline) if masking and mask_model else None
    virtual = _virtual_tokens(space)
    return {
        name: Backbone(
            name=name,
            checkpoint=one,
            depth=checkpoint.depth(one),
            max_length=min(max_length, checkpoint.max_positions(one) - virtual),
            mask_model=(other or one) if masking else None,
        )
        for name, one in zip(short_names(found), found, strict=True)
    }


def short_names(found: Sequence[Checkpoint]) -> list[str]:
    """The last parts of their ids or paths, as few as tell them apart."""
    parts, count = [_parts(one) for one in found], 1
    while len(set(names := ["/".join(own[-count:]) for own in parts])) < len(found):
        count += 1  # no two are the same from end to end
    return names


def _checkpoints(models: str, offline: bool) -> list[Checkpoint]:
    names = [models] if os.path.isdir(models) else [name.strip() for name in models.split(",")]
    found: list[Checkpoint] = []
    for place, name in enumerate(names, start=1):
        if not name:
            raise UsageError(f"--model {models!r}: entry {place} is empty; give folders or Hub ids, as A or A,B")
        one = checkpoint.resolve(name, offline=offline)
        twin = next((other for other in found if other.sha256 == one.sha256), None)
        if twin is not None:
            raise UsageError(
                f"--model {models!r}: {name!r} has the very weights of {twin.name!r}; name each model once"
            )
        found.append(one)
    return found


def _virtual_tokens(space: SearchSpace) -> int:
    """Positions that the space's largest prompt or prefix takes from a text."""
    if not {"prompt_tuning", "prefix_tuning"} & set(space.values("technique")):
        return 0
    return space.largest("num_virtual_tokens", default=Params().num_virtual_tokens)


def _parts(found: Checkpoint) -> tuple[str, ...]:
    if found.source == checkpoint.LOCAL:
        return Path(os.path.abspath(found.folder)).parts
    return PurePosixPath(found.name).parts
