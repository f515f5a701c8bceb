"""What configurations said of rows that they did not see, from the study's folder: compared, confused, disagreed on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

from automl.dashboard.queries.trials import RECENT
from automl.errors import DataError
from automl.metrics import row_losses, softmax
from automl.records import State
from automl.selection.compare import differences, scored
from automl.selection.evidence import Evidence, gather, predicted
from automl.selection.rows import FOLDER, ROWS, LabelledRows, read_rows
from automl.study.reader import StudyRecord
from automl.training.keep import read_logits

# Whose they are -> probabilities, [repeats, rows, labels] float32, NaN where nothing was said.
Said = Mapping[str, np.ndarray]


def rows_of(study: StudyRecord) -> LabelledRows:
    """The labelled rows of a study. Raises DataError where its folder is not on this machine."""
    folder = study.facts.get(FOLDER)
    if folder is None:
        raise DataError("this study was recorded without its folder: search again with this version to see its texts")
    return read_rows(Path(folder) / ROWS)


def said_by(study: StudyRecord, rows: LabelledRows, configurations: Iterable[int]) -> dict[str, np.ndarray]:
    """What each configuration said of every row that it did not see, by repeats as the search has them; in their order.

    Those that said nothing are left out; the others are named "trial N".

    Raises:
        NothingUsable: a file of predictions is gone, or was changed.
    """
    wanted, repeat, cells = list(configurations), _repeats(study), dict[tuple[int, int, int], np.ndarray]()
    for trial in study.trials:
        number = int(trial.facts.get("configuration", trial.number))
        if number not in wanted or trial.state is not State.COMPLETE or "predictions" not in trial.facts:
            continue
        logits = read_logits(Path(trial.facts["predictions"]), trial.facts["predictions_sha256"])
        fold = int(trial.facts["fold"])
        cells[number, repeat[fold, int(trial.facts["seed"])], fold] = softmax(logits)
    found = gather(rows.labels, rows.folds, cells, 1 + max(repeat.values(), default=0))
    return {f"trial {number}": found.probabilities[number] for number in wanted if number in found.probabilities}


def _repeats(study: StudyRecord) -> dict[tuple[int, int], int]:
    """Which repeat a fold and seed belong to: each fold's seeds rise from one to the next."""
    seeds: dict[int, set[int]] = defaultdict(set)
    for trial in study.trials:
        if {"fold", "seed"} <= trial.facts.keys():
            seeds[int(trial.facts["fold"])].add(int(trial.facts["seed"]))
    return {(fold, seed): place for fold, known in seeds.items() for place, seed in enumerate(sorted(known))}


def _means(rows: LabelledRows, said: Said) -> dict[str, np.ndarray]:
    """Mean over the repeats, [rows, labels]."""
    found = Evidence(rows.labels, rows.folds, dict(enumerate(said.values())))
    return {name: found.ensemble(place) for place, name in enumerate(said)}


def differences_table(rows: LabelledRows, said: Said, metric: str) -> pd.DataFrame:
    """The first one's score less each other's, on the rows that both answered: what, value, low, high, rows.

    Paired, with a 95 % interval by bootstrap over the rows, or over groups of them, as the search's own.
    """
    (first, own), *others = said.items()
    found = differences(rows.labels, own, dict(others), metric, groups=rows.groups)
    return pd.DataFrame(
        [(f"{first} less {one.name}", one.value, one.low, one.high, one.rows) for one in found],
        columns=["what", "value", "low", "high", "rows"],
    )


def scores_table(rows: LabelledRows, said: Said, metric: str) -> pd.DataFrame:
    """Each one's mean score over its repeats, on the rows that it answered: what, value, low, high, rows.

    With the 95 % interval of the same bootstrap. Whoever was chosen by its score has too high a one.
    """
    found = scored(rows.labels, said, metric, groups=rows.groups)
    return pd.DataFrame(
        [(name, one.value, one.low, one.high, one.rows) for name, one in found.items()],
        columns=["what", "value", "low", "high", "rows"],
    )


