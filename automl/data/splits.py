"""From raw tables to labelled rows in folds, and test rows: cleaned, de-duplicated, stratified and seeded."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from automl.data.folds import ALWAYS_TRAINED, folds_by_size, make_folds
from automl.data.groups import read_groups, without_parted_groups
from automl.errors import DataError
from automl.records import SPLITS, RawTask, Rows, Splits
from automl.tasks.kinds import Kind
from automl.texts import normalised

TEST_SHARE = 0.2  # of the rows, where the source has no test split
CUTS = 20  # that are tried at most
NAMED_TASK_TEST_ROWS = 2000  # a larger test split of a named task would only cost the user time: its error is 1 point


@dataclass(frozen=True)
class Choices:
    """What the user decides about the splits.

    Args:
        train_size: labelled rows to use, held-out ones among them.
        folds: 2 or more: each labelled row is held out once; 1: a part of them is; None: as their number suggests.
        group_column: rows with one value in it are never parted between training and held-out or test rows.
    """

    seed: int = 0
    train_size: int | None = None
    text_column: str | None = None
    label_column: str | None = None
    folds: int | None = None
    group_column: str | None = None


def make_splits(task: RawTask, kind: Kind, choices: Choices) -> Splits:
    """Clean and split the rows of a task.

    Given splits are kept; a missing test split is cut from the training rows, in proportion to the labels. A text that
    stands in the test rows is removed from the others, and one in the validation rows from training. A given validation
    split is what is held out; where several folds are asked for, its rows are training rows like the others.

    Raises:
        DataError: no usable rows, one class only, or a class with fewer rows than there are splits to fill.
    """
    names, given, dropped = _read(task, kind, choices)
    rng = np.random.default_rng(choices.seed)
    given, repeated = _without_duplicates(given, dropped)
    if "validation" in given and choices.folds is not None and choices.folds > 1:
        given["train"] = given["train"].joined(given.pop("validation"))
    given = without_parted_groups(given, dropped)
    given = {split: rows for split, rows in given.items() if len(rows) or split == "train"}
    origin, needed = task.splits["train"].origin, 1 + sum(split not in given for split in ("validation", "test"))
    _require_rows_per_class(given["train"], names, needed, origin)

    pool = given["train"]
    cap = NAMED_TASK_TEST_ROWS if task.train_size else None
    test = given.get("test")
    if test is None:
        pool, test = _locked(pool, kind, _share(len(pool), TEST_SHARE, cap))
    elif cap and len(test) > cap:
        _, test = _locked(test, kind, cap)

    train_size = choices.train_size or task.train_size
    if train_size:
        _require_train_size(train_size, names, len(pool))
        if train_size < len(pool):
            _, pool = _carve(pool, kind, train_size, rng)
    labelled, folds = _folds(pool, given.get("validation"), kind, choices)
    _require_every_label(labelled, names, origin)
    fingerprint = _fingerprint(labelled, folds, test, names)
    return Splits(labelled, folds, test, names, fingerprint, dict(dropped), _with_text_of(labelled, repeated))


def _folds(pool: Rows, validation: Rows | None, kind: Kind, choices: Choices) -> tuple[Rows, np.ndarray]:
    if validation is not None:
        held_out = np.arange(len(pool) + len(validation)) >= len(pool)
        return pool.joined(validation), np.where(held_out, 0, ALWAYS_TRAINED)
    count = choices.folds or folds_by_size(len(pool))
    return pool, make_folds(kind.strata(pool.labels), pool.groups, count, choices.seed)


def _read(task: RawTask, kind: Kind, choices: Choices) -> tuple[tuple[str, ...], dict[str, Rows], Counter[str]]:
    train = task.splits["train"]
    text = choices.text_column or task.text_column
    columns = kind.find_columns(train, text, choices.label_column or task.label_column)
    raw, groups = {}, read_groups(task, choices.group_column)
    for split, table in task.splits.items():
        kind.find_columns(table, *columns)
        raw[split] = kind.read_rows(table, columns)
    dropped: Counter[str] = Counter()
    for rows in raw.values():
        dropped.update(rows.dropped)
    if not raw["train"].inputs:
        raise DataError(f"{train.origin}: no usable rows ({_counts(dropped) or 'the table is empty'})")
    names = kind.label_names(raw["train"].labels, train.origin)
    encoded = {
        split: Rows(
            tuple(rows.inputs),
            kind.encode_labels(rows.labels, names, task.splits[split].origin),
            groups[split][rows.kept] if groups else None,
            np.array([(SPLITS.index(split), row) for row in rows.kept], dtype=np.int64),
        )
        for split, rows in raw.items()
        if rows.inputs
    }
    return names, encoded, dropped


def _without_duplicates(given: dict[str, Rows], dropped: Counter[str]) -> tuple[dict[str, Rows], list[Rows]]:
    """Keep the test rows as they are; in the other splits keep the first copy of a text that no later split holds.

    Also what was left out.
    """
    seen = {normalised(text): label for text, label in _pairs(given["test"])} if "test" in given else {}
    kept, left_out = dict(given), []
    for split in ("validation", "train"):
        if split not in given:
            continue
        before, keep = set(seen), []
        for index, (text, label) in enumerate(_pairs(given[split])):
            key = normalised(text)
            if key in before:
                dropped[f"{split} row that stands in another split"] += 1
            elif key in seen:
                conflict = seen[key] != label
                dropped["repeated text with another label" if conflict else "repeated text"] += 1
            else:
                seen[key] = label
                keep.append(index)
        kept[split] = given[split].take(np.array(keep, dtype=np.int64))
        left_out.append(given[split].take(np.setdiff1d(np.arange(len(given[split])), keep)))
    return kept, left_out


def _with_text_of(labelled: Rows, left_out: Sequence[Rows]) -> Rows:
    """Of what was left out, the rows that have the text of a labelled row: a person may have to choose between them."""
    known = {normalised(text) for text in labelled.inputs}
    found = labelled.take(np.zeros(0, dtype=np.int64))
    for rows in left_out:
        alike = [row for row, text in enumerate(rows.inputs) if normalised(text) in known]
        found = found.joined(rows.take(np.array(alike, dtype=np.int64)))
    return found


def _require_rows_per_class(train: Rows, names: tuple[str, ...], needed: int, origin: str) -> None:
    counts = np.bincount(train.labels, minlength=len(names))
    small = [f"{name!r} ({count})" for name, count in zip(names, counts, strict=True) if count < needed]
    if small:
        raise DataError(
            f"{origin}: every label needs at least {needed} different texts to be split, too few for "
            f"{', '.join(small[:10])}: add rows or merge these labels"
        )


def _require_every_label(labelled: Rows, names: tuple[str, ...], origin: str) -> None:
    """Groups go where they go whole, and may take all rows of a label with them."""
    missing = [name for label, name in enumerate(names) if label not in labelled.labels]
    if missing:
        raise DataError(
            f"{origin}: all rows of {', '.join(map(repr, missing[:10]))} are in groups that went to the test rows: "
            "merge these labels, or leave out --group-column"
        )


def _require_train_size(train_size: int, names: tuple[str, ...], available: int) -> None:
    if train_size < 2 * len(names):
        raise DataError(
            f"--train-size {train_size} leaves some of the {len(names)} labels without a row in training or "
            f"validation: use at least {2 * len(names)} (of {available} there are)"
        )


def _share(rows: int, share: float, cap: int | None = None) -> int:
    return min(max(1, round(rows * share)), cap or rows)


def _locked(rows: Rows, kind: Kind, size: int) -> tuple[Rows, Rows]:
    """The rest, and the test rows: the same ones whatever the user's seed.

    So those of one study never had a part in the choices of another. Where groups that go whole would take all rows of
    a label with them, another cut may not.
    """
    for seed in range(CUTS):
        rest, test = _carve(rows, kind, size, np.random.default_rng(seed))
        if np.isin(rows.labels, rest.labels).all():
            break
    return rest, test


def _carve(rows: Rows, kind: Kind, size: int, rng: np.random.Generator) -> tuple[Rows, Rows]:
    """Split `rows` into the rest and about `size` rows, in proportion; every stratum keeps a row on both sides."""
    strata = kind.strata(rows.labels)
    if rows.groups is not None:
        smaller = min(size, len(rows) - size)
        folds = make_folds(strata, rows.groups, max(2, round(len(rows) / smaller)), int(rng.integers(2**31)))
        one = rng.integers(folds.max() + 1)  # where groups differ in size, the largest always go to the same fold
        few, many = np.flatnonzero(folds == one), np.flatnonzero(folds != one)
        return (rows.take(many), rows.take(few)) if smaller == size else (rows.take(few), rows.take(many))
    members = [rng.permutation(np.flatnonzero(strata == stratum)) for stratum in np.unique(strata)]
    wanted = [len(own) * size / len(rows) for own in members]
    shares = [min(max(int(share), 1), max(len(own) - 1, 1)) for share, own in zip(wanted, members, strict=True)]
    for index in np.argsort([share - ideal for share, ideal in zip(shares, wanted, strict=True)]):
        if sum(shares) < size and shares[index] < len(members[index]) - 1:  # what rounding down left
            shares[index] += 1
    part = np.sort(np.concatenate([own[:share] for own, share in zip(members, shares, strict=True)]))
    rest = np.setdiff1d(np.arange(len(rows)), part)
    return rows.take(rest), rows.take(part)


def _pairs(rows: Rows) -> zip[tuple[str, int]]:
    return zip(rows.inputs, rows.labels.tolist(), strict=True)


def _counts(dropped: Counter[str]) -> str:
    return ", ".join(f"{count} x {reason}" for reason, count in dropped.items())


def _fingerprint(labelled: Rows, folds: np.ndarray, test: Rows, names: tuple[str, ...]) -> str:
    digest = hashlib.sha256(repr(names).encode())
    digest.update(folds.astype("<i8").tobytes())
    for split in (labelled, test):
        digest.update(f"\0split {len(split)}\0".encode())
        for text, label in _pairs(split):
            digest.update(f"{label}\0{text}\0".encode(errors="surrogatepass"))
    return digest.hexdigest()
