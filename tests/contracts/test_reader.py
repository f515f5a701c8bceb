"""Who watches sees what was recorded, over every database: all of it, at once, and without a trace."""

from __future__ import annotations

import contextlib
import random
import socket
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest
import sqlalchemy

from automl.errors import StorageError, UsageError
from automl.records import State
from automl.study import Reader, Study, open_study, readable_url
from automl.study.door import leave_note, note_of, request_stop
from automl.study.heart import ALIVE, STOP
from tests.contracts.conftest import IDENTITY, PARAMS, SPACE, Opener, start
from tests.postgres import empty_database

ROOT = Path(__file__).parents[2]


@pytest.fixture
def reader(opened: Opener) -> Iterator[Reader]:
    with contextlib.closing(Reader(opened.url)) as reader:
        yield reader


def test_a_reader_sees_every_trial_as_the_search_does(opened: Opener, reader: Reader) -> None:
    study = opened()
    complete, pruned, failed, waiting, running = (start(study, {"seed": n}) for n in range(5))
    for trial, step, value in ((complete, 1, 0.5), (complete, 2, 0.75), (pruned, 1, 0.25), (running, 1, 0.125)):
        study.report(trial.number, step, value)
    study.end(complete.number, State.COMPLETE, 0.75, {"loss": 0.5, "versions": {"automl": "1"}})
    study.end(pruned.number, State.PRUNED, None, {})
    study.end(failed.number, State.FAIL, None, {"error": "broke"})
    study.release(waiting.number)
    study.record("task", "t")
    found = reader.study("s")
    assert found is not None
    assert (found.name, found.facts, found.maximize) == ("s", {"identity": IDENTITY, "task": "t"}, True)
    assert found.trials == opened().trials()
    assert [trial.state.value for trial in found.trials] == ["COMPLETE", "PRUNED", "FAIL", "WAITING", "RUNNING"]
    assert found.distributions == SPACE


def test_whatever_happens_between_two_looks_the_second_is_as_a_first_one(opened: Opener, reader: Reader) -> None:
    study, rng = opened(), random.Random(7)
    running: list[int] = []
    for _ in range(60):
        what = rng.choice(["start", "report", "end", "release", "again", "look"])
        if what == "start":
            running.append(start(study, {"seed": len(running)}).number)
        elif what == "again" and (trial := study.again()):
            running.append(trial.number)
        elif what == "look":
            assert (seen := reader.study("s")) is not None
            assert seen.trials == opened().trials()
        elif running:
            number = running[rng.randrange(len(running))]
            if what == "report":
                study.report(number, rng.randrange(1, 9), rng.random())
                continue
            running.remove(number)
            if what == "release":
                study.release(number)
            else:
                study.end(number, State.COMPLETE, rng.random(), {"loss": 0.1})
    assert (last := reader.study("s")) is not None
    assert last.trials == opened().trials()


def test_what_has_ended_is_not_read_again(opened: Opener, reader: Reader) -> None:
    study = opened()
    ended, running = start(study), start(study)
    study.report(ended.number, 1, 0.5)
    study.end(ended.number, State.COMPLETE, 0.5, {})
    assert (first := reader.study("s")) is not None
    engine = sqlalchemy.create_engine(opened.url)
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text("DELETE FROM trial_intermediate_values"))
    engine.dispose()
    study.report(running.number, 1, 0.25)
    assert (second := reader.study("s")) is not None
    assert second.trials[0] is first.trials[0]
    assert [trial.intermediate for trial in second.trials] == [{1: 0.5}, {1: 0.25}]


def test_two_looks_between_which_nothing_changed_give_one_and_the_same(opened: Opener, reader: Reader) -> None:
    study = opened()
    trial = start(study)
    first = reader.study("s")
    assert reader.study("s") is first
    study.report(trial.number, 1, 0.5)
    second = reader.study("s")
    assert second is not first
    study.record("task", "t")
    third = reader.study("s")
    assert third is not second
    assert reader.study("s") is third


