"""Sentences of a text: where they end, and the text with them in another order."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

# A sentence ends at its punctuation (not at an ellipsis), with the quotes and brackets after it, before white space; in
# Chinese and Japanese also without any; and where a line ends.
_WESTERN = r"""(?<=[.!?])(?<!\.\.)(?<!\. \.)["'\u201d\u2019)\]]*(\s+)"""
_CHINESE = r"(?<=[\u3002\uff01\uff1f])(?![\u3002\uff01\uff1f])[\u300d\u300f\u201d\u2019\uff09]*(\s*)"
_BREAK = re.compile(rf"{_WESTERN}|{_CHINESE}|(\s*\n\s*)")
_ABBREVIATION = re.compile(
    r"(?:^|[\s(])(?:(?:[^\W\d_]\.)*[^\W\d_]|mr|mrs|ms|dr|prof|st|jr|sr|vs|etc|no|vol|co|inc|ltd)\.$", re.I
)
_LETTER = re.compile(r"[^\W_]")


def sentence_order(texts: Sequence[str], rng: np.random.Generator) -> list[str]:
    """Every text of two sentences or more with them in another order; the others as they are.

    Source: Yan et al. (2019), Data Augmentation for Deep Learning of Judgment Documents.
    """
    return [_shuffled(text, rng) for text in texts]


def split_sentences(text: str) -> tuple[list[str], list[str]]:
    """The sentences of a text, and the white space after each; joined in turn they are the text again."""
    sentences, spaces, start = [], [], 0
    for match in _BREAK.finditer(text):
        group = match.lastindex or 0
        end = match.start(group)
        rest_has_letters = _LETTER.search(text, match.end())
        if _LETTER.search(text, start, end) and rest_has_letters and not _ABBREVIATION.search(text[start:end]):
            sentences.append(text[start:end])
            spaces.append(match.group(group))
            start = match.end()
    return [*sentences, text[start:]], [*spaces, ""]


def _shuffled(text: str, rng: np.random.Generator) -> str:
    sentences, spaces = split_sentences(text)
    if len(sentences) < 2:
        return text
    order = rng.permutation(len(sentences))
    if (order == np.arange(len(order))).all():
        order = np.roll(order, 1)
    return "".join(sentences[index] + space for index, space in zip(order, spaces, strict=True))
