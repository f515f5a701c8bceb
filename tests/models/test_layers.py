"""Layers are found, frozen and trimmed whatever the architecture calls them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import transformers

from automl.models import vocabulary
from automl.models.layers import encoder_layers, freeze

SMALL = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 32, "vocab_size": 60}
DISTIL = {"dim": 16, "n_layers": 3, "n_heads": 2, "hidden_dim": 32, "vocab_size": 60}
CONFIGS = {
    "Bert": SMALL,
    "Roberta": SMALL,
    "Electra": SMALL | {"embedding_size": 16},
    "MPNet": SMALL,
    "DebertaV2": SMALL,
    "DistilBert": DISTIL,
}


@pytest.fixture(params=CONFIGS)
def model(request: pytest.FixtureRequest) -> Any:
    torch.manual_seed(0)
    config = getattr(transformers, f"{request.param}Config")(**CONFIGS[request.param], num_labels=2, pad_token_id=1)
    return transformers.AutoModelForSequenceClassification.from_config(config)


BATCH = {
    "input_ids": torch.tensor([[0, 9, 20, 2], [0, 30, 2, 1]]),
    "attention_mask": torch.tensor([[1] * 4, [1, 1, 1, 0]]),
}


@pytest.mark.parametrize("frozen", [0, 2, 3])
def test_exactly_the_embeddings_and_the_first_layers_get_no_gradient(model: Any, frozen: int) -> None:
    stack = encoder_layers(model)
    assert len(stack) == 3
    freeze(model.train(), frozen)
    model(**BATCH).logits.sum().backward()
    without = {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
    kept = {id(parameter) for block in stack[frozen:] for parameter in block.parameters()}
    held = {id(parameter) for block in stack[:frozen] for parameter in block.parameters()}
    for name, parameter in model.named_parameters():
        if id(parameter) in held or "embeddings" in name:
            assert (name in without) == (frozen > 0)
        elif id(parameter) in kept or "classifier" in name:
            assert name not in without
    assert any(parameter.grad is not None for parameter in model.parameters())


def test_a_trimmed_vocabulary_gives_the_same_logits(model: Any) -> None:
    model.eval()
    used = np.unique([*range(vocabulary.KEPT), *BATCH["input_ids"].flatten().tolist()])
    before = model(**BATCH).logits
    vocabulary.trim(model, used)
    renumbered = torch.from_numpy(np.searchsorted(used, BATCH["input_ids"].numpy()))
    after = model(input_ids=renumbered, attention_mask=BATCH["attention_mask"]).logits
    torch.testing.assert_close(after, before)
