"""The figures of the search: what it finds in a given time, beside other ways to spend the same time on the same rows.

    python -m benchmarks.search --data SST2 TREC6 --model FOLDER --results FILE.json     # hours; goes on where it was
    python -m benchmarks.search --data SST2 TREC6 --model FOLDER --results FILE.json --plot docs/search_benchmark.svg

Cells are each of the folders at 1,000 rows, 300 s a run, and at 100 rows, 120 s a run, over a few seeded, stratified
subsamples. Everyone gets the same training rows, all cores and an empty folder, cuts validation rows of its own from
them, and leaves a model; that is scored by `search_score` on all test rows. Who takes more than 1.1 times the limit is
killed.

ours     `python -m automl.search --time-limit S`, its defaults
grid     a recommended grid of three learning rates, two seeds each      (search_trainer.py says more of these three)
random   random search
trainer  `Trainer.hyperparameter_search` with Optuna
setfit   SetFit with its search, as it comes (search_setfit.py); `--setfit-python` names an interpreter that has it
setfit_mended  the same with an error of its search put right

Competitors take turns, subsample by subsample, so that a slower hour slows them all. One record of each cell,
competitor and subsample is kept in the results, and not made again: take it out of the file to have it anew.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from automl.models import checkpoint
from benchmarks.machine import processor
from benchmarks.search_cells import QUICK_SIZES, SIZES, Cell, fingerprint, make_cells, subsample
from benchmarks.search_plot import plot
from benchmarks.search_runs import COMPETITORS, SETFITS, CompetitorFailed, Record, Turn, installed, run
from benchmarks.search_table import print_table

Key = tuple[str, str, int]  # cell, competitor, subsample: what tells one record of a setting from another


def main(arguments: Sequence[str] | None = None) -> None:
    options = _options(arguments)
    model = checkpoint.resolve(options.model)
    every = make_cells(options.data, QUICK_SIZES if options.quick else SIZES)
    cells = [cell for cell in every if not options.cells or cell.name in options.cells]
    settings = {cell.name: fingerprint(model.sha256, cell.limit, *_contents(cell)) for cell in cells}
    records: list[Record] = json.loads(options.results.read_text("utf-8")) if options.results.exists() else []
    missing = _not_installed(options)
    failed = 0
    if not (options.table or options.plot):
        names = [name for name in COMPETITORS if name in options.only and name not in missing]
        failed = _run_missing(_turns(options, cells, model.folder, names), settings, records, options.results)
    shown = [record for record in records if record["setting"] == settings.get(record["cell"])]
    if options.plot:
        plot(shown, list(settings), options.plot)
    if options.table or not options.plot:
        print_table(shown, list(settings), missing)
        _tell_mixtures(shown)
    sys.exit(1 if failed else 0)


def _run_missing(turns: Iterable[Turn], settings: Mapping[str, str], records: list[Record], file: Path) -> int:
    """Make the runs that have no record yet, and write each at once; how many gave none."""
    made, failed = {_key(record) for record in records if record["setting"] == settings.get(record["cell"])}, 0
    for turn in turns:
        identity = {"cell": turn.cell.name, "competitor": turn.competitor, "subsample": turn.seed}
        if _key(identity) in made:
            continue
        place = f"{turn.cell.name}, subsample {turn.seed}, {turn.competitor}"
        try:
            setting = {"setting": settings[turn.cell.name], "code": _code(), "machine": processor()}
            record = {**identity, **setting, **run(turn)}
        except CompetitorFailed as error:  # the others go on; the next call tries it again
            report(f"{place}: {error}")
            failed += 1
            continue
        report(f"{place}: test {record['test']}, {record['seconds']} s, {record['stopped']}")
        records.append(record)
        _write(file, records)
    return failed


def _tell_mixtures(shown: Iterable[Record]) -> None:
    """Say what the records do not have in common, and should."""
    codes = {record.get("code") for record in shown if record["competitor"] == "ours"}
    if len(codes) > 1:
        report(f"ours: these are runs of {len(codes)} versions of the code")
    machines = {str(record.get("machine")) for record in shown}
    if len(machines) > 1:
        report(f"these are runs on {len(machines)} machines: {'; '.join(sorted(machines))}")


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", nargs="+", type=Path, required=True, metavar="FOLDER", help="with train.jsonl and test.jsonl"
    )
    parser.add_argument("--model", default=checkpoint.DEFAULT_MODEL, help="a folder or a Hub id")
    parser.add_argument("--results", type=Path, default=Path("search_results.json"), metavar="FILE")
    parser.add_argument("--only", nargs="+", choices=COMPETITORS, default=COMPETITORS, metavar="NAME")
    parser.add_argument("--cells", nargs="+", metavar="NAME", help="such as sst2-1000 (default: all)")
    parser.add_argument("--subsamples", type=int, default=3, metavar="N", help="of each cell (default: 3)")
    parser.add_argument("--setfit-python", default=sys.executable, metavar="PATH")
    parser.add_argument("--quick", action="store_true", help="40 rows, 40 s: shows that it runs, figures mean nothing")
    parser.add_argument("--table", action="store_true", help="print what the results have, run nothing")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw it to an .svg or .png, run nothing")
    options = parser.parse_args(arguments)
    names = [cell.name for cell in make_cells(options.data, QUICK_SIZES if options.quick else SIZES)]
    if unknown := set(options.cells or ()) - set(names):
        parser.error(f"--cells: there is no {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    return options


def _not_installed(options: argparse.Namespace) -> tuple[str, ...]:
    return () if installed(options.setfit_python, "setfit", "sentence_transformers") else SETFITS


def _turns(options: argparse.Namespace, cells: Sequence[Cell], model: Path, names: Sequence[str]) -> Iterator[Turn]:
    """Every run that is wanted, in the order of turns."""
    for seed in range(options.subsamples):
        for cell in cells:
            rows = tuple(subsample(cell, seed))
            for name in names:
                python = options.setfit_python if name in SETFITS else sys.executable
                yield Turn(name, cell, seed, rows, model.resolve(), python, all_cores=not options.quick)


def _key(record: Mapping[str, Any]) -> Key:
    return record["cell"], record["competitor"], record["subsample"]


def _code() -> str:
    """Tells one version of this package from another."""
    root = Path(__file__).parents[1]
    files = sorted([*root.glob("automl/**/*.py"), *root.glob("search_spaces/*.yaml")])
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:12]


def _contents(cell: Cell) -> list[str]:
    return [hashlib.sha256((cell.data / f"{split}.jsonl").read_bytes()).hexdigest() for split in ("train", "test")]


def _write(file: Path, records: Sequence[Record]) -> None:
    part = file.with_name(file.name + ".part")
    part.write_text("[\n" + ",\n".join(json.dumps(record) for record in records) + "\n]\n", encoding="utf-8")
    part.replace(file)


def report(line: str) -> None:
    """Progress, for whoever waits."""
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
