"""Trained models put together again from the tensors that they left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from automl.models.adapters import merge
from automl.models.shape import settled, shape
from automl.params import Params
from automl.training.techniques import Base, fresh_copy

if TYPE_CHECKING:
    import torch

FOLDED = ("lora", "ia3")  # techniques whose tensors are not the model's own


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


def plain_tensors(base: Base, params: Params, tensors: Mapping[str, torch.Tensor]) -> Mapping[str, torch.Tensor]:
    """The weights of the plain model that a trained one amounts to: what was attached to it is folded in."""
    if params.technique not in FOLDED:
        return tensors
    model = merge(restored(base, settled(params, base.model), tensors))
    return {name: parameter.detach() for name, parameter in model.named_parameters()}


def mean_tensors(models: Sequence[Mapping[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """The mean of each tensor, in float32."""
    import torch

    return {name: torch.stack([model[name].float() for model in models]).mean(dim=0) for name in models[0]}
