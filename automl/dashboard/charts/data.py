"""The rows, what was said of them, and what more of them would bring."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import plotly.express as px
import plotly.graph_objects as go

from automl.dashboard.charts.look import BLUE, HEIGHT, ORANGE, PALETTE, SCALE, SKY, drawn

LABEL_HEIGHT = 16  # pixels


def balance(labels: Mapping[str, Mapping[str, int]]) -> go.Figure:
    """Rows of each label, in each part of the data."""
    table = pd.DataFrame(
        [(part, label, count) for part, counts in labels.items() for label, count in counts.items()],
        columns=["rows of", "label", "rows"],
    )
    figure = px.bar(
        table, x="label", y="rows", color="rows of", barmode="group", color_discrete_sequence=PALETTE, text_auto=True
    )
    figure.update_xaxes(type="category")  # a label may be a number
    return drawn(figure, "label", "rows")


def lengths(characters: Sequence[int]) -> go.Figure:
    """How long the texts are: not in words, which not every language parts."""
    figure = px.histogram(x=list(characters), nbins=40, color_discrete_sequence=[BLUE])
    return drawn(figure, "characters of a text", "rows")


def confusion(counts: np.ndarray, names: Sequence[str]) -> go.Figure:
    """Rows of each label by what was predicted for them, [labels, labels]."""
    figure = px.imshow(
        counts,
        x=list(names),
        y=list(names),
        text_auto=len(names) <= 20,
        color_continuous_scale=SCALE,
        aspect="auto",
    )
    figure.update_coloraxes(showscale=False)
    figure.update_xaxes(type="category")
    figure.update_yaxes(type="category")
    return drawn(figure, "predicted label", "given label", height=max(HEIGHT, LABEL_HEIGHT * len(names)))


def learning_curve(
    rows: Sequence[int], values: np.ndarray, metric: str, further: tuple[int, float] | None
) -> go.Figure:
    """Scores against rows trained on, [sizes, folds], and where the power law leads."""
    figure = go.Figure()
    for fold in range(values.shape[1]):
        figure.add_scatter(
            x=list(rows), y=values[:, fold], mode="markers", marker={"color": SKY, "size": 6}, showlegend=False
        )
    means = values.mean(axis=1)
    figure.add_scatter(x=list(rows), y=means, mode="lines+markers", line={"color": BLUE}, name="mean of the folds")
    if further is not None:
        figure.add_scatter(
            x=[rows[-1], further[0]],
            y=[means[-1], further[1]],
            mode="lines+markers",
            line={"color": ORANGE, "dash": "dash"},
            name="expected",
        )
    return drawn(figure, "rows trained on", metric)
