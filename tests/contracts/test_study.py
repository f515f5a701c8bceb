"""The study's contract, over every database: trials are started, reported, ended once, and never lost."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import optuna
import pytest
import sqlalchemy
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

import automl.study.past
from automl.errors import StorageError, StudyMismatch
from automl.records import State, Trial
from automl.study import Study, open_study, past_studies, readable_url, study_in_memory
from tests.postgres import empty_database

SPACE = {
    "learning_rate": FloatDistribution(1e-5, 1e-3, log=True),
    "num_train_epochs": IntDistribution(1, 9),
    "augmentation": CategoricalDistribution(["none", "random_edits"]),
}
PARAMS = {"learning_rate": 2e-4, "num_train_epochs": 3, "augmentation": "none"}
IDENTITY = {"task": "aaaa", "model": "bbbb", "search space": "cccc"}


class Opener:
    """Opens studies of one database, as many processes would, and closes them when the test is over."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.stack = contextlib.ExitStack()

    def __call__(self, name: str = "s", identity: Mapping[str, str] = IDENTITY) -> Study:
        return self.stack.enter_context(open_study(self.url, name, identity))


def start(study: Study, facts: Mapping[str, Any] | None = None, **params: Any) -> Trial:
    return study.start({**PARAMS, **params}, SPACE, facts or {})


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.integration)])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opener]:
    opener = Opener(f"sqlite:///{tmp_path / 'studies.db'}" if request.param == "sqlite" else empty_database())
    with opener.stack:
        yield opener


def test_a_trial_is_recorded_whole(opened: Opener) -> None:
    study = opened()
    trial = start(study, {"seed": 3})
    assert (trial.state, trial.params, trial.facts) == (State.RUNNING, PARAMS, {"seed": 3})
    for step, value in ((1, 0.5), (2, 0.75)):
        study.report(trial.number, step, value)
    study.end(trial.number, State.COMPLETE, 0.75, {"checkpoint": "here", "seconds": 1.5})
    (again,) = opened().trials()
    assert again.state is State.COMPLETE
    assert again.value == 0.75
    assert again.params == PARAMS
    assert again.intermediate == {1: 0.5, 2: 0.75}
    assert again.facts == {"seed": 3, "checkpoint": "here", "seconds": 1.5}


def test_a_pruned_trial_keeps_its_values_and_a_failed_one_its_text(opened: Opener) -> None:
    study = opened()
    pruned, failed = start(study), start(study)
    study.report(pruned.number, 1, 0.4)
    study.report(pruned.number, 2, 0.3)
    study.end(pruned.number, State.PRUNED, None, {})
    study.end(failed.number, State.FAIL, None, {"error": "loss is nan"})
    first, second = opened().trials()
    assert (first.state, first.intermediate) == (State.PRUNED, {1: 0.4, 2: 0.3})
    assert (second.state, second.value, second.facts) == (State.FAIL, None, {"error": "loss is nan"})


def test_what_a_dead_search_left_running_runs_again_under_its_number_params_and_facts(opened: Opener) -> None:
    before = opened()
    done = start(before)
    before.end(done.number, State.COMPLETE, 0.5, {})
    lost = start(before, {"seed": 1}, learning_rate=1e-4)
    before.report(lost.number, 1, 0.9)

    after = opened()
    assert after.recover() == [lost.number]
    again = after.again()
    assert again is not None
    assert (again.number, again.params, again.facts) == (lost.number, lost.params, {"seed": 1})
    after.report(again.number, 1, 0.4)
    after.end(again.number, State.COMPLETE, 0.4, {})
    assert after.again() is None
    assert start(after).number == lost.number + 1
    assert [trial.state for trial in after.trials()] == [State.COMPLETE, State.COMPLETE, State.RUNNING]
    assert after.trials()[lost.number].intermediate == {1: 0.4}


def test_a_released_trial_waits_until_it_is_asked_for_again(opened: Opener) -> None:
    study = opened()
    first, second = start(study, learning_rate=1e-4), start(study)
    assert study.again() is None
    study.release(first.number)
    assert [trial.state for trial in study.trials()] == [State.WAITING, State.RUNNING]
    again = study.again()
    assert again is not None
    assert (again.number, again.params, again.state) == (first.number, first.params, State.RUNNING)
    assert study.recover() == []  # nothing is stuck: both are this process's own
    study.end(second.number, State.COMPLETE, 0.1, {})


def test_trials_that_wait_come_back_in_their_order(opened: Opener) -> None:
    study = opened()
    numbers = [start(study, learning_rate=rate).number for rate in (1e-4, 2e-4, 3e-4)]
    for number in reversed(numbers):
        study.release(number)
    found = [study.again() for _ in range(4)]
    assert [trial.number if trial else None for trial in found] == [*numbers, None]
    assert [trial.params["learning_rate"] for trial in found if trial] == [1e-4, 2e-4, 3e-4]


