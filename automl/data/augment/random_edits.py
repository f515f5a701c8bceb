"""Easy data augmentation: words swapped, dropped and put in."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from automl.data.augment import thesaurus
from automl.data.augment.resources import Alter, Resources
from automl.data.augment.synonyms import replaceable
from automl.data.augment.words import share_of

SHARE = 0.1  # of a text's words; the paper recommends 0.05-0.1 for small sets


def load_random_edits(resources: Resources) -> Alter:
    """Random edits, which put in synonyms where a thesaurus is installed."""
    lookup = thesaurus.load() or (lambda word: [])
    return lambda texts, rng: random_edits(texts, lookup, rng)


def random_edits(texts: Sequence[str], lookup: thesaurus.Lookup, rng: np.random.Generator) -> list[str]:
    """Every text with as many edits as are `SHARE` of its words; one of a single word stays.

    An edit swaps two words, drops one, or puts in a synonym of one of the text's words, anywhere; where none of them
    has a synonym, it puts in a copy of one of them.

    Source: Wei & Zou (2019), EDA: Easy Data Augmentation.
    """
    return [_edited(text, lookup, rng) for text in texts]


def _edited(text: str, lookup: thesaurus.Lookup, rng: np.random.Generator) -> str:
    words = text.split()
    if len(words) < 2:
        return text
    spare = [synonym for synonyms in replaceable(text, lookup).values() for synonym in synonyms] or list(words)
    for _ in range(share_of(len(words), SHARE)):
        match ("swap", "drop", "insert")[int(rng.integers(3))]:
            case "swap":
                one, other = rng.choice(len(words), size=2, replace=False)
                words[one], words[other] = words[other], words[one]
            case "drop":
                del words[int(rng.integers(len(words)))]
            case _:
                words.insert(int(rng.integers(len(words) + 1)), spare[int(rng.integers(len(spare)))])
    return " ".join(words)
