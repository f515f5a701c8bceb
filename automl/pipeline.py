"""The whole way, top to bottom: task -> data -> space -> study -> trials -> selection -> exported model."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from automl.errors import OutputError
from automl.metrics import LOWEST
from automl.prepare import RUNS, Prepared, describe_data, versions
from automl.progress import Notice, PhaseStarted, Progress, Standing, StudyStarted
from automl.records import State, Trial
from automl.selection.rows import FOLDER, ROWS, write_rows
from automl.spaces import BoundSpace
from automl.study import Study, open_study, readable_url
from automl.study.heart import Heart, now, require_alone
from automl.study.record import LEADER
from automl.threads import beside

if TYPE_CHECKING:
    from automl.tuning.plan import Search
    from automl.tuning.policy import Policy
    from automl.tuning.warm_start import Taken

OVERTIME = 0.1  # of a time limit, by which it is overrun where nothing could be shipped otherwise
SECONDS_TO_END = 6.0  # of a time limit: the verdict, and writing the folder
SECONDS_A_TEST_TOKEN = 0.00024  # likewise, for each 100 MB of weights on two cores: its score, and the baselines'
CHARACTERS = 4  # of a token, about


def search(prepared: Prepared, progress: Progress, *, started: float) -> dict[str, Any]:
    """Run the search, or go on with it, and export the winner. The content of `result.json`.

    Args:
        started: when the user's time began, on the clock of `time.monotonic`.

    Raises:
        NothingUsable: no trial was completed.
    """
    from automl.tuning.policy import make_policy
    from automl.tuning.warm_start import in_order
    from automl.verdict import measured_baselines
    from automl.workload import CACHE

    request = prepared.request
    if request.storage is None:
        _make_folder(RUNS)
    with (
        open_study(prepared.storage, prepared.study_name, prepared.identity) as study,
        _only_driver(prepared.folder),
        _cache_removed(prepared.folder / CACHE),
    ):
        require_alone(study.facts, study.name, now())
        resumed = study.recover()
        _record_facts(study, prepared)
        policy = make_policy(
            prepared.space,
            n_folds=prepared.splits.n_folds,
            seed=request.seed,
            budget=request.budget,
            held_out=int((prepared.splits.folds == 0).sum()),
            width=1.0 - LOWEST[prepared.kind.metric],
            recipes=in_order(_taken(study, prepared, progress), prepared.space.recipes()),
        )
        deadline = started + request.time_limit - _seconds_after_trials(prepared) if request.time_limit else None
        plan = _plan(study, policy, prepared, progress, deadline)
        with Heart(study, plan.stop):
            with beside(partial(measured_baselines, prepared)) as baselines:
                if not plan.over:
                    _run_trials(plan, study, prepared, progress, resumed=len(resumed))

            from automl.outcome import finish

            return finish(
                study,
                policy,
                prepared,
                baselines.result(),
                progress,
                started=started,
                until=time.monotonic() if plan.interrupted else deadline,
                latest=None if plan.interrupted else _latest(deadline, request.time_limit),
                interrupted=plan.interrupted,
                ended=plan.ended_because,
            )


def _latest(deadline: float | None, limit: float | None) -> float | None:
    """When a lesson of the winner has to be over at the latest, as `time.monotonic`; None: it has all the time."""
    return None if deadline is None or limit is None else deadline + OVERTIME * limit


def _plan(study: Study, policy: Policy, prepared: Prepared, progress: Progress, deadline: float | None) -> Search:
    from automl.tuning.budget import Budget
    from automl.tuning.plan import Search
    from automl.workload import CHECKPOINTS, forecast_of, workers_here

    request = prepared.request
    return Search(
        study,
        prepared.space,
        policy,
        budget=Budget(request.budget, deadline=deadline, target=request.target),
        progress=progress,
        facts={"data": prepared.splits.fingerprint[:16], "versions": versions()},
        forecast=forecast_of(prepared, policy, workers_here(request)),
        checkpoints=prepared.folder / CHECKPOINTS,
    )


def _seconds_after_trials(prepared: Prepared) -> float:
    """Of a time limit, what testing and writing will take."""
    texts, backbones = prepared.splits.test.inputs, prepared.backbones.values()  # each of these is a baseline, too
    longest = CHARACTERS * max(one.max_length for one in backbones)
    tokens = sum(min(len(text), longest) for text in texts) / CHARACTERS
    weights = max(sum(one.weights_bytes for one in backbones) / 1e8, 0.1)
    models = 1 + prepared.splits.n_folds * prepared.request.keep_original
    return SECONDS_TO_END + SECONDS_A_TEST_TOKEN * tokens * weights * models


def _run_trials(plan: Search, study: Study, prepared: Prepared, progress: Progress, *, resumed: int) -> None:
    request = prepared.request
    if request.address is None:
        # Read when ray is imported. Despite its name it makes Ray's servers listen on 127.0.0.1 only on Linux, too.
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    from automl.tuning import ray_bridge
    from automl.workload import gpus_of_a_trial, worker_setup

    gpus = gpus_of_a_trial(request)
    wanted = ray_bridge.Resources(request.workers, request.cpus_per_trial, gpus, request.address)
    progress.emit(PhaseStarted("starting Ray"))
    with ray_bridge.cluster(wanted) as resources, _first_interrupt_stops(plan):  # in this order: Ray sets handlers, too
        setup = worker_setup(prepared, study, progress, "cuda" if gpus else "cpu")
        plan.count_workers(resources.workers or 1)
        ended = [trial for trial in study.trials() if trial.state is not State.WAITING]
        progress.emit(
            StudyStarted(
                study=study.name,
                task=prepared.task.name,
                model=", ".join(prepared.models),
                metric=prepared.kind.metric,
                budget=request.budget,
                done=len(ended),
                resumed=resumed,
                workers=resources.workers or 1,
                storage=readable_url(prepared.storage),
                time_limit=request.time_limit,
                standings=_standings(ended, prepared.space),
                leader=study.facts.get(LEADER),
            )
        )
        ray_bridge.run(plan, setup, resources)


def _standings(ended: Sequence[Trial], space: BoundSpace) -> tuple[Standing, ...]:
    """How far the configurations had come that are complete somewhere."""
    from automl.tuning.configurations import configurations

    found = []
    for one in configurations(ended):
        values = [trial.value for trial in one.trials.values() if trial.state is State.COMPLETE]
        told = [value for value in values if value is not None]
        if told:
            found.append(Standing(one.number, space.told(one.params), len(told), fmean(told)))
    return tuple(found)


def _record_facts(study: Study, prepared: Prepared) -> None:
    facts = {
        FOLDER: str(prepared.folder.resolve()),
        "task": prepared.task.name,
        "kind": prepared.kind.name,
        "metric": prepared.kind.metric,
        "model": ", ".join(prepared.models),
        "search_space": prepared.space.written.name,
        "data": describe_data(prepared),
        "stand_in": prepared.task.stand_in,
        "budget": prepared.request.budget,
        "command": prepared.request.command,
        "versions": versions(),
    }
    for name, value in facts.items():
        if study.facts.get(name) != value:
            study.record(name, value)
    write_rows(prepared.folder / ROWS, prepared.splits)


def _taken(study: Study, prepared: Prepared, progress: Progress) -> list[Taken]:
    """What the study took from others when it began; it does so once, whatever becomes of them."""
    from automl.tuning.warm_start import WARM_START, recorded, warm_start

    if prepared.request.warm_start and WARM_START not in study.facts:
        if study.trials():
            progress.emit(Notice("warning", f"--warm-start: {study.name} began without it, and goes on as it began"))
        else:
            found = warm_start(prepared.storage, study.name, study.facts, prepared.space)
            study.record(WARM_START, [asdict(one) for one in found])
    taken = recorded(study.facts)
    if study.facts.get(WARM_START) == []:
        progress.emit(Notice("info", "warm start: no other study has a configuration for this search space"))
    for one in taken:
        progress.emit(Notice("info", f"warm start: {one}"))
    return taken


@contextlib.contextmanager
def _only_driver(folder: Path) -> Iterator[None]:
    """Hold the study's folder for this process; the lock goes with the process, however that ends."""
    _make_folder(folder)
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise OutputError(
                f"{folder}: another process runs this study; wait for it or name another --study-name"
            ) from None
        yield


@contextlib.contextmanager
def _cache_removed(folder: Path) -> Iterator[None]:
    """What workers shared is of no use once the search is over, however that was; it can be computed again."""
    try:
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"{folder.resolve()}: {error.strerror}; start the search in a folder you can write to"
        ) from None


@contextlib.contextmanager
def _first_interrupt_stops(plan: Search) -> Iterator[None]:
    """Within the block the first Ctrl-C (or SIGTERM) asks the search to stop, and a second one aborts."""

    def stop(signum: int, frame: Any) -> None:
        if plan.interrupted:
            raise KeyboardInterrupt
        plan.stop()

    before = {signum: signal.signal(signum, stop) for signum in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
