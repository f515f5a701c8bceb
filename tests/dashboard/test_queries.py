"""Tables of studies: what is counted, ranked and averaged, against what a person would count by hand."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product
from statistics import fmean, stdev
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from automl.dashboard import queries
from automl.dashboard.queries import StudyState, best_of_n, state_of
from automl.dashboard.store import Store, standing
from automl.metrics import digits
from automl.records import State, Trial
from automl.study import Reader
from automl.study.heart import ALIVE
from automl.study.reader import StudyRecord
from automl.study.summaries import StudySummary

NOW = datetime(2026, 1, 1, tzinfo=UTC)
BEGAN = datetime(2026, 1, 1, 12, 0, 0)


def trial(number: int, value: float | None, state: State = State.COMPLETE, **facts: Any) -> Trial:
    own = {"stage": "search", "fold": 0, "seed": 0, "seconds": 2.0, **facts}
    steps = {} if value is None else {8 if state is State.COMPLETE else 2: value}
    began = BEGAN + timedelta(seconds=10 * number)
    kept = value if state is State.COMPLETE else None
    return Trial(
        number, state, {"arm": "full", "full.rate": 0.1}, kept, steps, own, began, began + timedelta(seconds=2)
    )


def record(*trials: Trial, maximize: bool = True, **facts: Any) -> StudyRecord:
    return StudyRecord("s", {"identity": {}, **facts}, trials, maximize=maximize)


def test_a_configuration_is_the_mean_of_its_completed_trainings() -> None:
    study = record(
        trial(0, 0.5),
        trial(1, 0.9),
        trial(2, 0.7, configuration=0, fold=1, seed=1, stage="race"),
        trial(3, 0.1, State.PRUNED, configuration=0, fold=2, seed=2, stage="race"),
        trial(4, None, State.FAIL),
    )
    table = queries.configurations_table(study).set_index("configuration")
    assert list(table.index) == [0, 1, 4]  # who came further comes first
    assert table.loc[0, "mean"] == pytest.approx(fmean([0.5, 0.7]))
    assert table.loc[0, "spread"] == pytest.approx(stdev([0.5, 0.7]))
    assert table.loc[0, ["complete", "trainings", "stopped", "state"]].tolist() == [2, 3, 1, "complete"]
    assert table.loc[0, "seconds"] == 6.0
    assert np.isnan(table.loc[1, "spread"])
    assert table.loc[4, "state"] == "failed"


def test_the_shipped_configuration_comes_first() -> None:
    result = {"winner": {"trial": 1}}
    study = record(trial(0, 0.9), trial(1, 0.5), result=result)
    assert list(queries.configurations_table(study)["state"]) == ["shipped", "complete"]


def test_who_leads_comes_before_who_came_further() -> None:
    further = [trial(0, 0.5), trial(1, 0.9), trial(2, 0.7, configuration=0, fold=1, seed=1, stage="race")]
    assert list(queries.configurations_table(record(*further, leader=1))["configuration"]) == [1, 0]


def test_less_is_better_where_a_study_says_so() -> None:
    study = record(trial(0, 0.9), trial(1, 0.5), maximize=False)
    assert list(queries.configurations_table(study)["configuration"]) == [1, 0]
    assert list(queries.history_table(study)["best"]) == [0.9, 0.5]


def test_a_training_that_was_stopped_and_went_on_is_one_and_counts_as_it_was_last() -> None:
    study = record(trial(0, 0.5, State.PRUNED), trial(1, 0.8, configuration=0))
    (found,) = queries.configurations_table(study).to_dict("records")
    assert (found["mean"], found["complete"], found["trainings"], found["stopped"]) == (0.8, 1, 1, 0)
    assert found["seconds"] == queries.trials_table(study)["seconds"].sum()
    assert queries.seeds_table(study).empty


def test_history_and_steps_and_timeline() -> None:
    study = record(trial(0, 0.5), trial(1, 0.4, worker=7), trial(2, 0.6, worker=9), trial(3, 0.1, State.PRUNED))
    history = queries.history_table(study)
    assert list(history["best"]) == [0.5, 0.5, 0.6]
    assert list(history["seconds"]) == [2.0, 12.0, 22.0]
    slow = record(replace(trial(0, 0.5), ended=BEGAN + timedelta(minutes=1)), trial(1, 0.4), trial(2, 0.6))
    assert list(queries.history_table(slow)["trial"]) == [1, 2, 0]
    assert list(queries.history_table(slow, "trial")["best"]) == [0.5, 0.5, 0.6]
    steps = queries.steps_table(study)
    assert list(steps["share"]) == [1.0, 1.0, 1.0, 0.25]
    timeline = queries.timeline_table(study)
    assert list(timeline["worker"].fillna(0)) == [0, 1, 2, 0]
    assert list(queries.trials_table(study)["share"]) == [1.0, 1.0, 1.0, 0.25]


def test_utilisation_is_busy_time_of_the_whole_time() -> None:
    study = record(trial(0, 0.5, worker=1, busy_seconds=2.0), trial(1, 0.5, worker=2, busy_seconds=1.0))
    table = queries.utilisation_table(study).set_index("worker")
    assert table["share"].tolist() == pytest.approx([2 / 4, 1 / 4]), "nobody was to work in between"


def test_what_a_cut_off_search_left_ends_when_it_was_last_at_work() -> None:
    running = replace(trial(1, 0.4, State.RUNNING, worker=3), ended=None)
    given_back = replace(trial(2, 0.4, State.WAITING), ended=None)
    beat = (BEGAN + timedelta(seconds=15)).astimezone(UTC)
    cut_off = record(trial(0, 0.5), running, given_back, **{ALIVE: {"at": beat.isoformat()}})
    timeline = queries.timeline_table(cut_off, at=BEGAN + timedelta(days=1))
    assert timeline["trial"].tolist() == [0, 1]
    assert timeline["ended"].tolist() == [BEGAN + timedelta(seconds=2), BEGAN + timedelta(seconds=15)]
    at_work = record(trial(0, 0.5), running, **{ALIVE: {"at": datetime.now(UTC).isoformat()}})
    assert queries.timeline_table(at_work, at=BEGAN + timedelta(days=1))["ended"].iloc[1] == BEGAN + timedelta(days=1)


def test_what_another_tool_recorded_by_our_names_is_not_believed() -> None:
    theirs = trial(0, 0.5, fold="a", seed="b", configuration="c", seconds="d", worker=None, stage="race")
    study = StudyRecord("s", {}, (replace(theirs, params={"encoder.lr": 0.1, "head.lr": 0.2}),))
    row = queries.trials_table(study).iloc[0]
    assert (row["configuration"], row["fold"], row["stage"], row["seconds"]) == (0, 0, "search", 2.0)
    assert queries.params_of(study.trials[0].params) == {"encoder.lr": 0.1, "head.lr": 0.2}
    assert not queries.configurations_table(study).empty


@pytest.mark.parametrize(
    ("facts", "trials", "state"),
    [
        ({"identity": {}}, {}, StudyState.EMPTY),
        ({"identity": {}, ALIVE: {"at": NOW.isoformat()}}, {}, StudyState.RUNNING),
        (
            {"identity": {}, ALIVE: {"at": (NOW - timedelta(hours=1)).isoformat()}},
            {State.RUNNING: 1},
            StudyState.CUT_OFF,
        ),
        ({"identity": {}, "result": {"interrupted": False}}, {State.COMPLETE: 1}, StudyState.FINISHED),
        ({"identity": {}, "result": {"interrupted": True}}, {State.COMPLETE: 1}, StudyState.CUT_OFF),
        ({"identity": {}}, {State.FAIL: 2}, StudyState.FAILED),
        ({"identity": {}}, {State.COMPLETE: 2}, StudyState.CUT_OFF),
        ({"identity": {}, "result": {"trials": {"complete": 2}}}, {State.COMPLETE: 2}, StudyState.FINISHED),
        ({"identity": {}, "result": {"trials": {"complete": 2}}}, {State.COMPLETE: 3}, StudyState.CUT_OFF),
        (
            {"identity": {}, "result": {"trials": {"complete": 2}}},
            {State.COMPLETE: 2, State.RUNNING: 1},
            StudyState.CUT_OFF,
        ),
        ({}, {State.COMPLETE: 2}, StudyState.FINISHED),
        ({}, {State.COMPLETE: 2, State.RUNNING: 1}, StudyState.RUNNING),
    ],
)
def test_what_a_study_is_at(facts: dict[str, Any], trials: dict[State, int], state: StudyState) -> None:
    assert state_of(facts, trials, NOW) is state


@given(values=st.lists(st.floats(0, 1), min_size=1, max_size=4), maximize=st.booleans())
def test_the_expected_best_of_n_is_the_mean_over_all_draws(values: list[float], maximize: bool) -> None:
    best = max if maximize else min
    table = best_of_n(values, 3, maximize=maximize)
    for n, expected in zip(table["n"], table["expected"], strict=True):
        assert expected == pytest.approx(fmean(best(draw) for draw in product(values, repeat=n)))


def test_the_list_has_the_winner_s_mean_once_there_is_one() -> None:
    running = StudySummary("a", {"identity": {}}, {State.COMPLETE: 2}, 0.9, None, None)
    ended = replace(running, name="b", facts={"identity": {}, "result": {"validation": 0.8}})
    assert list(queries.studies_table([running, ended])["best"]) == [0.9, 0.8]


def test_luck_is_told_from_the_maximum_down_to_the_test() -> None:
    score = {"value": 0.7, "low": 0.6, "high": 0.8}
    result = {"validation": 0.8, "estimate": {**score, "value": 0.75}, "test": score, "winner": {"trial": 0}}
    table = queries.luck_table(record(trial(0, 0.9), result=result))
    assert list(table["value"]) == [0.9, 0.8, 0.75, 0.7]
    assert queries.luck_table(record(trial(0, 0.9))).empty


@pytest.mark.parametrize(("rows", "places"), [(None, 3), (20, 2), (100, 2), (200, 2), (2000, 3), (100_000, 4)])
def test_decimals_are_those_that_the_rows_support(rows: int | None, places: int) -> None:
    assert digits(rows) == places


def test_optuna_gets_each_configuration_once_by_plain_names() -> None:
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    study = StudyRecord(
        "s",
        {"identity": {}},
        (trial(0, 0.5), trial(1, 0.6, stage="race", configuration=0), trial(2, 0.4, State.PRUNED)),
        {"arm": CategoricalDistribution(["full"]), "full.rate": FloatDistribution(0, 1)},
    )
    shown = queries.as_optuna(study, "full")
    assert [(one.params, one.state.name) for one in shown.trials] == [
        ({"rate": 0.1}, "COMPLETE"),
        ({"rate": 0.1}, "PRUNED"),
    ]
    assert not queries.as_optuna(study, "another").trials
    better = StudyRecord("s", study.facts, (*study.trials, trial(3, 0.7)), study.distributions)
    assert [one.value for one in queries.as_optuna(better, "full", best=1).trials] == [0.7]
    worse = StudyRecord("s", study.facts, better.trials, study.distributions, maximize=False)
    assert [one.value for one in queries.as_optuna(worse, "full", best=1).trials] == [0.5]


def test_a_trial_is_repeated_by_a_command_and_a_space_of_its_own() -> None:
    import yaml

    command = "python -m automl.search --task 'my rows.csv' --budget 20 --time-limit=60 --warm-start --seed 3"
    one = trial(4, 0.5, settings={"learning_rate": 0.1, "technique": "fine_tuning"})
    again = queries.again_command(record(one, command=command), one)
    assert again == (
        "python -m automl.search --task 'my rows.csv' --seed 3 --search-space trial-4.yaml --budget 1 "
        "--study-name s-trial-4"
    )
    space = yaml.safe_load(queries.as_space(one) or "")
    assert space["params"] == {"learning_rate": 0.1, "technique": "fine_tuning"}
    assert queries.again_command(record(trial(0, 0.5), command=command), trial(0, 0.5)) is None


def test_it_names_the_encoder_in_full_where_there_were_several() -> None:
    one = trial(4, 0.5, settings={"model": "small", "learning_rate": 0.1, "technique": "fine_tuning"})
    command = "python -m automl.search --task rows.csv --model org/small,/models/big"
    again = queries.again_command(record(one, command=command, model="org/small, /models/big"), one)
    assert again is not None
    assert again.endswith("--model org/small")


def test_before_a_trial_has_ended_workers_are_shown_and_what_was_given_back_only_waits() -> None:
    running = replace(trial(0, 0.5, State.RUNNING, worker="a"), ended=None)
    assert queries.utilisation_table(record(running))["trials"].tolist() == [1]
    back = replace(trial(2, None, State.WAITING, configuration=1, fold=1, seed=1), started=None, ended=None)
    table = queries.configurations_table(record(trial(1, 0.9), back, trial(3, None, State.WAITING)))
    assert table.set_index("configuration")["state"].to_dict() == {1: "complete", 3: "waiting"}


class Counting(Reader):
    """Counts how often it is asked."""

    asked = 0

    def study(self, name: str) -> StudyRecord | None:
        self.asked += 1
        return record(*(trial(number, 0.5) for number in range(3)))

    def studies(self) -> list[Any]:
        self.asked += 1
        return []


def test_the_database_is_asked_no_more_often_than_an_answer_stands() -> None:
    time = [0.0]
    reader = Counting("sqlite://")
    store = Store(reader, lambda: time[0])
    for _ in range(5):
        store.study("s")
        store.studies()
    assert reader.asked == 2
    time[0] += standing(3) + 0.01
    store.study("s")
    store.studies()
    assert reader.asked == 4
    assert standing(0) < standing(5000) < standing(10**9) <= 10


def test_times_stay_in_order_however_trials_end() -> None:
    rng = random.Random(0)
    trials = [trial(number, rng.random()) for number in range(50)]
    rng.shuffle(trials)
    history = queries.history_table(record(*sorted(trials, key=lambda one: one.number)))
    assert history["seconds"].is_monotonic_increasing
    assert isinstance(history, pd.DataFrame)
