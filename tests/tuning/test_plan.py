"""The search's own rules, whoever executes its trials: the budget, one end for each trial, what is kept, the end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from automl.progress import PhaseStarted, TrialEnded, TrialReported, TrialStarted
from automl.records import State
from automl.spaces import Arm, BoundSpace, Param, SearchSpace
from automl.study import Study, open_study
from automl.study.record import LEADER
from automl.tuning.budget import Budget
from automl.tuning.configurations import configurations
from automl.tuning.duration import Forecast
from automl.tuning.finals import REFIT, REHEARSAL, STUDENT
from automl.tuning.job import RACE, SEARCH
from automl.tuning.orders import Order
from automl.tuning.plan import HOPELESS, Search
from automl.tuning.policy import MOST_PAUSED, make_policy
from tests.told import Told

RATE = Param("learning_rate", "float", 1e-5, 1e-3, log=True, default=1e-4)
MODEL = {"tiny": 6}  # layers
SPACE = SearchSpace("one", "", (RATE, Param("num_train_epochs", "fixed", default=3)), (Arm(""),)).over(MODEL)
HEADS = SearchSpace("heads", "", (RATE, Param("technique", "fixed", default="features")), (Arm(""),)).over(MODEL)
TWO_ARMS = SearchSpace("two", "", (), (Arm("quick", "", (RATE,)), Arm("slow", "", (RATE,)))).over(MODEL)


PACE = {"examples_per_second": 96.0}  # three epochs of 320 rows in ten seconds


@pytest.fixture
def study() -> Iterator[Study]:
    with open_study("sqlite://", "s", {}) as study:  # in memory
        yield study


def make_search(
    study: Study,
    budget: int = 5,
    *,
    n_folds: int = 1,
    repeats: int = 0,
    space: BoundSpace = SPACE,
    rows: int = 0,
    checkpoints: Path | None = None,
    **limits: Any,
) -> tuple[Search, Told]:
    told = Told()
    policy = replace(make_policy(space, n_folds=n_folds, seed=7, budget=budget), repeats=repeats)
    search = Search(
        study,
        space,
        policy,
        budget=Budget(budget, **limits),
        progress=told,
        facts={"versions": "all"},
        forecast=Forecast(space, policy, rows=rows),
        checkpoints=checkpoints,
    )
    return search, told


def ask(search: Search) -> int:
    """Number of the trial that is asked for next."""
    order = search.ask()
    assert order is not None
    assert order.number is not None
    return order.number


def end(search: Search, value: float, **facts: Any) -> int:
    """Run a trial to its end."""
    number = ask(search)
    search.complete(number, value, {"checkpoint": f"{number}.safetensors", "checkpoint_sha256": "a", **facts})
    return number


def save(folder: Path, number: int) -> Mapping[str, Any]:
    path = folder / f"{number}.safetensors"
    path.touch()
    return {"checkpoint": str(path), "checkpoint_sha256": "a"}


def test_an_order_has_all_that_a_worker_needs_and_is_told_from_start_to_end(study: Study) -> None:
    search, told = make_search(study)
    order = search.ask()
    params = {"learning_rate": 1e-4, "num_train_epochs": 3}
    assert order == Order(
        "trial 0", 0, {"job": "trial", "number": 0, "model": "tiny", "params": params, "seed": 7, "fold": 0}
    )
    assert search.report(0, 1, 8, 0.5, {"peak_memory_mb": 3})
    search.complete(0, 0.5, {"precision": "float32"})
    assert [type(event) for event in told.events] == [TrialStarted, TrialReported, TrialEnded]
    (recorded,) = study.trials()
    assert (recorded.state, recorded.value, recorded.intermediate) == (State.COMPLETE, 0.5, {1: 0.5})
    assert recorded.params == {"learning_rate": 1e-4}, "what the space fixes is no choice"
    facts = {"versions": "all", "stage": SEARCH, "fold": 0, "seed": 7, "peak_memory_mb": 3, "precision": "float32"}
    assert {name: recorded.facts[name] for name in facts} == facts


@pytest.mark.parametrize("beaten", [True, False])
def test_who_leads_is_told_and_recorded_as_the_race_has_it(study: Study, beaten: bool) -> None:
    """Not who came furthest: the first of two is slow, and ahead where both were."""
    search, told = make_search(study, 6, n_folds=3)
    slow, fast = ask(search), ask(search)
    search.complete(slow, 0.9, {})
    search.complete(fast, 0.8, {})
    racing: dict[int, int] = {}
    while set(racing) != {slow, fast}:
        number = ask(search)
        of = study.trials()[number].facts.get("configuration")
        if of is None:
            search.complete(number, 0.4, {})
        else:
            racing[of] = number
    search.complete(racing[fast], 1.0, {})
    assert {event.leader for event in told.events if isinstance(event, TrialEnded)} == {study.facts[LEADER]} == {slow}
    if beaten:
        search.complete(racing[slow], 0.5, {})
    else:
        search.prune(racing[slow])
    assert (told.events[-1].leader, study.facts[LEADER]) == (fast, fast)


def test_a_repeat_of_a_good_configuration_knows_which_one_it_repeats(study: Study) -> None:
    search, _ = make_search(study, 6, n_folds=3)
    first = end(search, 0.5)
    order = search.ask()
    while order and study.trials()[-1].facts["stage"] == SEARCH:
        search.complete(study.trials()[-1].number, 0.4, {})
        order = search.ask()
    assert order is not None
    repeat = study.trials()[-1]
    assert (order.payload["fold"], order.payload["seed"]) == (1, 8)
    assert (repeat.facts["stage"], repeat.facts["configuration"], repeat.params) == (
        RACE,
        first,
        study.trials()[first].params,
    )


def test_a_trial_that_continues_another_is_told_which_one(study: Study) -> None:
    search, _ = make_search(study)
    first = ask(search)
    search.prune(first)
    facts = {"stage": SEARCH, "fold": 0, "seed": 7, "continues": first}
    distributions = SPACE.distributions(SPACE.arm_of(study.trials()[first].params))
    study.release(study.start(study.trials()[first].params, distributions, facts).number)
    order = search.ask()
    assert order is not None
    assert (order.number, order.payload["resume"]) == (1, 0)


def test_weak_configurations_are_stopped_early(study: Study) -> None:
    search, _ = make_search(study, 20, n_folds=2)
    for value, expected in ((0.5, True), (0.9, True), (0.8, False), (0.95, True)):
        number = ask(search)
        assert search.report(number, 1, 8, value, {}) == expected
        if expected:
            search.complete(number, value, {})
        else:
            search.prune(number)
    assert [trial.state for trial in study.trials()][2] is State.PRUNED


def test_a_race_is_run_in_cells_of_their_own(study: Study) -> None:
    search, _ = make_search(study, 20, n_folds=2)
    number = ask(search)
    while study.trials()[number].facts["stage"] == SEARCH:
        for step in (1, 2):
            assert search.report(number, step, 8, 0.9, {})
        search.complete(number, 0.9, {})
        number = ask(search)
    other = ask(search)
    assert study.trials()[other].facts["fold"] == 1
    for step in (1, 2):
        assert search.report(number, step, 8, 0.3, {}), "however much harder this fold is than the first"
    assert search.report(other, 1, 8, 0.1, {}), "a good configuration is not halved at the first rung"


def test_techniques_rise_at_different_paces_and_are_not_halved_against_each_other(study: Study) -> None:
    search, _ = make_search(study, 20, space=TWO_ARMS)
    numbers = [ask(search) for _ in range(4)]
    arms = [study.trials()[number].params["arm"] for number in numbers]
    assert arms[:2] == ["quick", "slow"]
    assert search.report(numbers[0], 1, 8, 0.9, {})
    assert search.report(numbers[1], 1, 8, 0.2, {}), "the first of its technique"
    same = arms.index("quick", 2) if "quick" in arms[2:] else arms.index("slow", 2)
    assert search.report(numbers[same], 1, 8, 0.1, {}) is False


def test_each_of_several_models_is_trained_shown_and_halved_by_itself(study: Study) -> None:
    space = SPACE.written.over({"small": 3, "big": 12})
    search, told = make_search(study, 20, space=space)
    orders = [search.ask() for _ in range(2)]
    assert [order and order.payload["model"] for order in orders] == ["small", "big"]
    params = {"learning_rate": 1e-4, "num_train_epochs": 3}
    assert [order and order.payload["params"] for order in orders] == [params, params]
    shown = [event.params for event in told.events if isinstance(event, TrialStarted)]
    assert shown == [{"model": "small", **params}, {"model": "big", **params}]
    assert search.report(0, 1, 8, 0.9, {})
    assert search.report(1, 1, 8, 0.2, {}), "the first of its model"
    numbers = [ask(search) for _ in range(2)]
    models = [space.model_of(study.trials()[number].params) for number in numbers]
    for number, model in zip(numbers, models, strict=True):
        assert search.report(number, 1, 8, 0.5, {}) is (model == "big")
    search.complete(0, 0.9, {})
    assert study.trials()[0].params == {"arm": "small", "small.learning_rate": 1e-4}


def test_a_seed_that_lags_behind_the_others_in_its_cell_is_stopped(study: Study) -> None:
    search, _ = make_search(study, 24, n_folds=2)
    while not study.trials() or study.trials()[-1].facts["stage"] == SEARCH:
        number = ask(search)
        if study.trials()[-1].facts["stage"] == SEARCH:
            search.complete(number, 0.5, {})
    numbers = [number, ask(search), ask(search)]
    assert len({(trial.facts["fold"], trial.facts["seed"]) for trial in study.trials()[-3:]}) == 1
    verdicts = [search.report(number, 2, 8, value, {}) for number, value in zip(numbers, (0.8, 0.82, 0.6), strict=True)]
    assert verdicts == [True, True, False]


def test_what_nobody_waits_for_is_stopped_when_all_others_have_ended(study: Study) -> None:
    search, _ = make_search(study, 200, n_folds=2)
    made = {"checkpoint": "a.safetensors", "checkpoint_sha256": "a"}
    while not any(trial.facts.get("spare") for trial in study.trials()):
        number = ask(search)
        started = study.trials()[number].facts
        if started["stage"] == SEARCH and not started.get("spare"):  # the race is still under way
            search.complete(number, 0.5 if number else 0.9, made)
    running = [trial for trial in study.trials() if trial.state is State.RUNNING]
    spare = running.pop()
    assert spare.facts["spare"]
    assert running
    assert search.report(spare.number, 1, 8, 0.9, {}), "the others are still on their way"
    for trial in running:
        search.complete(trial.number, 0.1, made)
    order = search.ask()
    assert order is not None
    assert order.number is None, "the last steps begin without it"
    assert not search.report(spare.number, 2, 8, 0.95, {}), "however good it is"
    search.complete(spare.number, 0.99, made)
    assert study.trials()[spare.number].state is State.PRUNED, "who wins is settled"


def test_checkpoints_that_may_still_be_shipped_are_kept_also_over_a_restart(study: Study, tmp_path: Path) -> None:
    search, _ = make_search(study, budget=60)
    for place in range(12):
        number = ask(search)
        search.complete(number, 0.1 * place, save(tmp_path, number))
    kept = sorted(int(path.stem) for path in tmp_path.iterdir())
    assert kept == list(range(4, 12))
    resumed, _ = make_search(study, budget=60)
    number = ask(resumed)
    resumed.complete(number, 2.0, save(tmp_path, number))
    assert sorted(int(path.stem) for path in tmp_path.iterdir()) == list(range(5, 13))


def test_the_budget_counts_every_trial_that_was_started_and_goes_on_counting(study: Study) -> None:
    search, _ = make_search(study, budget=5)
    numbers = [ask(search), ask(search), ask(search)]
    search.fail(0, "broke", {})
    search.report(1, 1, 8, 0.1, {})
    search.prune(1)
    assert search.release() == [2] == numbers[2:]
    again, _ = make_search(study, budget=3)
    assert ask(again) == 2
    assert again.ask() is None
    more, _ = make_search(study, budget=30)
    assert ask(more) == 3


def test_a_trial_that_was_given_back_runs_first_and_where_it_was(study: Study) -> None:
    search, _ = make_search(study, 6, n_folds=3)
    order = None
    while order is None or study.trials()[-1].facts["stage"] == SEARCH:
        order = search.ask()
        assert order is not None
        if study.trials()[-1].facts["stage"] == SEARCH:
            search.complete(study.trials()[-1].number, 0.4, {})
    assert search.release() == [order.number]
    again, _ = make_search(study, 6, n_folds=3)
    assert not again.over
    assert again.ask() == order


def test_a_search_whose_trials_all_break_stops_asking(study: Study) -> None:
    search, _ = make_search(study, budget=50)
    for _ in range(HOPELESS):
        search.fail(ask(search), "no such module", {})
    assert search.ask() is None

    repaired, _ = make_search(study, budget=50)
    assert repaired.ask() is not None  # the user has seen to it and tries again


def test_one_that_reported_keeps_it_going(study: Study) -> None:
    search, _ = make_search(study, budget=50)
    for index in range(3 * HOPELESS):
        number = ask(search)
        if index % 2:
            search.report(number, 1, 8, 0.5, {})
        search.fail(number, "loss is nan", {})


def test_what_was_said_to_be_over_is_not_begun_again_by_one_that_still_ran(study: Study) -> None:
    search, told = make_search(study, budget=50)
    long = ask(search)
    for _ in range(HOPELESS):
        search.fail(ask(search), "out of memory", {})
    search.report(long, 1, 8, 0.5, {})
    search.complete(long, 0.5, {})
    order = search.ask()
    assert order is None or order.number is None, "a last step at most"
    assert len(told.texts("warning")) == 1


def test_time_and_interrupts_stop_it_and_say_so_once(study: Study) -> None:
    now = 0.0
    search, told = make_search(study, deadline=10.0, clock=lambda: now)
    assert search.ask() is not None
    now = 10.0
    assert search.stopping
    assert search.ask() is None
    assert told.texts() == ["time is up: running trials are given back, the best so far is exported"]
    search, told = make_search(study)
    search.interrupted = True
    assert search.stopping
    assert search.stopping
    assert len(told.texts()) == 1


def test_last_steps_that_began_in_time_are_waited_for_a_little(study: Study) -> None:
    now = 0.0
    search, told = make_search(study, budget=1, space=HEADS, deadline=100.0, clock=lambda: now)
    end(search, 0.9)
    now = 99.0
    order = search.ask()
    assert order is not None
    assert order.name == "answers 0"
    now = 101.0
    assert not search.stopping
    search.done(order.name, {"answers": "there", "answers_sha256": "b"})
    order = search.ask()
    assert order is not None
    assert order.name == STUDENT
    assert not told.texts("warning")
    now = 105.0
    assert search.stopping
    assert search.ask() is None
    assert len(told.texts("warning")) == 1


def test_nothing_new_is_tried_once_one_has_reached_the_target(study: Study) -> None:
    search, told = make_search(study, 30, n_folds=3, target=0.9)
    for value in (0.5, 0.7, 0.91):
        end(search, value)
    assert [trial.facts["stage"] for trial in study.trials()] == [SEARCH] * 3
    end(search, 0.8)
    assert study.trials()[-1].facts["stage"] == RACE
    assert study.trials()[-1].facts["configuration"] == 2
    (notice,) = told.texts()
    assert notice.startswith("3 configurations were tried, and the target of 0.9 is reached")


def test_one_lucky_fold_is_not_the_target(study: Study) -> None:
    search, _ = make_search(study, 30, n_folds=3, target=0.9)
    for value in (0.5, 0.7, 0.91):
        end(search, value)
    assert search.used == 1.0
    end(search, 0.75)  # the one that had it, on the next fold
    end(search, 0.6)  # and its rival
    assert search.used < 1.0
    end(search, 0.5)
    assert study.trials()[-1].facts["stage"] == SEARCH, "the search goes on"


def test_it_is_said_why_a_search_has_ended(study: Study) -> None:
    def why(**limits: Any) -> str:
        return make_search(study, 40, **limits)[0].ended_because

    search, told = make_search(study, 40)
    end(search, 0.95)
    assert why(target=0.9) == "the target of 0.9 is reached"
    assert why(deadline=0.0) == "no further trial fits into the time"
    assert why(deadline=1e12) == "the rest was set aside for the race, which is over"
    for _ in range(HOPELESS):
        search.fail(ask(search), "loss is nan", {})
    assert search.ended_because == f"{HOPELESS} trials broke in a row"
    warned = told.texts("warning")
    assert warned == [f"{HOPELESS} trials broke in a row, no more are tried: loss is nan"]


def test_when_all_trials_break_what_came_before_is_still_made_into_one_model(study: Study) -> None:
    search, _ = make_search(study, 40)
    end(search, 0.9)
    for _ in range(HOPELESS):
        search.fail(ask(search), "loss is nan", {})
    order = search.ask()
    assert order is not None
    assert order.name == REFIT


def test_a_trial_that_is_promoted_goes_on_from_its_state_and_only_states_of_use_are_kept(
    study: Study, tmp_path: Path
) -> None:
    search, _ = make_search(study, 60, n_folds=2, checkpoints=tmp_path)
    for place, value in enumerate((0.9, 0.88, 0.8, 0.5, 0.4, 0.3)):
        number = ask(search)
        assert number == place
        goes_on = search.report(number, 1, 8, value, {})
        (tmp_path / f"trial-{number:05d}.state").touch()  # as a worker does that is told to stop
        if goes_on:
            search.complete(number, value, {})
        else:
            search.prune(number)
    assert [trial.state for trial in study.trials()] == [State.COMPLETE, *[State.PRUNED] * 5]
    order = search.ask()
    promoted = study.trials()[-1]
    assert order is not None
    assert order.payload["resume"] == promoted.facts["continues"] == promoted.facts["configuration"] == 1
    left = {path.name for path in tmp_path.iterdir()}
    assert f"trial-{promoted.facts['continues']:05d}.state" in left
    assert len(left) <= MOST_PAUSED + 1
    assert search.report(promoted.number, 2, 8, 0.95, {}), "its own earlier value is no rival"
    search.complete(promoted.number, 0.95, {})
    search.release()
    assert not list(tmp_path.iterdir()), "the search is over"


class TestTime:
    """Trainings of ten seconds in a search of two hundred: what is tried, raced and taught has to fit."""

    def run(self, study: Study, deadline: float) -> tuple[list[tuple[float, str]], Search]:
        """When each order was given, and what it was; one at a time."""
        now = 0.0
        search, _ = make_search(study, 1000, n_folds=5, rows=320, deadline=deadline, clock=lambda: now)
        given = []
        while order := search.ask():
            trial = None if order.number is None else study.trials()[order.number]
            given.append((now, order.payload["job"] if trial is None else trial.facts["stage"]))
            now += 1.0 if order.payload["job"] == "answer" else 10.0
            if trial is not None:
                facts = {"checkpoint": "here", "checkpoint_sha256": "a", "predictions": "p", **PACE}
                search.complete(trial.number, 0.5, facts)
            else:
                search.done(order.name, {"answers": "there", "answers_sha256": "b"})
        self.ended = now
        return given, search

    def test_the_race_and_the_last_steps_have_their_time(self, study: Study) -> None:
        given, search = self.run(study, 200.0)
        kinds = [kind for _, kind in given]
        assert kinds == sorted(kinds, key=[SEARCH, RACE, "answer", "teach"].index)
        assert 8 <= kinds.count(SEARCH) <= 10, "something new is tried for the first part of the time"
        assert kinds.count("teach") == 2
        assert 165 <= self.ended <= 200, "the last steps begin in time, and no time is left over"
        assert search.ask() is None

    def test_no_race_begins_that_would_not_end(self, study: Study) -> None:
        given, _ = self.run(study, 35.0)
        assert [kind for _, kind in given if kind in (SEARCH, RACE)] == [SEARCH], given


def test_a_winner_of_one_plain_model_is_trained_again_on_every_row(study: Study) -> None:
    search, told = make_search(study, budget=2)
    end(search, 0.5)
    end(search, 0.6)
    assert not search.over
    order = search.ask()
    assert order is not None
    assert (order.name, order.number) == ("refit", None)
    assert told.events[-1] == PhaseStarted("the winner is trained again, on every labelled row")
    search.done(order.name, {"checkpoint": "here"})
    assert search.over
    assert search.ask() is None


def test_the_last_steps_wait_for_every_trial(study: Study) -> None:
    search, _ = make_search(study, budget=2, space=HEADS)
    first, second = ask(search), ask(search)
    search.complete(first, 0.5, {"checkpoint": "here", "checkpoint_sha256": "a"})
    assert search.ask() is None, "the other may still win"
    assert search.running
    search.complete(second, 0.6, {"checkpoint": "here", "checkpoint_sha256": "a"})
    order = search.ask()
    assert order is not None
    assert order.name == f"answers {second}"


def test_the_last_steps_end_the_search(study: Study) -> None:
    search, told = make_search(study, budget=3, n_folds=2)
    for value in (0.5, 0.6, 0.7):
        assert not search.over
        end(search, value)
    assert [trial.facts["stage"] for trial in study.trials()] == [SEARCH, SEARCH, RACE]
    names = []
    while order := search.ask():
        assert search.running
        assert not search.over
        names.append(order.name)
        search.done(order.name, {"answers": "there", "answers_sha256": "b"})
        assert not search.running
    assert names == ["answers 1", "answers 2", STUDENT, REHEARSAL]
    assert search.over
    assert make_search(study, budget=3, n_folds=2)[0].over
    assert not told.texts("warning")


def test_what_transformers_cannot_hold_is_taught_even_where_there_is_one_model(study: Study) -> None:
    search, _ = make_search(study, budget=1, space=HEADS)
    end(search, 0.5)
    assert not search.over
    order = search.ask()
    assert order is not None
    assert order.payload["job"] == "answer"


def test_a_last_step_that_broke_is_told_and_ends_the_search(study: Study) -> None:
    search, told = make_search(study, budget=1, space=HEADS)
    end(search, 0.5)
    order = search.ask()
    assert order is not None
    search.broke(order.name, "no room")
    assert told.texts() == ["answers 0: no room; another model is shipped in its place"]
    assert search.ask() is None
    assert not search.running
    assert not search.over, "the same command may try again"


class Machine(RuleBasedStateMachine):
    """Whatever happens in whatever order, no trial is lost, doubled or stuck, and the budget holds."""

    @initialize(budget=st.integers(1, 9), n_folds=st.integers(1, 3), space=st.sampled_from([SPACE, HEADS]))
    def start(self, budget: int, n_folds: int, space: SearchSpace) -> None:
        self.study = open_study("sqlite://", "s", {})
        self.options: dict[str, Any] = {"budget": budget, "n_folds": n_folds, "space": space}
        self.running: list[int] = []
        self.steps: list[str] = []
        self.ended: dict[int, State] = {}
        self.search, _ = make_search(self.study, **self.options)

    def teardown(self) -> None:
        if hasattr(self, "study"):
            self.study.close()

    @rule()
    def ask(self) -> None:
        order = self.search.ask()
        if order is None:
            return
        if order.number is None:
            assert not self.running, "the last steps wait for every trial"
            assert order.name not in self.steps
            self.steps.append(order.name)
        else:
            assert not self.steps
            assert order.number not in self.running
            assert order.number not in self.ended
            self.running.append(order.number)

    @precondition(lambda self: self.running)
    @rule(step=st.sampled_from([1, 2, 4]), value=st.floats(0, 1))
    def report(self, step: int, value: float) -> None:
        if not self.search.report(self.running[0], step, 8, value, {}):
            self.search.prune(self.running[0])
            self.ended[self.running.pop(0)] = State.PRUNED

    @precondition(lambda self: self.running)
    @rule(value=st.floats(0, 1))
    def complete(self, value: float) -> None:
        facts = {"checkpoint": f"no such file {self.running[0]}", "checkpoint_sha256": "a"}
        self.search.complete(self.running[0], value, facts)
        self.ended[self.running.pop(0)] = State.COMPLETE

    @precondition(lambda self: self.running)
    @rule()
    def fail(self) -> None:
        self.search.fail(self.running[0], "broke", {})
        self.ended[self.running.pop(0)] = State.FAIL

    @precondition(lambda self: self.steps)
    @rule(works=st.booleans())
    def finish_a_step(self, works: bool) -> None:
        name = self.steps.pop(0)
        if works:
            self.search.done(name, {"answers": "there", "answers_sha256": "b"})
            assert name in self.study.facts
        else:
            self.search.broke(name, "broke")
            assert self.search.ask() is None

    @rule(clean=st.booleans())
    def restart(self, clean: bool) -> None:
        if clean:
            assert self.search.release() == sorted(self.running)
        else:  # killed: the record still says RUNNING, and the next process finds that
            self.study._live.clear()
            assert self.study.recover() == sorted(self.running)
        self.running.clear()
        self.steps.clear()
        self.search, _ = make_search(self.study, **self.options)

    @invariant()
    def the_record_agrees(self) -> None:
        if not hasattr(self, "study"):
            return
        trials = self.study.trials()
        assert [trial.number for trial in trials] == list(range(len(trials)))
        assert len(trials) <= self.options["budget"]
        states = {trial.number: trial.state for trial in trials}
        assert {n: s for n, s in states.items() if s not in (State.RUNNING, State.WAITING)} == self.ended
        assert {n for n, s in states.items() if s is State.RUNNING} == set(self.running)
        assert self.search.running == bool(self.running or self.steps)
        for one in configurations(trials):
            assert all(trial.params == one.params for trial in one.trials.values())


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=12, stateful_step_count=30, deadline=None)
