"""Trials, one row each; and what they reported, when, and on which worker."""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache
from typing import Any

import pandas as pd

from automl.dashboard.queries.params import params_text, technique_of
from automl.records import State, Trial
from automl.study.reader import StudyRecord
from automl.study.record import IDENTITY
from automl.training.loop import STEPS

RECENT = 8  # records whose tables are kept: several browsers, and parts of a page, ask for the same; not to be changed
TRIAL_COLUMNS = [
    "trial",
    "configuration",
    "technique",
    "stage",
    "fold",
    "seed",
    "state",
    "value",
    "loss",
    "share",
    "seconds",
    "busy",
    "worker",
    "memory_mb",
    "started",
    "ended",
    "error",
    "params",
]


@lru_cache(maxsize=RECENT)
def trials_table(study: StudyRecord) -> pd.DataFrame:
    """One row a trial, by number.

    A trial of another tool is a configuration of its own, on fold 0 and seed 0. `share` is how much of its own schedule
    a trial was through when it last reported; `value` is the last reported one where it is not complete.
    """
    rows = [_trial(trial) for trial in study.trials]
    return pd.DataFrame(rows, columns=TRIAL_COLUMNS)


def _trial(trial: Trial) -> dict[str, Any]:
    facts, last = trial.facts, max(trial.intermediate, default=0)
    value = trial.value if trial.state is State.COMPLETE else trial.intermediate.get(last)
    return {
        "trial": trial.number,
        "configuration": int(facts.get("configuration", trial.number)),
        "technique": technique_of(trial.params),
        "stage": facts.get("stage", "search"),
        "fold": int(facts.get("fold") or 0),
        "seed": int(facts.get("seed") or 0),
        "state": trial.state.value,
        "value": value,
        "loss": facts.get("loss"),
        "share": 1.0 if trial.state is State.COMPLETE else last / STEPS,
        "seconds": _seconds(trial),
        "busy": facts.get("busy_seconds"),
        "worker": facts.get("worker"),
        "memory_mb": facts.get("peak_memory_mb"),
        "started": trial.started,
        "ended": trial.ended,
        "error": facts.get("error"),
        "params": params_text(trial.params),
    }


def _seconds(trial: Trial) -> float | None:
    if (known := trial.facts.get("seconds")) is not None:
        return float(known)
    return (trial.ended - trial.started).total_seconds() if trial.started and trial.ended else None


@lru_cache(maxsize=RECENT)
def history_table(study: StudyRecord, order: str = "seconds") -> pd.DataFrame:
    """Completed trials of the search: trial, technique, value, best so far, seconds since the first trial began.

    Args:
        order: "seconds", as they ended, or "trial", as they began.
    """
    trials = trials_table(study)
    done = trials[(trials["state"] == State.COMPLETE.value) & (trials["stage"] == "search")].sort_values(
        ["ended", "trial"] if order == "seconds" else ["trial"], kind="stable"
    )
    table = done[["trial", "technique", "value", "ended", "params"]].copy()
    values = table["value"].astype(float)
    table["best"] = values.cummax() if study.maximize else values.cummin()
    table["seconds"] = (table["ended"] - trials["started"].min()).dt.total_seconds() if len(table) else []
    return table.drop(columns="ended").reset_index(drop=True)


@lru_cache(maxsize=RECENT)
def steps_table(study: StudyRecord) -> pd.DataFrame:
    """One row a reported value: trial, configuration, technique, stage, state, step, share of the schedule, value."""
    rows = [
        (
            trial.number,
            int(trial.facts.get("configuration", trial.number)),
            technique_of(trial.params),
            trial.facts.get("stage", "search"),
            trial.state.value,
            step,
            value,
        )
        for trial in study.trials
        for step, value in sorted(trial.intermediate.items())
    ]
    columns = ["trial", "configuration", "technique", "stage", "state", "step", "value"]
    table = pd.DataFrame(rows, columns=columns)
    last = STEPS if IDENTITY in study.facts else table["step"].max()  # another tool counts steps in its own way
    return table.assign(share=table["step"] / last)


def timeline_table(study: StudyRecord) -> pd.DataFrame:
    """One row a trial that began: trial, technique, state, worker (its place among all), started, ended.

    Optuna's times are this machine's; what still runs ends now.
    """
    trials = trials_table(study)
    began = trials[trials["started"].notna()].copy()
    began["ended"] = began["ended"].fillna(datetime.now())
    order = {worker: place for place, worker in enumerate(began["worker"].dropna().unique(), start=1)}
    began["worker"] = began["worker"].map(order)
    return began[["trial", "configuration", "technique", "stage", "state", "worker", "started", "ended", "busy"]]


def utilisation_table(study: StudyRecord) -> pd.DataFrame:
    """One row a worker: trials, busy seconds, and their share of the time between its first trial and its last."""
    timeline = timeline_table(study).dropna(subset=["worker"])
    if timeline.empty:
        return pd.DataFrame(columns=["worker", "trials", "busy", "share"])
    span = (timeline["ended"].max() - timeline["started"].min()).total_seconds()
    grouped = timeline.groupby("worker")
    table = pd.DataFrame({"trials": grouped.size(), "busy": grouped["busy"].sum()}).reset_index()
    return table.assign(share=(table["busy"] / span).clip(upper=1.0) if span else 1.0)


def seeds_table(study: StudyRecord) -> pd.DataFrame:
    """One row a training of a configuration that was trained more than once: fold, seed, value, state, share.

    A training that was stopped has the share of its schedule at which that was.
    """
    trials = trials_table(study)
    columns = ["configuration", "technique", "trial", "stage", "fold", "seed", "state", "value", "share"]
    several = trials.groupby("configuration")["trial"].transform("size") > 1
    return trials.loc[several, columns].reset_index(drop=True)
