"""What --task may say. Clients of the local Hub are processes of their own, with an empty or an earlier cache."""

import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile

import pytest
from datasets import ClassLabel, Dataset, Features, Value

from automl.errors import TaskError
from automl.tasks import sources
from tests.stand_in_hub import ROOT, stand_in_hub

CLIENT = """
import json, sys
from dataclasses import replace
from automl.errors import AutomlError
from automl.fetch.packages import PinnedPackage
from automl.tasks import sources
from automl.tasks.catalogue import CATALOGUE

call = json.loads(sys.argv[1])
entry = CATALOGUE["film_reviews"]  # pinned anew to a small archive of the same form
pin = PinnedPackage("vaderSentiment", "3.3.2", "vaderSentiment-3.3.2.tar.gz", call.pop("sha256"))
CATALOGUE["film_reviews"] = replace(entry, data=replace(entry.data, package=pin))
for name in call.pop("tasks"):
    try:
        task = sources.load(name, **call)
        splits = {role: dict(table.columns) | {"names": table.label_names} for role, table in task.splits.items()}
        print(json.dumps(vars(task) | {"splits": splits}))
    except AutomlError as error:
        print(json.dumps({"error": type(error).__name__, "message": str(error)}))
"""
FEATURES = Features({"sentence": Value("string"), "label": ClassLabel(names=["negative", "positive"])})
CARD = "---\nlicense: mit\nconfigs:\n"


def repository(folder, configs, splits):
    """A data set repository as the Hub's own look: Parquet shards in a folder a configuration, named in the card."""
    card = CARD
    for config in configs:
        (folder / config).mkdir(parents=True)
        card += f"- config_name: {config}\n  data_files:\n"
        for split, labels in splits.items():
            rows = {"sentence": [f"{config} {split} {index}" for index, _ in enumerate(labels)], "label": labels}
            Dataset.from_dict(rows, features=FEATURES).to_parquet(folder / config / f"{split}-00000-of-00001.parquet")
            card += f"  - split: {split}\n    path: {config}/{split}-*\n"
    (folder / "README.md").write_text(card + "---\n# About\n")


def film_archive(folder):
    """An archive of the form of the pinned package, with two usable rows; its checksum."""
    folder.mkdir()
    inner = io.BytesIO()
    lines = b"1\t1.5\tA fine film\r\n2\t-2.0\tA dull film\r\n3\t0.1\tA film\r\n"
    outer = folder / "vaderSentiment-3.3.2.tar.gz"
    with tarfile.open(fileobj=inner, mode="w:gz") as packed:
        _add(packed, "hutto_ICWSM_2014/movieReviewSnippets_GroundTruth.txt", lines)
    with tarfile.open(outer, "w:gz") as packed:
        _add(packed, "vaderSentiment-3.3.2/additional_resources/hutto_ICWSM_2014.tar.gz", inner.getvalue())
    return hashlib.sha256(outer.read_bytes()).hexdigest()


def _add(packed, name, content):
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    packed.addfile(entry, io.BytesIO(content))


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    splits = {"train": [0, 1, 1], "validation": [1, 0], "test": [-1, -1]}
    repository(folder / "datasets" / "stanfordnlp" / "sst2", ["default"], splits)
    repository(folder / "datasets" / "nyu-mll" / "glue", ["cola", "mrpc"], splits)
    repository(folder / "datasets" / "owner" / "unlabelled", ["plain"], splits | {"unsupervised": [-1]})
    plain = folder / "datasets" / "owner" / "plain"
    plain.mkdir(parents=True)
    (plain / "train.csv").write_text("text,label\na,x\nb,y\n")
    scripted = folder / "datasets" / "owner" / "scripted"
    scripted.mkdir(parents=True)
    (scripted / "scripted.py").write_text("raise SystemExit('it ran')")
    return folder


