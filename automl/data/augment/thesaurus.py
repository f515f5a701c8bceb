"""English synonyms from what is installed: WordNet's corpus for nltk, or the data file of the `synnamon` package."""

from __future__ import annotations

import importlib.util
import math
from collections import Counter
from collections.abc import Callable
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from automl.data.augment.inflection import with_s, without_s
from automl.data.augment.pickled_hash import lists_of_strings, records
from automl.errors import UsageError

NEAREST = 5  # synonyms of a word that are used: further down are those of its rare senses
ONE_SENSE = 0.3  # of all pairs of a word's synonyms that name each other: with fewer it has several senses
NONE: frozenset[str] = frozenset()

Lookup = Callable[
    [str], list[str]
]  # synonyms of a word in small letters, the nearest first; empty where none are known


def identity() -> str:
    """Name and version of the thesaurus that is installed; empty where there is none."""
    if _wordnet_on_disk():
        return f"wordnet by nltk {version('nltk')}"
    return f"synnamon {version('synnamon')}" if importlib.util.find_spec("synnamon") else ""


@cache
def load() -> Lookup | None:
    """Synonyms from WordNet, else from synnamon, which has much the same but cannot tell usual senses from rare ones.

    Raises:
        UsageError: the installed synnamon has a data file of another format.
    """
    if _wordnet_on_disk():
        known = from_wordnet()
    elif importlib.util.find_spec("synnamon"):
        known = from_synnamon()
    else:
        return None

    @cache
    def lookup(word: str) -> list[str]:
        found = known(word)
        for singular in [] if found else without_s(word):
            if found := [plural for each in known(singular) if (plural := with_s(each))]:
                break
        return found[:NEAREST]

    return lookup


def _wordnet_on_disk() -> bool:
    if not importlib.util.find_spec("nltk"):
        return False
    import nltk

    for place in ("corpora/wordnet", "corpora/wordnet.zip/wordnet/"):
        try:
            nltk.data.find(place)
        except LookupError:
            continue
        return True
    return False


def from_wordnet() -> Lookup:
    """Synonyms from nltk's corpus: of the senses of a word that people usually mean, if all are one part of speech."""
    from nltk.corpus import wordnet

    def lookup(word: str) -> list[str]:
        senses = []  # how often the word was counted in this sense, its part of speech, and counts of its synonyms
        for synset in wordnet.synsets(word):
            counts = {lemma.name(): lemma.count() for lemma in synset.lemmas()}
            if word not in counts:
                return []  # it is also a form of another word, as longer is of long
            senses.append((counts.pop(word), "a" if synset.pos() == "s" else synset.pos(), counts))
        most = max((count for count, *_ in senses), default=0)
        usual = [sense for sense in senses if most and 2 * sense[0] > most]
        if len({part for _, part, _ in usual}) != 1:
            return []
        total: Counter[str] = Counter()
        for *_, counts in usual:
            total.update(counts)
        return sorted(filter(_is_plain, total), key=lambda name: (-total[name], name))

    return lookup


def from_synnamon() -> Lookup:
    """Synonyms from the package's data file.

    The package itself is not imported: it unpickles, and few Pythons on Linux have what opens its file.

    Raises:
        UsageError: the file has another format.
    """
    spec = importlib.util.find_spec("synnamon")
    folder = Path(spec.origin).parent if spec and spec.origin else Path()
    path = folder / "data" / "en_thesaurus.db"
    try:
        pickled = {key.decode(): value for key, value in records(path.read_bytes()) if key.isalpha() and key.isascii()}
    except (OSError, ValueError) as error:
        raise UsageError(
            f"synnamon {version('synnamon')}: its thesaurus {path} cannot be read ({error}); "
            "pip install 'automl-search[augment]' gets the version that can"
        ) from None
    return _nearest_in(lambda word: lists_of_strings(pickled[word]) if word in pickled else {})


def _nearest_in(record: Callable[[str], dict[str, list[str]]]) -> Lookup:
    """Choose among the synonyms of a thesaurus that mixes all senses of a word and does not say which are usual.

    The nearest synonyms name each other and have many synonyms in common; those with many are also the words in common
    use. A word whose synonyms do not name each other has many senses, and none is taken. Of a word that is several
    parts of speech only a clearly leading one is taken, because texts are not parsed.
    """

    @cache
    def listed(word: str) -> dict[str, frozenset[str]]:
        return {part: frozenset(filter(_is_plain, words)) - {word} for part, words in record(word).items()}

    @cache
    def every(word: str) -> frozenset[str]:
        return NONE.union(*listed(word).values())

    def nearness(word: str, other: str) -> float:
        ours, theirs = every(word), every(other)
        return (1 + len(ours & theirs)) / math.sqrt(len(ours) * len(theirs)) * math.log(1 + len(theirs))

    def lookup(word: str) -> list[str]:
        parts = listed(word)
        leading = max(sorted(parts), key=lambda part: len(parts[part]), default="")
        if not leading or 3 * len(parts[leading]) < 2 * sum(map(len, parts.values())):
            return []
        ours = parts[leading]
        named = sum(len(listed(other).get(leading, NONE) & (ours | {word})) for other in ours)
        if named < ONE_SENSE * len(ours) ** 2 or (leading == "verb" and parts.get("noun")):
            return []
        mutual = [other for other in ours if word in listed(other).get(leading, NONE)]
        return sorted(mutual, key=lambda other: (-nearness(word, other), other))

    return lookup


def _is_plain(word: Any) -> bool:
    """One word in small letters: no name, no phrase."""
    return bool(word.isascii() and word.isalpha() and word.islower() and len(word) > 2)
