"""The engine's benchmark runs on a tiny model, and its figures have the names that readers of its JSON rely on."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from automl.models import checkpoint
from benchmarks import engine
from benchmarks.engine_accuracy import accuracy
from benchmarks.engine_crew import crew
from benchmarks.engine_linear import plot
from benchmarks.engine_peak import training_flops
from benchmarks.engine_setup import QUICK, Task, read_task
from tests.tiny import make_model, make_rows, write_jsonl

SPEED = {"examples_per_second", "examples_per_second_without_evaluations", "trainer_examples_per_second"}
RATIOS = {"ratio", "ratio_without_evaluations", "repetitions"}
SIZES = {"rows", "validation_rows", "epochs", "frozen_layers", "workers"}
KEYS = {
    "full": SPEED | RATIOS | SIZES,
    "frozen": SPEED | RATIOS | SIZES,
    "heads": {
        "configurations_per_minute",
        "configurations",
        "seconds",
        "features_seconds",
        "best_value",
        "rows",
        "workers",
    },
    "peak": {
        "bfloat16_gflops",
        "float32_gflops",
        "precision",
        "examples_per_second",
        "gflop_per_example",
        "gflop_per_example_with_padding",
        "share_of_bfloat16_peak",
        "share_of_bfloat16_peak_with_padding",
        "share_of_peak_of_its_precision",
        "matrix_width",
        "workers",
    },
    "linear": {"by_rows", "by_tokens", "different_texts", "batch_size", "workers"},
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    data = tmp_path_factory.mktemp("data")
    write_jsonl(data / "train.jsonl", make_rows(120, seed=0))
    write_jsonl(data / "test.jsonl", make_rows(40, seed=1))
    return make_model(tmp_path_factory.mktemp("model")), data


@pytest.fixture(scope="module")
def task(folders: tuple[Path, Path]) -> Task:
    model, data = folders
    here = replace(QUICK, processes=0)  # a process of its own for every measurement takes seconds to start
    return read_task(str(data), checkpoint.resolve(str(model)), here)


@pytest.mark.parametrize("piece", KEYS)
def test_every_piece_has_its_documented_figures(task: Task, piece: str) -> None:
    figures = json.loads(json.dumps(engine.measure([task], [piece])))[piece]
    assert set(figures) == KEYS[piece]
    numbers = [value for value in figures.values() if isinstance(value, float)]
    assert all(np.isfinite(numbers))


def test_the_plot_is_one_file_with_its_axes_named(tmp_path: Path) -> None:
    curves = {
        "by_rows": {"rows": [100, 1000], "seconds_per_epoch": [1.0, 10.0], "slope": 1.0},
        "by_tokens": {"tokens": [16, 256], "seconds_per_example": [0.01, 0.2], "slope": 1.08},
    }
    plot(curves, tmp_path / "docs" / "cost.svg")
    drawn = (tmp_path / "docs" / "cost.svg").read_text(encoding="utf-8")
    for words in ("training rows", "one epoch (seconds)", "length of a text (tokens)", "measured (slope 1.08)"):
        assert words in drawn


def test_accuracy_goes_on_from_the_runs_that_it_kept(task: Task, tmp_path: Path) -> None:
    results = tmp_path / "runs.json"
    first = accuracy([task], results)
    runs = json.loads(results.read_text(encoding="utf-8"))
    assert len(runs) == 2 * 2 * QUICK.accuracy_seeds  # layers frozen or not, fast or plain
    assert {run["precision"] for run in runs if run["path"] == "plain"} == {"float32"}
    assert {run["cached_layers"] for run in runs if run["path"] == "plain"} == {0}
    assert all(run["cached_layers"] == run["frozen_layers"] for run in runs if run["path"] == "fast")

    lost = runs.pop()
    for run in runs:
        run["kept"] = True
    results.write_text(json.dumps(runs), encoding="utf-8")
    assert accuracy([task], results) == first
    again = json.loads(results.read_text(encoding="utf-8"))
    assert [run["seed"] for run in again if "kept" not in run] == [lost["seed"]]

    (none_frozen, half_frozen) = first[task.name]
    assert none_frozen["frozen_layers"] == 0 < half_frozen["frozen_layers"]
    assert none_frozen["difference"][0] == pytest.approx(none_frozen["fast"][0] - none_frozen["plain"][0], abs=1e-4)


def test_operations_of_a_step_are_those_that_a_hand_counts(task: Task) -> None:
    lengths = np.array([10, 10, 20, 20])
    bare, padded = training_flops(task, lengths)
    width, layers, labels = 32, 3, 2
    weights = layers * (4 * width**2 + 2 * width * 2 * width)
    last = width**2 + 2 * width * 2 * width  # what the last layer does after its attention: at the first token alone
    outside = width**2 + labels * width + last  # pooler and head, once a text
    assert bare == 6 * (weights - last) * 15 + 6 * outside + 12 * 250 * width * layers
    assert padded == 6 * (weights - last) * 20 + 6 * outside + 12 * 400 * width * layers


def test_a_crew_shares_orders_and_says_what_broke() -> None:
    with crew(_doubler, 2, 2, threads=3) as run:
        answers = list(run(range(5)))
        assert sorted(double for double, _, _ in answers) == [0, 2, 4, 6, 8]
        assert len({pid for _, pid, _ in answers}) == 2
        assert {threads for _, _, threads in answers} == {"3"}
        with pytest.raises(RuntimeError, match="not a number: 'x'"):
            list(run(["x"]))
    assert os.environ["OMP_NUM_THREADS"] == "1"


def _doubler(factor: int) -> Callable[[Any], tuple[int, int, str]]:
    def double(number: Any) -> tuple[int, int, str]:
        if not isinstance(number, int):
            raise ValueError(f"not a number: {number!r}")
        return factor * number, os.getpid(), os.environ["OMP_NUM_THREADS"]

    return double
