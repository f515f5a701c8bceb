"""The audit finds labels that were flipped, texts that are twice there and labels that contradict each other."""

import csv
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict

from automl.selection import Finding, audit, write_audit
from automl.selection.twins import near_pairs

NAMES = ["bad", "fine", "good"]
LONG = "the quick brown fox jumps over the lazy dog and then sleeps in the warm sun"


def noisy() -> tuple[list[str], np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Texts, flipped labels, out-of-fold probabilities, true labels and which were flipped, of 400 learnable rows."""
    rng = np.random.default_rng(0)
    true = rng.integers(3, size=400)
    inputs = np.eye(3)[true] * 4 + rng.normal(size=(400, 3))
    flipped = rng.choice(400, 20, replace=False)
    labels = true.copy()
    labels[flipped] = (labels[flipped] + rng.integers(1, 3, size=20)) % 3
    probabilities = cross_val_predict(LogisticRegression(), inputs, labels, cv=5, method="predict_proba")
    return [f"{row * 7919 % 100003:05d}" for row in range(400)], labels, probabilities, true, flipped


def test_flipped_labels_lead_the_list_with_their_true_label() -> None:
    texts, labels, probabilities, true, flipped = noisy()
    found = audit(texts, labels, probabilities, NAMES)
    assert {finding.issue for finding in found} == {"label"}
    assert [finding.confidence for finding in found] == sorted((finding.confidence for finding in found), reverse=True)
    top = {finding.row for finding in found[:20]}
    assert len(top & set(flipped)) >= 18
    assert len(found) < 40
    suggested = [finding.suggested_label == NAMES[true[finding.row]] for finding in found if finding.row in flipped]
    assert np.mean(suggested) > 0.9
    assert all(finding.given_label == NAMES[labels[finding.row]] for finding in found)


def test_a_class_that_is_never_sure_needs_less() -> None:
    """Class 2 gives its own rows 0.4 on average, class 0 gives its own 0.9: 0.45 is much for one only."""
    probabilities = np.array([[0.9, 0.05, 0.05]] * 4 + [[0.3, 0.3, 0.4]] * 4 + [[0.1, 0.45, 0.45], [0.45, 0.1, 0.45]])
    labels = np.array([0] * 4 + [2] * 4 + [1, 1])
    found = audit([str(row) for row in range(10)], labels, probabilities, NAMES)
    assert [(finding.row, finding.suggested_label) for finding in found] == [(9, "good")]


def test_where_no_class_is_sure_there_is_no_label_issue() -> None:
    probabilities = np.array([[0.8, 0.1, 0.1]] * 4 + [[0.1, 0.8, 0.1]] * 4 + [[0.4, 0.5, 0.1]])
    labels = np.array([0] * 4 + [1] * 4 + [0])
    assert audit([str(row) for row in range(9)], labels, probabilities, NAMES) == []


def test_rows_without_probabilities_have_no_label_issue() -> None:
    texts, labels, probabilities, _, _ = noisy()
    worst = audit(texts, labels, probabilities, NAMES)[0].row
    probabilities[worst] = np.nan
    assert worst not in {finding.row for finding in audit(texts, labels, probabilities, NAMES)}
    assert audit(texts, labels, None, NAMES) == []


def test_duplicates_and_conflicts() -> None:
    texts = ["Great  film", "great film ", "GREAT FILM", LONG, LONG.replace("lazy", "crazy"), LONG + "!", "other words"]
    found = audit(texts, np.array([2, 2, 0, 1, 1, 0, 1]), None, NAMES)
    rows = [(finding.issue, finding.row, finding.other_row, finding.suggested_label) for finding in found]
    assert rows == [
        ("conflict", 0, 2, ""),
        ("conflict", 1, 2, ""),
        ("conflict", 2, 0, "good"),
        ("conflict", 3, 5, ""),
        ("conflict", 4, 5, ""),
        ("conflict", 5, 3, ""),
        ("duplicate", 1, 0, ""),
        ("duplicate", 4, 3, ""),
    ]
    tied = audit(["same", "Same"], np.array([0, 1]), None, NAMES)
    assert [finding.suggested_label for finding in tied] == ["", ""]
    alike = {(finding.issue, finding.row): finding.confidence for finding in found}
    assert alike["duplicate", 1] == 1.0
    assert 0.8 <= alike["duplicate", 4] < 1.0


def test_near_pairs_are_all_pairs_that_are_alike_enough() -> None:
    """Against a comparison of every pair."""
    rng = np.random.default_rng(1)
    words = [f"w{number:02d}" for number in range(40)]
    texts = [" ".join(rng.choice(words, size=8)) for _ in range(60)]
    texts += [text[: rng.integers(20, 32)] + f"{row:x}" * rng.integers(1, 4) for row, text in enumerate(texts)]
    texts += ["", "abc", "abc", "lone \ud800 surrogate"]
    grams = [{text[i : i + 5] for i in range(len(text) - 4)} for text in texts]
    for alike in (0.3, 0.5, 0.6, 0.7, 0.75, 0.8):
        expected = {
            (i, j): len(grams[i] & grams[j]) / len(grams[i] | grams[j])
            for j in range(len(texts))
            for i in range(j)
            if grams[i] & grams[j] and len(grams[i] & grams[j]) / len(grams[i] | grams[j]) >= alike
        }
        assert len(expected) >= 10
        assert {(i, j): similarity for i, j, similarity in near_pairs(texts, alike)} == pytest.approx(expected)


def test_the_file_is_whole_and_harmless(tmp_path: Path) -> None:
    texts = ['=HYPERLINK("x")', "+1", "-1", "@sum", "\tx", 'with "quotes", commas\nand lines', "日本 \ud800"]
    path = tmp_path / "audit.csv"
    write_audit(path, [Finding(row, "label", "=bad", "good", 0.98765, text, None) for row, text in enumerate(texts)])
    assert [file.name for file in tmp_path.iterdir()] == ["audit.csv"]
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    issue = ["issue", "given_label", "suggested_label", "confidence", "text"]
    assert list(rows[0]) == ["row", *issue, "other_row", "split", "other_split"]
    assert [row["text"] for row in rows] == [*("'" + text for text in texts[:5]), texts[5], "日本 \\ud800"]
    assert (rows[0]["given_label"], rows[0]["confidence"], rows[0]["other_row"]) == ("'=bad", "0.9877", "")


def test_a_file_that_cannot_be_finished_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "audit.csv"
    write_audit(path, [])
    before = path.read_bytes()

    def broken():
        yield Finding(0, "label", "a", "b", 0.9, "text", None)
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space"):
        write_audit(path, broken())
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["audit.csv"]


def test_rows_are_named_as_the_user_has_them() -> None:
    (first, second) = audit(["same", "Same"], np.array([0, 1]), None, NAMES)
    origins = np.array([[0, 17], [1, 4]])
    told = first.located(origins), second.located(origins)
    assert [(one.split, one.row, one.other_split, one.other_row) for one in told] == [
        ("train", 17, "validation", 4),
        ("validation", 4, "train", 17),
    ]
    alone = Finding(1, "label", "a", "b", 0.9, "Same", None).located(origins)
    assert (alone.split, alone.row, alone.other_split, alone.other_row) == ("validation", 4, "", None)