def test_a_sign_of_life_makes_no_other_record_but_is_told(opened: Opener, reader: Reader) -> None:
    study = opened()
    start(study)
    study.record(ALIVE, {"at": "2026-01-01T00:00:00+00:00"})
    assert (first := reader.study("s")) is not None
    study.record(ALIVE, {"at": "2026-01-01T00:00:05+00:00"})
    assert (second := reader.study("s")) is not None
    assert (second, hash(second)) == (first, hash(first)), "what was computed of one holds for the other"
    assert second.facts[ALIVE]["at"].endswith("05+00:00")
    study.record("task", "t")
    assert reader.study("s") != second


def test_studies_are_listed_the_newest_first_with_what_is_in_them(opened: Opener, reader: Reader) -> None:
    for name, values in (("first", (0.25, 0.5)), ("second", (0.125,))):
        study = opened(name)
        study.record("kind", name)
        for value in values:
            study.end(start(study).number, State.COMPLETE, value, {})
        start(study)
    opened("empty")
    found = reader.studies()
    assert [one.name for one in found] == ["empty", "second", "first"]
    assert [one.facts.get("kind") for one in found] == [None, "second", "first"]
    assert [one.best for one in found] == [None, 0.125, 0.5]
    assert [dict(one.trials) for one in found] == [
        {},
        {State.COMPLETE: 1, State.RUNNING: 1},
        {State.COMPLETE: 2, State.RUNNING: 1},
    ]
    assert all(one.began is None or one.last is None or one.began <= one.last for one in found)
    assert all(one.is_search for one in found)
    assert reader.study("no such study") is None


def test_a_study_of_another_tool_is_read_too(opened: Opener, reader: Reader) -> None:
    opened("ours")
    plain = optuna.create_study(storage=optuna.storages.RDBStorage(opened.url), study_name="theirs")
    plain.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=3)
    plain.add_trial(optuna.trial.create_trial(state=optuna.trial.TrialState.COMPLETE, value=float("inf")))
    theirs, ours = reader.studies()
    assert (theirs.is_search, ours.is_search) == (False, True)
    assert theirs.best == min(trial.values[0] for trial in plain.trials)
    found = reader.study("theirs")
    assert found is not None
    assert not found.maximize
    assert [trial.value for trial in found.trials] == [trial.values[0] for trial in plain.trials]
    plain._storage.remove_session()
    plain._storage._backend.engine.dispose()


def test_a_study_that_is_deleted_meanwhile_is_gone(opened: Opener, reader: Reader) -> None:
    start(opened())
    assert reader.study("s") is not None
    optuna.delete_study(study_name="s", storage=opened()._storage)
    assert reader.study("s") is None
    assert reader.studies() == []


def test_a_study_that_is_made_anew_is_another(opened: Opener, reader: Reader) -> None:
    """A database may give it the number of the one that is gone, and its trials theirs."""
    for _ in range(3):
        end_with(opened(), 0.25)
    assert len(reader.study("s").trials) == 3  # type: ignore[union-attr]
    storage = opened()._storage
    optuna.delete_study(study_name="s", storage=storage)
    end_with(opened(), 0.75)
    found = reader.study("s")
    assert found is not None
    assert [trial.value for trial in found.trials] == [0.75]


def end_with(study: Study, value: float) -> None:
    study.end(start(study).number, State.COMPLETE, value, {"loss": value})


def test_a_trial_that_ends_while_one_looks_is_seen_whole_in_the_next_look(opened: Opener, reader: Reader) -> None:
    if opened.url.startswith("sqlite"):
        pytest.skip("who writes waits there until who reads is done")
    study = opened()
    trial = start(study)
    assert reader.study("s") is not None
    ended: list[str] = []

    def between(connection: object, cursor: object, statement: str, *rest: object) -> None:
        if "trial_intermediate_values" in statement and not ended:  # values have been asked for just before
            ended.append(statement)
            study.end(trial.number, State.COMPLETE, 0.5, {"loss": 0.25})

    assert reader._storage is not None
    study.report(trial.number, 1, 0.5)
    sqlalchemy.event.listen(reader._storage.engine, "before_cursor_execute", between)
    reader.study("s")
    assert ended
    found = reader.study("s")
    assert found is not None
    (seen,) = found.trials
    assert (seen.state, seen.value, seen.facts.get("loss")) == (State.COMPLETE, 0.5, 0.25)


