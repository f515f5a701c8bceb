"""From a request to everything that was read and checked, before anything is written."""

from __future__ import annotations

import hashlib
import os
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from automl import __version__
from automl.backbones import Backbone, find_backbones
from automl.data.imbalance import imbalance, scarce
from automl.data.splits import Choices, make_splits
from automl.errors import UsageError
from automl.metrics import LOWEST
from automl.models import checkpoint
from automl.models.checkpoint import Checkpoint
from automl.records import RawTask, Splits
from automl.spaces import BoundSpace, SearchSpace, load_space
from automl.tasks import sources
from automl.tasks.kinds import Kind, kind_of
from automl.tasks.unlabelled import read_unlabelled

RUNS = Path("runs")  # in the folder the search is started from
STUDY_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
Translators = tuple[Checkpoint, Checkpoint]  # into another language and back
RAY_FINDS = ("auto", "local")  # addresses that Ray looks up itself
ANSWER_SECONDS = 5.0  # that a head node may take
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
    warm_start: bool = False
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
    backbones: Mapping[str, Backbone]  # by their short names, in the order of the request
    unlabelled: tuple[str, ...] = ()  # further texts, for the last lesson and domain adaptation
    translators: Translators | None = None  # of back_translation
    left_out: tuple[str, ...] = ()  # in words: techniques that so few rows are not enough for

    def backbone_of(self, optuna_params: Mapping[str, Any]) -> Backbone:
        """The encoder that a configuration trains."""
        return self.backbones[self.space.model_of(optuna_params)]

    @property
    def models(self) -> list[str]:
        """Ids or folders of all encoders that are searched, as they were given."""
        return [one.checkpoint.name for one in self.backbones.values()]

    @property
    def identity(self) -> dict[str, str]:
        """Fingerprints of what is searched over; a study never holds two."""
        tokens = max(one.max_length for one in self.backbones.values())
        data = f"{self.splits.fingerprint} {tokens} tokens, seed {self.request.seed}, by {self.kind.metric}"
        if self.unlabelled:
            data += f", unlabelled {hashlib.sha256(repr(self.unlabelled).encode()).hexdigest()}"
        models = {name: (one.checkpoint.sha256, one.max_length) for name, one in self.backbones.items()}
        several = hashlib.sha256(repr(models).encode()).hexdigest()
        model = several if len(models) > 1 else next(iter(self.backbones.values())).checkpoint.sha256
        return {
            "task": hashlib.sha256(data.encode()).hexdigest(),
            "model": model,
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
    written = load_space(request.search_space)
    task = sources.load(request.task, offline=request.offline, allow_stand_in=request.stand_in)
    kind = kind_of(task.kind, request.metric or task.metric)
    _require_target(request.target, kind.metric)
    choices = Choices(
        request.seed,
        request.train_size,
        request.text_column,
        request.label_column,
        request.folds,
        request.group_column,
    )
    splits = make_splits(task, kind, choices)
    space = written.for_rows(len(splits.labelled))
    backbones = find_backbones(
        request.model,
        space,
        max_length=request.max_length,
        mask_model=request.mask_model,
        offline=request.offline,
    )
    prepared = Prepared(
        request,
        task,
        kind,
        splits,
        space.over({name: one.depth for name, one in backbones.items()}),
        backbones,
        _unlabelled(request, splits),
        _translators(request, space),
        tuple(
            f"{arm.name} is not tried: it is for {arm.min_rows} labelled rows and more"
            for arm in written.arms
            if arm not in space.arms
        ),
    )
    _require_augmenters(prepared)
    largest = max(one.weights_bytes for one in backbones.values())
    require_room(prepared.output, prepared.study_name, needed_bytes=4 * largest)  # at least
    return prepared


def _unlabelled(request: Request, splits: Splits) -> tuple[str, ...]:
    if request.unlabelled is None:
        return ()
    return read_unlabelled(request.unlabelled, request.text_column, (*splits.labelled.inputs, *splits.test.inputs))


def _translators(request: Request, space: SearchSpace) -> Translators | None:
    if "back_translation" not in space.values("augmentation") or request.translators is None:
        return None
    names = request.translators.split(",")
    if len(names) != 2:
        raise UsageError(
            f"--translators {request.translators!r}: two models are needed, into another language and back, "
            "as THERE,BACK"
        )
    there, back = (checkpoint.resolve(name.strip(), offline=request.offline) for name in names)
    return there, back


def _require_augmenters(prepared: Prepared) -> None:
    """Load the models that the space's augmentations use, and throw them away: a wrong one is told before all else."""
    from automl.data.augment import AUGMENTATIONS, Resources, check

    mask_models = list(dict.fromkeys(one.mask_model for one in prepared.backbones.values()))
    for name in prepared.space.written.values("augmentation"):
        for mask_model in mask_models if name == "masked_words" else [None]:
            resources = Resources(mask_model, prepared.translators)
            if name != "none":
                check(name, resources)
            if name in ("masked_words", "back_translation"):
                AUGMENTATIONS[name].load(resources)


def _require_target(target: float | None, metric: str) -> None:
    least = LOWEST[metric]
    if target is not None and not least < target <= 1:
        raise UsageError(f"--target {target:g}: {metric} is between {least:g} and 1; give a value such as 0.85")


def _require_resources(request: Request) -> None:
    """Refuse more than this machine has: Ray would wait for it for ever. A cluster tells what it has later."""
    if request.address is not None:
        _require_answer(request.address)
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


def _require_answer(address: str) -> None:
    """Refuse an address at which nothing listens: Ray would try again for minutes."""
    if address in RAY_FINDS:
        return
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWER_SECONDS):
            return
    except (OSError, OverflowError, ValueError) as error:
        raise UsageError(
            f"--address {address}: no Ray cluster answers there ({error}); give the HOST:PORT that `ray start --head` "
            "printed, or auto on a machine of the cluster"
        ) from None


