"""How the step size, and the number of layers that train, change over a trial's own schedule. Pure functions."""

from __future__ import annotations

import math

from automl.params import Params

LOWEST = 1 / 32  # of the peak: where slanted_triangular starts and ends


def total_steps(params: Params, rows: int) -> int:
    """Steps of a training on so many rows."""
    batches = math.ceil(rows / params.per_device_train_batch_size)
    return params.max_steps or max(batches * params.num_train_epochs, params.min_steps)


def factor(done: int, total: int, params: Params) -> float:
    """Share of the peak learning rate for the step that follows `done` of `total` steps, in [0, 1].

    It rises over the warm-up, is 1 right after it, and then falls; linear and cosine are 0 at `total`.

    Args:
        done: 0 ... total.
        total: at least 1.

    Source: Howard & Ruder (2018), Universal Language Model Fine-tuning, for slanted_triangular.
    """
    warmup = min(round(params.warmup_ratio * total), total - 1)  # at least one step has the peak
    left = (total - done) / (total - warmup)  # of the fall: 1 right after the warm-up, 0 at the end
    if params.lr_scheduler_type == "slanted_triangular":
        return LOWEST + (1 - LOWEST) * (done / warmup if done < warmup else left)
    if done < warmup:
        return (done + 1) / (warmup + 1)  # the first step moves too
    if params.lr_scheduler_type == "cosine":
        return (1 - math.cos(math.pi * left)) / 2
    return left if params.lr_scheduler_type == "linear" else 1.0


def unfrozen_from(done: int, total: int, params: Params, depth: int) -> int:
    """How many of the first layers are held in the step that follows `done` of `total` steps.

    Under gradual unfreezing only the head trains at first; then layers join from the top down at equal distances, and
    all that `frozen_layers` allows train once the share `gradual_unfreezing` of the steps is over. The embeddings go
    with the first layer, as they do in `frozen_layers`.

    Args:
        depth: layers of the encoder.

    Source: Howard & Ruder (2018), Universal Language Model Fine-tuning.
    """
    lowest = min(params.frozen_layers, depth)
    span = params.gradual_unfreezing * total
    if done >= span:
        return lowest
    return depth - math.floor((depth - lowest) * done / span)
