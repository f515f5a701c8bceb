"""One search: what is best, how it got there, and what it does now."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from automl.dashboard import charts, evidence, queries
from automl.dashboard.current import decimals, find_study, last_error, live, metric_of, state, wanted_study
from automl.dashboard.parts import (
    choose,
    choose_several,
    guarded,
    language,
    link,
    plain,
    storage_url,
    t,
    view,
)
from automl.dashboard.queries import StudyState
from automl.dashboard.shown import figure, score, seconds_text, table
from automl.errors import AutomlError
from automl.records import State
from automl.study.door import leave_note, note_of, request_stop
from automl.study.reader import StudyRecord
from automl.study.record import RESULT

SCALES = {"linear": "Linear", "log": "Logarithmic"}
ORDERS = {"seconds": "By time", "trial": "By number of the trial"}
VIEWS = {"now": "Now", "best": "Best configurations", "space": "Search space", "work": "Work"}
MOST_ALIKE = 8  # configurations that are compared row by row
MOST_LINES = 200  # in one figure; of more trainings the last ones are drawn, and of more configurations the best


def page() -> None:
    """Everything about one study."""
    st.title(plain(wanted_study() or t("Study")))
    study = find_study()
    chosen = view(VIEWS) if study is not None and study.trials else None
    live(_overview if chosen == "now" else _headline)
    if study is None:
        return
    if chosen is None:
        st.info(t("No trial has begun yet."))
    else:
        live({"now": _progress, "best": _best, "space": _space, "work": _work}[chosen], seldom=True)
    _notes(study)


def _overview(study: StudyRecord) -> None:
    """Both at once: a browser's work is by the number of times that anything is drawn, not by how much."""
    _headline(study)
    _running(study)


def _headline(study: StudyRecord) -> None:
    facts, places = study.facts, decimals(study)
    result, trials = facts.get(RESULT), queries.trials_table(study)
    counts = trials["state"].value_counts()
    cells = st.columns(4)
    cells[0].metric(t("State"), t(state(study).value), help=plain(facts.get("command", "")))
    cells[1].metric(
        t("Trials"), f"{len(trials)}", help=", ".join(f"{n} {t(str(name).lower())}" for name, n in counts.items())
    )
    best, told = _leader(study, places)
    cells[2].metric(t("Best so far"), best, help=told)
    if result:
        told = t("95 % interval, before the test rows were read.")
        score(cells[3], t("Expected on unseen data"), result["estimate"], places, told)
        if alike := result["not_distinguishable_from"]:
            names = plain(", ".join(alike).replace("_", " "))
            st.caption(t("The winner cannot be told from: {names}", names=names))
        if better := result.get("outdone_by"):
            names = plain(", ".join(better).replace("_", " "))
            st.caption(t("Better by more than chance: {names}", names=names))
    else:
        cells[3].metric(t("Expected on unseen data"), "–", help=t("Said when the search ends."))
    models = ", ".join(name.rsplit("/", 1)[-1] for name in str(facts.get("model") or "").split(", "))
    about = [facts.get("task"), models, facts.get("search_space"), metric_of(study)]
    st.caption(" · ".join(plain(one) for one in about if one))
    if stand_in := facts.get("stand_in"):
        st.warning(plain(stand_in))
    if state(study) is StudyState.FAILED and (error := last_error(study)):
        st.error(plain(error), icon=":material/error:")


def _leader(study: StudyRecord, places: int) -> tuple[str, str]:
    """The mean of the configuration that comes first, and what it is the mean of."""
    for one in queries.configurations_table(study).dropna(subset=["mean"]).head(1).itertuples():
        of = t("Trial {number}: mean of {count} trainings.", number=one.configuration, count=one.complete)
        return f"{one.mean:.{places}f}", f"{of} {t('Chosen by it, so too high a guess for new data.')}"
    return "–", t("No trial is complete yet.")


def _running(study: StudyRecord) -> None:
    trials = queries.trials_table(study)
    running = trials[trials["state"] == State.RUNNING.value]
    if state(study) is not StudyState.RUNNING:
        return
    st.subheader(t("Running trials"))
    if running.empty:
        st.caption(t("None at this moment: the winner is being made into one model, or the search ends."))
        return
    for _, one in running.iterrows():
        value = "" if pd.isna(one["value"]) else f"{one['value']:.{decimals(study)}f}"
        words = [f"{t('trial')} {one['trial']}", one["technique"], one["params"], value]
        st.progress(min(float(one["share"]), 1.0), plain(" · ".join(word for word in words if word)))
    if study.is_search:  # what comes after the last trial is not cut short
        _stop(study)


def _stop(study: StudyRecord) -> None:
    with st.popover(t("Stop this search"), icon=":material/stop_circle:"):
        st.write(t("It stops within seconds, gives running trials back, and exports the best so far."))
        if st.button(t("Yes, stop it"), type="primary"):
            request_stop(storage_url(), study.name)
            st.toast(t("Asked."))


def _progress(study: StudyRecord) -> None:
    if queries.history_table(study).empty:
        st.info(t("No trial is complete yet."))
    else:
        st.subheader(t("Optimisation history"))
        if study.is_search:
            st.caption(t("Each configuration where all are compared: its first training."))
        order, scale = view(ORDERS, "order", "Optimisation history"), view(SCALES, "scale", "Scale")
        table_ = queries.history_table(study, order)
        log = scale == "log" and bool((table_["value"] > 0).all())
        figure(charts.history(table_, metric_of(study), order, log=log), "history")
    steps = queries.steps_table(study)
    if not steps.empty:
        kept = steps["trial"].drop_duplicates().tail(MOST_LINES)
        shown = steps[steps["trial"].isin(kept)]
        title = t("Values along each training, and the rungs") if study.is_search else t("Values along each training")
        figure(charts.steps(shown, metric_of(study), rungs=study.is_search), "steps", title)
        if steps["trial"].nunique() > MOST_LINES:
            st.caption(t("The last {count} trainings.", count=MOST_LINES))
    counts = {one.value: int((queries.trials_table(study)["state"] == one.value).sum()) for one in State}
    figure(charts.states(counts), "states", t("Trials by state"))


