"""Whether speed is paid for with accuracy: the engine against its plain loop, on the same rows and seeds."""

from __future__ import annotations

import hashlib
import json
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

from automl.export.folder import build_model
from automl.metrics import METRICS
from automl.params import Params
from automl.tasks.kinds import kind_of
from automl.training.loop import predict_logits
from benchmarks.engine_setup import BATCH_SIZE, KIND, Task, encoded, report
from benchmarks.engine_workers import TrialOrder, fresh_workers

PATHS = ("fast", "plain")  # plain: float32, all of the vocabulary, frozen layers run in every step
SAME = ("task", "frozen_layers", "path", "seed", "setting")  # what tells one run from another

Run = dict[str, Any]


def accuracy(tasks: Sequence[Task], results: Path | None) -> dict[str, Any]:
    """Test accuracy of both paths over seeds, with all layers trained and with the first half frozen.

    Args:
        results: a JSON file of single runs, written after each; runs that it has are not made again.
    """
    runs: list[Run] = json.loads(results.read_text(encoding="utf-8")) if results and results.exists() else []

    def keep(run: Run) -> None:
        runs.append(run)
        report(
            f"{run['task']}, {run['frozen_layers']} layers frozen, {run['path']}, seed {run['seed']}: {run['test']:.4f}"
        )
        if results:
            part = results.with_name(results.name + ".part")
            part.write_text(json.dumps(runs, indent=1) + "\n", encoding="utf-8")
            part.replace(results)

    for task, path in product(tasks, PATHS):
        done = [tuple(run[name] for name in SAME) for run in runs]
        missing = [run for run in _wanted(task, path) if tuple(run[name] for name in SAME) not in done]
        if missing:
            _train(task, path, missing, keep)
    return {task.name: [_compared(task, frozen, runs) for frozen in _frozen(task)] for task in tasks}


def _wanted(task: Task, path: str) -> list[Run]:
    seeds, setting = range(task.scale.accuracy_seeds), _setting(task)
    return [
        {"task": task.name, "frozen_layers": frozen, "path": path, "seed": seed, "setting": setting}
        for frozen, seed in product(_frozen(task), seeds)
    ]


def _train(task: Task, path: str, runs: Sequence[Run], keep: Callable[[Run], None]) -> None:
    """Make the runs, a free core taking the next one, and score each on the test rows with its full vocabulary."""
    train, validation = encoded(task, task.train), encoded(task, task.validation)
    orders = [
        TrialOrder(number, {**_params(task), "frozen_layers": run["frozen_layers"]}, run["seed"])
        for number, run in enumerate(runs)
    ]
    with fresh_workers(task, train, validation, plain=path == "plain") as train_all:
        for final in train_all(orders):
            order = orders[final["number"]]
            scores = {"test": _test_score(task, order.params, final), "validation": final["value"]}
            cost = {name: final[name] for name in ("seconds", "precision", "cached_layers", "best_step")}
            keep({**runs[order.number], **scores, **cost})


def _test_score(task: Task, params: Mapping[str, Any], final: Mapping[str, Any]) -> float:
    kind, rows = kind_of(KIND), encoded(task, task.test)
    path, sha256 = Path(final["checkpoint"]), final["checkpoint_sha256"]
    model = build_model(task.model, kind, task.splits, Params(**params), path, sha256, text_start=0)
    predictions = kind.predict(predict_logits(model, rows, task.tokenizer.pad_token_id))
    return float(METRICS[kind.metric](rows.labels, predictions))


def _compared(task: Task, frozen: int, runs: Sequence[Run]) -> dict[str, Any]:
    """Means with their standard errors, of each path and of the differences at equal seeds."""
    wanted = {"task": task.name, "frozen_layers": frozen, "setting": _setting(task)}
    fast, plain = (
        {run["seed"]: run["test"] for run in runs if {**wanted, "path": path}.items() <= run.items()} for path in PATHS
    )
    seeds = range(task.scale.accuracy_seeds)
    difference, error = _mean_and_error([fast[seed] - plain[seed] for seed in seeds])
    return {
        "frozen_layers": frozen,
        "fast": _mean_and_error([fast[seed] for seed in seeds]),
        "plain": _mean_and_error([plain[seed] for seed in seeds]),
        "difference": [difference, error],
        "within_standard_error": abs(difference) <= error,
        "seeds": len(seeds),
        "rows": len(task.train),
        "test_rows": len(task.test),
    }


def _mean_and_error(values: Sequence[float]) -> list[float]:
    error = statistics.stdev(values) / math.sqrt(len(values))
    return [round(statistics.mean(values), 4), round(error, 4)]


def _frozen(task: Task) -> tuple[int, int]:
    return 0, task.depth // 2


def _params(task: Task) -> dict[str, Any]:
    return {
        "technique": "fine_tuning",
        "learning_rate": 2e-4,
        "num_train_epochs": task.scale.accuracy_epochs,
        "per_device_train_batch_size": BATCH_SIZE,
    }


def _setting(task: Task) -> str:
    """Changes with whatever changes a run's outcome but is not told by the run itself."""
    sizes = (len(task.train), len(task.validation), len(task.test), task.max_length)
    told = json.dumps([task.model.sha256, task.splits.fingerprint, sizes, _params(task)])
    return hashlib.sha256(told.encode()).hexdigest()[:12]
