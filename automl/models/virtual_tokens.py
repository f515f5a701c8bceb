"""Prompt and prefix tuning: trained vectors that a frozen encoder reads beside each text.

A prompt stands in the text, between the tokens that the tokenizer puts first and the text's own. A prefix gives every
layer's attention further keys and values.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from automl.errors import ModelError
from automl.models.layers import evaluating

if TYPE_CHECKING:
    import torch

NAME = "virtual_tokens"  # the trained parameter: of the word embeddings for a prompt, of the base model for a prefix


def text_start(tokenizer: Any) -> int:
    """Number of tokens ([CLS] and the like) that the tokenizer puts before a text."""
    mask = tokenizer("a", return_special_tokens_mask=True)["special_tokens_mask"]
    return next((position for position, special in enumerate(mask) if not special), 0)


def kind(model: Any) -> str | None:
    """What is attached to the model: "prompt", "prefix" or None."""
    if hasattr(model.get_input_embeddings(), NAME):
        return "prompt"
    return "prefix" if hasattr(model.base_model, NAME) else None


def attach_prompt(model: Any, count: int, start: int) -> None:
    """Insert `count` trained word vectors into each text, `start` tokens from its beginning.

    Source: Lester et al. (2021), The Power of Scale for Parameter-Efficient Prompt Tuning; they begin as words, too.
    """
    import torch

    table = model.get_input_embeddings()
    words = torch.randint(len(table.weight), (count,)).to(table.weight.device)
    setattr(table, NAME, torch.nn.Parameter(table.weight.detach()[words].clone()))  # [count, width]
    table.text_start = start
    model.virtual_token_hooks = [
        model.register_forward_pre_hook(_insert_ids, with_kwargs=True),
        table.register_forward_pre_hook(_only_words),
        table.register_forward_hook(_look_up_prompt),
    ]


def attach_prefix(model: Any, count: int) -> None:
    """Let every layer attend to `count` trained pairs of key and value before those of the text.

    Source: Li & Liang (2021), Prefix-Tuning: Optimizing Continuous Prompts for Generation; it begins, as advised there,
    as the keys and values of words.

    Raises:
        ModelError: the architecture takes no keys and values from outside.
    """
    import torch
    from transformers import DynamicCache

    base, table = model.base_model, model.get_input_embeddings()
    words = torch.randint(len(table.weight), (1, count)).to(table.weight.device)
    cache: Any = DynamicCache()
    if "past_key_values" in inspect.signature(base.forward).parameters:
        with evaluating(base):
            base(input_ids=words, past_key_values=cache)
    if not cache.layers:
        raise ModelError(
            f"{type(model).__name__} takes no keys and values from outside, so technique prefix_tuning cannot be used "
            "with it: use prompt_tuning or lora"
        )
    prefix = torch.stack([torch.stack([layer.keys[0], layer.values[0]]) for layer in cache.layers])
    base.register_parameter(NAME, torch.nn.Parameter(prefix))  # [layers, 2, heads, count, head width]
    model.virtual_token_hooks = [base.register_forward_pre_hook(_add_prefix, with_kwargs=True)]


def remove(model: Any) -> None:
    """Take prompt or prefix off; a model without one stays as it is."""
    if found := kind(model):
        holder = model.get_input_embeddings() if found == "prompt" else model.base_model
        delattr(holder, NAME)
        vars(holder).pop("asked", None)
        for hook in model.virtual_token_hooks:
            hook.remove()
        del model.virtual_token_hooks


def _insert_ids(model: Any, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Insert the prompt in each feature [batch, seq] of a batch, by ids that follow those of the words."""
    import torch

    table = model.get_input_embeddings()
    count, ids = len(getattr(table, NAME)), kwargs["input_ids"]
    _check_length(model, ids.shape[1], count)
    device = ids.device
    places = torch.arange(ids.shape[1] + count, device=device).expand(len(ids), -1)  # [batch, seq with the prompt]
    mask = kwargs.get("attention_mask")
    padding_before = 0 if mask is None else (mask.cumsum(1) == 0).sum(1, keepdim=True)  # XLNet pads on the left
    number = places - table.text_start - padding_before  # of the prompt's vectors, from 0
    inside = (number >= 0) & (number < count)
    source = torch.where(number < 0, places, places - count).clamp(min=0)
    fill = {"input_ids": len(table.weight) + number, "attention_mask": 1}
    for name, value in kwargs.items():
        if getattr(value, "shape", None) == ids.shape:
            kwargs = kwargs | {name: torch.where(inside, fill.get(name, 0), value.gather(1, source))}
    return args, kwargs


def _only_words(table: Any, args: tuple[torch.Tensor]) -> tuple[torch.Tensor]:
    """Keep the prompt's ids for `_look_up_prompt`, and ask the table for ids that it has."""
    table.asked = args[0]
    return (args[0].clamp(max=len(table.weight) - 1),)


def _look_up_prompt(table: Any, args: Any, vectors: torch.Tensor) -> torch.Tensor:
    """Put the prompt's vectors in their places; vectors [batch, seq, width], or [seq, batch, width] in XLNet."""
    import torch

    numbers = table.asked - len(table.weight)
    prompt = torch.nn.functional.embedding(numbers.clamp(min=0), getattr(table, NAME))
    return torch.where(numbers[..., None] >= 0, prompt, vectors)


def _add_prefix(base: Any, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Give the base model the prefix as what it has already read."""
    import torch
    from transformers import DynamicCache

    prefix = getattr(base, NAME)
    ids = kwargs["input_ids"] if "input_ids" in kwargs else args[0]
    batch, count = len(ids), prefix.shape[3]
    _check_length(base, ids.shape[1], count)
    read = DynamicCache([tuple(pair[:, None].expand(-1, batch, -1, -1, -1)) for pair in prefix])
    kwargs = kwargs | {"past_key_values": read}
    mask = kwargs.get("attention_mask")
    if mask is not None:
        kwargs["attention_mask"] = torch.cat([mask.new_ones(batch, count), mask], dim=1)
    return args, kwargs


def _check_length(model: Any, tokens: int, count: int) -> None:
    """Refuse a text for which the virtual tokens leave too few positions."""
    positions = _positions(model)
    if positions is not None and tokens + count > positions:
        raise ModelError(
            f"num_virtual_tokens {count} and a text of {tokens} tokens are longer than the {positions} that the model "
            "can read: use fewer virtual tokens, or cut the texts shorter"
        )


def _positions(model: Any) -> int | None:
    """Rows of the table of positions that texts can use; None where there is no such table."""
    from torch import nn

    size = getattr(model.config, "max_position_embeddings", None)
    for module in model.base_model.modules():
        if (
            isinstance(module, nn.Embedding)
            and module.num_embeddings == size
            and module is not model.get_input_embeddings()
        ):
            return int(size) - (0 if module.padding_idx is None else module.padding_idx + 1)
    return None
