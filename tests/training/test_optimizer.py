"""Each part of a model moves as fast as asked, and decays towards what it should."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch

from automl.models.layers import encoder_layers, freeze, parameter_groups
from automl.params import Params
from automl.training.optimizer import Optimizer, parameter_plan, weight_matrices
from tests.models.architectures import ARCHITECTURES, LAYERS, padded, texts, tiny


def build_optimizer(model: Any, params: Params, pretrained: dict[str, torch.Tensor] | None = None) -> Optimizer:
    return Optimizer(model, params.model_copy(update={"max_grad_norm": 0.0}), pretrained or {})


def moved(model: Any, optimizer: Optimizer, steps: int = 1) -> dict[str, torch.Tensor]:
    """How far each element went under constant gradients of 1."""
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    for _ in range(steps):
        for parameter in model.parameters():
            parameter.grad = torch.ones_like(parameter) if parameter.requires_grad else None
        optimizer.step(1.0)
    return {name: (before[name] - parameter.detach()).abs() for name, parameter in model.named_parameters()}


def speed_by_level(model: Any, params: Params) -> list[float]:
    """Size of the first step in the embeddings, each layer and what is above."""
    steps = moved(model, build_optimizer(model, params))
    names = {parameter: name for name, parameter in model.named_parameters()}
    levels = []
    for level in parameter_groups(model):
        sizes = torch.cat([steps[names[parameter]].flatten() for parameter in level])
        assert sizes.std() < 1e-5
        levels.append(float(sizes.mean()))
    return levels


@pytest.mark.parametrize("name", ["bert", "albert", "gpt2"])
def test_step_sizes_fall_from_layer_to_layer_and_the_head_has_its_own(name: str) -> None:
    params = Params(learning_rate=1e-2, weight_decay=0, layerwise_lr_decay=0.5, head_lr_multiplier=3)
    expected = [1e-2 * 0.5**distance for distance in range(LAYERS, -1, -1)] + [3e-2]
    assert speed_by_level(tiny(name), params) == pytest.approx(expected, rel=1e-2)


def test_a_plain_configuration_has_one_speed_and_two_groups() -> None:
    model = tiny("bert")
    assert speed_by_level(model, Params(learning_rate=1e-2, weight_decay=0)) == pytest.approx([1e-2] * 5, rel=1e-2)
    assert len(parameter_plan(model, Params(), {})) == 2


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_trained_parameter_is_in_one_group_and_a_step_runs(name: str) -> None:
    model = tiny(name)
    freeze(model, 1)
    pretrained = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    params = Params(layerwise_lr_decay=0.9, head_lr_multiplier=2, pretrained_decay=0.1)
    optimizer = build_optimizer(model, params, pretrained)
    grouped = [parameter for group in parameter_plan(model, params, pretrained) for parameter in group.parameters]
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    assert len(grouped) == len(trained)
    assert set(grouped) == set(trained)
    model(**padded(name, texts())).logits.square().sum().backward()
    optimizer.step(1.0)
    changed = [name for name, parameter in model.named_parameters() if not torch.equal(parameter, pretrained[name])]
    assert set(changed) <= {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert len(changed) > len(trained) / 2


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_matrices_decay_and_biases_norms_and_embeddings_do_not(name: str) -> None:
    model = tiny(name)
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    optimizer = build_optimizer(model, Params(learning_rate=0.1, weight_decay=0.5))
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step(1.0)
    matrices = 0
    for path, parameter in model.named_parameters():
        linear = isinstance(model.get_submodule(path.rpartition(".")[0]), torch.nn.Linear) and path.endswith("weight")
        still = torch.equal(parameter, before[path])
        matrices += not still
        if linear:
            torch.testing.assert_close(parameter.detach(), before[path] * 0.95)
        elif parameter.ndim == 1 or "embed" in path or "bias" in path or "norm" in path.lower():
            assert still, path
    assert matrices >= LAYERS * 3, "layers that are not nn.Linear (GPT-2, XLNet) decay too"
    assert matrices == len(weight_matrices(model))


@pytest.mark.parametrize("frozen", [0, 2])
def test_frozen_parameters_are_left_out(frozen: int) -> None:
    model = tiny("bert")
    freeze(model, frozen)
    steps = moved(model, build_optimizer(model, Params(layerwise_lr_decay=0.9)))
    names = {parameter: name for name, parameter in model.named_parameters()}
    for place, block in enumerate(encoder_layers(model)):
        assert all(bool(steps[names[one]].any()) == (place >= frozen) for one in block.parameters())


def test_a_schedule_scales_every_group() -> None:
    model = tiny("bert")
    optimizer = build_optimizer(model, Params(learning_rate=1e-2, weight_decay=0, head_lr_multiplier=4))
    moved(model, optimizer)
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step(0.25)
    for name, parameter in model.named_parameters():
        expected = 1e-2 * (4 if "classifier" in name or "pooler" in name else 1) * 0.25
        torch.testing.assert_close(
            before[name] - parameter.detach(), torch.full_like(parameter, expected), rtol=1e-2, atol=1e-6
        )


@pytest.mark.parametrize("bound", [0.5, 900.0])
def test_a_long_gradient_is_shortened_to_the_bound(bound: float) -> None:
    # Two steps with unlike gradients: with one alone AdamW would hide how long it is.
    ends = []
    for clip in (False, True):
        model = tiny("bert")
        if clip:
            optimizer = Optimizer(model, Params(learning_rate=1e-3, max_grad_norm=bound), {})
        else:
            reference = torch.optim.AdamW(
                [
                    {"params": group.parameters, "weight_decay": group.decay}
                    for group in parameter_plan(model, Params(), {})
                ],
                lr=1e-3,
            )
        for seed, scale in ((0, 0.01), (1, 1.0), (2, 0.1)):
            generator = torch.Generator().manual_seed(seed)
            for parameter in model.parameters():
                parameter.grad = scale * torch.randn(parameter.shape, generator=generator)
            if clip:
                optimizer.step(1.0)
            else:
                torch.nn.utils.clip_grad_norm_(model.parameters(), bound)
                reference.step()
        ends.append(torch.cat([parameter.detach().flatten() for parameter in model.parameters()]))
    torch.testing.assert_close(ends[0], ends[1], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("step", "times"), [(12, 6.57), (100, 3.24), (1000, 1.26)])
def test_without_bias_correction_a_step_is_too_large(step: int, times: float) -> None:
    sizes = {}
    for optim in ("adamw", "adamw_uncorrected"):
        model = tiny("bert").double()  # the difference of two large numbers is measured
        optimizer = build_optimizer(model, Params(learning_rate=1e-3, weight_decay=0, optim=optim))
        moved(model, optimizer, step - 1)
        last = moved(model, optimizer)
        sizes[optim] = float(last["classifier.weight"].mean())
        assert all(torch.allclose(size, torch.tensor(sizes[optim]).double()) for size in last.values())
    assert sizes["adamw_uncorrected"] / sizes["adamw"] == pytest.approx(times, abs=0.005)
    assert times == pytest.approx((1 - 0.9**step) / (1 - 0.999**step) ** 0.5, abs=0.005)


def test_the_uncorrected_optimiser_is_that_of_the_first_bert() -> None:
    model = tiny("bert").double()
    matrix = model.classifier.weight
    optimizer = build_optimizer(model, Params(learning_rate=1e-2, weight_decay=0.1, optim="adamw_uncorrected"))
    generator = torch.Generator().manual_seed(0)
    expected, first, second = matrix.detach().clone(), torch.zeros_like(matrix), torch.zeros_like(matrix)
    for _ in range(5):
        matrix.grad = 1e-6 * torch.randn(matrix.shape, generator=generator, dtype=matrix.dtype)  # so that eps matters
        first, second = 0.9 * first + 0.1 * matrix.grad, 0.999 * second + 0.001 * matrix.grad**2
        expected -= 1e-2 * (first / (second.sqrt() + 1e-8) + 0.1 * expected)
        optimizer.step(1.0)
    torch.testing.assert_close(matrix.detach(), expected.detach(), rtol=1e-9, atol=0)


def test_decay_towards_pretrained_weights_pulls_everything_back() -> None:
    model = tiny("bert")
    pretrained = {
        name: parameter.detach().clone() for name, parameter in model.named_parameters() if "classifier" not in name
    }
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1)
    before = model.classifier.weight.detach().clone()
    params = Params(learning_rate=0.1, pretrained_decay=0.5, weight_decay=0.2, layerwise_lr_decay=0.5)
    optimizer = build_optimizer(model, params, pretrained)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step(1.0)
    names = {parameter: name for name, parameter in model.named_parameters()}
    for distance, level in enumerate(reversed(parameter_groups(model)[:-1])):
        for parameter in level:
            left = torch.full_like(parameter, 1 - 0.1 * 0.5**distance * 0.5)
            torch.testing.assert_close(parameter.detach() - pretrained[names[parameter]], left)
    torch.testing.assert_close(model.classifier.weight.detach(), before * (1 - 0.1 * 0.2))  # new: towards 0


def test_decay_towards_pretrained_weights_keeps_a_training_near_them() -> None:
    distances = []
    for decay in (0.0, 0.5, 1.0):
        model = tiny("bert")
        pretrained = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
        optimizer = build_optimizer(
            model, Params(learning_rate=0.05, weight_decay=0, pretrained_decay=decay), pretrained
        )
        distances.append(sum(float(size.square().sum()) for size in moved(model, optimizer, 40).values()) ** 0.5)
    assert all(near < far * 0.9 for far, near in pairwise(distances))


def test_decay_towards_pretrained_weights_is_off_at_0() -> None:
    model = tiny("bert")
    pretrained = {name: torch.zeros_like(parameter) for name, parameter in model.named_parameters()}
    plain = moved(model, build_optimizer(model, Params()))
    other = tiny("bert")
    same = moved(other, build_optimizer(other, Params(), pretrained))
    assert all(torch.equal(plain[name], same[name]) for name in plain)
