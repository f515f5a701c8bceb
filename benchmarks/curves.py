"""Record learning curves of real trials in a small table, which replays on a simulated clock answer from.

    python -m benchmarks.curves --task SST2 --model FOLDER --output benchmarks/recorded/sst2.jsonl.gz   # about an hour
    python -m benchmarks.curves --task SST2 --model FOLDER --output ... --configurations 10             # a first few

Configurations are recipes and random draws of the search space, techniques in equal shares; each is trained on the
first folds of a five-fold split, fold k with seed k, by the product's own workers with one thread each. Seconds are
their processors', of training and evaluation; what frozen layers put out is computed beforehand.

Each training is kept in OUTPUT.part when it ends, and not made again: the same command goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from automl.models import checkpoint
from automl.prepare import Prepared, Request, prepare, versions
from automl.spaces import presets
from automl.study import study_in_memory
from automl.training.worker import TrialWorker, WorkerSetup
from automl.tuning.curves import Curve, Point, Recorded, Table, write_table
from automl.workload import worker_setup
from benchmarks.curves_drawn import drawn
from benchmarks.engine_crew import crew

FOLDS, CELLS = 5, 3

Training = dict[str, Any]  # a line of the file: number of the configuration, cell, and the curve


@dataclass(frozen=True)
class Crew:
    """What each process makes its worker of, and what it computes before it counts seconds."""

    setup: WorkerSetup
    warm_up: Sequence[Mapping[str, Any]]  # orders


def main(arguments: Sequence[str] | None = None) -> None:
    options = _options(arguments)
    output, part = options.output.resolve(), options.output.resolve().with_suffix(".part")
    model, task = str(Path(options.model).resolve()), str(Path(options.task).resolve())
    request = Request(
        task=task if os.path.exists(task) else options.task,
        budget=1,
        model=model if os.path.exists(model) else options.model,
        search_space=options.search_space,
        train_size=options.rows,
        folds=FOLDS,
        offline=True,
    )
    space_file = presets().get(options.search_space) or Path(options.search_space).resolve()
    with tempfile.TemporaryDirectory(prefix="automl-curves-") as scratch, contextlib.chdir(scratch):
        prepared = prepare(request)
        configurations = drawn(prepared.space, options.configurations, seed=0)
        facts = _facts(prepared, space_file.read_text(encoding="utf-8"), options.rows)
        known = _known(part, facts)
        wanted = [(n, cell) for n in range(len(configurations)) for cell in range(CELLS) if (n, cell) not in known]
        if wanted:
            with part.open("a", encoding="utf-8") as file:
                for training in _record(prepared, configurations, wanted, options.workers):
                    file.write(json.dumps(training) + "\n")
                    file.flush()
                    known[training["number"], training["cell"]] = _curve(training)
    recorded = [
        Recorded(params, tuple(known[number, cell] for cell in range(CELLS)))
        for number, params in enumerate(configurations)
    ]
    write_table(output, Table(facts, tuple(recorded)))
    report(f"{output.name}: {len(recorded)} configurations x {CELLS} cells, {output.stat().st_size / 1000:.0f} kB")


def _record(
    prepared: Prepared, configurations: Sequence[Mapping[str, Any]], wanted: Sequence[tuple[int, int]], workers: int
) -> Iterator[Training]:
    """Train what is wanted, a free worker taking the next one."""
    prepared.folder.mkdir(parents=True)
    with study_in_memory("curves") as study:
        setup = worker_setup(prepared, study, Quiet(), "cpu")
    orders = [_order(prepared, number, cell, configurations[number]) for number, cell in wanted]
    began = time.monotonic()
    with crew(recorder, Crew(setup, _warm_up(orders)), workers, setup.threads) as run:
        for done, training in enumerate(run(orders), start=1):
            if done % 10 == 0 or done == len(orders):
                spent = time.monotonic() - began
                left = spent / done * (len(orders) - done)
                report(f"{prepared.task.name}: {done} of {len(orders)}, {spent:.0f} s, about {left:.0f} s left")
            yield training


def _order(prepared: Prepared, number: int, cell: int, params: Mapping[str, Any]) -> dict[str, Any]:
    """As the search's own orders are."""
    return {
        "job": "trial",
        "number": number * CELLS + cell,
        "model": prepared.space.model_of(params),
        "params": prepared.space.params(params),
        "seed": cell,
        "fold": cell,
    }


