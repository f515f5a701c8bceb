"""The ending -s of English nouns and verbs, taken off and put on; irregular words are left alone."""

from __future__ import annotations

_NO_S = ("man", "child", "person", "foot", "tooth", "goose", "mouse", "fish", "deer", "sheep", "series", "species")


def without_s(word: str) -> list[str]:
    """What a word may be without its -s, the likeliest first: stories -> story, storie; empty where there is none."""
    if len(word) < 4 or not word.endswith("s") or word.endswith(("ss", "us", "is")):
        return []
    found = [word[:-1]]
    if word.endswith(("ses", "xes", "zes", "ches", "shes", "oes")):
        found.append(word[:-2])
    if word.endswith("ies"):
        found.insert(0, word[:-3] + "y")
    return found


def with_s(word: str) -> str | None:
    """The word with its -s: stories for story; None where it has none, or one that no rule tells."""
    if word.endswith(_NO_S) or word.endswith(("f", "fe", "o", "us", "is")):
        return None
    if word.endswith(("s", "x", "z", "ch", "sh")):
        return word + "es"
    if word.endswith("y") and word[-2:-1] not in "aeiou":
        return word[:-1] + "ies"
    return word + "s"
