"""Further texts of the user's domain, without labels."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from automl.errors import DataError, TaskError
from automl.tasks.readers import READERS, read_table
from automl.tasks.text_column import text_column
from automl.texts import normalised


def read_unlabelled(path: Path, column: str | None, known: Iterable[str]) -> tuple[str, ...]:
    """Distinct texts of a file, in its order: one a line of a .txt file, or the text column of any format of a task.

    Args:
        column: with the text; None finds it.
        known: texts to leave out, those of validation and test rows: nothing may be trained on them.

    Raises:
        TaskError: there is no such file.
        DataError: it cannot be read, or which column is the text cannot be told.
    """
    taken = {normalised(text) for text in known}
    kept: dict[str, str] = {}
    for text in _texts(path, column):
        if isinstance(text, str) and text.strip() and normalised(text) not in taken:
            kept.setdefault(normalised(text), text.strip())
    if not kept:
        raise DataError(f"--unlabelled {path}: holds no text that is not in validation or test rows; give other texts")
    return tuple(kept.values())


def _texts(path: Path, wanted: str | None) -> Iterable[object]:
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
    return table.columns[text_column(list(table.columns), wanted, f"--unlabelled {path}")]
