"""Whole searches over techniques, starting weights and altered texts: each ends in a folder that transformers loads."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from automl.printout import result_text
from tests.integration.conftest import Run, Workplace
from tests.integration.test_search import predict
from tests.tiny import make_rows

pytestmark = [pytest.mark.integration, pytest.mark.slow]

FEATURES = """\
name: heads
params:
  technique: features
  feature_source: {type: categorical, choices: [last, all, weighted_last_four]}
  pooling: {type: categorical, choices: [mean, cls]}
  feature_head: {type: categorical, choices: [logistic_regression, knn]}
"""

ADAPTER = """\
name: adapter
params:
  technique: {technique}
  learning_rate: {{type: float, low: 0.01, high: 0.03}}
  num_train_epochs: 2
  per_device_train_batch_size: 8
  num_virtual_tokens: 4
"""

TEXT = """\
name: text
params:
  learning_rate: 0.005
  num_train_epochs: {type: int, low: 1, high: 3}
  frozen_layers: {type: layers, low: 0.0, high: 1.0}
  per_device_train_batch_size: 8
  starting_weights: {type: categorical, choices: [pretrained, domain_adapted], default: domain_adapted}
  augmentation: {type: categorical, choices: [none, typos, sentence_order, random_edits], default: typos}
  augmentation_copies: {type: int, low: 1, high: 2}
"""


def search(place: Workplace, space: str, *extra: object, budget: int = 6) -> Run:
    (place.folder / "space.yaml").write_text(space)
    run = place.run(*extra, budget=budget)
    assert (run.code, run.errors) == (0, "")
    assert run.result["trials"]["fail"] == 0
    return run


def score_of(place: Workplace, run: Run, tmp_path: Path) -> float:
    """What plain transformers gets on the study's test rows."""
    splits = place.splits()
    labels = predict(place.folder / run.result["model_dir"], list(splits.test.inputs), tmp_path)
    right = [splits.label_names[i] == label for i, label in zip(splits.test.labels, labels, strict=True)]
    return sum(right) / len(right)


def test_a_head_on_features_is_found_fast_and_shipped_as_a_plain_model(workplace: Workplace, tmp_path: Path) -> None:
    run = search(workplace, FEATURES)
    assert run.result["winner"]["params"]["technique"] == "features"
    count = len(run.result["winner"]["trainings"])
    models = f"{count} models" if count > 1 else "one model"
    assert run.result["shipped"].startswith(f"a plain model that learned from the winner's {models}")
    assert score_of(workplace, run, tmp_path) == run.result["test"]["value"]
    card = (workplace.folder / run.result["model_dir"] / "README.md").read_text()
    assert f"Shipped: {run.result['shipped']}" in card
    assert not list(workplace.folder.glob("runs/*/cache"))
    again = workplace.run(budget=6)  # nothing left to do: neither trained nor tested again
    assert again.result["shipped"] == run.result["shipped"]
    assert again.result["test_reads"] == 1


def test_an_adapter_that_is_alone_is_folded_in(workplace: Workplace, tmp_path: Path) -> None:
    run = search(workplace, ADAPTER.format(technique="lora"), budget=1)
    assert run.result["shipped"].startswith("one model, trained as the winner on every labelled row")
    assert score_of(workplace, run, tmp_path) == run.result["test"]["value"]
    assert not list((workplace.folder / run.result["model_dir"]).rglob("adapter*"))


def test_what_learned_from_prefixes_needs_no_peft(workplace: Workplace, tmp_path: Path) -> None:
    run = search(workplace, ADAPTER.format(technique="prefix_tuning"), budget=2)
    assert run.result["winner"]["trainings"] == [0, 1]
    assert score_of(workplace, run, tmp_path) == run.result["test"]["value"]
    assert "peft" not in (workplace.folder / run.result["model_dir"] / "README.md").read_text()


def test_an_encoder_adapted_to_the_texts_is_a_place_to_start_from(workplace: Workplace, tmp_path: Path) -> None:
    (workplace.folder / "more.txt").write_text("\n".join(row["text"] for row in make_rows(100, seed=9)))
    run = search(workplace, TEXT, "--unlabelled", "more.txt")
    fact = run.result["domain_adaptation"]
    assert fact["perplexity_after"] > 0
    assert fact["texts"] > 240, "labelled rows and the further texts"
    (notice,) = [event for event in run.of("notice") if "domain adaptation" in event["text"]]
    assert "perplexity" in notice["text"]
    first = workplace.trials()[0]
    assert first.params["starting_weights"] == "domain_adapted"
    assert first.params["augmentation"] == "typos"
    assert score_of(workplace, run, tmp_path) == run.result["test"]["value"]


def test_what_an_augmentation_needs_is_said_before_anything_runs(workplace: Workplace) -> None:
    (workplace.folder / "space.yaml").write_text("name: x\nparams:\n  augmentation: back_translation\n")
    run = workplace.run()
    assert run.code == 2
    assert "--translators" in run.errors
    assert not (workplace.folder / "runs").exists()


def test_rare_labels_are_told(workplace: Workplace) -> None:
    rows = make_rows(200)
    few = [row for row in rows if row["label"] == "positive"][:20]
    lines = [json.dumps(row) for row in (*few, *(row for row in rows if row["label"] == "negative"))]
    (workplace.folder / "rows.jsonl").write_text("\n".join(lines))
    run = workplace.run("--time-limit", 120, task="rows.jsonl", budget=2)
    assert "imbalanced" in run.result["data"]["imbalance"]
    assert "'positive' (16 labelled, 4 test)" in run.result["data"]["scarce"]
    positive = run.result["by_label"]["positive"]
    assert positive["rows"] == 4
    assert f"positive {positive['f1']:.2f} (4 rows)" in result_text(run.result)
