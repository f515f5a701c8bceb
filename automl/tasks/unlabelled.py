"""Further texts of the user's domain, without labels."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from automl.errors import DataError, TaskError
from automl.tasks.kinds.classification import TEXT_HEADERS
from automl.tasks.readers import READERS, read_table


def read_unlabelled(path: Path, text_column: str | None, known: Iterable[str]) -> tuple[str, ...]:
    """Distinct texts of a file, in its order: one a line of a .txt file, or the text column of any format of a task.

    Args:
        known: texts to leave out, those of validation and test rows: nothing may be trained on them.

    Raises:
        TaskError: there is no such file.
        DataError: it cannot be read, or which column is the text cannot be told.
    """
    taken = {_key(text) for text in known}
    kept: dict[str, str] = {}
    for text in _texts(path, text_column):
        if isinstance(text, str) and text.strip() and _key(text) not in taken:
            kept.setdefault(_key(text), text.strip())
    if not kept:
        raise DataError(f"--unlabelled {path}: holds no text that is not in validation or test rows; give other texts")
    return tuple(kept.values())


def _texts(path: Path, text_column: str | None) -> Iterable[object]:
    if path.suffix.lower() == ".txt":
        try:
            return path.read_text(encoding="utf-8-sig").splitlines()
        except FileNotFoundError:
            raise TaskError(f"--unlabelled {path}: no such file; check the path") from None
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"--unlabelled {path}: cannot be read ({error}); save it as UTF-8 text") from None
    if path.suffix.lower() not in READERS:
        raise DataError(
            f"--unlabelled {path}: cannot read suffix {path.suffix!r}; allowed are .txt, {', '.join(READERS)}"
        )
    table = read_table(path)
    wanted = [text_column] if text_column else [*TEXT_HEADERS]
    by_name = {name.strip().lower(): name for name in table.columns}
    column = next((by_name[name.lower()] for name in wanted if name.lower() in by_name), None)
    if column is None and len(table.columns) == 1:
        column = next(iter(table.columns))
    if column is None:
        raise DataError(
            f"--unlabelled {path}: which column is the text? name it with --text-column; the columns are "
            f"{', '.join(map(repr, table.columns))}"
        )
    return table.columns[column]


def _key(text: str) -> str:
    return " ".join(text.casefold().split())
