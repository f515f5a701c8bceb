"""Which finished trial has the highest value: the rule while a search runs, before there is evidence to compare."""

from __future__ import annotations

from collections.abc import Iterable

from automl.records import State, Trial


def best_trial(trials: Iterable[Trial]) -> Trial | None:
    """The complete trial with the highest value; on a tie the earlier one. None where no trial is complete."""
    complete = [trial for trial in trials if trial.state is State.COMPLETE and trial.value is not None]
    return max(complete, key=lambda trial: (trial.value, -trial.number), default=None)
