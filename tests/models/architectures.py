"""Tiny models of every architecture, made from their configurations, and batches for them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import transformers

LAYERS, WIDTH, VOCABULARY, PADDING = 3, 16, 60, 1
_BERT = {
    "hidden_size": WIDTH,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 40,
}
_DEBERTA = _BERT | {"relative_attention": True, "pos_att_type": ["p2c", "c2p"], "norm_rel_ebd": "layer_norm"}
# name -> (class of its configuration, the configuration)
ARCHITECTURES: dict[str, tuple[str, dict[str, Any]]] = {
    "bert": ("Bert", _BERT),
    "roberta": ("Roberta", _BERT),
    "distilbert": (
        "DistilBert",
        {"dim": WIDTH, "n_layers": LAYERS, "n_heads": 2, "hidden_dim": 32, "max_position_embeddings": 40},
    ),
    "albert": ("Albert", _BERT | {"num_hidden_layers": 6, "num_hidden_groups": LAYERS, "embedding_size": 8}),
    "electra": ("Electra", _BERT | {"embedding_size": 8}),
    "mpnet": ("MPNet", _BERT),
    "deberta-v2": (  # as xlarge has it: a convolution beside the first layer
        "DebertaV2",
        _DEBERTA | {"conv_kernel_size": 3, "position_biased_input": True, "type_vocab_size": 2},
    ),
    "deberta-v3": (
        "DebertaV2",
        _DEBERTA | {"position_buckets": 8, "share_att_key": True, "position_biased_input": False, "type_vocab_size": 0},
    ),
    "modernbert": ("ModernBert", _BERT | {"global_attn_every_n_layers": 2, "local_attention": 8}),
    "xlnet": ("XLNet", {"d_model": WIDTH, "n_layer": LAYERS, "n_head": 2, "d_inner": 32}),
    "gpt2": ("GPT2", {"n_embd": WIDTH, "n_layer": LAYERS, "n_head": 2, "n_positions": 40}),
}


def tiny(name: str, seed: int = 0, **options: Any) -> Any:
    """A model with random weights, in train mode; `options` go over its configuration."""
    torch.manual_seed(seed)
    kind, config = ARCHITECTURES[name]
    tokens = {"pad_token_id": PADDING, "bos_token_id": 2, "eos_token_id": 3, "cls_token_id": 2, "sep_token_id": 3}
    given = {"vocab_size": VOCABULARY, "num_labels": 3, **tokens, **config, **options}
    model = transformers.AutoModelForSequenceClassification.from_config(getattr(transformers, f"{kind}Config")(**given))
    with torch.no_grad():
        for (
            parameter
        ) in model.parameters():  # no bias 0, no norm 1, and states that differ in more than the last digits
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model.train()


def texts(count: int = 6, seed: int = 0, vocabulary: int = VOCABULARY) -> list[np.ndarray]:
    """Rows of unequal length, [tokens] int64 each, without padding tokens."""
    rng = np.random.default_rng(seed)
    return [rng.integers(PADDING + 1, vocabulary, length) for length in rng.integers(3, 14, count)]


def padded(name: str, rows: list[np.ndarray], pad_token_id: int = PADDING) -> dict[str, torch.Tensor]:
    """A batch as the architecture's own tokenizer pads it: XLNet reads the last token, and so pads on the left."""
    inside = mask(name, [len(row) for row in rows])
    ids = np.full(inside.shape, pad_token_id)
    ids[inside] = np.concatenate(rows)
    return {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(inside.astype(np.int64))}


def mask(name: str, lengths: list[int]) -> np.ndarray:
    """Where tokens stand in a padded batch, [rows, longest] bool."""
    places = np.arange(max(lengths))
    return (places[::-1] if name == "xlnet" else places) < np.array(lengths)[:, None]
