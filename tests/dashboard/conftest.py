"""Databases to look at, and one real search that has ended."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.dashboard.studies import STAGES, make, make_large

APP = Path(__file__).parents[2] / "automl" / "dashboard" / "app.py"


@pytest.fixture(scope="session")
def stages(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The URL of a database with a study at each stage."""
    url = f"sqlite:///{tmp_path_factory.mktemp('stages') / 'studies.db'}"
    for name in STAGES:
        make(url, name)
    return url


@pytest.fixture(scope="session")
def large(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The URL of a database with a study of 5,000 trials."""
    url = f"sqlite:///{tmp_path_factory.mktemp('large') / 'studies.db'}"
    make_large(url)
    return url


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Opens a page of the app over a database, with what the link says; the finished run of it."""
    import streamlit as st
    from streamlit.testing.v1 import AppTest

    def opens(url: str, page: str = "studies", **query: Any) -> AppTest:
        monkeypatch.setenv("AUTOML_STORAGE", url)
        st.cache_resource.clear()
        app = AppTest.from_file(str(APP), default_timeout=60)
        for name, value in query.items():
            app.query_params[name] = value
        app.run()
        if page != "studies":
            app.switch_page(f"views/{page}.py").run()
        return app

    return opens
