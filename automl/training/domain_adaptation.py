"""Train the encoder on the task's own plain text before the search, as a masked language model.

Which texts: those of the training rows, and unlabelled ones that the user gives. Those of validation and test rows are
left out although no label would be seen: the final figure is an estimate for texts that come after the training, and
the model would have trained on exactly the texts that it is measured on.

Source: Gururangan et al. (2020), Don't Stop Pretraining: Adapt Language Models to Domains and Tasks.
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from automl.models import masked_lm
from automl.models.checkpoint import Checkpoint
from automl.params import Params
from automl.training import pretraining

# The recipe. With all-MiniLM-L6-v2 and 1,000 sentences of 25 tokens it takes about a minute on one core. A larger
# learning rate lowers the perplexity further, and the accuracy of classifiers trained afterwards too.
RECIPE = Params(
    learning_rate=1e-4, per_device_train_batch_size=16, warmup_ratio=0.1, weight_decay=0.01, max_grad_norm=1.0
)
HEAD_RECIPE = RECIPE.model_copy(update={"learning_rate": 3e-3})
HEAD_SHARE = 0.5  # a new head is first trained alone, for this share of the encoder's steps (each costs a third of one)
TOKEN_BUDGET = 100_000  # tokens that the encoder is trained on, repetitions counted
MAX_EPOCHS = 20  # where texts are so few that the budget would show them more often
HELD_OUT, MAX_HELD_OUT = 0.1, 500  # share and number of texts that perplexity is measured on


@dataclass(frozen=True)
class DomainAdaptation:
    """What the training did. Perplexity is that of hidden tokens in held-out texts, among the tokens that occur."""

    folder: Path  # of the weights to start from: the checkpoint's own where `kept` is false
    kept: bool  # perplexity fell, so the adapted weights were written
    perplexity_before: float  # of a new head: after it was trained alone
    perplexity_after: float
    texts: int  # distinct ones, the held-out among them
    tokens: int  # in those texts
    vocabulary: int  # distinct tokens that the model chooses from
    steps: int
    seconds: float
    new_head: bool  # the checkpoint has no masked-language head

    def __str__(self) -> str:
        verdict = "" if self.kept else "; it did not fall, so the pretrained weights stay"
        return (
            f"perplexity on held-out texts {self.perplexity_before:.4g} before, {self.perplexity_after:.4g} after "
            f"{self.steps} steps, among the {self.vocabulary:,} tokens that occur in {self.texts:,} texts{verdict}"
        )


def adapt(
    checkpoint: Checkpoint,
    texts: Sequence[str],
    folder: Path,
    *,
    seed: int = 0,
    max_length: int = 128,
    token_budget: int = TOKEN_BUDGET,
    precision: str = "float32",
    device: str = "cpu",
    progress: Callable[[int, int], None] | None = None,
) -> DomainAdaptation:
    """Train `checkpoint` on `texts` and write the result to `folder`, or find what an equal call left there.

    Args:
        texts: see the top of this module; repeated ones count once.
        folder: replaced as a whole; `folder`.json beside it has the result, also where no weights were kept.
        max_length: tokens; longer texts are cut.
        token_budget: tokens to train the encoder on, at most 20 times each; it decides the time.
        precision: "bfloat16" computes in it and keeps float32 weights.
        progress: called with the steps done and the steps there are.

    Raises:
        DataError: fewer than 20 distinct texts with something in them.
        ModelError: the model has no masked language model, or its tokenizer no mask token.
    """
    key = _key(checkpoint, texts, seed, max_length, token_budget, precision)
    if found := _recorded(folder, key, checkpoint):
        return found
    import torch

    started = time.perf_counter()
    torch.manual_seed(seed)
    model, trained_head = masked_lm.load_masked_lm(checkpoint)
    corpus = pretraining.read_corpus(checkpoint, texts, max_length)
    masked_lm.trim(model, corpus.used)
    model.to(device)
    before, after, steps = _train(model, trained_head, corpus, token_budget, seed, precision, progress)
    result = DomainAdaptation(
        folder=folder if after < before else checkpoint.folder,
        kept=after < before,
        perplexity_before=before,
        perplexity_after=after,
        texts=len(corpus.rows),
        tokens=int(corpus.rows.lengths.sum()),
        vocabulary=len(corpus.used),
        steps=steps,
        seconds=time.perf_counter() - started,
        new_head=not trained_head,
    )
    part = folder.with_name(folder.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    if result.kept:
        masked_lm.save_encoder(model, corpus.used, checkpoint, part)
    _put(part, folder, key, result)
    return result


def _train(
    model: Any,
    trained_head: bool,
    corpus: pretraining.Corpus,
    token_budget: int,
    seed: int,
    precision: str,
    progress: Callable[[int, int], None] | None,
) -> tuple[float, float, int]:
    """Train in place, a new head alone at first. Held-out perplexity before and after, and steps of the whole model."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(corpus.rows))
    held_out, train = np.split(order, [min(MAX_HELD_OUT, round(HELD_OUT * len(order)))])
    steps = _steps(corpus.rows.lengths[train], token_budget)
    head_steps = 0 if trained_head else max(1, round(HEAD_SHARE * steps))

    def learn(first: int, count: int, recipe: Params) -> None:
        for done in pretraining.train(model, corpus, train, count, recipe, rng, precision):
            if progress:
                progress(first + done, head_steps + steps)

    if head_steps:
        masked_lm.start_from_frequencies(model, corpus.counts(train))
        model.base_model.requires_grad_(False)
        learn(0, head_steps, HEAD_RECIPE)
        model.requires_grad_(True)
    before = pretraining.perplexity(model, corpus, held_out, seed, precision)
    learn(head_steps, steps, RECIPE)
    return before, pretraining.perplexity(model, corpus, held_out, seed, precision), steps