@pytest.fixture
def world(served, tmp_path):
    """The local Hub and a function that loads tasks in a client process with the caches of this test."""
    sha256 = film_archive(tmp_path / "shelf")
    with stand_in_hub(served) as hub:
        pip = {"PIP_CONFIG_FILE": os.devnull, "PIP_FIND_LINKS": str(tmp_path / "shelf"), "PIP_NO_INDEX": "1"}
        caches = {"AUTOML_CACHE": str(tmp_path / "cache")}

        def load(*tasks, environment=None, **choices):
            call = json.dumps({"tasks": tasks, "sha256": sha256} | choices)
            everything = hub.environment(tmp_path / "home") | pip | caches | (environment or {})
            command = [sys.executable, "-c", CLIENT, call]
            done = subprocess.run(command, env=everything, capture_output=True, text=True, timeout=60)
            assert done.stderr == ""
            answers = [json.loads(line) for line in done.stdout.splitlines()]  # a library's own line would not be JSON
            return answers if len(tasks) > 1 else answers[0]

        yield hub, load


NOWHERE = {"HF_ENDPOINT": "http://127.0.0.1:1"}


def test_sst2_comes_from_the_hub_and_then_from_the_cache(world):
    hub, load = world
    task = load("sst2")
    assert set(task["splits"]) == {"train", "test"}
    assert task["splits"]["train"]["label"] == ["negative", "positive", "positive"]
    assert task["splits"]["train"]["names"] == ["negative", "positive"]
    assert task["splits"]["test"]["sentence"] == ["default validation 0", "default validation 1"]
    assert (task["text_column"], task["label_column"], task["train_size"]) == ("sentence", "label", 1000)
    assert task["stand_in"] is None
    assert task["licence"] == "mit"
    assert "stanfordnlp/sst2" in task["source"]
    hub.requests.clear()
    assert load("sst2", environment=NOWHERE) == task
    assert load("sst2", offline=True) == task
    assert hub.requests == []


def test_a_configuration_is_fetched_without_the_others(world):
    hub, load = world
    task, named = load("nyu-mll/glue:cola", "cola")
    assert set(task["splits"]) == {"train", "validation"}  # the labels of its test split are withheld
    assert task["splits"]["train"]["sentence"][0] == "cola train 0"
    assert task["name"] == "nyu-mll/glue:cola"
    assert not any("mrpc" in request for request in hub.requests)
    assert set(named["splits"]) == {"train", "test"}
    assert named["splits"]["test"] == task["splits"]["validation"]


def test_a_repository_with_several_configurations_asks_for_one(world):
    _, load = world
    none, unknown = load("nyu-mll/glue", "nyu-mll/glue:rte")
    assert none["error"] == unknown["error"] == "TaskError"
    assert "nyu-mll/glue:CONFIG: cola or mrpc" in none["message"]
    assert "no configuration 'rte'" in unknown["message"]


def test_hub_repositories_of_other_forms(world):
    _, load = world
    plain, unlabelled, scripted = load("owner/plain", "owner/unlabelled", "owner/scripted")
    assert plain["splits"]["train"]["label"] == ["x", "y"]
    assert set(unlabelled["splits"]) == {"train", "validation"}
    assert scripted["error"] == "DataError"
    assert "CSV, JSONL or Parquet" in scripted["message"]


def test_data_files_that_another_tool_cached_are_enough_offline(world, tmp_path):
    _, load = world
    task = load("owner/plain")
    shutil.rmtree(next((tmp_path / "home").glob("hub/datasets--*/trees")))
    assert load("owner/plain", environment=NOWHERE) == task


def test_where_nothing_has_sst2_its_stand_in_says_so_loudly(world):
    _, load = world
    task = load("sst2", environment=NOWHERE)
    assert task["name"] == "sst2"
    assert task["splits"]["train"]["label"] == ["positive", "negative"]
    assert (task["text_column"], task["train_size"]) == ("text", 1000)
    for part in (
        "STAND-IN",
        "film_reviews",
        "vaderSentiment 3.3.2",
        "not comparable",
        "--no-stand-in",
        "cannot be reached",
    ):
        assert part in task["stand_in"]
    again, own = load("sst2", "film_reviews", offline=True)
    assert again["stand_in"].startswith("STAND-IN")
    assert own["splits"] == task["splits"]
    assert own["stand_in"] is None
    assert "Hutto" in own["licence"]


