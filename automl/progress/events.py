"""What can happen in a search, as far as someone who watches it cares."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from automl.records import State


@dataclass(frozen=True)
class Standing:
    """How far a configuration has come: its completed trainings, each on a fold or seed of its own, and their mean."""

    configuration: int
    params: Mapping[str, Any]
    trainings: int
    mean: float


@dataclass(frozen=True)
class StudyStarted:
    """The search begins, or goes on.

    Args:
        model: id or folder of the encoder; several are joined by commas.
        budget: trials that the whole study may end.
        done: trials of the budget that had ended before; `standings` is how far these had come.
        resumed: trials that were cut off and are run again.
        workers: trials that can run at the same time, at least 1.
        time_limit: seconds from now on after which no trial starts, or None.
        leader: the configuration that led before.
    """

    study: str
    task: str
    model: str
    metric: str
    budget: int
    done: int
    resumed: int
    workers: int
    storage: str
    time_limit: float | None = None
    standings: tuple[Standing, ...] = ()
    leader: int | None = None


@dataclass(frozen=True)
class TrialStarted:
    """A trial begins to train."""

    number: int
    params: Mapping[str, Any]


@dataclass(frozen=True)
class TrialReported:
    """A running trial was evaluated at `step` of the `steps` of its own schedule."""

    number: int
    step: int
    steps: int
    value: float


@dataclass(frozen=True)
class TrialEnded:
    """A trial is over. `error` is set for FAIL only; `checkpoint` is the folder of its weights where they were kept.

    Args:
        configuration: number of the trial that had these params first; None: this one.
        leader: the configuration that leads now, as the search counts; None: none does.
    """

    number: int
    state: State
    value: float | None
    seconds: float
    params: Mapping[str, Any]
    error: str | None = None
    checkpoint: str | None = None
    configuration: int | None = None
    leader: int | None = None


@dataclass(frozen=True)
class Notice:
    """A sentence for the user that belongs to no trial."""

    level: Literal["info", "warning"]
    text: str


@dataclass(frozen=True)
class PhaseStarted:
    """The search turns to something that takes a while and is no trial, such as "training baselines"."""

    text: str


@dataclass(frozen=True)
class ResultReady:
    """The search's result, for programs: only JSON lines show it, as `{"event": "result", **payload}`."""

    payload: Mapping[str, Any]


Event = StudyStarted | TrialStarted | TrialReported | TrialEnded | Notice | PhaseStarted | ResultReady
