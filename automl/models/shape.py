"""A loaded model given the shape that a configuration asks for, the same way for training and for export."""

from __future__ import annotations

from typing import Any

from automl.models.adapters import attach
from automl.models.layers import encoder_layers, reinitialize, set_dropout
from automl.params import PEFT_TECHNIQUES, Params


def settled(params: Params, model: Any) -> Params:
    """The params as this model can follow them: no more frozen layers than it has, and none of those made anew."""
    depth = len(encoder_layers(model))
    anew = min(params.reinitialized_layers, depth) if params.technique == "fine_tuning" else 0
    return params.model_copy(
        update={"reinitialized_layers": anew, "frozen_layers": min(params.frozen_layers, depth - anew)}
    )


def shape(model: Any, params: Params, text_start: int = 0) -> None:
    """Set dropout, draw new layers, attach what a technique trains; in place. Draws from torch's global generator.

    Args:
        params: as `settled` for this model.
        text_start: tokens that the tokenizer puts before a text; for prompt_tuning.

    Raises:
        ModelError: this architecture has nothing that the technique could train.
    """
    set_dropout(model, params.hidden_dropout_prob, params.attention_probs_dropout_prob)
    reinitialize(model, params.reinitialized_layers)
    if params.technique in PEFT_TECHNIQUES:
        attach(model, params, text_start)
