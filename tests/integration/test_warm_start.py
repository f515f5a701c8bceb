"""A search that begins with what another one found: told beforehand, tried first, recorded once."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import ROOT, Run, Workplace, make_workplace

pytestmark = [pytest.mark.integration, pytest.mark.slow]

# A frozen encoder's head has one value and no rungs: no clock decides which configurations get to their ends.
SPACE = """\
name: heads
params:
  technique: features
  per_device_train_batch_size: 8
  logistic_regression_c: {type: float, low: 0.001, high: 10.0, log: true, default: 0.01}
  feature_source: {type: categorical, choices: [all, last], default: last}
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    return make_workplace(tmp_path_factory.mktemp("search"), space=SPACE)


@pytest.fixture(scope="module")
def older(place: Workplace) -> Run:
    run = place.run(budget=8, study_name="older")
    assert (run.code, run.errors) == (0, "")
    assert run.result["warm_start"] == []
    return run


@pytest.fixture(scope="module")
def plan(place: Workplace, older: Run) -> str:
    line = place.command("--dry-run", "--warm-start", seed=1, study_name="newer")
    environment = {**place.environment, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(line, cwd=place.folder, env=environment, capture_output=True, text=True, check=True)
    return done.stdout


@pytest.fixture(scope="module")
def newer(place: Workplace, plan: str) -> Run:
    run = place.run("--warm-start", budget=7, seed=1, study_name="newer")
    assert (run.code, run.errors) == (0, "")
    return run


def notices(run: Run) -> list[str]:
    return [event["text"] for event in run.of("notice") if event["text"].startswith("warm start")]


def params(place: Workplace, study: str) -> list[dict[str, Any]]:
    return [trial.params for trial in place.trials(study)]


def test_the_best_of_the_other_study_is_tried_first(place: Workplace, older: Run, newer: Run) -> None:
    taken = newer.result["warm_start"]
    assert 1 <= len(taken) <= 2
    assert {one["study"] for one in taken} == {"older"}
    winner = params(place, "older")[older.result["winner"]["trial"]]
    recipe = params(place, "older")[0]
    assert [winner] == [one["params"] for one in taken][:1] or winner == recipe
    assert params(place, "newer")[: len(taken) + 1] == [*(one["params"] for one in taken), recipe]
    for one in taken:
        trials = [trial for trial in place.trials("older") if trial.params == one["params"]]
        assert trials[0].number == one["trial"]
        done = [trial.value for trial in trials if trial.state.name == "COMPLETE"]
        assert (one["trainings"], one["value"]) == (len(done), pytest.approx(sum(done) / len(done)))


def test_what_is_taken_is_told_beforehand_at_the_start_and_with_the_model(
    place: Workplace, plan: str, newer: Run
) -> None:
    taken = newer.result["warm_start"]
    told = [line.removeprefix("Taken").strip() for line in plan.splitlines() if line.startswith("Taken")]
    assert notices(newer) == [f"warm start: {one}" for one in told]
    assert len(told) == len(taken)
    first = plan.split("First configurations\n")[1].splitlines()[0]
    assert f"logistic_regression_c {taken[0]['params']['logistic_regression_c']:.3g}" in first
    folder = place.folder / newer.result["model_dir"]
    assert json.loads((folder / "result.json").read_text())["warm_start"] == taken
    (line,) = [line for line in (folder / "README.md").read_text().splitlines() if "Tried first" in line]
    assert all(f"trial {one['trial']} of study older" in line for one in taken)


def test_a_study_goes_on_with_what_it_took_when_it_began(place: Workplace, newer: Run) -> None:
    more = place.run(budget=14, study_name="older")  # which may have a better one now
    assert more.code == 0, more.errors
    for flag in ([], ["--warm-start"]):
        again = place.run(*flag, budget=8, seed=1, study_name="newer")
        assert (again.code, again.errors) == (0, "")
        assert again.result["warm_start"] == newer.result["warm_start"]
        assert notices(again) == notices(newer)


def test_without_the_flag_nothing_is_taken_also_not_later(place: Workplace, newer: Run) -> None:
    run = place.run(budget=1, seed=2, study_name="third")
    assert run.result["warm_start"] == []
    assert notices(run) == []
    assert "Tried first" not in (place.folder / run.result["model_dir"] / "README.md").read_text()
    more = place.run("--warm-start", budget=1, seed=2, study_name="third")
    assert more.result["warm_start"] == []
    assert [event["text"] for event in more.of("notice") if "began without it" in event["text"]]


def test_where_there_is_nothing_to_take_it_says_so(tmp_path: Path) -> None:
    run = make_workplace(tmp_path).run("--warm-start", budget=1)
    assert (run.code, run.errors) == (0, "")
    assert run.result["warm_start"] == []
    assert notices(run) == ["warm start: no other study has a configuration for this search space"]
