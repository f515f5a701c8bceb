"""Labels for a file of texts: every row kept, the same answers as the pipeline gives, nothing half-written."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from automl.classifier import LABEL, Classifier, load_classifier, predictions
from automl.errors import DataError, ModelError, TaskError
from automl.models import checkpoint
from automl.tasks.streams import read_stream, writer
from tests.tiny import make_model, make_rows

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with a head, as an export leaves it."""
    base, folder = make_model(tmp_path_factory.mktemp("base")), tmp_path_factory.mktemp("exported")
    found = checkpoint.resolve(str(base))
    model, _ = checkpoint.load(found, "AutoModelForSequenceClassification", ["no", "yes"])
    tokenizer = checkpoint.load_tokenizer(found)
    tokenizer.model_max_length = 16
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def classifier(folder: Path) -> Classifier:
    return load_classifier(folder)


def test_answers_are_those_of_the_pipeline(folder: Path, classifier: Classifier) -> None:
    from transformers import pipeline

    texts = [row["text"] for row in make_rows(60)] + ["good " * 50]
    said = pipeline("text-classification", str(folder), top_k=None)(texts, truncation=True)
    ours = classifier.probabilities(texts)
    for theirs, mine in zip(said, ours, strict=True):
        for one in theirs:
            assert mine[classifier.labels.index(one["label"])] == pytest.approx(one["score"], abs=1e-5)


def test_every_row_is_kept_in_its_order_and_one_without_a_text_has_no_label(classifier: Classifier) -> None:
    rows = [{"id": n, "text": text} for n, text in enumerate(["good", "", "bad", None, "fine"] * 500)]
    found = [row for some in predictions(classifier, rows, None, "rows") for row in some]
    assert [row["id"] for row in found] == list(range(2500))
    assert [row[LABEL] is None for row in found[:5]] == [False, True, False, True, False]
    for row in found[:1]:
        assert row["probability of no"] + row["probability of yes"] == pytest.approx(1, abs=1e-4)
        assert row["probability"] == max(row["probability of no"], row["probability of yes"])


def test_a_column_that_would_be_overwritten_is_refused(classifier: Classifier) -> None:
    with pytest.raises(DataError, match="'probability' already"):
        list(predictions(classifier, [{"text": "good", "probability": 1}], None, "rows"))
    with pytest.raises(DataError, match="which column is the text"):
        list(predictions(classifier, [{"a": "good", "b": "bad"}], None, "rows"))
    (found,) = predictions(classifier, [{"a": "good", "b": "bad"}], "b", "rows")
    assert found[0]["a"] == "good"


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl"])
def test_what_is_written_is_read_again(tmp_path: Path, suffix: str) -> None:
    rows = [{"text": 'a "quoted", text\nof two lines', "n": "1"}, {"text": "中文\u2028", "n": "2"}]
    path = tmp_path / f"rows{suffix}"
    with path.open("w", encoding="utf-8", newline="") as file:
        write = writer(file, suffix)
        write(rows[:1])
        write(rows[1:])
    assert list(read_stream(path)) == rows


def test_a_tab_separated_file_may_be_quoted_or_not(tmp_path: Path) -> None:
    path = tmp_path / "rows.tsv"
    path.write_text('text\tn\n"Good, he said\t1\nso-so\t2\n')
    assert list(read_stream(path)) == [{"text": '"Good, he said', "n": "1"}, {"text": "so-so", "n": "2"}]
    path.write_text('text\tn\n"Good film\t1\nhe said, wow"\t2\n')
    assert len(list(read_stream(path))) == 2, "two texts, and not one with a line break, as in a task"
    path.write_text('text\tn\n"Good"\t1\n"so\tso"\t2\n')
    assert list(read_stream(path)) == [{"text": "Good", "n": "1"}, {"text": "so\tso", "n": "2"}]
    path.write_text('text\tn\n"Good\t1\nbad\n')
    with pytest.raises(DataError, match="line"):
        list(read_stream(path))


