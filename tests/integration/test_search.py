"""The whole way on a tiny task: one command, a study, a model that plain transformers loads, and resuming."""

from __future__ import annotations

import contextlib
import csv
import json
import math
import os
import pty
import subprocess
import sys
import termios
from pathlib import Path

import numpy as np
import pytest

from tests.integration.conftest import ROOT, Run, Workplace, make_workplace, place_of
from tests.postgres import empty_database
from tests.tiny import make_rows, write_csv

pytestmark = [pytest.mark.integration, pytest.mark.slow]
FACTS = {
    "stage",
    "fold",
    "seed",
    "data",
    "versions",
    "seconds",
    "examples_per_second",
    "peak_memory_mb",
    "peak_gpu_memory_mb",
    "start_seconds",
    "busy_seconds",
}
WRONG = 3  # rows with the other label than theirs


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    place = make_workplace(tmp_path_factory.mktemp("search"))
    write_csv(place.folder / "rows.csv", [*partly_wrong_rows(), *contradicting_rows()])
    return place


@pytest.fixture(scope="module")
def first(place: Workplace) -> Run:
    return place.run("--keep-original", budget=10)


def partly_wrong_rows() -> list[dict[str, str]]:
    rows = make_rows(300)
    for row in rows[:WRONG]:
        _turn(row)
    return rows


def contradicting_rows() -> list[dict[str, str]]:
    """Some of the last rows once more, with the other label."""
    rows = make_rows(300)[-20:]
    for row in rows:
        _turn(row)
    return rows


def _turn(row: dict[str, str]) -> None:
    row["label"] = "negative" if row["label"] == "positive" else "positive"


def test_it_ends_well_and_says_only_json(place: Workplace, first: Run) -> None:
    assert (first.code, first.errors) == (0, "")
    assert [event["event"] for event in first.events].count("result") == 1
    result = first.result
    assert set(result) >= {
        "study",
        "task",
        "metric",
        "validation",
        "estimate",
        "seeds",
        "not_distinguishable_from",
        "test",
        "baselines",
        "trials",
        "seconds",
        "model_dir",
        "shipped",
        "audit",
    }
    for score in (result["test"], result["estimate"]):
        assert score["low"] <= score["value"] <= score["high"]
    assert (result["estimate"]["rows"], result["test"]["rows"]) == (120, 60), "not the fold that chose"
    assert result["held_out_rows"] == 240
    assert set(result["trials"]) == {"complete", "pruned", "fail"}
    assert sum(result["trials"].values()) == len(place.trials()) <= 10
    assert set(result["baselines"]) == {
        "majority",
        "tfidf_logistic_regression",
        "frozen_encoder_logistic_regression",
    }


def test_the_tiny_task_is_learned(first: Run) -> None:
    assert first.result["validation"] > 0.9
    assert first.result["test"]["value"] > 0.9
    assert first.result["baselines"]["majority"]["test"]["value"] < 0.7


def test_every_trial_has_ended_with_its_facts(place: Workplace, first: Run) -> None:
    trials = place.trials()
    assert [trial.number for trial in trials] == list(range(len(trials)))
    assert {trial.state.name for trial in trials} <= {"COMPLETE", "PRUNED"}
    for trial in trials:
        assert set(trial.user_attrs) >= FACTS
        assert trial.intermediate_values
    for trial in (trial for trial in trials if trial.state.name == "COMPLETE"):
        assert list(trial.intermediate_values) == [1, 2, 4, 6, 8]
        assert trial.value == trial.intermediate_values[8], "the last step counts"
        assert set(trial.user_attrs) >= {"checkpoint", "checkpoint_sha256", "predictions", "loss", "precision"}
    for trial in (trial for trial in trials if trial.state.name == "PRUNED"):
        assert trial.value == trial.intermediate_values[trial.last_step]


def test_the_default_configuration_is_tried_first(place: Workplace, first: Run) -> None:
    params = place.trials()[0].params
    assert params == {"learning_rate": 2e-3, "num_train_epochs": 8, "frozen_layers": 0, "augmentation": "none"}


def test_all_are_tried_on_one_fold_and_the_best_go_on_to_the_others(place: Workplace, first: Run) -> None:
    trials = place.trials()
    assert len({place_of(trial) for trial in trials}) == len(trials)
    tried = [trial for trial in trials if trial.user_attrs["stage"] == "search"]
    race = [trial for trial in trials if trial.user_attrs["stage"] == "race"]
    assert len(tried) + len(race) == len(trials)
    assert {(trial.user_attrs["fold"], trial.user_attrs["seed"]) for trial in tried} == {(0, 0)}
    assert len(race) >= 2
    assert {(trial.user_attrs["fold"], trial.user_attrs["seed"]) for trial in race} <= {(1, 1), (0, 2)}
    for trial in (trial for trial in race if trial.user_attrs["fold"] == 1):
        known = [one for one in tried if one.state.name == "COMPLETE" and one.datetime_complete < trial.datetime_start]
        best = sorted(known, key=lambda one: (-one.value, one.user_attrs["loss"]))[: max(2, math.ceil(len(known) / 3))]
        assert trial.params in [one.params for one in best if one.number == trial.user_attrs["configuration"]]


