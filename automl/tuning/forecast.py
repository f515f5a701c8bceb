"""How long the next training and the last steps will take, as far as the record tells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from automl.params import Params
from automl.records import State, Trial
from automl.spaces import BoundSpace
from automl.training.distillation import student_params
from automl.tuning import duration
from automl.tuning.configurations import configuration_of, configurations
from automl.tuning.policy import Job, Policy


@dataclass(frozen=True)
class Forecast:
    """Seconds of what a search has yet to do.

    Args:
        rows: of the study, all labelled ones.
        unlabelled: further rows, which the winner's models will answer for.
        workers: that run at once, as far as is known.
    """

    space: BoundSpace
    policy: Policy
    rows: int = 0
    unlabelled: int = 0
    workers: int = 1

    def training(self, job: Job, trials: Sequence[Trial]) -> float:
        """By what the same configuration took, or else those of its technique."""
        if job.configuration is not None:
            like = [trial for trial in trials if configuration_of(trial) == job.configuration]
        else:
            worthwhile = self.policy.worthwhile(configurations(trials))
            wanted = [self.space.arm_of(job.params)] if job.params else worthwhile[-1:]
            like = [trial for trial in trials if self.space.arm_of(trial.params) in wanted]
        return duration.training(like, trials)

    def last_steps(self, trials: Sequence[Trial]) -> float:
        """After the race, for the one who leads it now."""
        leader = self.policy.leader(configurations(trials))
        if leader is None:
            return 0.0
        done = [(Params(**self.space.params(t.params)), t) for t in trials if t.state is State.COMPLETE]
        student = student_params(Params(**self.space.params(leader.params)))
        return duration.last_steps(student, done, len(leader.trials), self.rows, self.workers, self.unlabelled)
