"""Bad input on the command line: one clear line, exit code 2, and nothing written."""

from __future__ import annotations

import dataclasses
import inspect
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from automl.prepare import Request
from automl.search import _typed, main
from automl.search import command as search_command
from tests.tiny import SPACE, make_model, make_rows, write_csv, write_jsonl, write_space

NOWHERE = "http://127.0.0.1:9"  # the discard port: refused at once
Command = Callable[..., tuple[int, str]]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("model"))


@pytest.fixture
def command(tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Command:
    """Runs the command line in an empty folder; gives its exit code and what it printed."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")

    def run(*arguments: object, **options: object) -> tuple[int, str]:
        filled = {
            "--model": model,
            "--search-space": write_space(tmp_path / "space.yaml"),
            "--budget": 4,
            "--offline": True,
        }
        filled |= {f"--{name.replace('_', '-')}": value for name, value in options.items()}
        line = [str(argument) for argument in arguments]
        for name, value in filled.items():
            line += [name] if value is True else [name, str(value)]
        with pytest.raises(SystemExit) as ended:
            main(line)
        captured = capfd.readouterr()
        return int(ended.value.code or 0), captured.out + captured.err

    return run


@pytest.fixture(autouse=True)
def _nothing_written(tmp_path: Path) -> Iterator[None]:
    yield
    assert list((tmp_path / "work").rglob("*")) == []


def refused(result: tuple[int, str], *parts: str) -> None:
    code, text = result
    assert code == 2, text
    assert text.count("\n") == 1, text
    assert text.startswith("error: ")
    for part in parts:
        assert part in text


def test_an_unknown_task_names_its_neighbours(command: Command) -> None:
    refused(command(task="sst3"), "sst3", "sst2")


def test_a_missing_file(command: Command) -> None:
    refused(command(task="rows.csv"), "rows.csv")


def test_an_empty_file(command: Command, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").touch()
    refused(command(task=tmp_path / "rows.csv"), "rows.csv", "empty")


def test_an_unknown_column_lists_those_there_are(command: Command, tmp_path: Path) -> None:
    rows = write_csv(tmp_path / "rows.csv", make_rows(30))
    refused(command(task=rows, text_column="body"), "'body'", "'text', 'label'")


def test_a_group_column_that_is_not_there(command: Command, tmp_path: Path) -> None:
    rows = write_csv(tmp_path / "rows.csv", make_rows(30))
    refused(command(task=rows, group_column="author"), "'author'", "--group-column", "'text', 'label'")


def test_an_ambiguous_column_lists_the_candidates(command: Command, tmp_path: Path) -> None:
    rows = [{"title": "a b " + row["text"], "body": row["text"], "label": row["label"]} for row in make_rows(30)]
    refused(command(task=write_csv(tmp_path / "rows.csv", rows)), "--text-column", "'title', 'body', 'label'")


def test_one_class_only(command: Command, tmp_path: Path) -> None:
    rows = [{**row, "label": "a"} for row in make_rows(30)]
    refused(command(task=write_csv(tmp_path / "rows.csv", rows)), "at least two labels", "only 'a'")


def test_a_class_with_fewer_rows_than_splits_need(command: Command, tmp_path: Path) -> None:
    rows = [*make_rows(30), {"text": "something rare", "label": "rare"}]
    refused(command(task=write_csv(tmp_path / "rows.csv", rows)), "too few for 'rare' (1)", "at least 3")


def test_a_wrong_encoding_says_where(command: Command, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_bytes("text,label\ncafé,a\n".encode("latin-1"))
    refused(command(task=tmp_path / "rows.csv"), "rows.csv", "UTF-8")


def test_a_broken_line_of_jsonl_has_its_number(command: Command, tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "rows.jsonl", make_rows(5))
    path.write_text(path.read_text() + '{"text": "cut off\n')
    refused(command(task=path), "rows.jsonl", "6")


def test_a_label_column_of_floats(command: Command, tmp_path: Path) -> None:
    rows = [{"text": row["text"], "label": "0.5"} for row in make_rows(30)]
    refused(command(task=write_csv(tmp_path / "rows.csv", rows)), "'0.5'", "--label-column")


def test_a_search_space_reports_all_its_problems_with_their_lines(command: Command, tmp_path: Path) -> None:
    rows = write_csv(tmp_path / "rows.csv", make_rows(30))
    text = SPACE.replace("learning_rate", "lerning_rate").replace("low: 6, high: 10", "low: 10, high: 6") + "extra: 1\n"
    code, output = command(task=rows, search_space=write_space(tmp_path / "bad.yaml", text))
    assert code == 2
    lines = output.splitlines()
    assert len(lines) == 3
    assert "bad.yaml:4:" in lines[0]
    assert "learning_rate" in lines[0]
    assert "bad.yaml:5:" in lines[1]
    assert "bad.yaml:9:" in lines[2]


def test_a_storage_that_cannot_be_opened(command: Command, tmp_path: Path) -> None:
    rows = write_csv(tmp_path / "rows.csv", make_rows(60))
    refused(command(task=rows, storage="sqlite:////no/such/folder/s.db"), "--storage", "cannot be opened")


def test_an_output_folder_that_is_not_empty_is_left_as_it_was(command: Command, tmp_path: Path) -> None:
    rows = write_csv(tmp_path / "rows.csv", make_rows(60))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("ten years")
    refused(command(task=rows, output=tmp_path / "mine"), "is not empty", str(tmp_path / "mine"))
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "ten years"


def test_an_output_that_is_a_file(command: Command, tmp_path: Path) -> None:
    rows = write_csv(tmp_path / "rows.csv", make_rows(60))
    refused(command(task=rows, output=rows), "is a file")


@pytest.mark.skipif(os.getuid() != 0, reason="mounting a small disk needs root")
def test_a_full_disk_is_noticed_before_the_search(command: Command, tmp_path: Path) -> None:
    rows = write_csv(tmp_path / "rows.csv", make_rows(60))
    (tmp_path / "small").mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(tmp_path / "small")]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("this machine lets nobody mount a disk")
    try:
        refused(command(task=rows, output=tmp_path / "small" / "model"), "MB are free", "needs about")
    finally:
        subprocess.run(["umount", str(tmp_path / "small")], check=True)


def test_a_model_folder_without_safetensors(command: Command, tmp_path: Path) -> None:
    rows = write_csv(tmp_path / "rows.csv", make_rows(60))
    pickled = make_model(tmp_path / "pickled")
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    refused(command(task=rows, model=pickled), "no *.safetensors", "pytorch_model.bin")


def test_a_model_that_is_nowhere(command: Command, tmp_path: Path) -> None:
    rows = write_csv(tmp_path / "rows.csv", make_rows(60))
    refused(command(task=rows, model=tmp_path / "nothing"), "no such folder", "OWNER/NAME")
    refused(command(task=rows, model="owner/not-in-the-cache"), "owner/not-in-the-cache")


def test_one_wrong_entry_among_several_models(command: Command, tmp_path: Path, model: Path) -> None:
    rows = write_csv(tmp_path / "rows.csv", make_rows(60))
    refused(command(task=rows, model=f"{model},"), "--model", "entry 2 is empty")
    refused(command(task=rows, model=f"{model},{model}/"), f"'{model}/' has the very weights", "once")
    refused(command(task=rows, model=f"{model},{tmp_path / 'nothing'}"), f"'{tmp_path / 'nothing'}'", "no such folder")


def test_a_broken_configuration_of_a_model(command: Command, tmp_path: Path) -> None:
    rows = write_csv(tmp_path / "rows.csv", make_rows(60))
    broken = make_model(tmp_path / "broken")
    (broken / "config.json").write_text("{")
    refused(command(task=rows, model=broken), "config.json")


@pytest.mark.parametrize("name", ["../elsewhere", "a/b", "", ".hidden", "two words"])
def test_a_study_name_that_cannot_name_a_folder(command: Command, tmp_path: Path, name: str) -> None:
    refused(command(task=write_csv(tmp_path / "rows.csv", make_rows(60)), study_name=name), "--study-name", "letters")


def test_more_cores_or_gpus_than_there_are(command: Command, tmp_path: Path) -> None:
    rows = write_csv(tmp_path / "rows.csv", make_rows(60))
    refused(command(task=rows, cpus_per_trial=999), "--cpus-per-trial 999", "this machine has")
    refused(command(task=rows, workers=999), "--workers 999", "this machine has")
    refused(command(task=rows, gpus_per_trial=99), "--gpus-per-trial 99", "usable GPUs")


@pytest.mark.parametrize(
    "address", ["127.0.0.1:9", "ray://[::1]:9", "somewhere", "127.0.0.1:port", "127.0.0.1:99999", ""]
)
def test_a_cluster_that_does_not_answer_is_said_at_once(command: Command, tmp_path: Path, address: str) -> None:
    rows = write_csv(tmp_path / "rows.csv", make_rows(60))
    refused(command(task=rows, address=address), f"--address {address}: no Ray cluster answers there", "HOST:PORT")


def in_a_process(folder: Path, **environment: str) -> tuple[int, str]:
    """A search of sst2 in a process of its own, for what libraries read when they are imported."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "HF_"))}
    caches = {name: str(folder.parent / "cache") for name in ("HF_HOME", "AUTOML_CACHE")}
    done = subprocess.run(
        [sys.executable, "-m", "automl.search", "--task", "sst2"],
        env=kept | caches | {"PYTHONPATH": str(Path(__file__).parents[1]), "HF_ENDPOINT": NOWHERE} | environment,
        cwd=folder,
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stdout + done.stderr


def test_hub_and_package_index_both_out_of_reach(command: Command, tmp_path: Path) -> None:
    result = in_a_process(tmp_path / "work", PIP_INDEX_URL=NOWHERE, PIP_CONFIG_FILE=os.devnull)
    refused(result, "the Hub at", "package index", "--task path/to/file.csv", "HF_ENDPOINT", "pip config list")


def test_a_package_with_the_wrong_checksum(command: Command, tmp_path: Path) -> None:
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "vaderSentiment-3.3.2.tar.gz").write_bytes(b"tampered with")
    links = {"PIP_FIND_LINKS": str(tmp_path / "links"), "PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": os.devnull}
    refused(in_a_process(tmp_path / "work", **links), "vaderSentiment-3.3.2.tar.gz", "SHA-256", "5d7c06e0")
    assert not list((tmp_path / "cache").rglob("vader*"))


def test_a_budget_of_nothing_and_an_unknown_option(command: Command, tmp_path: Path) -> None:
    rows = write_csv(tmp_path / "rows.csv", make_rows(60))
    wrong = (command(task=rows, budget=0), command(task=rows, folds=0), command("--bugdet", "3", task=rows), command())
    for code, _ in wrong:
        assert code == 2


def test_the_dry_run_prints_the_plan_and_writes_nothing(command: Command, tmp_path: Path) -> None:
    rows = write_csv(tmp_path / "rows.csv", [*make_rows(100), {"text": "", "label": "positive"}])
    code, text = command("--dry-run", task=rows)
    assert code == 0
    for part in (
        "80 rows",
        "20 rows",
        "1 rows: empty text",
        "learning_rate",
        "First configurations",
        "min with",
    ):
        assert part in text


def test_the_dry_run_over_several_models_tells_of_each(command: Command, tmp_path: Path, model: Path) -> None:
    rows = write_csv(tmp_path / "rows.csv", make_rows(100))
    deep = make_model(tmp_path / "deep", layers=5, seed=1)
    code, text = command("--dry-run", task=rows, model=f"{model},{deep}")
    assert code == 0
    for part in (
        f"Model     {model} (local folder), 3 layers, up to 64 tokens",
        f"Model     {deep} (local folder), 5 layers, up to 64 tokens",
        f"{model.name}.frozen_layers ",
        "deep.frozen_layers ",
        f"model {model.name}, learning_rate 0.002",
        "model deep, learning_rate 0.002",
        f"({model.name}), ",
        "(deep) examples/s a worker",
    ):
        assert part in text


def test_a_plan_that_would_take_from_other_studies_makes_no_database_for_it(command: Command, tmp_path: Path) -> None:
    code, text = command("--dry-run", "--warm-start", task=write_csv(tmp_path / "rows.csv", make_rows(100)))
    assert code == 0
    assert "Taken" not in text


def test_the_help_is_quick_because_it_loads_no_heavy_library() -> None:
    code = (
        "import sys, runpy; sys.argv = ['x', '--help']\n"
        "try: runpy.run_module('automl.search', run_name='__main__')\n"
        "except SystemExit: pass\n"
        "heavy = ('torch', 'transformers', 'ray', 'datasets', 'optuna')\n"
        "import json; print(json.dumps([name for name in heavy if name in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.splitlines()[-1]) == []
    for group in ("Data", "Search", "Machine", "Study and output"):
        assert f"─ {group} ─" in done.stdout


def test_the_command_line_and_the_request_agree_on_defaults() -> None:
    options = inspect.signature(search_command).parameters
    for field in dataclasses.fields(Request):
        if field.name in options and field.default is not dataclasses.MISSING:
            assert options[field.name].default == field.default, field.name


@pytest.mark.parametrize(
    "arguments",
    [["--storage", "postgresql+psycopg://me:secret@host/db"], ["--storage=postgresql+psycopg://me:secret@host/db"]],
)
def test_the_command_is_recorded_as_it_was_typed_but_for_a_password(arguments: list[str]) -> None:
    told = _typed(["--task", "my rows.csv", *arguments])
    assert told.startswith("python -m automl.search --task 'my rows.csv' ")
    assert "secret" not in told
    assert "me:***@host/db" in told
    assert _typed(["--task", "a://b:c@d"]) == "python -m automl.search --task a://b:c@d"


@pytest.mark.parametrize("module", ["automl.export", "automl.predict", "automl.dashboard"])
def test_the_help_of_every_door_is_quick_too(module: str) -> None:
    heavy = ("torch", "transformers", "ray", "datasets", "streamlit", "optuna", "pandas")
    script = (
        "import runpy, sys\n"
        f"sys.argv = ['{module}', '--help']\n"
        "try:\n"
        f"    runpy.run_module('{module}', run_name='__main__')\n"
        "except SystemExit:\n"
        "    pass\n"
        f"print([name for name in {heavy!r} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "--help" in done.stdout
    assert done.stderr.strip() == "[]"
