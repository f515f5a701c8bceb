"""What all pages share: the language, the database, links and choices that a link keeps, and errors in words."""

from __future__ import annotations

import functools
import logging
import os
import re
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ParamSpec

import streamlit as st

from automl.dashboard.store import Store
from automl.dashboard.words import LANGUAGES, translate
from automl.doors import DEFAULT_STORAGE, STORAGE_VARIABLE
from automl.errors import AutomlError
from automl.study.reader import Reader

log = logging.getLogger(__name__)
MARKDOWN = re.compile(r"([\\`*_{}\[\]()#+!$:|<>~-])")
Args = ParamSpec("Args")


def t(text: str, **values: Any) -> str:
    """A text of the page in the user's language."""
    return translate(text, language()).format(**values) if values else translate(text, language())


def plain(text: object) -> str:
    """A name or text of the user's for a place that takes Markdown: it is shown as it is."""
    return MARKDOWN.sub(r"\\\1", str(text))


def language() -> str:
    """That of the link, else English."""
    chosen = st.query_params.get("lang", st.session_state.get("lang", "en"))
    return chosen if chosen in LANGUAGES else "en"


def storage_url() -> str:
    """The database of this app."""
    return os.environ.get(STORAGE_VARIABLE, DEFAULT_STORAGE)


@st.cache_resource(show_spinner=False)
def store(url: str) -> Store:
    """One for all sessions."""
    return Store(Reader(url))


def guarded(draw: Callable[Args, None]) -> Callable[Args, None]:
    """Draw it, or say what is wrong: nobody is shown an exception page."""

    @functools.wraps(draw)
    def drawn(*args: Args.args, **kwargs: Args.kwargs) -> None:
        try:
            draw(*args, **kwargs)
        except AutomlError as error:
            st.error(plain(error), icon=":material/error:")
        except Exception as error:  # a bug; told with what is needed to report it
            log.exception("%s", draw.__name__)
            st.error(t("This could not be drawn: {error}", error=plain(f"{type(error).__name__}: {error}")))
            with st.expander(t("For a bug report")):
                st.code(traceback.format_exc())

    return drawn


def link(url_path: str, label: str, **query: Any) -> None:
    """A permanent link to a page of this app; a list gives a name as often as it has members."""
    pages = st.session_state["pages"]
    several = {name: value if isinstance(value, list) else [value] for name, value in query.items()}
    wanted = [(name, str(one)) for name, values in {**several, "lang": [language()]}.items() for one in values]
    st.page_link(pages[url_path], label=plain(label), query_params=wanted)


def choose(label: str, options: Sequence[Any], key: str, default: Any = None, **more: Any) -> Any:
    """A choice that the link keeps, so that who gets the link sees the same; each study has its own."""
    known = st.query_params.get(key)
    wanted = next((one for one in options if str(one) == known), default if default in options else None)
    place = options.index(wanted) if wanted is not None else 0
    own = f"choice {key} {st.query_params.get('study')}"
    chosen = st.selectbox(label, options, index=place if options else None, key=own, **more)
    if chosen is not None and str(chosen) != known:
        st.query_params[key] = str(chosen)
    return chosen


def choose_several(label: str, options: Sequence[Any], key: str, default: Sequence[Any], **more: Any) -> list[Any]:
    """Likewise, of any number."""
    known = st.query_params.get_all(key)
    wanted = [one for name in known for one in options if str(one) == name]
    picked = st.multiselect(label, options, default=wanted or list(default), **more)
    if list(map(str, picked)) != known:
        st.query_params[key] = [str(one) for one in picked]
    return list(picked)


def view(views: Mapping[str, str], key: str = "view", label: str = "View") -> str:
    """Which of few ways to see something, by its name in the link; `views` are names and titles."""
    known = st.query_params.get(key)
    chosen = st.segmented_control(
        t(label),
        list(views),
        default=known if known in views else next(iter(views)),
        format_func=lambda name: t(views[name]),
        label_visibility="collapsed",
        required=True,
    )
    name = str(chosen)
    if name != known:
        st.query_params[key] = name
    return name