def test_ranges_that_another_tool_changed_from_trial_to_trial_are_all_held(opened: Opener, reader: Reader) -> None:
    opened("ours")
    plain = optuna.create_study(storage=optuna.storages.RDBStorage(opened.url), study_name="theirs")
    for high in (1.0, 10.0, 2.0):
        plain.optimize(lambda trial, high=high: trial.suggest_float("x", high / 2, high), n_trials=1)
    found = reader.study("theirs")
    assert found is not None
    assert found.distributions["x"] == optuna.distributions.FloatDistribution(0.5, 10.0)
    plain._storage.remove_session()
    plain._storage._backend.engine.dispose()


def test_reading_makes_no_database_and_finds_one_that_is_made_later(
    opened: Opener, reader: Reader, tmp_path: Path
) -> None:
    assert reader.studies() == []
    assert reader.study("s") is None
    engine = sqlalchemy.create_engine(opened.url)
    assert not list(tmp_path.iterdir())
    assert sqlalchemy.inspect(engine).get_table_names() == []
    engine.dispose()
    opened()
    assert [one.name for one in reader.studies()] == ["s"]


def test_who_reads_cannot_write(opened: Opener, reader: Reader) -> None:
    start(opened())
    reader.studies()
    storage = reader._storage
    assert storage is not None
    with pytest.raises((optuna.exceptions.StorageInternalError, sqlalchemy.exc.SQLAlchemyError)):
        storage.set_study_user_attr(storage.get_study_id_from_name("s"), "name", "value")
    assert opened().facts == {"identity": IDENTITY}


