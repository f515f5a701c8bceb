"""Ray Tune runs the trials that `plan.Search` asks for: a thin Searcher, TrialScheduler and Trainable over it."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import tempfile
import traceback
from collections import Counter, defaultdict, deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

# Ray reads these when it is imported.
os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")  # the study is the record, not result.json files
os.environ.setdefault("TUNE_DISABLE_SIGINT_HANDLER", "1")  # the command line decides what Ctrl-C means
os.environ.setdefault("TUNE_GLOBAL_CHECKPOINT_S", "3600")  # nothing is ever restored from Ray's own snapshots
os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")

import ray
from ray import tune
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

import automl
from automl.errors import UsageError
from automl.training.worker import TrialWorker, WorkerSetup
from automl.tuning.orders import WAIT, WORKER_RESTARTS, Order
from automl.tuning.plan import Search

OBJECT_STORE_BYTES = 512 * 2**20  # the tokenised rows of a small task are a few MB

# What a worker says of its cost, recorded with the trial.
REPORT_FACTS = (
    "train_loss",
    "loss",
    "examples_per_second",
    "start_seconds",
    "busy_seconds",
    "peak_memory_mb",
    "peak_gpu_memory_mb",
    "worker",
    "resumed_step",
)
COMPLETE_FACTS = (
    *REPORT_FACTS[1:],
    "best_step",
    "train_examples",
    "precision",
    "cached_layers",
    "accumulation",
    "predictions",
    "predictions_sha256",
    "checkpoint",
    "checkpoint_sha256",
)
STEP_FACTS = ("answers", "answers_sha256", "kept", "loss", "value", "seconds", *COMPLETE_FACTS)


@dataclass(frozen=True)
class Resources:
    """What trials may use. `workers` (None: as many as fit) run at once; an `address` names a running Ray cluster."""

    workers: int | None = None
    cpus_per_trial: float = 1
    gpus_per_trial: float = 0
    address: str | None = None


@contextlib.contextmanager
def cluster(wanted: Resources) -> Iterator[Resources]:
    """A Ray runtime for the length of the block: a private one on this machine, or the cluster at the address."""
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL}
    if wanted.address is not None:
        options["address"] = wanted.address
    else:
        options |= {
            "address": "local",  # whatever else runs here, or RAY_ADDRESS says
            "num_cpus": len(os.sched_getaffinity(0)),
            "include_dashboard": False,
            "object_store_memory": OBJECT_STORE_BYTES,
        }
        # Workers import this package from where the driver did, installed or not.
        paths = [str(Path(automl.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    try:
        ray.init(**options)
    except (ConnectionError, RuntimeError, ValueError) as error:
        if wanted.address is None:
            raise
        why = str(error).partition("\n")[0]
        raise UsageError(f"--address {wanted.address}: no Ray cluster can be used there ({why})") from None
    for name in ("ray.tune", "ray.train", "ray.air"):  # what they log is told by the trials' own ends
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        room = _fitting(wanted)
        if room < (wanted.workers or 1):
            raise UsageError(
                f"the Ray cluster has room for {room} trials of {wanted.cpus_per_trial:g} cores and "
                f"{wanted.gpus_per_trial:g} GPUs at once: lower --workers, --cpus-per-trial or --gpus-per-trial"
            )
        yield replace(wanted, workers=wanted.workers or room)
    finally:
        ray.shutdown()


def _fitting(wanted: Resources) -> int:
    """How many trials the cluster has room for at once."""
    total = ray.cluster_resources()
    shares = [total.get("CPU", 0) / wanted.cpus_per_trial] if wanted.cpus_per_trial else []
    shares += [total.get("GPU", 0) / wanted.gpus_per_trial] if wanted.gpus_per_trial else []
    return math.floor(min(shares, default=1))


def run(search: Search, setup: WorkerSetup, resources: Resources) -> None:
    """Run trials until the search has none left. Those still running when it stops are given back."""
    link = _Link(search)
    with tempfile.TemporaryDirectory(prefix="automl-ray-") as scratch:
        tuner = tune.Tuner(
            tune.with_resources(
                tune.with_parameters(_Trainable, setup=setup),
                {"cpu": resources.cpus_per_trial, "gpu": resources.gpus_per_trial},
            ),
            tune_config=tune.TuneConfig(
                search_alg=_Searcher(link),
                scheduler=_Scheduler(link),
                num_samples=-1,
                max_concurrent_trials=resources.workers,
                reuse_actors=True,
            ),
            run_config=tune.RunConfig(
                storage_path=scratch,
                verbose=0,
                stop=_StopWithSearch(link),
                failure_config=tune.FailureConfig(max_failures=WORKER_RESTARTS),
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            ),
        )
        try:
            tuner.fit()
        finally:
            if link.fault is None:
                search.release()
    if link.fault is not None:
        raise link.fault


@dataclass
class _Link:
    """What the three classes below share: the search, and what each of Ray's trials is an order for."""

    search: Search
    orders: dict[str, Order] = field(default_factory=dict)
    next: deque[Order] = field(default_factory=deque)  # given by the search to a worker that has yet to be free for it
    waiting: set[str] = field(default_factory=set)  # Ray's ids of those that have nothing to do
    workers: int = 0  # that were at work at once
    deaths: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))  # Ray's id -> what of
    begun: Counter[str] = field(default_factory=Counter)  # name of an order -> how often Ray was given it
    fault: Exception | None = None

    def __reduce__(self) -> Any:
        """Ray pickles its tuner with all it holds. The study is the record, and a terminal cannot be pickled."""
        return object, ()

    @contextlib.contextmanager
    def guard(self) -> Iterator[None]:
        """Keep an error of the search itself (its database is gone): Ray would take it for the trial's and retry."""
        try:
            yield
        except Exception as error:
            self.fault = self.fault or error
            raise

    @property
    def stopping(self) -> bool:
        return self.fault is not None or self.search.stopping

    def order(self) -> Order | None:
        """What is to be done next."""
        if self.stopping:
            return None
        return self.next.popleft() if self.next else self.search.ask()

    def begin(self, trial_id: str, order: Order) -> None:
        """Note whose order it is."""
        self.orders[trial_id] = order
        self.begun[order.name] += 1
        self.workers = max(self.workers, len(self.orders) + len(self.waiting))

    def wait(self, trial_id: str) -> bool:
        """Whether a worker is there that has nothing to do: Ray would end it, and the next order wait for another."""
        idle = len(self.orders) + len(self.waiting) < self.workers
        if idle:
            self.waiting.add(trial_id)
        return idle

    def called(self) -> bool:
        """Whether one that waits is to stop: there is something for it, or never will be."""
        order = self.order()
        if order is not None:
            self.next.append(order)
        return order is not None or self.stopping or not self.search.running