def _steps(lengths: np.ndarray, token_budget: int) -> int:
    """Batches that hold about `token_budget` tokens, at most MAX_EPOCHS times each row's."""
    epochs = min(MAX_EPOCHS, token_budget / int(lengths.sum()))
    return max(1, round(epochs * math.ceil(len(lengths) / RECIPE.per_device_train_batch_size)))


def _key(checkpoint: Checkpoint, texts: Sequence[str], *settings: Any) -> str:
    recipe = [RECIPE.model_dump(), HEAD_RECIPE.model_dump(), HEAD_SHARE, MAX_EPOCHS, HELD_OUT, MAX_HELD_OUT]
    inputs = [checkpoint.sha256, list(texts), settings, recipe]
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()


def _put(part: Path, folder: Path, key: str, result: DomainAdaptation) -> None:
    """Name `part` (if weights were kept) `folder`, then write the record: an interrupted call leaves none that fits."""
    record = _record(folder)
    record.unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)
    if result.kept:
        part.rename(folder)
    facts = {name: value for name, value in asdict(result).items() if name != "folder"}
    record.parent.mkdir(parents=True, exist_ok=True)
    unfinished = record.with_name(record.name + ".part")
    unfinished.write_text(json.dumps({"key": key, "files": _digest(folder), "result": facts}, indent=1), "utf-8")
    unfinished.replace(record)


def _recorded(folder: Path, key: str, checkpoint: Checkpoint) -> DomainAdaptation | None:
    """The result of an equal call, if every file is as that left it."""
    try:
        record = json.loads(_record(folder).read_text(encoding="utf-8"))
        if (record["key"], record["files"]) != (key, _digest(folder)):
            return None
        facts = record["result"]
        return DomainAdaptation(folder=folder if facts["kept"] else checkpoint.folder, **facts)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _record(folder: Path) -> Path:
    return folder.with_name(folder.name + ".json")


def _digest(folder: Path) -> str:
    """Over the names and contents of a folder's files; also of one that is not there."""
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*")):
        digest.update(f"{path.name} {path.stat().st_size} ".encode())
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()
