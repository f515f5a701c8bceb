"""From features and labels to a head."""

from __future__ import annotations

import numpy as np

from automl.params import Params
from automl.training.heads.head import Head, Linear, Mlp, Neighbours, flat, mixed, unit
from automl.training.heads.logistic import fitted_logistic, learnt_mix
from automl.training.heads.mlp import fitted_mlp


def fit_head(
    features: np.ndarray,
    labels: np.ndarray,
    n_labels: int,
    params: Params,
    seed: int,
    sample_weight: np.ndarray | None = None,
) -> Head:
    """Fit the head that `params.feature_head` names.

    Args:
        features: [rows, dims], or [rows, layers, width]: the layers are mixed with learnt weights.
        labels: ids below `n_labels`, [rows].
        seed: of the mlp; the others draw nothing.
        sample_weight: weight of each row's loss or vote, [rows], mean 1; None: all 1.
    """
    weights = np.ones(len(labels), np.float32) if sample_weight is None else sample_weight.astype(np.float32)
    mean, scale = _standardisation(flat(features))
    c, mix = params.logistic_regression_c, np.ones(1, np.float32)
    if features.ndim == 3:
        layers = ((flat(features) - mean) * scale).reshape(features.shape)
        mix = learnt_mix(layers, labels, n_labels, c, weights)
    rows = mixed(features, mean, scale, mix)
    if params.feature_head == "knn":
        votes = np.eye(n_labels, dtype=np.float32)[labels] * weights[:, None]
        prior = (votes.sum(axis=0) + 1) / (votes.sum() + n_labels)
        neighbors = np.array(min(params.knn_neighbors, len(rows)))
        return Neighbours(unit(rows), votes, prior, neighbors, mean, scale, mix)
    if params.feature_head == "mlp":
        hidden, hidden_bias, weight, bias = fitted_mlp(rows, labels, n_labels, params, seed, weights)
        return Mlp(*_folded(hidden, hidden_bias, mean, scale, mix), weight, bias)
    return Linear(*_folded(*fitted_logistic(rows, labels, n_labels, c, weights), mean, scale, mix))


def _standardisation(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and one over the standard deviation, each [dims]; a dimension that is constant but for rounding gets 0."""
    mean, spread = rows.mean(axis=0), rows.std(axis=0)
    varies = spread > 1e-5 * (np.abs(mean) + spread.mean())
    return mean, np.where(varies, 1 / np.where(varies, spread, 1), 0).astype(np.float32)


def _folded(
    weight: np.ndarray, bias: np.ndarray, mean: np.ndarray, scale: np.ndarray, mix: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """A matrix on standardised and mixed rows, and its bias, as a matrix [out, dims] and bias on plain features."""
    plain = (mix[:, None] * weight[:, None, :].astype(np.float64)).reshape(len(weight), -1) * scale
    return plain.astype(np.float32), (bias - plain @ mean).astype(np.float32)
