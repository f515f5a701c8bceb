"""Which simpler configurations and baselines the winner cannot be told from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from automl.errors import DataError
from automl.metrics import at_least_wilson
from automl.records import Score
from automl.selection.evidence import predicted
from automl.selection.weighted import draw_weights, weighted_scores

CONFIDENCE, SAMPLES = 0.95, 2000


@dataclass(frozen=True)
class Difference:
    """Winner's score minus another's over `rows` rows that both predicted, with its interval."""

    name: str
    value: float
    low: float
    high: float
    rows: int

    @property
    def told_apart(self) -> bool:
        """Whether the winner is better by more than chance: the whole interval is above 0."""
        return self.low > 0

    @property
    def outdone(self) -> bool:
        """Whether the other is better by more than chance."""
        return self.high < 0


def differences(
    labels: np.ndarray,
    winner: np.ndarray,
    others: Mapping[str, np.ndarray],
    metric: str,
    *,
    groups: np.ndarray | None = None,
    confidence: float = CONFIDENCE,
    samples: int = SAMPLES,
    seed: int = 0,
) -> list[Difference]:
    """Paired bootstrap over rows: both are scored on the same drawn rows, and the interval is one of percentiles.

    Each prediction is [rows] or [repeats, rows] of label ids, -1 where unknown, or probabilities (floating-point) of
    [rows, labels] or [repeats, rows, labels], NaN where unknown. With repeats, the mean of their scores is compared, of
    those that have most rows: what was begun on a further seed does not take the rows away that it has not come to.
    Others that share no row with the winner are left out.

    Args:
        labels: [rows].
        winner: its predictions; `others` are name -> predictions.
        groups: [rows] of rows that are drawn together; None: each row by itself.
        confidence: of the interval, within (0, 1).

    Source: Efron and Tibshirani (1993), An introduction to the bootstrap; Berg-Kirkpatrick, Burkett and Klein (2012),
    An empirical investigation of statistical significance in NLP.
    """
    weights = draw_weights(len(labels), samples, seed, groups)
    compared = [_difference(labels, winner, name, other, metric, confidence, weights) for name, other in others.items()]
    return [difference for difference in compared if difference is not None]


def scored(
    labels: np.ndarray, said: Mapping[str, np.ndarray], metric: str, groups: np.ndarray | None = None
) -> dict[str, Score]:
    """Everyone's own score with its 95 % interval by the same bootstrap; arguments as in `differences`.

    Those that said nothing have none.
    """
    weights, found = draw_weights(len(labels), SAMPLES, 0, groups), {}
    for name, one in said.items():
        side = _label_ids(labels, name, one)
        known = np.asarray((side >= 0).all(axis=0))
        if known.any():
            value, *sampled = _scores(labels, side, known, metric, weights)
            low, high = _percentiles(value, sampled, CONFIDENCE)
            right, rows = float((side == labels)[:, known].mean()), int(known.sum())
            low, high = at_least_wilson(metric, value, low, high, right, rows)
            found[name] = Score(float(value), low, high, rows)
    return found


def _difference(
    labels: np.ndarray,
    winner: np.ndarray,
    name: str,
    other: np.ndarray,
    metric: str,
    confidence: float,
    weights: np.ndarray,
) -> Difference | None:
    sides = [_label_ids(labels, "winner", winner), _label_ids(labels, name, other)]
    known = np.logical_and.reduce([(side >= 0).all(axis=0) for side in sides])  # [rows]
    if not known.any():
        return None
    scores = [_scores(labels, side, known, metric, weights) for side in sides]
    value, *sampled = scores[0] - scores[1]
    low, high = _percentiles(value, sampled, confidence)
    return Difference(name, float(value), low, high, int(known.sum()))


def _scores(labels: np.ndarray, side: np.ndarray, known: np.ndarray, metric: str, weights: np.ndarray) -> np.ndarray:
    """The mean of its repeats' scores as observed, and under each weighting: [1 + samples]."""
    drawn = np.concatenate([np.ones((1, len(labels)), np.float32), weights])
    found: np.ndarray = weighted_scores(metric, labels, side[None], np.broadcast_to(known, side.shape), drawn)[:, 0]
    return found


def _percentiles(value: float, sampled: Sequence[float], confidence: float) -> tuple[float, float]:
    low, high = np.nanpercentile(sampled, [50 * (1 - confidence), 50 * (1 + confidence)])
    return float(min(low, value)), float(max(high, value))


def _label_ids(labels: np.ndarray, name: str, said: np.ndarray) -> np.ndarray:
    """Label ids, [repeats, rows], of the repeats that have most of them."""
    ids = predicted(said) if np.issubdtype(said.dtype, np.floating) else said
    ids = ids[None] if ids.ndim == 1 else ids
    if ids.ndim != 2 or ids.shape[1] != len(labels):
        raise DataError(
            f"predictions of {name} have the shape {said.shape}; there are {len(labels)} labels; predict each row once"
        )
    answered = (ids >= 0).sum(axis=1)
    return np.asarray(ids[answered == answered.max(initial=0)])