def test_the_stand_in_can_be_refused(world):
    _, load = world
    answer = load("sst2", environment=NOWHERE, allow_stand_in=False)
    assert answer["error"] == "FetchError"
    assert "HF_ENDPOINT" in answer["message"]
    assert "--no-stand-in" in answer["message"]


def test_a_hub_that_asks_for_a_login_is_not_papered_over(world):
    hub, load = world
    hub.mood = 401
    answer = load("sst2")
    assert answer["error"] == "FetchError"
    assert "hf auth login" in answer["message"]


def test_where_neither_hub_nor_index_answers_one_message_names_both(world):
    _, load = world
    no_index = {"PIP_FIND_LINKS": "", "PIP_NO_INDEX": "", "PIP_INDEX_URL": "http://127.0.0.1:1/x"}
    answer = load("sst2", environment=NOWHERE | no_index)
    assert answer["error"] == "FetchError"
    for part in (
        "the Hub at http://127.0.0.1:1",
        "http://127.0.0.1:1/x/",
        "--task path/to/file.csv",
        "HF_ENDPOINT",
        "pip config",
    ):
        assert part in answer["message"]
    assert "\n" not in answer["message"]


def test_offline_with_nothing_cached_says_what_to_do(world):
    hub, load = world
    for answer in load("sst2", "ag_news", "owner/plain", offline=True):
        assert answer["error"] == "FetchError"
        assert "run once" in answer["message"]
    assert hub.requests == []


def test_a_hub_id_that_does_not_exist(world):
    _, load = world
    answer = load("owner/absent")
    assert answer["error"] == "TaskError"
    assert "no file or folder of that name here" in answer["message"]
    assert "the Hub has no repository owner/absent" in answer["message"]


def test_paths_and_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "imdb").mkdir()
    for name in ("imdb/train.csv", "reviews.csv"):
        (tmp_path / name).write_text("text,label\na,x\n")
    (tmp_path / "imdb" / "test.csv").write_text("text,label\na,-1\n")
    for written in ("reviews.csv", "./reviews.csv", "~/reviews.csv", str(tmp_path / "reviews.csv")):
        task = sources.load(written)
        assert task.name == "reviews"
        assert task.splits["train"].columns == {"text": ["a"], "label": ["x"]}
        assert "reviews.csv" in task.source
    assert set(sources.load("./imdb").splits) == {"train"}  # the labels of its test file are withheld
    assert sources.load("./imdb").name == "imdb"


@pytest.mark.parametrize(
    ("task", "said"),
    [
        ("sst", "no such task, did you mean sst2"),
        ("SST2", "did you mean sst2"),
        ("nonsense", "known are sst2, cola"),
        ("", "no such task"),
        ("revews.csv", r"no such file or folder \(there is reviews.csv\)"),
        ("data/reviews.csv", "no such file or folder"),
        ("./absent", "no such file or folder"),
        ("a/b/c", "no such file or folder"),
        ("x" * 5000, "no such task"),
    ],
)
def test_unknown_tasks_get_a_hint_and_the_forms_that_are_allowed(tmp_path, monkeypatch, task, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "reviews.csv").write_text("text,label\na,x\n")
    with pytest.raises(TaskError, match=said) as caught:
        sources.load(task, offline=True)
    assert "OWNER/NAME[:CONFIG]" in str(caught.value)


def test_the_module_imports_nothing_heavy():
    heavy = ["torch", "transformers", "ray", "datasets", "huggingface_hub", "pyarrow", "pip"]
    code = f"import sys, automl.tasks.sources; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
