"""The figures of the training engine, all in one run: speed against transformers' Trainer, cost, and accuracy.

    python -m benchmarks.engine                                       # all but `accuracy`, as a table
    python -m benchmarks.engine --data FOLDER --json                  # a folder of one's own, or a task by name
    python -m benchmarks.engine --only linear --plot docs/engine_cost.svg
    python -m benchmarks.engine --only accuracy --data SST2 TREC6 --results accuracy.json   # long; goes on where it was

full      examples per second of full fine-tuning on all cores, and the ratio to the Trainer's
frozen    the same with two thirds of the layers frozen, 5 epochs, building the cache counted in
heads     head-only configurations a minute on cached features
peak      the share of the machine's own bfloat16 matrix peak that full fine-tuning reaches
linear    cost by rows and by length of texts
accuracy  test accuracy over 5 seeds, beside the plain float32, uncached, untrimmed loop's

Competitors take turns in processes of their own. Seconds depend on the machine; ratios and shares carry over.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from automl.models import checkpoint
from automl.training.precision import best_precision
from benchmarks.engine_accuracy import accuracy
from benchmarks.engine_heads import heads
from benchmarks.engine_linear import linear, plot
from benchmarks.engine_peak import peak
from benchmarks.engine_setup import CORES, QUICK, Scale, Task, read_task, report
from benchmarks.engine_speed import frozen, full
from benchmarks.machine import processor

PIECES = {"full": full, "frozen": frozen, "heads": heads, "peak": peak, "linear": linear}
ACCURACY = "accuracy"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=checkpoint.DEFAULT_MODEL, help="a folder or a Hub id")
    parser.add_argument(
        "--data",
        nargs="+",
        default=["film_reviews"],
        metavar="TASK",
        help="folders with train and test files, or tasks by name; all but accuracy use the first",
    )
    parser.add_argument("--only", nargs="+", choices=[*PIECES, ACCURACY], default=list(PIECES), metavar="NAME")
    parser.add_argument("--json", action="store_true", help="figures as one JSON object")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw `linear` to an .svg or .png")
    parser.add_argument(
        "--results", type=Path, metavar="FILE", help="keep the single runs of `accuracy`, and go on from them"
    )
    parser.add_argument("--quick", action="store_true", help="sizes that show that it runs; the figures mean nothing")
    options = parser.parse_args(arguments)
    if options.plot and "linear" not in options.only:
        parser.error("--plot draws `linear`: add it to --only")

    model, scale = checkpoint.resolve(options.model), QUICK if options.quick else Scale()
    tasks = [read_task(source, model, scale) for source in options.data]
    name = f"{Path(model.name).name}, sha256 {model.sha256[:12]}"
    figures: dict[str, Any] = {"machine": machine(), "model": name, "tasks": [task.name for task in tasks]}
    figures |= measure(tasks, options.only, options.results)
    if options.plot:
        plot(figures["linear"], options.plot)
    if options.json:
        print(json.dumps(figures))
    else:
        print_table(figures)


def measure(tasks: Sequence[Task], names: Sequence[str], results: Path | None = None) -> dict[str, Any]:
    """Figures of the pieces, by their names."""
    figures = {}
    for name in names:
        began = time.perf_counter()
        report(f"{name} ...")
        figures[name] = accuracy(tasks, results) if name == ACCURACY else PIECES[name](tasks[0])
        report(f"{name}: {time.perf_counter() - began:.0f} s")
    return figures


def machine() -> dict[str, Any]:
    """What seconds depend on."""
    return {
        "cores": CORES,
        "processor": processor(),
        "load_before": round(os.getloadavg()[0], 2),  # of others: it slows the Trainer's threads most
        "precision": best_precision("cpu"),
        **{name: version(name) for name in ("torch", "transformers")},
    }


def print_table(figures: Mapping[str, Any]) -> None:
    """One line a figure, one block a piece."""
    from rich.console import Console
    from rich.table import Table

    table = Table("piece", "figure", "value", box=None)
    for piece, values in figures.items():
        for index, (name, value) in enumerate(_flat(values)):
            table.add_row("" if index else piece, name.replace("_", " "), value)
    Console(soft_wrap=True).print(table)


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(inner, f"{name}, {key}" if name else key)
    elif isinstance(value, list) and value and isinstance(value[0], Mapping):
        for inner in value:
            yield from _flat(inner, name)
    else:
        yield name, ", ".join(map(str, value)) if isinstance(value, list) else str(value)


if __name__ == "__main__":
    main()
