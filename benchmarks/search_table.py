"""What the records of the search's benchmark say: means with standard errors, distances to ours, and honesty."""

from __future__ import annotations

import math
import statistics
from collections.abc import Collection, Mapping, Sequence
from itertools import product
from typing import Any

from benchmarks.search_runs import COMPETITORS, KILLED, OURS, Record

HEADS = (
    *("cell", "competitor", "runs", "test %", "ours minus it", "in its errors"),
    *("validation - test", "seconds", "tried", ""),
)
NONE = ("no run", "not installed")
ROWS = {"test": "test rows", "unused": "unused training rows"}
CLAIM = 0.005  # a claimed test score that is farther from the benchmark's own is told


def print_table(records: Sequence[Record], cells: Sequence[str], missing: Collection[str] = ()) -> None:
    """One line a cell and competitor, then how honest estimates were.

    Args:
        missing: competitors that are not installed.
    """
    lines: list[Sequence[str]] = [HEADS]
    for cell, name in product(cells, COMPETITORS):
        lines.append(_line(records, cell, name) or [cell, name, "0", NONE[name in missing], *[""] * 6])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        print("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip())
    for sentence in honesty_lines(records):
        print(sentence)


def compared(records: Sequence[Record], cell: str, competitor: str) -> tuple[float, float] | None:
    """Mean and standard error of ours minus a competitor's test score, over the subsamples that both have."""
    ours, theirs = (
        {record["subsample"]: record["test"] for record in _scored(records, cell, name)} for name in (OURS, competitor)
    )
    differences = [ours[seed] - theirs[seed] for seed in sorted(ours.keys() & theirs.keys())]
    return mean_and_error(differences) if differences else None


def mean_and_error(values: Sequence[float]) -> tuple[float, float]:
    """The error is of the mean; NaN for a single value."""
    error = statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return statistics.mean(values), error


def honesty(records: Sequence[Record], of: str = "test") -> dict[str, float] | None:
    """How far estimates are from scores: mean and error of the difference, and how often the interval covers.

    Args:
        of: "test", or "unused" for further rows of the kind that was learned from.
    """
    told = [record for record in records if record.get(of) is not None and record.get("estimate")]
    if not told:
        return None
    difference, error = mean_and_error([record["estimate"]["value"] - record[of] for record in told])
    covered = [record["estimate"]["low"] <= record[of] <= record["estimate"]["high"] for record in told]
    return {"runs": len(told), "difference": difference, "error": error, "covered": statistics.mean(covered)}


def honesty_lines(records: Sequence[Record]) -> list[str]:
    """In words: estimates of every competitor that gives them, and claimed test scores that are not ours."""
    lines = []
    for name, (of, rows) in product(COMPETITORS, ROWS.items()):
        if told := honesty([record for record in records if record["competitor"] == name], of):
            difference = _points(told["difference"], told["error"])
            lines.append(
                f"{name}: estimate - score on {rows} {difference} points over {told['runs']:.0f} runs; "
                f"the interval covers it in {told['covered']:.0%}"
            )
    for record in records:
        claimed, test = record.get("claimed_test"), record["test"]
        if claimed is not None and test is not None and abs(claimed - test) > CLAIM:
            place = f"{record['cell']}, subsample {record['subsample']}, {record['competitor']}"
            lines.append(f"{place}: claims {claimed:.4f} on test, scored {test:.4f}")
    return lines


def _line(records: Sequence[Record], cell: str, name: str) -> list[str]:
    runs = [record for record in records if (record["cell"], record["competitor"]) == (cell, name)]
    scored = _scored(records, cell, name)
    if not runs:
        return []
    killed = sum(record["stopped"] == KILLED for record in runs)
    note = f"{killed} killed" if killed else ""
    seconds = f"{statistics.mean(record['seconds'] for record in runs):.0f}"
    if not scored:
        return [cell, name, str(len(runs)), "–", "", "", "", seconds, "", note]
    optimism = [record["validation"] - record["test"] for record in scored]
    tried = f"{statistics.mean(record['tried'] for record in scored):.0f}"
    distance = compared(records, cell, name) if name != OURS else None
    return [
        *(cell, name, str(len(runs)), _points(*mean_and_error([record["test"] for record in scored]))),
        *((_points(*distance), _ratio(*distance)) if distance else ("", "")),
        *(_points(*mean_and_error(optimism)), seconds, tried, note),
    ]


def _scored(records: Sequence[Record], cell: str, name: str) -> list[Mapping[str, Any]]:
    wanted = (cell, name)
    return [run for run in records if (run["cell"], run["competitor"]) == wanted and run["test"] is not None]


def _points(value: float, error: float) -> str:
    return f"{100 * value:.1f}" + ("" if math.isnan(error) else f" ± {100 * error:.1f}")


def _ratio(value: float, error: float) -> str:
    return f"{value / error:.1f}" if error > 0 else "–"
