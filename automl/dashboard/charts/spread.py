"""What is luck, and what is not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import pandas as pd
import plotly.express as px
import plotly.graph_objects as go

from automl.dashboard.charts.look import BLUE, GREY, ORANGE, PALETTE, drawn
from automl.records import State

MARKS = {
    State.COMPLETE: (BLUE, "circle"),
    State.PRUNED: (ORANGE, "x"),
    State.RUNNING: (BLUE, "circle-open"),
    State.FAIL: (GREY, "x-open"),
}


def seeds(table: pd.DataFrame, metric: str, order: Sequence[int]) -> go.Figure:
    """Each configuration's trainings on their folds and seeds; one that did not end has its last value.

    Args:
        order: of the configurations, from left to right.
    """
    figure = go.Figure()
    for state, (colour, symbol) in MARKS.items():
        group = table[table["state"] == state.value]
        if group.empty:
            continue
        figure.add_scatter(
            x=_trial_names(group["configuration"]),
            y=group["value"],
            text=[f"fold {fold}, seed {seed}" for fold, seed in zip(group["fold"], group["seed"], strict=True)],
            mode="markers",
            marker={"color": colour, "symbol": symbol, "size": 9, "opacity": 0.7},
            name=state.value.lower(),
        )
    means = table[table["state"] == State.COMPLETE.value].groupby("configuration")["value"].mean()
    figure.add_scatter(
        x=_trial_names(means.index),
        y=means,
        mode="markers",
        marker={"symbol": "line-ew-open", "size": 26, "color": GREY, "line": {"width": 2}},
        name="mean",
    )
    figure.update_xaxes(categoryorder="array", categoryarray=_trial_names(order))
    return drawn(figure, "configuration", metric)


def _trial_names(numbers: Iterable[int]) -> list[str]:
    return [f"trial {number}" for number in numbers]


def best_of_n(table: pd.DataFrame, axis: str) -> go.Figure:
    """What the best of n configurations is expected to have."""
    figure = px.line(table, x="n", y="expected", color_discrete_sequence=[BLUE])
    return drawn(figure, "configurations tried", axis)


def intervals(table: pd.DataFrame, axis: str, *, name: str = "what", zero: bool = False) -> go.Figure:
    """Values with their intervals, one a line; `zero` marks where there is no difference."""
    table = table.iloc[::-1]
    figure = go.Figure(
        go.Scatter(
            x=table["value"],
            y=table[name],
            mode="markers",
            marker={"size": 10, "color": BLUE},
            error_x={
                "type": "data",
                "symmetric": False,
                "array": (table["high"] - table["value"]).fillna(0),
                "arrayminus": (table["value"] - table["low"]).fillna(0),
                "color": BLUE,
            },
        )
    )
    if zero:
        figure.add_vline(x=0, line={"color": GREY, "dash": "dot"})
    figure.update_yaxes(type="category")
    return drawn(figure, axis, "", height=120 + 45 * len(table))


def distribution(values: Mapping[str, Sequence[float]], metric: str) -> go.Figure:
    """The share of configurations that are no better than a value, for each technique or study."""
    table = pd.DataFrame(
        [(name, value) for name, several in values.items() for value in several], columns=["of", "value"]
    )
    figure = px.ecdf(table, x="value", color="of", markers=True, color_discrete_sequence=PALETTE)
    return drawn(figure, metric, "share of configurations")
