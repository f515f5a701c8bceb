"""What all pages share: the chosen study, tables and figures that can be downloaded, links, and errors in words."""

from __future__ import annotations

import functools
import logging
import os
import traceback
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, ParamSpec

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from automl.dashboard.queries import StudyState, state_of
from automl.dashboard.store import LONGEST, Store, standing
from automl.dashboard.words import LANGUAGES, translate
from automl.doors import DEFAULT_STORAGE, STORAGE_VARIABLE
from automl.errors import AutomlError
from automl.metrics import digits
from automl.records import State
from automl.study.reader import Reader, StudyRecord

log = logging.getLogger(__name__)
SELDOM = 4  # times as long between two drawings of what has figures
Args = ParamSpec("Args")


def t(text: str, **values: Any) -> str:
    """A text of the page in the user's language."""
    return translate(text, language()).format(**values) if values else translate(text, language())


def language() -> str:
    """That of the link, else English."""
    chosen = st.query_params.get("lang", st.session_state.get("lang", "en"))
    return chosen if chosen in LANGUAGES else "en"


def storage_url() -> str:
    """The database of this app."""
    return os.environ.get(STORAGE_VARIABLE, DEFAULT_STORAGE)


@st.cache_resource(show_spinner=False)
def store(url: str) -> Store:
    """One for all sessions."""
    return Store(Reader(url))


def guarded(draw: Callable[Args, None]) -> Callable[Args, None]:
    """Draw it, or say what is wrong: nobody is shown an exception page."""

    @functools.wraps(draw)
    def drawn(*args: Args.args, **kwargs: Args.kwargs) -> None:
        try:
            draw(*args, **kwargs)
        except AutomlError as error:
            st.error(str(error), icon=":material/error:")
        except Exception as error:  # a bug; told with what is needed to report it
            log.exception("%s", draw.__name__)
            st.error(t("This could not be drawn: {error}", error=f"{type(error).__name__}: {error}"))
            with st.expander(t("For a bug report")):
                st.code(traceback.format_exc())

    return drawn


def find_study() -> StudyRecord | None:
    """That of the link, else the newest; None where there is none."""
    known = store(storage_url())
    wanted = st.query_params.get("study") or next((one.name for one in known.studies()), None)
    return None if wanted is None else known.study(wanted)


def chosen_study() -> StudyRecord | None:
    """The same; says so where there is none."""
    study, wanted = find_study(), st.query_params.get("study")
    if study is None and wanted is not None:
        st.warning(t("There is no study {name} in this database; the page Studies lists them.", name=repr(wanted)))
    elif study is None:
        st.info(t("No study has been recorded yet. Start one:"))
        st.code("python -m automl.search --task sst2 --budget 50", language="bash")
    return study


def state(study: StudyRecord) -> StudyState:
    """What a study is at now."""
    counts = {one: sum(trial.state is one for trial in study.trials) for one in State}
    return state_of(study.facts, counts, datetime.now(UTC))


def metric_of(study: StudyRecord) -> str:
    """What is on the axes."""
    return str(study.facts.get("metric") or t("value"))


def decimals(study: StudyRecord) -> int:
    """Of its scores."""
    return digits((study.facts.get("data") or {}).get("held_out"))


def live(draw: Callable[[StudyRecord], None], *, seldom: bool = False) -> None:
    """Draw a study, and where there may be news again from time to time; nothing where there is no study yet.

    Args:
        seldom: what has figures: they are drawn with the processors that search.
    """
    study = find_study()
    stage = _stage(study)

    def again() -> None:
        found = chosen_study()
        if _stage(found) != stage:
            st.rerun()  # all of the page, once: the study has come, has its first trial, or has ended
        if found is not None:
            draw(found)

    if study is not None and state(study) is not StudyState.RUNNING:
        every = None if seldom else LONGEST  # it may be searched on
    else:
        every = standing(0 if study is None else len(study.trials)) * (SELDOM if seldom else 1)
    st.fragment(guarded(again), run_every=every)()


def _stage(study: StudyRecord | None) -> tuple[StudyState, bool] | None:
    """What decides which parts a page has."""
    return None if study is None else (state(study), bool(study.trials))


def table(
    frame: pd.DataFrame, name: str, columns: Mapping[str, Any] | None = None, *, places: int = 3, **more: Any
) -> Any:
    """A table, with a button that downloads it as CSV; `places` are the decimals of its floating-point columns."""
    floats = {
        column: st.column_config.NumberColumn(t(column), format=f"%.{places}f")
        for column in frame.columns
        if pd.api.types.is_float_dtype(frame[column])
    }
    titles = {column: t(column) for column in frame.columns}
    event = st.dataframe(
        frame, hide_index=True, column_config={**titles, **floats, **(columns or {})}, key=f"table {name}", **more
    )
    _download(name, "csv", lambda: frame.to_csv(index=False).encode("utf-8-sig"))  # a spreadsheet else guesses that
    return event


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


def link(url_path: str, label: str, **query: Any) -> None:
    """A permanent link to a page of this app."""
    pages = st.session_state["pages"]
    wanted = {name: str(value) for name, value in query.items()} | {"lang": language()}
    st.page_link(pages[url_path], label=label, query_params=wanted)


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


def choose(label: str, options: Sequence[Any], key: str, default: Any = None, **more: Any) -> Any:
    """A choice that the link keeps, so that who gets the link sees the same."""
    known = st.query_params.get(key)
    wanted = next((one for one in options if str(one) == known), default if default in options else None)
    place = options.index(wanted) if wanted is not None else 0
    chosen = st.selectbox(label, options, index=place if options else None, key=f"choice {key}", **more)
    if chosen is not None and str(chosen) != known:
        st.query_params[key] = str(chosen)
    return chosen


def view(views: Mapping[str, str], key: str = "view", label: str = "View") -> str:
    """Which of few ways to see something, by its name in the link; `views` are names and titles."""
    known = st.query_params.get(key)
    chosen = st.segmented_control(
        t(label),
        list(views),
        default=known if known in views else next(iter(views)),
        format_func=lambda name: t(views[name]),
        label_visibility="collapsed",
        required=True,
    )
    name = str(chosen)
    if name != known:
        st.query_params[key] = name
    return name
