"""Write a trained model so that plain transformers loads it, whatever technique it was trained with."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from automl.errors import ModelError
from automl.models import adapters, virtual_tokens

BASE_FOLDER = "base"


def write_model(model: Any, tokenizer: Any, folder: Path) -> None:
    """Write model and tokenizer, with or without something attached to the model (`models.adapters`), to `folder`.

    Prompt tuning becomes new words that the tokenizer puts before each text. Prefix tuning alone needs peft to load:
    `PeftModel.from_pretrained(AutoModelForSequenceClassification.from_pretrained(folder / "base"), folder)`.
    `model` is used up by it: predict first.

    Raises:
        ModelError: a prompt, and a tokenizer that cannot be told to add it.
    """
    adapters.merge(model)
    attached = virtual_tokens.kind(model)
    if attached == "prefix":
        _write_prefix(model, folder)
    else:
        if attached == "prompt":
            tokenizer = _fold_prompt(model, tokenizer)
        model.save_pretrained(folder, safe_serialization=True)
    tokenizer.save_pretrained(folder)


def _fold_prompt(model: Any, tokenizer: Any) -> Any:
    """Turn the prompt into new words of model and tokenizer; the model is changed in place.

    Returns:
        The tokenizer that puts these words before each text, and reads as many tokens of it as before.

    Raises:
        ModelError: the tokenizer is not one of the `tokenizers` library, whose files can say so.
    """
    import torch
    from tokenizers import AddedToken, Tokenizer
    from transformers import PreTrainedTokenizerFast

    if not tokenizer.is_fast:
        raise ModelError(f"{type(tokenizer).__name__} cannot be told to add a prompt: use technique lora in its place")
    prompt: torch.Tensor = getattr(model.get_input_embeddings(), virtual_tokens.NAME).detach()
    backend: Any = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    backend.no_padding()
    backend.no_truncation()
    taken = sum(word.startswith("<|prompt_") for word in backend.get_vocab())  # where the base model is one of ours
    words = [f"<|prompt_{taken + number}|>" for number in range(len(prompt))]
    backend.add_special_tokens([AddedToken(word, special=True, normalized=False) for word in words])
    prompt_ids = {word: backend.token_to_id(word) for word in words}
    backend.post_processor = _with_prompt(backend, prompt_ids)

    virtual_tokens.remove(model)
    table = model.get_input_embeddings()
    ids = list(prompt_ids.values())
    rows = table.weight.new_zeros(max(len(table.weight), max(ids) + 1), table.weight.shape[1])
    rows[: len(table.weight)] = table.weight.detach()
    rows[ids] = prompt  # some tables have more rows than their tokenizer has words
    table.weight = torch.nn.Parameter(rows)
    table.num_embeddings = model.config.vocab_size = len(rows)
    # The plain class: those of single architectures write their own rules for special tokens over ours when they load.
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        model_max_length=tokenizer.model_max_length + len(words),
        model_input_names=tokenizer.model_input_names,
        padding_side=tokenizer.padding_side,
        truncation_side=tokenizer.truncation_side,
        **tokenizer.special_tokens_map,
    )


def _with_prompt(backend: Any, prompt: dict[str, int]) -> Any:
    """A post-processor that does what the tokenizer's own is seen to do, and puts the prompt before the first text."""
    from tokenizers import processors

    special = dict(prompt)
    templates = []
    for texts in (("a",), ("a", "b")):
        encoding = backend.encode(*texts)
        pieces: list[str] = []
        for token, index, part, text in zip(
            encoding.tokens, encoding.ids, encoding.type_ids, encoding.sequence_ids, strict=True
        ):
            if text is None:
                special[token] = index
                pieces.append(f"{token}:{part}")
            elif (piece := f"${'AB'[text]}:{part}") not in pieces:
                pieces += [*(f"{word}:{part}" for word in prompt if text == 0), piece]
        templates.append(pieces)
    return processors.TemplateProcessing(single=templates[0], pair=templates[1], special_tokens=list(special.items()))


def _write_prefix(model: Any, folder: Path) -> None:
    """The model without its prefix in `folder`/base, and peft's files for the prefix in `folder`."""
    import torch
    from peft import PrefixTuningConfig, TaskType, get_peft_model

    prefix = getattr(model.base_model, virtual_tokens.NAME).detach()
    layers, _, heads, count, head_width = prefix.shape
    virtual_tokens.remove(model)
    model.save_pretrained(folder / BASE_FOLDER, safe_serialization=True)
    config = PrefixTuningConfig(
        task_type=TaskType.SEQ_CLS,
        num_virtual_tokens=count,
        num_layers=layers,
        num_attention_heads=heads,
        token_dim=heads * head_width,
        num_transformer_submodules=1,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # peft asks transformers for what has a new name there
        wrapped = get_peft_model(model, config)
    config.base_model_name_or_path = BASE_FOLDER
    with torch.no_grad():
        (table,) = wrapped.prompt_encoder.parameters()  # [count, layers × 2 × width]
        table.copy_(prefix.permute(3, 0, 1, 2, 4).reshape(count, -1))
    # Not "auto", its default, which asks the Hub whether the embeddings have grown.
    wrapped.save_pretrained(str(folder), safe_serialization=True, save_embedding_layers=False)
