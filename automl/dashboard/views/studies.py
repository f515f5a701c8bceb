"""Every study of the database."""

from __future__ import annotations

import streamlit as st

from automl.dashboard.parts import guarded, link, plain, storage_url, store, t
from automl.dashboard.queries import studies_table
from automl.dashboard.shown import table
from automl.dashboard.store import LONGEST
from automl.metrics import digits
from automl.study import readable_url

COLUMNS = ["study", "task", "state", "metric", "best", "estimate", "low", "high"]
COLUMNS += ["trials", "complete", "pruned", "fail", "running", "waiting", "seconds", "last"]


def page() -> None:
    """A searchable list; one that is picked is opened."""
    st.title(t("Studies"))
    st.caption(f"{t('Database')}: {plain(readable_url(storage_url()))}")
    st.fragment(guarded(_list), run_every=LONGEST)()


def _list() -> None:
    found = studies_table(store(storage_url()).studies())
    if found.empty:
        st.info(t("No study has been recorded yet. Start one:"))
        st.code("python -m automl.search --task sst2 --budget 50", language="bash")
        return
    known = st.query_params.get("search", "")
    wanted = st.text_input(t("Search by name, task or state"), known, key="search", placeholder="sst2").casefold()
    if wanted != known:
        st.query_params["search"] = wanted
    if wanted:
        texts = found[["study", "task", "state"]].fillna("").agg(" ".join, axis=1).str.casefold()
        found = found[texts.str.contains(wanted, regex=False)]
    shown = found[COLUMNS]
    picked = table(
        shown,
        "studies",
        {
            "last": st.column_config.DatetimeColumn(t("last activity"), format="YYYY-MM-DD HH:mm"),
            "seconds": st.column_config.NumberColumn(t("time, s"), format="%d"),
            "best": st.column_config.NumberColumn(
                t("best value"),
                format="%.4g",
                help=t("The winner's mean over its folds; until there is one, the best of all trials."),
            ),
            "estimate": st.column_config.NumberColumn(
                t("estimate"), format="%.3f", help=t("Expected on unseen data, corrected for having been chosen.")
            ),
        },
        places=digits(None),
        select="single-row",
    )
    if picked:
        name = shown.iloc[picked[0]]["study"]
        link("study", t("Open {name}", name=name), study=name)
    elif len(shown):
        st.caption(t("Pick a row to open its study."))


guarded(page)()
