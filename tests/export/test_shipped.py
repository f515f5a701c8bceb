"""What is published of a result names no folder of the machine that searched, however it was written there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from automl.export.shipped import ShippedModel


@pytest.mark.parametrize(
    "command",
    [
        "python -m automl.search --task '/home/me/my data/rows.csv' --model /home/me/base",
        "python -m automl.search '--task=/home/me/my data/rows.csv' --model=/home/me/base,/home/me/other",
        "python -m automl.search --task '/home/me/my data/rows.csv' --storage sqlite:////home/me/s.db --output out",
        "python -m automl.search --task '/home/me/my data/rows.csv' --storage=postgresql://me/x --address=me/:1",
    ],
)
def test_paths_are_cut_to_their_last_part(command: str) -> None:
    result: dict[str, Any] = {
        "model_dir": "/home/me/out",
        "audit": "/home/me/runs/audit.csv",
        "command": command,
        "model": "/home/me/base",
        "models": ["/home/me/base", "/home/me/other"],
        "data": {"source": "file /home/me/my data/rows.csv"},
        "domain_adaptation": {"folder": "/home/me/runs/adapted", "loss": 1.5},
        "shipped": "of either/or",
        "labels": ["/a/b", "c"],
    }
    public = ShippedModel("s", Path("/home/me/out"), result).public
    assert "/home" not in json.dumps(public)
    assert "me/" not in json.dumps(public)
    assert public["data"]["source"] == "file rows.csv"
    assert (public["model"], public["shipped"]) == ("base", "of either/or")
    assert public["labels"] == ["/a/b", "c"]
    assert public["command"].startswith("python -m automl.search")
    assert "--storage" not in public["command"]
    assert public["domain_adaptation"] == {"folder": "adapted", "loss": 1.5}
