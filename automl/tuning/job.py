"""What the policy says is to be trained next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from automl.tuning.configurations import Cell

SEARCH, RACE = "search", "race"  # why a trial was run: to try a configuration, or to know more about a good one


@dataclass(frozen=True)
class Job:
    """A training to start. `params` of None are the sampler's to propose, of one of the arms."""

    stage: str
    cell: Cell
    params: Mapping[str, Any] | None = None
    configuration: int | None = None  # number of the trial that had these params first
    continues: int | None = None  # number of the stopped trial that it goes on from
    arms: tuple[str, ...] = ()
    speculative: bool = False  # it is tried because a worker would else be idle: nothing waits for its end
    spare: bool = False  # likewise, and it is stopped when all others have ended
