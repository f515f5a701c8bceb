"""What is luck: the same configuration on other folds and seeds, and what is left of the best value in the end."""

from __future__ import annotations

import streamlit as st

from automl.dashboard import charts, queries
from automl.dashboard.current import decimals, live, metric_of
from automl.dashboard.parts import guarded, t
from automl.dashboard.shown import figure, table
from automl.records import State
from automl.study.reader import StudyRecord

MOST_CONFIGURATIONS = 20  # in one figure, the best ones
MOST_DRAWN = 200  # of the curve of the expected best


def page() -> None:
    """Spread over seeds and folds, weak seeds, the expected best, and validation beside test."""
    st.title(t("Seeds and folds"))
    live(_draw, seldom=True)


def _draw(study: StudyRecord) -> None:
    _spread(study)
    _expected_best(study)
    _luck(study)


def _spread(study: StudyRecord) -> None:
    seeds = queries.seeds_table(study)
    if seeds.empty:
        st.info(t("No configuration was trained on more than one fold or seed yet."))
        return
    ranked = queries.configurations_table(study)["configuration"]
    best = [number for number in ranked if number in set(seeds["configuration"])][:MOST_CONFIGURATIONS]
    shown = seeds[seeds["configuration"].isin(best) & seeds["value"].notna()]
    figure(charts.seeds(shown, metric_of(study), best), "seeds", t("Each configuration on its folds and seeds"))
    st.caption(t("All train with the same folds and seeds, so that what is compared is paired."))
    weak = seeds[(seeds["state"] == State.PRUNED.value) & (seeds["stage"] == "race")]
    st.subheader(t("Weak seeds, and where they were cut"))
    if weak.empty:
        st.caption(t("None was cut."))
    else:
        columns = ["configuration", "technique", "fold", "seed", "value", "share"]
        share = st.column_config.NumberColumn(t("cut at, share of its schedule"), format="percent")
        table(weak[columns], "weak seeds", {"share": share}, places=decimals(study))


def _expected_best(study: StudyRecord) -> None:
    history = queries.history_table(study)
    if len(history) < 2:
        return
    curve = queries.best_of_n(history["value"].tolist(), min(len(history), MOST_DRAWN), maximize=study.maximize)
    figure(
        charts.best_of_n(curve, t("expected best {metric}", metric=metric_of(study))),
        "best of n",
        t("Expected best of n configurations"),
    )
    st.caption(t("Of those that were trained to the end; weak ones were stopped before."))
    st.caption(t("The maximum grows with every look, also where nothing is better: the reason why it is no estimate."))


def _luck(study: StudyRecord) -> None:
    luck = queries.luck_table(study)
    st.subheader(t("How much of the gain was luck"))
    if luck.empty:
        st.caption(t("Said when the search ends: the test rows are read once."))
        return
    shown = luck.assign(what=[t(what) for what in luck["what"]])
    figure(charts.intervals(shown, metric_of(study)), "luck")
    best, test = luck["value"].iloc[0], luck["value"].iloc[-1]
    st.markdown(
        t(
            "The best single training showed {best}, the test rows gave {test}: the difference is {lost}.",
            best=f"{best:.{decimals(study)}f}",
            test=f"{test:.{decimals(study)}f}",
            lost=f"{best - test:+.{decimals(study)}f}",
        )
    )


guarded(page)()
