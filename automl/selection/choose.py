"""Which configuration wins, by the mean over what all candidates share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from automl.errors import NothingUsable
from automl.selection.evidence import Evidence

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


def rank(evidence: Evidence, metric: str) -> list[Standing]:
    """The finalists, best first: by mean metric, then by log-loss, then by number. Never by a maximum over seeds.

    Raises:
        NothingUsable: no configuration said anything.
    """
    numbers, cells = finalists(evidence)
    standings = [_standing(evidence, number, metric, cells) for number in numbers]
    return sorted(standings, key=lambda s: (-round(s.value, PLACES), round(s.log_loss, PLACES), s.number))


def _standing(evidence: Evidence, number: int, metric: str, cells: np.ndarray) -> Standing:
    scores, rows = evidence.repeat_scores(number, metric, cells)
    error = float(scores.std(ddof=1) / len(scores) ** 0.5) if len(scores) > 1 else 0.0
    return Standing(number, float(np.average(scores, weights=rows)), error, evidence.log_loss(number, cells))
