"""A search whose task and model come from a Hub: fetched once, and from the cache when the Hub is gone."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.conftest import Workplace
from tests.stand_in_hub import stand_in_hub
from tests.tiny import make_model, make_rows, write_jsonl, write_space

pytestmark = [pytest.mark.integration, pytest.mark.slow]


def test_task_and_model_of_the_hub_and_then_without_it(tmp_path: Path) -> None:
    make_model(tmp_path / "hub" / "models" / "tiny" / "encoder")
    reviews = tmp_path / "hub" / "datasets" / "people" / "reviews"
    reviews.mkdir(parents=True)
    write_jsonl(reviews / "train.jsonl", make_rows(200))
    write_jsonl(reviews / "test.jsonl", make_rows(40, seed=1))
    work = tmp_path / "work"
    work.mkdir()
    write_space(work / "space.yaml")
    options = {"task": "people/reviews", "model": "tiny/encoder"}

    with stand_in_hub(tmp_path / "hub") as hub:
        place = Workplace(work, hub.environment(tmp_path / "home"))
        run = place.run(budget=2, **options)
        assert (run.code, run.errors) == (0, "")
        assert run.result["data"]["source"].startswith("Hub data set people/reviews, commit ")
        assert run.result["data"]["rows"]["test"] == 40
        assert run.result["model"] == "tiny/encoder"
        assert hub.requests

    again = place.run(budget=3, **options)  # the server is gone
    assert (again.code, again.errors) == (0, "")
    assert sum(again.result["trials"].values()) == 3
