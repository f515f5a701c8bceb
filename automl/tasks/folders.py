"""Files and folders that a user names: one file, split files side by side, shards, or a saved `datasets` folder."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from automl.errors import DataError
from automl.records import Table
from automl.tasks import arrow_sets
from automl.tasks.readers import READERS, read_table
from automl.tasks.split_roles import ROLES, by_role

SHARD = re.compile(r"(.+)-(\d+)-of-(\d+)")


def load(path: Path) -> dict[str, Table]:
    """Tables by role ("train" always) from a file or a folder.

    Raises:
        DataError: the folder holds no train split, or a split twice, in part or in different forms.
    """
    if path.is_file():
        return {"train": read_table(path)}
    if arrow_sets.is_saved(path):
        return by_role(arrow_sets.read_saved(path), str(path))
    found = _split_files(path) or _split_files(path / "data")
    if not found:
        some = ", ".join(sorted(child.name for child in path.iterdir())[:8]) or "nothing"
        raise DataError(
            f"{path}: no file called train with a suffix of {', '.join(READERS)}; it holds {some}: "
            "rename the file with the training rows, or give its path"
        )
    if "train" not in {ROLES[name] for name in found}:
        raise DataError(f"{path}: has {', '.join(found)} but no train file; rename the file with the training rows")
    return {role: _joined(files) for role, files in by_role(found, str(path)).items()}


def _split_files(folder: Path) -> dict[str, list[Path]]:
    """Files by split name as written: `train.csv`, or the shards `train-00000-of-00002.parquet` and so on."""
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        shard = SHARD.fullmatch(path.stem)
        name = (shard[1] if shard else path.stem).lower()
        if path.is_file() and path.suffix.lower() in READERS and name in ROLES:
            found.setdefault(name, []).append(path)
    for name, files in found.items():
        shards = [SHARD.fullmatch(path.stem) for path in files]
        indexes = {(int(shard[2]), int(shard[3])) for shard in shards if shard}
        totals = {total for _, total in indexes}
        whole = len(totals) == 1 and indexes == {(index, total) for total in totals for index in range(total)}
        listed = ", ".join(path.name for path in files[:5])
        if len(files) > 1 and (not all(shards) or len({path.suffix for path in files}) > 1):
            raise DataError(f"{folder}: more than one {name} file ({listed}); keep one")
        if any(shards) and not whole:
            raise DataError(f"{folder}: shards of {name} are missing, there are only {listed}; fetch the others")
    return found


def _joined(files: Sequence[Path]) -> Table:
    tables = [read_table(path) for path in files]
    first = tables[0]
    for table in tables[1:]:
        if set(table.columns) != set(first.columns) or table.label_names != first.label_names:
            raise DataError(f"{table.origin}: columns or labels differ from those of {files[0].name}; write all alike")
    columns = {name: [value for table in tables for value in table.columns[name]] for name in first.columns}
    origin = str(files[0].parent / SHARD.sub(r"\1-*-of-\3", files[0].name)) if len(files) > 1 else first.origin
    return Table(columns, origin, first.label_names)
