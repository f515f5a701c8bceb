"""A tiny task and model in a folder of their own, and the command line run on them as a user would."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from automl.records import Splits
from tests.tiny import SPACE, make_model, make_rows, write_csv, write_space

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Workplace:
    """A folder from which searches are started."""

    folder: Path
    environment: Mapping[str, str] = field(default_factory=lambda: {**os.environ, "HF_HUB_OFFLINE": "1"})

    def command(self, *extra: object, budget: int = 8, **options: object) -> list[str]:
        """The search's command line; options override what it is usually given."""
        filled: dict[str, object] = {"task": "rows.csv", "model": "model", "search_space": "space.yaml"}
        filled |= {"workers": 2, "folds": 2, "budget": budget, **options}
        line = [sys.executable, "-m", "automl.search", *map(str, extra)]
        for name, value in filled.items():
            line += [f"--{name.replace('_', '-')}", str(value)]
        return line

    def start(self, *extra: object, **options: Any) -> subprocess.Popen[str]:
        """Start a search; stdout has JSON lines."""
        environment = {**self.environment, "PYTHONPATH": str(ROOT)}
        pipe = subprocess.PIPE
        line = self.command("--json", *extra, **options)
        return subprocess.Popen(
            line, cwd=self.folder, env=environment, stdout=pipe, stderr=pipe, text=True, start_new_session=True
        )

    def run(self, *extra: object, **options: Any) -> Run:
        """Run a search to its end."""
        process = self.start(*extra, **options)
        output, errors = process.communicate(timeout=240)
        return Run(process.returncode, [json.loads(line) for line in output.splitlines()], errors)

    def trials(self, study: str | None = None) -> list[Any]:
        """Every trial of the only study (or the one named), read by plain Optuna."""
        with self._study(study) as found:
            return list(found.trials)

    def facts(self) -> dict[str, Any]:
        """What was recorded about the only study as a whole."""
        with self._study() as found:
            return dict(found.user_attrs)

    def record(self, name: str, fact: Any) -> None:
        """Change what is known about it."""
        with self._study(mode="rw") as found:
            found.set_user_attr(name, fact)

    def splits(self, **options: Any) -> Splits:
        """The rows as a search of this folder has them."""
        from automl.prepare import Request, prepare

        filled = {"task": "rows.csv", "budget": 1, "model": "model", "search_space": "space.yaml", "folds": 2}
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(self.folder)
            return prepare(Request(**{**filled, **options})).splits

    @contextlib.contextmanager
    def _study(self, name: str | None = None, mode: str = "ro") -> Iterator[Any]:
        import optuna

        storage = optuna.storages.RDBStorage(f"sqlite:///file:{self.folder}/runs/studies.db?mode={mode}&uri=true")
        try:
            (name,) = [name] if name else [found.study_name for found in storage.get_all_studies()]
            yield optuna.load_study(study_name=name, storage=storage)
        finally:
            storage.remove_session()
            storage.engine.dispose()


@dataclass(frozen=True)
class Run:
    """What a search printed and how it ended."""

    code: int
    events: list[dict[str, Any]]
    errors: str

    @property
    def result(self) -> dict[str, Any]:
        assert self.events, self.errors
        assert self.events[-1]["event"] == "result", self.errors
        return self.events[-1]

    def of(self, event: str) -> list[dict[str, Any]]:
        return [found for found in self.events if found["event"] == event]


def place_of(trial: Any) -> tuple[int, int, int]:
    """Which configuration a trial has, and on which fold and with which seed: no study has two trials of one place."""
    facts = trial.user_attrs
    return facts.get("configuration", trial.number), facts["fold"], facts["seed"]


def make_workplace(folder: Path, *, rows: int = 300, space: str = SPACE) -> Workplace:
    make_model(folder / "model", extra_words=50)
    write_csv(folder / "rows.csv", make_rows(rows))
    write_space(folder / "space.yaml", space)
    return Workplace(folder)


@pytest.fixture
def workplace(tmp_path: Path) -> Workplace:
    return make_workplace(tmp_path)
