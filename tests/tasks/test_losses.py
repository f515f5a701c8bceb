"""The loss of classification weighs labels, focus and targets as its recipe says."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn.functional import cross_entropy, one_hot, softmax

from automl.tasks.kinds import LossRecipe, kind_of

KIND = kind_of("classification")
LABELS = torch.tensor([0, 1, 2, 2, 0, 1])


@pytest.fixture
def logits() -> torch.Tensor:
    return torch.randn(6, 3, generator=torch.Generator().manual_seed(0)).mul(2).requires_grad_()


def gradient(loss: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
    return torch.autograd.grad(loss, logits)[0]


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_a_plain_recipe_is_cross_entropy_exactly(logits: torch.Tensor, smoothing: float) -> None:
    expected = cross_entropy(logits, LABELS, label_smoothing=smoothing)
    assert torch.equal(KIND.loss(logits, LABELS, LossRecipe(label_smoothing=smoothing)), expected)


def test_label_smoothing_wants_less_than_certainty() -> None:
    sure = torch.tensor([[50.0, 0.0]])
    label = torch.tensor([0])
    assert KIND.loss(sure, label) < 1e-6
    assert KIND.loss(sure, label, LossRecipe(label_smoothing=0.2)).item() == pytest.approx(0.1 * 50)


def test_a_weight_multiplies_its_rows(logits: torch.Tensor) -> None:
    weights = torch.tensor([0.5, 1.0, 3.0])
    rows = cross_entropy(logits, LABELS, reduction="none") * torch.tensor([0.5, 1.0, 3.0, 3.0, 0.5, 1.0])
    torch.testing.assert_close(KIND.loss(logits, LABELS, LossRecipe(label_weights=weights)), rows.mean())


def test_a_weight_counts_in_a_batch_of_one_label_too(logits: torch.Tensor) -> None:
    labels = torch.full((6,), 2)
    weighted = KIND.loss(logits, labels, LossRecipe(label_weights=torch.tensor([1.0, 1.0, 3.0])))
    torch.testing.assert_close(weighted, 3 * KIND.loss(logits, labels))


def test_a_smoothed_row_has_the_weight_of_its_own_label(logits: torch.Tensor) -> None:
    recipe = LossRecipe(label_smoothing=0.3, label_weights=torch.tensor([1.0, 1.0, 9.0]))
    labels = torch.zeros(6, dtype=torch.int64)
    torch.testing.assert_close(KIND.loss(logits, labels, recipe), cross_entropy(logits, labels, label_smoothing=0.3))


RECIPES = [
    LossRecipe(),
    LossRecipe(label_smoothing=0.1),
    LossRecipe(focal_gamma=2.0),
    LossRecipe(label_smoothing=0.1, focal_gamma=1.5, label_weights=torch.tensor([0.5, 1.0, 3.0])),
]


@pytest.mark.parametrize("recipe", RECIPES)
def test_soft_targets_that_are_certain_are_labels(logits: torch.Tensor, recipe: LossRecipe) -> None:
    soft = KIND.loss(logits, one_hot(LABELS, 3).float(), recipe)
    torch.testing.assert_close(soft, KIND.loss(logits, LABELS, recipe))


@pytest.mark.parametrize("recipe", RECIPES)
def test_halves_of_a_batch_have_the_loss_of_the_whole(logits: torch.Tensor, recipe: LossRecipe) -> None:
    halves = (KIND.loss(logits[:3], LABELS[:3], recipe) + KIND.loss(logits[3:], LABELS[3:], recipe)) / 2
    torch.testing.assert_close(halves, KIND.loss(logits, LABELS, recipe))


def test_soft_targets_mix_losses_and_weights(logits: torch.Tensor) -> None:
    soft = 0.3 * one_hot(LABELS, 3) + 0.7 * one_hot(LABELS.flip(0), 3)
    expected = 0.3 * cross_entropy(logits, LABELS) + 0.7 * cross_entropy(logits, LABELS.flip(0))
    torch.testing.assert_close(KIND.loss(logits, soft), expected)
    weights = torch.tensor([1.0, 1.0, 3.0])
    half = KIND.loss(torch.zeros(1, 3), torch.tensor([[0.5, 0.0, 0.5]]), LossRecipe(label_weights=weights))
    assert half.item() == pytest.approx(2 * math.log(3))


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0, 5.0])
def test_focal_loss_and_its_gradient_are_the_formula_of_the_paper(logits: torch.Tensor, gamma: float) -> None:
    p = softmax(logits, -1)[torch.arange(6), LABELS]
    paper = (-((1 - p) ** gamma) * p.log()).mean()
    ours = KIND.loss(logits, LABELS, LossRecipe(focal_gamma=gamma))
    torch.testing.assert_close(ours, paper)
    torch.testing.assert_close(gradient(ours, logits), gradient(paper, logits))


@pytest.mark.parametrize("gamma", [0.3, 2.0])
@pytest.mark.parametrize("size", [30.0, 1000.0])
def test_focal_loss_stays_finite_where_a_row_is_surely_right_or_wrong(gamma: float, size: float) -> None:
    logits = torch.tensor([[size, 0.0], [size, 0.0]], requires_grad=True)
    loss = KIND.loss(logits, torch.tensor([0, 1]), LossRecipe(focal_gamma=gamma))
    assert loss.item() == pytest.approx(size / 2)
    assert gradient(loss, logits).isfinite().all()


def test_logits_in_bfloat16_are_judged_in_float32(logits: torch.Tensor) -> None:
    for recipe in RECIPES:
        assert KIND.loss(logits.bfloat16(), LABELS, recipe).dtype == torch.float32


def test_divergence_is_symmetric_and_zero_only_between_equals(logits: torch.Tensor) -> None:
    other = logits.detach().flip(0)
    assert KIND.divergence(logits, logits) == 0
    assert KIND.divergence(logits, logits + 3).item() == pytest.approx(0, abs=1e-6), "the same probabilities"
    assert KIND.divergence(logits, other) > 0.1
    torch.testing.assert_close(KIND.divergence(logits, other), KIND.divergence(other, logits))


def test_divergence_is_the_mean_of_both_directions(logits: torch.Tensor) -> None:
    p, q = softmax(logits, -1), softmax(logits.detach().roll(1, 0), -1)
    both = (p * (p / q).log()).sum(-1) + (q * (q / p).log()).sum(-1)
    torch.testing.assert_close(KIND.divergence(logits, logits.detach().roll(1, 0)), both.mean() / 2)
