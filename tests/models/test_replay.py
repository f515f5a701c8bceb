"""Replaying recorded states is exact: logits, loss and gradients are those of the model that runs all of its layers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from transformers import XLMConfig, XLMForSequenceClassification

from automl.models.layers import anatomy, encoder_layers, freeze, set_dropout
from automl.models.replay import Replay, install, is_exact, record
from tests.models.architectures import ARCHITECTURES, LAYERS, WIDTH, mask, padded, texts, tiny

LABELS = torch.tensor([0, 1, 2, 2, 1, 0])


@pytest.fixture(params=ARCHITECTURES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def recorded_elsewhere(model: Any, name: str, layers: int, rows: list[np.ndarray]) -> torch.Tensor:
    """States recorded in other batches, kept without padding, and padded with zeros, [batch, seq, width]."""
    order = [3, 0, 5, 2, 1, 4]
    states: dict[int, torch.Tensor] = {}
    for part in (order[:1], order[1:4], order[4:]):
        padding = [*rows[1:2], np.full(20, 7)]  # one row of another batch, one that is longer than all
        batch = [*(rows[row] for row in part), *padding]
        state = record(model, layers, padded(name, batch))
        inside = mask(name, [len(row) for row in batch])
        states |= {row: state[place][torch.from_numpy(inside[place])] for place, row in enumerate(part)}
    inside = mask(name, [len(row) for row in rows])
    hidden = torch.zeros(*inside.shape, WIDTH, dtype=states[0].dtype)
    hidden[torch.from_numpy(inside)] = torch.cat([states[row] for row in range(len(rows))])
    return hidden


def replaying(model: Any, layers: int, hidden: torch.Tensor) -> Replay:
    replay = install(model, layers)
    replay.hidden = hidden
    return replay


def step(model: Any, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Logits, loss and every gradient of one training step."""
    torch.manual_seed(1)
    model.zero_grad()
    output = model(**batch)
    loss = torch.nn.functional.cross_entropy(output.logits.float(), LABELS)
    loss.backward()
    gradients = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    return {"logits": output.logits.detach(), "loss": loss.detach(), **gradients}


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("layers", [1, 2, LAYERS])
def test_a_replay_trains_as_the_whole_model_does(name: str, layers: int, precision: str) -> None:
    model, rows = tiny(name), texts()
    freeze(model, layers)
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
        expected = step(model, padded(name, rows))
        replay = replaying(model, layers, recorded_elsewhere(model, name, layers, rows))
        found = step(model, padded(name, rows))
    replay.remove()
    assert found.keys() == expected.keys()
    rtol, atol = (1e-5, 1e-6) if precision == "float32" else (0.05, 0.03)
    torch.testing.assert_close(found, expected, rtol=rtol, atol=atol)


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "bfloat16 weights"])
@pytest.mark.parametrize("layers", [1, LAYERS])
def test_in_the_same_batch_it_is_equal_to_the_last_bit(name: str, layers: int, precision: str) -> None:
    model, batch = tiny(name), padded(name, texts())
    freeze(model, layers)
    if precision == "bfloat16 weights":
        for parameter in model.parameters():
            parameter.data = parameter.data.bfloat16()
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
        expected = step(model, batch)
        replay = replaying(model, layers, record(model, layers, batch))
        found = step(model, batch)
    replay.remove()
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


def test_the_passed_over_layers_do_not_run_and_the_model_keeps_its_parts(name: str) -> None:
    model, batch = tiny(name), padded(name, texts())
    freeze(model, 2)
    names = [key for key, _ in model.named_parameters()]
    ran: set[str] = set()
    parts = {f"layer {index}": block for index, block in enumerate(encoder_layers(model))}
    for part, block in parts.items():
        for module in block.modules():
            if not list(module.children()):  # hooks of the layer itself run even where it is passed over
                module.register_forward_hook(lambda *_, part=part: ran.add(part))
    for module in model.base_model.get_submodule(anatomy(model).entrance).children():
        module.register_forward_hook(lambda *_: ran.add("embeddings"))
    embeddings = set() if name in ("xlnet", "gpt2") else {"embeddings"}  # there it is a bare table: no children

    replay = replaying(model, 2, record(model, 2, batch))
    assert ran == {"layer 0", "layer 1"} | embeddings  # recording runs nothing above
    ran.clear()
    model(**batch)
    assert ran == {"layer 2"}
    assert [key for key, _ in model.named_parameters()] == names

    replay.remove()
    ran.clear()
    model(**batch)
    assert ran == {"layer 0", "layer 1", "layer 2"} | embeddings