@pytest.mark.parametrize("name", ["rows.csv", "rows.tsv"])
def test_two_columns_of_one_name_are_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("text,n,text\na,1,b\n".replace(",", "\t" if name.endswith("tsv") else ","))
    with pytest.raises(DataError, match="more than one column is called 'text'"):
        list(read_stream(tmp_path / name))


def test_a_column_that_only_later_rows_have_is_kept_or_refused(tmp_path: Path) -> None:
    rows = [{"text": "a"}, {"text": "b", "note": "c"}]
    for suffix in (".jsonl", ".csv"):
        with (tmp_path / f"rows{suffix}").open("w", encoding="utf-8") as file:
            write = writer(file, suffix)
            if suffix == ".csv":
                with pytest.raises(DataError, match=r"'note', which the first row has not: write \.jsonl"):
                    write(rows)
            else:
                write(rows)
    assert list(read_stream(tmp_path / "rows.jsonl")) == rows


def test_texts_of_a_plain_file_and_of_parquet(tmp_path: Path) -> None:
    import pyarrow
    from pyarrow import parquet

    (tmp_path / "t.txt").write_text("one\n\nthree\n", encoding="utf-8")
    assert [row["text"] for row in read_stream(tmp_path / "t.txt")] == ["one", "", "three"]
    parquet.write_table(pyarrow.table({"text": ["a", "b"], "n": [1, 2]}), tmp_path / "t.parquet")
    assert list(read_stream(tmp_path / "t.parquet")) == [{"text": "a", "n": 1}, {"text": "b", "n": 2}]


def test_rows_are_read_one_after_another(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("text\nfirst\n" + "broken,row\n" + "third\n", encoding="utf-8")
    rows = read_stream(path)
    assert next(rows) == {"text": "first"}
    with pytest.raises(DataError, match="line 3: field count 2"):
        next(rows)


@pytest.mark.parametrize(
    ("name", "content", "error"),
    [
        ("gone.csv", None, TaskError),
        ("rows.xlsx", b"x", DataError),
        ("rows.csv", b"text\n\xff\xfe\n", DataError),
        ("rows.jsonl", b'{"text": "a"}\n[1]\n', DataError),
        ("rows.jsonl", b"{", DataError),
        ("rows.parquet", b"not parquet", DataError),
        ("rows.csv", b'text\n"never closed\n', DataError),
    ],
)
def test_files_that_cannot_be_read_are_told_of(tmp_path: Path, name: str, content: bytes | None, error: Any) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(error, match=name):
        list(read_stream(tmp_path / name))


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no exported model there"):
        load_classifier(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_classifier(tmp_path)


def command(*options: object) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "automl.predict", *map(str, options)]
    return subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=120)


@pytest.mark.slow
def test_the_command_labels_a_file_and_overwrites_nothing(folder: Path, tmp_path: Path) -> None:
    source, target = tmp_path / "rows.csv", tmp_path / "out.csv"
    with source.open("w", encoding="utf-8", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(["id", "text"])
        lines.writerows([n, "good film" if n % 2 else ""] for n in range(10))
    done = command("--model", folder, "--input", source, "--output", target)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"10 rows are labelled in {target}; 5 without a text have no label\n"
    with target.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows] == [str(n) for n in range(10)]
    assert list(rows[0]) == ["id", "text", LABEL, "probability", "probability of no", "probability of yes"]
    before = target.read_bytes()
    again = command("--model", folder, "--input", source, "--output", target)
    assert again.returncode == 2
    assert "is there already" in again.stderr
    assert target.read_bytes() == before


@pytest.mark.slow
def test_a_row_that_breaks_leaves_nothing_half_written(folder: Path, tmp_path: Path) -> None:
    source = tmp_path / "rows.jsonl"
    source.write_text("".join(json.dumps({"text": "good"}) + "\n" for _ in range(1500)) + "{", encoding="utf-8")
    done = command("--model", folder, "--input", source, "--output", tmp_path / "out.csv")
    assert done.returncode == 2
    assert "line 1501" in done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"rows.jsonl"}
