"""A training that is stopped can go on later to the very same end: what its params, data and seed do not tell of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from automl.training.optimizer import Optimizer
from automl.training.regularisers import Averager

if TYPE_CHECKING:
    import torch


class Misfit(Exception):
    """The state is of another training."""


@dataclass
class Position:
    """How far a training has come, and what it keeps of the evaluations so far."""

    done: int = 0  # steps of the optimiser
    step: int = 0  # the last evaluation point
    examples: int = 0
    seconds: float = 0.0
    best: float = -math.inf
    worse: int = 0  # evaluations since the best one
    best_step: int = 0
    value: float | None = None
    loss: float | None = None
    logits: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), np.float32))  # [held-out rows, labels]
    weights: list[torch.Tensor] = field(default_factory=list)  # masters, where not the last ones are kept


@dataclass(frozen=True)
class Paused:
    """A training between two steps, as a file can hold it; valid until the training takes its next step."""

    tensors: Mapping[str, torch.Tensor]
    numbers: Mapping[str, Any]  # as JSON has them


def pause(at: Position, optimizer: Optimizer, averager: Averager, mixing: torch.Generator) -> Paused:
    """The training's state. Tensors are its own, not copies."""
    import torch

    tensors = {
        **_named("weights", [flat.detach() for flat in optimizer.weights.flats]),
        **_named("mean", averager.mean),
        **_named("kept", at.weights),
        "logits": torch.from_numpy(at.logits),
        "random": torch.get_rng_state(),
        "mixing": mixing.get_state(),
    }
    for group, moments in enumerate(optimizer.moments):
        tensors |= {f"{name}.{group}": moment for name, moment in moments.items()}
    if mixing.device.type == "cuda":
        tensors["random on device"] = torch.cuda.get_rng_state(mixing.device)
    numbers = {name: value for name, value in vars(at).items() if name not in ("logits", "weights")}
    return Paused(tensors, {**numbers, "averaged": averager.counted})


def go_on(paused: Paused, optimizer: Optimizer, averager: Averager, mixing: torch.Generator) -> Position:
    """Put the state into a training that is about to begin, into its model too, and make its tensors the training's.

    Raises:
        Misfit: it is not a state of this training, which may now have a part of it: to begin anew, make it anew.
    """
    weights = _numbered("weights", paused.tensors)
    if [one.shape for one in weights] != [flat.shape for flat in optimizer.weights.flats]:
        raise Misfit(f"{len(weights)} groups of weights are not those of this training, or of other sizes")
    try:
        return _restored(paused, weights, optimizer, averager, mixing)
    except (KeyError, TypeError, RuntimeError) as error:  # as another version of this package wrote it
        raise Misfit(f"the state is not one of this training: {error}") from error


def _restored(
    paused: Paused,
    weights: list[torch.Tensor],
    optimizer: Optimizer,
    averager: Averager,
    mixing: torch.Generator,
) -> Position:
    import torch

    tensors, numbers, device = paused.tensors, dict(paused.numbers), mixing.device
    optimizer.weights.restore(weights)
    for group, moments in enumerate(optimizer.moments):
        names = [name for name in ("step", "exp_avg", "exp_avg_sq") if f"{name}.{group}" in tensors]
        moments.update({name: tensors[f"{name}.{group}"].to(device) for name in names})
    averager.mean = [one.to(device) for one in _numbered("mean", tensors)]
    averager.counted = numbers.pop("averaged")
    torch.set_rng_state(tensors["random"])
    mixing.set_state(tensors["mixing"])
    if device.type == "cuda":
        torch.cuda.set_rng_state(tensors["random on device"], device)
    kept = [one.to(device) for one in _numbered("kept", tensors)]
    return Position(**numbers, logits=tensors["logits"].numpy(), weights=kept)


def _named(what: str, tensors: list[torch.Tensor]) -> dict[str, torch.Tensor]:
    return {f"{what}.{number}": tensor for number, tensor in enumerate(tensors)}


def _numbered(what: str, tensors: Mapping[str, torch.Tensor]) -> list[torch.Tensor]:
    names = [f"{what}.{number}" for number in range(len(tensors))]
    return [tensors[name] for name in names if name in tensors]
