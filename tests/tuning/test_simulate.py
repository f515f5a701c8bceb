"""Recorded curves on a simulated clock: what happens when, what deaths cost, and that it is the search's own code."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automl.progress import TrialEnded, TrialReported, TrialStarted
from automl.records import State
from automl.study import Study, study_in_memory
from automl.tuning.curves import Curve, Point, Recorded, Table, nearest_in
from automl.tuning.finals import REFIT
from automl.tuning.job import RACE
from automl.tuning.orders import WORKER_RESTARTS
from automl.tuning.simulate import Workers, deaths
from automl.tuning.simulated_work import Labour, Life
from benchmarks.curves_drawn import made_up
from tests.tuning.curves import SPACE, Story, curve, make_search, replay, table

RATES = (1e-4, 1e-3, 1e-2)
STEADY, WEAK, STRONG = (0.5, 0.6, 0.7, 0.75, 0.8), (0.4,) * 5, (0.9,) * 5
# Seconds an eighth: 1, 2, 1. A budget of four tries three where nothing can race.
THREE = table((RATES[0], STEADY, 8), (RATES[1], WEAK, 16), (RATES[2], STRONG, 8))


@pytest.fixture
def study() -> Iterator[Study]:
    with study_in_memory("s") as study:
        yield study


def told(story: Story) -> list[tuple[float, str]]:
    """Times and trials: "1 begins", "1 at 2" for its second eighth, "1 PRUNED"."""
    lines = []
    for time, event in story.events:
        match event:
            case TrialStarted(number=number):
                lines.append((time, f"{number} begins"))
            case TrialReported(number=number, step=step):
                lines.append((time, f"{number} at {step}"))
            case TrialEnded(number=number, state=state):
                lines.append((time, f"{number} {state.value}"))
    return lines


def test_one_worker_does_one_thing_after_another(study: Study) -> None:
    usage, story, clock = replay(study, THREE, Workers(1, finals=False), rates=RATES)
    assert told(story) == [
        *(
            (0, "0 begins"),
            (1, "0 at 1"),
            (2, "0 at 2"),
            (4, "0 at 4"),
            (6, "0 at 6"),
            (8, "0 at 8"),
            (8, "0 COMPLETE"),
        ),
        *((8, "1 begins"), (10, "1 at 1"), (10, "1 PRUNED")),  # below what was seen at that step
        *((10, "2 begins"), (11, "2 at 1"), (12, "2 at 2"), (14, "2 at 4"), (16, "2 at 6"), (18, "2 at 8")),
        (18, "2 COMPLETE"),
    ]
    assert (usage.seconds, usage.busy, usage.utilisation, clock.now) == (18, 18, 1, 18)
    assert [trial.facts["seconds"] for trial in study.trials()] == [8, 2, 8]
    assert [trial.facts["busy_seconds"] for trial in study.trials()] == [8, 2, 8]


def test_two_workers_do_two_things_at_once_and_the_last_one_is_waited_for(study: Study) -> None:
    usage, story, _ = replay(study, THREE, Workers(2, finals=False), rates=RATES)
    assert told(story) == [
        *((0, "0 begins"), (0, "1 begins"), (1, "0 at 1"), (2, "1 at 1"), (2, "1 PRUNED"), (2, "2 begins")),
        *((2, "0 at 2"), (3, "2 at 1"), (4, "0 at 4"), (4, "2 at 2"), (6, "0 at 6"), (6, "2 at 4")),
        *((8, "0 at 8"), (8, "0 COMPLETE"), (8, "2 at 6"), (10, "2 at 8"), (10, "2 COMPLETE")),
    ]
    assert (usage.seconds, usage.busy, usage.utilisation) == (10, 18, 0.9)


def test_starting_takes_time_in_which_nothing_is_computed(study: Study) -> None:
    usage, story, _ = replay(study, THREE, Workers(1, start_seconds=0.5, finals=False), rates=RATES)
    assert [time for time, line in told(story) if line.endswith("at 1")] == [1.5, 11, 12.5]
    assert (usage.seconds, usage.busy) == (19.5, 18)


def test_a_worker_that_dies_is_replaced_and_its_trial_begins_anew(study: Study) -> None:
    workers = Workers(1, start_seconds=0.5, restart_seconds=2, lifetimes=[5], finals=False)
    usage, story, _ = replay(study, THREE, workers, rates=RATES[:1], budget=1)
    assert told(story) == [
        *((0, "0 begins"), (1.5, "0 at 1"), (2.5, "0 at 2"), (4.5, "0 at 4")),  # and dies at 5.5
        *((8.5, "0 at 1"), (9.5, "0 at 2"), (11.5, "0 at 4"), (13.5, "0 at 6"), (15.5, "0 at 8"), (15.5, "0 COMPLETE")),
    ]
    assert usage.busy == 13
    assert study.trial(0).facts["busy_seconds"] == 8, "of the attempt that went through"


def test_a_trial_that_no_worker_lives_through_fails_and_the_next_one_runs(study: Study) -> None:
    lifetimes = [0.25] * (WORKER_RESTARTS + 1)
    _, story, _ = replay(study, THREE, Workers(1, lifetimes=lifetimes, finals=False), rates=RATES)
    assert told(story)[:4] == [(0, "0 begins"), (0.75, "0 FAIL"), (0.75, "1 begins"), (2.75, "1 at 1")]
    assert study.trial(0).facts["error"] == "its worker died 3 times"


def test_a_training_that_broke_when_it_was_recorded_breaks_again(study: Study) -> None:
    broken = Table(
        {}, (Recorded({"learning_rate": 1e-3}, (Curve((Point(1, 0.5, 0.7, 1.0),), 3.0, error="loss is nan"),)),)
    )
    _, story, _ = replay(study, broken, Workers(1, finals=False), budget=1)
    assert told(story) == [(0, "0 begins"), (1, "0 at 1"), (3, "0 FAIL")]
    assert study.trial(0).facts["error"] == "loss is nan"


def test_trials_that_run_when_time_is_up_are_given_back_and_can_go_on(study: Study) -> None:
    _, story, clock = replay(study, THREE, Workers(2, finals=False), rates=RATES, until=5)
    assert clock.now == 5
    assert clock.busy == 10
    assert [trial.state for trial in study.trials()] == [State.WAITING, State.PRUNED, State.WAITING]
    assert told(story)[-1] == (4, "2 at 2")
    _, story, _ = replay(study, THREE, Workers(2, finals=False), rates=RATES)
    assert told(story) == [
        *((0, "0 begins"), (0, "2 begins"), (2, "0 at 6"), (2, "2 at 4"), (4, "0 at 8"), (4, "0 COMPLETE")),
        *((4, "2 at 6"), (6, "2 at 8"), (6, "2 COMPLETE")),
    ]


def test_without_obedience_nothing_is_stopped(study: Study) -> None:
    usage, _, _ = replay(study, THREE, Workers(1, finals=False, obedient=False), rates=RATES)
    assert [trial.state for trial in study.trials()] == [State.COMPLETE] * 3
    assert usage.seconds == 32


def test_the_last_steps_take_their_time_but_count_as_no_trial(study: Study) -> None:
    usage, _, clock = replay(study, THREE, Workers(2), rates=RATES)
    assert study.facts[REFIT]["committee"] == [2]
    assert (usage.seconds, clock.now) == (10, pytest.approx(10 + 1.2 * 8))


def test_a_trial_that_is_resumed_costs_what_is_left_of_it(study: Study) -> None:
    recorded = table((1e-3, STEADY, 8))
    search, story, clock = make_search(study, rates=RATES[:1])
    labour = Labour(search, study, nearest_in(recorded, SPACE), start_seconds=0, obedient=True)
    first = search.ask()
    assert first is not None
    passed = list(islice(labour.carry_out(first, Life(iter([99.0]), clock)), 3))  # it is at its second eighth
    assert passed == [1, 1, 2]
    second = search.ask()
    assert second is not None
    resumed = replace(second, payload={**second.payload, "resume": 0})
    passed = list(labour.carry_out(resumed, Life(iter([99.0]), clock)))
    assert passed == [2, 2, 2]
    assert told(story)[-4:] == [(0, "1 at 4"), (0, "1 at 6"), (0, "1 at 8"), (0, "1 COMPLETE")]
    assert study.trial(1).facts["busy_seconds"] == 6


def test_the_race_meets_each_recorded_cell_once(study: Study) -> None:
    seconds = (8, 16, 24)  # of the cells
    recorded = Table({}, (Recorded({"learning_rate": 1e-3}, tuple(curve(STEADY, taken) for taken in seconds)),))
    replay(study, recorded, Workers(1, finals=False), rates=RATES[:1], budget=12, cells=3, seed=4)
    raced = [trial for trial in study.trials() if trial.facts["stage"] == RACE and trial.facts["configuration"] == 0]
    assert [trial.facts["busy_seconds"] for trial in (study.trial(0), *raced)] == [16, 24, 8], "from seed 4 on"


def test_a_replay_is_the_same_each_time_and_another_with_another_seed() -> None:
    made = made_up("fast", 30, seed=0)

    def once(seed: int) -> list[tuple[float, str]]:
        with study_in_memory("s") as study:
            workers = Workers(3, lifetimes=deaths(60, seed), finals=False)
            return told(replay(study, made, workers, budget=20, cells=3, space=made.space, seed=seed)[1])

    assert once(0) == once(0)
    assert once(0) != once(1)


@settings(deadline=None, max_examples=40)
@given(
    lifetimes=st.lists(st.floats(0.01, 20), max_size=(WORKER_RESTARTS + 1) * 4 - 1),  # or the search were hopeless
    count=st.integers(1, 4),
    budget=st.integers(4, 14),
    cells=st.integers(1, 3),
)
def test_no_pattern_of_deaths_loses_a_trial(lifetimes: list[float], count: int, budget: int, cells: int) -> None:
    recorded = table((1e-4, STEADY, 8), (1e-3, WEAK, 16), (1e-2, STRONG, 8), cells=cells)
    with study_in_memory("s") as study:
        workers = Workers(count, lifetimes=lifetimes, finals=False)
        usage, story, _ = replay(study, recorded, workers, rates=RATES, budget=budget, cells=cells)
        trials = study.trials()
    begun = [event.number for _, event in story.events if isinstance(event, TrialStarted)]
    ended = [event.number for _, event in story.events if isinstance(event, TrialEnded)]
    assert begun == [trial.number for trial in trials]
    assert sorted(ended) == begun
    states = {trial.state for trial in trials}
    assert states <= {State.COMPLETE, State.PRUNED, State.FAIL}
    assert State.COMPLETE in states or State.FAIL in states  # one that failed late may have stopped all others
    assert 0 < usage.utilisation <= 1
