"""What is exported of a winner: a student of all its models, or one of these models itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from automl.backbones import Backbone
from automl.export.folder import build_model
from automl.models.checkpoint import load_tokenizer, resolve
from automl.params import Params
from automl.prepare import Prepared
from automl.progress import PhaseStarted, Progress
from automl.records import Trial
from automl.selection import differences
from automl.study import Study
from automl.training.distillation import NOT_EXPRESSIBLE, student_params
from automl.training.keep import read_logits
from automl.tuning.finals import REHEARSAL, STUDENT, Finals
from automl.tuning.policy import Configuration
from automl.workload import adaptation_of, worker_setup


@dataclass(frozen=True)
class Shipped:
    """The model that is exported: how it was trained, the file it is built from, and in words why it is this one."""

    backbone: Backbone
    params: Params
    checkpoint: str
    sha256: str
    why: str


def choose_shipped(study: Study, winner: Configuration, prepared: Prepared, progress: Progress) -> Shipped:
    """The student, unless it did clearly worse in its rehearsal than the model that it learned from.

    A winner that no class of transformers can hold is always shipped as its student, made here if need be.
    """
    params = Params(**prepared.space.params(winner.params))
    backbone = prepared.backbone_of(winner.params)
    finals = Finals(study, winner, params.model_dump(), backbone.name)
    expressible = params.technique not in NOT_EXPRESSIBLE
    if finals.open and not expressible:
        _finish_here(finals, study, prepared, progress)
    teacher = finals.members[0]
    lesson, rehearsal = finals.lesson(STUDENT), finals.lesson(REHEARSAL)
    fold, count = teacher.facts["fold"], len(finals.members)
    alone = f"trial {teacher.number}'s model, which was trained without fold {fold}"
    if lesson is None:
        return Shipped(backbone, params, teacher.facts["checkpoint"], teacher.facts["checkpoint_sha256"], alone)
    learned = f"a plain model that learned from the {count} models of the winner, on every labelled row"
    if rehearsal is not None:
        values = f"on fold {fold} such a student has {rehearsal['value']:.3f}, what it learned from {teacher.value:.3f}"
        learned = f"{learned} ({values})"
        if expressible and _clearly_worse(rehearsal, teacher, prepared):
            why = f"{alone}: {values}, clearly less"
            return Shipped(backbone, params, teacher.facts["checkpoint"], teacher.facts["checkpoint_sha256"], why)
    return Shipped(backbone, student_params(params), lesson["checkpoint"], lesson["checkpoint_sha256"], learned)


def build(shipped: Shipped, study: Study, prepared: Prepared) -> Any:
    """The model itself. Raises NothingUsable where its checkpoint is gone or was changed."""
    from automl.models.virtual_tokens import text_start

    weights, adaptation = shipped.backbone.checkpoint, adaptation_of(study, shipped.backbone)
    if adaptation is not None and shipped.params.starting_weights == "domain_adapted":
        weights = resolve(adaptation["folder"])
    return build_model(
        weights,
        prepared.kind,
        prepared.splits,
        shipped.params,
        Path(shipped.checkpoint),
        shipped.sha256,
        text_start(load_tokenizer(shipped.backbone.checkpoint)),
    )


def _clearly_worse(rehearsal: dict[str, Any], teacher: Trial, prepared: Prepared) -> bool:
    """Whether the student's score on the held-out rows is below its teacher's by more than chance."""
    splits, fold = prepared.splits, teacher.facts["fold"]
    student, own = (
        read_logits(Path(facts["predictions"]), facts["predictions_sha256"]).argmax(axis=1)
        for facts in (rehearsal, teacher.facts)
    )
    labels = splits.labelled.labels[np.flatnonzero(splits.folds == fold)]
    (gap,) = differences(labels, own, {"student": student}, prepared.kind.metric, seed=prepared.request.seed)
    return gap.told_apart


def _finish_here(finals: Finals, study: Study, prepared: Prepared, progress: Progress) -> None:
    """Take the last steps in this process: the search had no time for them, and nothing could be shipped without."""
    from automl.training.worker import TrialWorker

    progress.emit(PhaseStarted("teaching a plain model what the winner knows"))
    worker = TrialWorker(worker_setup(prepared, study, progress, "cpu"))
    while order := finals.next():
        *_, end = worker.work(order.payload)
        finals.done(order.name, {name: value for name, value in end.items() if name != "final"})