def test_the_bytes_of_a_file_stay_the_same(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    with open_study(f"sqlite:///{path}", "s", IDENTITY) as study:
        study.end(start(study).number, State.COMPLETE, 0.5, {})
    before = path.read_bytes()
    with contextlib.closing(Reader(f"sqlite:///{path}")) as reader:
        assert reader.studies()
        assert reader.study("s") is not None
    assert path.read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == ["s.db"]


@pytest.mark.parametrize("name", ["a b.db", "100%.db", "what#.db"])
def test_a_file_of_any_name_is_read(tmp_path: Path, name: str) -> None:
    url = sqlalchemy.URL.create("sqlite", database=str(tmp_path / name)).render_as_string()
    with open_study(url, "s", IDENTITY), contextlib.closing(Reader(url)) as reader:
        assert [one.name for one in reader.studies()] == ["s"]


def test_a_database_that_breaks_is_told_of_and_read_again_when_it_is_mended(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    with open_study(f"sqlite:///{path}", "s", IDENTITY) as study:
        start(study)
    whole = path.read_bytes()
    with contextlib.closing(Reader(f"sqlite:///{path}")) as reader:
        assert reader.studies()
        path.write_bytes(b"overwritten by something else" * 1000)
        with pytest.raises(StorageError, match=r"s\.db (does not answer|cannot be opened)") as error:
            reader.study("s")
        assert "\n" not in str(error.value)
        path.write_bytes(whole)
        assert reader.study("s") is not None


def test_a_locked_database_is_told_of_while_one_still_looks(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    with open_study(f"sqlite:///{path}", "s", IDENTITY) as study:
        start(study)
    with contextlib.closing(Reader(f"sqlite:///{path}")) as reader, contextlib.closing(sqlite3.connect(path)) as other:
        assert reader.studies()
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StorageError, match="locked"):
            reader.study("s")
        other.rollback()
        assert reader.study("s") is not None


def test_a_file_that_is_removed_or_replaced_while_one_looks_is_another_database(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    with contextlib.closing(Reader(f"sqlite:///{path}")) as reader:
        for rate in (1e-4, 2e-4):  # the ids of the second are those of the first
            with open_study(f"sqlite:///{path}", "s", IDENTITY) as study:
                study.end(start(study, learning_rate=rate).number, State.COMPLETE, rate, {})
            assert (found := reader.study("s")) is not None
            assert [trial.value for trial in found.trials] == [rate]
            path.rename(tmp_path / f"away {rate}")
            assert reader.study("s") is None
            assert reader.studies() == []


def test_a_trial_of_a_later_version_is_told_of(opened: Opener, reader: Reader) -> None:
    start(opened())
    engine = sqlalchemy.create_engine(opened.url)
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text("UPDATE trial_params SET distribution_json = '{}'"))
    engine.dispose()
    with pytest.raises(StorageError, match="does not know"):
        reader.study("s")


def test_notes_and_the_wish_to_stop_are_kept_and_nothing_else_is_changed(opened: Opener) -> None:
    trial = start(opened(), {"seed": 1})
    leave_note(opened.url, "s", "  promising\n")
    leave_note(opened.url, "s", "too slow", trial.number)
    request_stop(opened.url, "s")
    facts = opened().facts
    assert (note_of(facts), note_of(facts, trial.number), note_of(facts, 99)) == ("promising", "too slow", "")
    assert facts[STOP]
    assert opened().trials() == [trial]
    leave_note(opened.url, "s", "")
    assert note_of(opened().facts) == ""
    with pytest.raises(UsageError, match="no study 'other'"):
        leave_note(opened.url, "other", "text")
    with pytest.raises(UsageError, match="10001 characters"):
        leave_note(opened.url, "s", "x" * 10_001)


def test_a_note_makes_no_database(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no study database"):
        leave_note(f"sqlite:///{tmp_path / 's.db'}", "s", "text")
    assert not list(tmp_path.iterdir())


def test_params_are_those_that_were_chosen(opened: Opener, reader: Reader) -> None:
    start(opened())
    assert (found := reader.study("s")) is not None
    assert found.trials[0].params == PARAMS
    assert ALIVE not in found.facts


@pytest.mark.integration
def test_a_role_that_may_only_read_is_enough_to_watch_and_leaves_no_note() -> None:
    url = empty_database()
    with open_study(url, "s", IDENTITY) as study:
        start(study)
    statements = (ROOT / "docker" / "reading-role.sh").read_text().split("<<'SQL'\n")[1].split("SQL")[0]
    owner = sqlalchemy.create_engine(url, isolation_level="AUTOCOMMIT")
    with owner.connect() as connection:
        for statement in statements.replace(":'password'", "'secret'").split(";")[:-1]:
            connection.execute(sqlalchemy.text(statement))
    watching = url.replace("postgres@", "reader:secret@")
    with contextlib.closing(Reader(watching)) as reader:
        assert [one.name for one in reader.studies()] == ["s"]
        assert (found := reader.study("s")) is not None
        assert len(found.trials) == 1
    with pytest.raises(StorageError, match=r"cannot be written to: .*read-only") as error:
        leave_note(watching, "s", "text")
    assert "secret" not in str(error.value)
    with owner.connect() as connection:
        connection.execute(sqlalchemy.text("DROP ROLE reader"))
    owner.dispose()


def test_a_server_that_does_not_answer_is_given_up_after_some_seconds() -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        url = f"postgresql+psycopg://me:secret@127.0.0.1:{deaf.getsockname()[1]}/studies"
        began = time.monotonic()
        with pytest.raises(StorageError, match="cannot be opened") as caught:
            Reader(url).studies()
    assert time.monotonic() - began < 30, "not for ever; alone it takes 5 s"
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("url", ["sqlite:///file:{}?uri=true", "sqlite:///file:{}?mode=rwc&uri=true"])
def test_a_file_is_opened_read_only_however_it_is_named(tmp_path: Path, url: str) -> None:
    path = tmp_path / "studies.db"
    assert Reader(url.format(path)).studies() == []
    assert not path.exists()
    with open_study(f"sqlite:///{path}", "s", IDENTITY) as study:
        start(study)
    reader = Reader(url.format(path))
    assert [one.name for one in reader.studies()] == ["s"]
    assert reader._storage is not None
    with (
        reader._storage.engine.connect() as connection,
        pytest.raises(sqlalchemy.exc.OperationalError, match="readonly"),
    ):
        connection.execute(sqlalchemy.text("DELETE FROM trials"))
    reader.close()


@pytest.mark.parametrize(
    "url", ["postgresql+psycopg://me:secret@host/db", "postgresql+psycopg://me@host/db?password=secret"]
)
def test_a_password_is_nowhere_told(url: str) -> None:
    assert "secret" not in readable_url(url)
    assert readable_url("sqlite:///runs/studies.db") == "sqlite:///runs/studies.db"
