"""The whole way on a tiny task: one command, a study, a model that plain transformers loads, and resuming."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import pty
import subprocess
import sys
import termios
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import ROOT, Run, Workplace, make_workplace
from tests.postgres import empty_database

pytestmark = [pytest.mark.integration, pytest.mark.slow]
FACTS = {
    "seed",
    "data",
    "versions",
    "seconds",
    "examples_per_second",
    "peak_memory_mb",
    "start_seconds",
    "busy_seconds",
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    return make_workplace(tmp_path_factory.mktemp("search"))


@pytest.fixture(scope="module")
def first(place: Workplace) -> Run:
    return place.run(budget=10)


def test_it_ends_well_and_says_only_json(first: Run) -> None:
    assert (first.code, first.errors) == (0, "")
    assert [event["event"] for event in first.events].count("result") == 1
    result = first.result
    assert set(result) >= {
        "study",
        "task",
        "metric",
        "validation",
        "test",
        "baselines",
        "trials",
        "seconds",
        "model_dir",
    }
    assert set(result["test"]) >= {"value", "low", "high"}
    assert result["test"]["low"] <= result["test"]["value"] <= result["test"]["high"]
    assert set(result["trials"]) == {"complete", "pruned", "fail"}
    assert sum(result["trials"].values()) == 10
    assert set(result["baselines"]) == {"majority", "tfidf_logistic_regression"}


def test_the_tiny_task_is_learned(first: Run) -> None:
    assert first.result["validation"] > 0.9
    assert first.result["test"]["value"] > 0.9
    assert first.result["baselines"]["majority"]["test"]["value"] < 0.7


def test_every_trial_has_ended_with_its_facts(place: Workplace, first: Run) -> None:
    trials = place.trials()
    assert [trial.number for trial in trials] == list(range(10))
    assert {trial.state.name for trial in trials} <= {"COMPLETE", "PRUNED"}
    for trial in trials:
        assert set(trial.user_attrs) >= FACTS
        assert trial.intermediate_values
    for trial in (trial for trial in trials if trial.state.name == "COMPLETE"):
        assert list(trial.intermediate_values) == [1, 2, 4, 6, 8]
        assert trial.value == max(trial.intermediate_values.values())
        assert set(trial.user_attrs) >= {"checkpoint", "checkpoint_sha256", "best_step", "precision"}
    for trial in (trial for trial in trials if trial.state.name == "PRUNED"):
        assert trial.value == trial.intermediate_values[trial.last_step]


def test_the_default_configuration_is_tried_first(place: Workplace, first: Run) -> None:
    params = place.trials()[0].params
    assert params == {"learning_rate": 5e-3, "num_train_epochs": 3, "frozen_layers": 0, "augmentation": "none"}


def test_only_the_winners_checkpoint_is_kept(place: Workplace, first: Run) -> None:
    winner = max(first.of("trial_ended"), key=lambda e: (e["state"] == "COMPLETE", e["value"] or 0, -e["number"]))
    kept = [path.name for path in place.folder.glob("runs/*/checkpoints/*")]
    assert kept == [f"trial-{winner['number']:05d}.safetensors"]
    assert first.result["winner"]["trial"] == winner["number"]


PREDICT = """
import json, sys
from transformers import pipeline
assert "automl" not in sys.modules
texts = json.load(sys.stdin)
classify = pipeline("text-classification", sys.argv[1])
json.dump([answer["label"] for answer in classify(texts, truncation=True)], sys.stdout)
"""


def predict(folder: Path, texts: list[str], tmp_path: Path) -> list[str]:
    """The labels that transformers' own pipeline gives, in a process that cannot import this package."""
    done = subprocess.run(
        [sys.executable, "-I", "-W", "ignore", "-c", PREDICT, str(folder)],
        input=json.dumps(texts),
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    )
    labels: list[str] = json.loads(done.stdout.splitlines()[-1])
    return labels