def test_each_labelled_row_was_held_out_from_the_winner(place: Workplace, first: Run) -> None:
    from safetensors.numpy import load_file

    splits, trials, right, asked = place.splits(), place.trials(), 0, 0
    winner = [trials[number] for number in first.result["winner"]["trainings"]]
    folds = sorted(trial.user_attrs["fold"] for trial in winner)
    assert folds in ([0, 1], [0, 0, 1]), "each fold, and the first one with a further seed"
    assert first.result["seeds"] == [0, 1, 2][: len(folds)]
    for trial in winner:
        (logits,) = load_file(trial.user_attrs["predictions"]).values()
        held_out = splits.folds == trial.user_attrs["fold"]
        assert len(logits) == held_out.sum()
        hits = logits.argmax(axis=1) == splits.labelled.labels[held_out]
        assert trial.value == hits.mean()
        right, asked = right + hits.sum(), asked + len(hits)
    assert first.result["validation"] == pytest.approx(right / asked, abs=0.005)


def test_the_estimate_is_told_before_the_test_rows_are_read(first: Run) -> None:
    told = [event.get("text", "") for event in first.events]
    (estimate,) = [number for number, text in enumerate(told) if text.startswith("expected on unseen data")]
    (read,) = [number for number, text in enumerate(told) if text.startswith("reading the test split")]
    assert f"accuracy {first.result['estimate']['value']:.3f}" in told[estimate]
    assert estimate < read
    assert not [text for text in told[:estimate] if " test" in text]


def test_rows_with_a_wrong_label_are_found_and_named_outside_the_model(place: Workplace, first: Run) -> None:
    inputs = place.splits().labelled.inputs
    wrong = {row["text"]: row["label"] for row in partly_wrong_rows()[:WRONG] if row["text"] in inputs}
    found = [row for row in audited(place, first) if row["issue"] == "label"]
    assert wrong
    assert {row["text"]: row["given_label"] for row in found}.items() >= wrong.items()
    assert len(found) < 20
    assert first.result["audited_rows"] == len(inputs)
    assert not list((place.folder / first.result["model_dir"]).rglob("*.csv"))


def test_a_text_that_was_given_twice_with_two_labels_is_named_by_both_rows_of_the_file(
    place: Workplace, first: Run
) -> None:
    inputs = place.splits().labelled.inputs
    twice = {row["text"] for row in contradicting_rows()} & set(inputs)
    with (place.folder / "rows.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    found = [row for row in audited(place, first) if row["issue"] == "conflict" and row["confidence"] == "1.0000"]
    assert twice
    assert {row["text"] for row in found} == twice
    assert len(found) == 2 * len(twice)
    for row in found:
        own, other = rows[int(row["row"])], rows[int(row["other_row"])]
        assert own["text"] == other["text"] == row["text"]
        assert own["label"] == row["given_label"] != other["label"]


def audited(place: Workplace, run: Run) -> list[dict[str, str]]:
    with (place.folder / run.result["audit"]).open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_winners_own_models_are_kept_beside_the_one_that_is_shipped(place: Workplace, first: Run) -> None:
    from automl.export.original import load_original, probabilities

    folder, splits, kept = place.folder / first.result["model_dir"], place.splits(), first.result["original"]
    own = load_original(folder / "original")
    assert kept["models"] == len(own.members) == len(first.result["winner"]["trainings"])
    said = probabilities(own, splits.test.inputs).argmax(axis=1)
    assert kept["test"]["value"] == pytest.approx(np.mean(said == splits.test.labels), abs=0.02)


def test_a_student_of_all_models_is_shipped_and_their_checkpoints_are_kept(place: Workplace, first: Run) -> None:
    kept = {path.name for path in place.folder.glob("runs/*/checkpoints/*.safetensors")}
    assert kept >= {f"trial-{number:05d}.safetensors" for number in first.result["winner"]["trainings"]}
    facts = place.facts()
    assert facts["student"]["committee"] == first.result["winner"]["trainings"]
    assert facts["test"]["checkpoint_sha256"] == facts["student"]["checkpoint_sha256"]
    assert facts["student"]["value"] is None, "it holds nothing out: it learns from every labelled row"
    count = len(first.result["winner"]["trainings"])
    models = f"{count} models" if count > 1 else "one model"
    assert first.result["shipped"].startswith(f"a plain model that learned from the winner's {models}")
    assert f"{facts['rehearsal']['value']:.3f}" in first.result["shipped"]


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
    splits = place.splits()
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
        f"{written['estimate']['low']:.3f} to {written['estimate']['high']:.3f}",
        "2-fold cross-validation over all 240 labelled rows",
        written["shipped"],
        "learning_rate",
    ):
        assert part in card
    assert not list(folder.glob("*.bin"))


