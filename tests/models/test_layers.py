"""Layers are found, frozen, grouped, drawn again and trimmed whatever the architecture calls them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from automl.errors import ModelError
from automl.models import checkpoint, vocabulary
from automl.models.layers import (
    encoder_layers,
    freeze,
    head_parameters,
    parameter_groups,
    redraw,
    reinitialize,
    set_dropout,
)
from automl.records import Encoded
from tests.models.architectures import ARCHITECTURES, LAYERS, PADDING, VOCABULARY, padded, texts, tiny

LABELS = torch.tensor([0, 1, 2, 2, 1, 0])
POSITIONS = {"roberta": 38, "mpnet": 38, "xlnet": sys.maxsize}  # 40 for the others
NO_POSITION_TABLE = ("xlnet", "modernbert", "deberta-v3")


@pytest.fixture(params=ARCHITECTURES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def model(name: str) -> Any:
    return tiny(name)


def batch_for(name: str) -> dict[str, torch.Tensor]:
    batch = padded(name, texts())
    # XLNet's layers have parameters for segments, which are used only where these are given.
    return batch | {"token_type_ids": batch["input_ids"] % 2} if name == "xlnet" else batch


def states(model: Any, layers: int, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """What the layer after the first `layers` reads, in the model's own mode and with gradients."""
    found: list[torch.Tensor] = []
    stack = encoder_layers(model)
    if layers < len(stack):
        hook = stack[layers].register_forward_pre_hook(lambda _, args: found.append(args[0]))
    else:
        hook = stack[-1].register_forward_hook(
            lambda *call: found.append(call[2][0] if isinstance(call[2], tuple) else call[2])
        )
    model(**batch)
    hook.remove()
    return found[0] if layers < len(stack) else found[-1]


def feeding(model: Any, output: torch.Tensor) -> set[str]:
    """Names of the parameters that the output is computed from."""
    model.zero_grad()
    output.square().sum().backward()
    return {key for key, parameter in model.named_parameters() if parameter.grad is not None}


def drawn(model: Any) -> dict[str, torch.Tensor]:
    return {key: parameter.detach().clone() for key, parameter in model.named_parameters()}


def changed(model: Any, before: dict[str, torch.Tensor]) -> set[str]:
    return {key for key, parameter in model.named_parameters() if not torch.equal(parameter, before[key])}


def inside(model: Any, modules: Any) -> set[str]:
    held = {id(parameter) for module in modules for parameter in module.parameters()}
    return {key for key, parameter in model.named_parameters() if id(parameter) in held}


def descend(model: Any, batch: dict[str, torch.Tensor]) -> None:
    """One step of plain gradient descent."""
    torch.manual_seed(1)
    model(**batch, labels=LABELS).loss.backward()
    torch.optim.SGD([p for p in model.parameters() if p.grad is not None], lr=0.1).step()


@pytest.mark.parametrize("layers", [0, 1, 2, 99])
def test_exactly_what_the_first_layers_compute_with_gets_no_gradient(name: str, model: Any, layers: int) -> None:
    batch = batch_for(name)
    expected = feeding(model, states(model, min(layers, LAYERS), batch)) if layers else set()
    used = feeding(model, model(**batch).logits)
    freeze(model.train(), layers)
    frozen = {key for key, parameter in model.named_parameters() if not parameter.requires_grad}
    assert frozen & used == expected & used
    assert expected <= frozen  # and what this model does not use at all may be either
    assert inside(model, encoder_layers(model)[:layers]) <= frozen


@pytest.mark.parametrize("layers", [1, LAYERS])
def test_a_step_trains_what_is_not_frozen(name: str, model: Any, layers: int) -> None:
    batch, before = batch_for(name), drawn(model)
    used = feeding(model, model(**batch).logits)
    model.zero_grad()
    freeze(model, layers)
    descend(model, batch)
    trained = {key for key, parameter in model.named_parameters() if parameter.requires_grad}
    assert changed(model, before) <= trained
    # Adding the same to every key changes no attention: those biases have no gradient but rounding errors.
    assert changed(model, before) >= {key for key in trained & used if before[key].ndim > 1}


@pytest.mark.parametrize("layers", [1, LAYERS])
def test_what_frozen_layers_put_out_is_a_constant(name: str, model: Any, layers: int) -> None:
    batch = batch_for(name)
    set_dropout(model, 0.5, 0.5)
    freeze(model.train(), layers)
    first, second = (states(model, layers, batch) for _ in range(2))
    assert torch.equal(first, second)
    if layers < LAYERS:  # above them dropout goes on
        assert not torch.equal(model(**batch).logits, model(**batch).logits)


