"""The texts of the pages in the languages that they are in. English texts are their own keys."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import yaml

LANGUAGES = {"en": "English", "zh": "中文"}


def translate(text: str, language: str) -> str:
    """The text in a language; as it is where it has not been translated."""
    return _texts(language).get(text, text)


@cache
def _texts(language: str) -> dict[str, str]:
    file = Path(__file__).with_name(f"{language}.yaml")
    if language == "en" or language not in LANGUAGES:
        return {}
    texts: dict[str, str] = yaml.safe_load(file.read_text(encoding="utf-8"))
    return texts
