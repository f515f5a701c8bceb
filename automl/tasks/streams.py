"""Rows of a file one after another, so that it may be larger than memory; and rows written likewise."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from automl.errors import DataError, TaskError
from automl.tasks.delimited import any_field_size, refuse_repeated, tsv_row
from automl.tasks.readers import json_object

Row = Mapping[str, Any]


def read_stream(path: Path) -> Iterator[Row]:
    """Each row by its column names; of a .txt file each line is a row with the column "text".

    Raises:
        TaskError: there is no such file.
        DataError: its suffix is not one of those allowed, or a row cannot be read; said when it is reached.
    """
    read = STREAMS.get(path.suffix.lower())
    if read is None:
        raise DataError(f"{path}: cannot read suffix {path.suffix!r}; allowed are {', '.join(STREAMS)}: convert it")
    try:
        yield from read(path)
    except FileNotFoundError:
        raise TaskError(f"{path}: no such file; check the path") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is not UTF-8 ({error.reason}, byte {error.start}); save it as UTF-8") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error}); check its permissions") from None


def _csv(path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        header = file.readline()
    return _quoted(path, next((mark for mark in ",;\t" if mark in header), ","))


def _tsv(path: Path) -> Iterator[Row]:
    """As a task is read: many such files do not quote, so a line is a row wherever all lines agree on that."""
    with any_field_size():
        if len({len(tsv_row(line)) for line in _lines(path)}) > 1:
            yield from _quoted(path, "\t")
            return
        rows = map(tsv_row, _lines(path))
        names = [name.strip() for name in next(rows, [])]
        refuse_repeated(names, str(path))
        for row in rows:
            yield dict(zip(names, row, strict=True))


def _lines(path: Path) -> Iterator[str]:
    with path.open(encoding="utf-8-sig", newline="\n") as file:
        yield from (text for line in file if (text := line.rstrip("\r\n")))


def _quoted(path: Path, delimiter: str) -> Iterator[Row]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, delimiter=delimiter, strict=True)
        with any_field_size():
            try:
                names = [name.strip() for name in next(reader, [])]
                refuse_repeated(names, str(path))
                for row in reader:
                    if row and len(row) != len(names):
                        raise DataError(
                            f"{path}, line {reader.line_num}: field count {len(row)}, but the header's is "
                            f"{len(names)}; put quotation marks around fields that hold {delimiter!r} or a line break"
                        )
                    if row:
                        yield dict(zip(names, row, strict=True))
            except csv.Error as error:
                raise DataError(f"{path}, line {reader.line_num}: {error}; quote fields as CSV does") from None


def _jsonl(path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                yield json_object(line, f"{path}, line {number}")


def _txt(path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8-sig") as file:
        for line in file:
            yield {"text": line.rstrip("\r\n")}


def _parquet(path: Path) -> Iterator[Row]:
    import pyarrow
    from pyarrow import parquet

    try:
        for batch in parquet.ParquetFile(path).iter_batches(1024):
            yield from batch.to_pylist()
    except pyarrow.ArrowException as error:
        raise DataError(f"{path}: is not readable Parquet ({str(error).splitlines()[0]}); write it again") from None


STREAMS: dict[str, Callable[[Path], Iterator[Row]]] = {
    ".csv": _csv,
    ".tsv": _tsv,
    ".jsonl": _jsonl,
    ".txt": _txt,
    ".parquet": _parquet,
}


def writer(file: TextIO, suffix: str) -> Callable[[Sequence[Row]], None]:
    """A function that writes further rows, in the form that the suffix names; a header comes before the first one.

    Raises:
        DataError: the suffix is not one of those allowed.
    """
    if suffix == ".jsonl":

        def write_objects(rows: Sequence[Row]) -> None:
            file.writelines(json.dumps(row, ensure_ascii=False, default=str) + "\n" for row in rows)

        return write_objects
    if suffix not in (".csv", ".tsv"):
        raise DataError(f"--output: cannot write suffix {suffix!r}; allowed are .csv, .tsv, .jsonl")
    plain = csv.writer(file, delimiter="\t" if suffix == ".tsv" else ",", lineterminator="\n")
    names: list[str] = []

    def write(rows: Sequence[Row]) -> None:
        if rows and not names:
            names.extend(rows[0])
            plain.writerow(names)
        if late := sorted({str(name) for row in rows for name in row} - set(map(str, names))):
            raise DataError(f"--output: {suffix} cannot hold {late[0]!r}, which the first row has not: write .jsonl")
        plain.writerows([row.get(name) for name in names] for row in rows)

    return write
