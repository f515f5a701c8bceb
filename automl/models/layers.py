"""Find an encoder's layers and freeze the first of them. By discovery, not by a list of architectures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from automl.errors import ModelError

if TYPE_CHECKING:
    from torch import nn


def encoder_layers(model: Any) -> nn.ModuleList:
    """The list of transformer blocks: the longest list of modules of one class inside the base model.

    Raises:
        ModelError: there is no such list.
    """
    from torch import nn

    stacks = [
        module
        for module in model.base_model.modules()
        if isinstance(module, nn.ModuleList) and len({type(block) for block in module}) == 1
    ]
    if not stacks:
        raise ModelError(f"{type(model).__name__} has no stack of encoder layers: use a BERT-like encoder")
    return max(stacks, key=len)


def freeze(model: Any, layers: int) -> None:
    """Keep the embeddings and the first `layers` layers as they are: no gradient, no dropout. 0 freezes nothing.

    Call it after `model.train()`, which would switch dropout on again.
    """
    model.requires_grad_(True)
    if layers == 0:
        return
    stack = encoder_layers(model)
    first = next(stack[0].parameters())
    for module in model.base_model.children():  # registration order: what comes before the layers feeds them
        if any(parameter is first for parameter in module.parameters()):
            break
        module.requires_grad_(False).eval()
    for block in stack[:layers]:
        block.requires_grad_(False).eval()
