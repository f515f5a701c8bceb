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
from automl.errors import AutomlError, DataError, NothingUsable, StorageError
from automl.study.reader import Reader

log = logging.getLogger(__name__)
MARKDOWN = re.compile(r"([\\`*_{}\[\]()#+!$:|<>~-])")
Args = ParamSpec("Args")
SUMMARIES = {  # of an error, in the user's language; the first that fits
    StorageError: "The database cannot be read.",
    DataError: "This data cannot be read.",
    NothingUsable: "What this needs is not there.",
    AutomlError: "This cannot be done as it stands.",
}


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
            summary = next(text for kind, text in SUMMARIES.items() if isinstance(error, kind))
            st.error(f"**{t(summary)}** {plain(error)}", icon=":material/error:")
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


def from_link(key: str, value: Any) -> str:
    """The key of a widget that shows what the link says; `to_link` writes there what the user picks.

    So the link alone decides. A widget without a key would be another one as soon as its default changes, and lose the
    next click.
    """
    own = f"choice {key}"
    st.session_state[own] = value
    return own


def to_link(key: str) -> None:
    """What the user has just picked, into the link: called before the page is drawn again."""
    chosen = st.session_state[f"choice {key}"]
    _keep(key, chosen if isinstance(chosen, list) else [chosen])


def _keep(key: str, chosen: Sequence[Any]) -> None:
    told = [str(one) for one in chosen] or [""]  # an empty one says that nothing is picked
    if st.query_params.get_all(key) != told:
        st.query_params[key] = told


def _linked(key: str, options: Sequence[Any]) -> list[Any]:
    by_text = {str(one): one for one in options}
    return [by_text[text] for text in st.query_params.get_all(key) if text in by_text]


def choose(label: str, options: Sequence[Any], key: str, default: Any = None, **more: Any) -> Any:
    """A choice that the link keeps, so that who gets the link sees the same; None where there are no options."""
    first = default if default in options else next(iter(options), None)
    wanted = next(iter(_linked(key, options)), first)
    chosen = st.selectbox(label, options, key=from_link(key, wanted), on_change=to_link, args=(key,), **more)
    if chosen is not None:
        _keep(key, [chosen])
    return chosen


def choose_several(
    label: str, options: Sequence[Any], key: str, default: Sequence[Any], *, most: int | None = None, **more: Any
) -> list[Any]:
    """Likewise, of any number or at most so many; where the user picks nothing, nothing."""
    emptied = st.query_params.get_all(key) == [""]
    wanted = [] if emptied else (_linked(key, options) or list(default))[:most]
    own = from_link(key, wanted)
    picked = st.multiselect(label, options, key=own, on_change=to_link, args=(key,), max_selections=most, **more)
    if options:
        _keep(key, picked)
    return list(picked)


def slide(label: str, options: Sequence[Any], key: str, default: Any) -> Any:
    """Likewise, one of many numbers."""
    wanted = next(iter(_linked(key, options)), default)
    chosen = st.select_slider(label, options, key=from_link(key, wanted), on_change=to_link, args=(key,))
    _keep(key, [chosen])
    return chosen


def view(views: Mapping[str, str], key: str = "view", label: str = "View") -> str:
    """Which of few ways to see something, by its name in the link; `views` are names and titles."""
    wanted = next(iter(_linked(key, list(views))), next(iter(views)))
    chosen = st.segmented_control(
        t(label),
        list(views),
        key=from_link(key, wanted),
        on_change=to_link,
        args=(key,),
        format_func=lambda name: t(views[name]),
        label_visibility="collapsed",
        required=True,
    )
    _keep(key, [chosen])
    return str(chosen)
