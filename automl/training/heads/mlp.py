"""A network of one hidden layer, trained for a fixed number of small steps."""

from __future__ import annotations

import numpy as np

from automl.params import Params

STEPS, BATCH, LEARNING_RATE, DROPOUT = 100, 64, 1e-3, 0.1  # twice the steps, or rows a step: no better, twice as long


def fitted_mlp(
    rows: np.ndarray, labels: np.ndarray, n_labels: int, params: Params, seed: int, sample_weight: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Hidden weight [units, width] and bias, output weight [labels, units] and bias; rows [rows, width] standardised.

    Reads mlp_width, hidden_dropout_prob, weight_decay and label_smoothing_factor.
    """
    import torch
    from torch.nn import functional

    generator = torch.Generator().manual_seed(seed)
    inputs, targets, weights = torch.from_numpy(rows), torch.from_numpy(labels), torch.from_numpy(sample_weight)
    dropout = DROPOUT if params.hidden_dropout_prob is None else params.hidden_dropout_prob
    hidden_weight, weight = (
        torch.nn.init.kaiming_uniform_(torch.empty(shape), a=5**0.5, generator=generator).requires_grad_()
        for shape in ((params.mlp_width, rows.shape[1]), (n_labels, params.mlp_width))
    )
    hidden_bias = torch.zeros(params.mlp_width, requires_grad=True)
    bias = torch.zeros(n_labels, requires_grad=True)
    groups = [
        {"params": [hidden_weight, weight], "weight_decay": params.weight_decay},
        {"params": [hidden_bias, bias], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=LEARNING_RATE, fused=True)
    for _ in range(STEPS):
        batch = torch.randint(len(rows), (min(BATCH, len(rows)),), generator=generator)
        hidden = functional.linear(inputs[batch], hidden_weight, hidden_bias).relu()  # [batch, units]
        hidden = hidden * (torch.rand(hidden.shape, generator=generator) >= dropout) / (1 - dropout)
        losses = functional.cross_entropy(
            functional.linear(hidden, weight, bias),
            targets[batch],
            reduction="none",
            label_smoothing=params.label_smoothing_factor,
        )
        (losses * weights[batch]).mean().backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    return (
        hidden_weight.detach().numpy(),
        hidden_bias.detach().numpy(),
        weight.detach().numpy(),
        bias.detach().numpy(),
    )