def test_plain_transformers_gives_the_same_predictions(place: Workplace, first: Run, tmp_path: Path) -> None:
    from automl.prepare import Request, prepare

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place.folder)
        splits = prepare(Request("rows.csv", 1, model="model", search_space="space.yaml")).splits
    folder = place.folder / first.result["model_dir"]
    labels = predict(folder, [*splits.test.inputs, "word " * 300, "never seen before"], tmp_path)
    right = [splits.label_names[i] == label for i, label in zip(splits.test.labels, labels, strict=False)]
    assert sum(right) / len(right) == first.result["test"]["value"]
    assert set(labels) <= {"negative", "positive"}


def test_the_folder_has_a_card_and_the_result(place: Workplace, first: Run) -> None:
    folder = place.folder / first.result["model_dir"]
    written = json.loads((folder / "result.json").read_text())
    assert {"event": "result", **written} == first.result
    card = (folder / "README.md").read_text()
    for part in (
        "text-classification",
        written["data"]["fingerprint"][:16],
        f"{written['test']['value']:.3f}",
        "learning_rate",
    ):
        assert part in card
    assert not list(folder.glob("*.bin"))


def test_the_same_command_with_more_budget_goes_on(place: Workplace, first: Run) -> None:
    before = [(trial.number, trial.params, trial.value, trial.datetime_complete) for trial in place.trials()]
    more = place.run(budget=12)
    assert more.code == 0, more.errors
    after = [(trial.number, trial.params, trial.value, trial.datetime_complete) for trial in place.trials()]
    assert after[:10] == before
    assert len(after) == 12
    (started,) = more.of("study_started")
    assert (started["done"], started["budget"]) == (10, 12)
    assert sum(more.result["trials"].values()) == 12

    again = place.run(budget=12)
    assert again.code == 0
    assert again.of("trial_started") == []
    assert again.result["test"] == more.result["test"]
    assert again.result["test_reads"] == more.result["test_reads"]
    assert len(place.trials()) == 12


def test_another_model_under_the_same_name_is_refused_with_both_fingerprints(place: Workplace, first: Run) -> None:
    from tests.tiny import make_model

    make_model(place.folder / "other", seed=1)
    name = first.result["study"]
    count = len(place.trials())
    refused = place.run(model="other", study_name=name)
    assert refused.code == 2
    assert f"study '{name}' was made from another model" in refused.errors
    assert len(place.trials()) == count


def test_a_seed_and_one_worker_give_the_same_trials_and_winner(workplace: Workplace) -> None:
    def story(name: str) -> list[Any]:
        run = workplace.run(budget=4, workers=1, study_name=name)
        assert run.code == 0, run.errors
        return [(t.params, t.state.name, t.intermediate_values) for t in workplace.trials(name)] + [
            run.result["winner"]
        ]

    assert story("one") == story("two")


def test_a_study_on_postgresql_goes_on_too(workplace: Workplace) -> None:
    url = empty_database()
    first = workplace.run(budget=2, storage=url)
    assert (first.code, first.errors) == (0, "")
    more = workplace.run(budget=3, storage=url)
    assert (more.code, more.errors) == (0, "")
    assert sum(more.result["trials"].values()) == 3
    assert [event["done"] for event in more.of("study_started")] == [2]
    assert not (workplace.folder / "runs" / "studies.db").exists()


def test_on_a_terminal_it_shows_a_table_and_ends_with_the_result(workplace: Workplace) -> None:
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (40, 100))
    environment = {**workplace.environment, "PYTHONPATH": str(ROOT), "TERM": "xterm-256color", "LANG": "C.UTF-8"}
    line = workplace.command(budget=3)
    process = subprocess.Popen(line, cwd=workplace.folder, env=environment, stdout=theirs, stderr=theirs, stdin=theirs)
    os.close(theirs)
    screen = b""
    with contextlib.suppress(OSError):  # how a terminal says that its other end is closed
        while part := os.read(ours, 65536):
            screen += part
    os.close(ours)
    text = screen.decode()
    assert process.wait() == 0, text
    for shown in (
        "running",
        "Winner: trial",
        "this model",
        "tfidf logistic regression",
        "from transformers import pipeline",
    ):
        assert shown.lower() in text.lower()
    assert "Traceback" not in text
    assert "Warning" not in text


def test_rows_of_a_csv_reach_the_model_as_they_are(place: Workplace) -> None:
    with (place.folder / "rows.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 300
