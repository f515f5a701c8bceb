"""Head-only configurations a minute, on features that are computed once."""

from __future__ import annotations

import time
from itertools import product
from typing import Any, get_args

import numpy as np

from automl.params import Params
from benchmarks.engine_setup import CORES, Task, encoded
from benchmarks.engine_workers import TrialOrder, fresh_workers

SEED = 0


def heads(task: Task) -> dict[str, Any]:
    """Random configurations of technique `features`. Computing the features comes before the clock, with its own time.

    Before it, every worker fits one cheap head on every choice of layers and pooling: so all features are there.
    """
    trials, train = task.scale.head_trials, encoded(task, task.train)
    every = list(product(_choices("feature_source"), _choices("pooling")))
    with fresh_workers(task, train, encoded(task, task.validation)) as run:
        began = time.perf_counter()
        for source, pooling in every:
            params = {"technique": "features", "feature_source": source, "pooling": pooling, "feature_head": "knn"}
            list(run([TrialOrder(number, params) for number in range(CORES)]))
        prepared = time.perf_counter()
        orders = (TrialOrder(number, params, number) for number, params in enumerate(_random_params(trials)))
        values = [final["value"] for final in run(orders)]
        seconds = time.perf_counter() - prepared
    return {
        "configurations_per_minute": round(60 * trials / seconds, 1),
        "configurations": trials,
        "seconds": round(seconds, 2),
        "features_seconds": round(prepared - began, 2),
        "best_value": round(max(values), 4),
        "rows": len(train),
        "workers": CORES,
    }


def _random_params(count: int) -> list[dict[str, Any]]:
    rng = np.random.default_rng(SEED)
    return [
        {
            "technique": "features",
            "feature_source": str(rng.choice(_choices("feature_source"))),
            "pooling": str(rng.choice(_choices("pooling"))),
            "feature_head": str(rng.choice(_choices("feature_head"))),
            "logistic_regression_c": float(10 ** rng.uniform(-3, 1)),
            "mlp_width": int(2 ** rng.integers(5, 9)),
            "knn_neighbors": int(rng.integers(1, 33)),
        }
        for _ in range(count)
    ]


def _choices(name: str) -> tuple[str, ...]:
    """What the param of that name can be."""
    return get_args(Params.model_fields[name].annotation)
