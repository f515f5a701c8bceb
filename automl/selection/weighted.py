"""Many scores at once: of many configurations, under many weightings of the rows (bootstrap samples, random swaps)."""

from __future__ import annotations

import numpy as np

from automl.metrics import FORMULAS, Counts

MOST_WEIGHTS = 30_000_000  # 120 MB; above that there are fewer samples, but at least LEAST_SAMPLES
LEAST_SAMPLES = 200


def affordable(samples: int, rows: int) -> int:
    """How many samples of so many rows fit into memory: all that were asked for up to 15,000 rows or so."""
    return min(samples, max(LEAST_SAMPLES, MOST_WEIGHTS // max(rows, 1)))


def draw_weights(rows: int, samples: int, seed: int, groups: np.ndarray | None = None) -> np.ndarray:
    """How often each row is in each bootstrap sample, [samples, rows] float32; samples are made `affordable`.

    Args:
        groups: [rows] of rows that are drawn together, because they are alike; None: each row by itself.

    Source: Davison and Hinkley (1997), Bootstrap methods and their application, 3.8, for groups.
    """
    samples = affordable(samples, rows)
    if groups is not None:
        numbers, place = np.unique(groups, return_inverse=True)
        return draw_weights(len(numbers), samples, seed)[:, place]
    drawn = np.random.default_rng(seed).integers(rows, size=(samples, rows))
    drawn += rows * np.arange(samples)[:, None]
    return np.bincount(drawn.ravel(), minlength=samples * rows).reshape(samples, rows).astype(np.float32)


def weighted_counts(metric: str, labels: np.ndarray, predictions: np.ndarray, weights: np.ndarray) -> Counts:
    """Counts under each weighting, [samples, configurations, labels].

    Accuracy needs only how many rows are right, so all labels are counted as one for it.

    Args:
        labels: [rows].
        predictions: [configurations, rows].
        weights: [samples, rows] float32.
    """
    right = predictions == labels
    if metric == "accuracy":
        hits = weights @ right.T.astype(np.float32)
        all_rows = np.broadcast_to(weights.sum(axis=1)[:, None], hits.shape)[..., None]
        return Counts(hits[..., None], all_rows, all_rows)
    one = np.eye(1 + int(max(labels.max(initial=0), predictions.max(initial=0))), dtype=np.float32)
    said = one[predictions]  # [configurations, rows, labels]
    hits = _over_rows(weights, said * right[..., None])
    given = _over_rows(weights, one[labels][None])
    return Counts(hits, _over_rows(weights, said), np.broadcast_to(given, hits.shape))


def _over_rows(weights: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """[samples, configurations, labels] of weights [samples, rows] and columns [configurations, rows, labels]."""
    configurations, rows, labels = columns.shape
    flat = weights @ columns.transpose(1, 0, 2).reshape(rows, configurations * labels)
    counted: np.ndarray = flat.reshape(len(weights), configurations, labels)
    return counted


def weighted_scores(
    metric: str, labels: np.ndarray, predictions: np.ndarray, cells: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """Mean of the metric over repeats, weighted by their rows, [samples, configurations].

    NaN where a sample has none of the rows.

    Args:
        labels: [rows].
        predictions: [configurations, repeats, rows], known in `cells`.
        cells: which rows of which repeats to score, [repeats, rows] bool, at least one.
        weights: [samples, rows] float32.
    """
    total = np.zeros((len(weights), len(predictions)))
    for repeat, rows in enumerate(cells):
        if rows.any():
            counts = weighted_counts(metric, labels[rows], predictions[:, repeat, rows], weights[:, rows])
            total += rows.sum() / cells.sum() * FORMULAS[metric](counts)
    return total
