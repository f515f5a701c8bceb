"""Snapshots against a local server that speaks the Hub's protocol; each client is a process of its own."""

import json
import shutil
import socket
import subprocess
import sys

import pytest

from tests.stand_in_hub import stand_in_hub

MODEL = ["config.json", "*.safetensors"]
CLIENT = """
import json, sys, time
from automl.fetch import hub

for call in json.loads(sys.argv[1]):
    start = time.monotonic()
    try:
        folder = hub.snapshot(call.pop("repo_id"), **call)
        answer = {"files": sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())}
    except hub.Miss as miss:
        answer = {"outcome": miss.outcome, "message": str(miss)}
    print(json.dumps(answer | {"seconds": time.monotonic() - start}))
"""


def ask(environment, *calls):
    """Answers of one client process to some calls of `snapshot`; the process may print nothing else."""
    calls = [{"repo_id": "owner/small", "repo_type": "model", "allow_patterns": MODEL} | call for call in calls]
    command = [sys.executable, "-c", CLIENT, json.dumps(calls)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert done.stderr == ""
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture
def hub(tmp_path):
    model = tmp_path / "served" / "models" / "owner" / "small"
    data = tmp_path / "served" / "datasets" / "owner" / "rows"
    model.mkdir(parents=True)
    data.mkdir(parents=True)
    (model / "config.json").write_text("{}")
    (model / "model.safetensors").write_bytes(b"weights" * 1000)
    (model / "pytorch_model.bin").write_bytes(b"a pickle")
    for shard in range(2):
        (data / f"train-0000{shard}-of-00002.jsonl").write_text('{"text": "a", "label": 1}\n')
    with stand_in_hub(tmp_path / "served") as running:
        yield running


def test_only_matching_files_are_fetched_and_then_served_from_the_cache(hub, tmp_path):
    environment = hub.environment(tmp_path / "home")
    (first,) = ask(environment, {})
    assert first["files"] == ["config.json", "model.safetensors"]
    assert not any("pytorch_model.bin" in request for request in hub.requests)
    hub.requests.clear()
    again, offline = ask(environment, {}, {"offline": True})
    assert again["files"] == offline["files"] == first["files"]
    assert hub.requests == []


def test_a_cached_folder_without_all_wanted_files_is_not_returned(hub, tmp_path):
    environment = hub.environment(tmp_path / "home")
    ask(environment, {"allow_patterns": ["config.json"]})
    (partial,) = ask(environment, {"offline": True})
    assert partial["outcome"] == "offline"
    (whole,) = ask(environment, {})
    assert whole["files"] == ["config.json", "model.safetensors"]


def test_the_hubs_own_offline_switch_is_respected(hub, tmp_path):
    (answer,) = ask(hub.environment(tmp_path / "home") | {"HF_HUB_OFFLINE": "1"}, {})
    assert answer["outcome"] == "offline"
    assert "--offline" in answer["message"]
    assert hub.requests == []


def test_files_that_another_tool_cached_serve_only_where_the_hub_cannot(hub, tmp_path):
    environment = hub.environment(tmp_path / "home")
    rows = {"repo_id": "owner/rows", "repo_type": "dataset", "allow_patterns": ["*.jsonl"]}
    ask(environment, {}, rows)
    for listing in (tmp_path / "home").glob("hub/*/trees"):
        shutil.rmtree(listing)  # other tools do not leave the repository's list of files
    model, data = ask(environment, {"offline": True}, rows | {"offline": True})
    assert model["files"] == ["config.json", "model.safetensors"]
    assert len(data["files"]) == 2
    hub.requests.clear()
    assert ask(environment | {"HF_ENDPOINT": "http://127.0.0.1:1"}, {})[0]["files"] == model["files"]
    assert ask(environment, {})[0]["files"] == model["files"]
    assert hub.requests != []  # whether the model is complete is for the Hub to say
    shutil.rmtree(next((tmp_path / "home").glob("hub/models--*/trees")))
    next((tmp_path / "home").glob("hub/datasets--*/snapshots/*/train-00001-*")).unlink()
    next((tmp_path / "home").glob("hub/models--*/snapshots/*/model.safetensors")).unlink()
    model, data = ask(environment, {"offline": True}, rows | {"offline": True})
    assert model["outcome"] == data["outcome"] == "offline"
    model, data = ask(environment, {}, rows)
    assert model["files"] == ["config.json", "model.safetensors"]
    assert len(data["files"]) == 2


@pytest.mark.parametrize(
    ("mood", "outcome", "advice"),
    [
        (401, "needs auth", "hf auth login"),
        (403, "needs auth", "HF_TOKEN"),
        ("gated", "needs auth", "accept them"),
        (404, "not found", "OWNER/NAME"),
        (500, "unreachable", "HF_ENDPOINT"),
    ],
)
def test_refusals_are_told_apart_and_never_show_the_token(hub, tmp_path, mood, outcome, advice):
    hub.mood = mood
    (answer,) = ask(hub.environment(tmp_path / "home") | {"HF_TOKEN": "hf_sesame"}, {})
    assert answer["outcome"] == outcome
    assert advice in answer["message"]
    assert "sesame" not in answer["message"]
    assert "\n" not in answer["message"]


def test_an_id_that_the_hub_would_not_accept(hub, tmp_path):
    (answer,) = ask(hub.environment(tmp_path / "home"), {"repo_id": "owner/a--b"})
    assert answer["outcome"] == "not found"


def test_a_hub_that_never_answers_is_noticed_in_time_and_not_asked_again(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as silent, stand_in_hub(tmp_path) as hub:
        environment = hub.environment(tmp_path / "home")
        environment["HF_ENDPOINT"] = f"http://user:sesame@127.0.0.1:{silent.getsockname()[1]}"
        first, second = ask(environment, {}, {"repo_id": "owner/other"})
    assert first["outcome"] == second["outcome"] == "unreachable"
    assert first["seconds"] < 5
    assert second["seconds"] < 1
    assert "sesame" not in first["message"]


@pytest.mark.parametrize("address", ["http://127.0.0.1:1", "http://no-such-host.invalid"])
def test_a_hub_that_cannot_be_connected_to(hub, tmp_path, address):
    (answer,) = ask(hub.environment(tmp_path / "home") | {"HF_ENDPOINT": address}, {})
    assert answer["outcome"] == "unreachable"
    assert answer["seconds"] < 5


def test_an_enormous_data_set_is_refused_before_the_download(hub, tmp_path):
    hub.claimed_sizes = {f"train-0000{shard}-of-00002.jsonl": 1_100_000_000 for shard in range(2)}
    rows = {"repo_id": "owner/rows", "repo_type": "dataset"}
    environment = hub.environment(tmp_path / "home")
    all_of_it, half = ask(environment, rows | {"allow_patterns": ["*.jsonl"]}, rows | {"allow_patterns": ["*-00000-*"]})
    assert all_of_it["outcome"] == "too big"
    assert "2.2 GB" in all_of_it["message"]
    assert "--task path/to/file" in all_of_it["message"]
    assert half["files"] == ["train-00000-of-00002.jsonl"]
