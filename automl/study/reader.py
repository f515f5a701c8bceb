"""Studies read by someone who watches: fast, again and again, and nothing that has ended is read twice.

Optuna's own storage makes an object of each row: 5,000 trials take it 4.5 s, and these few queries a tenth of that.
"""

from __future__ import annotations

import itertools
import math
import threading
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

import sqlalchemy
from sqlalchemy import Connection, Row, Table, func, select

from automl.errors import StorageError
from automl.records import State, Trial
from automl.study.heart import ALIVE
from automl.study.record import IDENTITY
from automl.study.schema import (
    ATTRIBUTES,
    DIRECTIONS,
    PARAMS,
    STEPS,
    STUDIES,
    STUDY_ATTRIBUTES,
    TRIALS,
    VALUES,
    distribution,
    facts_of,
    joined,
)
from automl.study.storage import close, file_identity, first_line, open_to_read, readable_url
from automl.study.summaries import StudySummary, own_facts, summaries

if TYPE_CHECKING:
    import optuna
    from optuna.distributions import BaseDistribution

OPEN = (State.RUNNING, State.WAITING)
ENDLESS = {"INF_POS": math.inf, "INF_NEG": -math.inf, "NAN": math.nan}

Answer = TypeVar("Answer")


@dataclass(frozen=True, eq=False)
class StudyRecord:
    """A study with every trial, by number. Two looks are equal between which nothing came but signs of life.

    Args:
        distributions: what each param was chosen from, by Optuna's name for it.
        maximize: whether larger values are better.
        attributes: everything that was recorded of it as a whole; `facts` are those that are understood.
        version: of all but the signs of life: what is computed of one record holds for another of the same.
    """

    name: str
    facts: Mapping[str, Any]
    trials: Sequence[Trial]
    distributions: Mapping[str, BaseDistribution] = field(default_factory=dict)
    maximize: bool = True
    attributes: Mapping[str, Any] = field(default_factory=dict)
    version: int = field(default_factory=itertools.count().__next__)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, StudyRecord) and self.version == other.version

    def __hash__(self) -> int:
        return hash(self.version)

    @property
    def is_search(self) -> bool:
        """Whether a search of ours recorded it, and not another tool, whose facts mean what they will."""
        return IDENTITY in self.facts


@dataclass
class _Known:
    """What was read of a study, by Optuna's own ids of trials; `open` are those that may still change."""

    trials: dict[int, Trial] = field(default_factory=dict)
    open: set[int] = field(default_factory=set)
    distributions: dict[str, BaseDistribution] = field(default_factory=dict)
    record: StudyRecord | None = None


class Reader:
    """One database, opened to read only; threads may share it.

    Args:
        url: as Optuna takes it. Where there is no database yet, it has no studies.

    Its methods raise StorageError where it cannot be opened, or stops answering.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._storage: optuna.storages.RDBStorage | None = None
        self._file: tuple[int, int] | None = None
        self._known: dict[int, _Known] = defaultdict(_Known)
        self._lock = threading.Lock()

    def studies(self) -> list[StudySummary]:
        """Every study, the newest first."""
        return self._ask(summaries) or []

    def study(self, name: str) -> StudyRecord | None:
        """One with all its trials; None where there is none of that name."""
        return self._ask(lambda connection: self._study(connection, name))

    def close(self) -> None:
        """Close the connections."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        if self._storage is not None:
            close(self._storage)
            self._storage = None

    def _ask(self, question: Callable[[Connection], Answer]) -> Answer | None:
        with self._lock:
            if self._storage is not None and file_identity(self._url) != self._file:
                self._close()  # it was removed, or another one is in its place
                self._known.clear()
            if self._storage is None:
                self._storage = open_to_read(self._url)
                self._file = file_identity(self._url)
            if self._storage is None:
                return None
            try:
                with self._storage.engine.connect() as connection, connection.begin():
                    return question(connection)
            except (KeyError, ValueError) as error:
                raise StorageError(
                    f"{readable_url(self._url)} holds what this version does not know ({error}): read it with the "
                    "version that wrote it, or a later one"
                ) from None
            except sqlalchemy.exc.SQLAlchemyError as error:
                self._close()
                raise StorageError(
                    f"{readable_url(self._url)} does not answer: {first_line(error)}; nothing was changed there: try "
                    "again in a moment"
                ) from None

    def _study(self, connection: Connection, name: str) -> StudyRecord | None:
        identity = connection.execute(select(STUDIES.c.study_id).where(STUDIES.c.study_name == name)).scalar()
        if identity is None:
            return None
        directions = connection.execute(
            select(DIRECTIONS.c.direction).where(DIRECTIONS.c.study_id == identity).order_by(DIRECTIONS.c.objective)
        )
        known = self._known[identity]
        if _is_another(connection, identity, known):
            known = self._known[identity] = _Known()
        changed = _bring_up_to_date(connection, identity, known)
        every = facts_of(connection, STUDY_ATTRIBUTES, STUDY_ATTRIBUTES.c.study_id == identity).get(identity, {})
        before = known.record
        if before is not None and not changed and _lasting(every) == _lasting(before.attributes):
            if every != before.attributes:
                known.record = replace(before, facts=own_facts(every), attributes=every)
        else:
            trials = sorted(known.trials.values(), key=lambda trial: trial.number)
            maximize = directions.scalars().first() != "MINIMIZE"
            known.record = StudyRecord(
                name, own_facts(every), trials, dict(known.distributions), maximize, attributes=every
            )
        return known.record


