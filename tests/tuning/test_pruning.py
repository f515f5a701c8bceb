"""Of configurations the better half goes on, ties together, the first to arrive always; weak seeds are stopped."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from automl.tuning.pruning import FEWEST_OTHERS, REDUCTION, RUNGS, SEED_RUNG, SMALLEST_SPREAD, goes_on, seed_goes_on

values = st.lists(st.floats(0, 1), max_size=50)


def test_the_weaker_half_is_stopped_at_a_rung() -> None:
    seen: list[float] = []
    verdicts = {}
    for value in (0.9, 0.8, 0.3, 0.85, 0.2, 0.95):
        verdicts[value] = goes_on(1, value, seen)
        seen.append(value)
    assert verdicts == {0.9: True, 0.8: False, 0.3: False, 0.85: True, 0.2: False, 0.95: True}


def test_between_rungs_and_at_the_end_everything_goes_on() -> None:
    assert all(goes_on(step, 0.0, [1.0] * 10) for step in range(1, 9) if step not in RUNGS)


def test_equal_values_pass_together() -> None:
    assert goes_on(2, 0.8, [0.8] * 9)


@given(values, st.floats(0, 1))
def test_a_better_value_never_fares_worse(others: list[float], value: float) -> None:
    if goes_on(1, value, others):
        assert goes_on(1, min(1.0, value + 0.1), others)
    assert goes_on(1, max([*others, value]), others)


@given(st.lists(st.floats(0, 1), min_size=2, max_size=50, unique=True))
def test_of_distinct_values_seen_together_one_in_reduction_passes(all_values: list[float]) -> None:
    passed = [v for i, v in enumerate(all_values) if goes_on(1, v, all_values[:i] + all_values[i + 1 :])]
    assert len(passed) == len(all_values) // REDUCTION


def test_a_seed_is_stopped_where_it_lags_behind_by_more_than_the_others_differ() -> None:
    others = [0.80, 0.84, 0.88]
    assert seed_goes_on(SEED_RUNG, 0.77, others)
    assert not seed_goes_on(SEED_RUNG, 0.75, others)
    assert seed_goes_on(SEED_RUNG, 0.99, others)


def test_a_seed_is_judged_at_a_quarter_of_its_schedule_alone() -> None:
    assert all(seed_goes_on(step, 0.0, [0.9] * 5) for step in range(1, 9) if step != SEED_RUNG)
    assert not seed_goes_on(SEED_RUNG, 0.0, [0.9] * 5)


@given(values, st.floats(0, 1))
def test_a_seed_goes_on_until_something_is_known_of_the_others_and_where_it_is_as_good(
    others: list[float], value: float
) -> None:
    assert seed_goes_on(SEED_RUNG, value, others[: FEWEST_OTHERS - 1])
    if others and value >= min(sorted(others)[len(others) // 2 :]) - SMALLEST_SPREAD:
        assert seed_goes_on(SEED_RUNG, value, others)
    if seed_goes_on(SEED_RUNG, value, others):
        assert seed_goes_on(SEED_RUNG, min(1.0, value + 0.1), others)
