"""Parameter-efficient techniques train what they say, come back from a checkpoint and can be merged."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from automl.errors import ModelError
from automl.models import adapters, vocabulary
from automl.models.layers import encoder_layers
from automl.params import PEFT_TECHNIQUES, Params
from automl.training.precision import computing_in
from tests.models.architectures import ARCHITECTURES, PADDING, padded, texts, tiny

LABELS = torch.tensor([0, 1, 2, 2, 1, 0])
# Names in the last layer: every linear layer, and those that IA3 scales.
BERT = (
    "attention.self.query attention.self.key attention.self.value attention.output.dense "
    "intermediate.dense output.dense",
    "attention.self.key attention.self.value output.dense",
)
LAYER: dict[str, tuple[str, str, str]] = {
    "bert": ("bert.encoder.layer.2", *BERT),
    "roberta": ("roberta.encoder.layer.2", *BERT),
    "distilbert": (
        "distilbert.transformer.layer.2",
        "attention.q_lin attention.k_lin attention.v_lin attention.out_lin ffn.lin1 ffn.lin2",
        "attention.k_lin attention.v_lin ffn.lin2",
    ),
    "albert": (
        "albert.encoder.albert_layer_groups.2.albert_layers.0",
        "attention.query attention.key attention.value attention.dense ffn ffn_output",
        "attention.key attention.value ffn_output",
    ),
    "electra": ("electra.encoder.layer.2", *BERT),
    "mpnet": (
        "mpnet.encoder.layer.2",
        "attention.attn.q attention.attn.k attention.attn.v attention.attn.o intermediate.dense output.dense",
        "attention.attn.k attention.attn.v output.dense",
    ),
    "deberta-v2": (
        "deberta.encoder.layer.2",
        "attention.self.query_proj attention.self.key_proj attention.self.value_proj attention.self.pos_key_proj "
        "attention.self.pos_query_proj attention.output.dense intermediate.dense output.dense",
        "attention.self.key_proj attention.self.value_proj output.dense",
    ),
    "deberta-v3": (
        "deberta.encoder.layer.2",
        "attention.self.query_proj attention.self.key_proj attention.self.value_proj attention.output.dense "
        "intermediate.dense output.dense",
        "attention.self.key_proj attention.self.value_proj output.dense",
    ),
    "modernbert": ("model.layers.2", "attn.Wqkv attn.Wo mlp.Wi mlp.Wo", "attn.Wqkv mlp.Wo"),
    "xlnet": ("transformer.layer.2", "ff.layer_1 ff.layer_2", "ff.layer_2"),  # its attention has no linear layers
    "gpt2": ("transformer.h.2", "attn.c_attn attn.c_proj mlp.c_fc mlp.c_proj", "attn.c_attn mlp.c_proj"),
}
ABOVE = {  # beginnings of the names of what stands above the layers
    "bert": ("bert.pooler.", "classifier."),
    "roberta": ("classifier.",),
    "distilbert": ("pre_classifier.", "classifier."),
    "albert": ("albert.pooler.", "classifier."),
    "electra": ("classifier.",),
    "mpnet": ("classifier.",),
    "deberta-v2": ("pooler.", "classifier."),
    "deberta-v3": ("pooler.", "classifier."),
    "modernbert": ("model.final_norm.", "head.", "classifier."),
    "xlnet": ("sequence_summary.", "logits_proj."),
    "gpt2": ("transformer.ln_f.", "score."),
}
WITH_PREFIX = ("bert", "roberta", "electra", "gpt2")
REFUSED = [("modernbert", "bitfit"), *((name, "prefix_tuning") for name in ARCHITECTURES if name not in WITH_PREFIX)]
CASES = [
    (name, technique) for name in ARCHITECTURES for technique in PEFT_TECHNIQUES if (name, technique) not in REFUSED
]
cases = pytest.mark.parametrize(("name", "technique"), CASES)
injected = pytest.mark.parametrize(
    ("name", "technique"), [case for case in CASES if case[1] in ("lora", "ia3", "bitfit")]
)
virtual = pytest.mark.parametrize(("name", "technique"), [case for case in CASES if case[1].endswith("tuning")])


def attached(name: str, technique: str, model: Any = None) -> Any:
    params = Params(technique=technique, frozen_layers=2, lora_r=2, lora_dropout=0.1, num_virtual_tokens=5)
    return adapters.attach(tiny(name).eval() if model is None else model, params, text_start=1)


def batch_for(name: str) -> dict[str, torch.Tensor]:
    batch = padded(name, texts())
    # XLNet has parameters for segments, which are used only where these are given.
    return batch | {"token_type_ids": batch["input_ids"] % 2} if name == "xlnet" else batch


def loss_of(model: Any, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    return torch.nn.functional.cross_entropy(model(**batch).logits, LABELS)


def fit(model: Any, batch: dict[str, torch.Tensor], steps: int) -> None:
    """A short training, without dropout: in sixteen dimensions it drowns what there is to learn."""
    optimizer = torch.optim.Adam([one for one in model.parameters() if one.requires_grad], lr=1e-2)
    for _ in range(steps):
        loss_of(model, batch).backward()
        optimizer.step()
        optimizer.zero_grad()


def logits(model: Any, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    with torch.inference_mode():
        result: torch.Tensor = model(**batch).logits
    return result


def into_last_layer(model: Any, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    seen: list[torch.Tensor] = []
    hook = encoder_layers(model)[-1].register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    logits(model, batch)
    hook.remove()
    return seen[0]


def expected(name: str, technique: str, model: Any) -> set[str]:
    layer, linear, scaled = LAYER[name]
    table = next(path for path, module in model.named_modules() if module is model.get_input_embeddings())
    inside = {
        "lora": {f"{layer}.{path}.lora_{part}.default.weight" for path in linear.split() for part in "AB"},
        "ia3": {f"{layer}.{path}.ia3_l.default" for path in scaled.split()},
        "bitfit": {path for path, _ in model.named_parameters() if path.startswith(layer) and path.endswith("bias")},
        "prompt_tuning": {f"{table}.virtual_tokens"},
        "prefix_tuning": {f"{table.partition('.')[0]}.virtual_tokens"},
    }[technique]
    return inside | {path for path, _ in model.named_parameters() if path.startswith(ABOVE[name])}


@cases
def test_training_changes_exactly_the_technique_and_what_stands_above_the_layers(name: str, technique: str) -> None:
    model, batch = attached(name, technique), batch_for(name)
    before = {path: parameter.detach().clone() for path, parameter in model.named_parameters()}
    start, below = loss_of(model, batch).item(), into_last_layer(model, batch)
    fit(model, batch, 8)
    changed = {path for path, parameter in model.named_parameters() if not torch.equal(parameter, before[path])}
    assert changed == expected(name, technique, model)
    assert {path for path, parameter in model.named_parameters() if parameter.requires_grad} == changed
    assert loss_of(model, batch).item() < start
    if not technique.endswith("tuning"):
        torch.testing.assert_close(into_last_layer(model, batch), below, rtol=0, atol=0)


@cases
def test_tensors_trained_on_a_trimmed_vocabulary_fit_the_full_model(name: str, technique: str) -> None:
    batch, trimmed = batch_for(name), tiny(name).eval()
    used = np.unique([*range(vocabulary.KEPT), *batch["input_ids"].flatten().tolist()])
    vocabulary.trim(trimmed, used)
    torch.manual_seed(3)
    trained = attached(name, technique, trimmed)
    renumbered = batch | {"input_ids": torch.from_numpy(np.searchsorted(used, batch["input_ids"].numpy()))}
    fit(trained, renumbered, 2)

    full = attached(name, technique)
    assert not torch.allclose(logits(full, batch), logits(trained, renumbered))
    tensors = adapters.trained_tensors(trained)
    with torch.no_grad():
        for parameter_name, parameter in full.named_parameters():
            if parameter_name in tensors:
                parameter.copy_(tensors[parameter_name])
    torch.testing.assert_close(logits(full, batch), logits(trained, renumbered))


@injected
def test_a_merged_model_is_plain_and_gives_the_same_logits(name: str, technique: str) -> None:
    model, batch = attached(name, technique), batch_for(name)
    fit(model, batch, 4)
    before = logits(model, batch)
    merged = adapters.merge(model)
    torch.testing.assert_close(logits(merged, batch), before, rtol=1e-4, atol=1e-5)
    assert merged.state_dict().keys() == tiny(name).state_dict().keys()
    assert not [module for module in merged.modules() if type(module).__module__.startswith("peft")]


@virtual
def test_padding_does_not_show_beside_virtual_tokens(name: str, technique: str) -> None:
    model, rows = attached(name, technique), texts()
    together = logits(model, padded(name, rows))
    for number, row in enumerate(rows[:2]):
        torch.testing.assert_close(logits(model, padded(name, [row]))[0], together[number], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("technique", PEFT_TECHNIQUES)
@pytest.mark.parametrize("name", ["bert", "gpt2"])
def test_every_technique_computes_in_bfloat16_and_trains_in_float32(name: str, technique: str) -> None:
    model, batch = attached(name, technique), batch_for(name)
    exact = logits(model, batch)
    with computing_in(model, "bfloat16"):
        loss_of(model, batch).backward()
        torch.testing.assert_close(logits(model, batch).float(), exact, rtol=0.1, atol=0.1)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


@pytest.mark.parametrize("technique", PEFT_TECHNIQUES)
def test_the_global_seed_decides_what_is_attached(technique: str) -> None:
    def drawn(seed: int) -> dict[str, torch.Tensor]:
        model = tiny("bert")
        torch.manual_seed(seed)
        return adapters.trained_tensors(attached("bert", technique, model))

    one, same, other = drawn(7), drawn(7), drawn(8)
    assert all(torch.equal(one[path], same[path]) for path in one)
    random = technique in ("lora", "prompt_tuning", "prefix_tuning")
    assert all(torch.equal(one[path], other[path]) for path in one) is not random


@pytest.mark.parametrize(("name", "technique"), REFUSED)
def test_a_technique_that_an_architecture_cannot_do_is_refused(name: str, technique: str) -> None:
    with pytest.raises(ModelError, match=r"use technique lora or ia3|use prompt_tuning or lora"):
        attached(name, technique)


def test_lora_begins_as_the_model_itself_and_has_the_rank_scale_and_dropout_of_the_params() -> None:
    batch = batch_for("bert")
    plain = logits(tiny("bert").eval(), batch)
    model = adapters.attach(
        tiny("bert").eval(), Params(technique="lora", lora_r=4, lora_alpha_ratio=2.5, lora_dropout=0.3)
    )
    torch.testing.assert_close(logits(model, batch), plain)
    query: Any = encoder_layers(model)[0].attention.self.query  # type: ignore[union-attr]
    assert query.scaling["default"] == 2.5
    assert query.lora_dropout["default"].p == 0.3
    assert query.lora_A["default"].weight.shape == (4, 16)


@pytest.mark.parametrize("name", ["bert", "gpt2"])
def test_ia3_scales_keys_and_values_and_what_goes_into_the_second_feed_forward_layer(name: str) -> None:
    scales = {path: one.numel() for path, one in attached(name, "ia3").named_parameters() if "ia3_l" in path}
    widths = {"bert": [16, 16, 32], "gpt2": [3 * 16, 4 * 16]}  # gpt2: query, key and value come from one layer
    assert list(scales.values()) == widths[name]


@pytest.mark.parametrize("technique", ["lora", "ia3", "bitfit"])
def test_with_all_layers_frozen_only_what_stands_above_them_is_trained(technique: str) -> None:
    model = adapters.attach(tiny("bert"), Params(technique=technique, frozen_layers=7))
    trained = {path for path, parameter in model.named_parameters() if parameter.requires_grad}
    assert trained == {"bert.pooler.dense.weight", "bert.pooler.dense.bias", "classifier.weight", "classifier.bias"}


@pytest.mark.parametrize("training", [True, False])
def test_a_model_keeps_its_mode(training: bool) -> None:
    model = attached("bert", "lora", tiny("bert").train(training))
    assert {module.training for module in model.modules()} == {training}


def test_a_technique_that_attaches_nothing_is_refused() -> None:
    with pytest.raises(ModelError, match="'fine_tuning' attaches nothing"):
        attached("bert", "fine_tuning")


@pytest.mark.parametrize("technique", ["prompt_tuning", "prefix_tuning"])
@pytest.mark.parametrize(("name", "longest"), [("bert", 35), ("roberta", 33), ("gpt2", 35)])  # of 40 positions
def test_texts_that_leave_no_room_for_virtual_tokens_are_refused(technique: str, name: str, longest: int) -> None:
    model = attached(name, technique)
    ids = torch.full((1, longest + 1), PADDING + 1)
    assert logits(model, {"input_ids": ids[:, 1:]}).shape == (1, 3)
    with pytest.raises(ModelError, match=f"num_virtual_tokens 5 and a text of {longest + 1} tokens"):
        logits(model, {"input_ids": ids})
