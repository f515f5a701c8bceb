"""The folder a user takes away: model, tokenizer, card and result, loadable by plain `transformers`."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from automl.errors import OutputError
from automl.export.model import write_model
from automl.export.original import Original, write_original
from automl.models import vocabulary
from automl.models.checkpoint import Checkpoint, load, load_tokenizer
from automl.models.shape import settled, shape
from automl.params import Params
from automl.records import Splits
from automl.tasks.kinds import Kind
from automl.training.keep import read_tensors

RESULT = "result.json"


def require_room(folder: Path, study: str, needed_bytes: int) -> None:
    """Refuse an output folder that holds something else than this study's own earlier result, or a full disk.

    Raises:
        OutputError: with what stands in the way.
    """
    try:
        place, here = folder.resolve(), Path.cwd()
        if place in (here, *here.parents):  # it is replaced whole, with the database that a search writes below it
            raise OutputError(f"--output {folder}: is the folder that you are in, or above it; name one of its own")
        _require_unused(folder, study)
        parent = next(path for path in place.parents if path.exists())
        free, writable = shutil.disk_usage(parent).free, os.access(parent, os.W_OK | os.X_OK)
    except OSError as error:
        raise OutputError(f"--output {folder}: {error.strerror}; name a folder that you can write to") from None
    if not (writable and parent.is_dir()):
        raise OutputError(f"--output {folder}: {parent} is not a folder that you can write to; name another one")
    if free < needed_bytes:
        raise OutputError(
            f"--output {folder}: {free / 1e6:.0f} MB are free on that disk, the search needs about "
            f"{needed_bytes / 1e6:.0f} MB; free some or name a folder on another disk"
        )


def _require_unused(folder: Path, study: str) -> None:
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"--output {folder}: is a file; name a folder that is empty or does not exist yet")
    if folder.exists() and any(folder.iterdir()) and _study_of(folder) != study:
        raise OutputError(f"--output {folder}: is not empty; nothing is overwritten: name another folder or empty it")


def build_model(
    checkpoint: Checkpoint, kind: Kind, splits: Splits, params: Params, path: Path, sha256: str, text_start: int
) -> Any:
    """A trained model with its full vocabulary, in float32, in eval mode, from the tensors that its trial left.

    Args:
        checkpoint: the weights that the trial started from.
        path: the trial's checkpoint.
        sha256: of that file.
        text_start: tokens that the tokenizer puts before a text.

    Raises:
        NothingUsable: the trial's checkpoint is gone or was changed.
    """
    import torch

    tensors, used = read_tensors(path, sha256)
    model: Any
    model, _ = load(checkpoint, kind.auto_class, splits.label_names)
    shape(model, settled(params, model), text_start)
    table = model.get_input_embeddings().weight
    for name, parameter in model.named_parameters():
        if name not in tensors:
            continue
        trained = tensors[name] if parameter is not table else vocabulary.restore(table.detach(), tensors[name], used)
        with torch.no_grad():
            parameter.copy_(trained)
    return model.eval()


def write_folder(
    folder: Path,
    model: Any,
    checkpoint: Checkpoint,
    max_length: int,
    result: Mapping[str, Any],
    card: str,
    original: Original | None = None,
) -> None:
    """Write everything beside the target first, then put it in place: a reader sees the old folder or the new one.

    Args:
        original: the winner's own models, which then lie beside the model that is shipped in their place.

    Raises:
        OutputError: it cannot be written, or something else has come there; what was there before still is.
    """
    place = folder.resolve()  # where a link leads to, on the disk that was meant
    fresh, old = (place.with_name(f".{place.name}.{os.getpid()}.{end}") for end in ("part", "old"))  # nobody else's
    try:
        _require_unused(folder, result["study"])
        fresh.mkdir(parents=True)
        tokenizer = load_tokenizer(checkpoint)
        tokenizer.model_max_length = max_length
        write_model(model, tokenizer, fresh)
        (fresh / "README.md").write_text(card, encoding="utf-8")
        (fresh / RESULT).write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        if original is not None:
            write_original(original, fresh)
        for weights in fresh.rglob("*.safetensors"):  # written for the owner's eyes only, unlike the rest
            weights.chmod((fresh / RESULT).stat().st_mode)
        if place.exists():
            place.rename(old)
        fresh.rename(place)
    except OutputError:
        raise
    except Exception as error:  # safetensors and tokenizers raise their own where the disk is full
        shutil.rmtree(fresh, ignore_errors=True)
        raise OutputError(
            f"--output {folder}: the model cannot be written ({error}); the study is safe: make room or name another "
            "folder, and run the same command again"
        ) from error
    shutil.rmtree(old, ignore_errors=True)


def _study_of(folder: Path) -> str | None:
    try:
        return str(json.loads((folder / RESULT).read_text(encoding="utf-8"))["study"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
