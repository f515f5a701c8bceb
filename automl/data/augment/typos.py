"""Typing errors: a neighbouring key, two letters in the wrong order, one left out, one twice."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from automl.data.augment.words import find_words, match_case, pick, replace, share_of

SHARE = 0.08  # of the words of a text
MIN_LETTERS = 4  # a shorter word easily becomes another word

_ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")


def typos(texts: Sequence[str], rng: np.random.Generator) -> list[str]:
    """One typing error in each of a few words of every text; only words of ASCII letters get one.

    Source: Belinkov & Bisk (2018), Synthetic and Natural Noise Both Break Neural Machine Translation.
    """
    return [_mistyped(text, rng) for text in texts]


def _mistyped(text: str, rng: np.random.Generator) -> str:
    words = find_words(text)
    possible = [(a, b) for a, b in words if b - a >= MIN_LETTERS and text[a:b].isascii() and text[a:b].isalpha()]
    chosen = pick(possible, share_of(len(words), SHARE), rng)
    return replace(text, {(a, b): _mistype(text[a:b], rng) for a, b in chosen})


def _mistype(word: str, rng: np.random.Generator) -> str:
    at = int(rng.integers(1, len(word)))  # people rarely miss the first letter
    before, letter, after = word[:at], word[at], word[at + 1 :]
    if rng.random() < 0.25 and after and after[0] != letter:
        return before + after[0] + letter + after[1:]
    neighbours = _neighbours(letter.lower())
    other = match_case(letter, neighbours[int(rng.integers(len(neighbours)))])
    return before + (other, "", letter * 2)[int(rng.integers(3))] + after


def _neighbours(letter: str) -> str:
    """The keys beside a letter on a QWERTY keyboard, in its own row and the rows above and below."""
    row = next(index for index, keys in enumerate(_ROWS) if letter in keys)
    column = _ROWS[row].index(letter)
    near = _ROWS[row][max(0, column - 1) : column] + _ROWS[row][column + 1 : column + 2]
    if row > 0:
        near += _ROWS[row - 1][column : column + 2]
    if row < 2:
        near += _ROWS[row + 1][max(0, column - 1) : column + 1]
    return near
