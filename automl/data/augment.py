"""Augmentations of training text. Each maps texts to as many altered copies, seeded, made once a study."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

EDITED_SHARE = 0.1  # of a text's words; Wei & Zou (2019), EDA, recommend 0.05-0.1 for small sets


def random_edits(texts: Sequence[str], seed: int) -> list[str]:
    """Swap some neighbouring words of each text and drop some others; a text keeps at least one word.

    Source: Wei & Zou (2019), EDA: Easy Data Augmentation.
    """
    rng = np.random.default_rng([seed, 1])
    return [" ".join(_edit(text.split(), rng)) for text in texts]


def _edit(words: list[str], rng: np.random.Generator) -> list[str]:
    edits = max(1, round(len(words) * EDITED_SHARE))
    words = list(words)
    for _ in range(edits):
        if len(words) < 2:
            break
        at = int(rng.integers(len(words) - 1))
        if rng.random() < 0.5:
            words[at], words[at + 1] = words[at + 1], words[at]
        else:
            del words[at]
    return words


AUGMENTATIONS: dict[str, Callable[[Sequence[str], int], list[str]]] = {"random_edits": random_edits}
