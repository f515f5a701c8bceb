"""What a search would begin with and about what it would cost, without starting it."""

from __future__ import annotations

import time
from statistics import fmean
from typing import Any

import numpy as np

from automl.backbones import Backbone
from automl.params import Params
from automl.prepare import Prepared, describe_data
from automl.records import Report, Rows
from automl.tuning.warm_start import Taken, in_order, warm_start
from automl.workload import workers_here

START_SECONDS = 25  # Ray, workers, the test split and the folder
PROBE_ROWS = 64  # for four epochs: some seconds
SEEN = 20  # configurations of each encoder that the guess is made from
KEPT_SHARE = 0.4  # of the budget's full cost: what successive halving left in the recorded runs


def first_configurations(prepared: Prepared, count: int) -> list[dict[str, Any]]:
    """The configurations that the study would try first, as Optuna names their params.

    These are what it takes from others, its recipes, then what the sampler proposes unseen.
    """
    from automl.tuning.proposals import Proposer

    space = prepared.space
    proposer, recipes = Proposer(space, prepared.request.seed), in_order(planned_warm_start(prepared), space.recipes())
    proposed = [proposer.propose() for _ in range(count - len(recipes))]
    return [dict(one) for one in [*recipes, *proposed][:count]]


def planned_warm_start(prepared: Prepared) -> list[Taken]:
    """What the study would take from others."""
    if not prepared.request.warm_start:
        return []
    facts = {"kind": prepared.kind.name, "model": ", ".join(prepared.models), "data": describe_data(prepared)}
    return warm_start(prepared.storage, prepared.study_name, facts, prepared.space)


def forecast(prepared: Prepared) -> str:
    """A guess of the time, from training every encoder on some of the rows here and now."""
    speeds = {name: _examples_per_second(prepared, one) for name, one in prepared.backbones.items()}
    space, request = prepared.space, prepared.request
    epoch_seconds = {name: len(prepared.splits.labelled) / speed for name, speed in speeds.items()}
    mean_seconds = fmean(
        Params(**space.params(one)).num_train_epochs * epoch_seconds[space.model_of(one)]
        for one in first_configurations(prepared, SEEN * len(speeds))
    )
    workers = workers_here(request)
    minutes = (request.budget * KEPT_SHARE * mean_seconds / workers + START_SECONDS) / 60
    at_most = f", cut to {request.time_limit / 60:.1f} min by --time-limit," if request.time_limit else ""
    measured = ", ".join(f"{speed:.0f}{f' ({name})' if len(speeds) > 1 else ''}" for name, speed in speeds.items())
    return (
        f"about {minutes:.1f} to {2 * minutes:.1f} min{at_most} with {workers} workers: {measured} examples/s a worker "
        "measured with nothing frozen; frozen layers are faster, augmentation doubles the rows"
    )


def _examples_per_second(prepared: Prepared, backbone: Backbone) -> float:
    import torch

    from automl.data.batches import encode
    from automl.models.checkpoint import load, load_tokenizer
    from automl.training.data import TrainingData
    from automl.training.loop import train
    from automl.training.precision import best_precision

    torch.set_num_threads(max(1, int(prepared.request.cpus_per_trial)))
    tokenizer = load_tokenizer(backbone.checkpoint)
    rows = _head(prepared.splits.labelled, PROBE_ROWS)
    encoded = encode(tokenizer, rows.inputs, rows.labels, backbone.max_length)
    model: Any
    model, _ = load(backbone.checkpoint, prepared.kind.auto_class, prepared.splits.label_names)
    data = TrainingData(encoded, np.arange(len(rows)), np.arange(2), tokenizer.pad_token_id)
    params = Params(num_train_epochs=4)
    precision = best_precision("cpu")
    clock: list[float] = []
    examples: list[float] = []
    for item in train(model, params, data, prepared.kind, seed=0, precision=precision):
        if isinstance(item, Report):
            clock.append(time.perf_counter())
            examples.append(item.step / item.steps * params.num_train_epochs * len(rows))
    return (examples[-1] - examples[1]) / (clock[-1] - clock[1])  # the first quarter is slow: everything is new


def _head(rows: Rows, count: int) -> Rows:
    return rows.take(np.arange(min(count, len(rows))))
