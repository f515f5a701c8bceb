"""Every study of a database in a few numbers: what a list of them shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy
from sqlalchemy import Connection, func, select

from automl.records import State
from automl.study.door import is_note
from automl.study.record import IDENTITY
from automl.study.schema import DIRECTIONS, STUDIES, STUDY_ATTRIBUTES, TRIALS, VALUES, facts_of


@dataclass(frozen=True)
class StudySummary:
    """A study in a list of many.

    Args:
        facts: recorded about the study as a whole; none in one of another tool.
        trials: how many there are, by state.
        best: value of its best completed trial.
        began, last: when its first trial started, and when last one started or ended.
    """

    name: str
    facts: Mapping[str, Any]
    trials: Mapping[State, int]
    best: float | None
    began: datetime | None
    last: datetime | None

    @property
    def is_search(self) -> bool:
        """Whether a search of ours recorded it, and not another tool."""
        return IDENTITY in self.facts


def own_facts(facts: Mapping[str, Any]) -> Mapping[str, Any]:
    """Those that this package recorded: of a study of another tool, which may have others by these names, the notes."""
    if IDENTITY in facts:
        return facts
    return {name: fact for name, fact in facts.items() if is_note(name)}


def summaries(connection: Connection) -> list[StudySummary]:
    """All studies, the newest first."""
    facts = facts_of(connection, STUDY_ATTRIBUTES, sqlalchemy.true())
    states, best = _states(connection), _best(connection)
    return [
        StudySummary(
            name=one.study_name,
            facts=own_facts(facts.get(one.study_id, {})),
            trials={state: row.count for state, row in states.get(one.study_id, {}).items()},
            best=best.get(one.study_id),
            began=min(_times(states, one.study_id, "began"), default=None),
            last=max(_times(states, one.study_id, "last"), default=None),
        )
        for one in connection.execute(select(STUDIES).order_by(STUDIES.c.study_id.desc()))
    ]


@dataclass(frozen=True)
class _Trials:
    """Those of one study that are in one state."""

    count: int
    began: datetime | None
    last: datetime | None


def _states(connection: Connection) -> dict[int, dict[State, _Trials]]:
    rows = connection.execute(
        select(
            TRIALS.c.study_id,
            TRIALS.c.state,
            func.count(),
            func.min(TRIALS.c.datetime_start),
            func.max(func.coalesce(TRIALS.c.datetime_complete, TRIALS.c.datetime_start)),
        ).group_by(TRIALS.c.study_id, TRIALS.c.state)
    )
    found: dict[int, dict[State, _Trials]] = {}
    for study, state, *numbers in rows:
        found.setdefault(study, {})[State[state]] = _Trials(*numbers)
    return found


def _times(states: Mapping[int, Mapping[State, _Trials]], study: int, which: str) -> list[datetime]:
    times = (getattr(trials, which) for trials in states.get(study, {}).values())
    return [time for time in times if time is not None]


def _best(connection: Connection) -> dict[int, float | None]:
    """By study, the value of its best completed trial."""
    first = DIRECTIONS.c.direction == "MINIMIZE", DIRECTIONS.c.objective == 0
    minimized = set(connection.execute(select(DIRECTIONS.c.study_id).where(*first)).scalars())
    rows = connection.execute(
        select(TRIALS.c.study_id, func.min(VALUES.c.value), func.max(VALUES.c.value))
        .join(VALUES, VALUES.c.trial_id == TRIALS.c.trial_id)
        .where(TRIALS.c.state == State.COMPLETE.value, VALUES.c.objective == 0)
        .group_by(TRIALS.c.study_id)
    )
    return {study: low if study in minimized else high for study, low, high in rows}
