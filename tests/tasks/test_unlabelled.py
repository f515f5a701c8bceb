"""Further texts: any format, each once, and none of those that the model is measured on."""

from __future__ import annotations

from pathlib import Path

import pytest

from automl.errors import DataError, TaskError
from automl.tasks.unlabelled import read_unlabelled
from tests.tiny import write_csv, write_jsonl


def test_lines_of_a_text_file_are_texts(tmp_path: Path) -> None:
    path = tmp_path / "more.txt"
    path.write_text("one text\n\n  another  \nOne  Text\nmeasured on\n", encoding="utf-8")
    assert read_unlabelled(path, None, ["Measured  on"]) == ("one text", "another")


def test_the_text_column_of_a_table_is_found_or_named(tmp_path: Path) -> None:
    rows = [{"id": "1", "review": "fine"}, {"id": "2", "review": "dull"}]
    assert read_unlabelled(write_csv(tmp_path / "a.csv", rows), None, []) == ("fine", "dull")
    assert read_unlabelled(write_jsonl(tmp_path / "a.jsonl", [{"words": "a b"}]), None, []) == ("a b",)
    odd = write_csv(tmp_path / "b.csv", [{"one": "x y", "two": "z"}])
    assert read_unlabelled(odd, "one", []) == ("x y",)
    with pytest.raises(DataError, match=r"--text-column; the columns are 'one', 'two'"):
        read_unlabelled(odd, None, [])


def test_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match="no such file"):
        read_unlabelled(tmp_path / "none.txt", None, [])
    (tmp_path / "a.doc").touch()
    with pytest.raises(DataError, match=r"suffix '\.doc'; allowed are \.txt, \.csv"):
        read_unlabelled(tmp_path / "a.doc", None, [])
    (tmp_path / "known.txt").write_text("known")
    with pytest.raises(DataError, match="no text that is not in validation or test rows"):
        read_unlabelled(tmp_path / "known.txt", None, ["Known"])
