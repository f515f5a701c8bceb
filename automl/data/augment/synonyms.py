"""Words replaced by words of much the same meaning."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from automl.data.augment import thesaurus
from automl.data.augment.resources import Alter, Resources
from automl.data.augment.words import Span, find_words, match_case, pick, replace, share_of
from automl.errors import UsageError

SHARE = 0.15  # of the words of a text, if as many have synonyms
MIN_LETTERS = 3


def load_synonyms(resources: Resources) -> Alter:
    """Synonym replacement with the thesaurus that is installed.

    Raises:
        UsageError: none is.
    """
    lookup = thesaurus.load()
    if lookup is None:
        raise _no_thesaurus()
    return lambda texts, rng: replace_synonyms(texts, lookup, rng)


def thesaurus_needed(resources: Resources) -> str:
    """Identity of the installed thesaurus.

    Raises:
        UsageError: there is none.
    """
    found = thesaurus.identity()
    if not found:
        raise _no_thesaurus()
    return found


def replace_synonyms(texts: Sequence[str], lookup: thesaurus.Lookup, rng: np.random.Generator) -> list[str]:
    """Every text with some words replaced; function words, names and words without a synonym stay.

    Source: Zhang, Zhao & LeCun (2015), Character-level Convolutional Networks for Text Classification.
    """
    return [_with_synonyms(text, lookup, rng) for text in texts]


def replaceable(text: str, lookup: thesaurus.Lookup) -> dict[Span, list[str]]:
    """Where the words stand that have synonyms, and these."""
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    found = {}
    for start, end in find_words(text):
        word = text[start:end]
        if len(word) < MIN_LETTERS or word.lower() in ENGLISH_STOP_WORDS or _may_be_a_name(text, start):
            continue
        if synonyms := lookup(word.lower()):
            found[start, end] = synonyms
    return found


def _with_synonyms(text: str, lookup: thesaurus.Lookup, rng: np.random.Generator) -> str:
    possible = replaceable(text, lookup)
    new = {}
    for start, end in pick(list(possible), share_of(len(find_words(text)), SHARE), rng):
        synonyms = possible[start, end]
        new[start, end] = match_case(text[start:end], synonyms[int(rng.integers(len(synonyms)))])
    return replace(text, new)


def _may_be_a_name(text: str, start: int) -> bool:
    """A capital inside a sentence."""
    before = text[:start].rstrip(" \"'\u201c\u2018([")
    return text[start].isupper() and not text.isupper() and bool(before) and before[-1] not in ".!?:\n"


def _no_thesaurus() -> UsageError:
    return UsageError(
        "augmentation synonyms: no thesaurus is installed; it reads synnamon's or nltk's corpus wordnet; "
        "pip install 'automl-search[augment]', or take synonyms out of the search space"
    )
