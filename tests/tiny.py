"""A BERT small enough to make in memory, and a task that it can learn, for tests of the whole way."""

from __future__ import annotations

import csv
import json
import random
from pathlib import Path

from automl.models.checkpoint import quiet_transformers

GOOD = ["good", "great", "fine", "lovely", "warm"]
BAD = ["bad", "awful", "poor", "dull", "cold"]
FILLER = ["the", "film", "was", "a", "story", "actor", "scene", "and", "very", "quite", "music", "plot"]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def make_model(
    folder: Path,
    *,
    layers: int = 3,
    width: int = 32,
    extra_words: int = 0,
    words_first: int = 0,
    positions: int = 64,
    seed: int = 0,
) -> Path:
    """Save a tiny BERT with a word tokenizer to `folder`; `words_first`, which no text has, come before the others."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    quiet_transformers()
    unused = [f"unused{i}" for i in range(words_first)]
    words = [*SPECIAL, *unused, *GOOD, *BAD, *FILLER, *(f"word{i}" for i in range(extra_words))]
    tokenizer = Tokenizer(models.WordLevel({word: index for index, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
    )
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=2,
        intermediate_size=2 * width,
        max_position_embeddings=positions,
    )
    BertModel(config).save_pretrained(folder)
    fast.save_pretrained(folder)
    return folder


def make_rows(count: int, seed: int = 0) -> list[dict[str, str]]:
    """Distinct sentences whose label is told by one of their words."""
    rng = random.Random(seed)
    rows: dict[str, str] = {}
    while len(rows) < count:
        label = rng.choice(["negative", "positive"])
        words = rng.choices(FILLER, k=rng.randint(3, 9))
        words.insert(rng.randrange(len(words)), rng.choice(GOOD if label == "positive" else BAD))
        rows[" ".join(words)] = label
    return [{"text": text, "label": label} for text, label in rows.items()]


def write_jsonl(path: Path, rows: list[dict[str, str]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def write_csv(path: Path, rows: list[dict[str, str]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


SPACE = """\
name: tiny
description: short trials for tests
params:
  learning_rate: {type: float, low: 1.0e-3, high: 5.0e-3, log: true, default: 2.0e-3}
  num_train_epochs: {type: int, low: 6, high: 10, default: 8}
  frozen_layers: {type: layers, low: 0.0, high: 0.67, default: 0.0}
  augmentation: {type: categorical, choices: [none, random_edits], default: none}
  per_device_train_batch_size: 8
"""


def write_space(path: Path, text: str = SPACE) -> Path:
    path.write_text(text, encoding="utf-8")
    return path
