"""Tables, figures and scores as the pages show them, each with a button that takes it away."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from automl.dashboard.parts import language, t
from automl.texts import spreadsheet_safe

WORDS = ("state", "stage", "what", "issue")  # columns whose values are words of the pages


def table(
    frame: pd.DataFrame,
    name: str,
    columns: Mapping[str, Any] | None = None,
    *,
    places: int = 3,
    select: str | None = None,
) -> list[int]:
    """A table, with a button that downloads it as CSV; the places of the rows that are picked.

    Args:
        columns: how some of them are shown.
        places: decimals of floating-point columns; whole numbers have none.
        select: "single-row" or "multi-row", where rows may be picked. What was picked is forgotten when others come.
    """
    frame = _worded(frame)
    floats = {
        column: st.column_config.NumberColumn(t(column), format="%d" if _is_whole(frame[column]) else f"%.{places}f")
        for column in frame.columns
        if pd.api.types.is_float_dtype(frame[column])
    }
    config = {**{column: t(column) for column in frame.columns}, **floats, **(columns or {})}
    rows = hash(tuple(frame.iloc[:, 0])) if select else ""
    options: dict[str, Any] = {"on_select": "rerun", "selection_mode": select} if select else {}
    event: Any = st.dataframe(frame, hide_index=True, column_config=config, key=f"table {name} {rows}", **options)
    _download(name, "csv", lambda: _csv(frame))
    return list(event.selection.rows) if select and event else []


def _worded(frame: pd.DataFrame) -> pd.DataFrame:
    worded = {
        name: [t(str(value).lower()) if isinstance(value, str) else value for value in frame[name]]
        for name in WORDS
        if name in frame and language() != "en"
    }
    return frame.assign(**worded)


def _is_whole(values: pd.Series[Any]) -> bool:
    known = values.dropna()
    return bool(len(known)) and bool((known == known.round()).all()) and bool((known.abs() > 1).any())


def _csv(frame: pd.DataFrame) -> bytes:
    """For a spreadsheet as much as for a program."""
    return frame.map(_cell).to_csv(index=False).encode("utf-8-sig")  # a spreadsheet else guesses that


def _cell(value: object) -> object:
    """No formula, and no return without a line feed, which pandas would not quote."""
    return str(spreadsheet_safe(value)).replace("\r", "\n") if isinstance(value, str) else value


def figure(drawn: go.Figure, name: str, title: str = "") -> None:
    """A figure; its own button saves it as PNG, another as a page of HTML that needs no network."""
    if title:
        st.subheader(title)
    drawn = _translated(drawn)
    st.plotly_chart(
        drawn,
        key=f"figure {name}",
        alt=title or name,
        config={"displaylogo": False, "toImageButtonOptions": {"format": "png", "filename": name, "scale": 2}},
    )
    _download(name, "html", lambda: drawn.to_html(include_plotlyjs=True).encode())


def _download(name: str, suffix: str, content: Callable[[], bytes]) -> None:
    """A button for a file, which is made when it is asked for."""
    st.download_button(
        suffix.upper(),
        content,
        file_name=f"{name}.{suffix}",
        mime=f"text/{suffix}",
        key=f"{suffix} {name}",
        on_click="ignore",
        icon=":material/download:",
        type="tertiary",
    )


def _translated(drawn: go.Figure) -> go.Figure:
    """Its axes and names of lines in the user's language."""
    if language() == "en":
        return drawn
    for axis in (*drawn.select_xaxes(), *drawn.select_yaxes()):
        if axis.title.text:
            axis.title.text = t(axis.title.text)
    return drawn.for_each_trace(lambda trace: trace.update(name=t(trace.name)) if trace.name else ())


def score(place: Any, label: str, found: Mapping[str, float], places: int, told: str | None = None) -> None:
    """A score ("value") with its interval ("low", "high") below it, in a column."""
    interval = f"{found['low']:.{places}f} – {found['high']:.{places}f}, 95 %"
    place.metric(label, f"{found['value']:.{places}f}", interval, delta_color="off", delta_arrow="off", help=told)


def seconds_text(seconds: float | None) -> str:
    """A time in the units that a person thinks in."""
    if seconds is None or pd.isna(seconds):
        return "–"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"
