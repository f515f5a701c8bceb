"""The last layer at the first token alone: the same logits and gradients, and unchanged where they would differ."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from automl.models.first_token import first_token_alone
from automl.models.layers import encoder_layers, freeze
from tests.models.architectures import ARCHITECTURES, padded, texts, tiny

SPARED = ("bert", "roberta", "electra", "deberta-v2", "deberta-v3")  # read the first token, and are built like BERT
LABELS = torch.tensor([0, 1, 2, 2, 1, 0])


def step(model: Any, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Logits and every gradient of a step without dropout."""
    model.eval()
    model.zero_grad()
    logits = model(**batch).logits
    torch.nn.functional.cross_entropy(logits, LABELS).backward()
    return {"logits": logits.detach(), **{n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}}


@pytest.mark.parametrize("frozen", [0, 2])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_logits_and_gradients_are_those_of_the_whole_layer(name: str, frozen: int) -> None:
    model, batch = tiny(name), padded(name, texts())
    freeze(model, frozen)
    expected = step(model, batch)
    with first_token_alone(model, batch) as spared:
        assert spared == (name in SPARED)
        found = step(model, batch)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", SPARED)
def test_the_last_layer_puts_out_one_token_within_the_block_and_all_after_it(name: str) -> None:
    model, batch = tiny(name), padded(name, texts())
    tokens: list[int] = []
    for layer in encoder_layers(model)[1:]:
        layer.register_forward_hook(
            lambda _, args, out: tokens.append((out[0] if isinstance(out, tuple) else out).shape[1])
        )
    whole = batch["input_ids"].shape[1]
    with first_token_alone(model, batch):
        tokens.clear()
        model(**batch)
    assert tokens == [whole, 1]
    tokens.clear()
    model(**batch)
    assert tokens == [whole, whole]


def test_a_head_that_reads_every_token_keeps_the_whole_layer() -> None:
    class MeanPooler(torch.nn.Module):
        def forward(self, states: torch.Tensor) -> torch.Tensor:
            return states.mean(dim=1)

    model, batch = tiny("bert"), padded("bert", texts())
    model.bert.pooler = MeanPooler()
    expected = step(model, batch)
    with first_token_alone(model, batch) as spared:
        assert not spared
        torch.testing.assert_close(step(model, batch), expected, rtol=0, atol=0)


def test_modes_and_the_random_state_are_left_alone() -> None:
    model, batch = tiny("bert"), padded("bert", texts())
    freeze(model, 1)
    modes, state = [module.training for module in model.modules()], torch.get_rng_state()
    with first_token_alone(model, batch):
        assert [module.training for module in model.modules()] == modes
        assert torch.equal(torch.get_rng_state(), state)
