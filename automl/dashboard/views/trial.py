"""One trial: what it was, how it went, what it cost, why it broke, and how to have it again."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from automl.dashboard import charts, queries
from automl.dashboard.current import decimals, live, metric_of
from automl.dashboard.parts import choose, guarded, plain, storage_url, t
from automl.dashboard.shown import figure, seconds_text, table
from automl.params import short
from automl.records import Trial
from automl.study.door import leave_note, note_of
from automl.study.reader import StudyRecord

SHOWN_BY_THEMSELVES = ("error", "traceback", "versions", "settings", "loss", "value")


def page() -> None:
    """Everything about one trial."""
    st.title(t("Trial"))
    live(_draw, seldom=True)


def _draw(study: StudyRecord) -> None:
    if not study.trials:
        st.info(t("No trial has begun yet."))
        return
    numbers = [trial.number for trial in study.trials]
    best = queries.configurations_table(study)["configuration"]
    number = choose(t("Trial"), numbers, "trial", default=int(best.iloc[0]))
    _show(study, next(trial for trial in study.trials if trial.number == number))


def _show(study: StudyRecord, trial: Trial) -> None:
    trials = queries.trials_table(study)
    row: Any = trials[trials["trial"] == trial.number].iloc[0]
    cells = st.columns(4)
    value = "–" if pd.isna(row["value"]) else f"{row['value']:.{decimals(study)}f}"
    cells[0].metric(t("State"), t(trial.state.value.lower()))
    cells[1].metric(metric_of(study), value)
    cells[2].metric(t("Time"), seconds_text(row["seconds"]))
    cells[3].metric(t("Fold, seed"), f"{row['fold']}, {row['seed']}")
    if trial.facts.get("error"):
        st.error(plain(trial.facts["error"]))
        if trial.facts.get("traceback"):
            with st.expander(t("Traceback")):
                st.code(str(trial.facts["traceback"]))
    st.subheader(t("Params"))
    chosen = queries.facts_of(study, trial).get("settings") or queries.params_of(trial.params)
    arm = queries.technique_of(trial.params)
    params = ({t("arm of the search space"): arm} if arm else {}) | dict(chosen)
    table(pd.DataFrame({t("param"): params.keys(), t("value"): map(short, params.values())}), "params")
    steps = queries.steps_table(study)
    own = steps[steps["trial"] == trial.number]
    if not own.empty:
        figure(charts.one_training(own, metric_of(study)), "learning curve", t("Learning curve"))
    _siblings(study, trial)
    st.subheader(t("Resources and origin"))
    facts = {name: str(one) for name, one in trial.facts.items() if name not in SHOWN_BY_THEMSELVES}
    versions = queries.facts_of(study, trial).get("versions") or {}
    facts |= {f"version of {name}": str(one) for name, one in versions.items()}
    facts |= {"started": str(trial.started or ""), "ended": str(trial.ended or "")}
    table(pd.DataFrame({t("fact"): facts.keys(), t("value"): facts.values()}), "facts")
    _again(study, trial)
    _note(study, trial)


def _siblings(study: StudyRecord, trial: Trial) -> None:
    trials = queries.trials_table(study)
    own = trials.loc[trials["trial"] == trial.number, "configuration"].iloc[0]
    alike = trials[trials["configuration"] == own]
    if len(alike) > 1:
        st.subheader(t("The same configuration on other folds and seeds"))
        columns = ["trial", "stage", "fold", "seed", "state", "value", "seconds"]
        table(alike[columns], "siblings", places=decimals(study))


def _again(study: StudyRecord, trial: Trial) -> None:
    command = queries.again_command(study, trial)
    if command is None or (space := queries.as_space(trial)) is None:
        return
    st.subheader(t("Again"))
    st.caption(t("Trains this configuration on the first fold. Its space goes into the file that the command names."))
    st.code(command, language="bash", wrap_lines=True)
    name = f"trial-{trial.number}.yaml"
    st.download_button(name, space, file_name=name, mime="application/yaml", on_click="ignore", key="space")


def _note(study: StudyRecord, trial: Trial) -> None:
    with st.form("trial note"):
        key = f"note {study.name} {trial.number}"
        text = st.text_area(t("Note on this trial"), note_of(study.facts, trial.number), key=key)
        if st.form_submit_button(t("Keep this note")):
            leave_note(storage_url(), study.name, text, trial.number)
            st.toast(t("Kept."))


guarded(page)()
