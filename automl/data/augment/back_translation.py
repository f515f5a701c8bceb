"""Texts translated into another language and back."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from automl.data.augment.resources import Alter, Resources
from automl.data.augment.sentence_order import split_sentences
from automl.errors import ModelError, UsageError
from automl.models import checkpoint

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    Translator = tuple[Any, PreTrainedTokenizerBase]  # model and tokenizer

LIKELIEST = 10  # tokens to draw from at each step, Edunov's "top10"
TEMPERATURE = 0.7
MAX_LENGTH = 128  # tokens of a sentence; a longer one stays as it is, because cutting it would lose its end
BATCH_TOKENS = 2048


def load_back_translation(resources: Resources) -> Alter:
    """Back-translation with the two models of the resources.

    Raises:
        ModelError: one of them is no translation model, or its tokenizer needs a package that is not installed.
    """
    there, back = (_load(found, resources.device) for found in _translators(resources))
    return lambda texts, rng: back_translate(texts, there, back, rng)


def back_translation_identity(resources: Resources) -> str:
    """Hashes of both models; UsageError where there are none."""
    return " ".join(found.sha256 for found in _translators(resources))


def back_translate(texts: Sequence[str], there: Translator, back: Translator, rng: np.random.Generator) -> list[str]:
    """Every text translated there and back, sentence by sentence, with sampling, so that no two copies are alike.

    Source: Edunov et al. (2018), Understanding Back-Translation at Scale; Xie et al. (2020), UDA.
    """
    split = [split_sentences(text) for text in texts]
    sentences = list(dict.fromkeys(sentence for own, _ in split for sentence in own if sentence.strip()))
    returned = _translate(_translate(sentences, there, rng), back, rng)
    new = {old: translated or old for old, translated in zip(sentences, returned, strict=True)}
    return [
        "".join(new.get(sentence, sentence) + space for sentence, space in zip(own, spaces, strict=True))
        for own, spaces in split
    ]


def _translate(sentences: Sequence[str], translator: Translator, rng: np.random.Generator) -> list[str]:
    """Translations, in batches of like length; an empty one for what is empty or too long."""
    import torch

    model, tokenizer = translator
    ids = [tokenizer(sentence)["input_ids"] for sentence in sentences]
    order = sorted((i for i, s in enumerate(sentences) if s and len(ids[i]) <= MAX_LENGTH), key=lambda i: len(ids[i]))
    translated = [""] * len(sentences)
    devices = [model.device] if model.device.type == "cuda" else []
    with torch.random.fork_rng(devices), torch.inference_mode():
        torch.manual_seed(int(rng.integers(2**63)))
        while order:
            longest = len(ids[order[-1]])
            size = max(1, BATCH_TOKENS // longest)
            batch, order = order[-size:], order[:-size]
            inputs = tokenizer.pad({"input_ids": [ids[i] for i in batch]}, return_tensors="pt").to(model.device)
            output = model.generate(
                **inputs,
                do_sample=True,
                num_beams=1,
                top_k=LIKELIEST,
                temperature=TEMPERATURE,
                max_length=None,
                max_new_tokens=2 * longest + 8,
            )
            for i, text in zip(batch, tokenizer.batch_decode(output, skip_special_tokens=True), strict=True):
                translated[i] = text.strip()
    return translated


def _load(found: checkpoint.Checkpoint, device: str) -> Translator:
    import transformers

    if not importlib.util.find_spec("sentencepiece"):
        raise UsageError(
            f"augmentation back_translation: the tokenizer of {found.name!r} needs sentencepiece; "
            "pip install 'automl-search[augment]'"
        )
    try:
        tokenizer = checkpoint.load_tokenizer(found)
        model = transformers.AutoModelForSeq2SeqLM.from_pretrained(
            found.folder, use_safetensors=True, trust_remote_code=False, local_files_only=True, dtype="float32"
        )
    except (OSError, ValueError, TypeError, KeyError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ModelError(
            f"augmentation back_translation: {found.name!r} is no translation model that can be loaded ({reason}); "
            "give a MarianMT folder with model.safetensors, source.spm, target.spm and vocab.json"
        ) from None
    return model.to(device).eval(), tokenizer


def _translators(resources: Resources) -> tuple[checkpoint.Checkpoint, checkpoint.Checkpoint]:
    if resources.translators is None:
        raise UsageError(
            "augmentation back_translation: no translation models were given; it needs two MarianMT models, into "
            "another language and back; name them by --translators, or take back_translation out of the search space"
        )
    return resources.translators
