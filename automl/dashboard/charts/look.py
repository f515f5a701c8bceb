"""How every figure looks. Colours can be told apart by everyone (Okabe and Ito)."""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go

from automl.records import State

BLUE, ORANGE, GREEN, RED, PURPLE, SKY, YELLOW, GREY = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#D55E00",
    "#CC79A7",
    "#56B4E9",
    "#F0E442",
    "#8C8C8C",
)
PALETTE = [BLUE, ORANGE, GREEN, PURPLE, RED, SKY, YELLOW, GREY]
STATE_COLOURS = {
    State.COMPLETE.value: BLUE,
    State.PRUNED.value: ORANGE,
    State.FAIL.value: RED,
    State.RUNNING.value: GREEN,
    State.WAITING.value: GREY,
}
SCALE = "Cividis"
HEIGHT = 380  # pixels


def drawn(figure: go.Figure, x: str | None, y: str | None, height: int = HEIGHT) -> go.Figure:
    """The figure in this look, with the titles of its axes; None leaves one as it is."""
    figure.update_layout(
        height=height,
        margin={"l": 8, "r": 8, "t": 24, "b": 8},
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.0, "x": 0, "title": None},
        hovermode="closest",
    )
    titles: list[tuple[Any, str | None]] = [(figure.update_xaxes, x), (figure.update_yaxes, y)]
    for update, title in titles:
        if title is not None:
            update(title_text=title, automargin=True)
    return figure
