"""What the workers of a study get (texts tokenised once, altered copies, weights to start from), and what it takes."""

from __future__ import annotations

import os
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from automl.backbones import Backbone
from automl.data.augment import Resources, make_copies
from automl.data.batches import concatenate, encode
from automl.models import checkpoint, vocabulary
from automl.models.checkpoint import Checkpoint
from automl.models.virtual_tokens import text_start
from automl.prepare import Prepared, Request
from automl.progress import Notice, PhaseStarted, Progress
from automl.records import Encoded
from automl.study import Study
from automl.training.data import StudyData
from automl.training.domain_adaptation import adapt
from automl.training.precision import best_precision
from automl.training.worker import BackboneSetup, WorkerSetup
from automl.tuning.duration import Forecast
from automl.tuning.policy import Policy

LEAST_ROOM, ROOM = 2500, 2  # texts that a student's few steps have room for: so many, or times the labelled rows
DOMAIN_ADAPTATION = "domain_adaptation"  # study fact: what it did, by SHA-256 of the encoder
CHECKPOINTS = "checkpoints"  # in the study's folder: what trainings leave
CACHE = "cache"  # in the study's folder: what workers share; gone when the search ends


def gpus_of_a_trial(request: Request) -> float:
    """What is asked for, or one where there is any."""
    import torch

    if request.gpus_per_trial is not None:
        return request.gpus_per_trial
    return 1.0 if torch.cuda.is_available() else 0.0


def device_here(request: Request) -> str:
    """Where this process trains: as trials do, if it has a GPU itself."""
    import torch

    return "cuda" if gpus_of_a_trial(request) and torch.cuda.is_available() else "cpu"


def workers_here(request: Request) -> int:
    """How many trials this machine runs at once."""
    import torch

    shares = [len(os.sched_getaffinity(0)) / request.cpus_per_trial]
    if gpus := gpus_of_a_trial(request):
        shares.append(torch.cuda.device_count() / gpus)
    return request.workers or max(1, int(min(shares)))


def forecast_of(prepared: Prepared, policy: Policy, workers: int) -> Forecast:
    """How long what a search has yet to do will take."""
    rows, further = len(prepared.splits.labelled), len(unlabelled_rows(prepared))
    return Forecast(prepared.space, policy, rows, further, workers)


def worker_setup(prepared: Prepared, study: Study, progress: Progress, device: str) -> WorkerSetup:
    """Pack what every worker needs."""
    checkpoints = prepared.folder / CHECKPOINTS
    checkpoints.mkdir(exist_ok=True)
    return WorkerSetup(
        backbones={name: _setup(prepared, one, study, progress, device) for name, one in prepared.backbones.items()},
        kind=prepared.kind.name,
        metric=prepared.kind.metric,
        label_names=prepared.splits.label_names,
        checkpoints=checkpoints.resolve(),
        threads=max(1, int(prepared.request.cpus_per_trial)),
        device=device,
        cache=(prepared.folder / CACHE).resolve(),
    )


def _setup(prepared: Prepared, backbone: Backbone, study: Study, progress: Progress, device: str) -> BackboneSetup:
    """Tokenise once, and renumber to the vocabulary that occurs."""
    tokenizer = checkpoint.load_tokenizer(backbone.checkpoint)
    rows, data = _rows(prepared, backbone, tokenizer, progress, device)
    used = vocabulary.used_tokens([rows], tokenizer.pad_token_id)
    return BackboneSetup(
        weights=starting_weights(prepared, backbone, study, progress, device),
        data=replace(
            data,
            rows=vocabulary.renumber(rows, used),
            pad_token_id=int(np.searchsorted(used, tokenizer.pad_token_id)),
        ),
        used_tokens=used,
        text_start=text_start(tokenizer),
    )


def starting_weights(
    prepared: Prepared, backbone: Backbone, study: Study, progress: Progress, device: str
) -> dict[str, Checkpoint]:
    """The weights that trials can start from, by name; those adapted to the domain are made here if need be."""
    pretrained = backbone.checkpoint
    weights = {"pretrained": replace(pretrained, folder=pretrained.folder.resolve())}
    if "domain_adapted" not in prepared.space.written.values("starting_weights"):
        return weights
    progress.emit(PhaseStarted(f"adapting {pretrained.name} to the task's own text"))
    adaptation = adapt(
        weights["pretrained"],
        [*prepared.splits.labelled.inputs, *prepared.unlabelled],
        (prepared.folder / "domain_adapted" / pretrained.sha256[:12]).resolve(),
        seed=prepared.request.seed,
        max_length=backbone.max_length,
        precision=best_precision(device),
        device=device,
    )
    known = study.facts.get(DOMAIN_ADAPTATION, {})
    if pretrained.sha256 not in known:
        study.record(
            DOMAIN_ADAPTATION,
            {**known, pretrained.sha256: {**asdict(adaptation), "folder": str(adaptation.folder)}},
        )
    progress.emit(Notice("info", f"domain adaptation of {pretrained.name}: {adaptation}"))
    adapted = checkpoint.resolve(str(adaptation.folder))
    return {**weights, "domain_adapted": replace(adapted, name=pretrained.name)}


def adaptation_of(study: Study, backbone: Backbone) -> dict[str, Any] | None:
    """What adapting the encoder to the task's own text did; None where it was not adapted."""
    found: dict[str, Any] | None = study.facts.get(DOMAIN_ADAPTATION, {}).get(backbone.checkpoint.sha256)
    return found


def _rows(
    prepared: Prepared, backbone: Backbone, tokenizer: object, progress: Progress, device: str
) -> tuple[Encoded, StudyData]:
    """Every text once: the labelled rows, the copies of each augmentation that can be chosen, unlabelled ones."""
    labelled = prepared.splits.labelled
    parts = [encode(tokenizer, labelled.inputs, labelled.labels, backbone.max_length)]
    begin = len(labelled)
    copies = {}
    for name in prepared.space.written.values("augmentation"):
        if name == "none":
            continue
        progress.emit(PhaseStarted(f"altering copies of the labelled texts: {name}"))
        made = _copies(prepared, name, Resources(backbone.mask_model, prepared.translators, device))
        parts += [encode(tokenizer, texts, labelled.labels, backbone.max_length) for texts in made]
        copies[name] = begin + np.arange(len(made) * len(labelled)).reshape(len(made), len(labelled))
        begin += copies[name].size
    if further := unlabelled_rows(prepared):
        parts.append(encode(tokenizer, further, np.full(len(further), -1), backbone.max_length))
    rows = concatenate(parts)
    return rows, StudyData(rows, prepared.splits.folds, 0, copies, unlabelled=len(further))


def unlabelled_rows(prepared: Prepared) -> list[str]:
    """The texts without a label that the committee answers for: all, or of very many some, drawn by the seed.

    They are in their order, and drawn from everywhere: a file may be sorted.
    """
    texts = prepared.unlabelled
    most = max(LEAST_ROOM, ROOM * len(prepared.splits.labelled))
    drawn = np.random.default_rng(prepared.request.seed).permutation(len(texts))[:most]
    return [texts[place] for place in sorted(drawn)]


def _copies(prepared: Prepared, name: str, resources: Resources) -> list[list[str]]:
    count = prepared.space.written.largest("augmentation_copies", default=1)
    inputs, folder = prepared.splits.labelled.inputs, prepared.folder / "augmented"
    return make_copies(inputs, name, count, prepared.request.seed, resources, folder)
