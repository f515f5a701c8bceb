"""Proposals come from the seed and from what every configuration was worth where all were compared."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from statistics import median
from typing import Any

import numpy as np
import pytest

from automl.records import State, Trial
from automl.spaces import BoundSpace, load_space
from automl.tuning.configurations import Cell
from automl.tuning.proposals import RANDOM_FIRST, Proposer
from tests.tuning.records import a_trial

TWO_ARMS = """\
name: two
params:
  weight_decay: {type: float, low: 0.0, high: 0.1}
techniques:
  head:
    params: {technique: features, logistic_regression_c: {type: float, low: 1.0e-3, high: 10.0, log: true}}
  full:
    params: {technique: fine_tuning, learning_rate: {type: float, low: 1.0e-5, high: 1.0e-2, log: true}}
"""
GOOD_RATE = 1e-3


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> BoundSpace:
    path = tmp_path_factory.mktemp("space") / "two.yaml"
    path.write_text(TWO_ARMS, encoding="utf-8")
    return load_space(str(path)).over({"tiny": 6})


def worth(params: dict[str, Any]) -> float:
    """Best in the arm `full`, near the good rate."""
    if params["arm"] == "head":
        return 0.3
    return 0.9 - 0.1 * abs(float(np.log10(params["full.learning_rate"] / GOOD_RATE)))


def proposals(proposer: Proposer, count: int, first: int = 0) -> list[Trial]:
    """What is proposed when each is tried, and told, before the next."""
    found = []
    for number in range(first, first + count):
        params = proposer.propose()
        trial = a_trial(number, params=params)
        proposer.started(trial)
        trial = a_trial(number, worth(params), params=params)
        proposer.ended(trial)
        found.append(trial)
    return found


def params_of(trials: Iterable[Trial]) -> list[dict[str, Any]]:
    return [dict(trial.params) for trial in trials]


def distance(trials: Sequence[Trial]) -> float:
    """How far they are from the good rate, in powers of ten; 3 where they are not even in its arm."""
    rates = [trial.params.get("full.learning_rate") for trial in trials]
    return median(3.0 if rate is None else abs(float(np.log10(rate / GOOD_RATE))) for rate in rates)


def test_equal_seeds_propose_the_same(space: BoundSpace) -> None:
    first, again, other = (params_of(proposals(Proposer(space, seed), 20)) for seed in (0, 0, 1))
    assert first == again
    assert first != other


def test_a_proposal_has_one_arm_and_what_is_chosen_in_it(space: BoundSpace) -> None:
    found = params_of(proposals(Proposer(space, 0), 20))
    assert {params["arm"] for params in found} == {"head", "full"}
    for params in found:
        assert set(params) == set(space.distributions(params["arm"]))
        space.params(params)


def test_it_learns_from_what_configurations_were_worth(space: BoundSpace) -> None:
    found = proposals(Proposer(space, 0), 60)
    assert distance(found[-20:]) < 0.6 < distance(found[:RANDOM_FIRST])


def test_proposals_at_the_same_time_differ(space: BoundSpace) -> None:
    proposer = Proposer(space, 0)
    found = []
    for number in range(5):
        found.append(proposer.propose())
        proposer.started(a_trial(number, params=found[-1]))
    assert len({str(params) for params in found}) == 5


def test_repeats_of_a_configuration_on_other_folds_are_not_shown_to_the_sampler(space: BoundSpace) -> None:
    known = proposals(Proposer(space, 0), 20)
    best = max(known, key=lambda trial: trial.value or 0)
    # These would drive the sampler away from the best configuration, were they configurations of their own.
    repeats = [
        a_trial(20 + place, 0.0, of=best.number, cell=Cell(place % 5, 8 + place), params=best.params)
        for place in range(30)
    ]
    alone, beside = Proposer(space, 0, known), Proposer(space, 0, [*known, *repeats])
    assert params_of(proposals(alone, 5, 50)) == params_of(proposals(beside, 5, 50))
    live = Proposer(space, 0, known)
    for repeat in repeats:
        live.started(repeat)
        live.ended(repeat)
    assert params_of(proposals(live, 5, 50)) == params_of(proposals(Proposer(space, 0, known), 5, 50))


@pytest.mark.parametrize("count", [RANDOM_FIRST // 2, 30])
def test_made_anew_from_the_record_it_goes_on(space: BoundSpace, count: int) -> None:
    known = proposals(Proposer(space, 0), count)
    one, other = (proposals(Proposer(space, 0, known), 20, 30) for _ in range(2))
    assert params_of(one) == params_of(other)
    seen = [str(params) for params in params_of(known)]
    assert not {str(params) for params in params_of(one)} & set(seen), "what was tried is not proposed again"
    assert count < 30 or distance(one) < 0.6, "it need not look around anew"


def test_recipes_broken_trials_and_stopped_ones_are_seen_as_what_they_were(space: BoundSpace) -> None:
    proposer, states = Proposer(space, 0), [State.FAIL, State.PRUNED, State.COMPLETE] * 4
    for number, state in enumerate(states):
        recipe = {"arm": "full", "weight_decay": 0.0, "full.learning_rate": 1e-5 * 1.5**number}
        proposer.started(a_trial(number, params=recipe))
        trial = a_trial(number, 0.1 if state is State.COMPLETE else None, state=state, params=recipe)
        proposer.ended(replace(trial, intermediate={1: 0.05}))
    seen = proposer._study.trials
    assert [trial.state.name for trial in seen] == [state.name for state in states]
    assert [trial.params["full.learning_rate"] for trial in seen] == [1e-5 * 1.5**number for number in range(12)]
    assert all(trial.intermediate_values == {1: 0.05} for trial in seen)
    assert len(proposals(proposer, 5, 50)) == 5


def test_a_trial_that_was_given_back_is_one_configuration_still(space: BoundSpace) -> None:
    known = proposals(Proposer(space, 0), 12)
    waiting = a_trial(12, state=State.WAITING, params=known[0].params)
    proposer = Proposer(space, 0, [*known, waiting])
    proposer.started(a_trial(12, params=known[0].params))  # by the same command, which goes on
    proposer.ended(a_trial(12, 0.9, params=known[0].params))
    states = [trial.state.name for trial in proposer._study.trials]
    assert states == ["COMPLETE"] * 13
