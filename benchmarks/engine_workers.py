"""The engine's own workers, as the product runs them: one one-thread process a core."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from automl.data.batches import concatenate
from automl.data.folds import ALWAYS_TRAINED
from automl.models import vocabulary
from automl.records import Encoded
from automl.training.data import StudyData
from automl.training.worker import BackboneSetup, TrialWorker, WorkerSetup
from benchmarks.engine_crew import crew
from benchmarks.engine_setup import KIND, Task

BACKBONE = "encoder"  # the only one


@dataclass(frozen=True)
class TrialOrder:
    """One trial for a worker. Numbers of trials that run at once differ: they name the checkpoints' files."""

    number: int
    params: Mapping[str, Any]
    seed: int = 0


@contextlib.contextmanager
def fresh_workers(
    task: Task, train: Encoded, validation: Encoded, *, plain: bool = False
) -> Iterator[Callable[[Iterable[TrialOrder]], Iterator[dict[str, Any]]]]:
    """New workers with empty caches; a trial's answer is its last report. See `worker_setup`."""
    with tempfile.TemporaryDirectory(prefix="automl-engine-") as folder:
        setup = worker_setup(task, train, validation, Path(folder), plain=plain)
        with crew(trial_runner, setup, task.scale.processes, setup.threads) as run:
            yield run


def worker_setup(task: Task, train: Encoded, validation: Encoded, folder: Path, *, plain: bool = False) -> WorkerSetup:
    """The setup of a one-thread worker on a core.

    Args:
        folder: of the trials' checkpoints and of what the workers share.
        plain: float32, all of the vocabulary, nothing cached.
    """
    from transformers import AutoConfig

    rows = concatenate([train, validation])
    if plain:
        used = np.arange(AutoConfig.from_pretrained(task.model.folder).vocab_size)
    else:
        used = vocabulary.used_tokens([rows], task.tokenizer.pad_token_id)
    return WorkerSetup(
        backbones={
            BACKBONE: BackboneSetup(
                weights={"pretrained": replace(task.model, folder=task.model.folder.resolve())},
                data=StudyData(
                    rows=vocabulary.renumber(rows, used),
                    folds=np.where(np.arange(len(rows)) < len(train), ALWAYS_TRAINED, 0),
                    pad_token_id=int(np.searchsorted(used, task.tokenizer.pad_token_id)),
                ),
                used_tokens=used,
            )
        },
        kind=KIND,
        label_names=task.splits.label_names,
        checkpoints=folder,
        threads=1,
        device="cpu",
        cache=None if plain else folder,
        precision="float32" if plain else None,
    )


def trial_runner(setup: WorkerSetup) -> Callable[[TrialOrder], dict[str, Any]]:
    """A worker as the product has it; an order's answer is the trial's last report, with its number."""
    worker = TrialWorker(setup)

    def run(order: TrialOrder) -> dict[str, Any]:
        *_, final = worker.run(order.number, BACKBONE, order.params, order.seed)
        return {**final, "number": order.number}

    return run
