"""What the search learned from: labels, lengths, likely errors, the hardest rows, what more labels would bring."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from automl.dashboard import charts, evidence, queries
from automl.dashboard.parts import chosen_study, decimals, figure, guarded, metric_of, t, table
from automl.learning_curve import LearningCurve, gain
from automl.study.reader import StudyRecord
from automl.study.record import RESULT

MOST_CONFIGURATIONS = 8  # whose predictions tell how hard a row is: the best ones


def page() -> None:
    """The data of one study."""
    st.title(t("Data"))
    study = chosen_study()
    if study is None:
        return
    data = study.facts.get("data")
    if not data:
        st.info(t("This study was recorded by another tool, which says nothing of its data."))
        return
    _preflight(data)
    _more_labels(study)
    _texts(study)
    _audit(study)
    _hardest(study)


def _preflight(data: dict[str, Any]) -> None:
    rows = data["rows"]
    cells = st.columns(4)
    cells[0].metric(t("Labelled rows"), rows["labelled"])
    cells[1].metric(t("Test rows"), rows["test"])
    cells[2].metric(t("Labels"), len(data["labels"]["labelled"]))
    cells[3].metric(t("Folds"), data["folds"])
    st.caption(f"{data['source']} · {t('fingerprint')} `{data['fingerprint'][:16]}`")
    st.markdown(t("Compared on: {what}", what=data["compared"]))
    if data.get("imbalance"):
        st.warning(data["imbalance"])
    if data.get("dropped"):
        st.subheader(t("Dropped before the search"))
        table(pd.DataFrame(data["dropped"].items(), columns=["reason", "rows"]), "dropped")
    figure(charts.balance(data["labels"]), "labels", t("Rows of each label"))


@guarded
def _more_labels(study: StudyRecord) -> None:
    found = (study.facts.get(RESULT) or {}).get("learning_curve")
    st.subheader(t("What more labels would bring"))
    if not found:
        st.caption(t("Measured when the search ends."))
        return
    curve, metric, places = LearningCurve(**found), metric_of(study), decimals(study)
    values = np.array(curve.values)
    if len(set(curve.rows)) < 2:
        st.caption(t("Too few rows to say."))
        return
    more = st.slider(t("Further labelled rows"), 50, 2000, 100, step=50)
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
            model=curve.model.replace("_", " "),
        )
    )


@guarded
def _texts(study: StudyRecord) -> None:
    rows = evidence.rows_of(study)
    figure(charts.lengths([len(text.split()) for text in rows.texts]), "lengths", t("Length of the texts"))


@guarded
def _audit(study: StudyRecord) -> None:
    st.subheader(t("Rows worth a second look"))
    result = study.facts.get(RESULT)
    if not result:
        st.caption(t("Written when the search ends."))
        return
    found = evidence.read_audit(Path(study.facts.get("folder", ".")) / "audit.csv")
    issues = st.multiselect(t("Issues"), sorted(set(found["issue"])), default=sorted(set(found["issue"])))
    st.caption(t("Probably mislabelled, in conflict with another row, or duplicated: the surest first."))
    table(found[found["issue"].isin(issues)], "audit", places=2)


@guarded
def _hardest(study: StudyRecord) -> None:
    st.subheader(t("Hardest rows"))
    found = queries.configurations_table(study)
    best = found.loc[found["complete"] > 0, "configuration"].head(MOST_CONFIGURATIONS)
    if best.empty:
        st.caption(t("No trial is complete yet."))
        return
    rows = evidence.rows_of(study)
    st.caption(t("By the mean log-loss of the best configurations, none of which had seen the row."))
    table(evidence.hardest(rows, evidence.said_by(study, rows, best)), "hardest rows", places=2)


guarded(page)()
