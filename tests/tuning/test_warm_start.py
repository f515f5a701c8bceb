"""A new study begins with what came furthest in the others of its database: what fits, nothing twice, and only once."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from automl.records import State
from automl.spaces import BoundSpace, load_space
from automl.study import Study, open_study
from automl.tuning.warm_start import MOST, WARM_START, Taken, in_order, recorded, warm_start

SPACE = """\
name: two
params:
  warmup_ratio: {type: float, low: 0.0, high: 0.2, default: 0.1}
techniques:
  head:
    params:
      technique: features
      pooling: {type: categorical, choices: [mean, cls]}
  full:
    params:
      learning_rate: {type: float, low: 1.0e-5, high: 1.0e-3, log: true, default: 1.0e-4}
      num_train_epochs: {type: int, low: 2, high: 8, step: 2, default: 4}
      frozen_layers: {type: layers, low: 0.0, high: 0.5}
"""
MODEL = {"tiny": 6}  # layers
FACTS = {
    "kind": "classification",
    "metric": "accuracy",
    "model": "small",
    "data": {"fingerprint": "f" * 64, "labels": {"labelled": {"no": 3, "yes": 4}, "test": {"no": 1, "yes": 1}}},
}
WIDE = {
    float: FloatDistribution(0.0, 10.0),
    int: IntDistribution(0, 100),
    str: CategoricalDistribution(["head", "full", "lora", "mean", "cls", "max", "fast"]),
}
Values = Sequence[float | State]  # in one cell after the other, of one configuration


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> BoundSpace:
    path = tmp_path_factory.mktemp("space") / "space.yaml"
    path.write_text(SPACE)
    return load_space(str(path)).over(MODEL)


class Database:
    """Studies of one file, each made of configurations and what they were worth."""

    def __init__(self, folder: Path, stack: contextlib.ExitStack) -> None:
        self.url, self._stack = f"sqlite:///{folder / 'studies.db'}", stack

    def open(self, name: str, **facts: Any) -> Study:
        study = self._stack.enter_context(open_study(self.url, name, {"task": "t"}))
        for fact, value in {**FACTS, **facts}.items():
            study.record(fact, value)
        return study

    def study(self, name: str, found: Sequence[tuple[Mapping[str, Any], Values]], **facts: Any) -> Study:
        study = self.open(name, **facts)
        for params, values in found:
            first = None
            for cell, value in enumerate(values):
                own = {"stage": "race" if cell else "search", "fold": cell, "seed": cell}
                trial = start(study, params, own | ({"configuration": first} if cell else {}))
                first = trial if first is None else first
                end(study, trial, value)
        return study


def start(study: Study, params: Mapping[str, Any], facts: Mapping[str, Any]) -> int:
    return study.start(params, {name: WIDE[type(value)] for name, value in params.items()}, facts).number


def end(study: Study, trial: int, value: float | State) -> None:
    if value is State.RUNNING:
        return
    state = State.COMPLETE if isinstance(value, float) else value
    study.end(trial, state, value if isinstance(value, float) else None, {})


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with contextlib.ExitStack() as stack:
        yield Database(tmp_path, stack)


Take = Callable[..., list[Taken]]


@pytest.fixture
def take(database: Database, space: BoundSpace) -> Take:
    def of(name: str = "new", **facts: Any) -> list[Taken]:
        return warm_start(database.url, name, {**FACTS, **facts}, space)

    return of


def full(rate: float, **more: Any) -> dict[str, Any]:
    named = {"learning_rate": rate, "num_train_epochs": 6, "frozen_layers": 2, **more}
    return {"arm": "full", "warmup_ratio": 0.1} | {f"full.{name}": value for name, value in named.items()}


def head(pooling: str, warmup: float = 0.05) -> dict[str, Any]:
    return {"arm": "head", "warmup_ratio": warmup, "head.pooling": pooling}


def trials(taken: Sequence[Taken]) -> list[tuple[str, int]]:
    return [(one.study, one.trial) for one in taken]


def rates(taken: Sequence[Taken]) -> list[float]:
    return [one.params["full.learning_rate"] for one in taken]


def test_the_two_that_came_furthest_are_taken_by_their_mean(database: Database, take: Take) -> None:
    found = [
        (full(1e-5), [0.99]),  # lucky once: the others were compared in more places
        (full(2e-5), [0.9, 0.7]),
        (full(3e-5), [0.8, 0.9]),
        (full(4e-5), [0.95, 0.72]),
        (full(5e-5), [0.99, State.PRUNED]),
    ]
    database.study("old", found)
    first, second = take()
    assert first == Taken("old", 3, "accuracy", pytest.approx(0.85), 2, full(3e-5))
    assert (second.trial, second.value, second.trainings) == (5, pytest.approx(0.835), 2)


def test_equal_values_are_told_apart_by_their_loss(database: Database, take: Take) -> None:
    study = database.open("old")
    for rate, loss in ((1e-5, 0.5), (2e-5, 0.3), (3e-5, 0.4)):
        trial = start(study, full(rate), {"stage": "search", "fold": 0, "seed": 0})
        study.end(trial, State.COMPLETE, 0.8, {"loss": loss})
    assert rates(take()) == [2e-5, 3e-5]


def test_what_did_not_end_well_is_not_evidence(database: Database, take: Take) -> None:
    states = (State.RUNNING, State.PRUNED, State.FAIL)
    study = database.study("old", [(full(1e-5 * place), [state]) for place, state in enumerate(states, start=1)])
    study.recover()
    assert take() == []


def test_one_that_was_stopped_and_went_on_is_taken(database: Database, take: Take) -> None:
    study = database.open("old")
    first = start(study, full(1e-5), {"stage": "search", "fold": 0, "seed": 0})
    study.end(first, State.PRUNED, None, {})
    on = start(study, full(1e-5), {"stage": "search", "fold": 0, "seed": 0, "configuration": first, "continues": first})
    study.end(on, State.COMPLETE, 0.95, {})
    assert rates(take()) == [1e-5]


@pytest.mark.parametrize(
    "params",
    [
        full(2e-3),
        full(1e-4, num_train_epochs=5),
        full(1e-4, num_train_epochs=10),
        full(1e-4, frozen_layers=4),
        full(1e-4, learning_rate="fast"),
        full(1e-4, weight_decay=0.1),
        head("max"),
        {**head("mean"), "arm": "lora"},
        {**head("mean"), "arm": "full"},
        {name: value for name, value in full(1e-4).items() if name != "warmup_ratio"},
        {name: value for name, value in full(1e-4).items() if name != "arm"},
        {"learning_rate": 1e-4},
        {},
    ],
)
def test_what_does_not_fit_the_space_is_left(database: Database, take: Take, params: dict[str, Any]) -> None:
    database.study("old", [(params, [0.9]), (head("cls"), [0.7])])
    assert trials(take()) == [("old", 1)]


def test_the_limits_of_the_space_fit(database: Database, take: Take, space: BoundSpace) -> None:
    edges = [full(1e-5, num_train_epochs=2, frozen_layers=0), full(1e-3, num_train_epochs=8, frozen_layers=3)]
    database.study("old", [(params, [0.9]) for params in edges])
    assert [one.params for one in take()] == edges
    assert all(space.has(recipe) for recipe in space.recipes())


def test_nothing_is_tried_twice(database: Database, take: Take, space: BoundSpace) -> None:
    recipe = space.recipes()[1]
    database.study("older", [(full(1e-5), [0.9]), (full(2e-5), [0.8])])
    database.study("newer", [(recipe, [0.95]), (full(1e-5), [0.9]), (full(3e-5), [0.2])])
    taken = take()
    assert trials(taken) == [("newer", 1), ("older", 1)], "the best of the newer one is a recipe"
    queue = in_order(taken, space.recipes())
    assert queue[:2] == [full(1e-5), full(2e-5)]
    assert queue[2:] == space.recipes(), "none is left out"


def test_like_data_come_first_then_as_many_labels_then_the_rest(database: Database, take: Take) -> None:
    other = {"fingerprint": "0" * 64, "labels": {"labelled": {"a": 1, "b": 1}}}
    three = {"fingerprint": "1" * 64, "labels": {"train": {"a": 1, "b": 1, "c": 1}}}
    for place, (name, facts) in enumerate(
        {
            "same": {},
            "two labels": {"data": other},
            "two labels, newer": {"data": other},
            "two labels, other model": {"data": other, "model": "large"},
            "three labels": {"data": three},
        }.items(),
        start=1,
    ):
        database.study(name, [(full(1e-5 * place), [0.5 + 0.1 * place])], **facts)
    names = [one.study for one in take()]
    assert names == ["same", "two labels, newer", "two labels", "two labels, other model", "three labels"]


def test_a_study_that_may_have_chosen_by_these_test_rows_is_passed_over(database: Database, take: Take) -> None:
    for name, source, test in (("elsewhere", "rows.csv", "b" * 64), ("same cut", "rows.csv", "a" * 64)):
        data = {"fingerprint": name, "labels": {"labelled": {"a": 1, "b": 1}}, "source": source, "test_rows": test}
        database.study(name, [(full(1e-5), [0.9])], data=data)
    own = {"fingerprint": "own", "labels": {"labelled": {"a": 1, "b": 1}}, "source": "rows.csv", "test_rows": "a" * 64}
    assert [one.study for one in take(data=own)] == ["same cut"]
    assert [one.study for one in take(data={**own, "source": "other.csv"})] != []


def test_there_is_an_end_to_it(database: Database, take: Take) -> None:
    for study, count in enumerate((3, 3, 3, 3, 1)):
        database.study(f"s{study}", [(full(1e-5 * (1 + 10 * study + n)), [0.9 - 0.1 * n]) for n in range(count)])
    taken = take()
    assert len(taken) == MOST
    assert trials(taken) == [("s4", 0), ("s3", 0), ("s3", 1), ("s2", 0), ("s2", 1), ("s1", 0)]


def test_studies_that_are_not_understood_are_passed_over(database: Database, take: Take) -> None:
    database.study("ours", [(full(1e-5), [0.9])])
    database.study("other kind", [(full(2e-5), [0.9])], kind="regression")
    database.open("empty")
    bare = database.open("without facts", kind="classification", data=None, metric=None, model=None)
    number = start(bare, full(3e-5), {})  # neither fold nor seed
    bare.end(number, State.COMPLETE, 0.9, {})
    late = database.open("a race without its beginning")
    start(late, full(4e-5), {"stage": "search", "fold": 0, "seed": 0})
    end(late, start(late, full(4e-5), {"stage": "race", "fold": 1, "seed": 1, "configuration": 0}), 0.9)
    storage = optuna.storages.RDBStorage(database.url)
    plain = optuna.create_study(storage=storage, study_name="theirs", direction="maximize")
    plain.set_user_attr("kind", "classification")
    plain.optimize(lambda trial: trial.suggest_float("full.learning_rate", 1e-5, 1e-3), n_trials=1)
    storage.remove_session()
    storage.engine.dispose()
    assert trials(take()) == [("ours", 0)]


def test_a_study_that_has_begun_goes_on_as_it_began(database: Database, take: Take) -> None:
    other = database.study("old", [(full(1e-5), [0.9])])
    taken = take()
    own = database.open("new")
    assert take() == taken, "it is there, but nothing is decided yet"
    own.record(WARM_START, [asdict(one) for one in taken])
    end(other, start(other, full(2e-5), {"stage": "search", "fold": 0, "seed": 0}), 0.99)
    assert take() == recorded(own.facts) == taken
    assert rates(take("third")) == [2e-5, 1e-5]


def test_a_study_that_began_without_takes_nothing_later(database: Database, take: Take) -> None:
    database.study("old", [(full(1e-5), [0.9])])
    database.study("new", [(full(2e-5), [0.5])])
    assert take() == []
    assert recorded(database.open("new").facts) == []


def test_where_there_is_no_database_nothing_is_taken_and_none_is_made(
    tmp_path: Path, take: Take, database: Database
) -> None:
    assert take() == []
    assert not list(tmp_path.iterdir())
