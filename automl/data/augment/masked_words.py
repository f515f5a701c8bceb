"""Words replaced by what a masked language model expects in their place."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from automl.data.augment.resources import Alter, Resources
from automl.data.augment.words import Span, match_case, pick, replace, share_of
from automl.errors import ModelError, UsageError
from automl.models import checkpoint
from automl.models.masked_lm import load_masked_lm

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

SHARE = 0.15  # of the words of a text, as in BERT's own training
PROPOSALS = 10  # the likeliest words to draw from
READ_PROPOSALS = 60  # tokens read to find so many: pieces of words, punctuation and the word itself are left out
MAX_LENGTH = 128  # tokens; words further on stay
BATCH_TOKENS = 4096


@dataclass(frozen=True)
class _Masked:
    """One text with some of its words masked."""

    text: str
    ids: list[int]
    spans: list[Span]  # of the masked words, in the order of the masks


def load_masked_words(resources: Resources) -> Alter:
    """Masked-word replacement with the model of the resources.

    Raises:
        ModelError: its head is not trained, or its tokenizer has no mask or does not tell where its tokens stand.
    """
    found = _mask_model(resources)
    tokenizer = checkpoint.load_tokenizer(found)
    model, trained = load_masked_lm(found)
    needs = {"a trained head": trained, "a mask": tokenizer.mask_token_id is not None, "a fast form": tokenizer.is_fast}
    if lacks := [need for need, there in needs.items() if not there]:
        raise ModelError(
            f"augmentation masked_words: {found.name!r} or its tokenizer lacks {lacks[0]}; it needs a masked language "
            "model as it was pretrained, such as BERT; name one by --mask-model, or take masked_words out of the space"
        )
    model.to(resources.device).eval()
    return lambda texts, rng: replace_masked(texts, model, tokenizer, rng)


def masked_words_identity(resources: Resources) -> str:
    """Hash of the model; UsageError where there is none."""
    return _mask_model(resources).sha256


def replace_masked(
    texts: Sequence[str], model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, rng: np.random.Generator
) -> list[str]:
    """Every text with some words replaced, each drawn from the words that the model finds likeliest there.

    A word is what the tokenizer takes for one, so Chinese characters are words to a Chinese model.

    Source: Wu et al. (2019), Conditional BERT Contextual Augmentation, without its fine-tuning.
    """
    masked = [_mask(text, tokenizer, _max_length(model), rng) for text in texts]
    proposals = _proposals(masked, model, tokenizer)
    return [_fill(one, found, rng) for one, found in zip(masked, proposals, strict=True)]


def _mask(text: str, tokenizer: PreTrainedTokenizerBase, max_length: int, rng: np.random.Generator) -> _Masked:
    tokens = tokenizer(text, truncation=True, max_length=max_length, return_offsets_mapping=True)
    ids, offsets, words = tokens["input_ids"], tokens["offset_mapping"], tokens.word_ids()
    places: dict[int, list[int]] = {}  # of every word, its tokens
    for place, word in enumerate(words):
        if word is not None:
            places.setdefault(word, []).append(place)
    by_span = {_span(text, offsets, those): those for those in places.values()}
    wordlike = [span for span in by_span if text[slice(*span)].isalpha()]
    chosen = pick(wordlike, share_of(len(wordlike), SHARE), rng)
    firsts = {by_span[span][0] for span in chosen}
    dropped = {place for span in chosen for place in by_span[span][1:]}
    new_ids = [tokenizer.mask_token_id if i in firsts else t for i, t in enumerate(ids) if i not in dropped]
    return _Masked(text, new_ids, chosen)


def _span(text: str, offsets: Sequence[Span], places: Sequence[int]) -> Span:
    """Where a word stands, without the space before it that some tokenizers count in."""
    start, end = offsets[places[0]][0], offsets[places[-1]][1]
    return start + len(text[start:end]) - len(text[start:end].lstrip()), end


def _proposals(
    masked: Sequence[_Masked], model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase
) -> list[list[list[tuple[str, float]]]]:
    """For every text and each of its masks the words proposed, with their logits, the likeliest first."""
    import torch

    special = set(tokenizer.all_special_ids)

    @cache
    def word_of(token: int) -> str:
        """The word that a token stands for; empty for pieces: written as a word, they become other tokens."""
        word = "" if token in special else str(tokenizer.decode([token])).strip()
        alone = tokenizer(f" {word}", add_special_tokens=False)["input_ids"]
        return word if word.isalpha() and alone == [token] else ""

    found: list[list[list[tuple[str, float]]]] = [[] for _ in masked]
    for batch in _batches(masked):
        ids = tokenizer.pad({"input_ids": [masked[index].ids for index in batch]}, return_tensors="pt").to(model.device)
        with torch.no_grad():
            logits: torch.Tensor = model(**ids).logits  # [batch, seq, vocabulary]
        rows, columns = (ids["input_ids"] == tokenizer.mask_token_id).nonzero(as_tuple=True)
        top = logits[rows, columns].topk(min(READ_PROPOSALS, logits.shape[-1]))  # [masks, proposals]
        for row, tokens, values in zip(rows.tolist(), top.indices.tolist(), top.values.tolist(), strict=True):
            words = [(word_of(token), value) for token, value in zip(tokens, values, strict=True)]
            found[batch[row]].append([(word, value) for word, value in words if word])
    return found


def _batches(masked: Sequence[_Masked]) -> Iterator[list[int]]:
    """Numbers of the texts that have a mask, in batches of like length."""
    order = sorted((i for i, one in enumerate(masked) if one.spans), key=lambda i: len(masked[i].ids))
    while order:
        size = max(1, BATCH_TOKENS // len(masked[order[-1]].ids))
        yield order[-size:]
        del order[-size:]


def _fill(masked: _Masked, proposals: Sequence[list[tuple[str, float]]], rng: np.random.Generator) -> str:
    new = {}
    # A text may itself contain the mask token: then masks and words cannot be told apart.
    for span, found in zip(masked.spans, proposals, strict=True) if len(masked.spans) == len(proposals) else ():
        old = masked.text[slice(*span)]
        likely = [(word, value) for word, value in found if word.lower() != old.lower()][:PROPOSALS]
        if likely:
            odds = np.exp(np.array([value for _, value in likely]) - likely[0][1])
            new[span] = match_case(old, likely[int(rng.choice(len(likely), p=odds / odds.sum()))][0])
    return replace(masked.text, new)


def _max_length(model: Any) -> int:
    return min(MAX_LENGTH, getattr(model.config, "max_position_embeddings", MAX_LENGTH + 2) - 2)


def _mask_model(resources: Resources) -> checkpoint.Checkpoint:
    if resources.mask_model is None:
        raise UsageError(
            "augmentation masked_words: no masked language model was given; "
            "name one by --mask-model, such as the pretrained BERT, or take masked_words out of the search space"
        )
    return resources.mask_model
