"""The last layer, computed only at the first token of each text where the head reads no other.

The other tokens still give their keys and values; the rest of the layer, three quarters of its work, passes over them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from automl.models.layers import encoder_layers, evaluating

if TYPE_CHECKING:
    import torch
    from torch import nn

AFTER_ATTENTION = "attention.output"  # of a layer, in all of BERT's kin: takes what attention gave, and its input


@contextmanager
def first_token_alone(model: Any, batch: Mapping[str, torch.Tensor]) -> Iterator[bool]:
    """Within the block the model spares what its logits do not depend on. Gives whether it found that.

    It asks the model: where `batch` gets other logits that way (the head pools, or reads another token), or the layer
    is built differently, nothing is changed.

    Args:
        batch: any rows, as the model takes them; of more than one length, so that padding is seen.
    """
    names = dict(encoder_layers(model)[-1].named_modules())
    expected = _logits(model, batch) if AFTER_ATTENTION in names else None
    if expected is None:
        yield False
        return
    hook = names[AFTER_ATTENTION].register_forward_pre_hook(_first)
    try:
        spared = _agree(model, batch, expected)
        if not spared:
            hook.remove()
        yield spared
    finally:
        hook.remove()


def _first(_: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(states[:, :1] for states in args)  # each [batch, seq, width]


def _agree(model: Any, batch: Mapping[str, torch.Tensor], expected: torch.Tensor) -> bool:
    import torch

    try:
        return torch.allclose(_logits(model, batch), expected, rtol=1e-3, atol=1e-3)
    except (IndexError, RuntimeError):  # something above the layer wants every token
        return False


def _logits(model: Any, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
    with evaluating(model):
        return model(**batch).logits.float()  # type: ignore[no-any-return]
