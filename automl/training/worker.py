"""What one worker keeps between trials: the model with its pretrained weights, loaded once. Knows no Ray."""

from __future__ import annotations

import hashlib
import os
import resource
import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from automl.models import checkpoint, vocabulary
from automl.params import Params
from automl.records import Report
from automl.tasks.kinds import kind_of
from automl.training.loop import TrainingData, train
from automl.training.precision import best_precision

USED_TOKENS = "automl.used_tokens"  # in a trial's checkpoint: which rows of the embedding table its rows are


@dataclass(frozen=True)
class WorkerSetup:
    """Everything a worker needs to run any trial of a study. Sent once a worker, not once a trial."""

    checkpoint: checkpoint.Checkpoint
    kind: str
    label_names: Sequence[str]
    data: TrainingData  # token ids count within `used_tokens`
    used_tokens: np.ndarray  # [used] int64
    checkpoints: Path  # folder of the trials' checkpoints
    threads: int
    device: str


class TrialWorker:
    """Runs one trial after another on one model."""

    def __init__(self, setup: WorkerSetup) -> None:
        import torch

        torch.set_num_threads(setup.threads)
        self._setup = setup
        self._kind = kind_of(setup.kind)
        self._precision = best_precision(setup.device)
        self._model: Any
        self._model, new = checkpoint.load(setup.checkpoint, self._kind.auto_class, setup.label_names)
        vocabulary.trim(self._model, setup.used_tokens)
        self._model.to(setup.device)
        # Modules with a parameter that the pretrained checkpoint lacks (the head): each trial draws them anew.
        self._new = [self._model.get_submodule(name) for name in sorted({name.rpartition(".")[0] for name in new})]
        self._pretrained = {name: value.detach().clone() for name, value in self._model.state_dict().items()}
        self._free_since = time.time()

    def run(self, number: int, params: Mapping[str, Any], seed: int) -> Generator[dict[str, Any], None, None]:
        """Train one configuration.

        Yields a dict with step, steps, value and cost for each evaluation point, and last one with `"final": True`,
        the best value and the checkpoint that was written.
        """
        import torch

        torch.manual_seed(seed)
        self._model.load_state_dict(self._pretrained)
        for module in self._new:
            self._model._init_weights(module)
        reports = train(
            self._model,
            Params(**params),
            self._setup.data,
            self._kind,
            seed=seed,
            precision=self._precision,
            device=self._setup.device,
        )
        resumed, busy = time.time(), 0.0
        start = resumed - self._free_since
        for item in reports:
            busy += time.time() - resumed  # training and evaluation alone
            saved = {} if isinstance(item, Report) else {**self._save(number), "final": True}
            cost = {"worker": os.getpid(), "start_seconds": round(start, 4), "busy_seconds": round(busy, 4)}
            self._free_since = time.time()
            yield {**asdict(item), **cost, "peak_memory_mb": _peak_memory_mb(), **saved}
            resumed = time.time()

    def _save(self, number: int) -> dict[str, Any]:
        """Write what was trained, whole or not at all; its path and hash."""
        import torch
        from safetensors.torch import save

        tensors = {
            name: parameter.detach().contiguous().cpu()
            for name, parameter in self._model.named_parameters()
            if parameter.requires_grad
        }
        tensors[USED_TOKENS] = torch.from_numpy(self._setup.used_tokens)
        content = save(tensors)
        path = self._setup.checkpoints / f"trial-{number:05d}.safetensors"
        part = path.with_suffix(".part")
        part.write_bytes(content)
        part.replace(path)
        return {"checkpoint": str(path), "checkpoint_sha256": hashlib.sha256(content).hexdigest()}


def _peak_memory_mb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
