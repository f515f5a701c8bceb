"""The shipped model of a finished study, found again: its folder, and what may be said of it elsewhere."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from automl.commands import without
from automl.errors import ModelError, OutputError, UsageError
from automl.export.card import write_card
from automl.export.folder import RESULT as RESULT_FILE
from automl.export.hub import push
from automl.export.original import FOLDER as ORIGINAL
from automl.export.original import INDEX
from automl.study import readable_url
from automl.study.reader import Reader, StudyRecord
from automl.study.record import RESULT

CARD, SPACE = "README.md", "search_space.yaml"
PRIVATE = ("model_dir", "audit")  # of `result.json`: paths of the machine that searched
OF_THE_MACHINE = ("--storage", "--address", "--output")  # of the command: what belongs to it alone


@dataclass(frozen=True)
class ShippedModel:
    """What a study ships.

    Args:
        folder: as the search wrote it.
        result: the content of its `result.json`.
    """

    study: str
    folder: Path
    result: Mapping[str, Any]

    @property
    def files(self) -> list[Path]:
        """Every file of it, relative to its folder."""
        return sorted(path.relative_to(self.folder) for path in self.folder.rglob("*") if path.is_file())

    def card(self, where: str = "PATH") -> str:
        """The model card, for a reader who finds the model at a path or in a repository."""
        return write_card(self.public, where)

    @property
    def public(self) -> dict[str, Any]:
        """The result without paths of this machine: of a local task or model its last part is left."""
        shown = {name: value for name, value in self.result.items() if name not in PRIVATE}
        shown["command"] = _for_others(str(shown.get("command", "")), own_space=bool(shown.get("own_space")))
        clean = {name: _without_paths(value, _paths(self.result)) for name, value in shown.items()}
        return clean | (
            {"labels": self.result["labels"]} if "labels" in self.result else {}
        )  # a label may look like one


def shipped_model(url: str, study: str) -> ShippedModel:
    """The one of a study of a database.

    Raises:
        UsageError: there is no such study; and what `shipped_of` raises.
        StorageError: the database cannot be read.
    """
    reader = Reader(url)
    try:
        found = reader.study(study)
        names = [one.name for one in reader.studies()]
    finally:
        reader.close()
    if found is None:
        known = f"it has {', '.join(names[:10])}" if names else "it has none"
        raise UsageError(f"--study {study!r}: there is no such study in {readable_url(url)}; {known}")
    return shipped_of(found)


def shipped_of(found: StudyRecord) -> ShippedModel:
    """The one of a study.

    Raises:
        UsageError: it has no result yet.
        ModelError: its folder is not there any more, or is another study's.
    """
    study, result = found.name, found.facts.get(RESULT)
    again = found.facts.get("command", "the command that began it")
    if not result:
        raise UsageError(f"--study {study}: it has no result yet; let the search end, or go on with it: {again}")
    folder = Path(result["model_dir"])
    try:
        stored = json.loads((folder / RESULT_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(
            f"{folder}: the study's model cannot be read there ({error}); the same command writes it again, without "
            f"training: {again}"
        ) from None
    if stored.get("study") != study or stored.get("test") != result["test"]:
        raise ModelError(f"{folder} holds something else than the study's model now; write it again with {again}")
    return ShippedModel(study, folder, result)


def copy_to(model: ShippedModel, target: Path, where: str | None = None) -> None:
    """Write the model to another folder, whole or not at all.

    Args:
        where: what its card says that it is loaded from; by default the folder's name.

    Raises:
        OutputError: it is not empty, or cannot be written.
    """
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise OutputError(f"{target}: is not an empty folder; nothing is overwritten: name another one")
    whole = target.resolve()
    part = whole.with_name(f".{whole.name}.{os.getpid()}.part")  # nobody else's
    try:
        shutil.copytree(model.folder, part)
        (part / CARD).write_text(model.card(where or whole.name), encoding="utf-8")
        if own := model.result.get("own_space"):  # the command names it
            (part / SPACE).write_text(own, encoding="utf-8")
        _write_json(part / RESULT_FILE, model.public)
        with contextlib.suppress(FileNotFoundError):  # there is one where it was asked for
            index = part / ORIGINAL / INDEX
            kept = json.loads(index.read_text(encoding="utf-8"))
            _write_json(index, {**kept, "base_model": _without_paths(kept["base_model"], [])})
        if whole.exists():
            whole.rmdir()
        part.rename(whole)
    except OSError as error:
        raise OutputError(f"{target}: cannot be written ({error}); name a folder on a disk with room") from None
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def publish(
    model: ShippedModel, repo_id: str, *, private: bool = False, update: bool = False, token: str | None = None
) -> str:
    """Push a shipped model to the Hub; the address of its repository. Raises as `hub.push` does."""
    with tempfile.TemporaryDirectory(prefix="automl-export-") as scratch:
        folder = Path(scratch) / "model"
        copy_to(model, folder, where=repo_id)
        return push(folder, repo_id, private=private, update=update, token=token)


def _paths(result: Mapping[str, Any]) -> list[str]:
    """Absolute paths that its texts name, the longest first."""
    command = [word.partition("=")[2] if word.startswith("--") else word for word in _words(result.get("command", ""))]
    source = str(result["data"]["source"]).partition(" ")[2]  # "folder PATH", "file PATH"
    told = {*command, source, result["model"], *result.get("models", [])}
    return sorted((path for path in told if path.startswith(("/", "~"))), key=len, reverse=True)


def _for_others(command: str, *, own_space: bool) -> str:
    """The command without options that mean something on this machine only; its own search space lies beside it."""
    if own_space:
        return shlex.join([*without(command, (*OF_THE_MACHINE, "--search-space")), "--search-space", SPACE])
    return shlex.join(without(command, OF_THE_MACHINE))


def _words(command: str) -> list[str]:
    return [part for word in shlex.split(command) for part in (word, *word.split(","))]  # of several models, each


def _without_paths(value: Any, paths: list[str]) -> Any:
    """The same without them: a value that is a path, and one within a text, are their last part."""
    if isinstance(value, Mapping):
        return {name: _without_paths(one, paths) for name, one in value.items()}
    if isinstance(value, list):
        return [_without_paths(one, paths) for one in value]
    if not isinstance(value, str):
        return value
    if value.startswith("/"):
        return Path(value).name
    for path in paths:
        value = value.replace(path, Path(path).name)
    return value
