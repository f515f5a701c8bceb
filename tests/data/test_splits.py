"""Splits: nothing leaks between them, proportions are kept, and what was dropped is told."""

from __future__ import annotations

from typing import Any

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


def sizes(splits: Splits) -> tuple[int, int, int]:
    """Rows that the first fold trains on, that it holds out, and test rows."""
    train, held_out = splits.parts(0)
    return len(train), len(held_out), len(splits.test)


def test_one_table_becomes_labelled_and_test_rows_in_proportion_and_folds_of_the_labelled() -> None:
    splits = split(many)
    assert (len(splits.labelled), len(splits.test), splits.n_folds) == (80, 20, 5)
    assert sizes(splits) == (64, 16, 20)
    for part in (splits.labelled, splits.test):
        assert np.bincount(part.labels).tolist() == [len(part) / 2] * 2


def test_the_parts_of_a_fold_are_disjoint_and_all_there_is() -> None:
    splits = split(many, Choices(folds=3))
    held_out: list[str] = []
    for fold in range(3):
        train, rows = splits.parts(fold)
        assert not keys(train) & keys(rows)
        assert keys(train) | keys(rows) == keys(splits.labelled)
        assert rows.inputs == splits.held_out(fold).inputs
        held_out += rows.inputs
    assert sorted(held_out) == sorted(splits.labelled.inputs)


def test_one_fold_is_one_held_out_part() -> None:
    assert sizes(split(many, Choices(folds=1))) == (64, 16, 20)


def test_a_rare_label_is_among_labelled_and_test_rows_and_held_out_in_some_folds() -> None:
    splits = split([*many, ("rare 1", "c"), ("rare 2", "c"), ("rare 3", "c")])
    assert 2 in splits.labelled.labels
    assert 2 in splits.test.labels
    assert len(set(splits.folds[splits.labelled.labels == 2])) == 2


def test_test_rows_are_the_same_whatever_the_seed() -> None:
    """A study may begin with what another one of the same data has found, and that one may have had another seed."""
    first, other = split(many, Choices(seed=0)), split(many, Choices(seed=1))
    assert first.test.inputs == other.test.inputs
    assert first.folds.tolist() != other.folds.tolist()


def test_the_seed_decides_and_the_fingerprint_tells() -> None:
    first, again, other = split(many), split(many), split(many, Choices(seed=1))
    assert first.fingerprint == again.fingerprint
    assert first.labelled.inputs == again.labelled.inputs
    assert first.folds.tolist() == again.folds.tolist()
    assert first.fingerprint != other.fingerprint
    assert split(many, Choices(folds=4)).fingerprint != first.fingerprint, "folds are part of what is compared"


def test_given_splits_are_kept_and_lose_what_stands_in_the_test_rows() -> None:
    splits = split(
        [*many, ("A  test TEXT", "a")],
        test=[("a test text", "a"), ("another", "b")],
        validation=[("v", "a"), ("w", "b")],
    )
    assert splits.test.inputs == ("a test text", "another")
    assert splits.n_folds == 1
    assert splits.held_out(0).inputs == ("v", "w")
    assert sizes(splits) == (100, 2, 2)
    assert splits.dropped == {"train row that stands in another split": 1}


def test_where_folds_are_asked_for_given_validation_rows_are_labelled_rows_like_others() -> None:
    given = {"validation": [("v", "a"), ("w", "b")], "test": [("t", "a")]}
    splits = split(many, Choices(folds=4), **given)
    assert (splits.n_folds, len(splits.labelled), len(splits.test)) == (4, 102, 1)
    assert {"v", "w"} < keys(splits.labelled)
    assert splits.folds.min() == 0


def test_validation_rows_that_all_stand_in_the_test_rows_are_as_if_not_given() -> None:
    splits = split(many, test=[("t", "a"), ("u", "b")], validation=[("T", "a"), ("u", "b")])
    assert splits.dropped == {"validation row that stands in another split": 2}
    assert splits.n_folds == 5


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
    assert len(splits.labelled) + len(splits.test) == 100


