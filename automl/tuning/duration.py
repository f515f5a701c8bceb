"""How long what is still to be done will take, by what like things took."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from automl.params import Params
from automl.records import State, Trial
from automl.spaces import BoundSpace
from automl.training.distillation import NOT_EXPRESSIBLE, student_params
from automl.training.loop import STEPS
from automl.tuning.configurations import Configuration, configuration_of, configurations
from automl.tuning.finals import is_member
from automl.tuning.job import Job
from automl.tuning.policy import Policy

ANSWER_SPEED = 3.0  # rows that a model answers for in the time that it trains on one
ENCODING_SPEED = 15.0  # rows that a frozen encoder encodes for a head in the time that all of it is trained on one
LAST_LAYER = 0.5  # of a layer's work that the last one takes: most models need but the first token of it
STEP_OVERHEAD = 1.0  # seconds that a last step takes besides: a model is copied, files are written
REFIT_TRAININGS = 1.5  # what a training on every row takes, in seconds, of one on a fold
CAREFUL = 1.2  # trainings of one kind differ by about so much


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
            wanted = [self.space.arm_of(job.params)] if job.params else job.arms[-1:]
            like = [trial for trial in trials if self.space.arm_of(trial.params) in wanted]
        return training(like, trials)

    def last_steps(self, trials: Sequence[Trial]) -> float:
        """After the race, for the one who leads it now."""
        leader = self.policy.race.leader(configurations(trials))
        return 0.0 if leader is None else self.lessons(leader, trials)

    def lessons(self, winner: Configuration, trials: Sequence[Trial], *, rehearsed: bool = True) -> float:
        """To make one plain model of a configuration's own."""
        depth, params = self.space.depth_of(winner.params), Params(**self.space.params(winner.params))
        plain = [trial for trial in winner.trials.values() if is_member(trial)]
        if len(plain) == 1 and params.technique not in NOT_EXPRESSIBLE:  # it is trained again, on every row
            return CAREFUL * REFIT_TRAININGS * training_seconds(plain[0])
        student = student_params(params)
        done = [(Params(**self.space.params(t.params)), t) for t in trials if t.state is State.COMPLETE]
        speed = pace(student, done, depth)
        lessons = 2 if rehearsed else 1
        return last_steps(student, speed, len(winner.trials), self.rows, self.workers, self.unlabelled, lessons)


def training(like: Iterable[Trial], others: Iterable[Trial] = ()) -> float:
    """Seconds of a further training, by completed ones that are like it; without any, by the longest of the others.

    A worker's first trial waits until it is there; that comes but once.
    """
    seconds = [training_seconds(trial) for trial in like if trial.state is State.COMPLETE]
    if seconds:
        return median(seconds)
    return max((training_seconds(trial) for trial in others if trial.state is State.COMPLETE), default=0.0)


def examples(params: Params, rows: int) -> int:
    """Examples that a training on so many rows goes through."""
    steps = math.ceil(rows / params.per_device_train_batch_size) * params.num_train_epochs
    return params.per_device_train_batch_size * (params.max_steps or max(steps, params.min_steps))


def pace(student: Params, trials: Sequence[tuple[Params, Trial]], depth: int) -> float:
    """Examples a second of a student, by trials that trained as many layers, or in proportion to those; 0: unknown.

    What contrastive training counts are texts of pairs, which it encodes once more for its head: it is taken where
    nothing else is known, and where that is not either, how fast texts were encoded for heads.

    Args:
        trials: completed ones, and their params.
        depth: layers of the encoder.
    """
    known = [(params, float(trial.facts["examples_per_second"])) for params, trial in trials]
    plain = [one for one in known if one[0].technique not in NOT_EXPRESSIBLE]
    trained = plain or [one for one in known if one[0].technique == "contrastive"]
    as_deep = [speed for params, speed in trained if params.frozen_layers <= student.frozen_layers]
    layers = max(depth - student.frozen_layers, 1) - LAST_LAYER
    others = [speed * (max(depth - params.frozen_layers, 1) - LAST_LAYER) / layers for params, speed in trained]
    encoding = min((speed for params, speed in known if params.technique == "features"), default=0.0)  # else cached
    return median(as_deep or others or [encoding / ENCODING_SPEED])


def last_steps(
    student: Params,
    pace: float,
    members: int,
    rows: int,
    workers: int,
    unlabelled: int = 0,
    lessons: int = 2,
) -> float:
    """Seconds until the members have answered for all rows, and a student and its rehearsal have learned from that.

    Args:
        student: how it is trained.
        pace: its examples a second; 0: nothing is known.
        members: that have yet to answer.
        rows: of the study, labelled ones.
        workers: that work at once.
        unlabelled: further rows to answer for; a lesson is not longer for them.
        lessons: the student's, and its rehearsal's.
    """
    if not pace:
        return 0.0
    answering = members * ((rows + unlabelled) / (ANSWER_SPEED * pace) + STEP_OVERHEAD) / min(workers, max(members, 1))
    lesson = examples(student, rows) / pace + STEP_OVERHEAD
    return CAREFUL * (answering + lesson * math.ceil(lessons / workers))


def training_seconds(trial: Trial) -> float:
    """Of a completed trial, what its whole schedule takes: one that went on with another did but a part of it."""
    own = float(trial.facts.get("busy_seconds") or trial.facts["seconds"])
    return own * STEPS / max(STEPS - int(trial.facts.get("resumed_step") or 0), 1)
