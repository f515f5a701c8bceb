"""Workers that wait are there when something comes, and one that dies costs no trial."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from automl.prepare import Request, prepare
from automl.study import study_in_memory
from automl.training.worker import WorkerSetup
from automl.tuning import ray_bridge
from automl.tuning.orders import WORKER_RESTARTS, Order
from automl.workload import worker_setup
from tests.integration.conftest import make_workplace

pytestmark = [pytest.mark.integration, pytest.mark.slow]
STEPS = (1600, 1600, 300, 300)  # of the trials; the last two are not known before the others have ended


class Unread:
    """A progress that nobody sees."""

    def emit(self, event: object) -> None:
        pass


class Plan:
    """A search whose first trial is stopped when the second has begun, which decides what comes after it."""

    interrupted = stopping = False

    def __init__(self) -> None:
        self.asked, self.workers, self.begun = 0, dict[int, int](), dict[int, int]()
        self.errors: dict[int, str] = {}

    @property
    def running(self) -> bool:
        return len(self.workers) < self.asked

    def ask(self) -> Order | None:
        if self.asked == len(STEPS) or (self.asked == 2 and self.running):
            return None
        number, self.asked = self.asked, self.asked + 1
        params = {"max_steps": STEPS[number], "per_device_train_batch_size": 8}
        payload = {"job": "trial", "number": number, "model": "tiny", "params": params, "seed": 0, "fold": 0}
        return Order(f"trial {number}", number, payload)

    def report(self, number: int, step: int, steps: int, value: float, facts: Mapping[str, Any]) -> bool:
        self.begun[number] = facts["worker"]
        return number != 0 or 1 not in self.begun

    def prune(self, number: int) -> None:
        self.workers[number] = self.begun[number]

    def complete(self, number: int, value: float, facts: Mapping[str, Any]) -> None:
        self.workers[number] = facts["worker"]

    def fail(self, number: int, error: str, facts: Mapping[str, Any]) -> None:
        self.errors[number], self.workers[number] = error, 0

    def release(self) -> list[int]:
        return []


@pytest.fixture
def setup(tmp_path: Path) -> Iterator[WorkerSetup]:
    place = make_workplace(tmp_path)
    with contextlib.chdir(place.folder), study_in_memory("s") as study:
        prepared = prepare(Request(task="rows.csv", budget=1, model="model", search_space="space.yaml", offline=True))
        prepared.folder.mkdir(parents=True)
        setup = worker_setup(prepared, study, Unread(), "cpu")
        ((_, backbone),) = setup.backbones.items()
        yield setup.__class__(**{**vars(setup), "backbones": {"tiny": backbone}})


def test_those_who_waited_go_on_with_what_comes(setup: WorkerSetup) -> None:
    plan: Any = Plan()
    with ray_bridge.cluster(ray_bridge.Resources(workers=2)) as resources:
        ray_bridge.run(plan, setup, resources)
    workers = plan.workers
    assert workers[0] != workers[1]
    assert {workers[2], workers[3]} == {workers[0], workers[1]}


def run_mortals(plan: Any, setup: WorkerSetup, monkeypatch: pytest.MonkeyPatch, mortal: type) -> None:
    """Run a plan with workers that are killed at certain moments."""
    monkeypatch.setattr(ray_bridge, "_Trainable", mortal)
    with ray_bridge.cluster(ray_bridge.Resources(workers=2)) as resources:
        ray_bridge.run(plan, setup, resources)


def test_a_worker_that_dies_between_two_trials_costs_neither(
    setup: WorkerSetup, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    died = tmp_path / "died"

    class Mortal(ray_bridge._Trainable):
        def reset_config(self, new_config: dict[str, Any]) -> bool:
            if not died.exists():
                died.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return super().reset_config(new_config)

    plan = Plan()
    run_mortals(plan, setup, monkeypatch, Mortal)
    assert died.exists()
    assert plan.errors == {}
    assert set(plan.workers) == set(range(len(STEPS)))


def test_a_trial_that_kills_each_of_its_workers_is_given_up(
    setup: WorkerSetup, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Mortal(ray_bridge._Trainable):
        def step(self) -> dict[str, Any]:
            if self.config.get("number") == 2:
                os.kill(os.getpid(), signal.SIGKILL)
            return super().step()

    plan = Plan()
    run_mortals(plan, setup, monkeypatch, Mortal)
    assert set(plan.errors) == {2}
    assert plan.errors[2].startswith(f"its worker died {WORKER_RESTARTS + 1} times: ")
    assert set(plan.workers) == set(range(len(STEPS)))
