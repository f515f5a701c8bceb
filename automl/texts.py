"""When two texts are the same, and how a text is kept from being taken for something else."""

from __future__ import annotations

FORMULA = ("=", "+", "-", "@", "\t", "\r")  # a spreadsheet computes a cell that begins with one of these


def normalised(text: str) -> str:
    """The text without differences of case and white space."""
    return " ".join(text.casefold().split())


def spreadsheet_safe(value: object) -> object:
    """A cell as it is; a text that a spreadsheet would compute gets a leading quote."""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value