class _Trainable(tune.Trainable):
    """One Ray actor: a worker that outlives its trials."""

    def setup(self, config: dict[str, Any], setup: WorkerSetup) -> None:  # type: ignore[override]  # with_parameters
        self._worker = TrialWorker(setup)
        self._begin(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self._work.close()
        self._begin(new_config)
        return True

    def step(self) -> dict[str, Any]:
        try:
            outcome = next(self._work)
        except Exception as error:  # whatever breaks in a trial is that trial's end, not the search's
            text = "".join(traceback.format_exception_only(error)).strip()
            return {"final": True, "error": text, "traceback": traceback.format_exc(), "done": True}
        return {**outcome, "done": outcome.get("final", False)}

    def cleanup(self) -> None:
        self._work.close()

    def _begin(self, config: dict[str, Any]) -> None:
        self._work = self._worker.work(config)


class _Searcher(Searcher):
    """Ray's questions "what next?" and "it ended", passed on to the search."""

    def __init__(self, link: _Link) -> None:
        super().__init__()
        self._link = link

    def suggest(self, trial_id: str) -> Any:
        link = self._link
        with link.guard():
            order = link.order()
        if order is not None:
            link.begin(trial_id, order)
            return dict(order.payload)
        if link.stopping or not link.search.running:
            return Searcher.FINISHED
        return {"job": WAIT} if link.wait(trial_id) else None  # what still runs may bring more to do

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        order = self._link.orders.pop(trial_id, None)
        self._link.waiting.discard(trial_id)
        if order is None or self._link.fault is not None:
            return  # it has ended, or waited, or cannot be recorded
        deaths = self._link.deaths.pop(trial_id, ["killed, or out of memory"]) if error else []
        if error and max(len(deaths), self._link.begun[order.name]) <= WORKER_RESTARTS:
            # Ray does not retry what a worker was given that died between two orders, and may tell of that twice.
            self._link.next.append(order)
            return
        with self._link.guard():
            if order.number is None:
                self._end_step(order.name, result or {}, deaths)
            else:
                self._end(order.number, result or {}, deaths)

    def _end_step(self, step: str, result: dict[str, Any], deaths: list[str]) -> None:
        if result.get("final") and "error" not in result:
            self._link.search.done(step, {name: result[name] for name in STEP_FACTS if name in result})
        elif not self._link.search.stopping:
            self._link.search.broke(step, result.get("error") or _died(deaths))

    def _end(self, number: int, result: dict[str, Any], deaths: list[str]) -> None:
        search = self._link.search
        if result.get("final") and "error" not in result:
            search.complete(number, result["value"], {name: result[name] for name in COMPLETE_FACTS})
        elif search.stopping:
            return  # cut short, neither weak nor broken: given back when the run is over
        elif deaths:
            search.fail(number, _died(deaths), {})
        elif "error" in result:
            search.fail(number, result["error"], {"traceback": result["traceback"]})
        else:
            search.prune(number)


def _died(deaths: list[str]) -> str:
    return f"its worker died {WORKER_RESTARTS + 1} times: {deaths[-1]}"


class _Scheduler(FIFOScheduler):
    """Ray's question "does it go on?", passed on to the search."""

    def __init__(self, link: _Link) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._link = link

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        if trial.trial_id in self._link.waiting:
            with self._link.guard():
                return TrialScheduler.STOP if self._link.called() else TrialScheduler.CONTINUE
        number = self._link.orders[trial.trial_id].number
        if number is None:  # not a trial
            return TrialScheduler.CONTINUE
        facts = {name: result[name] for name in REPORT_FACTS}
        with self._link.guard():
            goes_on = self._link.search.report(number, result["step"], result["steps"], result["value"], facts)
        return TrialScheduler.CONTINUE if goes_on else TrialScheduler.STOP

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        lines = str(trial.get_error() or "").strip().splitlines()  # a searcher is only told that there was an error
        self._link.deaths[trial.trial_id].append(lines[-1] if lines else "killed, or out of memory")


class _StopWithSearch(tune.Stopper):
    def __init__(self, link: _Link) -> None:
        self._link = link

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        return self._link.stopping