def test_a_list_inside_a_layer_is_no_list_of_layers() -> None:
    assert len(encoder_layers(tiny("albert", num_hidden_groups=1, inner_group_num=4))) == 1


def test_unfreezing_brings_gradients_and_dropout_back(model: Any) -> None:
    modes = [module.training for module in model.modules()]
    for layers in (2, 1, 0):
        freeze(model.train(), layers)
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert [module.training for module in model.modules()] == modes


def test_groups_hold_every_parameter_once_from_the_embeddings_up(name: str, model: Any) -> None:
    groups = parameter_groups(model)
    assert sorted(id(p) for group in groups for p in group) == sorted(id(p) for p in model.parameters())
    assert len(groups) == LAYERS + 2
    for block, group in zip(encoder_layers(model), groups[1:-1], strict=True):
        assert {id(p) for p in block.parameters()} == {id(p) for p in group}
    freeze(model, LAYERS)
    assert all(p.requires_grad for p in groups[-1])
    assert not any(p.requires_grad for group in groups[:-1] for p in group)
    assert any(p is model.get_input_embeddings().weight for p in groups[0])


def test_the_head_is_told_from_the_pooler(name: str, model: Any) -> None:
    names = {id(p): key for key, p in model.named_parameters()}
    head = {names[id(p)] for p in head_parameters(model)}
    assert head == {key for key in names.values() if not key.startswith(f"{model.base_model_prefix}.")}
    assert head
    pooler = {names[id(p)] for p in parameter_groups(model)[-1]} - head
    assert {names[id(p)] for p in head_parameters(model, new=pooler)} == head | pooler


@pytest.mark.parametrize("layers", [0, 2])
def test_the_last_layers_are_drawn_anew_and_the_rest_is_kept(
    name: str, model: Any, layers: int, tmp_path: Path
) -> None:
    model.save_pretrained(tmp_path)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path)  # marks what it has loaded
    before = drawn(model)
    torch.manual_seed(7)
    reinitialize(model, layers)
    above = inside(model, [model.base_model]) & {
        key for key, p in model.named_parameters() if any(p is other for other in parameter_groups(model)[-1])
    }
    top = inside(model, encoder_layers(model)[LAYERS - layers :]) | above if layers else set()
    assert changed(model, before) == top

    again = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path)
    torch.manual_seed(7)
    reinitialize(again, layers)
    assert not changed(again, drawn(model))
    reinitialize(again, layers)
    assert bool(changed(again, drawn(model))) == bool(layers)


def test_redrawn_weights_are_spread_as_the_model_spreads_them(name: str, model: Any) -> None:
    torch.manual_seed(0)
    fresh = drawn(transformers.AutoModelForSequenceClassification.from_config(model.config))
    chosen = [*parameter_groups(model)[-2], *head_parameters(model)]
    redraw(model, chosen)
    for key, parameter in model.named_parameters():
        if any(parameter is other for other in chosen):
            assert parameter.mean().item() == pytest.approx(fresh[key].mean().item(), abs=0.1), key
            spread = fresh[key].std().item() if parameter.numel() > 100 else 0
            assert not spread or 0.5 < parameter.std().item() / spread < 2, key


def test_dropout_is_what_it_is_set_to(name: str, model: Any) -> None:
    batch = batch_for(name)

    def logits() -> torch.Tensor:
        torch.manual_seed(3)
        output: torch.Tensor = model.train()(**batch).logits
        return output.detach()

    own, random_state = logits(), torch.get_rng_state()
    set_dropout(model, 0.0, 0.0)
    assert torch.equal(torch.get_rng_state(), random_state)
    off = logits()
    assert torch.equal(off, model.eval()(**batch).logits)

    set_dropout(model, 0.0, 0.5)
    assert torch.equal(logits(), off) == (name == "xlnet")  # which has one value for all
    set_dropout(model, 0.5, 0.0)
    assert not torch.equal(logits(), off)
    set_dropout(model, 0.5, 0.5)
    strong = logits()
    assert not torch.equal(strong, own)
    kind = type(model.config)
    values = {key: 0.5 for key in model.config.to_dict() if "drop" in key}
    built = type(model)(kind(**(model.config.to_dict() | values))).train()
    built.load_state_dict(model.state_dict())
    torch.manual_seed(3)
    assert torch.equal(built(**batch).logits, strong)
    set_dropout(model, None, None)
    assert torch.equal(logits(), own)


@pytest.mark.parametrize("name", sorted(set(ARCHITECTURES) - {"gpt2"}), indirect=True)  # it has none before its head
def test_dropout_before_the_head_is_set_too(name: str, model: Any) -> None:
    freeze(model, LAYERS)
    set_dropout(model, 0.5, None)
    first, second = (model(**batch_for(name)).logits for _ in range(2))
    assert not torch.equal(first, second)


