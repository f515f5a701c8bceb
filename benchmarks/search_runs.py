"""One run of one competitor: its process, its time, and its record, scored by the benchmark alone."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks.engine_crew import THREADS_VARIABLES
from benchmarks.search_cells import Cell, Row, read_rows, unused, write_rows
from benchmarks.search_process import Ended, run_limited
from benchmarks.search_rivals import OUTCOME, Order
from benchmarks.search_setfit import MENDED

OURS, SETFITS = "ours", ("setfit", MENDED)
COMPETITORS = (OURS, "grid", "random", "trainer", *SETFITS)  # in the order of their turns
KILLED = "killed"
OVERTIME = 1.1  # of the limit, then it is killed
ROOT = Path(__file__).parents[1]

Record = dict[str, Any]


@dataclass(frozen=True)
class Turn:
    """Who runs on what: the same rows for all that have the same cell and seed."""

    competitor: str
    cell: Cell
    seed: int
    rows: tuple[Row, ...]
    model: Path
    python: str  # of the competitor's process
    all_cores: bool = True

    @property
    def environment(self) -> dict[str, str]:
        """No network; every library's own number of threads."""
        kept = {
            name: value for name, value in os.environ.items() if not self.all_cores or name not in THREADS_VARIABLES
        }
        return {**kept, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}


class CompetitorFailed(Exception):
    """A competitor ended without a model before its time: nothing to record."""


def installed(python: str, *modules: str) -> bool:
    """Whether another interpreter finds the modules."""
    if python == sys.executable:
        return all(importlib.util.find_spec(module) for module in modules)
    code = f"import importlib.util as u, sys; sys.exit(not all(map(u.find_spec, {modules!r})))"
    return subprocess.run([python, "-c", code], check=False).returncode == 0


def run(turn: Turn) -> Record:
    """Let a competitor search in an empty folder, and score what it left.

    Raises:
        CompetitorFailed: with the end of what it said.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        load = os.getloadavg()[0]
        command = _prepare(turn, folder)
        ended = run_limited(command, OVERTIME * turn.cell.limit, folder / "work", turn.environment)
        record: Record = {
            "limit": turn.cell.limit,
            "seconds": round(ended.seconds, 1),
            "load_before": round(load, 2),  # of others
        }
        if ended.code is None:
            return record | {"test": None, "stopped": KILLED}
        if ended.code != 0:
            raise CompetitorFailed(f"{turn.competitor} ended with code {ended.code}:\n{ended.errors}")
        record["test"] = _score(folder / "model", turn, turn.cell.data / "test.jsonl")
        if turn.competitor != OURS:
            return record | _told_by_rival(folder / "model")
        write_rows(folder / "unused.jsonl", unused(turn.cell, turn.rows, turn.seed))
        record["unused"] = _score(folder / "model", turn, folder / "unused.jsonl")
        return record | _told_by_ours(ended, turn.cell.limit)


def _prepare(turn: Turn, folder: Path) -> list[str]:
    """Write what the competitor may read; the command that starts it. Only ours gets test rows, which it locks."""
    (folder / "work").mkdir()
    data, output, cell = folder / turn.cell.name, folder / "model", turn.cell
    write_rows(data / "train.jsonl", turn.rows)
    if turn.competitor == OURS:
        write_rows(data / "test.jsonl", read_rows(cell.data / "test.jsonl"))
        given = {"task": data, "model": turn.model, "time-limit": cell.limit, "budget": 100_000, "seed": turn.seed}
        options = [text for option, value in given.items() for text in (f"--{option}", str(value))]
        return [turn.python, "-m", "automl.search", *options, "--output", str(output), "--json"]
    output.mkdir()
    train, model, began = str(data / "train.jsonl"), str(turn.model), time.monotonic()
    order = Order(turn.competitor, train, model, str(output), cell.limit, turn.seed, began)
    (folder / "order.json").write_text(json.dumps(asdict(order)), encoding="utf-8")
    module = "benchmarks.search_setfit" if turn.competitor in SETFITS else "benchmarks.search_trainer"
    return [turn.python, "-m", module, str(folder / "order.json")]


def _told_by_rival(output: Path) -> Record:
    told: Record = json.loads((output / OUTCOME).read_text(encoding="utf-8"))
    return told


def _told_by_ours(ended: Ended, limit: float) -> Record:
    events = [(seconds, json.loads(line)) for seconds, line in ended.lines]
    result = events[-1][1]
    return {
        "validation": _number(result["validation"]),
        "estimate": result.get("estimate"),
        "claimed_test": _number(result["test"]),
        "chosen": (result.get("winner") or {}).get("params"),
        "tried": sum(result["trials"].values()),
        "curve": leaders_means(events),
        "stopped": "time limit" if ended.seconds >= 0.9 * limit else "finished",
        "versions": result.get("versions"),
    }


def leaders_means(events: Sequence[tuple[float, Mapping[str, Any]]]) -> list[tuple[float, float]]:
    """Whenever it changed: seconds, and the mean score over its folds of who led then."""
    values, curve = defaultdict[int, list[float]](list), list[tuple[float, float]]()
    for seconds, event in events:
        if event.get("event") != "trial_ended":
            continue
        if event["state"] == "COMPLETE":
            first = event["number"] if event["configuration"] is None else event["configuration"]
            values[first].append(event["value"])
        led = values.get(event["leader"])
        if led and (not curve or curve[-1][1] != fmean(led)):
            curve.append((round(seconds, 1), fmean(led)))
    return curve


def _number(score: Any) -> float:
    """A score that may come with its interval."""
    return float(score["value"] if isinstance(score, Mapping) else score)


def _score(model: Path, turn: Turn, rows: Path) -> float:
    """Accuracy on all rows of a file, by a fresh process of this interpreter."""
    command: Sequence[str] = [
        sys.executable,
        *("-m", "benchmarks.search_score", str(model), str(rows)),
    ]
    done = subprocess.run(command, env=turn.environment, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise CompetitorFailed(f"what {turn.competitor} left cannot be scored:\n{done.stderr[-2000:]}")
    return float(json.loads(done.stdout)["accuracy"])
