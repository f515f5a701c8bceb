"""Augmentations of training text: altered copies, seeded, made once a study and kept on disk."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from automl.data.augment import thesaurus
from automl.data.augment.back_translation import back_translation_identity, load_back_translation
from automl.data.augment.masked_words import load_masked_words, masked_words_identity
from automl.data.augment.random_edits import load_random_edits
from automl.data.augment.resources import Augmentation, Resources
from automl.data.augment.sentence_order import sentence_order
from automl.data.augment.synonyms import load_synonyms, thesaurus_needed
from automl.data.augment.typos import typos
from automl.errors import OutputError

__all__ = ["AUGMENTATIONS", "Resources", "check", "make_copies"]

AUGMENTATIONS = {
    "random_edits": Augmentation(load_random_edits, lambda resources: thesaurus.identity(), 2),
    "synonyms": Augmentation(load_synonyms, thesaurus_needed, 1),
    "typos": Augmentation(lambda resources: typos, lambda resources: "", 1),
    "sentence_order": Augmentation(lambda resources: sentence_order, lambda resources: "", 1),
    "masked_words": Augmentation(load_masked_words, masked_words_identity, 1),
    "back_translation": Augmentation(load_back_translation, back_translation_identity, 1),
}


def check(name: str, resources: Resources) -> None:
    """Nothing, if the augmentation has what it needs; quick, nothing is loaded.

    Raises:
        UsageError: it has not.
    """
    AUGMENTATIONS[name].identity(resources)


def make_copies(
    texts: Sequence[str], name: str, copies: int, seed: int, resources: Resources, folder: Path
) -> list[list[str]]:
    """Altered copies of every text, `[copies][texts]`, read from `folder` where an earlier call has left them there.

    Args:
        copies: how many of each text, from 1; the first ones are the same however many are made.
        folder: for the copies: one file of JSON lines each, there whole or not at all.

    Raises:
        UsageError: the augmentation lacks what it needs (a thesaurus, a model).
        OutputError: the folder cannot be written.
    """
    augmentation = AUGMENTATIONS[name]
    identity = augmentation.identity(resources)
    paths = []
    for copy in range(copies):
        key = json.dumps([name, augmentation.version, identity, seed, copy, *texts])
        paths.append(folder / f"{name}-{copy}-{hashlib.sha256(key.encode()).hexdigest()[:16]}.jsonl")
    found = [_read(path, len(texts)) for path in paths]
    alter = augmentation.load(resources) if None in found else None
    made = []
    for copy, (path, kept) in enumerate(zip(paths, found, strict=True)):
        if kept is None and alter is not None:
            kept = alter(texts, np.random.default_rng([seed, copy]))
            _write(path, kept)
        made.append(kept or [])
    return made


def _read(path: Path, count: int) -> list[str] | None:
    try:
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError):
        return None
    return lines if len(lines) == count and all(isinstance(line, str) for line in lines) else None


def _write(path: Path, texts: Sequence[str]) -> None:
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text("".join(json.dumps(text) + "\n" for text in texts), encoding="utf-8")
        part.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink()
        raise OutputError(f"{path.parent}: copies of training texts cannot be kept there ({error.strerror})") from None