@lru_cache(maxsize=RECENT)
def standing_table(study: StudyRecord, configurations: tuple[int, ...], metric: str) -> pd.DataFrame:
    """As `scores_table`, the first one first; `like the first` are those that cannot be told from it.

    Raises:
        DataError: the study's folder is not on this machine.
        NothingUsable: a file of predictions is gone, or was changed.
    """
    every = rows_of(study)
    said = {name: one[:, every.held_out] for name, one in said_by(study, every, configurations).items()}
    rows = every.take(every.held_out)
    if not said:
        return pd.DataFrame(columns=["what", "value", "low", "high", "rows", "like the first"])
    first = next(iter(said))
    apart = differences(rows.labels, said[first], said, metric, groups=rows.groups)
    alike = {one.name: not one.told_apart and not one.outdone for one in apart}
    table = scores_table(rows, said, metric)
    table["like the first"] = table["what"].map(alike)
    return table


def confusion(rows: LabelledRows, probabilities: np.ndarray) -> np.ndarray:
    """Rows by given label and predicted one, of the first repeat, which has one answer a row; [labels, labels]."""
    answers, size = predicted(probabilities)[0], len(rows.label_names)
    known = answers >= 0
    counts = np.bincount(rows.labels[known] * size + answers[known], minlength=size * size)
    return counts.reshape(size, size)


def disagreements(rows: LabelledRows, said: Said) -> pd.DataFrame:
    """Rows that not all of them label alike: row, text, label, and what each says; where most are sure, first."""
    means = _means(rows, said)
    answers = {name: predicted(one) for name, one in means.items()}
    known = np.logical_and.reduce([one >= 0 for one in answers.values()])
    first = next(iter(answers.values()))
    differ = known & np.logical_or.reduce([one != first for one in answers.values()])
    sure = np.mean([np.nan_to_num(one).max(axis=1) for one in means.values()], axis=0)
    places = np.flatnonzero(differ)
    places = places[np.argsort(-sure[places], kind="stable")]
    columns = {name: _names(rows.label_names, one[places]) for name, one in answers.items()}
    return _table(rows, places).assign(**columns)


def hardest(rows: LabelledRows, said: Said, most: int = 100) -> pd.DataFrame:
    """Rows by the mean log-loss of all configurations that answered: row, text, label, said, loss."""
    means = list(_means(rows, said).values())
    losses = np.stack([row_losses(rows.labels, one[None])[0] for one in means])
    answered = ~np.isnan(losses).all(axis=0)
    mean = np.full(len(rows.texts), -np.inf)
    mean[answered] = np.nanmean(losses[:, answered], axis=0)
    places = np.argsort(-mean, kind="stable")[: min(most, int(answered.sum()))]
    together = np.nanmean(np.stack([one[places] for one in means]), axis=0)
    return _table(rows, places).assign(said=_names(rows.label_names, together.argmax(axis=1)), loss=mean[places])


def read_audit(path: Path) -> pd.DataFrame:
    """The rows worth a second look. Raises DataError where there is no such file."""
    try:
        found = pd.read_csv(path, dtype=str, keep_default_na=False)  # a text or label may be "NA", or a number
        numbers = {name: pd.to_numeric(found[name]) for name in ("row", "other_row", "confidence")}
        return found.assign(**numbers)
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{path} cannot be read ({error}); it is written when a search ends") from None


def _table(rows: LabelledRows, places: np.ndarray) -> pd.DataFrame:
    table = pd.DataFrame(
        {
            "row": places if rows.places is None else rows.places[places],
            "text": [rows.texts[place] for place in places],
            "label": _names(rows.label_names, rows.labels[places]),
        }
    )
    if rows.splits is not None and len(set(rows.splits)) > 1:  # else a row's number says it all
        table.insert(0, "split", [rows.splits[place] for place in places])
    return table


def _names(names: Sequence[str], ids: np.ndarray) -> list[str]:
    return [names[one] for one in ids]
