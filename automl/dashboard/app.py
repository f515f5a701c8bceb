"""The app: its pages, the choice of study and language beside them. `python -m automl.dashboard` starts it."""

from __future__ import annotations

import streamlit as st

from automl.dashboard.current import wanted_study
from automl.dashboard.parts import choose, from_link, guarded, language, storage_url, store, t, to_link
from automl.dashboard.words import LANGUAGES

PAGES = {
    "studies": ("Studies", ":material/list:"),
    "study": ("Study", ":material/insights:"),
    "seeds": ("Seeds and folds", ":material/scatter_plot:"),
    "trial": ("Trial", ":material/model_training:"),
    "compare": ("Compare", ":material/compare:"),
    "data": ("Data", ":material/dataset:"),
    "model": ("Model", ":material/deployed_code:"),
}


def main() -> None:
    """Draw the page of the link."""
    st.set_page_config(page_title="automl", page_icon=":material/insights:", layout="wide")
    st.session_state["lang"] = language()
    pages = {
        name: st.Page(f"views/{name}.py", title=t(title), icon=icon, url_path=name, default=name == "studies")
        for name, (title, icon) in PAGES.items()
    }
    st.session_state["pages"] = pages
    page = st.navigation(list(pages.values()), position="top")
    _sidebar()
    page.run()


@guarded
def _sidebar() -> None:
    with st.sidebar:
        names = [one.name for one in store(storage_url()).studies()]
        chosen = wanted_study()
        if names:
            known = chosen if chosen in names else None if chosen else names[0]
            picked = st.selectbox(t("Study"), names, key=from_link("study", known), on_change=_another_study)
            if picked is not None:
                st.query_params["study"] = st.session_state["study"] = picked  # a click in the menu empties the link
        choose(t("Language"), list(LANGUAGES), "lang", language(), format_func=LANGUAGES.__getitem__)


def _another_study() -> None:
    for name in list(st.query_params):
        if name not in ("lang", "view", "what"):  # the rest was chosen of the one before
            st.query_params.pop(name)
    to_link("study")


main()
