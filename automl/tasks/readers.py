"""Files to tables: CSV, TSV, JSON, JSONL, Parquet. Cells of CSV and TSV stay strings, those of others keep types."""

from __future__ import annotations

import codecs
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from automl.errors import DataError, TaskError
from automl.records import Table
from automl.tasks import delimited

BOMS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",  # before UTF-16, whose mark it begins with
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


def read_table(path: Path) -> Table:
    """Read one file by its suffix.

    Raises:
        TaskError: there is no such file.
        DataError: its suffix, encoding or form is not one of those allowed, or it has no rows.
    """
    read = READERS.get(path.suffix.lower())
    if read is None:
        raise DataError(f"{path}: cannot read suffix {path.suffix!r}; allowed are {', '.join(READERS)}: convert it")
    try:
        size = path.stat().st_size
        table = read(path) if size else None
    except FileNotFoundError:
        raise TaskError(f"{path}: no such file; check the path") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error}); check its permissions") from None
    if not table:
        what = (
            "is empty"
            if not size
            else "has a header but no rows"
            if table is not None and table.columns
            else "holds no rows"
        )
        raise DataError(f"{path}: {what}; give a file with one row a text")
    return table


def with_label_names(columns: Mapping[str, list[Any]], class_labels: Mapping[str, Sequence[str]], origin: str) -> Table:
    """A table whose ClassLabel columns hold names in place of numbers, and None for a number without one (-1)."""
    named = dict(columns)
    for column, names in class_labels.items():
        known = dict(enumerate(names))
        named[column] = [known.get(value) for value in columns[column]]
    only = next(iter(class_labels.values())) if len(class_labels) == 1 else None
    return Table(named, origin, tuple(only) if only else None)


def _csv(path: Path) -> Table:
    return Table(delimited.csv_columns(_text(path), str(path)), str(path))


def _tsv(path: Path) -> Table:
    return Table(delimited.tsv_columns(_text(path), str(path)), str(path))


def _json(path: Path) -> Table:
    try:
        value = json.loads(_text(path))
    except ValueError as error:
        raise DataError(f"{path}: is not JSON ({error}); for one object a line use the suffix .jsonl") from None
    if isinstance(value, list) and all(isinstance(row, dict) for row in value):
        return _from_objects(path, value)
    if not (isinstance(value, dict) and value and all(isinstance(cells, list) for cells in value.values())):
        raise DataError(
            f"{path}: the JSON must be a list of objects or one object of lists, found {_shape(value)}; "
            'pandas writes the former with df.to_json(path, orient="records")'
        )
    if len({len(cells) for cells in value.values()}) > 1:
        lengths = ", ".join(f"{name!r} {len(cells)}" for name, cells in value.items())
        raise DataError(f"{path}: columns of unequal length ({lengths}); give each one value a row")
    return Table(value, str(path))


def _jsonl(path: Path) -> Table:
    rows = []
    # str.splitlines would also break at U+2028 and others, which may stand inside a JSON string.
    for number, line in enumerate(_text(path).split("\n"), start=1):
        if line.strip():
            rows.append(json_object(line, f"{path}, line {number}"))
    return _from_objects(path, rows)


def json_object(line: str, place: str) -> dict[str, Any]:
    """The object on a line of a JSONL file. Raises DataError, which names the place, where it holds something else."""
    try:
        row = json.loads(line)
    except ValueError as error:
        raise DataError(f"{place}: is not JSON ({error}); each line is one object") from None
    if not isinstance(row, dict):
        raise DataError(f'{place}: found {_shape(row)}; each line is one object, as in {{"text": ...}}')
    return row


def _parquet(path: Path) -> Table:
    import pyarrow
    from pyarrow import parquet

    try:
        # read_table of pyarrow would add columns that it finds in folder names such as lang=en.
        data = parquet.ParquetFile(path).read()
    except pyarrow.ArrowException as error:
        raise DataError(f"{path}: is not readable Parquet ({str(error).splitlines()[0]}); write it again") from None
    delimited.refuse_repeated(data.column_names, str(path))
    return with_label_names(data.to_pydict(), _class_labels(data.schema.metadata or {}), str(path))


def _class_labels(metadata: Mapping[bytes, bytes]) -> dict[str, list[str]]:
    """Label names by column, from what the `datasets` library writes into a Parquet file."""
    try:
        features = json.loads(metadata[b"huggingface"])["info"]["features"]
        return {name: spec["names"] for name, spec in features.items() if spec.get("_type") == "ClassLabel"}
    except (KeyError, TypeError, ValueError, AttributeError):
        return {}


def _text(path: Path) -> str:
    content = path.read_bytes()
    encoding = next((name for mark, name in BOMS.items() if content.startswith(mark)), "utf-8")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        found = f"byte 0x{content[error.start]:02x} at offset {error.start}, line {line}"
        raise DataError(f"{path}: is not {encoding.upper()} ({found}); save it as UTF-8") from None
    if "\0" in text:
        raise DataError(f"{path}: holds a NUL at character {text.index(chr(0))}, so is no UTF-8 text; save it as UTF-8")
    return text


def _from_objects(path: Path, rows: Sequence[Mapping[str, Any]]) -> Table:
    names = dict.fromkeys(name for row in rows for name in row)
    return Table({name: [row.get(name) for row in rows] for name in names}, str(path))


def _shape(value: Any) -> str:
    return f"{type(value).__name__} {json.dumps(value)[:40]}"


READERS: dict[str, Callable[[Path], Table]] = {
    ".csv": _csv,
    ".tsv": _tsv,
    ".json": _json,
    ".jsonl": _jsonl,
    ".parquet": _parquet,
}
