"""Configurations beside each other on the same rows: differences with intervals, confusions, rows they disagree on."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from automl.dashboard import charts, evidence, queries
from automl.dashboard.parts import chosen_study, decimals, figure, guarded, metric_of, storage_url, store, t, table
from automl.params import short
from automl.selection.rows import LabelledRows
from automl.study.reader import StudyRecord
from automl.study.record import RESULT

MOST_ROWS = 500


def page() -> None:
    """Two or more configurations of a study, or several studies."""
    st.title(t("Compare"))
    what = st.segmented_control(
        t("What"), ["configurations", "studies"], default="configurations", format_func=t, required=True
    )
    if what == "studies":
        _studies()
        return
    study = chosen_study()
    if study is not None:
        _configurations(study)


def _configurations(study: StudyRecord) -> None:
    found = queries.configurations_table(study)
    known = found.loc[found["complete"] > 0, "configuration"].tolist()
    if len(known) < 2:
        st.info(t("Two configurations have to be complete before they can be compared."))
        return
    wanted = [int(one) for one in st.query_params.get("configurations", "").split(",") if one.isdigit()]
    texts = {
        number: " · ".join(word for word in (str(number), technique, params) if word)
        for number, technique, params in zip(found["configuration"], found["technique"], found["params"], strict=True)
    }
    picked = st.multiselect(
        t("Configurations, by their first trial"),
        known,
        default=[one for one in wanted if one in known] or known[:2],
        format_func=texts.__getitem__,
    )
    st.query_params["configurations"] = ",".join(map(str, picked))
    if len(picked) < 2:
        st.info(t("Pick two or more."))
        return
    _params(study, picked)
    _outcomes(study, picked)


def _params(study: StudyRecord, picked: list[int]) -> None:
    trials = {trial.number: trial for trial in study.trials}
    columns = {
        f"trial {number}": {t("technique"): queries.technique_of(trials[number].params)}
        | {name: short(value) for name, value in queries.params_of(trials[number].params).items()}
        for number in picked
    }
    frame = pd.DataFrame(columns).fillna("–")
    differ = frame[frame.nunique(axis=1) > 1]
    st.subheader(t("Params that differ"))
    table(differ.rename_axis(t("param")).reset_index(), "params that differ")


@guarded
def _outcomes(study: StudyRecord, picked: list[int]) -> None:
    rows = evidence.rows_of(study)
    said = evidence.said_by(study, rows, picked)
    _side_by_side(rows, said, metric_of(study), decimals(study))


def _side_by_side(rows: LabelledRows, said: evidence.Said, metric: str, places: int) -> None:
    differences = evidence.differences_table(rows, said, metric)
    st.subheader(t("Paired differences"))
    st.caption(t("On the same rows, with 95 % intervals."))
    if not differences.empty:
        axis = t("difference of {metric}", metric=metric)
        figure(charts.intervals(differences, axis, zero=True), "paired differences")
        table(differences, "differences", places=places)
    table(evidence.scores_table(rows, said, metric), "scores", places=places)
    st.subheader(t("Confusion matrices"))
    for column, name in zip(st.columns(len(said)), said, strict=True):
        with column:
            st.caption(name)
            figure(charts.confusion(evidence.confusion(rows, said[name]), rows.label_names), f"confusion {name}")
    st.subheader(t("Rows on which they disagree"))
    differ = evidence.disagreements(rows, said)
    st.caption(t("{count} rows; those of which they are surest come first.", count=len(differ)))
    table(differ.head(MOST_ROWS), "disagreements")


def _studies() -> None:
    known = store(storage_url())
    names = [one.name for one in known.studies()]
    wanted = [name for name in st.query_params.get("studies", "").split(",") if name in names]
    picked = st.multiselect(t("Studies"), names, default=wanted or names[:2])
    st.query_params["studies"] = ",".join(picked)
    chosen = [study for study in map(known.study, picked) if study is not None]
    if not chosen:
        return
    summaries = queries.studies_table(one for one in known.studies() if one.name in picked)
    columns = ["study", "task", "metric", "best", "estimate", "low", "high", "trials", "seconds"]
    table(summaries[columns], "studies compared")
    measured = summaries.dropna(subset=["estimate"]).rename(columns={"estimate": "value", "study": "what"})
    if not measured.empty:
        figure(charts.intervals(measured, t("expected on unseen data")), "estimates")
    values = {one.name: queries.history_table(one)["value"].dropna().tolist() for one in chosen}
    if any(values.values()):
        title = t("Empirical distribution of what was tried")
        figure(charts.distribution(values, t("value")), "studies", title)
    _winners(chosen)


@guarded
def _winners(studies: list[StudyRecord]) -> None:
    """Those of studies over the very same rows, by what they said of them unseen."""
    done = [study for study in studies if study.facts.get(RESULT) and "rows" in (study.facts.get("data") or {})]
    same = [one for one in done if one.facts["data"]["fingerprint"] == done[0].facts["data"]["fingerprint"]]
    if len(same) < 2:
        st.caption(t("Studies over the same rows, both ended, are compared row by row."))
        return
    rows, said = evidence.rows_of(same[0]), dict[str, Any]()
    for study in same:
        own = evidence.rows_of(study)
        found = evidence.said_by(study, own, [study.facts[RESULT]["winner"]["trial"]])
        if own.texts == rows.texts:
            said[study.name] = next(iter(found.values()))
    _side_by_side(rows, said, metric_of(same[0]), decimals(same[0]))


guarded(page)()
