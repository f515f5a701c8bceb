"""A study database of each kind, and studies in it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from automl.records import Trial
from automl.study import Study, open_study
from tests.postgres import empty_database

SPACE = {
    "learning_rate": FloatDistribution(1e-5, 1e-3, log=True),
    "num_train_epochs": IntDistribution(1, 9),
    "augmentation": CategoricalDistribution(["none", "random_edits"]),
}
PARAMS = {"learning_rate": 2e-4, "num_train_epochs": 3, "augmentation": "none"}
IDENTITY = {"task": "aaaa", "model": "bbbb", "search space": "cccc"}


class Opener:
    """Opens studies of one database, as many processes would, and closes them when the test is over."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.stack = contextlib.ExitStack()

    def __call__(self, name: str = "s", identity: Mapping[str, str] = IDENTITY) -> Study:
        return self.stack.enter_context(open_study(self.url, name, identity))


def start(study: Study, facts: Mapping[str, Any] | None = None, **params: Any) -> Trial:
    return study.start({**PARAMS, **params}, SPACE, facts or {})


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.integration)])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opener]:
    opener = Opener(f"sqlite:///{tmp_path / 'studies.db'}" if request.param == "sqlite" else empty_database())
    with opener.stack:
        yield opener
