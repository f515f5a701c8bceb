"""What the search learned from: labels, lengths, likely errors, the hardest rows, what more labels would bring."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from automl.dashboard import charts, evidence, queries
from automl.dashboard.current import chosen_study, decimals, metric_of, watch, why_no_result
from automl.dashboard.parts import choose_several, guarded, plain, slide, t
from automl.dashboard.shown import figure, table
from automl.errors import DataError
from automl.learning_curve import LearningCurve, gain
from automl.selection.rows import FOLDER, LabelledRows
from automl.study.reader import StudyRecord
from automl.study.record import RESULT

MOST_CONFIGURATIONS = 8  # whose predictions tell how hard a row is: the best ones
MORE = range(50, 2001, 50)  # labelled rows that might be had


def page() -> None:
    """The data of one study."""
    st.title(t("Data"))
    study = chosen_study()
    watch()
    if study is None:
        return
    data = study.facts.get("data")
    if not data:
        st.info(why_no_result(study))
        return
    _preflight(data)
    _more_labels(study)
    try:
        rows = evidence.rows_of(study)
    except DataError as error:
        st.info(plain(error))
        return
    figure(charts.lengths([len(text) for text in rows.texts]), "lengths", t("Length of the texts"))
    _audit(study)
    _hardest(study, rows)


def _preflight(data: dict[str, Any]) -> None:
    rows = data["rows"]
    cells = st.columns(4)
    cells[0].metric(t("Labelled rows"), rows["labelled"])
    cells[1].metric(t("Test rows"), rows["test"])
    cells[2].metric(t("Labels"), len(data["labels"]["labelled"]))
    cells[3].metric(t("Folds"), data["folds"])
    st.caption(f"{plain(data['source'])} · {t('fingerprint')} `{data['fingerprint'][:16]}`")
    st.markdown(t("Compared on: {what}", what=plain(data["compared"])))
    for sentence in filter(None, (data.get("imbalance"), data.get("scarce"))):
        st.warning(plain(sentence))
    if data.get("dropped"):
        st.subheader(t("Dropped before the search"))
        table(pd.DataFrame(data["dropped"].items(), columns=["reason", "rows"]), "dropped")
    figure(charts.balance(data["labels"]), "labels", t("Rows of each label"))


@guarded
def _more_labels(study: StudyRecord) -> None:
    found = (study.facts.get(RESULT) or {}).get("learning_curve")
    st.subheader(t("What more labels would bring"))
    if not found:
        st.caption(why_no_result(study))
        return
    curve, metric, places = LearningCurve(**found), metric_of(study), decimals(study)
    values = np.array(curve.values)
    if len(set(curve.rows)) < 2:
        st.caption(t("Too few rows to say."))
        return
    more = slide(t("Further labelled rows"), MORE, "more", 100)
    expected = gain(curve, more)
    further = (curve.rows[-1] + more, float(values[-1].mean() + expected.value))
    figure(charts.learning_curve(curve.rows, values, metric, further), "more labels")
    text = t("{more} more labels: {metric} {gain}", more=more, metric=metric, gain=f"{expected.value:+.{places}f}")
    if values.shape[1] > 1:
        text += f" ({expected.low:+.{places}f} – {expected.high:+.{places}f}, 95 %)"
    st.markdown(f"**{text}**")
    st.caption(
        t(
            "By a power law through the errors of {model}, a quick model: what is shipped may gain more or less.",
            model=plain(curve.model.replace("_", " ")),
        )
    )


@guarded
def _audit(study: StudyRecord) -> None:
    st.subheader(t("Rows worth a second look"))
    if not study.facts.get(RESULT):
        st.caption(why_no_result(study))
        return
    found = evidence.read_audit(Path(study.facts[FOLDER]) / "audit.csv")
    known = sorted(set(found["issue"]))
    issues = choose_several(t("Issues"), known, "issues", known, format_func=t)
    st.caption(t("Probably mislabelled, in conflict with another row, or duplicated: the surest first."))
    table(found[found["issue"].isin(issues)], "audit", places=2)


@guarded
def _hardest(study: StudyRecord, rows: LabelledRows) -> None:
    st.subheader(t("Hardest rows"))
    found = queries.configurations_table(study)
    best = found.loc[found["complete"] > 0, "configuration"].head(MOST_CONFIGURATIONS)
    if best.empty:
        st.caption(t("No trial is complete yet."))
        return
    st.caption(t("By the mean log-loss of the best configurations, none of which had seen the row."))
    table(evidence.hardest(rows, evidence.said_by(study, rows, best)), "hardest rows", places=2)


guarded(page)()
