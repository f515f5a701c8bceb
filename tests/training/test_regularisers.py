"""Mixout, averaged weights and mixup do what their papers say, and leave nothing behind."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from automl.models.layers import freeze
from automl.tasks.kinds import kind_of
from automl.training.optimizer import weight_matrices
from automl.training.regularisers import Averager, mixout, mixup_loss, mixup_pair
from tests.models.architectures import ARCHITECTURES, padded, texts, tiny

KIND = kind_of("classification")


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def state(model: Any) -> dict[str, torch.Tensor]:
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}


def shifted(model: Any) -> dict[str, torch.Tensor]:
    """Pretrained values from which every parameter is 1 away, as far as they are of the encoder."""
    return {name: value - 1 for name, value in state(model).items() if "classifier" not in name}


# Mixout


def test_mixout_sets_a_share_of_each_matrix_back_and_keeps_the_mean() -> None:
    model = tiny("bert", hidden_size=64, intermediate_size=128)
    own, pretrained = state(model), shifted(model)
    with mixout(model, pretrained, 0.7, generator()):
        inside = state(model)
    for name in weight_matrices(model):
        if name not in pretrained:
            assert torch.equal(inside[name], own[name]), f"{name} has no pretrained value"
            continue
        away = inside[name] - pretrained[name]  # 1 without mixout; 0 or 1 / (1 - share) with it
        back = away.abs() < 1e-5
        torch.testing.assert_close(away[~back], torch.full_like(away[~back], 1 / 0.3), rtol=1e-4, atol=0)
        assert float(back.float().mean()) == pytest.approx(0.7, abs=0.05)
        assert float(away.mean()) == pytest.approx(1, abs=0.17)
    assert all(torch.equal(inside[name], own[name]) for name in own if name not in weight_matrices(model))


def test_mixout_has_the_plain_weights_as_its_mean() -> None:
    model = tiny("bert")
    name = "bert.encoder.layer.0.intermediate.dense.weight"
    own, pretrained, random = state(model)[name], {name: torch.zeros(32, 16)}, generator()
    mean = torch.zeros_like(own)
    for _ in range(500):
        with mixout(model, pretrained, 0.5, random):
            mean += state(model)[name] / 500
    torch.testing.assert_close(mean, own, rtol=0.25, atol=1e-6)


def test_mixout_carries_gradients_only_through_what_it_kept() -> None:
    model, twin = tiny("bert").eval(), tiny("bert").eval()
    pretrained, batch = shifted(model), padded("bert", texts())
    with mixout(model, pretrained, 0.6, generator()):
        twin.load_state_dict(model.state_dict())  # a plain model with the mixed weights
        inside = state(model)
        model(**batch).logits.square().sum().backward()
    twin(**batch).logits.square().sum().backward()
    gradients = {name: parameter.grad for name, parameter in twin.named_parameters()}
    for name, parameter in model.named_parameters():
        scale = torch.ones_like(parameter)
        if name in weight_matrices(model) and name in pretrained:
            scale = ((inside[name] - pretrained[name]).abs() > 1e-5).float() / 0.4
        torch.testing.assert_close(parameter.grad, gradients[name] * scale)


def test_mixout_of_0_does_nothing_and_draws_nothing() -> None:
    model, random = tiny("bert"), generator()
    own, before = state(model), random.get_state()
    with mixout(model, shifted(model), 0.0, random):
        assert all(torch.equal(value, own[name]) for name, value in state(model).items())
    assert torch.equal(random.get_state(), before)


def test_after_mixout_the_weights_are_their_own_again_also_after_an_error() -> None:
    model = tiny("bert")
    own = state(model)
    with pytest.raises(RuntimeError, match="out of memory"), mixout(model, shifted(model), 0.5, generator()):
        raise RuntimeError("out of memory")
    assert all(torch.equal(value, own[name]) for name, value in state(model).items())


def test_mixout_differs_from_step_to_step_and_repeats_with_its_seed() -> None:
    model = tiny("bert")
    pretrained, drawn = shifted(model), []
    for random in (first := generator(), first, generator()):
        with mixout(model, pretrained, 0.5, random):
            drawn.append(state(model)["bert.encoder.layer.0.output.dense.weight"])
    assert not torch.equal(drawn[0], drawn[1])
    assert torch.equal(drawn[0], drawn[2])


def test_mixout_leaves_frozen_layers_alone() -> None:
    model = tiny("bert")
    freeze(model, 2)
    own = state(model)
    with mixout(model, shifted(model), 0.5, generator()):
        changed = {name for name, value in state(model).items() if not torch.equal(value, own[name])}
    assert changed
    assert all("layer.2" in name or "pooler" in name for name in changed)


# Averaged weights


def walk(how: Any, values: list[float], decay: float = 0.9) -> tuple[torch.nn.Parameter, Averager]:
    """A weight that has taken these values, one a step."""
    weight = torch.nn.Parameter(torch.zeros(3))
    averager = Averager([weight], how, decay, len(values))
    for done, value in enumerate(values, start=1):
        weight.data.fill_(value)
        averager.update(done)
    return weight, averager


def averaged(how: Any, values: list[float], decay: float = 0.9) -> float:
    weight, averager = walk(how, values, decay)
    averager.apply()
    return weight[0].item()


def test_swa_is_the_mean_of_the_last_quarter() -> None:
    assert averaged("swa", [float(n) for n in range(1, 41)]) == pytest.approx(sum(range(31, 41)) / 10)
    assert averaged("swa", [5.0]) == 5.0


def test_before_the_last_quarter_swa_is_the_weights_themselves() -> None:
    weight = torch.nn.Parameter(torch.zeros(1))
    averager = Averager([weight], "swa", 0.9, 100)
    for done in range(1, 76):
        weight.data.fill_(done)
        averager.update(done)
    with averager.swapped():
        assert weight.item() == 75


def test_ema_settles_with_the_rate_of_its_decay() -> None:
    jump = [0.0] * 400 + [1.0] * 20
    assert averaged("ema", jump, decay=0.9) == pytest.approx(1 - 0.9**20, rel=1e-4)


def test_ema_of_a_short_training_is_not_stuck_at_its_start() -> None:
    ramp = [n / 20 for n in range(1, 21)]
    assert 0.75 < averaged("ema", ramp, decay=0.99999) < 1
    assert averaged("ema", [3.0], decay=0.999) == 3.0


def test_no_averaging_changes_nothing() -> None:
    assert averaged("none", [1.0, 2.0, 7.0]) == 7.0


@pytest.mark.parametrize("how", ["ema", "swa"])
def test_averaged_weights_are_swapped_in_and_out(how: str) -> None:
    weight, averager = walk(how, [float(n) for n in range(1, 21)])
    with averager.swapped():
        inside = weight[0].item()
    assert inside < 20
    assert torch.equal(weight.detach(), torch.full((3,), 20.0))
    with pytest.raises(ValueError, match="evaluation"), averager.swapped():
        raise ValueError("evaluation")
    assert torch.equal(weight.detach(), torch.full((3,), 20.0))
    averager.apply()
    assert weight[0].item() == inside


def test_a_training_goes_on_as_if_its_weights_were_not_averaged() -> None:
    ends = []
    for how in ("none", "ema"):
        model, batch = tiny("bert").eval(), padded("bert", texts())
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
        averager = Averager(model.parameters(), how, 0.9, 6)
        for done in range(1, 7):
            model(**batch).logits.square().sum().backward()
            optimizer.step()
            optimizer.zero_grad()
            averager.update(done)
            with averager.swapped(), torch.inference_mode():
                model(**batch)
        ends.append(state(model))
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])


# Mixup


def cross_entropy(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return KIND.loss(logits, labels)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_mixing_logits_is_mixing_what_the_last_linear_layer_reads(name: str) -> None:
    """So every architecture's logits must be that layer's output, for whichever token they are taken from."""
    model, order, share = tiny(name).eval(), np.array([2, 0, 1, 5, 3, 4]), 0.3
    batch = padded(name, texts())
    last = [module for module in model.modules() if isinstance(module, torch.nn.Linear) and module.out_features == 3][
        -1
    ]
    read: list[torch.Tensor] = []
    last.register_forward_pre_hook(lambda _, args: read.append(args[0]))
    with torch.no_grad():
        logits = model(**batch).logits
        hidden = read[0]
        if hidden.ndim == 3:  # [batch, seq, width]: the token whose logits the model gives
            place = (last(hidden) - logits[:, None]).abs().sum(-1).argmin(-1)
            hidden = hidden[torch.arange(len(hidden)), place]
        mixed = last(share * hidden + (1 - share) * hidden[order])
    seen: list[torch.Tensor] = []
    mixup_loss(lambda one, _: seen.append(one) or one.sum(), logits, torch.zeros(6), (order, share))  # type: ignore[func-returns-value]
    torch.testing.assert_close(seen[0], mixed)


def test_a_mixed_batch_is_judged_by_both_rows_labels() -> None:
    logits, labels = torch.randn(4, 3, generator=generator()), torch.tensor([0, 1, 2, 0])
    order = np.array([1, 2, 3, 0])
    mixed = 0.8 * logits + 0.2 * logits[order]
    soft = 0.8 * torch.eye(3)[labels] + 0.2 * torch.eye(3)[labels[order]]
    torch.testing.assert_close(mixup_loss(cross_entropy, logits, labels, (order, 0.8)), KIND.loss(mixed, soft))
    probabilities = torch.eye(3)[labels]
    torch.testing.assert_close(mixup_loss(cross_entropy, logits, probabilities, (order, 0.8)), KIND.loss(mixed, soft))


@pytest.mark.parametrize(
    ("share", "same"), [(1.0, lambda labels, order: labels), (0.0, lambda labels, order: labels[order])]
)
def test_a_row_that_keeps_all_or_nothing_is_one_of_the_two(share: float, same: Callable[..., Any]) -> None:
    logits, labels, order = torch.randn(4, 3, generator=generator()), torch.tensor([0, 1, 2, 0]), np.array([1, 2, 3, 0])
    expected = KIND.loss(same(logits, order), same(labels, order))
    torch.testing.assert_close(mixup_loss(cross_entropy, logits, labels, (order, share)), expected)


def test_gradients_of_a_mixed_batch_reach_both_rows() -> None:
    logits = torch.zeros(2, 3, requires_grad=True)
    mixup_loss(cross_entropy, logits, torch.tensor([0, 1]), (np.array([1, 0]), 0.75)).backward()
    assert logits.grad is not None
    assert (logits.grad[0, :2] < 0).all()
    assert (logits.grad[1, :2] < 0).all()


@pytest.mark.parametrize("alpha", [0.2, 1.0, 8.0])
def test_shares_are_drawn_from_beta_and_rows_are_permuted(alpha: float) -> None:
    rng = np.random.default_rng(0)
    pairs = [mixup_pair(5, alpha, rng) for _ in range(3000)]
    assert all(sorted(order) == [0, 1, 2, 3, 4] for order, _ in pairs)
    assert len({tuple(order) for order, _ in pairs}) == math.factorial(5)
    shares = np.array([share for _, share in pairs])
    assert shares.mean() == pytest.approx(0.5, abs=0.03)
    assert shares.var() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.1)
