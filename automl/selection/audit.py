"""Rows that a person should look at: probably mislabelled, duplicated, or in conflict with another row."""

from __future__ import annotations

import csv
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass, fields, replace
from pathlib import Path

import numpy as np

from automl.records import SPLITS
from automl.selection.twins import near_pairs
from automl.texts import normalised, spreadsheet_safe


@dataclass(frozen=True)
class Finding:
    """One row of audit.csv.

    `row` and `other_row` count from 0: in `audit` over the texts that it was given, in the file over the rows of the
    user's own table, which `split` and `other_split` name. `issue` is label, conflict or duplicate. `confidence`,
    within [0, 1], is of a label issue (1 + probability of the suggested label - probability of the given one) / 2, of
    the others the similarity of the two texts.
    """

    row: int
    issue: str
    given_label: str
    suggested_label: str
    confidence: float
    text: str
    other_row: int | None
    split: str = ""
    other_split: str = ""

    def located(self, origins: np.ndarray) -> Finding:
        """With rows and splits as the user has them; `origins` are those of the texts, see `Rows`."""
        (split, row), (other_split, other_row) = origins[self.row], (None, None)
        if self.other_row is not None:
            other_split, other_row = origins[self.other_row]
        return replace(
            self,
            row=int(row),
            split=SPLITS[split],
            other_row=None if other_row is None else int(other_row),
            other_split="" if other_split is None else SPLITS[other_split],
        )


def audit(
    texts: Sequence[str], labels: np.ndarray, probabilities: np.ndarray | None, label_names: Sequence[str]
) -> list[Finding]:
    """Label issues, most confident first, then conflicts, then duplicates.

    Args:
        texts: [rows].
        labels: [rows], ids from 0.
        probabilities: out-of-fold, [rows, labels]; rows with NaN have no label issue. None: no label issues at all.
        label_names: of each id.
    """
    found = [] if probabilities is None else list(_mislabelled(texts, labels, probabilities, label_names))
    return sorted(found, key=lambda finding: (-finding.confidence, finding.row)) + _twins(texts, labels, label_names)


def _mislabelled(
    texts: Sequence[str], labels: np.ndarray, probabilities: np.ndarray, label_names: Sequence[str]
) -> Iterator[Finding]:
    """Rows that confidently belong to another class than theirs.

    A class is confident of a row from the mean probability that it gives its own rows. The suggested label is the one
    furthest above that of its class; it must be above it, and likelier than the given label.

    Source: Northcutt, Jiang and Chuang (2021), Confident learning: estimating uncertainty in dataset labels.
    """
    known = ~np.isnan(probabilities).any(axis=1)
    thresholds = np.full(probabilities.shape[1], np.inf)
    for label in np.unique(labels[known]):
        thresholds[label] = probabilities[known & (labels == label), label].mean()
    margins = np.where(known[:, None], probabilities - thresholds, -np.inf)
    suggested, rows = margins.argmax(axis=1), np.arange(len(labels))
    gain = probabilities[rows, suggested] - probabilities[rows, labels]
    for row in map(int, np.flatnonzero((suggested != labels) & (margins.max(axis=1) >= 0) & (gain > 0))):
        names = label_names[int(labels[row])], label_names[int(suggested[row])]
        yield Finding(row, "label", *names, float(1 + gain[row]) / 2, texts[row], None)


def _twins(texts: Sequence[str], labels: np.ndarray, label_names: Sequence[str]) -> list[Finding]:
    """Conflicts, then duplicates, by row: of each row and issue the most similar other row, the first of its like.

    Of duplicates the later one is named; of rows in conflict each. A label is suggested where most rows of the very
    same text have another one.
    """
    rows_of: dict[str, dict[int, list[int]]] = defaultdict(lambda: defaultdict(list))  # text -> label -> rows
    for row, text in enumerate(texts):
        rows_of[normalised(text)][int(labels[row])].append(row)
    closest: dict[tuple[str, int], tuple[float, int]] = {}
    for issue, row, other, alike in _pairs(list(rows_of.values()), near_pairs(list(rows_of))):
        closest[issue, row] = max(closest.get((issue, row), (0.0, 0)), (alike, -other))
    found = []
    for (issue, row), (alike, other) in sorted(closest.items()):
        given = int(labels[row])
        usual = _majority(rows_of[normalised(texts[row])])
        suggested = label_names[usual] if issue == "conflict" and usual not in (None, given) else ""
        found.append(Finding(row, issue, label_names[given], suggested, alike, texts[row], -other))
    return found


def _pairs(
    groups: list[dict[int, list[int]]], near: Iterable[tuple[int, int, float]]
) -> Iterator[tuple[str, int, int, float]]:
    """Issue, row, other row, similarity. A group holds the rows of one text by label."""
    for group in groups:
        for label, rows in group.items():
            yield from (("duplicate", row, rows[0], 1.0) for row in rows[1:])
            others = [other[0] for name, other in group.items() if name != label]
            yield from (("conflict", row, other, 1.0) for row in rows for other in others[:1])
    for one, two, alike in near:
        for label, rows in groups[one].items():
            for other_label, other_rows in groups[two].items():
                first, second = sorted((rows[0], other_rows[0]))
                if label == other_label:
                    yield "duplicate", second, first, alike
                else:
                    yield "conflict", first, second, alike
                    yield "conflict", second, first, alike


def _majority(group: dict[int, list[int]]) -> int | None:
    """The label of more than half of the rows of one text."""
    label, rows = Counter({label: len(rows) for label, rows in group.items()}).most_common(1)[0]
    return label if 2 * rows > sum(map(len, group.values())) else None


def write_audit(path: Path, findings: Iterable[Finding]) -> None:
    """Write them as CSV in UTF-8, whole or not at all. A cell that a spreadsheet would compute gets a leading quote."""
    part = path.with_suffix(f".{os.getpid()}.part")
    try:
        with part.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(field.name for field in fields(Finding))
            writer.writerows([_cell(value) for value in astuple(finding)] for finding in findings)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _cell(value: object) -> object:
    return f"{value:.4f}" if isinstance(value, float) else spreadsheet_safe(value)
