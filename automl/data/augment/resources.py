"""What some augmentations need besides the texts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from automl.models.checkpoint import Checkpoint

Alter = Callable[[Sequence[str], np.random.Generator], list[str]]  # as many altered texts as it is given


@dataclass(frozen=True)
class Resources:
    """Models that an augmentation may use; they are loaded when copies are made, and not before.

    Args:
        mask_model: a masked language model with its trained head, for masked_words.
        translators: MarianMT models into another language and back, for back_translation.
        device: where these models run, in torch's words.
    """

    mask_model: Checkpoint | None = None
    translators: tuple[Checkpoint, Checkpoint] | None = None
    device: str = "cpu"


class Augmentation(NamedTuple):
    """One way of altering texts.

    Args:
        load: makes it ready; what it gives can be called once for every copy.
        identity: what of the resources its copies depend on; UsageError where they are missing.
        version: raised when the method changes, so that copies made by the old one are not used.
    """

    load: Callable[[Resources], Alter]
    identity: Callable[[Resources], str]
    version: int