def _lasting(facts: Mapping[str, Any]) -> Mapping[str, Any]:
    return {name: fact for name, fact in facts.items() if name != ALIVE}


def _is_another(connection: Connection, study: int, known: _Known) -> bool:
    """Whether what is known was of a study that is gone: databases give its number to a later one."""
    if not known.trials:
        return False
    older = (TRIALS.c.study_id == study) & (TRIALS.c.trial_id <= max(known.trials))
    count, began = connection.execute(select(func.count(), func.min(TRIALS.c.datetime_start)).where(older)).one()
    first = min((trial.started for trial in known.trials.values() if trial.started), default=began)
    return bool(count != len(known.trials) or began != first)


def _bring_up_to_date(connection: Connection, study: int, known: _Known) -> bool:
    """Read the trials that are new or may have changed, and all that belongs to them; whether any did.

    Their states come first: of one that ends in between, the rest is then too new, and not missing for ever.
    """
    newer = TRIALS.c.trial_id > max(known.trials, default=-1)
    wanted = (TRIALS.c.study_id == study) & (newer | TRIALS.c.trial_id.in_(known.open))
    rows = connection.execute(select(TRIALS).where(wanted)).all()
    wanted = wanted & (TRIALS.c.trial_id <= max((one.trial_id for one in rows), default=-1))

    def of(table: Table) -> Sequence[Row[Any]]:
        return connection.execute(joined(table).where(wanted)).all()

    params: dict[int, dict[str, Any]] = defaultdict(dict)
    for one in of(PARAMS):
        chosen_from = distribution(one.distribution_json)
        params[one.trial_id][one.param_name] = chosen_from.to_external_repr(one.param_value)
        known.distributions[one.param_name] = _wider(known.distributions.get(one.param_name), chosen_from)
    values = {one.trial_id: _number(one.value, one.value_type) for one in of(VALUES) if one.objective == 0}
    steps: dict[int, dict[int, float]] = defaultdict(dict)
    for one in of(STEPS):
        steps[one.trial_id][one.step] = _number(one.intermediate_value, one.intermediate_value_type)
    facts = facts_of(connection, ATTRIBUTES, wanted)
    known.open, changed = set(), False
    for one in rows:
        key, state = one.trial_id, State[one.state]
        trial = Trial(
            one.number,
            state,
            params[key],
            values.get(key),
            dict(sorted(steps[key].items())),
            facts.get(key, {}),
            one.datetime_start,
            one.datetime_complete,
        )
        changed = changed or trial != known.trials.get(key)
        known.trials[key] = trial
        if state in OPEN:
            known.open.add(key)
    return changed


def _wider(one: BaseDistribution | None, other: BaseDistribution) -> BaseDistribution:
    """A range that holds both: other tools may change one from trial to trial."""
    from optuna.distributions import FloatDistribution, IntDistribution

    if isinstance(one, FloatDistribution) and isinstance(other, FloatDistribution):
        step = other.step if one == other else None
        return FloatDistribution(min(one.low, other.low), max(one.high, other.high), log=other.log, step=step)
    if isinstance(one, IntDistribution) and isinstance(other, IntDistribution):
        step = other.step if one == other else 1
        return IntDistribution(min(one.low, other.low), max(one.high, other.high), log=other.log, step=step)
    return other


def _number(value: float | None, kind: str) -> float:
    return ENDLESS.get(kind, math.nan) if value is None else float(value)
