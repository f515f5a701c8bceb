"""How much of a good value is luck."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from automl.dashboard.queries.trials import trials_table
from automl.records import State
from automl.study.reader import StudyRecord
from automl.study.record import RESULT


def best_of_n(values: Sequence[float], most: int | None = None, *, maximize: bool = True) -> pd.DataFrame:
    """The best value to expect of the first n configurations, were they drawn anew from those tried: n, expected.

    Source: Dodge et al. (2019), Show Your Work: Improved Reporting of Experimental Results.
    """
    ordered = np.sort(np.asarray(values, dtype=float))
    ordered = ordered if maximize else -ordered[::-1]
    size, counts = len(ordered), np.arange(1, (most or len(ordered)) + 1)
    places = np.arange(size + 1) / max(size, 1)
    weights = np.diff(places[None] ** counts[:, None], axis=1)  # [n, values]
    expected = weights @ ordered
    return pd.DataFrame({"n": counts, "expected": expected if maximize else -expected})


def luck_table(study: StudyRecord) -> pd.DataFrame:
    """What was seen on the way to the shipped model, from the luckiest look to the locked test rows.

    Columns: what, value, low, high. Empty until there is a result.
    """
    result = study.facts.get(RESULT)
    if not result:
        return pd.DataFrame(columns=["what", "value", "low", "high"])
    trials = trials_table(study)
    best = trials.loc[trials["state"] == State.COMPLETE.value, "value"].max()
    rows = [
        ("best single training", best, None, None),
        ("winner's mean, which chose it", result["validation"], None, None),
        ("expected on unseen data", *(result["estimate"][name] for name in ("value", "low", "high"))),
        ("test, read once", *(result["test"][name] for name in ("value", "low", "high"))),
    ]
    return pd.DataFrame(rows, columns=["what", "value", "low", "high"])
