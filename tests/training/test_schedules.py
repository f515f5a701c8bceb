"""Step sizes rise, reach the peak and fall as their schedule says; layers join the training from the top down."""

from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from automl.params import Params
from automl.training.schedules import factor, unfrozen_from

SCHEDULES = get_args(Params.model_fields["lr_scheduler_type"].annotation)


def curve(kind: str, total: int, warmup_ratio: float) -> list[float]:
    params = Params(lr_scheduler_type=kind, warmup_ratio=warmup_ratio)
    return [factor(done, total, params) for done in range(total + 1)]


@given(st.sampled_from(SCHEDULES), st.integers(1, 300), st.floats(0, 0.9))
@example("linear", 1, 0.9)
def test_a_schedule_rises_to_the_peak_and_then_falls(kind: str, total: int, warmup_ratio: float) -> None:
    values = curve(kind, total, warmup_ratio)
    peak = values.index(max(values))
    assert all(0 <= value <= 1 for value in values)
    assert values[peak] == 1.0
    assert peak < total, "no step is taken at the peak"
    assert values[0] > 0, "the first step moves nothing"
    assert values[: peak + 1] == sorted(values[: peak + 1])
    assert values[peak:] == sorted(values[peak:], reverse=True)
    assert abs(peak - warmup_ratio * total) <= 1


@pytest.mark.parametrize(
    ("kind", "middle", "end"),
    [
        ("linear", 0.5, 0.0),
        ("cosine", 0.5, 0.0),
        ("slanted_triangular", (1 + 1 / 32) / 2, 1 / 32),
        ("constant_with_warmup", 1, 1),
    ],
)
def test_a_schedule_ends_where_its_kind_says(kind: str, middle: float, end: float) -> None:
    values = curve(kind, 100, 0.2)
    assert (values[60], values[100]) == pytest.approx((middle, end))


def test_cosine_is_above_linear_first_and_below_it_later() -> None:
    linear, cosine = curve("linear", 100, 0.0), curve("cosine", 100, 0.0)
    assert cosine[25] > linear[25] + 0.1
    assert cosine[75] < linear[75] - 0.1


def test_slanted_triangular_is_the_formula_of_the_paper() -> None:
    total, cut, ratio = 200, 20, 32
    for done, value in enumerate(curve("slanted_triangular", total, cut / total)):
        share = done / cut if done < cut else 1 - (done - cut) / (cut * (total / cut - 1))
        assert value == pytest.approx((1 + share * (ratio - 1)) / ratio)


@given(st.integers(0, 24), st.integers(0, 30), st.floats(0, 1), st.integers(1, 200))
def test_layers_join_from_the_top_down_and_all_in_time(depth: int, frozen: int, share: float, total: int) -> None:
    params = Params(frozen_layers=frozen, gradual_unfreezing=share)
    held = [unfrozen_from(done, total, params, depth) for done in range(total)]
    lowest = min(frozen, depth)
    assert held == sorted(held, reverse=True), "a layer that trained was frozen again"
    assert all(lowest <= layers <= depth for layers in held)
    assert held[0] == (depth if share else lowest), "only the head trains at first"
    assert all(layers == lowest for done, layers in enumerate(held) if done >= share * total)


def test_layers_join_at_equal_distances() -> None:
    params = Params(gradual_unfreezing=0.5, frozen_layers=2)
    held = [unfrozen_from(done, 80, params, depth=6) for done in range(80)]
    assert held == [6] * 10 + [5] * 10 + [4] * 10 + [3] * 10 + [2] * 40
