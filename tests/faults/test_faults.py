"""Real faults: killed drivers and workers, Ctrl-C, a loss that is no number. No trial is lost, doubled or stuck."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from automl.study.door import request_stop
from tests.integration.conftest import Workplace, make_workplace, place_of

pytestmark = [pytest.mark.integration, pytest.mark.slow]

# Trials of some seconds, so that a fault finds one running.
LONG = """\
name: long
params:
  learning_rate: {type: float, low: 1.0e-3, high: 6.0e-3, log: true, default: 2.0e-3}
  num_train_epochs: 30
  per_device_train_batch_size: 8
"""


@pytest.fixture
def place(tmp_path: Path) -> Workplace:
    return make_workplace(tmp_path, space=LONG)


def until(process: subprocess.Popen[str], event: str, count: int = 1) -> Iterator[dict[str, Any]]:
    """Read events until `count` of one name have come."""
    assert process.stdout is not None
    for line in process.stdout:
        found = json.loads(line)
        if found["event"] == event:
            count -= 1
            yield found
        if count == 0:
            return
    pytest.fail(f"the search ended before: {process.stderr.read() if process.stderr else ''}")


def completed(process: subprocess.Popen[str]) -> None:
    """Read events until a trial was trained to its end."""
    next(event for event in until(process, "trial_ended", 10) if event["state"] == "COMPLETE")


def ended_whole(trials: list[Any]) -> None:
    """Every trial has ended well, none is missing, and none was made twice."""
    assert [trial.number for trial in trials] == list(range(len(trials)))
    assert {trial.state.name for trial in trials} <= {"COMPLETE", "PRUNED"}
    assert len({place_of(trial) for trial in trials}) == len(trials)
    tried = [str(trial.params) for trial in trials if trial.user_attrs["stage"] == "search"]
    assert len(set(tried)) == len(tried)


def finish(process: subprocess.Popen[str]) -> str:
    _, errors = process.communicate(timeout=120)
    return errors


def ray_processes_of(driver: int) -> set[int]:
    """What holds memory and cores: workers, raylet, control store. (Ray's two small agents leave a minute later.)"""
    listed = subprocess.run(["ps", "-wweo", "pid,ppid,args"], capture_output=True, text=True, check=True).stdout
    rows = [line.split(maxsplit=2) for line in listed.splitlines()[1:]]
    family, size = {str(driver)}, 0
    while len(family) > size:
        size = len(family)
        family |= {pid for pid, parent, *_ in rows if parent in family}
    names = ("ray::ResourceTrainable", "raylet/raylet", "gcs_server")
    return {int(pid) for pid, _, *args in rows if pid in family and any(name in " ".join(args) for name in names)}


def test_after_a_killed_driver_the_same_command_goes_on(place: Workplace) -> None:
    process = place.start(budget=5)
    ended = list(until(process, "trial_ended", 2))
    list(until(process, "trial_reported"))
    process.kill()
    finish(process)
    states = [trial.state.name for trial in place.trials()]
    assert "RUNNING" in states
    cut = [trial.number for trial in place.trials() if trial.state.name == "RUNNING"]

    run = place.run(budget=5)
    assert run.code == 0, run.errors
    (started,) = run.of("study_started")
    assert started["resumed"] == len(cut)
    assert started["done"] == len(states) - len(cut)
    assert {event["number"] for event in run.of("trial_started")} >= set(cut)
    trials = place.trials()
    ended_whole(trials)
    for event in ended:
        assert trials[event["number"]].value == event["value"]
    assert sum(run.result["trials"].values()) == len(trials) == 5


def test_a_driver_killed_in_the_race_goes_on_with_it(place: Workplace) -> None:
    process = place.start(budget=5)
    for event in until(process, "trial_reported", 1000):
        if place.trials()[event["number"]].user_attrs["stage"] == "race":
            break
    process.kill()
    finish(process)
    before = place.trials()
    cut = [trial.number for trial in before if trial.state.name == "RUNNING"]
    assert cut

    run = place.run(budget=5)
    assert run.code == 0, run.errors
    assert [event["number"] for event in run.of("trial_started")][: len(cut)] == cut
    trials = place.trials()
    ended_whole(trials)
    for old, new in zip(before, trials, strict=False):
        assert (new.params, place_of(new)) == (old.params, place_of(old))
        if old.number not in cut:
            assert (new.value, new.datetime_complete) == (old.value, old.datetime_complete)
    assert any(trial.user_attrs["stage"] == "race" and trial.number in cut for trial in trials)


def test_a_driver_killed_in_the_last_steps_repeats_none_that_was_finished(place: Workplace) -> None:
    """The steps are, with one worker: the answers of the winner's two models, their student, its rehearsal."""
    process = place.start(budget=3, workers=1)
    list(until(process, "trial_ended", 2))
    while "student" not in last_steps(place):
        assert process.poll() is None, finish(process)
        time.sleep(0.02)
    process.kill()
    finish(process)
    finished = last_steps(place)
    trials = [(trial.number, trial.value, trial.datetime_complete) for trial in place.trials()]
    assert len(finished) == 3
    assert "rehearsal" not in finished

    run = place.run(budget=3, workers=1)
    assert run.code == 0, run.errors
    assert run.of("trial_started") == []
    assert [(trial.number, trial.value, trial.datetime_complete) for trial in place.trials()] == trials
    assert last_steps(place).keys() == {*finished, "rehearsal"}
    assert last_steps(place).items() >= finished.items()
    assert run.result["shipped"].startswith("a plain model that learned from the winner's 2 models")
    assert run.result["test_reads"] == 1


def last_steps(place: Workplace) -> dict[str, tuple[str, int]]:
    """Each last step that is recorded, with the hash of what it wrote and when that was written."""
    found = {}
    for name, fact in place.facts().items():
        if name.startswith("answers "):
            found[name] = fact["answers_sha256"], Path(fact["answers"]).stat().st_mtime_ns
        elif name in ("student", "rehearsal"):
            found[name] = fact["checkpoint_sha256"], Path(fact["checkpoint"]).stat().st_mtime_ns
    return found


def test_a_killed_worker_costs_no_trial(place: Workplace) -> None:
    process = place.start(budget=3)
    list(until(process, "trial_reported", 2))
    victims = {trial.user_attrs.get("worker") for trial in place.trials()}
    listed = subprocess.run(["ps", "-eo", "pid,args"], capture_output=True, text=True, check=True).stdout
    actors = [int(line.split()[0]) for line in listed.splitlines() if "ray::" in line and "Trainable" in line]
    assert actors, listed
    os.kill(actors[0], signal.SIGKILL)
    output, errors = process.communicate(timeout=180)
    assert process.returncode == 0, errors
    trials = place.trials()
    ended_whole(trials)
    assert victims is not None
    result = json.loads(output.splitlines()[-1])
    assert sum(result["trials"].values()) == len(trials) == 3


def test_the_first_interrupt_exports_what_there_is_and_the_same_command_goes_on(place: Workplace) -> None:
    process = place.start(budget=6)
    for event in until(process, "trial_ended", 6):
        if event["state"] == "COMPLETE":
            break
    process.send_signal(signal.SIGINT)
    asked = time.monotonic()
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert time.monotonic() - asked < 30
    assert errors == ""
    result = json.loads(output.splitlines()[-1])
    assert result["interrupted"] is True
    assert (place.folder / result["model_dir"] / "model.safetensors").exists()
    states = [trial.state.name for trial in place.trials()]
    assert "RUNNING" not in states
    assert "WAITING" in states
    assert sum(result["trials"].values()) == len(states) - states.count("WAITING")

    run = place.run(budget=6)
    assert run.code == 0, run.errors
    ended_whole(place.trials())
    assert len(place.trials()) >= len(states)


def test_a_stop_that_is_asked_for_from_elsewhere_exports_what_there_is(place: Workplace) -> None:
    process = place.start(budget=50, study_name="asked")
    completed(process)
    request_stop(f"sqlite:///{place.folder}/runs/studies.db", "asked")
    output, errors = process.communicate(timeout=120)
    assert (process.returncode, errors) == (130, "")
    result = json.loads(output.splitlines()[-1])
    assert result["interrupted"]
    assert sum(result["trials"].values()) < 50
    assert (place.folder / result["model_dir"] / "model.safetensors").exists()
    facts = place.facts()
    assert facts["result"]["interrupted"]
    assert facts["alive"] is None
    again = place.run(budget=sum(result["trials"].values()) + 2, study_name="asked")
    assert again.code == 0
    assert place.facts()["stop"] is None
    ended_whole(place.trials())


def test_an_interrupt_before_the_first_trial_ended_loses_nothing_and_a_second_one_aborts(place: Workplace) -> None:
    process = place.start(budget=6)
    list(until(process, "trial_reported"))
    process.send_signal(signal.SIGINT)
    errors = finish(process)
    assert process.returncode == 130
    assert "the same command goes on" in errors
    assert {trial.state.name for trial in place.trials()} == {"WAITING"}
    assert not (place.folder / "runs" / "model").exists()

    process = place.start(budget=6)
    list(until(process, "trial_reported"))
    process.send_signal(signal.SIGINT)
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    finish(process)
    assert process.returncode == 130
    assert "RUNNING" not in {trial.state.name for trial in place.trials()}

    run = place.run(budget=3)
    assert run.code == 0, run.errors
    trials = place.trials()
    ended_whole(trials)
    assert len(trials) == 3
    assert any(trial.user_attrs["resumed_step"] for trial in trials), "it went on from where it was interrupted"
    assert not list((place.folder / "runs").rglob(f"trial-{trials[0].number:05d}.state")), "of a trial that has ended"


def test_two_searches_of_one_study_do_not_mix(place: Workplace, tmp_path: Path) -> None:
    process = place.start(budget=3)
    list(until(process, "trial_started"))
    second = place.run(budget=3)
    assert second.code == 2
    assert "another process runs this study" in second.errors
    elsewhere = Workplace(tmp_path / "elsewhere")
    elsewhere.folder.mkdir()
    for name in ("rows.csv", "model", "space.yaml"):
        (elsewhere.folder / name).symlink_to(place.folder / name)
    (study,) = (path.name for path in (place.folder / "runs").iterdir() if path.is_dir())
    third = elsewhere.run(budget=3, study_name=study, storage=f"sqlite:///{place.folder}/runs/studies.db")
    assert third.code == 2
    assert f"process {process.pid} on" in third.errors
    assert "RUNNING" in [trial.state.name for trial in place.trials()], "nothing was taken from it"
    process.send_signal(signal.SIGINT)
    finish(process)


def test_a_loss_that_is_no_number_is_a_failed_trial_with_its_text(place: Workplace) -> None:
    from safetensors.numpy import load_file, save_file

    weights = place.folder / "model" / "model.safetensors"
    tensors = load_file(weights)
    tensors["encoder.layer.2.output.dense.weight"][:] = float("nan")
    save_file(tensors, weights, metadata={"format": "pt"})
    run = place.run(budget=20)
    assert run.code == 1
    assert run.errors.count("\n") == 1
    assert "no trial was completed" in run.errors
    assert "loss is nan" in run.errors
    trials = place.trials()
    assert {trial.state.name for trial in trials} == {"FAIL"}
    assert all("loss is nan" in trial.user_attrs["error"] for trial in trials)
    assert len(trials) < 10  # four broken trials and none that ever reported: the rest would break too


def test_a_time_limit_is_kept_and_exports_the_best(place: Workplace) -> None:
    began = time.monotonic()
    run = place.run(budget=500, time_limit=60)
    assert run.code == 0, run.errors
    assert time.monotonic() - began < 70
    states = [trial.state.name for trial in place.trials()]
    assert "RUNNING" not in states
    assert len(states) < 500


def alive(pid: int) -> bool:
    """Whether a process is there, and not only waits to be forgotten by its parent."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def listening(processes: Iterable[int]) -> set[str]:
    """Addresses (as the kernel writes them, in hexadecimal) on which the processes listen for TCP connections."""
    sockets = set()
    for pid in processes:
        for link in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                sockets.add(os.readlink(link))
    rows = [line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]]
    return {row[1].partition(":")[0] for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in sockets}


def test_ray_listens_on_this_machine_only_and_nothing_of_it_is_left_after_a_kill(place: Workplace) -> None:
    process = place.start(budget=5)
    list(until(process, "trial_reported"))
    ours = ray_processes_of(process.pid)
    assert len(ours) >= 3
    assert listening(ours)
    assert listening(ours) <= {"0100007F", "0000000000000000FFFF00000100007F"}  # 127.0.0.1, the second as IPv6
    process.kill()
    finish(process)
    for _ in range(60):
        if not any(alive(pid) for pid in ours):
            return
        time.sleep(0.5)
    pytest.fail("Ray's processes outlive a killed driver")
