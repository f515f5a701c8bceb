"""Several encoders searched at once: one study, and the winner's own weights and tokenizer in the folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.integration.conftest import Run, Workplace, make_workplace
from tests.integration.test_search import predict
from tests.tiny import make_model

pytestmark = [pytest.mark.integration, pytest.mark.slow]

TWO_TECHNIQUES = """\
name: two
params:
  per_device_train_batch_size: 8
techniques:
  head:
    params: {technique: features, logistic_regression_c: {type: float, low: 1.0e-2, high: 1.0, log: true}}
  full:
    params:
      learning_rate: {type: float, low: 2.0e-3, high: 5.0e-3, log: true, default: 3.0e-3}
      num_train_epochs: 10
      frozen_layers: {type: layers, low: 0.0, high: 0.4, default: 0.0}
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    """The usual model, to which every text is unknown; and one that is deeper and has more room and other words."""
    place = make_workplace(tmp_path_factory.mktemp("backbones"), space=TWO_TECHNIQUES)
    blind = place.folder / "model" / "tokenizer.json"
    blind.write_text(json.dumps({**json.loads(blind.read_text()), "pre_tokenizer": None}))  # a text is one word
    make_model(place.folder / "deep", layers=5, width=48, words_first=70, positions=96, seed=1)
    return place


@pytest.fixture(scope="module")
def first(place: Workplace) -> Run:
    run = place.run(model="model,deep", budget=8)
    assert (run.code, run.errors) == (0, "")
    return run


def test_the_cheap_technique_of_every_model_is_tried_first(place: Workplace, first: Run) -> None:
    trials = place.trials()
    assert [trial.params["arm"] for trial in trials[:4]] == ["model/head", "deep/head", "model/full", "deep/full"]
    assert "deep/full.frozen_layers" in trials[3].params
    assert trials[3].distributions["deep/full.frozen_layers"].high == 2, "of its own layers"
    assert [event["params"]["model"] for event in first.of("trial_started")][:4] == ["model", "deep"] * 2
    assert {trial.state.name for trial in trials} <= {"COMPLETE", "PRUNED"}


def test_the_winner_is_told_with_its_encoder_and_all_that_were_searched(place: Workplace, first: Run) -> None:
    result = first.result
    assert (result["models"], result["model"], result["max_length"]) == (["model", "deep"], "deep", 96)
    assert result["winner"]["arm"].split("/")[0] == "deep"
    assert {place.trials()[number].params["arm"] for number in result["winner"]["trainings"]} == {
        result["winner"]["arm"]
    }
    name = "frozen_encoder_logistic_regression"
    assert set(result["baselines"]) == {
        "majority",
        "tfidf_logistic_regression",
        f"{name} (model)",
        f"{name} (deep)",
    }
    card = (place.folder / result["model_dir"] / "README.md").read_text()
    assert ": a fine-tuned deep\n" in card
    assert "base_model" not in card, "a folder is no model of the Hub"
    assert "The encoders that were searched: model, deep." in card


def test_plain_transformers_gives_the_predictions_of_the_winner(place: Workplace, first: Run, tmp_path: Path) -> None:
    assert first.result["test"]["value"] > 0.9
    folder = place.folder / first.result["model_dir"]
    assert json.loads((folder / "config.json").read_text())["num_hidden_layers"] == 5
    splits = place.splits(model="model,deep")
    labels = predict(folder, list(splits.test.inputs), tmp_path)
    right = [splits.label_names[i] == label for i, label in zip(splits.test.labels, labels, strict=True)]
    assert sum(right) / len(right) == first.result["test"]["value"]


def test_the_same_models_go_on_and_others_are_refused(place: Workplace, first: Run) -> None:
    before = len(place.trials())
    again = place.run(model="model,deep", budget=8)
    assert (again.code, again.of("trial_started")) == (0, [])
    assert again.result["winner"] == first.result["winner"]
    refused = place.run(model="deep,model", study_name=first.result["study"])
    assert refused.code == 2
    assert "was made from another model" in refused.errors
    assert len(place.trials()) == before
