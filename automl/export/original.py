"""The winner as it was chosen: its own models, which plain classes may not hold, and their loader."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import numpy as np

from automl.errors import ModelError
from automl.models import checkpoint, vocabulary
from automl.models.checkpoint import ENCODER_FILES, Checkpoint
from automl.params import Params

FOLDER, INDEX, BASE = "original", "original.json", "base"


@dataclass(frozen=True)
class Member:
    """One trained model: the file of its tensors, its SHA-256, and the trial that left it."""

    file: str
    sha256: str
    trial: int


@dataclass(frozen=True)
class Original:
    """All models of a winner, which answer together: the mean of their probabilities.

    Args:
        base: the pretrained weights that each of them changes.
        max_length: tokens of a text that are read.
    """

    base: Checkpoint
    params: Params
    members: Sequence[Member]
    label_names: Sequence[str]
    kind: str
    max_length: int


def write_original(original: Original, folder: Path) -> None:
    """Write everything that `load_original` needs, in `folder`/original."""
    target = folder / FOLDER
    (target / BASE).mkdir(parents=True)
    for file in original.base.folder.iterdir():
        if file.is_file() and any(fnmatch(file.name, pattern) for pattern in ENCODER_FILES):
            shutil.copyfile(file, target / BASE / file.name)
    members = []
    for member in original.members:
        name = f"trial-{member.trial:05d}.safetensors"
        shutil.copyfile(member.file, target / name)
        members.append(asdict(Member(name, member.sha256, member.trial)))
    index = {
        "members": members,
        "params": original.params.model_dump(),
        "labels": list(original.label_names),
        "kind": original.kind,
        "max_length": original.max_length,
        "base_model": original.base.name,
    }
    (target / INDEX).write_text(json.dumps(index, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def load_original(folder: Path | str) -> Original:
    """What `--keep-original` left beside a model: in its folder, or in `original` itself.

    Raises:
        ModelError: there is none, or it is not complete.
    """
    folder = Path(folder)
    folder = folder if (folder / INDEX).exists() else folder / FOLDER
    try:
        index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        members = [Member(**{**member, "file": str(folder / member["file"])}) for member in index["members"]]
        params, labels = Params(**index["params"]), tuple(map(str, index["labels"]))
        kind, max_length = str(index["kind"]), int(index["max_length"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"{folder}: no original that can be read ({error}); search with --keep-original to have one"
        ) from None
    return Original(checkpoint.resolve(str(folder / BASE)), params, members, labels, kind, max_length)


def probabilities(original: Original, texts: Sequence[str]) -> np.ndarray:
    """What all members say of texts, averaged: [texts, labels] float32.

    Raises:
        NothingUsable: a member's file is gone or was changed.
    """
    from automl.data.batches import encode
    from automl.models.virtual_tokens import text_start
    from automl.tasks.kinds import kind_of
    from automl.training.data import StudyData
    from automl.training.distillation import answers, targets
    from automl.training.keep import read_tensors
    from automl.training.precision import best_precision
    from automl.training.techniques import Base, Trainer

    kind = kind_of(original.kind)
    tokenizer = checkpoint.load_tokenizer(original.base)
    rows = encode(tokenizer, list(texts), np.zeros(len(texts), dtype=np.int64), original.max_length)
    model: Any
    model, new = checkpoint.load(original.base, kind.auto_class, original.label_names)
    base = Base(model, new, original.base.sha256, text_start(tokenizer))
    trainer = Trainer(StudyData(rows, np.zeros(len(texts), dtype=np.int64), tokenizer.pad_token_id), kind, cache=None)
    table = model.get_input_embeddings().weight
    name = next(name for name, parameter in model.named_parameters() if parameter is table)
    said = []
    for member in original.members:
        tensors, used = read_tensors(Path(member.file), member.sha256)
        if name in tensors:  # it was trained with the words that its study had
            tensors[name] = vocabulary.restore(table.detach(), tensors[name], used)
        said.append(answers(trainer, base, original.params, tensors, best_precision("cpu")))
    return targets(said)
