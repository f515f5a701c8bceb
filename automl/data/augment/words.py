"""Words inside a text: where they stand, and how to put others in their place without touching the rest."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np

Span = tuple[int, int]  # start and end in the text

_WORD = re.compile(r"[^\W\d_]+(?:['\u2019-][^\W\d_]+)*")
_CHUNK = re.compile(r"\S+")
_NOT_PROSE = re.compile(r"[@#/\\<>=_{}]|\d|^www\.")  # names of users, tags, addresses, markup, numbers with units


def find_words(text: str) -> list[Span]:
    """The words of a text, in any script, without those in addresses, markup and the like; well-made is one word."""
    chunks = (chunk for chunk in _CHUNK.finditer(text) if not _NOT_PROSE.search(chunk.group()))
    return [match.span() for chunk in chunks for match in _WORD.finditer(text, *chunk.span())]


def replace(text: str, new: Mapping[Span, str]) -> str:
    """The text with what stands in each span replaced; spans may not overlap."""
    pieces, end = [], 0
    for (start, stop), word in sorted(new.items()):
        pieces += [text[end:start], word]
        end = stop
    return "".join([*pieces, text[end:]])


def pick(spans: Sequence[Span], count: int, rng: np.random.Generator) -> list[Span]:
    """`count` of the spans, or all where there are fewer, in the order of the text."""
    chosen = rng.choice(len(spans), size=min(count, len(spans)), replace=False)
    return [spans[index] for index in sorted(chosen.tolist())]


def share_of(words: int, share: float) -> int:
    """How many of so many words a share is; at least one, or a short text would never change."""
    return max(1, round(words * share))


def match_case(word: str, new: str) -> str:
    """`new` with a capital or in capitals where `word` is."""
    if len(word) > 1 and word.isupper():
        return new.upper()
    return new[:1].upper() + new[1:] if word[:1].isupper() else new
