"""Draws score against seconds, a panel a cell."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.search_runs import COMPETITORS, OURS, Record
from benchmarks.search_table import mean_and_error

# Source: Okabe and Ito, "Color Universal Design" (2008). Shapes tell them apart without colours.
COLOURS = dict(zip(COMPETITORS, ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9"), strict=True))
SHAPES = dict(zip(COMPETITORS, "osD^vP", strict=True))


def plot(records: Sequence[Record], cells: Sequence[str], file: Path) -> None:
    """Test scores where runs ended: single runs small, means with their standard errors large. SVG or PNG by the name.

    What a competitor would have scored on test at an earlier second is not known. Of ours the best validation score so
    far is drawn beside it, thin: it may lie above what the test rows say, as it was chosen by.
    """
    import matplotlib

    matplotlib.use("agg")
    matplotlib.rcParams["svg.hashsalt"] = "search"  # equal figures, equal files
    from matplotlib import pyplot

    columns = min(2, len(cells))
    rows = -(-len(cells) // columns)
    figure, panels = pyplot.subplots(
        rows, columns, figsize=(5.2 * columns, 3.6 * rows), layout="constrained", squeeze=False
    )
    for panel, cell in zip(panels.flat, cells, strict=False):
        _panel(panel, cell, [record for record in records if record["cell"] == cell])
    for panel in panels.flat[len(cells) :]:
        panel.remove()
    handles = {
        label: handle for panel in panels.flat for handle, label in zip(*panel.get_legend_handles_labels(), strict=True)
    }
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=3, frameon=False)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, metadata={"Date": None} if file.suffix == ".svg" else None, dpi=150)
    pyplot.close(figure)


def _panel(panel: Any, cell: str, records: Sequence[Record]) -> None:
    for record in records:
        if record["competitor"] == OURS and record["test"] is not None and record["curve"]:
            seconds, values = np.array([*record["curve"], [record["seconds"], record["curve"][-1][1]]]).T
            label = f"{OURS}, validation: mean of who leads"
            panel.step(seconds, values, where="post", color=COLOURS[OURS], linewidth=0.8, alpha=0.5, label=label)
    for name in COMPETITORS:
        runs = [record for record in records if record["competitor"] == name and record["test"] is not None]
        if not runs:
            continue
        colour, shape = COLOURS[name], SHAPES[name]
        seconds, tests = ([run[what] for run in runs] for what in ("seconds", "test"))
        panel.scatter(seconds, tests, s=14, color=colour, marker=shape, alpha=0.45, linewidths=0)
        (second, across), (test, up) = mean_and_error(seconds), mean_and_error(tests)
        panel.errorbar(
            second,
            test,
            xerr=np.nan_to_num(across),
            yerr=np.nan_to_num(up),
            fmt=shape,
            color=colour,
            markersize=8,
            markeredgecolor="black",
            markeredgewidth=0.6,
            capsize=3,
            label=f"{name}, test",
        )
    for limit in {record["limit"] for record in records}:
        panel.axvline(limit, color="0.5", linestyle=":", linewidth=1, label="time limit")
    panel.set_title(f"{cell} rows")
    panel.set_xlabel("seconds")
    panel.set_ylabel("accuracy")
    panel.set_xlim(left=0)
    panel.grid(alpha=0.3)
