"""Dropout drops as many elements as asked, evenly, and the same ones forwards and backwards."""

from __future__ import annotations

import pytest
import torch

from automl.models.attention import attend
from automl.models.dropout import FastDropout, drop, use_fast_dropout


@pytest.mark.parametrize("share", [0.01, 0.1, 0.25, 0.5, 0.9])
def test_the_share_and_the_mean_are_right(share: float) -> None:
    torch.manual_seed(0)
    out = drop(torch.ones(1001, 999, dtype=torch.bfloat16), share)
    dropped = float((out == 0).float().mean())
    assert dropped == pytest.approx(share, abs=4 * (share * (1 - share) / 1e6) ** 0.5 + 1e-4)
    assert float(out.float().mean()) == pytest.approx(1, abs=0.01)
    kept = out[out != 0]
    assert torch.equal(kept, torch.full_like(kept, 1 / (1 - share)))


def test_every_lane_of_a_random_number_has_the_same_chance() -> None:
    torch.manual_seed(0)
    out = drop(torch.ones(400_000, dtype=torch.bfloat16), 0.1).view(-1, 4)
    assert (out == 0).float().mean(0).tolist() == pytest.approx([0.1] * 4, abs=0.005)
    both = ((out[:, 0] == 0) & (out[:, 1] == 0)).float().mean()
    assert float(both) == pytest.approx(0.01, abs=0.002), "lanes are independent"


def test_what_is_dropped_gets_no_gradient_and_the_rest_a_larger_one() -> None:
    torch.manual_seed(0)
    x = torch.randn(7, 13, dtype=torch.bfloat16).t().requires_grad_()  # an odd number, and not contiguous
    out = drop(x, 0.5)
    out.backward(torch.ones_like(out))
    assert torch.equal(x.grad == 0, out == 0)
    assert torch.equal(x.grad[out != 0], torch.full_like(x.grad[out != 0], 2))
    torch.testing.assert_close(out[out != 0], 2 * x[out != 0])


def test_seeds_decide_and_nothing_else_happens_outside_training() -> None:
    x = torch.ones(1000, dtype=torch.bfloat16)
    outs = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        outs.append(drop(x, 0.3))
    assert torch.equal(outs[0], outs[1])
    assert not torch.equal(outs[0], outs[2])
    layer = FastDropout(0.3)
    assert torch.equal(layer.eval()(x), x)
    assert torch.equal(drop(x, 0.0), x)
    assert (layer.train()(x.float()) == 0).any(), "float32 takes torch's own way"


def test_every_dropout_of_a_model_is_replaced_in_place() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Sequential(torch.nn.Dropout(0.2)))
    use_fast_dropout(model)
    assert type(model[1][0]) is FastDropout
    assert model[1][0].p == 0.2


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_attention_is_that_of_torch(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    query, key, value = (torch.randn(2, 3, 5, 4).to(dtype) for _ in range(3))
    mask = torch.zeros(2, 1, 5, 5, dtype=dtype).masked_fill(torch.rand(2, 1, 5, 5) < 0.3, -1e4)
    out, _ = attend(torch.nn.Module(), query, key, value, mask)
    expected = torch.nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=mask).transpose(1, 2)
    torch.testing.assert_close(out, expected, rtol=0.02, atol=0.02 if dtype is torch.bfloat16 else 1e-5)
