"""Trained models put together again from the tensors that they left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from automl.models.shape import shape
from automl.params import Params
from automl.training.techniques import Base, fresh_copy

if TYPE_CHECKING:
    import torch


def restored(base: Base, params: Params, tensors: Mapping[str, torch.Tensor], seed: int = 0) -> Any:
    """A model with these weights, within the study's vocabulary; what they do not name is as in any fresh copy.

    Args:
        params: settled (`models.shape`).
    """
    import torch

    model = fresh_copy(base, seed)
    if params.technique != "contrastive":
        shape(model, params, base.text_start)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name in tensors:
                parameter.copy_(tensors[name])
    return model


def mean_tensors(models: Sequence[Mapping[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """The mean of each tensor, in float32."""
    import torch

    return {name: torch.stack([model[name].float() for model in models]).mean(dim=0) for name in models[0]}
