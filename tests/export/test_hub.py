"""A study's model goes to a Hub: what arrives loads in plain transformers, and what goes wrong costs nothing."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import ROOT, Workplace
from tests.stand_in_hub import Hub, files, stand_in_hub

pytestmark = [pytest.mark.integration, pytest.mark.slow]


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    with stand_in_hub(tmp_path / "hub") as hub:
        yield hub


@pytest.fixture
def study(searched: Workplace) -> str:
    return str(json.loads(next(searched.folder.glob("runs/*/model/result.json")).read_text())["study"])


def export(
    place: Workplace, hub: Hub, *options: str, token: str | None = "hf_stand_in"
) -> subprocess.CompletedProcess[str]:
    environment = hub.environment(place.folder / "hf") | {"PYTHONPATH": str(ROOT)}
    environment |= {"HF_TOKEN": token} if token else {}
    line = [sys.executable, "-m", "automl.export", *options]
    return subprocess.run(line, cwd=place.folder, env=environment, capture_output=True, text=True, timeout=120)


def test_what_is_pushed_loads_in_plain_transformers_with_the_recorded_score(
    searched: Workplace, hub: Hub, study: str
) -> None:
    done = export(searched, hub, "--study", study, "--to", "me/reviews", "--private")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"The model is at {hub.url}/me/reviews\n"
    assert hub.private == {"me/reviews"}
    assert hub.stored  # the weights went to large-file storage
    script = (
        "import json, sys\n"
        "from transformers import pipeline\n"
        "classify = pipeline('text-classification', 'me/reviews')\n"
        "texts, labels = json.load(sys.stdin)\n"
        "said = [one['label'] for one in classify(texts, truncation=True)]\n"
        "print(json.dumps(sum(map(str.__eq__, said, labels)) / len(labels)))"
    )
    splits = searched.splits()
    asked = json.dumps([splits.test.inputs, [splits.label_names[label] for label in splits.test.labels]])
    recorded = json.loads((hub.folder / "models" / "me" / "reviews" / "result.json").read_text())["test"]["value"]
    environment = hub.environment(searched.folder / "fresh") | {"PYTHONPATH": "", "HF_TOKEN": hub.token}
    line = [sys.executable, "-I", "-c", script]
    loaded = subprocess.run(line, cwd="/", env=environment, input=asked, capture_output=True, text=True, timeout=120)
    assert loaded.returncode == 0, loaded.stderr
    assert json.loads(loaded.stdout.splitlines()[-1]) == pytest.approx(recorded)


def test_the_card_has_what_the_hub_reads_and_no_path_of_this_machine(searched: Workplace, hub: Hub, study: str) -> None:
    from huggingface_hub import ModelCard

    assert export(searched, hub, "--study", study, "--to", "me/reviews").returncode == 0
    pushed = hub.folder / "models" / "me" / "reviews"
    text = (pushed / "README.md").read_text(encoding="utf-8")
    card = ModelCard(text)
    result = json.loads((pushed / "result.json").read_text())
    assert card.data.library_name == "transformers"
    assert card.data.pipeline_tag == "text-classification"
    test, expected = card.data.eval_results
    assert test.metric_value == pytest.approx(result["test"]["value"], abs=1e-4)
    assert test.metric_args["interval"] == pytest.approx([result["test"]["low"], result["test"]["high"]], abs=1e-4)
    assert expected.dataset_split == "validation"
    for part in ("Intended use and limits", "majority", "fingerprint", "Again: `python -m automl.search", "me/reviews"):
        assert part in text
    assert str(searched.folder) not in text + json.dumps(result)
    assert {"model_dir", "audit"}.isdisjoint(result)


def test_a_repository_with_files_is_left_alone_until_it_is_asked_for(searched: Workplace, hub: Hub, study: str) -> None:
    theirs = hub.folder / "models" / "me" / "reviews"
    theirs.mkdir(parents=True)
    (theirs / "notes.txt").write_text("mine")
    refused = export(searched, hub, "--study", study, "--to", "me/reviews")
    assert refused.returncode == 2
    assert "has 1 files already; nothing is overwritten unasked" in refused.stderr
    assert set(files(theirs)) == {"notes.txt"}
    assert export(searched, hub, "--study", study, "--to", "me/reviews", "--update").returncode == 0
    assert {"notes.txt", "model.safetensors", "README.md"} <= set(files(theirs))


def test_an_update_leaves_nothing_of_the_model_before(searched: Workplace, hub: Hub, study: str) -> None:
    theirs = hub.folder / "models" / "me" / "reviews"
    (theirs / "base").mkdir(parents=True)
    for name in ("notes.txt", "adapter_config.json", "base/model.safetensors", "model-00001-of-00002.safetensors"):
        (theirs / name).write_text("of another model")
    assert export(searched, hub, "--study", study, "--to", "me/reviews", "--update").returncode == 0
    left = [name for name, content in files(theirs).items() if content == b"of another model"]
    assert left == ["notes.txt"]
    assert "model.safetensors" in files(theirs)


def test_what_somebody_else_adds_meanwhile_is_not_written_over(searched: Workplace, hub: Hub, study: str) -> None:
    hub.meddles = True
    done = export(searched, hub, "--study", study, "--to", "me/reviews")
    assert done.returncode == 2
    assert "somebody else changes this repository now (412)" in done.stderr
    assert set(files(hub.folder / "models" / "me" / "reviews")) == {".gitattributes", "meanwhile.txt"}


@pytest.mark.parametrize(
    ("mood", "where", "told"),
    [
        (401, "create", "does not know the token"),
        (403, "create", "may not write there"),
        (409, "commit", "somebody else changes this repository"),
        (429, "create", "too many requests"),
        (500, "create", "answered 500"),
        ("cut", "create", "broke off"),
        ("cut", "commit", "broke off"),
        (400, "create", "answered 400"),
        (404, "create", "knows no such owner"),
        (500, "preupload", "answered 500"),
        (403, "objects/batch", "may not write there"),
        (500, "/stored/", "answered 500"),
        ("cut", "/stored/", "broke off"),
    ],
)
def test_whatever_goes_wrong_is_one_line_and_nothing_is_published(
    searched: Workplace, hub: Hub, study: str, mood: Any, where: str, told: str
) -> None:
    hub.mood, hub.mood_at = mood, where
    done = export(searched, hub, "--study", study, "--to", "me/reviews")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert told in done.stderr
    assert hub.token not in done.stderr
    repo = hub.folder / "models" / "me" / "reviews"
    assert not repo.exists() or set(files(repo)) == {".gitattributes"}
    hub.mood = None
    assert export(searched, hub, "--study", study, "--to", "me/reviews").returncode == 0


def test_a_name_without_an_owner_is_refused_before_anyone_is_asked(searched: Workplace, hub: Hub, study: str) -> None:
    done = export(searched, hub, "--study", study, "--to", "reviews")
    assert done.returncode == 2
    assert "is named OWNER/NAME" in done.stderr
    assert not hub.requests


def test_what_was_to_be_private_does_not_go_to_a_public_repository(searched: Workplace, hub: Hub, study: str) -> None:
    theirs = hub.folder / "models" / "me" / "reviews"
    theirs.mkdir(parents=True)
    done = export(searched, hub, "--study", study, "--to", "me/reviews", "--private")
    assert done.returncode == 2
    assert "is there already, and public" in done.stderr
    assert not files(theirs)


def test_no_file_names_a_folder_of_this_machine(searched: Workplace, hub: Hub, study: str) -> None:
    assert export(searched, hub, "--study", study, "--to", "me/reviews").returncode == 0
    pushed = files(hub.folder / "models" / "me" / "reviews")
    assert "original/original.json" in pushed
    for name, content in pushed.items():
        assert str(searched.folder).encode() not in content, name
    target = searched.folder / "taken away"
    assert export(searched, hub, "--study", study, "--output", str(target)).returncode == 0
    for name, content in files(target).items():
        assert str(searched.folder).encode() not in content, name
    shutil.rmtree(target)


def test_without_a_token_it_says_how_to_get_one(searched: Workplace, hub: Hub, study: str) -> None:
    done = export(searched, hub, "--study", study, "--to", "me/reviews", token=None)
    assert done.returncode == 2
    assert "hf auth login" in done.stderr
    assert not (hub.folder / "models").exists()


def test_a_dry_run_shows_the_card_and_the_files_and_asks_nobody(searched: Workplace, hub: Hub, study: str) -> None:
    done = export(searched, hub, "--study", study, "--to", "me/reviews", "--dry-run")
    assert done.returncode == 0
    assert "model.safetensors" in done.stdout
    assert "Expected on unseen data" in done.stdout
    assert not hub.requests


def test_a_folder_gets_the_model_whole_and_only_if_it_is_empty(
    searched: Workplace, hub: Hub, study: str, tmp_path: Path
) -> None:
    target = tmp_path / "taken"
    assert export(searched, hub, "--study", study, "--output", str(target)).returncode == 0
    original = next(searched.folder.glob("runs/*/model"))
    its_own = {"search_space.yaml"}  # the command that the card gives reads it
    assert {path.name for path in target.iterdir()} == {path.name for path in original.iterdir()} | its_own
    assert (target / "search_space.yaml").read_text() == (searched.folder / "space.yaml").read_text()
    assert "--search-space search_space.yaml" in (target / "README.md").read_text()
    assert (target / "model.safetensors").read_bytes() == (original / "model.safetensors").read_bytes()
    again = export(searched, hub, "--study", study, "--output", str(target))
    assert again.returncode == 2
    assert "not an empty folder" in again.stderr
    assert not hub.requests


def test_a_study_that_is_not_there_or_whose_model_is_gone_is_told_with_the_next_step(
    searched: Workplace, hub: Hub, study: str, tmp_path: Path
) -> None:
    missing = export(searched, hub, "--study", "gone", "--output", str(tmp_path / "out"))
    assert missing.returncode == 2
    assert study in missing.stderr  # what there is
    place = tmp_path / "moved"
    shutil.copytree(searched.folder, place)
    model = next(searched.folder.glob("runs/*/model"))
    away = model.with_name("away")
    os.rename(model, away)
    try:
        done = export(searched, hub, "--study", study, "--output", str(tmp_path / "out"))
    finally:
        os.rename(away, model)
    assert done.returncode == 2
    assert "python -m automl.search" in done.stderr
    assert not (tmp_path / "out").exists()
