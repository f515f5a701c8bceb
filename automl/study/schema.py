"""Optuna's tables, as far as they are read here, and what their cells mean. Its own storage checks their version."""

from __future__ import annotations

import json
from collections import defaultdict
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import Column, Connection, DateTime, Enum, Float, Integer, MetaData, Select, String, Table, select

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

_METADATA = MetaData()


def _table(name: str, **columns: Any) -> Table:
    return Table(name, _METADATA, *(Column(column, kind) for column, kind in columns.items()))


STATES = Enum("RUNNING", "COMPLETE", "PRUNED", "FAIL", "WAITING", name="trialstate")
DIRECTION = Enum("NOT_SET", "MINIMIZE", "MAXIMIZE", name="studydirection")

STUDIES = _table("studies", study_id=Integer, study_name=String)
DIRECTIONS = _table("study_directions", study_id=Integer, objective=Integer, direction=DIRECTION)
STUDY_ATTRIBUTES = _table("study_user_attributes", study_id=Integer, key=String, value_json=String)
TRIALS = _table(
    "trials",
    trial_id=Integer,
    number=Integer,
    study_id=Integer,
    state=STATES,
    datetime_start=DateTime,
    datetime_complete=DateTime,
)
PARAMS = _table("trial_params", trial_id=Integer, param_name=String, param_value=Float, distribution_json=String)
VALUES = _table("trial_values", trial_id=Integer, objective=Integer, value=Float, value_type=String)
STEPS = _table(
    "trial_intermediate_values",
    trial_id=Integer,
    step=Integer,
    intermediate_value=Float,
    intermediate_value_type=String,
)
ATTRIBUTES = _table("trial_user_attributes", trial_id=Integer, key=String, value_json=String)


@lru_cache(maxsize=10_000)
def distribution(text: str) -> BaseDistribution:
    """What a param was chosen from; its `to_external_repr` makes a value of the number that the database has."""
    from optuna.distributions import json_to_distribution

    return json_to_distribution(text)


@lru_cache(maxsize=10_000)
def fact(text: str) -> Any:
    """An attribute's value; equal ones are one object, not to be changed: trials share most of theirs."""
    return json.loads(text)


def joined(table: Table) -> Select[Any]:
    """Rows of a table about trials, each with its trial."""
    return select(table).join(TRIALS, TRIALS.c.trial_id == table.c.trial_id)


def facts_of(connection: Connection, table: Table, wanted: Any) -> dict[int, dict[str, Any]]:
    """Attributes of studies or trials, by the id of what has them."""
    query = joined(table) if table is ATTRIBUTES else select(table)
    owner = "trial_id" if table is ATTRIBUTES else "study_id"
    found: dict[int, dict[str, Any]] = defaultdict(dict)
    for one in connection.execute(query.where(wanted)):
        found[getattr(one, owner)][one.key] = fact(one.value_json)
    return found
