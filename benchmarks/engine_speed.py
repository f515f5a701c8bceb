"""Training examples a second over the whole machine, against the Trainer."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np

from automl.records import Encoded, Rows
from benchmarks.engine_setup import BATCH_SIZE, CORES, Task, encoded
from benchmarks.engine_trainer import trainer_speed
from benchmarks.engine_workers import TrialOrder, fresh_workers

Value = TypeVar("Value")
WARM_UP = {"technique": "fine_tuning", "max_steps": 4, "per_device_train_batch_size": BATCH_SIZE}


def full(task: Task) -> dict[str, Any]:
    """Full fine-tuning. Ours is counted over whole trials with their evaluations, and without them."""
    return _against_trainer(task, frozen_layers=0, epochs=task.scale.epochs)


def frozen(task: Task) -> dict[str, Any]:
    """Two thirds of the layers frozen. Every measurement begins with empty caches, and building them is counted."""
    return _against_trainer(task, frozen_layers=task.depth * 2 // 3, epochs=task.scale.frozen_epochs)


def _against_trainer(task: Task, frozen_layers: int, epochs: int) -> dict[str, Any]:
    train, validation, few = encoded(task, task.train), encoded(task, task.validation), encoded(task, one_a_label(task))
    whole, bare, trainer = in_turn(
        [
            lambda: trials_speed(task, train, validation, frozen_layers, epochs),
            lambda: trials_speed(task, train, few, frozen_layers, epochs),
            lambda: trainer_speed(task, frozen_layers, epochs),
        ],
        task.scale.repetitions,
    )
    theirs = statistics.median(trainer)
    return {
        "examples_per_second": round(statistics.median(whole), 1),
        "examples_per_second_without_evaluations": round(statistics.median(bare), 1),
        "trainer_examples_per_second": round(theirs, 1),
        "ratio": round(statistics.median(whole) / theirs, 2),
        "ratio_without_evaluations": round(statistics.median(bare) / theirs, 2),
        "repetitions": [[round(value, 1) for value in values] for values in (whole, bare, trainer)],
        "rows": len(train),
        "validation_rows": len(validation),
        "epochs": epochs,
        "frozen_layers": frozen_layers,
        "workers": CORES,
    }


def one_a_label(task: Task) -> Rows:
    """Validation rows so few that evaluating takes next to no time."""
    rows = task.validation
    first = np.unique(rows.labels, return_index=True)[1]
    return Rows(tuple(rows.inputs[i] for i in first), rows.labels[first])


def trials_speed(task: Task, train: Encoded, validation: Encoded, frozen_layers: int, epochs: int) -> float:
    """Training examples per second of one trial on every core at once, in fresh processes that are warm.

    The clock runs from the first trial's start to the last one's end: resetting the weights, training, evaluating and
    saving the checkpoint.
    """
    params = {
        "technique": "fine_tuning",
        "num_train_epochs": epochs,
        "frozen_layers": frozen_layers,
        "per_device_train_batch_size": BATCH_SIZE,
    }
    with fresh_workers(task, train, validation) as run:
        list(run([TrialOrder(number, WARM_UP, number) for number in range(CORES)]))
        began = time.perf_counter()
        ended = list(run([TrialOrder(number, params, number) for number in range(CORES)]))
        return float(sum(final["train_examples"] for final in ended) / (time.perf_counter() - began))


def in_turn(measurements: Sequence[Callable[[], Value]], repetitions: int) -> list[list[Value]]:
    """Values of each measurement, [measurements][repetitions]: A B A B, so that a slower minute slows them all."""
    rounds = [[measure() for measure in measurements] for _ in range(repetitions)]
    return [list(values) for values in zip(*rounds, strict=True)]