@pytest.mark.parametrize("layers", [1, LAYERS])
def test_removing_it_restores_the_model(name: str, layers: int) -> None:
    model, batch = tiny(name), padded(name, texts())
    freeze(model, layers)
    before = step(model, batch)
    replay = replaying(model, layers, record(model, layers, batch) + 1)
    assert not torch.equal(step(model, batch)["logits"], before["logits"])
    replay.remove()
    torch.testing.assert_close(step(model, batch), before, rtol=0, atol=0)
    assert not any(module._forward_pre_hooks or "forward" in vars(module) for module in model.modules())


def test_one_within_another_gives_way_to_it_again() -> None:
    model, batch = tiny("bert").eval(), padded("bert", texts())
    freeze(model, 2)
    outer_state = record(model, 2, batch) + 1
    replay = replaying(model, 2, outer_state)
    expected = model(**batch).logits
    within = replaying(model, 1, outer_state - 1)
    within.remove()
    assert torch.equal(model(**batch).logits, expected)
    replay.remove()


def test_recording_ignores_dropout_and_leaves_modes_and_the_random_state_alone(name: str) -> None:
    model, batch = tiny(name), padded(name, texts())
    set_dropout(model, 0.5, 0.5)
    freeze(model, 1)
    modes, random_state = [module.training for module in model.modules()], torch.get_rng_state()
    state = record(model, 2, batch)
    assert [module.training for module in model.modules()] == modes
    assert torch.equal(torch.get_rng_state(), random_state)
    assert torch.equal(record(model.eval(), 2, batch | {"labels": LABELS}), state)
    assert not state.requires_grad


def test_more_layers_than_there_are_count_as_all() -> None:
    model, batch = tiny("bert"), padded("bert", texts())
    assert torch.equal(record(model, 99, batch), record(model, LAYERS, batch))
    freeze(model, 99)
    expected = step(model, batch)
    replay = replaying(model, 99, record(model, 99, batch))
    torch.testing.assert_close(step(model, batch), expected, rtol=0, atol=0)
    replay.remove()


def test_one_replay_serves_batch_after_batch(name: str) -> None:
    model = tiny(name).eval()
    freeze(model, 2)
    batches = [padded(name, texts(count=seed + 1, seed=seed)) for seed in (1, 2, 3)]
    expected = [model(**batch).logits for batch in batches]
    states = [record(model, 2, batch) for batch in batches]
    replay = install(model, 2)
    for batch, state, logits in zip(batches, states, expected, strict=True):
        replay.hidden = state
        assert torch.equal(model(**batch).logits, logits)
    replay.remove()


def test_a_model_tells_whether_it_can_be_replayed(name: str) -> None:
    model, batch = tiny(name), padded(name, texts())
    freeze(model, 2)
    random_state = torch.get_rng_state()
    assert is_exact(model, 2, batch)
    assert torch.equal(torch.get_rng_state(), random_state)
    assert is_exact(model.eval(), 2, batch)


def test_a_model_that_has_no_layers_one_above_the_other_is_found_out() -> None:
    """XLM has a list of each of their parts, and drops units out between them in every mode of theirs."""
    torch.manual_seed(0)
    config = XLMConfig(emb_dim=16, n_layers=3, n_heads=2, vocab_size=60, max_position_embeddings=40)
    model, batch = XLMForSequenceClassification(config), padded("bert", texts())
    freeze(model.train(), 1)
    assert not is_exact(model, 1, batch)
    assert not is_exact(model.eval(), 1, batch)
