"""From raw tables to train, validation and test rows: cleaned, de-duplicated across splits, stratified and seeded."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, replace

import numpy as np

from automl.errors import DataError
from automl.records import RawTask, Rows, Splits
from automl.tasks.kinds import Kind

TEST_SHARE = 0.2  # of the rows, where the source has no test split
VALIDATION_SHARE = 0.2  # of what remains, where it has no validation split
NAMED_TASK_TEST_ROWS = 2000  # a larger test split of a named task would only cost the user time: its error is 1 point


@dataclass(frozen=True)
class Choices:
    """What the user decides about the splits. `train_size` counts training and validation rows together."""

    seed: int = 0
    train_size: int | None = None
    text_column: str | None = None
    label_column: str | None = None


def make_splits(task: RawTask, kind: Kind, choices: Choices) -> Splits:
    """Clean and split the rows of a task.

    Given splits are kept; missing ones are cut from the training rows, in proportion to the labels. A text that stands
    in the test rows is removed from the others, and one in the validation rows from training.

    Raises:
        DataError: no usable rows, one class only, or a class with fewer rows than there are splits to fill.
    """
    names, given, dropped = _read(task, kind, choices)
    rng = np.random.default_rng(choices.seed)
    given = _without_duplicates(given, dropped)
    _require_rows_per_class(given, names, task.splits["train"].origin)

    pool = given["train"]
    cap = NAMED_TASK_TEST_ROWS if task.train_size else None
    test = given.get("test")
    if test is None:
        pool, test = _carve(pool, kind, _share(len(pool), TEST_SHARE, cap), rng)
    elif cap and len(test) > cap:
        _, test = _carve(test, kind, cap, rng)

    validation = given.get("validation")
    train_size = choices.train_size or task.train_size
    if train_size:
        _require_train_size(train_size, names, len(pool))
        if train_size < len(pool):
            _, pool = _carve(pool, kind, train_size, rng)
    if validation is None:
        pool, validation = _carve(pool, kind, _share(len(pool), VALIDATION_SHARE), rng)

    return Splits(pool, validation, test, names, _fingerprint(pool, validation, test, names), dict(dropped))


def _read(task: RawTask, kind: Kind, choices: Choices) -> tuple[tuple[str, ...], dict[str, Rows], Counter[str]]:
    train = task.splits["train"]
    text = choices.text_column or task.text_column
    columns = kind.find_columns(train, text, choices.label_column or task.label_column)
    raw = {}
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
        split: Rows(tuple(rows.inputs), kind.encode_labels(rows.labels, names, task.splits[split].origin))
        for split, rows in raw.items()
        if rows.inputs
    }
    return names, encoded, dropped


def _without_duplicates(given: dict[str, Rows], dropped: Counter[str]) -> dict[str, Rows]:
    """Keep the test rows as they are; in the other splits keep the first copy of a text that no later split holds."""
    seen = {_key(text): label for text, label in _pairs(given["test"])} if "test" in given else {}
    kept = dict(given)
    for split in ("validation", "train"):
        if split not in given:
            continue
        before = set(seen)
        keep = []
        for index, (text, label) in enumerate(_pairs(given[split])):
            key = _key(text)
            if key in before:
                dropped[f"{split} row that stands in another split"] += 1
            elif key in seen:
                conflict = seen[key] != label
                dropped["repeated text with another label" if conflict else "repeated text"] += 1
            else:
                seen[key] = label
                keep.append(index)
        kept[split] = _take(given[split], np.array(keep, dtype=np.int64))
    return kept


def _require_rows_per_class(given: dict[str, Rows], names: tuple[str, ...], origin: str) -> None:
    needed = 1 + sum(split not in given for split in ("validation", "test"))
    counts = np.bincount(given["train"].labels, minlength=len(names))
    small = [f"{name!r} ({count})" for name, count in zip(names, counts, strict=True) if count < needed]
    if small:
        raise DataError(
            f"{origin}: every label needs at least {needed} different texts to be split, too few for "
            f"{', '.join(small[:10])}: add rows or merge these labels"
        )


def _require_train_size(train_size: int, names: tuple[str, ...], available: int) -> None:
    if train_size < 2 * len(names):
        raise DataError(
            f"--train-size {train_size} leaves some of the {len(names)} labels without a row in training or "
            f"validation: use at least {2 * len(names)} (of {available} there are)"
        )


def _share(rows: int, share: float, cap: int | None = None) -> int:
    return min(max(1, round(rows * share)), cap or rows)


def _carve(rows: Rows, kind: Kind, size: int, rng: np.random.Generator) -> tuple[Rows, Rows]:
    """Split `rows` into the rest and about `size` rows, in proportion; every stratum keeps a row on both sides."""
    strata = kind.strata(rows.labels)
    chosen = []
    for stratum in np.unique(strata):
        members = rng.permutation(np.flatnonzero(strata == stratum))
        share = round(len(members) * size / len(rows))
        chosen.append(members[: min(max(share, 1), max(len(members) - 1, 1))])
    part = np.sort(np.concatenate(chosen))
    rest = np.setdiff1d(np.arange(len(rows)), part)
    return _take(rows, rest), _take(rows, part)


def _take(rows: Rows, index: np.ndarray) -> Rows:
    return replace(rows, inputs=tuple(rows.inputs[i] for i in index), labels=rows.labels[index])


def _pairs(rows: Rows) -> zip[tuple[str, int]]:
    return zip(rows.inputs, rows.labels.tolist(), strict=True)


def _key(text: str) -> str:
    return " ".join(text.casefold().split())


def _counts(dropped: Counter[str]) -> str:
    return ", ".join(f"{count} x {reason}" for reason, count in dropped.items())


def _fingerprint(train: Rows, validation: Rows, test: Rows, names: tuple[str, ...]) -> str:
    digest = hashlib.sha256(repr(names).encode())
    for split in (train, validation, test):
        digest.update(f"\0split {len(split)}\0".encode())
        for text, label in _pairs(split):
            digest.update(f"{label}\0{text}\0".encode(errors="surrogatepass"))
    return digest.hexdigest()
