"""Which configuration wins, by the mean over what all candidates share, and which are weak enough to drop."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from automl.errors import NothingUsable
from automl.metrics import FORMULAS, Counts
from automl.selection.evidence import Evidence
from automl.selection.weighted import affordable, weighted_counts

ENOUGH_ROWS = 100  # `weaker` says nothing before this many different rows ...
ENOUGH_CELLS = 3  # ... or this many folds and seeds
PLACES = 9  # scores that agree to so many are tied


@dataclass(frozen=True)
class Standing:
    """A candidate's place: mean of the metric over repeats, that mean's standard error (0 for one repeat), log-loss."""

    number: int
    value: float
    error: float
    log_loss: float


def finalists(evidence: Evidence) -> tuple[list[int], np.ndarray]:
    """The configurations with the most complete evidence, and the cells that all of them have, [repeats, rows] bool.

    Most complete is to have covered every row in the most repeats. Where no repeat is complete yet, every configuration
    is a finalist; while they share no cell, the one with the least evidence is none.

    Raises:
        NothingUsable: no configuration said anything.
    """
    numbers = evidence.numbers
    if not numbers:
        raise NothingUsable(
            "no configuration has predictions of held-out rows; run the same command with a larger --time-limit"
        )
    most = max(evidence.complete_repeats(number) for number in numbers)
    left = [number for number in numbers if evidence.complete_repeats(number) == most]
    while not (cells := shared_cells(evidence, left)).any():
        left.remove(min(left, key=lambda number: (evidence.covered(number).sum(), -number)))
    return left, cells


def shared_cells(evidence: Evidence, numbers: list[int]) -> np.ndarray:
    """What all of them cover, [repeats, rows] bool."""
    shared: np.ndarray = np.logical_and.reduce([evidence.covered(number) for number in numbers])
    return shared


def rank(evidence: Evidence, metric: str, *, cautious: bool = False) -> list[Standing]:
    """The finalists, best first: by mean metric, then by log-loss, then by number. Never by a maximum over seeds.

    Args:
        cautious: by the mean minus its standard error over repeats, which prefers the steady ones.

    Raises:
        NothingUsable: no configuration said anything.
    """
    numbers, cells = finalists(evidence)
    standings = [_standing(evidence, number, metric, cells) for number in numbers]
    return sorted(
        standings, key=lambda s: (-round(s.value - cautious * s.error, PLACES), round(s.log_loss, PLACES), s.number)
    )


def _standing(evidence: Evidence, number: int, metric: str, cells: np.ndarray) -> Standing:
    scores, rows = evidence.repeat_scores(number, metric, cells)
    error = float(scores.std(ddof=1) / len(scores) ** 0.5) if len(scores) > 1 else 0.0
    return Standing(number, float(np.average(scores, weights=rows)), error, evidence.log_loss(number, cells))


def weaker(
    evidence: Evidence,
    number: int,
    leader: int,
    metric: str,
    *,
    confidence: float = 0.95,
    swaps: int = 2000,
    seed: int = 0,
) -> bool:
    """Whether the configuration is worse than the leader on the cells both have, by more than chance.

    Paired, one-sided randomisation over rows: were the two alike, swapping what they said of a row (in all repeats at
    once) would change nothing, so the observed difference is placed among those of random swaps. For accuracy in one
    repeat this is McNemar's exact test; it holds for every metric. It says nothing before 100 shared rows or 3 shared
    cells, and nothing where the two err alike. It judges the models that were trained: only repeats tell seeds apart.

    Source: Noreen (1989), Computer-intensive methods for testing hypotheses; Yeh (2000), More accurate tests for the
    statistical significance of result differences.
    """
    cells = shared_cells(evidence, [number, leader])
    rows = np.any(cells, axis=0)
    if rows.sum() < ENOUGH_ROWS and sum(len(set(evidence.folds[repeat])) for repeat in cells) < ENOUGH_CELLS:
        return False
    swap = np.random.default_rng(seed).random((affordable(swaps, len(rows)), len(rows)), np.float32).round()
    swap = np.concatenate([np.zeros((1, len(rows)), np.float32), swap])  # the first is what was observed
    both = np.stack([evidence.predictions(number), evidence.predictions(leader)])
    differences = sum(
        used.sum() / cells.sum() * _swapped(metric, evidence.labels[used], both[:, repeat, used], swap[:, used])
        for repeat, used in enumerate(cells)
        if used.any()
    )
    chance = float(np.mean(differences <= differences[0] + 1e-9))
    return chance <= 1 - confidence


def _swapped(metric: str, labels: np.ndarray, both: np.ndarray, swap: np.ndarray) -> np.ndarray:
    """Score of the first minus score of the second, with rows swapped, [samples].

    Args:
        labels: [rows].
        both: predictions, [2, rows].
        swap: 1 where the two change places, [samples, rows].
    """
    stay = weighted_counts(metric, labels, both, 1 - swap)
    move = weighted_counts(metric, labels, both[::-1], swap)
    scores = FORMULAS[metric](Counts(stay.hits + move.hits, stay.predicted + move.predicted, stay.given + move.given))
    difference: np.ndarray = scores[:, 0] - scores[:, 1]
    return difference
