"""Splits: nothing leaks between them, proportions are kept, and what was dropped is told."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automl.data.splits import Choices, make_splits
from automl.errors import DataError
from automl.records import RawTask, Rows, Splits, Table
from automl.tasks.kinds import kind_of

KIND = kind_of("classification")
DEFAULTS = Choices()


def table(rows: list[tuple[object, object]], origin: str = "rows.csv") -> Table:
    return Table({"text": [text for text, _ in rows], "label": [label for _, label in rows]}, origin)


def split(
    train: list[tuple[object, object]], choices: Choices = DEFAULTS, **others: list[tuple[object, object]]
) -> Splits:
    tables = {name: table(rows, f"{name}.csv") for name, rows in {"train": train, **others}.items()}
    return make_splits(RawTask("t", tables, "a test"), KIND, choices)


def keys(rows: Rows) -> set[str]:
    return {" ".join(text.casefold().split()) for text in rows.inputs}


many = [(f"text {i}", "ab"[i % 2]) for i in range(100)]


def test_one_table_becomes_three_disjoint_splits_in_proportion() -> None:
    splits = split(many)
    assert [len(part) for part in (splits.train, splits.validation, splits.test)] == [64, 16, 20]
    for part in (splits.train, splits.validation, splits.test):
        assert np.bincount(part.labels).tolist() == [len(part) / 2] * 2


def test_a_rare_label_is_in_every_split() -> None:
    splits = split([*many, ("rare 1", "c"), ("rare 2", "c"), ("rare 3", "c")])
    for part in (splits.train, splits.validation, splits.test):
        assert 2 in part.labels


def test_the_seed_decides_and_the_fingerprint_tells() -> None:
    first, again, other = split(many), split(many), split(many, Choices(seed=1))
    assert first.fingerprint == again.fingerprint
    assert first.train.inputs == again.train.inputs
    assert first.fingerprint != other.fingerprint


def test_given_splits_are_kept_and_lose_what_stands_in_the_test_rows() -> None:
    splits = split(
        [*many, ("A  test TEXT", "a")],
        test=[("a test text", "a"), ("another", "b")],
        validation=[("v", "a"), ("w", "b")],
    )
    assert splits.test.inputs == ("a test text", "another")
    assert splits.validation.inputs == ("v", "w")
    assert len(splits.train) == 100
    assert splits.dropped == {"train row that stands in another split": 1}


def test_unusable_and_repeated_rows_are_dropped_and_counted() -> None:
    bad = [(None, "a"), ("   ", "a"), (7, "b"), ("no label", ""), ("text 0", "a"), ("TEXT 1", "a")]
    splits = split([*many, *bad])
    assert splits.dropped == {
        "text missing or not text": 2,
        "empty text": 1,
        "no label": 1,
        "repeated text": 1,
        "repeated text with another label": 1,
    }
    assert sum(len(part) for part in (splits.train, splits.validation, splits.test)) == 100


def test_train_size_counts_training_and_validation_rows() -> None:
    splits = split(many, Choices(train_size=40))
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (32, 8, 20)


def test_a_named_task_has_its_own_train_size_and_a_bounded_test_split() -> None:
    tables = {
        "train": table([(f"t {i}", i % 2) for i in range(6000)]),
        "test": table([(f"u {i}", i % 2) for i in range(5000)]),
    }
    splits = make_splits(RawTask("big", tables, "a test", train_size=1000), KIND, Choices())
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (800, 200, 2000)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_whatever_the_rows_no_text_is_in_two_splits_and_each_label_is_in_training(data: st.DataObject) -> None:
    labels = data.draw(st.lists(st.sampled_from(["a", "b", "c"]), min_size=2, max_size=60))
    texts = [data.draw(st.sampled_from([f"t{i}", f"T{i}", f" t{i} ", "same", "é"])) for i in range(len(labels))]
    try:
        splits = split(list(zip(texts, labels, strict=True)), Choices(seed=data.draw(st.integers(0, 99))))
    except DataError:
        return
    parts = [keys(part) for part in (splits.train, splits.validation, splits.test)]
    assert sum(map(len, parts)) == len(set.union(*parts))
    assert set(splits.train.labels.tolist()) == set(range(len(splits.label_names)))
    assert all(parts)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([("x", "a"), ("y", "a")], "at least two labels, found only 'a'"),
        ([(None, "a"), ("", "b")], "no usable rows (1 x text missing or not text, 1 x empty text)"),
        ([("x", "a"), ("y", "a"), ("z", "a"), ("w", "b")], "too few for 'b' (1)"),
        ([("x", 0.5), ("y", 1.5)], "holds the number 0.5"),
        ([("x", "0.5"), ("y", "1.5")], "holds the number '0.5'"),
    ],
)
def test_rows_that_cannot_be_split_are_refused_in_one_line(rows: list[tuple[object, object]], message: str) -> None:
    with pytest.raises(DataError) as error:
        split(rows)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_label_unknown_to_training_is_refused_with_the_split_it_stands_in() -> None:
    with pytest.raises(
        DataError, match=r"test\.csv: label 'c' does not occur in the training rows; known labels: 'a', 'b'"
    ):
        split(many, test=[("x", "c")])


def test_a_train_size_too_small_for_the_labels_is_refused() -> None:
    with pytest.raises(DataError, match="--train-size 3 leaves some of the 2 labels"):
        split(many, Choices(train_size=3))


def test_integer_labels_are_ordered_as_numbers() -> None:
    rows = [(f"text {i}", [2, 10, -1][i % 3]) for i in range(30)]
    assert split(rows).label_names == ("-1", "2", "10")


class TestColumns:
    def find(self, columns: list[str], text: str | None = None, label: str | None = None) -> tuple[str, str]:
        values = {name: ["some words", "other words"] if "t" in name else ["1", "0"] for name in columns}
        return KIND.find_columns(Table(values, "rows.csv"), text, label)

    def test_by_header_or_by_what_is_left(self) -> None:
        assert self.find(["id", "Text", "Label"]) == ("Text", "Label")
        assert self.find(["sentence", "foo"]) == ("sentence", "foo")
        assert self.find(["xt", "category", "id"]) == ("xt", "category")
        assert self.find(["t1", "t2", "label"], text="t2") == ("t2", "label")

    @pytest.mark.parametrize(
        ("columns", "chosen", "message"),
        [
            (["t1", "t2", "label"], {}, "--text-column is needed to tell the columns apart: 't1', 't2', 'label'"),
            (["text", "x", "y2"], {}, "--label-column is needed"),
            (["text", "label"], {"text": "txt"}, r"no column 'txt' \(--text-column\); the columns are 'text', 'label'"),
            (["text", "label"], {"text": "text", "label": "text"}, "text and label are both column 'text'"),
        ],
    )
    def test_what_is_ambiguous_is_refused_with_the_columns(
        self, columns: list[str], chosen: dict[str, str], message: str
    ) -> None:
        with pytest.raises(DataError, match=message):
            self.find(columns, **chosen)
