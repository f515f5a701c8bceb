"""From a request to everything that was read and checked, before anything is written."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from automl import __version__
from automl.data.imbalance import imbalance
from automl.data.splits import Choices, make_splits
from automl.errors import UsageError
from automl.models import checkpoint
from automl.models.checkpoint import Checkpoint
from automl.params import Params
from automl.records import RawTask, Splits
from automl.spaces import BoundSpace, SearchSpace, load_space
from automl.tasks import sources
from automl.tasks.kinds import Kind, kind_of
from automl.tasks.unlabelled import read_unlabelled

RUNS = Path("runs")  # in the folder the search is started from
STUDY_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
Translators = tuple[Checkpoint, Checkpoint]  # into another language and back
MAX_LENGTH = 128  # tokens; what sentence encoders are trained on, and cost grows with it


@dataclass(frozen=True)
class Request:
    """What the user asked for; the defaults are the command line's. Sizes are rows, times are seconds."""

    task: str
    budget: int
    model: str = checkpoint.DEFAULT_MODEL
    search_space: str = "default"
    time_limit: float | None = None
    target: float | None = None
    train_size: int | None = None
    text_column: str | None = None
    label_column: str | None = None
    metric: str | None = None
    group_column: str | None = None
    folds: int | None = None
    max_length: int = MAX_LENGTH
    unlabelled: Path | None = None
    mask_model: str | None = None
    translators: str | None = None
    seed: int = 0
    workers: int | None = None
    cpus_per_trial: float = 1
    gpus_per_trial: float | None = None
    address: str | None = None
    storage: str | None = None
    study_name: str | None = None
    output: Path | None = None
    keep_original: bool = False
    offline: bool = False
    stand_in: bool = True
    command: str = ""


@dataclass(frozen=True)
class Prepared:
    """A request that can be carried out."""

    request: Request
    task: RawTask
    kind: Kind
    splits: Splits
    space: BoundSpace
    checkpoint: Checkpoint
    depth: int  # encoder layers
    max_length: int  # tokens
    unlabelled: tuple[str, ...] = ()  # further texts, for domain adaptation
    mask_model: Checkpoint | None = None  # of the augmentation masked_words
    translators: Translators | None = None  # of back_translation

    @property
    def identity(self) -> dict[str, str]:
        """Fingerprints of what is searched over; a study never holds two."""
        data = f"{self.splits.fingerprint} {self.max_length} tokens, seed {self.request.seed}, by {self.kind.metric}"
        if self.unlabelled:
            data += f", unlabelled {hashlib.sha256(repr(self.unlabelled).encode()).hexdigest()}"
        return {
            "task": hashlib.sha256(data.encode()).hexdigest(),
            "model": self.checkpoint.sha256,
            "search space": self.space.written.digest,
        }

    @property
    def study_name(self) -> str:
        """The name given, else one that the same inputs always get."""
        digest = hashlib.sha256("".join(self.identity.values()).encode()).hexdigest()
        return self.request.study_name or f"{_slug(self.task.name)}-{digest[:6]}"

    @property
    def folder(self) -> Path:
        """Where the trials' checkpoints are kept; studies of one name in two databases have two."""
        if self.request.storage is None:
            return RUNS / self.study_name
        return RUNS / f"{self.study_name}-{hashlib.sha256(self.request.storage.encode()).hexdigest()[:6]}"

    @property
    def storage(self) -> str:
        return self.request.storage or f"sqlite:///{RUNS / 'studies.db'}"

    @property
    def output(self) -> Path:
        return self.request.output or self.folder / "model"


def prepare(request: Request) -> Prepared:
    """Read and check every input. Writes nothing but download caches.

    Raises:
        UsageError: what is wrong with the request.
    """
    from automl.export.folder import require_room

    if request.budget < 1:
        raise UsageError(f"--budget {request.budget}: at least one trial is needed")
    if request.study_name is not None and not STUDY_NAME.fullmatch(request.study_name):
        raise UsageError(
            f"--study-name {request.study_name!r}: it also names a folder; use letters, digits and . _ - (not first)"
        )
    _require_resources(request)
    space = load_space(request.search_space)
    task = sources.load(request.task, offline=request.offline, allow_stand_in=request.stand_in)
    kind = kind_of(task.kind, request.metric)
    choices = Choices(
        request.seed,
        request.train_size,
        request.text_column,
        request.label_column,
        request.folds,
        request.group_column,
    )
    splits = make_splits(task, kind, choices)
    found = checkpoint.resolve(request.model, offline=request.offline)
    max_length = min(request.max_length, checkpoint.max_positions(found) - _virtual_tokens(space))
    mask_model, translators = _augmenters(request, space, found)
    depth = checkpoint.depth(found)
    prepared = Prepared(
        request,
        task,
        kind,
        splits,
        space.over({found.name: depth}),
        found,
        depth,
        max_length,
        _unlabelled(request, splits),
        mask_model,
        translators,
    )
    weights = sum(path.stat().st_size for path in found.folder.glob("*.safetensors"))
    require_room(prepared.output, prepared.study_name, needed_bytes=4 * weights)  # the model twice, and two checkpoints
    return prepared


