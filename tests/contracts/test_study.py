"""The study's contract, over every database: trials are started, reported, ended once, and never lost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import optuna
import pytest

from automl.errors import StorageError, StudyMismatch
from automl.records import State
from automl.study import Reader, open_study, readable_url, study_in_memory
from tests.contracts.conftest import IDENTITY, PARAMS, Opener, start


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
        Reader(bad).studies()

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
