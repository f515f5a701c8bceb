"""Records of a search made up trial by trial, for tests of what is read from them."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from automl.records import State, Trial
from automl.tuning.configurations import Cell
from automl.tuning.job import Job
from automl.tuning.policy import Policy

RECIPES = ({"rate": 0.1}, {"rate": 0.2}, {"rate": 0.3})
FIRST = Cell(0, 7)
ENDED = (State.COMPLETE, State.PRUNED, State.FAIL)


def a_trial(
    number: int,
    value: float | None = None,
    *,
    of: int | None = None,
    cell: Cell = FIRST,
    state: State | None = None,
    params: Mapping[str, Any] | None = None,
    **facts: Any,
) -> Trial:
    """A trial that ended with this value, or still runs; `of` is the trial that had its params first."""
    state = state or (State.RUNNING if value is None else State.COMPLETE)
    own = {"stage": "search" if of is None else "race", "fold": cell.fold, "seed": cell.seed, **facts}
    if of is not None:
        own["configuration"] = of
    return Trial(number, state, params or {"rate": float(number)}, value, {}, own)


class Record:
    """A search as its record alone: trials are started as a policy says, and ended by whoever calls."""

    def __init__(self, policy: Policy, budget: int) -> None:
        self.policy, self.budget = policy, budget
        self.trials: list[Trial] = []
        self.jobs: list[Job] = []
        self.used: list[float] = []  # when each job was given

    @property
    def running(self) -> list[int]:
        return [trial.number for trial in self.trials if trial.state is State.RUNNING]

    def start(self) -> Job | None:
        """Start what the policy says, if it says anything and the budget has room."""
        used = len(self.trials) / self.budget
        job = self.policy.next(self.trials, used) if len(self.trials) < self.budget else None
        if job is not None:
            number = len(self.trials)
            params = self._proposed(number, job.arms) if job.params is None else job.params
            trial = a_trial(number, cell=job.cell, params=params, of=job.configuration)
            own = {name: True for name in ("speculative", "spare") if getattr(job, name)}
            self.trials.append(replace(trial, facts={**trial.facts, "stage": job.stage, **own}))
            self.jobs.append(job)
            self.used.append(used)
        return job

    def _proposed(self, number: int, arms: Sequence[str]) -> dict[str, float]:
        """The first of some params that belongs to one of these techniques."""
        some = ({"rate": 1.0 + number + part / 10} for part in range(10))
        return next(params for params in some if not arms or self.policy.arm_of(params) in arms)

    def end(self, number: int, value: float | None, state: State = State.COMPLETE, **facts: Any) -> None:
        trial = self.trials[number]
        self.trials[number] = replace(trial, state=state, value=value, facts={**trial.facts, **facts})

    def run(self, values: Mapping[float, float], rng: random.Random | None = None) -> Record:
        """Run to the end, one trial at a time; what a configuration is worth by its rate, else 0, plus noise."""
        while self.start() is not None:
            trial = self.trials[-1]
            noise = rng.gauss(0, 0.1) if rng else 0.0
            self.end(trial.number, values.get(trial.params["rate"], 0.0) + noise)
        return self
