"""Which column of rows without labels is the text."""

from __future__ import annotations

from collections.abc import Sequence

from automl.errors import DataError
from automl.tasks.kinds.classification import TEXT_HEADERS


def text_column(names: Sequence[str], wanted: str | None, origin: str) -> str:
    """The one that is wanted, or that has a usual name, or the only one; upper and lower case are the same.

    Args:
        origin: of the rows, for the message.

    Raises:
        DataError: it cannot be told.
    """
    by_name = {name.strip().lower(): name for name in names}
    looked_for = [wanted] if wanted else list(TEXT_HEADERS)
    found = next((by_name[name.lower()] for name in looked_for if name.lower() in by_name), None)
    if found is None and wanted is None and len(names) == 1:
        found = names[0]
    if found is None:
        raise DataError(
            f"{origin}: which column is the text? name it with --text-column; the columns are "
            f"{', '.join(map(repr, names))}"
        )
    return found
