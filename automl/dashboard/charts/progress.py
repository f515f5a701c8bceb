"""A search as it goes on."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import cycle

import pandas as pd
import plotly.express as px
import plotly.graph_objects as go

from automl.dashboard.charts.look import BLUE, GREY, PALETTE, STATE_COLOURS, drawn
from automl.records import State
from automl.training.loop import STEPS
from automl.tuning.pruning import RUNGS


def history(table: pd.DataFrame, metric: str, x: str = "seconds", *, log: bool = False) -> go.Figure:
    """What each configuration had when it ended, and the best so far, over `seconds` or `trial`."""
    figure = px.scatter(
        table,
        x=x,
        y="value",
        color="technique",
        hover_data=["trial", "seconds", "params"],
        color_discrete_sequence=PALETTE,
    )
    figure.add_scatter(
        x=table[x], y=table["best"], mode="lines", line={"color": GREY, "shape": "hv"}, name="best so far"
    )
    if log:
        figure.update_yaxes(type="log")
    return drawn(figure, "seconds since the search began" if x == "seconds" else "trial", metric)


def histories(tables: Mapping[str, pd.DataFrame], axis: str) -> go.Figure:
    """The best so far of several studies, by name."""
    figure = go.Figure()
    for colour, (name, table) in zip(cycle(PALETTE), tables.items(), strict=False):
        line = {"color": colour, "shape": "hv"}
        figure.add_scatter(x=table["seconds"], y=table["best"], mode="lines+markers", line=line, name=name)
    return drawn(figure, "seconds since the search began", axis)


def steps(table: pd.DataFrame, metric: str, *, rungs: bool = True) -> go.Figure:
    """Every training's values along its own schedule; those that were stopped end early, at one of the rungs."""
    figure = go.Figure()
    for state, group in table.groupby("state"):
        x: list[float | None] = []
        y: list[float | None] = []
        names: list[str | None] = []
        for trial, one in group.groupby("trial"):
            x += [*one["share"], None]
            y += [*one["value"], None]
            names += [*(f"trial {trial}" for _ in range(len(one))), None]
        figure.add_scatter(
            x=x,
            y=y,
            text=names,
            mode="lines+markers",
            name=str(state).lower(),
            line={"color": STATE_COLOURS[str(state)], "width": 1},
            marker={"size": 5, "symbol": "x" if state == State.PRUNED.value else "circle"},
            opacity=0.6,
        )
    for rung in RUNGS if rungs else ():
        figure.add_vline(x=rung / STEPS, line={"color": GREY, "dash": "dot", "width": 1})
    figure.update_xaxes(tickformat=".0%", range=[0, 1.02])
    return drawn(figure, "share of the training's own schedule", metric)


def one_training(table: pd.DataFrame, metric: str) -> go.Figure:
    """The values of one training."""
    figure = px.line(table, x="share", y="value", markers=True, color_discrete_sequence=[BLUE])
    figure.update_xaxes(tickformat=".0%", range=[0, 1.02])
    return drawn(figure, "share of the training's own schedule", metric)


def timeline(table: pd.DataFrame) -> go.Figure:
    """What each worker did when."""
    shown = table.assign(worker=table["worker"].fillna(0).astype(int).astype(str))
    figure = px.timeline(
        shown,
        x_start="started",
        x_end="ended",
        y="worker",
        color="state",
        color_discrete_map=STATE_COLOURS,
        hover_data=["trial", "technique", "stage"],
    )
    figure.update_yaxes(type="category")
    return drawn(figure, "time", "worker (0: not known)")


def states(counts: Mapping[str, int]) -> go.Figure:
    """How many trials ended how."""
    names = [name for name, count in counts.items() if count]
    figure = go.Figure(
        go.Bar(
            x=[counts[name] for name in names],
            y=[name.lower() for name in names],
            orientation="h",
            marker_color=[STATE_COLOURS[name] for name in names],
            text=[counts[name] for name in names],
        )
    )
    return drawn(figure, "trials", "", height=220)
