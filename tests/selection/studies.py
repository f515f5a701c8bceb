"""Studies whose truth is known: configurations that are right on each row with a probability that we set."""

import numpy as np

from automl.selection import Evidence


def study(
    seed: int,
    accuracies: list[float],
    *,
    rows: int = 200,
    labels: int = 2,
    folds: int = 5,
    repeats: int = 1,
    kept: int | None = None,
) -> Evidence:
    """Evidence of one configuration an accuracy, numbered from 0. Errors are independent and fall on all other labels.

    Args:
        kept: how many go on after the first fold of the first repeat, by their accuracy there.
    """
    rng = np.random.default_rng(seed)
    truth, fold = rng.integers(labels, size=rows), np.arange(rows) % folds
    right = rng.random((len(accuracies), repeats, rows)) < np.array(accuracies)[:, None, None]
    said = np.where(right, truth, (truth + rng.integers(1, labels, size=right.shape)) % labels)
    probabilities = said_with(said, labels, 0.7)
    if kept is not None:
        first = right[:, 0, fold == 0].mean(axis=1)
        dropped = np.argsort(-first, kind="stable")[kept:]
        later = np.ones((repeats, rows), bool)
        later[0, fold == 0] = False
        probabilities[np.ix_(dropped, *map(range, probabilities.shape[1:]))] = np.where(
            later[..., None], np.nan, probabilities[dropped]
        )
    return Evidence(truth, fold, dict(enumerate(probabilities)))


def said_with(predictions: np.ndarray, labels: int, confidence: float) -> np.ndarray:
    """Probabilities [..., labels] that predict `predictions` [...], each with the same confidence."""
    rest = np.full((*predictions.shape, labels), (1 - confidence) / (labels - 1), np.float32)
    np.put_along_axis(rest, predictions[..., None], confidence, axis=-1)
    return rest
