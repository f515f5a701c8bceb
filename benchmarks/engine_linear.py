"""How cost grows with rows and with the length of texts."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Sequence
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np

from automl.records import Encoded, Rows
from benchmarks.engine_setup import BATCH_SIZE, CORES, Task, encoded
from benchmarks.engine_speed import WARM_UP, in_turn, one_a_label
from benchmarks.engine_workers import TrialOrder, fresh_workers


def linear(task: Task) -> dict[str, Any]:
    """Seconds an epoch by rows, and seconds an example by tokens a text; each with the slope of its log-log fit.

    Every point trains real texts on every core at once, for a bounded number of steps. An epoch's seconds are those of
    tokenising all its rows and of a step for each of its batches.
    """
    counts = list(task.scale.cost_rows)
    lengths = [tokens for tokens in task.scale.cost_tokens if tokens <= task.max_positions]
    epochs = in_turn([partial(epoch_seconds, task, count) for count in counts], task.scale.cost_repetitions)
    examples = in_turn([partial(example_seconds, task, tokens) for tokens in lengths], task.scale.cost_repetitions)
    return {
        "by_rows": _curve("rows", counts, "seconds_per_epoch", [statistics.median(values) for values in epochs]),
        "by_tokens": _curve("tokens", lengths, "seconds_per_example", [statistics.median(v) for v in examples]),
        "different_texts": len(task.all_texts),
        "batch_size": BATCH_SIZE,
        "workers": CORES,
    }


def epoch_seconds(task: Task, count: int) -> float:
    """Seconds of one epoch over so many rows, tokenising included. Texts come again where there are fewer."""
    rows = Rows(tuple(islice(cycle(task.all_texts), count)), np.arange(count) % len(task.splits.label_names))
    began = time.perf_counter()
    train = encoded(task, rows)
    return time.perf_counter() - began + count * _seconds_an_example(task, train, task.scale.cost_steps)


def example_seconds(task: Task, tokens: int) -> float:
    """Seconds of a training example of exactly so many tokens."""
    steps = max(1, task.scale.tokens_a_point // (BATCH_SIZE * tokens))
    train = encoded(task, _long_rows(task, min(steps, 16) * BATCH_SIZE, tokens), max_length=tokens)
    assert set(train.lengths) == {tokens}, f"texts of {set(train.lengths)} tokens, not of {tokens}"
    return _seconds_an_example(task, train, steps)


def _seconds_an_example(task: Task, train: Encoded, steps: int) -> float:
    """Mean over the workers, each of which trains so many steps on its core while the others do the same."""
    params = {
        "technique": "fine_tuning",
        "max_steps": steps,
        "num_train_epochs": math.ceil(steps * BATCH_SIZE / len(train)),
        "per_device_train_batch_size": BATCH_SIZE,
    }
    with fresh_workers(task, train, encoded(task, one_a_label(task))) as run:
        list(run([TrialOrder(number, WARM_UP, number) for number in range(CORES)]))
        ended = list(run([TrialOrder(number, params, number) for number in range(CORES)]))
    return float(statistics.mean(final["seconds"] / final["train_examples"] for final in ended))


def _long_rows(task: Task, count: int, tokens: int) -> Rows:
    """Texts of at least so many tokens, each of several real ones: a word is a token or more."""
    source, texts = cycle(task.all_texts), []
    for _ in range(count):
        parts: list[str] = []
        while sum(len(part.split()) for part in parts) < tokens:
            parts.append(next(source))
        texts.append(" ".join(parts))
    return Rows(tuple(texts), np.arange(count) % len(task.splits.label_names))


def _curve(what: str, sizes: Sequence[int], cost: str, seconds: Sequence[float]) -> dict[str, Any]:
    slope, _ = np.polyfit(np.log(sizes), np.log(seconds), 1)
    return {what: list(sizes), cost: [float(f"{value:.4g}") for value in seconds], "slope": round(float(slope), 3)}


def plot(figures: dict[str, Any], file: Path) -> None:
    """Draw what `linear` gave, beside lines of slope 1 through the middle of the points; SVG or PNG by the name."""
    import matplotlib

    matplotlib.use("agg")
    matplotlib.rcParams["svg.hashsalt"] = "engine"  # equal figures, equal files
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    for panel, curve, (across, up) in zip(
        panels,
        (figures["by_rows"], figures["by_tokens"]),
        (("training rows", "one epoch (seconds)"), ("length of a text (tokens)", "one training example (seconds)")),
        strict=True,
    ):
        sizes, seconds, slope = (np.asarray(values) for values in curve.values())
        middle = np.exp(np.log(seconds / sizes).mean())
        panel.loglog(sizes, middle * sizes, color="0.6", linestyle="--", label="proportional (slope 1)")
        panel.loglog(sizes, seconds, "o", color="tab:blue", label=f"measured (slope {slope:.2f})")
        panel.set_xlabel(across)
        panel.set_ylabel(up)
        panel.set_xticks(sizes, [f"{size:,}" for size in sizes], minor=False)
        panel.xaxis.set_minor_locator(matplotlib.ticker.NullLocator())
        panel.grid(alpha=0.3)
        panel.legend()
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, metadata={"Date": None} if file.suffix == ".svg" else None, dpi=150)
    pyplot.close(figure)
