"""Attention over short texts on a processor: two small products a head, and dropout that costs little.

The fused kernels of torch are made for long sequences: at 25 tokens in bfloat16 they take ten times as long.
"""

from __future__ import annotations

from typing import Any

import torch

from automl.models.dropout import drop

NAME = "short_texts"


def attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **_: Any,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Softmax in float32, products in the type of `query`; in the form that transformers asks of an implementation.

    Args:
        query: [batch, heads, seq, width of a head], and so are key and value.
        attention_mask: added to the scores, [batch, 1 or heads, seq, seq].
        dropout: share of attention weights set to 0.

    Returns:
        [batch, seq, heads, width of a head], and the weights [batch, heads, seq, seq].
    """
    scores = torch.matmul(query * (query.shape[-1] ** -0.5 if scaling is None else scaling), key.transpose(2, 3))
    if attention_mask is not None:
        scores = scores + attention_mask
    weights = torch.softmax(scores, dim=-1, dtype=torch.float32).to(query.dtype)
    weights = drop(weights, dropout) if dropout else weights
    return torch.matmul(weights, value).transpose(1, 2).contiguous(), weights


def use_short_attention(model: Any) -> None:
    """Make the model attend by `attend` where its architecture lets one choose and every head has its own keys."""
    from transformers import AttentionInterface
    from transformers.masking_utils import AttentionMaskInterface, eager_mask

    AttentionInterface.register(NAME, attend)
    AttentionMaskInterface.register(NAME, eager_mask)
    if getattr(model.config, "_attn_implementation", None) == "sdpa":  # its choice where it has one
        model.set_attn_implementation(NAME)
