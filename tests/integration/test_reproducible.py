"""The same seed and one worker give the same study, to the last bit of the exported weights, whatever kind it is of."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import Workplace, make_workplace
from tests.tiny import SPACE, make_rows

pytestmark = [pytest.mark.integration, pytest.mark.slow]

# What a clock, a process number or a folder decides. All else has to agree.
OF_ONE_RUN = {
    "seconds",
    "examples_per_second",
    "start_seconds",
    "busy_seconds",
    "peak_memory_mb",
    "worker",
    "checkpoint",
    "predictions",
    "answers",
    "folder",
    "model_dir",
    "command",
    "source",
}

TECHNIQUES = """\
name: techniques
params:
  per_device_train_batch_size: 8
techniques:
  head:
    params:
      technique: features
      feature_source: {type: categorical, choices: [all, last]}
      logistic_regression_c: {type: float, low: 0.01, high: 10.0, log: true}
  contrastive:
    params:
      technique: contrastive
      num_train_epochs: {type: int, low: 1, high: 2}
      learning_rate: {type: float, low: 1.0e-3, high: 5.0e-3, log: true}
  partly_frozen:
    params:
      num_train_epochs: 4
      frozen_layers: {type: layers, low: 0.34, high: 0.67}
      learning_rate: {type: float, low: 1.0e-3, high: 5.0e-3, log: true}
  lora:
    params:
      technique: lora
      num_train_epochs: 4
      learning_rate: {type: float, low: 5.0e-3, high: 2.0e-2, log: true}
"""
TEXTS = """\
name: texts
params:
  learning_rate: {type: float, low: 1.0e-3, high: 5.0e-3, log: true}
  num_train_epochs: {type: int, low: 2, high: 4}
  per_device_train_batch_size: 8
  starting_weights: {type: categorical, choices: [pretrained, domain_adapted], default: domain_adapted}
  augmentation: {type: categorical, choices: [none, typos], default: typos}
"""
KINDS: dict[str, dict[str, Any]] = {
    "a held-out part, weak ones stopped": {"budget": 9, "folds": 1, "rows": 100},
    "folds": {"budget": 5, "folds": 3, "rows": 120},
    "a conditional space": {"budget": 8, "folds": 2, "rows": 120, "space": TECHNIQUES},
    "altered, unlabelled and adapted to": {"budget": 3, "folds": 2, "space": TEXTS, "unlabelled": "more.txt"},
}


def searched(folder: Path, *, space: str = SPACE, rows: int = 300, **options: Any) -> Workplace:
    folder.mkdir()
    place = make_workplace(folder, rows=rows, space=space)
    (folder / "more.txt").write_text("\n".join(row["text"] for row in make_rows(150, seed=9)))
    run = place.run(workers=1, seed=3, study_name="s", **options)
    assert (run.code, run.errors) == (0, "")
    return place


def lasting(facts: Any) -> Any:
    """Facts without those of one run, also where facts are within facts."""
    if not isinstance(facts, dict):
        return facts
    return {name: lasting(value) for name, value in facts.items() if name not in OF_ONE_RUN}


def story(place: Workplace) -> dict[str, Any]:
    """All that two runs have to agree on."""
    folder = place.folder / "runs" / "s" / "model"
    weights = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*.safetensors")}
    trials = [
        (t.number, t.state.name, t.params, t.value, t.intermediate_values, lasting(t.user_attrs))
        for t in place.trials()
    ]
    result = lasting(json.loads((folder / "result.json").read_text()))
    return {"trials": trials, "facts": lasting(place.facts()), "result": result, "weights": weights}


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_command_in_two_places_finds_the_same(tmp_path: Path, kind: str) -> None:
    one, two = (story(searched(tmp_path / name, **KINDS[kind])) for name in ("one", "two"))
    assert one["trials"] == two["trials"]
    for part in one:
        assert one[part] == two[part], part
    assert len(one["weights"]) == 1
    if "weak" in kind:
        assert "PRUNED" in [state for _, state, *_ in one["trials"]]
    if "conditional" in kind:
        assert {params["arm"] for _, _, params, *_ in one["trials"]} == {"head", "contrastive", "partly_frozen", "lora"}
