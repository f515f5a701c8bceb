"""Metrics of predictions against labels, and the intervals that belong to them. Higher is better for every metric."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from automl.records import Score


def accuracy(labels: np.ndarray, predictions: np.ndarray) -> float:
    """Share of rows predicted right; both arrays are [rows]."""
    return float(np.mean(labels == predictions))


def wilson_interval(successes: int, rows: int, confidence: float = 0.95) -> tuple[float, float]:
    """Interval of a proportion that stays inside [0, 1] and has width even at 0 or `rows` successes.

    Source: Wilson (1927), Probable inference, the law of succession, and statistical inference.
    """
    from scipy.stats import binomtest  # half a second to import; only the end of a search needs it

    interval = binomtest(successes, rows).proportion_ci(confidence, method="wilson")
    return float(interval.low), float(interval.high)


def accuracy_score(labels: np.ndarray, predictions: np.ndarray) -> Score:
    """Accuracy with its 95 % Wilson interval."""
    successes = int(np.sum(labels == predictions))
    low, high = wilson_interval(successes, len(labels))
    return Score(successes / len(labels), low, high, len(labels))


METRICS: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {"accuracy": accuracy}
SCORES: dict[str, Callable[[np.ndarray, np.ndarray], Score]] = {"accuracy": accuracy_score}
