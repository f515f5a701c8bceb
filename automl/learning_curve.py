"""What more labels would bring: a quick model fitted on ever more of the rows, and a power law through its errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from automl.baselines import Baseline
from automl.metrics import METRICS
from automl.records import Splits

SHARES = (0.25, 0.5, 0.75, 1.0)  # of what is trained on
LEAST_ERROR = 1e-3  # a fold without a mistake says no more than that there are few
DRAWS, LIKELY = 1000, (2.5, 97.5)


@dataclass(frozen=True)
class LearningCurve:
    """Scores of one model. `values[i][k]` is on what fold k holds out, trained on `rows[i]` rows."""

    model: str
    rows: Sequence[int]
    values: Sequence[Sequence[float]]


@dataclass(frozen=True)
class Share:
    """The share of its errors that a model keeps with more rows, with a 95 % interval over folds; 1 is all of them."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Gain:
    """What so many `more` rows would add to the score, with a 95 % interval over folds."""

    more: int
    value: float
    low: float
    high: float


def learning_curve(baseline: Baseline, splits: Splits, metric: str, seed: int) -> LearningCurve:
    """Fit a baseline on shares of what each fold trains on, drawn at random; what is held out is the same for all."""
    rng = np.random.default_rng(seed)
    rows, values = [], []
    parts = [splits.parts(fold) for fold in range(splits.n_folds)]
    orders = [rng.permutation(len(train)) for train, _ in parts]
    for share in SHARES:
        samples = [
            train.take(np.sort(order[: max(1, round(share * len(train)))]))
            for (train, _), order in zip(parts, orders, strict=True)
        ]
        rows.append(round(float(np.mean([len(sample) for sample in samples]))))
        values.append(
            [
                float(METRICS[metric](held_out.labels, baseline.fit(sample)(held_out.inputs)))
                for sample, (_, held_out) in zip(samples, parts, strict=True)
            ]
        )
    return LearningCurve(baseline.name, rows, values)


def kept_errors(curve: LearningCurve, more: int, seed: int = 0) -> Share:
    """By the power law through the mean errors, never more than all; the interval by those through folds drawn anew.

    Of a single held-out part it reaches from nothing to twice the slope.

    Args:
        more: labelled rows than the most that the curve was trained on.

    Source: Cortes et al. (1993), Learning curves: asymptotic values and rate of convergence; with an asymptote of 0.
    """
    if len(set(curve.rows)) < 2:
        return Share(1.0, 1.0, 1.0)
    errors = np.clip(1 - np.array(curve.values), LEAST_ERROR, None)  # [sizes, folds]
    value = min(1.0, _kept(curve.rows, errors.mean(axis=1), more))
    if errors.shape[1] == 1:  # nothing tells how sure that is
        return Share(value, value**2, 1.0)
    drawn = np.random.default_rng(seed).integers(errors.shape[1], size=(DRAWS, errors.shape[1]))
    low, high = np.percentile([_kept(curve.rows, errors[:, folds].mean(axis=1), more) for folds in drawn], LIKELY)
    return Share(value, min(float(low), value), max(float(high), value))


def gain(curve: LearningCurve, more: int, seed: int = 0) -> Gain:
    """What the curve's own model would gain; `more` as for `kept_errors`."""
    share, error = kept_errors(curve, more, seed), 1 - float(np.mean(curve.values[-1]))
    return Gain(more, error * (1 - share.value), error * (1 - share.high), error * (1 - share.low))


def _kept(rows: Sequence[int], errors: np.ndarray, more: int) -> float:
    slope, _ = np.polyfit(np.log(rows), np.log(errors), 1)
    return float(((rows[-1] + more) / rows[-1]) ** slope)
