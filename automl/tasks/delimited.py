"""CSV and TSV text to columns of strings."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from automl.errors import DataError

LARGEST_FIELD = 2**31 - 1  # characters; csv's own limit is 131,072


def csv_columns(text: str, origin: str) -> dict[str, list[str]]:
    """Columns of a CSV text; its header tells whether fields end at commas, semicolons or tabs."""
    header = text.partition("\n")[0]
    return _quoted(text, next((mark for mark in ",;\t" if mark in header), ","), origin)


def tsv_columns(text: str, origin: str) -> dict[str, list[str]]:
    """Columns of a TSV text. Many such files do not quote, so a line is a row wherever all lines agree on that."""
    with any_field_size():
        rows = [tsv_row(line.removesuffix("\r")) for line in text.split("\n") if line.strip("\r")]
    if len({len(row) for row in rows}) > 1:
        return _quoted(text, "\t", origin)
    return _by_column(rows[0] if rows else [], rows[1:], origin)


def refuse_repeated(names: Sequence[str], origin: str) -> None:
    """Raise DataError where two columns have one name."""
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise DataError(f"{origin}: more than one column is called {repeated[0]!r}; give each a name of its own")


def tsv_row(line: str) -> list[str]:
    """The fields of a line, with its quotation marks as they are where they are not meant as such."""
    try:
        return next(csv.reader([line], delimiter="\t", strict=True))
    except csv.Error:
        return line.split("\t")


def _quoted(text: str, delimiter: str, origin: str) -> dict[str, list[str]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows: list[list[str]] = []
    line = 1  # where the row in hand begins, which a quoted line break sets apart from reader.line_num
    with any_field_size():
        try:
            for row in reader:
                if row and rows and len(row) != len(rows[0]):
                    raise DataError(
                        f"{origin}, line {line}: field count {len(row)}, but the header's is {len(rows[0])}; put "
                        f"quotation marks around fields that hold {delimiter!r} or a line break"
                    )
                if row:
                    rows.append(row)
                line = reader.line_num + 1
        except csv.Error as error:
            reason = "a quotation mark is never closed" if "end of data" in str(error) else str(error)
            raise DataError(f"{origin}, line {line}: {reason}; inside a quoted field write each mark twice") from None
    return _by_column(rows[0] if rows else [], rows[1:], origin)


def _by_column(header: Sequence[str], rows: Sequence[Sequence[str]], origin: str) -> dict[str, list[str]]:
    names = [name.strip() for name in header]
    refuse_repeated(names, origin)
    return {name: [row[index] for row in rows] for index, name in enumerate(names)}


@contextmanager
def any_field_size() -> Iterator[None]:
    """csv's limit is a setting of the whole process, so it is put back."""
    before = csv.field_size_limit(LARGEST_FIELD)
    try:
        yield
    finally:
        csv.field_size_limit(before)
