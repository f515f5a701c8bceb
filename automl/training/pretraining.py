"""Train a masked language model on texts, and measure its perplexity."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from automl.data.batches import collate, encode, evaluation_batches, training_batches
from automl.errors import DataError, ModelError
from automl.models import masked_lm, vocabulary
from automl.models.checkpoint import Checkpoint, load_tokenizer, max_positions
from automl.models.layers import evaluating
from automl.params import Params
from automl.records import Encoded
from automl.training.optimizer import Optimizer
from automl.training.precision import computing_in
from automl.training.schedules import factor

if TYPE_CHECKING:
    import torch

EVALUATIONS = 4  # times that each text is masked to measure perplexity, every time at other places
MIN_TEXTS = 20


@dataclass(frozen=True)
class Corpus:
    """Texts as numbers within the tokens that occur in them."""

    rows: Encoded
    used: np.ndarray  # [used] ids in the full vocabulary, int64
    special: np.ndarray  # tokens that are never hidden
    ordinary: np.ndarray  # tokens that random ones are drawn from
    pad: int
    mask: int

    def counts(self, rows: np.ndarray) -> np.ndarray:
        """How often each token occurs in some rows, special ones never; [used]."""
        inside = np.repeat(np.isin(np.arange(len(self.rows)), rows), self.rows.lengths)
        counts = np.bincount(self.rows.features["input_ids"][inside], minlength=len(self.used))
        counts[self.special] = 0
        return counts


def read_corpus(checkpoint: Checkpoint, texts: Sequence[str], max_length: int) -> Corpus:
    """The distinct texts, cut to `max_length` tokens or what the model can read.

    Raises:
        DataError: fewer than 20 distinct texts with something in them.
        ModelError: the tokenizer has no mask token.
    """
    tokenizer = load_tokenizer(checkpoint)
    pad, mask = tokenizer.pad_token_id, tokenizer.mask_token_id
    if mask is None or pad is None:
        raise ModelError(
            f"--model {checkpoint.name!r}: its tokenizer has no mask or no padding token, which learning from plain "
            "text needs; leave it out (starting_weights: pretrained), or use a BERT-like encoder"
        )
    length = min(max_length, max_positions(checkpoint))
    distinct = list(dict.fromkeys(texts))
    rows = encode(tokenizer, distinct, np.zeros(len(distinct), np.int64), length)
    ordinary = ~np.isin(rows.features["input_ids"], tokenizer.all_special_ids)
    owner = np.repeat(np.arange(len(rows)), rows.lengths)
    filled = np.flatnonzero(np.bincount(owner[ordinary], minlength=len(rows)))
    if len(filled) < MIN_TEXTS:
        raise DataError(
            f"learning from plain text needs at least {MIN_TEXTS} distinct texts, there are {len(filled)}: "
            "give unlabelled texts too, or leave it out (starting_weights: pretrained)"
        )
    if len(filled) < len(rows):  # texts of special tokens alone have nothing to hide
        kept = [distinct[row] for row in filled]
        rows = encode(tokenizer, kept, np.zeros(len(kept), np.int64), length)
    used = np.union1d(vocabulary.used_tokens([rows], pad), [mask])
    rows = vocabulary.renumber(rows, used)
    special = np.searchsorted(used, np.intersect1d(used, tokenizer.all_special_ids))
    pad, mask = np.searchsorted(used, [pad, mask])
    return Corpus(rows, used, special, np.setdiff1d(rows.features["input_ids"], special), int(pad), int(mask))


def train(
    model: Any,
    corpus: Corpus,
    rows: np.ndarray,
    steps: int,
    recipe: Params,
    rng: np.random.Generator,
    precision: str,
) -> Iterator[int]:
    """Train the parameters that require a gradient, in place; yields the steps done. A frozen encoder has no dropout.

    Args:
        model: trimmed to `corpus.used`, in float32 on its device.
        rows: [training rows] of the corpus.
        recipe: its learning rate, batch size, schedule, weight decay and bound on the gradient are used.
        precision: "bfloat16" computes in it and keeps float32 master weights.
    """
    model.train()
    if not any(parameter.requires_grad for parameter in model.base_model.parameters()):
        model.base_model.eval()
    optimizer = Optimizer(model, recipe, {})
    done = 0
    with computing_in(model, precision):
        while done < steps:
            batches = training_batches(corpus.rows.lengths[rows], recipe.per_device_train_batch_size, rng)
            for batch in batches[: steps - done]:
                loss, _ = _loss(model, corpus, rows[batch], rng)
                loss.backward()
                optimizer.step(factor(done, steps, recipe))
                done += 1
                yield done
    optimizer.weights.hand_out()


def perplexity(model: Any, corpus: Corpus, rows: np.ndarray, seed: int, precision: str) -> float:
    """exp of the mean loss over hidden tokens, among the tokens that occur. Equal seeds hide the same ones."""
    import torch

    rng = np.random.default_rng(seed)
    total, count = 0.0, 0
    with computing_in(model, precision), evaluating(model), torch.inference_mode():
        for _ in range(EVALUATIONS):
            for batch in evaluation_batches(corpus.rows.lengths[rows]):
                loss, hidden = _loss(model, corpus, rows[batch], rng)
                total, count = total + float(loss) * hidden, count + hidden
    return math.exp(min(total / count, 700.0)) if math.isfinite(total) else sys.float_info.max


def _loss(model: Any, corpus: Corpus, batch: np.ndarray, rng: np.random.Generator) -> tuple[torch.Tensor, int]:
    """Mean cross-entropy over a batch's hidden tokens, and how many they are."""
    import torch

    device = str(next(model.parameters()).device)
    features = collate(corpus.rows, batch, corpus.pad)
    tokens = features["input_ids"].numpy()  # [batch, seq]
    ordinary = ~np.isin(tokens, corpus.special)
    shown, chosen = masked_lm.mask(tokens, ordinary, corpus.ordinary, corpus.mask, rng)
    features["input_ids"] = torch.from_numpy(shown)
    features = {name: feature.to(device, non_blocking=True) for name, feature in features.items()}
    positions = torch.from_numpy(chosen).to(device)  # [chosen]
    targets = torch.from_numpy(tokens.ravel()[chosen]).to(device)  # [chosen]
    logits = masked_lm.logits_at(model, features, positions)  # [chosen, used]
    return torch.nn.functional.cross_entropy(logits.float(), targets), len(chosen)
