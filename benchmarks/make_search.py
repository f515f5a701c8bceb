"""The figures of `make search`: how long it takes, how busy workers are, how fast trials start, what memory it needs.

    make bench                                   # the command of `make search`, in a folder of its own
    make bench ARGS="--task rows.csv --budget 20 --json"

Seconds depend on the machine; the shares carry over.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import optuna


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", default="sst2")
    parser.add_argument("--budget", type=int, default=50)
    parser.add_argument("--json", action="store_true", help="figures as one JSON object")
    arguments = parser.parse_args()
    task = str(Path(arguments.task).resolve()) if Path(arguments.task).exists() else arguments.task
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(task, arguments.budget, Path(folder)) | {"help_seconds": help_seconds()}
    if arguments.json:
        print(json.dumps(figures))
    else:
        print("\n".join(f"{name.replace('_', ' '):<36} {value}" for name, value in figures.items()))


def measure(task: str, budget: int, folder: Path) -> dict[str, Any]:
    """Run a search in `folder` and read what its study recorded."""
    command = [sys.executable, "-m", "automl.search", "--task", task, "--budget", str(budget), "--json"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    began = time.monotonic()
    process = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True)
    memory = _PeakMemory(process.pid)
    output, _ = process.communicate()
    wall = time.monotonic() - began
    events = [json.loads(line) for line in output.splitlines()]
    started = next(event for event in events if event["event"] == "study_started")
    result = events[-1]
    trials = _trials(folder)
    facts = [trial.user_attrs for trial in trials]
    span = (max(t.datetime_complete for t in trials) - min(t.datetime_start for t in trials)).total_seconds()
    warm = sorted(fact["start_seconds"] for fact in facts)[: -started["workers"]]  # a worker's first one loads it
    return {
        "wall_seconds": round(wall, 1),
        "trials": result["trials"],
        "trials_seconds": round(span, 1),
        "worker_time_busy": round(sum(fact["busy_seconds"] for fact in facts) / (span * started["workers"]), 3),
        "trial_start_seconds_median": round(statistics.median(warm), 3),
        "trial_start_seconds_max": round(max(warm), 3),
        "peak_memory_gb": round(memory.peak / 1e9, 2),
        "validation": result["validation"],
        "test": result["test"],
    }


def help_seconds() -> float:
    """Median time of `--help`, of five."""
    times = []
    for _ in range(5):
        began = time.monotonic()
        subprocess.run([sys.executable, "-m", "automl.search", "--help"], check=True, capture_output=True)
        times.append(time.monotonic() - began)
    return round(statistics.median(times), 3)


class _PeakMemory:
    """Samples the memory of a process and all its descendants; shared pages are counted once (PSS)."""

    def __init__(self, root: int) -> None:
        self.peak = 0
        self._root = root
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while Path(f"/proc/{self._root}").exists():
            self.peak = max(self.peak, sum(map(_pss, _descendants(self._root))))
            time.sleep(1)


def _descendants(root: int) -> list[int]:
    found = [root]
    for pid in found:
        try:
            children = Path(f"/proc/{pid}/task").glob("*/children")
            found += [int(child) for file in children for child in file.read_text().split()]
        except OSError:
            continue
    return found


def _pss(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)


def _trials(folder: Path) -> list[Any]:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = optuna.storages.RDBStorage(f"sqlite:///file:{folder}/runs/studies.db?mode=ro&uri=true")
    (study,) = storage.get_all_studies()
    trials = optuna.load_study(study_name=study.study_name, storage=storage).trials
    storage.engine.dispose()
    return trials


if __name__ == "__main__":
    main()
