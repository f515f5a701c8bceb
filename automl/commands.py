"""Commands as they were typed and recorded, changed for another purpose."""

from __future__ import annotations

import shlex
from collections.abc import Collection


def without(command: str, options: Collection[str], flags: Collection[str] = ()) -> list[str]:
    """The words of a command, but for these options with their values (`--a b` or `--a=b`), and these flags."""
    kept: list[str] = []
    words = iter(shlex.split(command))
    for word in words:
        option, equals, _ = word.partition("=")
        if option in options:
            if not equals:
                next(words, None)
        elif word not in flags:
            kept.append(word)
    return kept
