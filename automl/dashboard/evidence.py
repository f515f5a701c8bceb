"""What configurations said of rows that they did not see, from the study's folder: compared, confused, disagreed on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from automl.errors import DataError
from automl.metrics import METRICS, row_losses, softmax
from automl.records import State
from automl.selection.compare import differences
from automl.selection.evidence import predicted
from automl.selection.rows import FOLDER, ROWS, LabelledRows, read_rows
from automl.study.reader import StudyRecord
from automl.training.keep import read_logits

# Whose they are -> mean probabilities, [rows, labels] float32, NaN where nothing was said.
Said = Mapping[str, np.ndarray]


def rows_of(study: StudyRecord) -> LabelledRows:
    """The labelled rows of a study. Raises DataError where its folder is not on this machine."""
    folder = study.facts.get(FOLDER)
    if folder is None:
        raise DataError("this study was recorded without its folder: search again with this version to see its texts")
    return read_rows(Path(folder) / ROWS)


def said_by(study: StudyRecord, rows: LabelledRows, configurations: Iterable[int]) -> dict[str, np.ndarray]:
    """What each configuration said of every row that it did not see, mean over its folds and seeds; in their order.

    Those that said nothing are left out; the others are named "trial N".

    Raises:
        NothingUsable: a file of predictions is gone, or was changed.
    """
    wanted, shape = list(configurations), (len(rows.texts), len(rows.label_names))
    sums = {number: np.zeros(shape, np.float32) for number in wanted}
    times = {number: np.zeros(len(rows.texts), np.int64) for number in wanted}
    for trial in study.trials:
        number = int(trial.facts.get("configuration", trial.number))
        if number not in wanted or trial.state is not State.COMPLETE or "predictions" not in trial.facts:
            continue
        logits = read_logits(Path(trial.facts["predictions"]), trial.facts["predictions_sha256"])
        places = np.flatnonzero(rows.folds == trial.facts["fold"])
        sums[number][places] += softmax(logits)
        times[number][places] += 1
    return {
        f"trial {number}": np.where(seen[:, None] > 0, sums[number] / np.maximum(seen, 1)[:, None], np.nan)
        for number in wanted
        if (seen := times[number]).any()
    }


def differences_table(rows: LabelledRows, said: Said, metric: str) -> pd.DataFrame:
    """The first one's score less each other's, on the rows that both answered: what, value, low, high, rows.

    Paired, with a 95 % interval by bootstrap over the rows.
    """
    (first, own), *others = said.items()
    found = differences(rows.labels, own, dict(others), metric)
    return pd.DataFrame(
        [(f"{first} less {one.name}", one.value, one.low, one.high, one.rows) for one in found],
        columns=["what", "value", "low", "high", "rows"],
    )


def scores_table(rows: LabelledRows, said: Said, metric: str) -> pd.DataFrame:
    """Each one's score on the rows that it answered: what, value, rows."""
    table = []
    for name, one in said.items():
        known = ~np.isnan(one).any(axis=1)
        table.append((name, METRICS[metric](rows.labels[known], predicted(one)[known]), int(known.sum())))
    return pd.DataFrame(table, columns=["what", "value", "rows"])


def confusion(rows: LabelledRows, probabilities: np.ndarray) -> np.ndarray:
    """Rows by given label and predicted one, [labels, labels]."""
    answers, size = predicted(probabilities), len(rows.label_names)
    known = answers >= 0
    counts = np.bincount(rows.labels[known] * size + answers[known], minlength=size * size)
    return counts.reshape(size, size)


def disagreements(rows: LabelledRows, said: Said) -> pd.DataFrame:
    """Rows that not all of them label alike: row, text, label, and what each says; where most are sure, first."""
    answers = {name: predicted(one) for name, one in said.items()}
    known = np.logical_and.reduce([one >= 0 for one in answers.values()])
    first = next(iter(answers.values()))
    differ = known & np.logical_or.reduce([one != first for one in answers.values()])
    sure = np.mean([np.nan_to_num(one).max(axis=1) for one in said.values()], axis=0)
    places = np.flatnonzero(differ)
    places = places[np.argsort(-sure[places], kind="stable")]
    columns = {name: _names(rows.label_names, one[places]) for name, one in answers.items()}
    return _table(rows, places).assign(**columns)


def hardest(rows: LabelledRows, said: Said, most: int = 100) -> pd.DataFrame:
    """Rows by the mean log-loss of all configurations that answered: row, text, label, said, loss."""
    losses = np.stack([row_losses(rows.labels, one[None])[0] for one in said.values()])
    answered = ~np.isnan(losses).all(axis=0)
    mean = np.full(len(rows.texts), -np.inf)
    mean[answered] = np.nanmean(losses[:, answered], axis=0)
    places = np.argsort(-mean, kind="stable")[: min(most, int(answered.sum()))]
    together = np.nanmean(np.stack([one[places] for one in said.values()]), axis=0)
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
    return pd.DataFrame(
        {
            "row": places,
            "text": [rows.texts[place] for place in places],
            "label": _names(rows.label_names, rows.labels[places]),
        }
    )


def _names(names: Sequence[str], ids: np.ndarray) -> list[str]:
    return [names[one] for one in ids]
