"""Labels of unequal number: what to say of them, and how to weigh or draw their rows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

IMBALANCED_FROM = 3.0  # rows of the largest label over those of the smallest; below, weights change little
SCARCE_BELOW = 5  # rows of a label: one right or wrong is a fifth of its recall and more
MOST_NAMED = 5


@dataclass(frozen=True)
class Imbalance:
    """The largest and the smallest label of some rows, by id, and how many rows they have."""

    largest: int
    largest_rows: int
    smallest: int
    smallest_rows: int

    @property
    def ratio(self) -> float:
        """Rows of the largest label for each row of the smallest; infinite where that has none."""
        return self.largest_rows / self.smallest_rows if self.smallest_rows else math.inf

    @property
    def is_imbalanced(self) -> bool:
        return self.ratio >= IMBALANCED_FROM

    def sentence(self, label_names: Sequence[str]) -> str | None:
        """What a report says of it, in one sentence; None where the labels are balanced."""
        if not self.is_imbalanced:
            return None
        return (
            f"The labels are imbalanced: {label_names[self.largest]!r} has {self.largest_rows} training rows, "
            f"{label_names[self.smallest]!r} has {self.smallest_rows}."
        )


def imbalance(labels: np.ndarray, n_labels: int) -> Imbalance:
    """How unequal the labels are; labels [rows] are ids below `n_labels`."""
    counts = np.bincount(labels, minlength=n_labels)
    largest, smallest = int(counts.argmax()), int(counts.argmin())
    return Imbalance(largest, int(counts[largest]), smallest, int(counts[smallest]))


def scarce(rows: Mapping[str, np.ndarray], label_names: Sequence[str]) -> str | None:
    """Which labels are too rare to say anything of, in one sentence; None where there is none.

    Args:
        rows: labels of the labelled rows and of the test rows, under the names that the sentence has for these.
    """
    counts = {part: np.bincount(labels, minlength=len(label_names)) for part, labels in rows.items()}
    told = [
        f"{name!r} (" + ", ".join(f"{count[label]} {part}" for part, count in counts.items()) + ")"
        for label, name in enumerate(label_names)
        if min(count[label] for count in counts.values()) < SCARCE_BELOW
    ]
    if not told:
        return None
    more = f" and {len(told) - MOST_NAMED} more" if len(told) > MOST_NAMED else ""
    return f"Too few rows to tell how well they are found: {', '.join(told[:MOST_NAMED])}{more}."


def label_weights(labels: np.ndarray, n_labels: int, how: Literal["none", "balanced", "sqrt_balanced"]) -> np.ndarray:
    """A weight for each label, [n_labels] float32, whose mean over the rows is 1.

    `balanced` is one over the label's share of the rows, `sqrt_balanced` the root of that. A label without rows has 1.

    Args:
        labels: ids below `n_labels`, [rows].
    """
    counts = np.bincount(labels, minlength=n_labels)
    weights = np.ones(n_labels)
    if how != "none":
        present = counts > 0
        weights[present] = counts[present] ** (-1.0 if how == "balanced" else -0.5)
        weights[present] *= len(labels) / (counts * weights).sum()
    return weights.astype(np.float32)


def balanced_epoch(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Row numbers, [rows] in random order, in which every label occurs equally often, give or take one.

    A row comes again only when every row of its label has come; a label with many rows leaves some out, others in
    another epoch.
    """
    present = rng.permutation(np.unique(labels))  # chance decides which labels have one row more
    share, more = divmod(len(labels), len(present))
    drawn = []
    for place, label in enumerate(present):
        rows = np.flatnonzero(labels == label)
        wanted = share + (place < more)
        drawn += [rng.permutation(rows) for _ in range(wanted // len(rows))]
        drawn.append(rng.permutation(rows)[: wanted % len(rows)])
    return rng.permutation(np.concatenate(drawn))
