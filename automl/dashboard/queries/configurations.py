"""Configurations, one row each, ranked as the search does."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from automl.dashboard.queries.params import params_of, plain_name, technique_of
from automl.dashboard.queries.trials import RECENT, trainings, trials_table
from automl.records import State
from automl.spaces.bound import ARM
from automl.study.reader import StudyRecord
from automl.study.record import LEADER, RESULT

if TYPE_CHECKING:
    import optuna

CONFIGURATION_COLUMNS = [
    "configuration",
    "technique",
    "mean",
    "spread",
    "complete",
    "trainings",
    "stopped",
    "seconds",
    "state",
    "params",
]


@lru_cache(maxsize=RECENT)
def configurations_table(study: StudyRecord) -> pd.DataFrame:
    """One row a configuration, the best first.

    Columns: configuration, technique, params, mean and spread (standard deviation over folds and seeds) of its
    completed trainings, how many these are, all trainings, those stopped, seconds of all of them, and its state:
    "shipped", "running", "complete", "stopped", "failed" or "waiting".
    The one that is shipped comes first, then who leads, as the search counts, then who came furthest.
    """
    trials = trials_table(study)
    if trials.empty:
        return pd.DataFrame(columns=CONFIGURATION_COLUMNS)
    last = trainings(trials)
    groups, complete = last.groupby("configuration"), last[last["state"] == State.COMPLETE.value]
    values = complete.astype({"value": float}).groupby("configuration")["value"]
    table = pd.DataFrame(
        {
            "technique": groups["technique"].first(),
            "mean": values.mean(),
            "spread": values.std(ddof=1),
            "complete": values.size(),
            "trainings": groups.size(),
            "stopped": (last["state"] == State.PRUNED.value).groupby(last["configuration"]).sum(),
            "seconds": trials["seconds"].astype(float).fillna(0).groupby(trials["configuration"]).sum(),
            "state": _states(trials, (study.facts.get(RESULT) or {}).get("winner", {}).get("trial")),
            "params": groups["params"].first(),
        }
    )
    table = table.fillna({"complete": 0}).astype({"complete": int}).reset_index()
    sign = -1 if study.maximize else 1
    order = table.assign(
        first=table["state"] != "shipped",
        led=table["configuration"] != study.facts.get(LEADER),
        further=-table["complete"],
        worse=(sign * table["mean"]).fillna(np.inf),
    ).sort_values(["first", "led", "further", "worse", "configuration"], kind="stable")
    return order[CONFIGURATION_COLUMNS].reset_index(drop=True)


STATES = (State.RUNNING, State.COMPLETE, State.PRUNED, State.FAIL, State.WAITING)  # what tells most comes first


def _states(trials: pd.DataFrame, shipped: int | None) -> pd.Series[str]:
    """By configuration, what became of it: of what its trainings ended in, the first of this list."""
    names = ["running", "complete", "stopped", "failed", "waiting"]
    kinds = {state: code for code, state in enumerate(STATES)}
    codes = trials["state"].map({state.value: code for state, code in kinds.items()})
    states = codes.groupby(trials["configuration"]).min().map(dict(enumerate(names)))
    return states.where(states.index != shipped, "shipped")


@lru_cache(maxsize=RECENT)
def as_optuna(study: StudyRecord, technique: str = "", *, best: int | None = None) -> optuna.Study:
    """Each configuration of a technique once, as it did where all were compared: for Optuna's own figures.

    Params have their plain names. Nothing is written: it is in memory.

    Args:
        best: so many of those that were completed, and no others; None: all.
    """
    import optuna

    shown = optuna.create_study(direction="maximize" if study.maximize else "minimize")
    trials = [
        trial
        for trial in study.trials
        if not (study.is_search and trial.facts.get("stage") == "race")
        and trial.state in (State.COMPLETE, State.PRUNED)
        and technique_of(trial.params) == technique
    ]
    if best is not None:
        complete = [trial for trial in trials if trial.state is State.COMPLETE]
        trials = sorted(complete, key=lambda trial: trial.value or 0.0, reverse=study.maximize)[:best]
    shown.add_trials(
        optuna.trial.create_trial(
            state=optuna.trial.TrialState[trial.state.value],
            params=params_of(trial.params),
            distributions={
                plain_name(name, trial.params): study.distributions[name] for name in trial.params if name != ARM
            },
            value=trial.value,
            intermediate_values=dict(trial.intermediate),
        )
        for trial in trials
    )
    return shown
