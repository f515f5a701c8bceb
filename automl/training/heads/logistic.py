"""Logistic regression, and the mixture of layers that suits it."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch

IMPOSSIBLE = -1e4  # logit of a label that no training row has: finite, so that losses stay finite


def fitted_logistic(
    rows: np.ndarray, labels: np.ndarray, n_labels: int, c: float, sample_weight: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Weight [labels, width] and bias [labels] of a logistic regression with an L2 penalty, from rows [rows, width].

    float32 and L-BFGS: the fastest of scikit-learn's solvers on features of this size, with equal predictions.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    weight, bias = np.zeros((n_labels, rows.shape[1]), np.float32), np.full(n_labels, IMPOSSIBLE, np.float32)
    present = np.unique(labels)
    if len(present) == 1:
        bias[present] = 0
        return weight, bias
    rotation = _rotation(rows) if len(present) > 2 and rows.shape[1] > 2 * len(rows) else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # its value tells how good it is, converged or not
        model = LogisticRegression(C=c, max_iter=1000)
        model.fit(rows if rotation is None else rows @ rotation, labels, sample_weight)
    found, intercept = model.coef_, model.intercept_
    if len(present) == 2:  # one row for both labels: half of it for each, with opposite signs
        found, intercept = np.concatenate([-found, found]) / 2, np.concatenate([-intercept, intercept]) / 2
    weight[present], bias[present] = found if rotation is None else found @ rotation.T, intercept
    return weight, bias


def _rotation(rows: np.ndarray) -> np.ndarray:
    """Orthonormal columns [width, rank] that span the rows: an L2 penalty has the same optimum there, found sooner."""
    from scipy.linalg import eigh

    squares, vectors = eigh(rows @ rows.T, driver="evd")  # [rows], [rows, rows]
    kept = squares > 1e-6 * squares[-1]
    return np.asarray(rows.T @ (vectors[:, kept] / np.sqrt(squares[kept])))


def learnt_mix(
    layers: np.ndarray, labels: np.ndarray, n_labels: int, c: float, sample_weight: np.ndarray
) -> np.ndarray:
    """Weights of the layers that sum to 1, [layers] float32, learnt together with a linear head on their mixture.

    Args:
        layers: standardised features, [rows, layers, width].
        c: inverse of the linear head's L2 penalty.

    Source: Peters et al. (2018), Deep contextualized word representations.
    """
    import torch

    rows, depth, width = layers.shape
    by_layer = torch.from_numpy(np.ascontiguousarray(layers.swapaxes(0, 1)).reshape(depth, -1))
    targets, weights = torch.from_numpy(labels), torch.from_numpy(sample_weight)
    share = torch.zeros(depth, requires_grad=True)
    matrix = torch.zeros(n_labels, width, requires_grad=True)
    bias = torch.zeros(n_labels, requires_grad=True)
    optimizer = torch.optim.LBFGS([share, matrix, bias], max_iter=30, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        mixture = (share.softmax(0) @ by_layer).view(rows, width)
        losses = torch.nn.functional.cross_entropy(mixture @ matrix.T + bias, targets, reduction="none")
        total: torch.Tensor = (losses * weights).mean() + matrix.square().sum() / (2 * c * rows)
        total.backward()
        return total

    optimizer.step(loss)
    return share.detach().softmax(0).numpy()