def test_train_size_counts_labelled_rows() -> None:
    assert sizes(split(many, Choices(train_size=40))) == (32, 8, 20)


def test_a_named_task_has_its_own_train_size_and_a_bounded_test_split() -> None:
    tables = {
        "train": table([(f"t {i}", i % 2) for i in range(6000)]),
        "test": table([(f"u {i}", i % 2) for i in range(5000)]),
    }
    splits = make_splits(RawTask("big", tables, "a test", train_size=1000), KIND, Choices())
    assert (len(splits.labelled), splits.n_folds) == (1000, 5)
    assert sizes(splits) == (800, 200, 2000)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_whatever_the_rows_no_text_is_on_two_sides_and_each_label_is_labelled(data: st.DataObject) -> None:
    labels = data.draw(st.lists(st.sampled_from(["a", "b", "c"]), min_size=2, max_size=60))
    texts = [data.draw(st.sampled_from([f"t{i}", f"T{i}", f" t{i} ", "same", "é"])) for i in range(len(labels))]
    choices = Choices(seed=data.draw(st.integers(0, 99)), folds=data.draw(st.sampled_from([None, 1, 2, 5])))
    try:
        splits = split(list(zip(texts, labels, strict=True)), choices)
    except DataError:
        return
    for fold in range(splits.n_folds):
        parts = [keys(part) for part in (*splits.parts(fold), splits.test)]
        assert sum(map(len, parts)) == len(set.union(*parts))
        assert all(parts)
    assert set(splits.labelled.labels.tolist()) == set(range(len(splits.label_names)))


