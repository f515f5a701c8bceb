"""Pairs of texts for contrastive training: which rows meet in a batch, and how far they are from where they should be.

A batch holds several texts of each of a few labels. Each is encoded once, and every pair of them counts: a batch of 16
has 120 pairs for the work of 8.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


def pair_batches(
    labels: np.ndarray, order: np.ndarray, size: int, partners: int, rng: np.random.Generator
) -> list[np.ndarray]:
    """Batches of at most `size` rows (2 at least), in which a row meets about `partners` others of its label.

    Args:
        labels: of all rows, [rows].
        order: row numbers of one epoch; it decides which rows meet.
    """
    wanted = min(partners + 1, max(2, size // 2))  # room for a second label
    groups: list[np.ndarray] = []
    places: list[float] = []
    for label in np.unique(labels[order]):
        own = order[labels[order] == label]
        parts = np.array_split(own, max(1, round(len(own) / wanted)))
        groups += parts
        places += list((np.arange(len(parts)) + rng.random()) / len(parts))  # every label all over the epoch
    batches: list[list[np.ndarray]] = [[]]
    for index in np.argsort(places):
        if batches[-1] and sum(map(len, batches[-1])) + len(groups[index]) > size:
            batches.append([])
        batches[-1].append(groups[index])
    return [np.concatenate(batch) for batch in batches]


def pair_loss(vectors: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """How far the cosines of a batch's pairs are from 1 (one label) and 0 (two): squared, both halves equally heavy.

    Args:
        vectors: [batch, width].
        labels: [batch].
    """
    import torch

    unit = torch.nn.functional.normalize(vectors, dim=-1)
    cosines = unit @ unit.T  # [batch, batch]
    same = labels[:, None] == labels
    others = ~torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    apart = ((cosines - 1).square() * (same & others)).sum() / (same & others).sum().clamp(min=1)
    alike = (cosines.square() * ~same).sum() / (~same).sum().clamp(min=1)
    return (apart + alike) / 2