def test_a_study_in_memory_does_the_same() -> None:
    with study_in_memory("s") as study:
        first, second = start(study, {"seed": 1}), start(study)
        study.report(first.number, 1, 0.5)
        study.end(second.number, State.PRUNED, None, {"seconds": 2.0})
        study.release(first.number)
        again = study.again()
        assert again is not None
        assert (again.number, again.params, again.facts, again.intermediate) == (0, PARAMS, {"seed": 1}, {1: 0.5})
        study.end(0, State.COMPLETE, 0.75, {})
        assert [(trial.state, trial.value) for trial in study.trials()] == [
            (State.COMPLETE, 0.75),
            (State.PRUNED, None),
        ]
        assert study.trial(1).facts == {"seconds": 2.0}
        assert study.again() is None


def test_a_trial_is_started_in_one_write(opened: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    # A process that is killed between any two writes leaves nothing at all, or a trial that can be run as it was meant.
    def killed(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    study = opened()
    monkeypatch.setattr(optuna.storages.RDBStorage, "set_trial_state_values", killed)
    with pytest.raises(KeyboardInterrupt):
        start(study, {"seed": 3, "stage": "search"})
    monkeypatch.undo()
    after = opened()
    assert [trial.state for trial in after.trials()] == [State.WAITING]
    again = after.again()
    assert again is not None
    assert (again.number, again.params, again.facts) == (0, PARAMS, {"seed": 3, "stage": "search"})


def test_equal_params_may_be_trained_again(opened: Opener) -> None:
    study = opened()
    first, second = start(study, {"fold": 0}), start(study, {"fold": 1})
    assert (first.number, second.number) == (0, 1)
    assert [trial.facts for trial in study.trials()] == [{"fold": 0}, {"fold": 1}]


def test_another_task_model_or_space_under_the_same_name_is_refused_with_both_fingerprints(opened: Opener) -> None:
    opened()
    with pytest.raises(
        StudyMismatch, match=r"'s' was made from another model: it has \"bbbb\", this command has \"dddd\""
    ):
        opened("s", {**IDENTITY, "model": "dddd"})
    opened("other", {**IDENTITY, "model": "dddd"})


def test_facts_of_the_study_are_there_for_the_next_process(opened: Opener) -> None:
    opened().record("answers 3", {"answers": "here", "committee": [1, 3]})
    assert opened().facts["answers 3"] == {"answers": "here", "committee": [1, 3]}


def test_values_at_a_step_are_there_whatever_became_of_the_trial(opened: Opener) -> None:
    study = opened()
    first, second, third = (start(study).number for _ in range(3))
    for number, value in ((first, 0.9), (second, 0.8), (third, 0.7)):
        study.report(number, 1, value)
    study.report(first, 2, 0.95)
    study.end(second, State.PRUNED, None, {})
    assert [trial.intermediate for trial in opened().trials()] == [{1: 0.9, 2: 0.95}, {1: 0.8}, {1: 0.7}]


def test_a_failed_trial_ends_only_once(opened: Opener) -> None:
    study = opened()
    trial = start(study)
    study.end(trial.number, State.FAIL, None, {})
    with pytest.raises(KeyError):
        study.end(trial.number, State.COMPLETE, 1.0, {})
    assert study.trials()[0].state is State.FAIL


def test_what_searches_left_is_there_to_read_the_newest_first(opened: Opener) -> None:
    for name, rate in (("first", 1e-4), ("second", 2e-4)):
        study = opened(name)
        study.record("kind", name)
        trial = start(study, {"seed": 3}, learning_rate=rate)
        study.report(trial.number, 1, 0.5)
        study.end(trial.number, State.COMPLETE, 0.5, {"loss": 0.1})
    opened("empty")
    with past_studies(opened.url) as found:
        assert [one.name for one in found] == ["empty", "second", "first"]
        assert [one.facts.get("kind") for one in found] == [None, "second", "first"]
        assert [one.trials() for one in found] == [[], opened("second").trials(), opened("first").trials()]


def test_studies_of_other_tools_are_passed_over(opened: Opener) -> None:
    opened("ours")
    plain = optuna.create_study(storage=optuna.storages.RDBStorage(opened.url), study_name="theirs")
    plain.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=2)
    optuna.create_study(storage=plain._storage, study_name="of two", directions=["minimize", "maximize"])
    with past_studies(opened.url) as found:
        assert [one.name for one in found] == ["ours"]
    plain._storage.remove_session()
    plain._storage._backend.engine.dispose()


def test_reading_what_is_being_written_disturbs_nobody(opened: Opener) -> None:
    writer = opened()
    done, running = start(writer), start(writer)
    writer.end(done.number, State.COMPLETE, 0.5, {})
    writer.report(running.number, 1, 0.4)
    with past_studies(opened.url) as (found,):
        before = found.trials()
        assert [trial.state for trial in before] == [State.COMPLETE, State.RUNNING]
        writer.report(running.number, 2, 0.6)
        writer.end(running.number, State.COMPLETE, 0.6, {})
        assert [trial.state for trial in found.trials()] == [State.COMPLETE, State.COMPLETE]


def test_a_study_that_is_deleted_meanwhile_has_no_trials(opened: Opener) -> None:
    start(opened())
    with past_studies(opened.url) as (found,):
        optuna.delete_study(study_name="s", storage=opened()._storage)
        assert found.trials() == []


def test_reading_makes_no_database(opened: Opener, tmp_path: Path) -> None:
    with past_studies(opened.url) as found:
        assert found == []
    engine = sqlalchemy.create_engine(opened.url)
    assert not list(tmp_path.iterdir())
    assert sqlalchemy.inspect(engine).get_table_names() == []
    engine.dispose()


def test_who_reads_cannot_write(opened: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    start(opened())
    made: list[optuna.storages.RDBStorage] = []
    opens = automl.study.past.open_to_read

    def noted(url: str) -> optuna.storages.RDBStorage | None:
        made.extend(filter(None, [opens(url)]))
        return made[-1]

    monkeypatch.setattr(automl.study.past, "open_to_read", noted)
    with past_studies(opened.url) as found:
        assert len(found) == 1
        with pytest.raises((optuna.exceptions.StorageInternalError, sqlalchemy.exc.SQLAlchemyError)):
            made[0].set_study_user_attr(made[0].get_study_id_from_name("s"), "name", "value")
    assert opened().facts == {"identity": IDENTITY}


@pytest.mark.parametrize("name", ["a b.db", "100%.db", "what#.db"])
def test_a_file_of_any_name_is_read(tmp_path: Path, name: str) -> None:
    url = sqlalchemy.URL.create("sqlite", database=str(tmp_path / name)).render_as_string()
    with open_study(url, "s", IDENTITY), past_studies(url) as found:
        assert [one.name for one in found] == ["s"]


@pytest.mark.parametrize(
    "bad",
    [
        "nonsense",
        "sqlite:////no/such/folder/s.db",
        "postgresql+psycopg://u:secret@127.0.0.1:1/x",
        "mysql://u:secret@h/x",
    ],
)
def test_a_database_that_cannot_be_opened_is_one_line_without_the_password(bad: str) -> None:
    def read() -> None:
        with past_studies(bad):
            pass

    for opens in (lambda: open_study(bad, "s", IDENTITY), read):
        if opens is read and bad.startswith("sqlite"):
            continue  # a file that is not there holds no studies
        with pytest.raises(StorageError) as error:
            opens()
        assert "\n" not in str(error.value)
        assert "secret" not in str(error.value)
        assert "cannot be opened" in str(error.value)


def test_a_database_that_breaks_in_the_middle_is_one_line_that_says_how_to_go_on(tmp_path: Path) -> None:
    path = tmp_path / "s.db"

    def search() -> None:
        with open_study(f"sqlite:///{path}", "s", IDENTITY) as study:
            start(study)
            path.write_bytes(b"overwritten by something else" * 1000)
            start(study)

    with pytest.raises(StorageError, match=r"database stopped answering: .*the same command goes on") as error:
        search()
    assert "\n" not in str(error.value)


def test_a_file_that_is_no_database_is_refused_and_left_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "notes.db"
    path.write_text("not a database, " * 100)
    with pytest.raises(StorageError, match="cannot be opened"):
        open_study(f"sqlite:///{path}", "s", IDENTITY)
    assert path.read_text() == "not a database, " * 100


def test_the_database_is_an_ordinary_one_of_optuna(tmp_path: Path) -> None:
    with open_study(f"sqlite:///{tmp_path / 's.db'}", "s", IDENTITY) as study:
        study.end(start(study).number, State.COMPLETE, 0.5, {})
    read_only = f"sqlite:///file:{tmp_path / 's.db'}?mode=ro&uri=true"
    storage = optuna.storages.RDBStorage(read_only)
    assert optuna.load_study(study_name="s", storage=storage).best_value == 0.5
    storage.engine.dispose()


def test_a_url_is_shown_without_its_password() -> None:
    assert readable_url("postgresql://me:secret@host/db") == "postgresql://me:***@host/db"
    assert "secret" not in readable_url("not a url secret://x:secret@@")
