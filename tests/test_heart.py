"""A search tells that it is at work, hears when it is to stop, and is known to be dead when it is."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from automl.errors import StorageError
from automl.study import open_study
from automl.study.door import request_stop
from automl.study.heart import ALIVE, SILENT_SECONDS, STOP, Heart, is_alive, now, require_alone

IDENTITY = {"task": "t"}


def test_it_beats_while_the_block_lasts_and_not_after(tmp_path: Path) -> None:
    with open_study(f"sqlite:///{tmp_path / 's.db'}", "s", IDENTITY) as study:
        with Heart(study, lambda: None, beat_seconds=0.01):
            first = study.facts[ALIVE]["at"]
            assert is_alive(study.facts, now())
            _until(lambda: study.facts[ALIVE]["at"] != first)
        assert study.facts[ALIVE] is None
        assert not is_alive(study.facts, now())


def test_one_that_was_killed_is_taken_for_dead_after_a_while() -> None:
    facts = {ALIVE: {"at": now().isoformat(), "host": "here", "process": 1}}
    assert is_alive(facts, now())
    assert not is_alive(facts, now() + timedelta(seconds=SILENT_SECONDS + 1))


def test_who_searches_elsewhere_is_not_disturbed_and_who_was_killed_is_not_waited_for() -> None:
    def beat(host: str, process: int) -> dict[str, Any]:
        return {ALIVE: {"at": now().isoformat(), "host": host, "process": process}}

    here, process = socket.gethostname(), subprocess.Popen(["sleep", "60"])
    with pytest.raises(StorageError, match=rf"s: process {process.pid} on .* searches it; wait for it"):
        require_alone(beat(here, process.pid), "s", now())
    with pytest.raises(StorageError, match=r"on another .*if it was killed: wait 30 s"):
        require_alone(beat("another", process.pid), "s", now())
    require_alone(beat("another", process.pid), "s", now() + timedelta(seconds=SILENT_SECONDS + 1))
    process.kill()
    process.wait()
    for facts in (beat(here, process.pid), beat(here, os.getpid()), {ALIVE: None}, {}):
        require_alone(facts, "s", now())


def test_a_stop_is_heard_once(tmp_path: Path) -> None:
    url, heard = f"sqlite:///{tmp_path / 's.db'}", threading.Semaphore(0)
    with open_study(url, "s", IDENTITY) as study, Heart(study, heard.release, beat_seconds=0.01):
        request_stop(url, "s")
        assert heard.acquire(timeout=10)
        assert not heard.acquire(timeout=0.2)


def test_a_stop_that_was_meant_for_an_earlier_run_is_forgotten(tmp_path: Path) -> None:
    url, heard = f"sqlite:///{tmp_path / 's.db'}", threading.Event()
    with open_study(url, "s", IDENTITY) as study:
        request_stop(url, "s")
        with Heart(study, heard.set, beat_seconds=0.01):
            assert study.facts[STOP] is None
            assert not heard.wait(0.2)


def test_a_database_that_is_away_stops_no_search(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    with (
        open_study(f"sqlite:///{path}", "s", IDENTITY) as study,
        Heart(study, lambda: None, beat_seconds=0.01) as heart,
    ):
        whole = path.read_bytes()
        path.write_bytes(b"something else" * 1000)
        time.sleep(0.2)
        path.write_bytes(whole)
        assert heart._thread.is_alive()


def _until(holds: object) -> None:
    assert callable(holds)
    ends = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < ends
        time.sleep(0.01)
