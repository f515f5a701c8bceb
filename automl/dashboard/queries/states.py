"""What studies are at, one row each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from enum import Enum
from typing import Any

import pandas as pd

from automl.records import State
from automl.study.heart import is_alive
from automl.study.record import IDENTITY, RESULT
from automl.study.summaries import StudySummary


class StudyState(str, Enum):
    """What a study is at."""

    EMPTY = "empty"
    RUNNING = "running"
    FINISHED = "finished"
    CUT_OFF = "cut off"
    FAILED = "failed"


def state_of(facts: Mapping[str, Any], trials: Mapping[State, int], at: datetime) -> StudyState:
    """Cut off: it was stopped or died before its end, and the same command goes on with it."""
    if is_alive(facts, at):
        return StudyState.RUNNING
    if not sum(trials.values()):
        return StudyState.EMPTY
    if _is_final(facts.get(RESULT), trials):
        return StudyState.FINISHED
    if not trials.get(State.COMPLETE) and trials.get(State.FAIL):
        return StudyState.FAILED
    if IDENTITY not in facts:  # of another tool, which leaves neither a sign of life nor a result
        return StudyState.RUNNING if trials.get(State.RUNNING) else StudyState.FINISHED
    return StudyState.CUT_OFF


def _is_final(result: Mapping[str, Any] | None, trials: Mapping[State, int]) -> bool:
    """Whether the search ended with it; one that was taken up again and died has more trials than it tells of."""
    if result is None or result.get("interrupted"):
        return False
    ended = sum(trials.get(state, 0) for state in (State.COMPLETE, State.PRUNED, State.FAIL))
    return not trials.get(State.RUNNING) and ended <= sum(result.get("trials", {}).values() or [ended])


def studies_table(summaries: Iterable[StudySummary], at: datetime | None = None) -> pd.DataFrame:
    """One row a study: name, task, state, metric, best, estimate, low, high, trials by state, seconds, last.

    The best is the winner's mean; until there is one, the luckiest of all trials.
    """
    at = at or datetime.now(UTC)
    rows = []
    for one in summaries:
        result = one.facts.get(RESULT) or {}
        estimate = result.get("estimate") or {}
        rows.append(
            {
                "study": one.name,
                "task": one.facts.get("task"),
                "state": state_of(one.facts, one.trials, at).value,
                "metric": one.facts.get("metric"),
                "best": result.get("validation", one.best),
                "estimate": estimate.get("value"),
                "low": estimate.get("low"),
                "high": estimate.get("high"),
                **{state.value.lower(): one.trials.get(state, 0) for state in State},
                "trials": sum(one.trials.values()),
                "seconds": (one.last - one.began).total_seconds() if one.began and one.last else None,
                "last": one.last,
            }
        )
    columns = ["study", "task", "state", "metric", "best", "estimate", "low", "high"]
    columns += [*(state.value.lower() for state in State), "trials", "seconds", "last"]
    return pd.DataFrame(rows, columns=columns)
