"""When two texts are the same."""

from __future__ import annotations


def normalised(text: str) -> str:
    """The text without differences of case and white space."""
    return " ".join(text.casefold().split())
