"""Search policies compared over recorded learning curves, on a simulated clock.

    python -m benchmarks.policies SST2.jsonl.gz TREC6.jsonl.gz     # tables that benchmarks/curves.py recorded
    python -m benchmarks.policies TABLE --only workers --json

The searches are the product's own code but for the workers (automl/tuning/simulate.py). Replays differ in their seed:
in what is proposed, and in which recorded fold comes first.

cost     trial-seconds, the computing of all trials summed, until a search has what random search ends with. That trains
         independent draws to their end on one fold and takes the best; every other way gets the time that its trials
         take. Three targets, each reached when
           seen   a training shows on the first fold the value that random search's best has there;
           worth  the configuration that would be chosen then is worth as much as the one that random search chooses, in
                  the mean over all recorded folds: what a value on one fold is a guess of;
           best   it is worth what the best recorded one is, less a point.
         A replay that never gets there counts as infinite. Ours chooses by the mean over all recorded folds, random
         search by one of them; with --held-back both are judged by a fold that neither sees.
workers  utilisation: computing over workers x time, until the last trial ends; with and without workers that die.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median
from typing import Any

from automl.tuning.curves import read_table
from automl.tuning.simulate import Workers, deaths
from benchmarks.engine_crew import crew
from benchmarks.policies_replay import OURS, RANDOM, WAYS, Moment, Recording, Replay, recording, replay

TARGETS = ("seen", "worth", "best")
TOLERANCE = 0.01  # below the best recorded configuration
COUNTS = (1, 2, 8, 64)
START, RESTART = 0.1, 6.0  # seconds: a trial on a warm worker, a worker that loads its model (LOG.md)
DEATHS_PER_HOUR = 20.0  # of a worker

Figures = dict[str, Any]


def main(arguments: Sequence[str] | None = None) -> None:
    options = _options(arguments)
    figures: Figures = {}
    for path in options.tables:
        name = path.name.partition(".")[0]
        figures[name] = {}
        if "cost" in options.only:
            figures[name]["cost"] = cost(path, options)
        if "workers" in options.only:
            figures[name]["workers"] = usage(path, options)
    if options.json:
        print(json.dumps(figures))
    else:
        print_table(figures)


def cost(path: Path, options: argparse.Namespace) -> Figures:
    """Medians over replays, by way of searching and target."""
    best = recording(read_table(path), held_back=options.held_back).best - TOLERANCE
    makers = Races(path, options.budget, options.workers, options.held_back)
    seconds: dict[str, dict[str, list[float]]] = {way: {target: [] for target in TARGETS} for way in WAYS}
    spent, worth, began = {way: [] for way in WAYS}, {way: [] for way in WAYS}, time.monotonic()
    with crew(racer, makers, options.processes, 1) as run:
        for done, race in enumerate(run(range(options.replays)), start=1):
            last = race[RANDOM].moments[-1]
            goals = {"seen": last.seen, "worth": last.worth, "best": best}
            for way, one in race.items():
                spent[way].append(one.usage.busy)
                worth[way].append(one.moments[-1].worth if one.moments else 0.0)
                for target in TARGETS:
                    seconds[way][target].append(reached(one.moments, target, goals[target]))
            if done % 10 == 0:
                report(f"{path.name}: {done} of {options.replays} replays, {time.monotonic() - began:.0f} s")
    return {
        way: {
            "ends_worth": round(fmean(worth[way]), 4),
            "spent": round(median(spent[way]), 1),
            **{target: _against(seconds[way][target], seconds[RANDOM][target]) for target in TARGETS},
        }
        for way in WAYS
    }


def _against(mine: Sequence[float], random: Sequence[float]) -> Figures:
    """Medians, the share of replays that got there, and the ratio of the medians."""
    middle, other = median(mine), median(random)
    return {
        "seconds": None if middle == math.inf else round(middle, 1),
        "reached": round(sum(one < math.inf for one in mine) / len(mine), 2),
        "ratio": None if middle == math.inf else round(middle / other, 3) if other else None,
    }


def reached(moments: Sequence[Moment], target: str, goal: float) -> float:
    """Trial-seconds until a search first has what it is to have."""
    here = (one.busy for one in moments if (one.seen if target == "seen" else one.worth) >= goal)
    return next(here, math.inf)


@dataclass(frozen=True)
class Races:
    """What each process needs."""

    table: Path
    budget: int
    workers: int
    held_back: bool


def racer(races: Races) -> Callable[[int], dict[str, Replay]]:
    """A function from a seed to a replay of each way, all with the time of random search."""
    known = recording(read_table(races.table), held_back=races.held_back)

    def race(seed: int) -> dict[str, Replay]:
        random = replay(known, WAYS[RANDOM], seed, _workers(races.workers, True), budget=races.budget)
        others = {
            name: replay(known, way, seed, _workers(races.workers, way.pruning), until=random.usage.seconds)
            for name, way in WAYS.items()
            if name != RANDOM
        }
        return {RANDOM: random, **others}

    return race


def usage(path: Path, options: argparse.Namespace) -> list[Figures]:
    """Utilisation by number of workers, ours, without deaths and with them."""
    known, found = recording(read_table(path)), []
    for count in options.counts:
        for rate in (0.0, DEATHS_PER_HOUR):
            found.append(_used(known, count, rate, options))
            report(f"{path.name}: {found[-1]}")
    return found


def _used(known: Recording, count: int, rate: float, options: argparse.Namespace) -> Figures:
    budget = options.trials_a_worker * count if count > 1 else max(options.trials_a_worker, options.budget)
    began, done = time.monotonic(), []
    for seed in range(options.usage_replays):
        workers = Workers(count, START, RESTART, deaths(rate, seed), finals=False)
        done.append(replay(known, WAYS[OURS], seed, workers, budget=budget, until=options.time_limit))
    return {
        "workers": count,
        "deaths_per_hour": rate,
        "budget": budget,
        "trials": round(fmean(one.trials for one in done)),
        "seconds": round(fmean(one.usage.seconds for one in done), 1),
        "utilisation": round(fmean(one.usage.utilisation for one in done), 3),
        "wall_seconds": round((time.monotonic() - began) / len(done), 1),
    }


def _workers(count: int, pruning: bool) -> Workers:
    return Workers(count, finals=False, obedient=pruning)


def print_table(figures: Mapping[str, Any]) -> None:
    """One line a way of searching, then one a number of workers."""
    from rich.console import Console
    from rich.table import Table

    console = Console(soft_wrap=True)
    for name, pieces in figures.items():
        if "cost" in pieces:
            columns = (f"{target}: s, reached, ratio" for target in TARGETS)
            table = Table(name, "ends worth", "spent, s", *columns, box=None)
            for way, one in pieces["cost"].items():
                cells = (" ".join(map(_said, one[target].values())) for target in TARGETS)
                table.add_row(way, f"{one['ends_worth']:.4f}", f"{one['spent']:.0f}", *cells)
            console.print(table)
        if "workers" in pieces:
            table = Table(*(key.replace("_", " ") for key in pieces["workers"][0]), box=None)
            for row in pieces["workers"]:
                table.add_row(*map(str, row.values()))
            console.print(table)


def _said(value: float | None) -> str:
    return "-" if value is None else f"{value:g}"


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", nargs="+", type=Path, metavar="TABLE", help="made by benchmarks.curves")
    parser.add_argument("--only", nargs="+", choices=("cost", "workers"), default=("cost", "workers"), metavar="PIECE")
    parser.add_argument("--held-back", action="store_true", help="judge by the last recorded fold, which none sees")
    parser.add_argument("--replays", type=int, default=100, metavar="N")
    parser.add_argument("--budget", type=int, default=50, metavar="N", help="trainings of random search (default: 50)")
    parser.add_argument("--workers", type=int, default=2, metavar="N", help="of `cost`, simulated (default: 2)")
    parser.add_argument(
        "--trials-a-worker", type=int, default=20, metavar="N", help="budget of `workers` (default: 20; at least 50)"
    )
    parser.add_argument("--counts", type=int, nargs="+", default=COUNTS, metavar="N", help="workers of `workers`")
    parser.add_argument(
        "--time-limit", type=float, default=math.inf, metavar="S", help="of `workers`, simulated (default: none)"
    )
    parser.add_argument("--usage-replays", type=int, default=3, metavar="N", help="of `workers` (default: 3)")
    parser.add_argument("--processes", type=int, default=2, metavar="N", help="real ones; 0: this one (default: 2)")
    parser.add_argument("--json", action="store_true", help="figures as one JSON object")
    return parser.parse_args(arguments)


def report(line: object) -> None:
    """Progress, for whoever waits."""
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