class TestGroups:
    """Rows with one value in the group column stay together, wherever they go."""

    def split(self, train: list[tuple[str, str, object]], choices: Choices, **others: Any) -> Splits:
        tables = {
            name: Table(
                {name: [row[place] for row in rows] for place, name in enumerate(("text", "label", "author"))},
                f"{name}.csv",
            )
            for name, rows in {"train": train, **others}.items()
        }
        return make_splits(RawTask("t", tables, "a test"), KIND, choices)

    def rows(self, authors: int, count: int = 120) -> list[tuple[str, str, object]]:
        return [(f"text {i}", "ab"[i % 2], f"author {(i // 2) % authors}") for i in range(count)]

    @settings(max_examples=40, deadline=None)
    @given(st.data())
    def test_they_are_never_parted(self, data: st.DataObject) -> None:
        count = data.draw(st.integers(10, 60))
        authors = data.draw(st.lists(st.integers(0, 12), min_size=count, max_size=count))
        train: list[tuple[str, str, object]] = [(f"t{i}", "ab"[i % 2], author) for i, author in enumerate(authors)]
        given = [(f"u{i}", "ab"[i % 2], i) for i in range(4)]
        others = dict.fromkeys(data.draw(st.sets(st.sampled_from(["test", "validation"]))), given)
        if len(others) == 2:
            others["validation"] = [(f"v{i}", "ab"[i % 2], i + 2) for i in range(4)]
        choices = Choices(
            seed=data.draw(st.integers(0, 9)),
            train_size=data.draw(st.sampled_from([None, 8, 20])),
            folds=data.draw(st.sampled_from([None, 1, 3])),
            group_column="author",
        )
        try:
            splits = self.split(train, choices, **others)
        except DataError:
            return
        assert splits.labelled.groups is not None
        assert splits.test.groups is not None
        assert not set(splits.labelled.groups) & set(splits.test.groups)
        for group in set(splits.labelled.groups):
            assert len(set(splits.folds[splits.labelled.groups == group])) == 1
        for fold in range(splits.n_folds):
            assert all(map(len, splits.parts(fold)))

    def test_groups_are_known_by_their_value_over_all_tables(self) -> None:
        splits = self.split(
            self.rows(12),
            Choices(group_column="author"),
            test=[("u", "a", "author 0"), ("v", "b", "someone else")],
        )
        assert len(splits.test) == 2
        assert splits.dropped == {"train row of a group that stands in another split": 10}
        assert len(splits.labelled) == 110

    def test_given_validation_rows_keep_their_groups_to_themselves_unless_they_are_rows_like_others(self) -> None:
        validation = [("v", "a", "author 0"), ("w", "b", "author 1")]
        held_out = self.split(self.rows(12), Choices(group_column="author"), validation=validation)
        assert held_out.held_out(0).inputs == ("v", "w")
        assert held_out.dropped == {"train row of a group that stands in another split": 20}
        together = self.split(self.rows(12), Choices(folds=3, group_column="author"), validation=validation)
        assert together.dropped == {}
        assert {"v", "w"} < keys(together.labelled) | keys(together.test)

    def test_a_row_without_a_value_is_a_group_of_its_own(self) -> None:
        rows = [(text, label, None if i % 2 else "") for i, (text, label, _) in enumerate(self.rows(1))]
        splits = self.split(rows, Choices(folds=5, group_column="author"))
        assert splits.labelled.groups is not None
        assert len(set(splits.labelled.groups)) == len(splits.labelled)

    @pytest.mark.parametrize("train_size", [20, 50, 80])
    def test_train_size_is_met_as_far_as_groups_allow(self, train_size: int) -> None:
        splits = self.split(self.rows(60), Choices(train_size=train_size, group_column="author"))
        assert len(splits.labelled) == pytest.approx(train_size, rel=0.2)

    def test_a_column_that_is_not_there_is_refused_with_those_that_are(self) -> None:
        with pytest.raises(
            DataError,
            match=r"train\.csv: no column 'writer' \(--group-column\); the columns are 'text', 'label', 'author'",
        ):
            self.split(self.rows(12), Choices(group_column="writer"))

    @pytest.mark.parametrize("authors", [1, 2])
    def test_too_few_groups_are_refused(self, authors: int) -> None:
        with pytest.raises(
            DataError, match=r"--group-column: \d+ rows that are to be split are all of one group: name"
        ):
            self.split(self.rows(authors), Choices(group_column="author"))

    def test_a_label_of_one_group_stays_where_it_is_learned(self) -> None:
        rows = [*self.rows(12), *((f"rare {i}", "c", "only one") for i in range(24))]
        for seed in range(5):
            assert 2 in self.split(rows, Choices(seed=seed, group_column="author")).labelled.labels

    def test_where_each_label_is_of_one_group_one_is_lost_and_that_is_refused(self) -> None:
        rows = [(f"{label} {i}", label, f"author {label}") for label in "abc" for i in range(20)]
        with pytest.raises(DataError, match=r"all rows of '.' are in groups that went to the test rows: merge"):
            self.split(rows, Choices(group_column="author"))


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


def test_what_was_left_out_for_its_text_is_kept_for_the_audit_with_its_place() -> None:
    rows = [("the same", "a"), ("", "a"), *many, ("The  same", "b"), ("the same", "a")]
    splits = split(rows, test=[("other 1", "a"), ("other 2", "b")])
    place = splits.labelled.inputs.index("the same")
    assert splits.labelled.origins is not None
    assert splits.repeated.origins is not None
    assert splits.labelled.origins[place].tolist() == [0, 0]
    assert splits.labelled.origins[splits.labelled.inputs.index("text 7")].tolist() == [0, 9]
    assert splits.repeated.inputs == ("The  same", "the same")
    assert splits.repeated.labels.tolist() == [1, 0]
    assert splits.repeated.origins.tolist() == [[0, 102], [0, 103]]


def test_what_was_left_out_for_a_test_row_is_not() -> None:
    splits = split([("the same", "a"), *many], test=[("the same", "b"), ("other", "a")])
    assert len(splits.repeated) == 0


def test_rows_of_a_given_validation_split_are_told_from_those_of_training() -> None:
    splits = split(many, validation=[("new 1", "a"), ("new 2", "b")], test=[("other 1", "a"), ("other 2", "b")])
    assert splits.labelled.origins is not None
    assert splits.labelled.origins[-1].tolist() == [1, 1]
