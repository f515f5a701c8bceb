"""Which files of trials stay: models that may be shipped, and states of stopped trainings that may go on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from automl.records import State, Trial
from automl.tuning.configurations import configurations
from automl.tuning.policy import Policy


def forget_models(policy: Policy, trials: Sequence[Trial]) -> None:
    """Remove the models of those that cannot win any more."""
    kept = policy.race.worth_keeping(trials)
    for trial in trials:
        if trial.number not in kept and "checkpoint" in trial.facts:
            Path(trial.facts["checkpoint"]).unlink(missing_ok=True)


def forget_states(folder: Path, policy: Policy, trials: Sequence[Trial], *, promotable: bool = True) -> None:
    """Remove what stopped trainings left, but for those that will go on, and, if promotable, those that may.

    A worker writes a state when it gets its next order: one that is not there yet is removed the next time.
    """
    paused = policy.paused(configurations(trials)) if promotable else []
    kept = {one.trials[policy.cells[0]].number for one in paused}
    for trial in trials:
        if trial.state in (State.RUNNING, State.WAITING):
            kept |= {trial.number, int(trial.facts.get("continues", trial.number))}
    for path in folder.glob("trial-*.state"):
        if int(path.stem.rpartition("-")[2]) not in kept:
            path.unlink(missing_ok=True)
