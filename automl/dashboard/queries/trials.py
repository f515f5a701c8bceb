"""Trials, one row each; and what they reported, when, and on which worker."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import pandas as pd

from automl.dashboard.queries.params import params_text, technique_of
from automl.records import State, Trial
from automl.study.heart import ALIVE, is_alive
from automl.study.reader import StudyRecord
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
    a trial was through when it last reported; `value` is the last reported one where it is not complete. `worker` is
    its place among all, from 1.
    """
    steps = last_step(study)
    rows = [_trial(trial, facts_of(study, trial), steps) for trial in study.trials]
    table = pd.DataFrame(rows, columns=TRIAL_COLUMNS)
    table[["started", "ended"]] = table[["started", "ended"]].apply(pd.to_datetime)  # where none has ended, too
    order = {worker: place for place, worker in enumerate(table["worker"].dropna().unique(), start=1)}
    return table.assign(worker=table["worker"].map(order).astype("Int64"))


def facts_of(study: StudyRecord, trial: Trial) -> Mapping[str, Any]:
    """What a search of ours recorded of a trial; nothing of one of another tool."""
    return trial.facts if study.is_search else {}


def last_step(study: StudyRecord) -> int:
    """The step at which a training ends; another tool counts steps in its own way."""
    if study.is_search:
        return STEPS
    return max((step for trial in study.trials for step in trial.intermediate), default=1) or 1


def _trial(trial: Trial, facts: Mapping[str, Any], steps: int) -> dict[str, Any]:
    last = max(trial.intermediate, default=0)
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
        "share": 1.0 if trial.state is State.COMPLETE else last / steps,
        "seconds": _seconds(trial, facts),
        "busy": facts.get("busy_seconds"),
        "worker": facts.get("worker"),
        "memory_mb": facts.get("peak_memory_mb"),
        "started": trial.started,
        "ended": trial.ended,
        "error": facts.get("error"),
        "params": params_text(trial.params),
    }


def _seconds(trial: Trial, facts: Mapping[str, Any]) -> float | None:
    if (known := facts.get("seconds")) is not None:
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
            int(facts_of(study, trial).get("configuration", trial.number)),
            technique_of(trial.params),
            facts_of(study, trial).get("stage", "search"),
            trial.state.value,
            step,
            value,
        )
        for trial in study.trials
        for step, value in sorted(trial.intermediate.items())
    ]
    columns = ["trial", "configuration", "technique", "stage", "state", "step", "value"]
    table = pd.DataFrame(rows, columns=columns)
    return table.assign(share=table["step"] / last_step(study))


def timeline_table(study: StudyRecord, at: datetime | None = None) -> pd.DataFrame:
    """One row a trial that began: trial, technique, state, worker, started, ended, busy.

    Optuna's times are this machine's. What still runs ends now; what a search left when it was cut off, when it was
    last at work; what it gave back has not begun.

    Args:
        at: now.
    """
    trials = trials_table(study)
    began = trials[trials["started"].notna() & (trials["state"] != State.WAITING.value)].copy()
    now = pd.Timestamp(at or datetime.now())
    ended = began["ended"].fillna(now if _is_at_work(study) else _last_sign(study, began, now))
    began["ended"] = ended.where(ended >= began["started"], began["started"])
    return began[["trial", "configuration", "technique", "stage", "state", "worker", "started", "ended", "busy"]]


def _is_at_work(study: StudyRecord) -> bool:
    return not study.is_search or is_alive(study.facts, datetime.now(UTC))


def _last_sign(study: StudyRecord, began: pd.DataFrame, now: datetime) -> datetime:
    """When a search that is cut off was last known to be at work."""
    beat = study.facts.get(ALIVE)
    if beat is not None:
        return datetime.fromisoformat(beat["at"]).astimezone().replace(tzinfo=None)
    times = [*began["ended"].dropna(), *began["started"]]
    return max(times, default=now)


def utilisation_table(study: StudyRecord) -> pd.DataFrame:
    """One row a worker: trials, busy seconds, and their share of the time in which any trial ran.

    Between two runs of a search nobody was meant to work.
    """
    timeline = timeline_table(study).dropna(subset=["worker"])
    if timeline.empty:
        return pd.DataFrame(columns=["worker", "trials", "busy", "share"])
    seconds = _covered(timeline)
    grouped = timeline.groupby("worker")
    table = pd.DataFrame({"trials": grouped.size(), "busy": grouped["busy"].sum()}).reset_index()
    return table.assign(share=(table["busy"] / seconds).clip(upper=1.0) if seconds else 1.0)


def _covered(timeline: pd.DataFrame) -> float:
    """Seconds in which at least one of them ran."""
    ordered = timeline.sort_values("started")
    before = ordered["ended"].cummax().shift()
    begins = ordered["started"].where(before.isna() | (ordered["started"] > before), before)
    return float((ordered["ended"] - begins).dt.total_seconds().clip(lower=0).sum())


def trainings(trials: pd.DataFrame) -> pd.DataFrame:
    """Of the trials that went on with one another, on the same fold and seed, only the last."""
    return trials.drop_duplicates(["configuration", "fold", "seed"], keep="last")


def seeds_table(study: StudyRecord) -> pd.DataFrame:
    """One row a training of a configuration that was trained more than once: fold, seed, value, state, share.

    A training that was stopped has the share of its schedule at which that was.
    """
    trials = trainings(trials_table(study))
    columns = ["configuration", "technique", "trial", "stage", "fold", "seed", "state", "value", "share"]
    several = trials.groupby("configuration")["trial"].transform("size") > 1
    return trials.loc[several, columns].reset_index(drop=True)