def _warm_up(orders: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One order of one step for each state of a backbone that trials share."""
    shared = {
        (order["model"], order["params"].get("technique"), order["params"].get("frozen_layers", 0)): order
        for order in orders
        if order["params"].get("technique") == "features" or order["params"].get("frozen_layers", 0)
    }
    short = {"max_steps": 1, "min_steps": 0}
    return [{**order, "params": {**order["params"], **short}} for order in shared.values()]


def recorder(crew: Crew) -> Callable[[Mapping[str, Any]], Training]:
    """A worker as the product has it; an order's answer is its curve."""
    worker = TrialWorker(crew.setup)

    def record(order: Mapping[str, Any]) -> Training:
        points: list[Point] = []
        error, seconds, examples, began = None, 0.0, 0, time.process_time()
        try:
            for said in worker.work(order):
                if said.get("final"):
                    examples = said["train_examples"]
                    _remove(said)
                    break
                seconds = round(time.process_time() - began, 3)
                points = [point for point in points if point.step < said["step"]]  # it may begin anew, in float32
                points.append(Point(said["step"], round(said["value"], 4), round(said["loss"], 4), seconds))
        except Exception as broke:  # as in the search, that is this training's end only
            error, seconds = f"{type(broke).__name__}: {broke}".splitlines()[0], round(time.process_time() - began, 3)
        curve = Curve(tuple(points), seconds, examples, error)
        return {"number": order["number"] // CELLS, "cell": order["number"] % CELLS, **asdict(curve)}

    for order in crew.warm_up:
        record(order)
    return record


def _remove(said: Mapping[str, Any]) -> None:
    """Weights of hundreds of trainings would fill the disk."""
    for value in said.values():
        if isinstance(value, str) and os.path.isabs(value):
            Path(value).unlink(missing_ok=True)


def _facts(prepared: Prepared, space: str, rows: int) -> dict[str, Any]:
    return {
        "task": prepared.task.name,
        "data": prepared.splits.fingerprint,
        "rows": len(prepared.splits.labelled),
        "folds": FOLDS,
        "cells": [[cell, cell] for cell in range(CELLS)],  # fold, seed
        "metric": prepared.kind.metric,
        "models": {name: one.checkpoint.sha256 for name, one in prepared.backbones.items()},
        "depths": {name: one.depth for name, one in prepared.backbones.items()},
        "search_space": space,
        "versions": versions(),
    }


def _known(part: Path, facts: Mapping[str, Any]) -> dict[tuple[int, int], Curve]:
    """Trainings that were made before; a line that was cut off is forgotten."""
    lines = part.read_text(encoding="utf-8").splitlines(keepends=True) if part.exists() else []
    whole = [json.loads(line) for line in lines if line.endswith("\n")]
    if whole and whole[0] != json.loads(json.dumps(facts)):
        differing = ", ".join(name for name in facts if whole[0].get(name) != json.loads(json.dumps(facts[name])))
        sys.exit(f"{part}: recorded with another {differing}; remove it, or name another --output")
    part.parent.mkdir(parents=True, exist_ok=True)
    part.write_text("".join(json.dumps(line) + "\n" for line in whole or [facts]), encoding="utf-8")
    return {(line["number"], line["cell"]): _curve(line) for line in whole[1:]}


def _curve(line: Mapping[str, Any]) -> Curve:
    return Curve(tuple(Point(**point) for point in line["points"]), line["seconds"], line["examples"], line["error"])


class Quiet:
    """A progress that shows nothing."""

    def emit(self, event: object) -> None:
        """Not here."""


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", required=True, help="a folder with train and test files, or a task by name")
    parser.add_argument("--model", default=checkpoint.DEFAULT_MODEL, help="a folder or a Hub id")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE.jsonl.gz")
    parser.add_argument("--search-space", default="default", metavar="NAME", help="a preset or a YAML file")
    parser.add_argument("--configurations", type=int, default=200, metavar="N")
    parser.add_argument("--rows", type=int, default=500, metavar="N", help="labelled rows; a fifth is held out")
    parser.add_argument("--workers", type=int, default=2, metavar="N", help="processes of one thread; 0: this one")
    return parser.parse_args(arguments)


def report(line: str) -> None:
    """Progress, for whoever waits."""
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
