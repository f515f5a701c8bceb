"""The share of the machine's own matrix peak that full fine-tuning reaches.

Floating point operations of a training step, a multiplication and an addition counted apart:

    6 * (weights of the layers' linear maps) * tokens          2 forward; backward 2 for the weights, 2 for the inputs
    + 6 * (weights of the other linear maps) * examples        pooler and head read one vector an example; so does
                                                               the last layer above its attention, where it is spared
    + 3 * (2 * 2 * seq^2 * width) * layers * examples          Q K^T and attention times V, forward, and twice backward

Embeddings, norms, softmax, dropout and the optimiser count nothing: they are what keeps training below the peak.
Without padding `tokens` and `seq` are the texts' own; with it they are those of the batches that the engine makes.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from automl.data.batches import training_batches
from automl.models import checkpoint
from automl.models.first_token import AFTER_ATTENTION, first_token_alone
from automl.models.layers import encoder_layers
from automl.tasks.kinds import kind_of
from automl.training.precision import best_precision
from benchmarks.engine_crew import crew
from benchmarks.engine_setup import BATCH_SIZE, CORES, KIND, Task, encoded
from benchmarks.engine_speed import in_turn, one_a_label, trials_speed


def peak(task: Task) -> dict[str, Any]:
    """Large square matrix products on all cores, one thread each, beside full fine-tuning without evaluations."""
    train, few = encoded(task, task.train), encoded(task, one_a_label(task))
    bfloat16, float32, speeds = in_turn(
        [
            lambda: matmul_flops(task, "bfloat16"),
            lambda: matmul_flops(task, "float32"),
            lambda: trials_speed(task, train, few, 0, task.scale.epochs),
        ],
        task.scale.repetitions,
    )
    precision, speed = best_precision("cpu"), statistics.median(speeds)
    top = statistics.median(bfloat16)
    own = top if precision == "bfloat16" else statistics.median(float32)
    bare, padded = training_flops(task, train.lengths)
    return {
        "bfloat16_gflops": round(top / 1e9, 1),
        "float32_gflops": round(statistics.median(float32) / 1e9, 1),
        "precision": precision,
        "examples_per_second": round(speed, 1),
        "gflop_per_example": round(bare / 1e9, 3),
        "gflop_per_example_with_padding": round(padded / 1e9, 3),
        "share_of_bfloat16_peak": round(speed * bare / top, 3),
        "share_of_bfloat16_peak_with_padding": round(speed * padded / top, 3),
        "share_of_peak_of_its_precision": round(speed * bare / own, 3),
        "matrix_width": task.scale.matmul_width,
        "workers": CORES,
    }


def training_flops(task: Task, lengths: np.ndarray) -> tuple[float, float]:
    """Operations of training on one example of these lengths [rows], on average: without padding, and with it."""
    from torch import nn

    model, _ = checkpoint.load(task.model, kind_of(KIND).auto_class, task.splits.label_names)
    layers = encoder_layers(model)
    with first_token_alone(model, task.tokenizer(["a", "b c"], padding=True, return_tensors="pt")) as spared:
        above = [part for name, part in layers[-1].named_children() if name != "attention"] if spared else []
        above += [layers[-1].get_submodule(AFTER_ATTENTION)] if spared else []
    within, everywhere, once = (
        sum(module.weight.numel() for part in parts for module in part.modules() if isinstance(module, nn.Linear))
        for parts in ([layers], [model], above)
    )
    within -= once
    padded = np.concatenate(
        [
            np.full(len(batch), lengths[batch].max())
            for batch in training_batches(lengths, BATCH_SIZE, np.random.default_rng(0))
        ]
    )

    runs = task.depth / len(layers)  # of each layer: more than one where layers share their weights

    def flops(seq: np.ndarray) -> float:
        linear = 6 * within * runs * seq.mean() + 6 * (everywhere - within)
        attention = 12 * np.square(seq, dtype=float).mean() * model.config.hidden_size * task.depth
        return float(linear + attention)

    return flops(lengths), flops(padded)


def matmul_flops(task: Task, dtype: str) -> float:
    """Operations per second of all cores together, one thread each."""
    with crew(matmul_timer, (task.scale.matmul_width, dtype), task.scale.processes, threads=1) as run:
        list(run([task.scale.matmul_seconds / 4] * CORES))  # warm
        return float(sum(run([task.scale.matmul_seconds] * CORES)))


def matmul_timer(argument: tuple[int, str]) -> Callable[[float], float]:
    """Multiplies two matrices of that width and type for at least so many seconds; operations per second."""
    import torch

    torch.set_num_threads(1)
    width, dtype = argument
    torch.manual_seed(0)
    left, right, out = (torch.randn(width, width).to(getattr(torch, dtype)) for _ in range(3))

    def measure(seconds: float) -> float:
        done, began = 0, time.perf_counter()
        while (spent := time.perf_counter() - began) < seconds:
            torch.mm(left, right, out=out)
            done += 1
        return 2.0 * width**3 * done / spent

    return measure