def describe_data(prepared: Prepared) -> dict[str, Any]:
    """What the plan, the study and the model card say about the data."""
    names, splits = prepared.splits.label_names, prepared.splits
    parts = {"labelled": splits.labelled, "test": splits.test}
    held_out = int((splits.folds >= 0).sum())
    counts = {name: np.bincount(rows.labels, minlength=len(names)).tolist() for name, rows in parts.items()}
    return {
        "source": prepared.task.source,
        "licence": prepared.task.licence,
        "test_rows": hashlib.sha256(repr(splits.test.inputs).encode(errors="surrogatepass")).hexdigest(),
        "fingerprint": splits.fingerprint,
        "rows": {name: len(rows) for name, rows in parts.items()},
        "folds": splits.n_folds,
        "held_out": held_out,
        "compared": (
            f"{splits.n_folds}-fold cross-validation over all {held_out} labelled rows"
            if splits.n_folds > 1
            else f"{held_out} of the labelled rows, held out from training"
        )
        + _kept_together(splits, prepared.request.group_column),
        "labels": {name: dict(zip(names, count, strict=True)) for name, count in counts.items()},
        "dropped": dict(splits.dropped),
        "imbalance": imbalance(splits.labelled.labels, len(names)).sentence(names),
        "scarce": scarce(
            {
                "labelled" if held_out == len(splits.folds) else "held out": splits.labelled.labels[splits.folds >= 0],
                "test": splits.test.labels,
            },
            names,
        ),
    }


def _kept_together(splits: Splits, column: str | None) -> str:
    if splits.labelled.groups is None:
        return ""
    sizes = np.unique(splits.labelled.groups, return_counts=True)[1]
    together, alone = int((sizes > 1).sum()), int((sizes == 1).sum())
    return f"; rows of one {column!r} stay together: {together} groups, and {alone} rows by themselves"


def versions() -> dict[str, str]:
    """What a result depends on."""
    return {"automl": __version__} | {name: version(name) for name in ("torch", "transformers", "optuna", "ray")}


def _slug(name: str) -> str:
    """A name that is safe as a folder: of a path its last part without suffix."""
    last = Path(name.replace(":", "-")).name
    return re.sub(r"[^A-Za-z0-9._-]+", "-", last.removesuffix(Path(last).suffix)).strip("-.") or "task"