def test_the_same_command_with_more_budget_goes_on(place: Workplace, first: Run) -> None:
    before = [(trial.number, trial.params, trial.value, trial.datetime_complete) for trial in place.trials()]
    more = place.run("--keep-original", budget=20)
    assert more.code == 0, more.errors
    after = [(trial.number, trial.params, trial.value, trial.datetime_complete) for trial in place.trials()]
    assert after[: len(before)] == before
    assert len(before) < len(after) <= 20
    (started,) = more.of("study_started")
    assert (started["done"], started["budget"]) == (len(before), 20)
    assert sum(more.result["trials"].values()) == len(after)

    known = place.facts()["original"]
    place.record("original", {**known, "score": {**known["score"], "value": 0.123}})
    again = place.run("--keep-original", budget=20)
    assert again.code == 0
    assert again.of("trial_started") == []
    for same in ("winner", "estimate", "test", "test_reads", "shipped"):
        assert again.result[same] == more.result[same]
    assert again.result["original"]["test"]["value"] == 0.123, "what is known is not read again"
    assert again.result["by_label"] == more.result["by_label"] != {}
    place.record("test", {name: one for name, one in place.facts()["test"].items() if name != "by_label"})
    older = place.run("--keep-original", budget=20)  # recorded by a version that did not look at labels
    assert (older.code, older.result["by_label"]) == (0, {}), older.errors
    assert older.result["test"] == more.result["test"]
    assert len(place.trials()) == len(after)


def test_another_model_under_the_same_name_is_refused_with_both_fingerprints(place: Workplace, first: Run) -> None:
    from tests.tiny import make_model

    make_model(place.folder / "other", seed=1)
    name = first.result["study"]
    count = len(place.trials())
    refused = place.run(model="other", study_name=name)
    assert refused.code == 2
    assert f"study '{name}' was made from another model" in refused.errors
    assert len(place.trials()) == count


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
        "Winner: the configuration of trial",
        "expected on unseen data: accuracy",
        "this model",
        "tfidf logistic regression",
        "frozen encoder logistic regression",
        "from transformers import pipeline",
    ):
        assert shown.lower() in text.lower()
    assert "Traceback" not in text
    assert "Warning" not in text


def test_rows_of_a_csv_reach_the_model_as_they_are(place: Workplace) -> None:
    with (place.folder / "rows.csv").open(newline="") as file:
        given = {
            row["text"]: row["label"] for row in reversed(list(csv.DictReader(file)))
        }  # the first of a text counts
    splits = place.splits()
    for rows in (splits.labelled, splits.test):
        assert [given[text] for text in rows.inputs] == [splits.label_names[label] for label in rows.labels]
    assert len(splits.labelled) + len(splits.test) == len(given) == 300


def test_a_few_rows_are_held_out_where_folds_are_one_and_the_best_get_further_seeds(workplace: Workplace) -> None:
    run = workplace.run(budget=8, folds=1)
    assert (run.code, run.errors) == (0, "")
    trials = workplace.trials()
    winner = [trials[number] for number in run.result["winner"]["trainings"]]
    assert [(t.user_attrs["fold"], t.user_attrs["seed"]) for t in winner] == [(0, 0), (0, 1), (0, 2)]
    assert run.result["estimate"]["rows"] == 48
    assert "the winner's 3 models" in run.result["shipped"]


def test_rows_of_one_group_are_never_parted(workplace: Workplace) -> None:
    """Each author has a word of their own and one opinion: who has seen another text of theirs knows the label."""
    authors = [number % 30 for number in range(240)]
    labels = ["positive" if author % 2 else "negative" for author in authors]
    texts = [f"text {number} of word{author}" for number, author in enumerate(authors)]
    rows = [
        {"text": text, "label": label, "author": f"author {author}"}
        for text, label, author in zip(texts, labels, authors, strict=True)
    ]
    write_csv(workplace.folder / "rows.csv", rows)
    run = workplace.run(budget=2, group_column="author")
    assert (run.code, run.errors) == (0, "")
    known = run.result["baselines"]["tfidf_logistic_regression"]
    assert known["validation"] < 0.7
    assert known["test"]["value"] < 0.7
    assert run.result["estimate"]["value"] < 0.7