def _virtual_tokens(space: SearchSpace) -> int:
    """Positions that the space's largest prompt or prefix takes from a text."""
    if not {"prompt_tuning", "prefix_tuning"} & set(space.values("technique")):
        return 0
    return space.largest("num_virtual_tokens", default=Params().num_virtual_tokens)


def _unlabelled(request: Request, splits: Splits) -> tuple[str, ...]:
    if request.unlabelled is None:
        return ()
    return read_unlabelled(request.unlabelled, request.text_column, (*splits.labelled.inputs, *splits.test.inputs))


def _augmenters(request: Request, space: SearchSpace, own: Checkpoint) -> tuple[Checkpoint | None, Translators | None]:
    """The models that the space's augmentations use, found; what an augmentation lacks is said before anything runs."""
    from automl.data.augment import AUGMENTATIONS, Resources, check

    wanted = [name for name in space.values("augmentation") if name != "none"]
    mask_model, translators = None, None
    if "masked_words" in wanted:
        mask_model = checkpoint.resolve(request.mask_model, offline=request.offline) if request.mask_model else own
    if "back_translation" in wanted and request.translators is not None:
        names = request.translators.split(",")
        if len(names) != 2:
            raise UsageError(
                f"--translators {request.translators!r}: two models are needed, into another language and back, "
                "as THERE,BACK"
            )
        there, back = (checkpoint.resolve(name.strip(), offline=request.offline) for name in names)
        translators = (there, back)
    resources = Resources(mask_model, translators)
    for name in wanted:
        check(name, resources)
        if name in ("masked_words", "back_translation"):
            AUGMENTATIONS[name].load(resources)  # and thrown away: a wrong model is told before there is a study
    return mask_model, translators


def _require_resources(request: Request) -> None:
    """Refuse more than this machine has: Ray would wait for it for ever. A cluster tells what it has later."""
    if request.address is not None:
        return
    cores, workers = len(os.sched_getaffinity(0)), request.workers or 1
    if workers * request.cpus_per_trial > cores:
        raise UsageError(
            f"--workers {workers} with --cpus-per-trial {request.cpus_per_trial:g} need "
            f"{workers * request.cpus_per_trial:g} cores, this machine has {cores}: lower one of them"
        )
    if request.gpus_per_trial:
        import torch

        gpus = torch.cuda.device_count()
        if workers * request.gpus_per_trial > gpus:
            raise UsageError(
                f"--gpus-per-trial {request.gpus_per_trial:g} with {workers} workers: this machine has {gpus} usable "
                "GPUs; lower it (0 trains on cores), or name a Ray cluster with --address"
            )


def describe_data(prepared: Prepared) -> dict[str, Any]:
    """What the plan, the study and the model card say about the data."""
    names, splits = prepared.splits.label_names, prepared.splits
    parts = {"labelled": splits.labelled, "test": splits.test}
    held_out = int((splits.folds >= 0).sum())
    counts = {name: np.bincount(rows.labels, minlength=len(names)).tolist() for name, rows in parts.items()}
    return {
        "source": prepared.task.source,
        "licence": prepared.task.licence,
        "fingerprint": splits.fingerprint,
        "rows": {name: len(rows) for name, rows in parts.items()},
        "folds": splits.n_folds,
        "held_out": held_out,
        "compared": (
            f"{splits.n_folds}-fold cross-validation over all {held_out} labelled rows"
            if splits.n_folds > 1
            else f"{held_out} of the labelled rows, held out from training"
        ),
        "labels": {name: dict(zip(names, count, strict=True)) for name, count in counts.items()},
        "dropped": dict(splits.dropped),
        "imbalance": imbalance(splits.labelled.labels, len(names)).sentence(names),
    }


def versions() -> dict[str, str]:
    """What a result depends on."""
    return {"automl": __version__} | {name: version(name) for name in ("torch", "transformers", "optuna", "ray")}


def _slug(name: str) -> str:
    """A name that is safe as a folder: of a path its last part without suffix."""
    last = Path(name.replace(":", "-")).name
    return re.sub(r"[^A-Za-z0-9._-]+", "-", last.removesuffix(Path(last).suffix)).strip("-.") or "task"
