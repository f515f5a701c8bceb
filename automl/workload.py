"""What the workers of a study get: every text tokenised once, its altered copies, and the weights to start from."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from automl.data.augment import Resources, make_copies
from automl.data.batches import concatenate, encode
from automl.models import checkpoint, vocabulary
from automl.models.checkpoint import Checkpoint
from automl.models.virtual_tokens import text_start
from automl.prepare import Prepared
from automl.progress import Notice, PhaseStarted, Progress
from automl.records import Encoded
from automl.study import Study
from automl.training.data import StudyData
from automl.training.domain_adaptation import adapt
from automl.training.precision import best_precision
from automl.training.worker import WorkerSetup

CACHE = "cache"  # in the study's folder: what workers share; gone when the search ends


def worker_setup(prepared: Prepared, study: Study, progress: Progress, device: str) -> WorkerSetup:
    """Tokenise once, renumber to the vocabulary that occurs, and pack what every worker needs."""
    tokenizer = checkpoint.load_tokenizer(prepared.checkpoint)
    rows, data = _rows(prepared, tokenizer, progress, device)
    used = vocabulary.used_tokens([rows], tokenizer.pad_token_id)
    checkpoints = prepared.folder / "checkpoints"
    checkpoints.mkdir(exist_ok=True)
    return WorkerSetup(
        weights=starting_weights(prepared, study, progress, device),
        kind=prepared.kind.name,
        metric=prepared.kind.metric,
        label_names=prepared.splits.label_names,
        data=replace(
            data,
            rows=vocabulary.renumber(rows, used),
            pad_token_id=int(np.searchsorted(used, tokenizer.pad_token_id)),
        ),
        used_tokens=used,
        checkpoints=checkpoints.resolve(),
        threads=max(1, int(prepared.request.cpus_per_trial)),
        device=device,
        text_start=text_start(tokenizer),
        cache=(prepared.folder / CACHE).resolve(),
    )


def starting_weights(prepared: Prepared, study: Study, progress: Progress, device: str) -> dict[str, Checkpoint]:
    """The weights that trials can start from, by name; those adapted to the domain are made here if need be."""
    weights = {"pretrained": replace(prepared.checkpoint, folder=prepared.checkpoint.folder.resolve())}
    if "domain_adapted" not in prepared.space.written.values("starting_weights"):
        return weights
    progress.emit(PhaseStarted("adapting the encoder to the task's own text"))
    adaptation = adapt(
        weights["pretrained"],
        [*prepared.splits.labelled.inputs, *prepared.unlabelled],
        (prepared.folder / "domain_adapted").resolve(),
        seed=prepared.request.seed,
        max_length=prepared.max_length,
        precision=best_precision(device),
        device=device,
    )
    if "domain_adaptation" not in study.facts:
        study.record("domain_adaptation", {**asdict(adaptation), "folder": str(adaptation.folder)})
    progress.emit(Notice("info", f"domain adaptation: {adaptation}"))
    adapted = checkpoint.resolve(str(adaptation.folder))
    return {**weights, "domain_adapted": replace(adapted, name=prepared.checkpoint.name)}


def resources(prepared: Prepared, device: str = "cpu") -> Resources:
    """Models that augmentations may use."""
    return Resources(prepared.mask_model, prepared.translators, device)


def _rows(prepared: Prepared, tokenizer: object, progress: Progress, device: str) -> tuple[Encoded, StudyData]:
    """Every text once: the labelled rows, then the copies of each augmentation that can be chosen."""
    labelled = prepared.splits.labelled
    parts = [encode(tokenizer, labelled.inputs, labelled.labels, prepared.max_length)]
    begin = len(labelled)
    copies = {}
    for name in prepared.space.written.values("augmentation"):
        if name == "none":
            continue
        progress.emit(PhaseStarted(f"altering copies of the labelled texts: {name}"))
        made = _copies(prepared, name, device)
        parts += [encode(tokenizer, texts, labelled.labels, prepared.max_length) for texts in made]
        copies[name] = begin + np.arange(len(made) * len(labelled)).reshape(len(made), len(labelled))
        begin += copies[name].size
    rows = concatenate(parts)
    return rows, StudyData(rows, prepared.splits.folds, 0, copies)


def _copies(prepared: Prepared, name: str, device: str) -> list[list[str]]:
    count = prepared.space.written.largest("augmentation_copies", default=1)
    folder = Path(prepared.folder / "augmented")
    inputs = prepared.splits.labelled.inputs
    return make_copies(inputs, name, count, prepared.request.seed, resources(prepared, device), folder)