def _best(study: StudyRecord) -> None:
    found = queries.configurations_table(study)
    st.caption(
        t("Mean and spread (standard deviation) over folds and seeds. Who leads is first, then who came further.")
    )
    rows = table(
        found,
        "configurations",
        {
            "seconds": st.column_config.NumberColumn(t("cost, s"), format="%.1f"),
            "configuration": st.column_config.NumberColumn(t("trial"), format="%d"),
        },
        places=decimals(study),
        select="multi-row",
    )
    picked = [int(found.iloc[row]["configuration"]) for row in rows]
    if len(picked) == 1:
        link("trial", t("Open trial {number}", number=picked[0]), study=study.name, trial=picked[0])
    if len(picked) > 1:
        numbers = ", ".join(map(str, picked))
        link("compare", t("Compare trials {numbers}", numbers=numbers), study=study.name, configurations=picked)
    _alike(study, found)
    if result := study.facts.get(RESULT):
        st.markdown(f"**{t('Shipped')}**: {plain(result['shipped'])}")
        differences = pd.DataFrame(
            [(name, one["value"], one["low"], one["high"]) for name, one in result["differences"].items()],
            columns=["what", "value", "low", "high"],
        )
        if not differences.empty:
            axis = t("winner less this one, {metric}", metric=metric_of(study))
            figure(charts.intervals(differences, axis, zero=True), "differences", t("What it can be told from"))
            st.caption(t("On the same rows, with 95 % intervals."))


@guarded
def _alike(study: StudyRecord, found: pd.DataFrame) -> None:
    """The best on the rows that they had not seen, with intervals, and which cannot be told from the first."""
    best = found.loc[found["complete"] > 0, "configuration"].head(MOST_ALIKE)
    if not study.is_search or len(best) < 2:
        return
    try:
        standing = evidence.standing_table(study, tuple(best), metric_of(study))
    except AutomlError as error:
        st.info(plain(error))
        return
    if not standing.empty:
        axis = t("held out, {metric}, 95 % interval", metric=metric_of(study))
        figure(charts.intervals(standing, axis), "standing", t("Which of them cannot be told apart"))
        table(standing, "standing", places=decimals(study))
        st.caption(
            t("On the rows that each had not seen. The first was chosen by this score, which makes it too high.")
        )


def _space(study: StudyRecord) -> None:
    metric, table_ = metric_of(study), queries.configurations_table(study)
    techniques = sorted(set(table_["technique"]))
    values = {
        str(name) or metric: group["mean"].dropna().tolist()
        for name, group in table_.groupby("technique")
        if group["mean"].notna().any()
    }
    if values:
        figure(charts.distribution(values, metric), "distribution", t("Empirical distribution by technique"))
    best = table_["technique"].iloc[0]
    technique = choose(t("Technique"), techniques, "technique", default=best) if len(techniques) > 1 else best
    shown = queries.as_optuna(study, technique)
    complete = shown.get_trials(deepcopy=False, states=(_complete(),))
    chosen: dict[str, set[Any]] = {}
    for trial in complete:
        for name, value in trial.params.items():
            chosen.setdefault(name, set()).add(value)
    names = sorted(name for name, values in chosen.items() if len(values) > 1)
    if len(complete) < 2 or not names:
        st.info(t("Two configurations of a technique have to be complete before its params can be looked at."))
        return
    figure(charts.importances(shown, metric), "importances", t("Importance of params"))
    lines = queries.as_optuna(study, technique, best=MOST_LINES)
    figure(charts.parallel(lines, names, metric), "parallel", t("Parallel coordinates"))
    if len(complete) > MOST_LINES:
        st.caption(t("The best {best} of {all} configurations.", best=MOST_LINES, all=len(complete)))
    figure(charts.slices(shown, names, metric), "slices", t("Slices"))
    if len(names) > 1:
        pair = choose_several(t("Two params"), names, "params", names[:2], most=2)
        if len(pair) == 2:
            figure(charts.contour(shown, pair, metric), "contour", t("Contour"))
            figure(charts.rank(shown, pair, metric), "rank", t("Rank"))


def _complete() -> Any:
    import optuna

    return optuna.trial.TrialState.COMPLETE


def _work(study: StudyRecord) -> None:
    figure(charts.timeline(queries.timeline_table(study)), "timeline", t("What each worker did"))
    used = queries.utilisation_table(study)
    if not used.empty:
        st.caption(t("Share: of the time in which any trial ran, in training or evaluation."))
        table(used, "utilisation", {"busy": st.column_config.NumberColumn(t("busy, s"), format="%.1f")}, places=2)
    st.subheader(t("All trials"))
    trials = queries.trials_table(study)
    table(trials, "trials", places=decimals(study))
    st.caption(f"{t('Time of all trials')}: {seconds_text(trials['seconds'].sum())}")
    with st.expander(t("All that was recorded of this study")):
        st.json(dict(study.attributes))


def _notes(study: StudyRecord) -> None:
    with st.expander(t("Note on this study"), expanded=bool(note_of(study.facts))), st.form("note"):
        text = st.text_area(t("Note"), note_of(study.facts), key=f"note {study.name} {language()}")
        if st.form_submit_button(t("Keep this note")):
            leave_note(storage_url(), study.name, text)
            st.toast(t("Kept."))


guarded(page)()
