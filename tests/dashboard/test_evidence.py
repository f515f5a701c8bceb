"""Configurations on the same rows: what they said is put in its place, and compared as a person would by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from automl.dashboard import evidence
from automl.errors import DataError, NothingUsable
from automl.records import Rows, Splits, State, Trial
from automl.selection.compare import differences
from automl.selection.rows import FOLDER, ROWS, LabelledRows, read_rows, write_rows
from automl.study.reader import StudyRecord
from automl.training.keep import write_logits

LABELS = np.array([0, 1, 0, 1, 0, 1])
FOLDS = np.array([0, 0, 1, 1, -1, 1])  # the fifth is always trained on


@pytest.fixture
def study(tmp_path: Path) -> StudyRecord:
    """Two configurations: one is right everywhere and was trained on both folds, the other wrong on its only fold."""
    texts = tuple(f"text\u2028{number}" for number in range(6))
    splits = Splits(Rows(texts, LABELS), FOLDS, Rows(("t",), LABELS[:1]), ("no", "yes"), "f")
    write_rows(tmp_path / ROWS, splits)
    trials = []
    for number, configuration, fold, right in ((0, 0, 0, True), (1, 0, 1, True), (2, 2, 0, False)):
        labels = LABELS[fold == FOLDS]
        logits = np.eye(2, dtype=np.float32)[labels if right else 1 - labels] * 4
        path = tmp_path / f"{number}.logits"
        facts: dict[str, Any] = {"fold": fold, "seed": fold, "configuration": configuration}
        facts |= {"predictions": str(path), "predictions_sha256": write_logits(path, logits)}
        trials.append(Trial(number, State.COMPLETE, {}, 1.0, {}, facts))
    trials.append(Trial(3, State.PRUNED, {}, None, {}, {"fold": 0, "seed": 0}))
    return StudyRecord("s", {FOLDER: str(tmp_path)}, trials)


def test_rows_are_read_as_they_were_written(study: StudyRecord) -> None:
    rows = evidence.rows_of(study)
    assert rows.texts[5] == "text\u20285"
    assert rows.labels.tolist() == LABELS.tolist()
    assert rows.folds.tolist() == FOLDS.tolist()
    assert rows.held_out.tolist() == [0, 1, 2, 3, 5]
    assert list(rows.label_names) == ["no", "yes"]


def test_what_was_said_is_put_where_it_belongs(study: StudyRecord) -> None:
    rows = evidence.rows_of(study)
    said = evidence.said_by(study, rows, [2, 0, 3])
    assert list(said) == ["trial 2", "trial 0"]  # in the order asked; the third said nothing
    assert said["trial 0"].shape == (1, 6, 2)
    known = ~np.isnan(said["trial 0"][0]).any(axis=1)
    assert known.tolist() == [True, True, True, True, False, True]
    assert (said["trial 0"][0, known].argmax(axis=1) == LABELS[known]).all()
    assert np.isnan(said["trial 2"][0, 2:]).all()


def test_further_seeds_are_compared_as_the_search_does_and_not_as_an_ensemble(tmp_path: Path) -> None:
    """One has three seeds, each wrong on another row, so that their mean is right everywhere; its rival has one."""
    labels, groups = np.array([0, 1, 0, 1]), np.array([0, 0, 1, 1])
    rows = Rows(("a", "b", "c", "d"), labels, groups, np.array([[0, 9], [0, 7], [0, 5], [0, 3]]))
    write_rows(tmp_path / ROWS, Splits(rows, np.zeros(4, np.int64), rows, ("no", "yes"), "f"))
    trials = []
    for number, (configuration, seed, wrong) in enumerate([(0, 0, 0), (1, 0, 3), (0, 1, 1), (0, 2, 2)]):
        said = np.where(np.arange(4) == wrong, 1 - labels, labels)
        path = tmp_path / f"{number}.logits"
        facts: dict[str, Any] = {"fold": 0, "seed": seed, "configuration": configuration, "predictions": str(path)}
        facts["predictions_sha256"] = write_logits(path, np.eye(2, dtype=np.float32)[said] * 4)
        trials.append(Trial(number, State.COMPLETE, {}, 0.75, {}, facts))
    study = StudyRecord("s", {FOLDER: str(tmp_path)}, trials)
    found = evidence.rows_of(study)
    said = evidence.said_by(study, found, [0, 1])
    assert evidence.scores_table(found, said, "accuracy")["value"].tolist() == [0.75, 0.75]
    (difference,) = evidence.differences_table(found, said, "accuracy").to_dict("records")
    assert (difference["value"], difference["rows"]) == (0, 4)
    own = differences(labels, said["trial 0"], {"x": said["trial 1"]}, "accuracy", groups=groups)[0]
    assert (difference["low"], difference["high"]) == (own.low, own.high), "rows of one group are drawn together"
    standing = evidence.standing_table(study, (0, 1), "accuracy")
    assert standing["like the first"].tolist() == [True, True]
    assert standing["rows"].tolist() == [4, 4]
    assert evidence.disagreements(found, said)["row"].tolist() == [3], "as the user's file has it"
    assert evidence.confusion(found, said["trial 0"]).sum() == 4


def test_differences_scores_confusions_and_disagreements(study: StudyRecord) -> None:
    rows = evidence.rows_of(study)
    said = evidence.said_by(study, rows, [0, 2])
    (difference,) = evidence.differences_table(rows, said, "accuracy").to_dict("records")
    assert (difference["value"], difference["rows"]) == (1.0, 2)
    assert evidence.scores_table(rows, said, "accuracy")["value"].tolist() == [1.0, 0.0]
    assert evidence.confusion(rows, said["trial 0"]).tolist() == [[2, 0], [0, 3]]
    assert evidence.confusion(rows, said["trial 2"]).tolist() == [[0, 1], [1, 0]]
    differ = evidence.disagreements(rows, said)
    assert differ["row"].tolist() == [0, 1]
    assert differ[["label", "trial 0", "trial 2"]].to_numpy().tolist() == [["no", "no", "yes"], ["yes", "yes", "no"]]


def test_the_hardest_rows_come_first(study: StudyRecord) -> None:
    rows = evidence.rows_of(study)
    hardest = evidence.hardest(rows, evidence.said_by(study, rows, [0, 2]))
    assert set(hardest["row"][:2]) == {0, 1}  # which one of the two had wrong
    assert len(hardest) == 5
    assert hardest["loss"].is_monotonic_decreasing


def test_what_is_gone_or_was_changed_is_told_of(study: StudyRecord, tmp_path: Path) -> None:
    rows = evidence.rows_of(study)
    (tmp_path / "0.logits").write_bytes(b"something else")
    with pytest.raises(NothingUsable, match="hash differs"):
        evidence.said_by(study, rows, [0])
    (tmp_path / ROWS).unlink()
    with pytest.raises(DataError, match="where the search ran"):
        evidence.rows_of(study)
    with pytest.raises(DataError, match="without its folder"):
        evidence.rows_of(StudyRecord("s", {}, []))
    with pytest.raises(DataError, match="when a search ends"):
        evidence.read_audit(tmp_path / "audit.csv")


def test_rows_are_written_once(tmp_path: Path, study: StudyRecord) -> None:
    before = (tmp_path / ROWS).read_bytes()
    splits = Splits(Rows(("other",), LABELS[:1]), FOLDS[:1], Rows(("t",), LABELS[:1]), ("no", "yes"), "f")
    write_rows(tmp_path / ROWS, splits)
    assert (tmp_path / ROWS).read_bytes() == before
    assert isinstance(read_rows(tmp_path / ROWS), LabelledRows)
