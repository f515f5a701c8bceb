"""Configurations beside each other on the same rows: differences with intervals, confusions, rows they disagree on."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from automl.dashboard import charts, evidence, queries
from automl.dashboard.current import chosen_study, decimals, metric_of, watch, why_no_result
from automl.dashboard.parts import choose_several, guarded, plain, storage_url, store, t, view
from automl.dashboard.shown import figure, table
from automl.errors import DataError
from automl.params import short
from automl.selection.rows import LabelledRows
from automl.study.reader import StudyRecord
from automl.study.record import RESULT

MOST_ROWS = 500
SIDE_BY_SIDE = 3  # confusion matrices


def page() -> None:
    """Two or more configurations of a study, or several studies."""
    st.title(t("Compare"))
    if view({"configurations": "configurations", "studies": "studies"}, "what", "What") == "studies":
        _studies()
        return
    study = chosen_study()
    watch()
    if study is not None:
        _configurations(study)


def _configurations(study: StudyRecord) -> None:
    found = queries.configurations_table(study)
    known = found.loc[found["complete"] > 0, "configuration"].tolist()
    if len(known) < 2:
        st.info(t("Two configurations have to be complete before they can be compared."))
        return
    texts = {
        number: " · ".join(word for word in (str(number), technique, params) if word)
        for number, technique, params in zip(found["configuration"], found["technique"], found["params"], strict=True)
    }
    picked = choose_several(
        t("Configurations, by their first trial"),
        known,
        "configurations",
        known[:2],
        format_func=texts.__getitem__,
    )
    if len(picked) < 2:
        st.info(t("Pick two or more."))
        return
    _params(study, picked)
    if study.is_search:
        _outcomes(study, picked)
    else:
        st.info(why_no_result(study))


def _params(study: StudyRecord, picked: list[int]) -> None:
    _differ({f"trial {number}": _told(study, number) for number in picked})


def _told(study: StudyRecord, number: int) -> dict[str, str]:
    """Technique and params of a configuration, by name."""
    chosen = next(trial.params for trial in study.trials if trial.number == number)
    params = {name: short(value) for name, value in queries.params_of(chosen).items()}
    return {t("technique"): queries.technique_of(chosen)} | params


def _differ(columns: dict[str, dict[str, str]]) -> None:
    if len(columns) < 2:
        return
    frame = pd.DataFrame(columns).fillna("–")
    differ = frame[frame.nunique(axis=1) > 1]
    st.subheader(t("Params that differ"))
    table(differ.rename_axis(t("param")).reset_index(), "params that differ")


@guarded
def _outcomes(study: StudyRecord, picked: list[int]) -> None:
    try:
        rows = evidence.rows_of(study)
    except DataError as error:
        st.info(plain(error))
        return
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
    st.caption(t("Of the first seed: one answer a row."))
    columns = st.columns(min(len(said), SIDE_BY_SIDE))
    for place, name in enumerate(said):
        with columns[place % SIDE_BY_SIDE]:
            st.caption(plain(name))
            figure(charts.confusion(evidence.confusion(rows, said[name]), rows.label_names), f"confusion {name}")
    st.subheader(t("Rows on which they disagree"))
    differ = evidence.disagreements(rows, said)
    st.caption(t("{count} rows; those of which they are surest come first.", count=len(differ)))
    table(differ.head(MOST_ROWS), "disagreements")


def _studies() -> None:
    known = store(storage_url())
    names = [one.name for one in known.studies()]
    picked = choose_several(t("Studies"), names, "studies", names[:2])
    chosen = [study for study in map(known.study, picked) if study is not None]
    if not chosen:
        return
    summaries = queries.studies_table(one for one in known.studies() if one.name in picked)
    columns = ["study", "task", "metric", "best", "estimate", "low", "high", "trials", "seconds"]
    table(summaries[columns], "studies compared", {"best": st.column_config.NumberColumn(t("best"), format="%.4g")})
    _params_of_studies(chosen)
    measured = summaries.dropna(subset=["estimate"]).rename(columns={"estimate": "value", "study": "what"})
    for metric in dict.fromkeys(map(metric_of, chosen)):  # those of two metrics are not to be read on one axis
        st.subheader(plain(metric))
        own = [one for one in chosen if metric_of(one) == metric]
        shown = measured[measured["what"].isin([one.name for one in own])]
        if not shown.empty:
            axis = f"{t('expected on unseen data')}: {metric}"
            figure(charts.intervals(shown, axis), f"estimates {metric}")
        histories = {one.name: queries.history_table(one) for one in own}
        values = {name: table["value"].dropna().tolist() for name, table in histories.items()}
        if any(values.values()):
            figure(
                charts.histories(histories, t("best so far, {metric}", metric=metric)),
                f"histories {metric}",
                t("Optimisation history"),
            )
            title = t("Empirical distribution of what was tried")
            figure(charts.distribution(values, metric), f"studies {metric}", title)
    _winners(chosen)


@guarded
def _params_of_studies(studies: list[StudyRecord]) -> None:
    """Of the configuration that leads in each."""
    leaders = {study.name: queries.configurations_table(study)["configuration"].head(1).tolist() for study in studies}
    _differ({study.name: _told(study, number) for study in studies for number in leaders[study.name]})


@guarded
def _winners(studies: list[StudyRecord]) -> None:
    """Those of studies over the very same rows, by what they said of them unseen."""
    alike: dict[tuple[str, str], list[StudyRecord]] = {}
    for study in studies:
        if study.facts.get(RESULT) and "rows" in (study.facts.get("data") or {}):
            alike.setdefault((study.facts["data"]["fingerprint"], metric_of(study)), []).append(study)
    same = max(alike.values(), key=len, default=[])
    if len(same) < 2:
        st.caption(t("Studies over the same rows, both ended, are compared row by row."))
        return
    rows, said = evidence.rows_of(same[0]), dict[str, Any]()
    for study in same:
        found = evidence.said_by(study, evidence.rows_of(study), [study.facts[RESULT]["winner"]["trial"]])
        said.update((study.name, one) for one in found.values())
    if len(said) > 1:
        _side_by_side(rows, said, metric_of(same[0]), decimals(same[0]))


guarded(page)()
