"""What is exported of a winner: the candidates, what each is worth on rows that it did not see, and the choice."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from automl.backbones import Backbone
from automl.export.folder import build_model
from automl.export.original import Member, Original
from automl.metrics import METRICS
from automl.models.checkpoint import Checkpoint, load_tokenizer, resolve
from automl.params import Params
from automl.prepare import Prepared
from automl.progress import PhaseStarted, Progress
from automl.selection import differences
from automl.study import Study
from automl.training.distillation import NOT_EXPRESSIBLE, student_params, targets
from automl.training.keep import read_logits
from automl.tuning.configurations import Configuration
from automl.tuning.finals import AVERAGE, REFIT, REHEARSAL, STUDENT, Finals
from automl.tuning.orders import Order
from automl.workload import adaptation_of, worker_setup

SINGLE, ENSEMBLE = "single", "ensemble"
PREFERRED = (STUDENT, AVERAGE, REFIT)  # where the evidence does not tell them apart: who knows most comes first
REFIT_TRAININGS = 1.5  # of one on a fold, in seconds


@dataclass(frozen=True)
class Candidate:
    """What could be shipped: its score on the rows of one fold, which neither it nor its teachers saw."""

    value: float
    predictions: np.ndarray  # [rows of the fold]


@dataclass(frozen=True)
class Shipped:
    """The model that is exported: how it was trained, the file it is built from, and in words why it is this one."""

    name: str
    backbone: Backbone
    params: Params
    checkpoint: str
    sha256: str
    why: str
    candidates: Mapping[str, Candidate]


def choose_shipped(
    study: Study, winner: Configuration, prepared: Prepared, progress: Progress, *, until: float | None = None
) -> Shipped:
    """The first of the preferred ones that nothing else does clearly better than.

    The student of all models comes first, then their average, then one model trained like them on every row. A winner
    that no class of transformers can hold is always shipped as its student, made here if need be.

    Args:
        until: when the user's time is over, on the clock of `time.monotonic`; None is never.
    """
    params = Params(**prepared.space.params(winner.params))
    backbone, finals = prepared.backbone_of(winner.params), Finals(study, winner, prepared.space)
    expressible = params.technique not in NOT_EXPRESSIBLE
    if finals.open and not expressible:
        _finish_here(finals, study, prepared, progress)
    candidates = _candidates(finals, prepared)
    chosen = _preferred(candidates, finals, prepared) if expressible else STUDENT
    teacher = finals.members[0].facts
    if chosen == REFIT and finals.lesson(REFIT) is None:
        enough = until is None or time.monotonic() + REFIT_TRAININGS * teacher["seconds"] < until
        if enough:
            progress.emit(PhaseStarted("training the winner on every labelled row"))
            _carry_out([finals.refit()], finals, study, prepared, progress)
    made = finals.lesson(chosen)
    values = ", ".join(f"{name} {one.value:.3f}" for name, one in candidates.items())
    evidence = f" (on fold {teacher['fold']}: {values})" if len(candidates) > 1 else ""
    if made is None:
        why = f"trial {finals.members[0].number}'s model, which was trained without fold {teacher['fold']}{evidence}"
        return Shipped(SINGLE, backbone, params, teacher["checkpoint"], teacher["checkpoint_sha256"], why, candidates)
    why = {
        STUDENT: f"a plain model that learned from the winner's {len(finals.members)} models, on every labelled row",
        AVERAGE: f"the mean of the weights of the winner's {len(finals.members)} models, but for those that spoil it",
        REFIT: "one model, trained as the winner on every labelled row",
    }[chosen]
    own = student_params(params) if chosen == STUDENT else params
    return Shipped(chosen, backbone, own, made["checkpoint"], made["checkpoint_sha256"], why + evidence, candidates)


def build(shipped: Shipped, study: Study, prepared: Prepared) -> Any:
    """The model itself. Raises NothingUsable where its checkpoint is gone or was changed."""
    from automl.models.virtual_tokens import text_start

    return build_model(
        _starting_weights(shipped.backbone, shipped.params, study),
        prepared.kind,
        prepared.splits,
        shipped.params,
        Path(shipped.checkpoint),
        shipped.sha256,
        text_start(load_tokenizer(shipped.backbone.checkpoint)),
    )


def original(study: Study, winner: Configuration, prepared: Prepared) -> Original:
    """The winner's own models."""
    backbone, params = prepared.backbone_of(winner.params), Params(**prepared.space.params(winner.params))
    members = [
        Member(trial.facts["checkpoint"], trial.facts["checkpoint_sha256"], trial.number)
        for trial in Finals(study, winner, prepared.space).members
    ]
    weights = _starting_weights(backbone, params, study)
    names = prepared.splits.label_names
    return Original(weights, params, members, names, prepared.kind.name, backbone.max_length)


