"""Which files of trials stay: models that may be shipped, and states of stopped trainings that may go on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from automl.records import State, Trial
from automl.tuning.configurations import Configuration, configurations
from automl.tuning.policy import Policy


def forget_models(policy: Policy, trials: Sequence[Trial]) -> None:
    """Remove the models of those that cannot win any more."""
    kept = policy.race.worth_keeping(trials)
    for trial in trials:
        if trial.number not in kept and "checkpoint" in trial.facts:
            Path(trial.facts["checkpoint"]).unlink(missing_ok=True)


def leader_with_models(policy: Policy, found: Sequence[Configuration]) -> Configuration | None:
    """Who leads of those whose models are all there; of all, where nobody's are.

    Files are removed by people, too, and by a search with a smaller budget, in which fewer go on.
    """
    leader = policy.race.leader(found)
    if leader is None or _has_models(leader):
        return leader
    return policy.race.leader([one for one in found if _has_models(one)]) or leader


def _has_models(one: Configuration) -> bool:
    files = [trial.facts["checkpoint"] for trial in one.trials.values() if "checkpoint" in trial.facts]
    return all(Path(file).exists() for file in files)


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
