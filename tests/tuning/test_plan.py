"""The search's own rules, whoever executes its trials: the budget, one end for each trial, one checkpoint kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from optuna.distributions import FloatDistribution

from automl.progress import Event, Notice, TrialEnded, TrialReported, TrialStarted
from automl.records import State
from automl.selection import best_trial
from automl.study import Study, open_study
from automl.tuning.plan import HOPELESS, Search, make_sampler

SPACE = {"learning_rate": FloatDistribution(1e-5, 1e-3, log=True)}
FIXED = {"num_train_epochs": 3}


class Told:
    """A progress that remembers."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def emit(self, event: Event) -> None:
        self.events.append(event)

    def __enter__(self) -> Told:
        return self

    def __exit__(self, *error: object) -> None:
        pass


@pytest.fixture
def study() -> Iterator[Study]:
    with open_study("sqlite://", "s", {}) as study:  # in memory
        study.use_sampler(make_sampler(0, 0))
        yield study


def make_search(study: Study, budget: int = 5, **options: Any) -> tuple[Search, Told]:
    told = Told()
    return Search(study, SPACE, FIXED, budget=budget, progress=told, facts={"seed": 7}, **options), told


def save(folder: Path, number: int) -> Mapping[str, Any]:
    path = folder / f"{number}.safetensors"
    path.touch()
    return {"checkpoint": str(path)}


def test_a_trial_has_searched_and_fixed_params_and_is_told_from_start_to_end(study: Study) -> None:
    search, told = make_search(study)
    trial = search.ask()
    assert trial is not None
    assert set(trial.params) == {"learning_rate", "num_train_epochs"}
    assert trial.facts["seed"] == 7
    assert search.report(trial.number, 1, 8, 0.5, {"peak_memory_mb": 3})
    search.complete(trial.number, 0.5, {})
    assert [type(event) for event in told.events] == [TrialStarted, TrialReported, TrialEnded]
    (recorded,) = study.trials()
    assert (recorded.state, recorded.value, recorded.intermediate) == (State.COMPLETE, 0.5, {1: 0.5})
    assert recorded.facts["peak_memory_mb"] == 3


def test_only_the_best_checkpoint_is_kept_also_over_a_restart(study: Study, tmp_path: Path) -> None:
    search, _ = make_search(study)
    for value in (0.5, 0.9, 0.7):
        trial = search.ask()
        assert trial is not None
        search.complete(trial.number, value, save(tmp_path, trial.number))
    assert [path.stem for path in tmp_path.iterdir()] == ["1"]
    resumed, _ = make_search(study)
    for value in (0.9, 0.95):  # a tie keeps the earlier one
        trial = resumed.ask()
        assert trial is not None
        resumed.complete(trial.number, value, save(tmp_path, trial.number))
        assert [path.stem for path in tmp_path.iterdir()] == ["1" if value == 0.9 else "4"]
    best = best_trial(study.trials())
    assert best is not None
    assert best.number == 4


def test_the_budget_counts_every_trial_that_ended_and_goes_on_counting(study: Study) -> None:
    search, _ = make_search(study, budget=3)
    asked = [search.ask() for _ in range(4)]
    assert [trial is None for trial in asked] == [False, False, False, True]
    search.fail(0, "broke", {})
    search.report(1, 1, 8, 0.1, {})
    search.prune(1)
    assert search.release() == [2]
    again, _ = make_search(study, budget=3)
    trial = again.ask()
    assert trial is not None
    assert trial.number == 2
    assert again.ask() is None
    more, _ = make_search(study, budget=4)
    assert more.ask() is not None


def test_a_search_whose_trials_all_break_stops_asking(study: Study) -> None:
    search, _ = make_search(study, budget=50)
    for _ in range(HOPELESS):
        trial = search.ask()
        assert trial is not None
        search.fail(trial.number, "no such module", {})
    assert search.ask() is None

    repaired, _ = make_search(study, budget=50)
    assert repaired.ask() is not None  # the user has seen to it and tries again


def test_one_that_reported_keeps_it_going(study: Study) -> None:
    search, _ = make_search(study, budget=50)
    for index in range(3 * HOPELESS):
        trial = search.ask()
        assert trial is not None
        if index % 2:
            search.report(trial.number, 1, 8, 0.5, {})
        search.fail(trial.number, "loss is nan", {})


def test_time_and_interrupts_stop_it_and_say_so_once(study: Study) -> None:
    now = 0.0
    search, told = make_search(study, deadline=10.0, clock=lambda: now)
    assert search.ask() is not None
    now = 10.0
    assert search.stopping
    assert search.ask() is None
    assert [event.text for event in told.events if isinstance(event, Notice)] == [
        "time is up: running trials are given back, the best so far is exported"
    ]
    search, told = make_search(study)
    search.interrupted = True
    assert search.stopping
    assert search.stopping
    assert sum(isinstance(event, Notice) for event in told.events) == 1


class Machine(RuleBasedStateMachine):
    """Whatever happens in whatever order, no trial is lost, doubled or stuck, and the budget holds."""

    @initialize(budget=st.integers(1, 6))
    def start(self, budget: int) -> None:
        self.study = open_study("sqlite://", "s", {})
        self.study.use_sampler(make_sampler(0, 0))
        self.budget = budget
        self.running: list[int] = []
        self.ended: dict[int, State] = {}
        self.search, _ = make_search(self.study, budget)

    def teardown(self) -> None:
        if hasattr(self, "study"):
            self.study.close()

    @rule()
    def ask(self) -> None:
        trial = self.search.ask()
        if trial is not None:
            assert trial.number not in self.running
            assert trial.number not in self.ended
            self.running.append(trial.number)

    @precondition(lambda self: self.running)
    @rule(step=st.sampled_from([1, 2, 4]), value=st.floats(0, 1))
    def report(self, step: int, value: float) -> None:
        if not self.search.report(self.running[0], step, 8, value, {}):
            self.search.prune(self.running[0])
            self.ended[self.running.pop(0)] = State.PRUNED

    @precondition(lambda self: self.running)
    @rule(value=st.floats(0, 1))
    def complete(self, value: float) -> None:
        self.search.complete(self.running[0], value, {})
        self.ended[self.running.pop(0)] = State.COMPLETE

    @precondition(lambda self: self.running)
    @rule()
    def fail(self) -> None:
        self.search.fail(self.running[0], "broke", {})
        self.ended[self.running.pop(0)] = State.FAIL

    @rule(clean=st.booleans())
    def restart(self, clean: bool) -> None:
        if clean:
            assert self.search.release() == sorted(self.running)
        else:  # killed: the record still says RUNNING, and the next process finds that
            self.study._live.clear()
            assert self.study.recover() == sorted(self.running)
        self.running.clear()
        self.search, _ = make_search(self.study, self.budget)

    @invariant()
    def the_record_agrees(self) -> None:
        if not hasattr(self, "study"):
            return
        trials = self.study.trials()
        assert [trial.number for trial in trials] == list(range(len(trials)))
        assert len(trials) <= self.budget
        states = {trial.number: trial.state for trial in trials}
        assert {n: s for n, s in states.items() if s not in (State.RUNNING, State.WAITING)} == self.ended
        assert {n for n, s in states.items() if s is State.RUNNING} == set(self.running)


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
