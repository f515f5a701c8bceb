"""How long what is still to be done will take, by what like things took."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from automl.params import Params
from automl.records import State, Trial
from automl.spaces import BoundSpace
from automl.training.distillation import student_params
from automl.tuning.configurations import configuration_of, configurations
from automl.tuning.policy import Job, Policy

ANSWER_SPEED = 3.0  # rows that a model answers for in the time that it trains on one
STEP_OVERHEAD = 1.0  # seconds that a last step takes besides: a model is copied, files are written
CAREFUL = 1.15  # trainings of one kind differ by about so much


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
        return training(like, trials)

    def last_steps(self, trials: Sequence[Trial]) -> float:
        """After the race, for the one who leads it now."""
        leader = self.policy.leader(configurations(trials))
        if leader is None:
            return 0.0
        done = [(Params(**self.space.params(t.params)), t) for t in trials if t.state is State.COMPLETE]
        student = student_params(Params(**self.space.params(leader.params)))
        return last_steps(student, done, len(leader.trials), self.rows, self.workers, self.unlabelled)


def training(like: Iterable[Trial], others: Iterable[Trial] = ()) -> float:
    """Seconds of a further training, by completed ones that are like it; without any, by the longest of the others."""
    seconds = [float(trial.facts["seconds"]) for trial in like if trial.state is State.COMPLETE]
    if seconds:
        return median(seconds)
    return max((float(trial.facts["seconds"]) for trial in others if trial.state is State.COMPLETE), default=0.0)


def examples(params: Params, rows: int) -> int:
    """Examples that a training on so many rows goes through."""
    steps = math.ceil(rows / params.per_device_train_batch_size) * params.num_train_epochs
    return params.per_device_train_batch_size * (params.max_steps or max(steps, params.min_steps))


def last_steps(
    student: Params,
    trials: Sequence[tuple[Params, Trial]],
    members: int,
    rows: int,
    workers: int,
    unlabelled: int = 0,
) -> float:
    """Seconds until the members have answered for all rows, and a student and its rehearsal have learned from that.

    Args:
        student: how it is trained.
        trials: completed ones and their params, from whose pace its own is read.
        members: that have yet to answer.
        rows: of the study, labelled ones.
        workers: that work at once.
        unlabelled: further rows to answer for; a lesson is not longer for them.
    """
    trained = [(params, float(trial.facts["examples_per_second"])) for params, trial in trials if _is_trained(params)]
    as_deep = [pace for params, pace in trained if params.frozen_layers <= student.frozen_layers]
    if not trained:
        return 0.0
    pace = median(as_deep) if as_deep else min(pace for _, pace in trained)
    answering = members * ((rows + unlabelled) / (ANSWER_SPEED * pace) + STEP_OVERHEAD) / min(workers, max(members, 1))
    lesson = examples(student, rows) / pace + STEP_OVERHEAD
    return CAREFUL * (answering + lesson * (2 if workers == 1 else 1))


def _is_trained(params: Params) -> bool:
    """Whether an encoder was trained: the pace of a head on cached states says nothing of others."""
    return params.technique != "features"