@pytest.mark.parametrize("padding", [PADDING, 12, 50])
def test_training_on_a_trimmed_vocabulary_exports_the_same_model(
    name: str, padding: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unseen tokens included: the exported model is the one that the full table would have given."""
    monkeypatch.setattr(vocabulary, "LOW_PADDING", 40)  # these models are tiny: 40 positions
    if padding == 50 and name in POSITIONS:
        pytest.skip("counts positions from its padding id: it cannot lie above the table of positions")
    whole = tiny(name, pad_token_id=padding)
    start = {key: value.clone() for key, value in whole.state_dict().items()}
    rows = [row[row != padding] for row in texts(vocabulary=35)]
    rows[0][-1] = 55  # a gap in the ids
    used = vocabulary.used_tokens([_encoded(rows)], padding)
    assert len(used) < VOCABULARY
    batch = padded(name, rows, padding)
    small = batch | {"input_ids": torch.from_numpy(np.searchsorted(used, batch["input_ids"].numpy()))}

    trimmed = tiny(name, pad_token_id=padding)
    vocabulary.trim(trimmed, used)
    assert trimmed.get_input_embeddings().weight.shape[0] == len(used)
    descend(whole.eval(), batch)
    descend(trimmed.eval(), small)
    torch.testing.assert_close(trimmed(**small).logits, whole(**batch).logits)

    exported = tiny(name, seed=5, pad_token_id=padding)
    exported.load_state_dict(start)
    table = exported.get_input_embeddings().weight
    with torch.no_grad():
        for key, parameter in exported.named_parameters():
            found = trimmed.get_parameter(key)
            parameter.copy_(vocabulary.restore(table.detach(), found, used) if parameter is table else found)
    exported.save_pretrained(tmp_path)
    loaded = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path).eval()
    unseen = [row[row != padding] for row in texts(seed=9)]
    for texts_of in (batch, padded(name, unseen, padding)):
        torch.testing.assert_close(loaded(**texts_of).logits, whole(**texts_of).logits)


def _encoded(rows: list[np.ndarray]) -> Encoded:
    starts = np.concatenate([[0], np.cumsum([len(row) for row in rows])])
    return Encoded({"input_ids": np.concatenate(rows)}, starts, np.zeros(len(rows)))


def test_a_padding_id_that_never_occurs_stays_one() -> None:
    """GPT-2 takes the last token that is no padding."""
    model = tiny("gpt2", pad_token_id=20).eval()
    used = np.array([*range(20), 30, 31, 40, 41])
    rows = np.array([[9, 31, 30], [41, 40, 0]])
    before = model(input_ids=torch.from_numpy(rows)).logits
    vocabulary.trim(model, used)
    assert torch.equal(model(input_ids=torch.from_numpy(np.searchsorted(used, rows))).logits, before)


def test_a_tied_output_layer_keeps_the_trimmed_table() -> None:
    config = transformers.GPT2Config(n_embd=16, n_layer=1, n_head=2, vocab_size=60, n_positions=40)
    model = transformers.GPT2LMHeadModel(config)
    vocabulary.trim(model, np.arange(0, 60, 2))
    assert model.lm_head.weight is model.get_input_embeddings().weight


def test_depth_and_longest_sequence_are_read_without_weights(name: str, model: Any, tmp_path: Path) -> None:
    model.config.save_pretrained(tmp_path)
    found = checkpoint.Checkpoint(name, tmp_path, "", "local folder")
    assert checkpoint.depth(found) == LAYERS == len(encoder_layers(model))
    longest = checkpoint.max_positions(found)
    assert longest == POSITIONS.get(name, 40)
    if name in NO_POSITION_TABLE:
        return
    ids = torch.full((1, longest + 1), 9)
    model(input_ids=ids[:, 1:])
    with pytest.raises((IndexError, RuntimeError)):
        model(input_ids=ids)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"model_type": "bert", "num_hidden_layers": 0}', "no stack of encoder layers"),
        ('{"model_type": "of-the-future"}', "of-the-future"),
        ("not json", "config.json"),
    ],
)
def test_a_model_without_layers_is_refused_in_one_line(content: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(ModelError, match=said) as caught:
        checkpoint.depth(checkpoint.Checkpoint("x", tmp_path, "", "local folder"))
    assert "\n" not in str(caught.value)


def test_a_model_of_another_build_is_refused_in_one_line() -> None:
    config = transformers.T5Config(d_model=16, d_kv=8, d_ff=32, num_layers=2, num_heads=2, vocab_size=60)
    with pytest.raises(ModelError, match="one after the other") as caught:
        freeze(transformers.T5ForSequenceClassification(config), 1)
    assert "\n" not in str(caught.value)
