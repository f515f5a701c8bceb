"""The study that is looked at, and how it is followed while it is searched."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from datetime import UTC, datetime

import streamlit as st

from automl.dashboard.parts import guarded, plain, storage_url, store, t
from automl.dashboard.queries import StudyState, state_of
from automl.dashboard.store import LONGEST, standing
from automl.metrics import digits
from automl.records import State
from automl.study.heart import is_here
from automl.study.reader import StudyRecord

CORE_SECONDS = 30.0  # between two drawings beside a search: three browsers then take about a fiftieth of its processors
SELDOM = 4  # times as long between two drawings of what has figures
MOST_DECIMALS = 9


def wanted_study() -> str | None:
    """The name in the link, else the one that was looked at last."""
    wanted: str | None = st.query_params.get("study") or st.session_state.get("study")
    return wanted


def find_study() -> StudyRecord | None:
    """The one that is wanted, else the newest; None where there is none."""
    known = store(storage_url())
    wanted = wanted_study() or next((one.name for one in known.studies()), None)
    return None if wanted is None else known.study(wanted)


def chosen_study() -> StudyRecord | None:
    """The same; says so where there is none."""
    study, wanted = find_study(), wanted_study()
    if study is None and wanted is not None:
        name = plain(repr(wanted))
        st.warning(t("There is no study {name} in this database; the page Studies lists them.", name=name))
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
    """Of its scores; of another tool's values as many as tell them apart."""
    if study.is_search:
        return digits((study.facts.get("data") or {}).get("held_out"))
    values = sorted({trial.value for trial in study.trials if trial.value is not None and math.isfinite(trial.value)})
    span = values[-1] - values[0] if len(values) > 1 else 0.0
    return min(max(2 - math.floor(math.log10(span)), 0), MOST_DECIMALS) if span else digits(None)


def why_no_result(study: StudyRecord) -> str:
    """In words, and what to do."""
    command = study.facts.get("command")
    match state(study):
        case StudyState.FAILED:
            return t("This search failed: {error}", error=plain(last_error(study) or "?"))
        case StudyState.CUT_OFF if command:
            return t("This search was cut off; the same command goes on: {command}", command=plain(command))
        case _ if not study.is_search:
            return t("This study was recorded by another tool: it has no model, no texts and no estimate.")
        case _:
            return t("There is a model when the search ends.")


def last_error(study: StudyRecord) -> str | None:
    """Of the trials that broke."""
    errors = [str(trial.facts["error"]) for trial in study.trials if study.is_search and trial.facts.get("error")]
    return errors[-1] if errors else None


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

    st.fragment(guarded(again), run_every=redrawn_after(study, seldom=seldom))()


def watch() -> None:
    """Draw the page again when the study has come, has its first trial, or has ended: for what costs much to draw."""
    study = find_study()
    stage = _stage(study)

    def look() -> None:
        if _stage(find_study()) != stage:
            st.rerun()

    st.fragment(guarded(look), run_every=redrawn_after(study, seldom=False))()


def redrawn_after(study: StudyRecord | None, *, seldom: bool) -> float | None:
    """Seconds between two drawings; None: it is drawn once."""
    if study is not None and state(study) is not StudyState.RUNNING:
        return None if seldom else LONGEST  # it may be searched on
    seconds = standing(0 if study is None else len(study.trials))
    if study is not None and is_here(study.facts):
        seconds = max(seconds, CORE_SECONDS / (os.cpu_count() or 1))
    return seconds * (SELDOM if seldom else 1)


def _stage(study: StudyRecord | None) -> tuple[StudyState, bool] | None:
    """What decides which parts a page has."""
    return None if study is None else (state(study), bool(study.trials))
