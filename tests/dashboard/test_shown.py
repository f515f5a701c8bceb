"""What is taken away from a page."""

from __future__ import annotations

import csv
import io

import pandas as pd
import plotly.graph_objects as go
import pytest

from automl.dashboard import charts
from automl.dashboard.shown import _csv
from automl.texts import FORMULA


def test_a_spreadsheet_computes_no_cell_of_a_table() -> None:
    texts = [f"{mark}cmd|' /C calc'!A0" for mark in FORMULA] + ["plain", "日本"]
    content = _csv(pd.DataFrame({"text": texts, "value": [-0.5] * len(texts)})).decode("utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(content, newline="")))
    assert all(not row["text"].startswith(FORMULA) for row in rows)
    assert rows[-2]["text"] == "plain"
    assert {row["value"] for row in rows} == {"-0.5"}, "a number stays one"


@pytest.mark.parametrize("labels", [("0", "4"), tuple(map(str, range(77)))])
def test_labels_that_are_numbers_are_names_on_axes(labels: tuple[str, ...]) -> None:
    import numpy as np

    counts = dict.fromkeys(labels, 3)
    figures: list[go.Figure] = [
        charts.balance({"labelled": counts}),
        charts.confusion(np.eye(len(labels), dtype=int), labels),
    ]
    assert {figure.layout.xaxis.type for figure in figures} == {"category"}
    assert figures[1].layout.yaxis.type == "category"
    assert figures[1].layout.height >= 15 * len(labels), "each has room for its name"