def _starting_weights(backbone: Backbone, params: Params, study: Study) -> Checkpoint:
    adaptation = adaptation_of(study, backbone)
    if params.starting_weights != "domain_adapted" or adaptation is None:
        return backbone.checkpoint
    return replace(resolve(adaptation["folder"]), name=backbone.checkpoint.name)


def _candidates(finals: Finals, prepared: Prepared) -> dict[str, Candidate]:
    """All that there is evidence of, by name. A refit has that of the single model, whose training it repeats."""
    labels = _labels(finals, prepared)

    def candidate(logits: np.ndarray) -> Candidate:
        predictions = prepared.kind.predict(logits)
        return Candidate(METRICS[prepared.kind.metric](labels, predictions), predictions)

    def said(facts: Mapping[str, Any]) -> np.ndarray:
        return read_logits(Path(facts["predictions"]), facts["predictions_sha256"])

    witnesses = [said(trial.facts) for trial in finals.witnesses]
    found = {SINGLE: candidate(witnesses[0])}
    if len(witnesses) > 1:
        found[ENSEMBLE] = candidate(np.log(targets(witnesses) + 1e-12))
    for name, made in ((STUDENT, REHEARSAL), (AVERAGE, AVERAGE)):
        lesson = finals.lesson(made)
        if lesson is not None and lesson.get("kept", 2) > 1 and finals.lesson(name) is not None:
            found[name] = candidate(said(lesson))
    return found


def _preferred(candidates: Mapping[str, Candidate], finals: Finals, prepared: Prepared) -> str:
    """The first that no other candidate is better than by more than chance, on the same rows."""
    labels, metric = _labels(finals, prepared), prepared.kind.metric
    for name in PREFERRED[:-1]:
        if name not in candidates:
            continue
        own = candidates[name].predictions
        gaps = [
            differences(labels, other.predictions, {name: own}, metric, seed=prepared.request.seed)
            for rival, other in candidates.items()
            if rival not in (name, ENSEMBLE)  # which plain classes cannot hold
        ]
        if not any(gap.told_apart for (gap,) in gaps):
            return name
    return PREFERRED[-1]


def _labels(finals: Finals, prepared: Prepared) -> np.ndarray:
    splits = prepared.splits
    return splits.labelled.labels[np.flatnonzero(splits.folds == finals.witnesses[0].facts["fold"])]


def _finish_here(finals: Finals, study: Study, prepared: Prepared, progress: Progress) -> None:
    """Take the last steps in this process: the search had no time for them, and nothing could be shipped without."""
    progress.emit(PhaseStarted("teaching a plain model what the winner knows"))
    _carry_out(iter(finals.next, None), finals, study, prepared, progress)


def _carry_out(orders: Iterable[Order], finals: Finals, study: Study, prepared: Prepared, progress: Progress) -> None:
    from automl.training.worker import TrialWorker

    worker = TrialWorker(worker_setup(prepared, study, progress, "cpu"))
    for order in orders:
        *_, end = worker.work(order.payload)
        finals.done(order.name, {name: value for name, value in end.items() if name != "final"})


def as_facts(shipped: Shipped) -> dict[str, Any]:
    """What `result.json` says of it."""
    return {
        "shipped": shipped.why,
        "candidates": {name: {"value": one.value} for name, one in shipped.candidates.items()},
        "shipped_as": shipped.name,
    }
