"""Trials by what they have in common: one set of params, tried in one place after another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any, NamedTuple

from automl.records import State, Trial


class Cell(NamedTuple):
    """One place where configurations are compared: all of them with this seed, on this fold."""

    fold: int
    seed: int


@dataclass(frozen=True)
class Configuration:
    """What is known of one set of params: the trials that have it, by cell."""

    number: int
    params: Mapping[str, Any]
    trials: Mapping[Cell, Trial]

    @property
    def spare(self) -> bool:
        """Whether it was tried because workers were idle, and is not waited for."""
        return bool(self.trials[min(self.trials, key=lambda cell: self.trials[cell].number)].facts.get("spare"))

    @property
    def at_work(self) -> bool:
        """Whether it is being trained, or waits to go on."""
        return any(trial.state in (State.RUNNING, State.WAITING) for trial in self.trials.values())

    @property
    def completed(self) -> list[Trial]:
        """What was trained to the end."""
        return [trial for trial in self.trials.values() if trial.state is State.COMPLETE]

    def complete(self, cells: Sequence[Cell]) -> bool:
        """Whether it was trained to the end in every one of these cells."""
        return all(cell in self.trials and self.trials[cell].state is State.COMPLETE for cell in cells)

    def lost(self, cell: Cell) -> bool:
        """Whether it was stopped, or broke, in this cell."""
        return cell in self.trials and self.trials[cell].state in (State.PRUNED, State.FAIL)

    def worth(self, cells: Sequence[Cell]) -> tuple[float, float, int]:
        """What it is ranked by: mean value over the cells, then mean loss, then age. More is better."""
        trials = [self.trials[cell] for cell in cells]
        loss = fmean(float(trial.facts.get("loss") or 0.0) for trial in trials)
        return fmean(trial.value or 0.0 for trial in trials), -loss, -self.number


def configurations(trials: Sequence[Trial]) -> list[Configuration]:
    """Trials by configuration. One that was trained again in a cell, or further, counts as it was last."""
    groups: dict[int, dict[Cell, Trial]] = {}
    for trial in trials:
        number = configuration_of(trial)
        group, cell = groups.setdefault(number, {}), cell_of(trial)
        if cell in group:
            trial = replace(trial, intermediate={**group[cell].intermediate, **trial.intermediate})
        group[cell] = trial
    return [Configuration(number, _any(groups[number]).params, groups[number]) for number in sorted(groups)]


def _any(trials: Mapping[Cell, Trial]) -> Trial:
    """All of a configuration have its params."""
    return next(iter(trials.values()))


def cell_of(trial: Trial) -> Cell:
    """Where a trial was compared."""
    return Cell(int(trial.facts["fold"]), int(trial.facts["seed"]))


def configuration_of(trial: Trial) -> int:
    """Number of the trial that had its params first."""
    return int(trial.facts.get("configuration", trial.number))
