"""How often a page is drawn again."""

from __future__ import annotations

import os
import socket
from datetime import timedelta

import pytest

from automl.dashboard.current import SELDOM, redrawn_after
from automl.study.heart import ALIVE, now
from automl.study.reader import StudyRecord


def searched(host: str | None, age: float = 0) -> StudyRecord:
    """A study whose search told a moment ago, or so many seconds ago, that it is at work."""
    alive = {"at": (now() - timedelta(seconds=age)).isoformat(), "host": host, "process": 1}
    return StudyRecord("s", {"identity": {}, ALIVE: alive}, ())


@pytest.mark.parametrize(("cores", "seconds"), [(1, 30), (2, 15), (4, 7.5), (64, 4)])
def test_beside_a_search_the_less_often_the_fewer_cores(
    monkeypatch: pytest.MonkeyPatch, cores: int, seconds: float
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    here, elsewhere = searched(socket.gethostname()), searched("another")
    assert redrawn_after(here, seldom=False) == seconds
    assert redrawn_after(here, seldom=True) == SELDOM * seconds
    assert redrawn_after(elsewhere, seldom=False) == redrawn_after(searched(None), seldom=False) == 4


def test_where_nobody_searches_figures_stay_and_a_new_search_is_noticed() -> None:
    dead = searched(socket.gethostname(), age=3600)
    assert redrawn_after(dead, seldom=True) is None
    assert redrawn_after(dead, seldom=False) == 10
    assert redrawn_after(None, seldom=False) == 4
