"""What one worker keeps between trials: pretrained models, loaded once, and what came of them. Knows no Ray."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

import automl
from automl.models import checkpoint, vocabulary
from automl.models.checkpoint import Checkpoint
from automl.params import Params
from automl.records import Report, TrialResult
from automl.tasks.kinds import kind_of
from automl.training.attempts import attempts
from automl.training.data import StudyData
from automl.training.distillation import answers, targets, teach
from automl.training.keep import read_logits, read_tensors, write_logits, write_tensors
from automl.training.pause_file import identity, pause_path
from automl.training.precision import best_precision, keep_freed_memory
from automl.training.techniques import Base, Finished, Trainer


@dataclass(frozen=True)
class WorkerSetup:
    """Everything a worker needs to run any trial of a study. Sent once a worker, not once a trial."""

    weights: Mapping[str, Checkpoint]  # by what the param `starting_weights` calls them
    kind: str
    label_names: Sequence[str]
    data: StudyData  # token ids count within `used_tokens`
    used_tokens: np.ndarray  # [used] int64
    checkpoints: Path  # folder of the trials' checkpoints and predictions
    threads: int
    device: str
    text_start: int = 0  # tokens that the tokenizer puts before a text
    cache: Path | None = None  # folder of what the workers of a machine share; None: each computes all of it
    metric: str | None = None  # that trials are compared by; None: the kind's own
    precision: str | None = None  # None: what the device is best at


class TrialWorker:
    """Runs one trial after another."""

    def __init__(self, setup: WorkerSetup) -> None:
        import torch
        from threadpoolctl import threadpool_limits

        torch.set_num_threads(setup.threads)
        threadpool_limits(setup.threads)  # of numpy and scikit-learn, which torch does not ask
        keep_freed_memory()
        self._setup = setup
        self._trainer = Trainer(setup.data, kind_of(setup.kind, setup.metric), setup.cache)
        self._precision = setup.precision or best_precision(setup.device)
        self._bases: dict[str, Base] = {}
        self._study = _study(setup)
        self._base("pretrained")
        self._free_since = time.time()

    def work(self, order: Mapping[str, Any]) -> Generator[dict[str, Any], None, None]:
        """Do what is ordered; "job" names the method. Yields its reports, and last its end."""
        arguments = {name: value for name, value in order.items() if name != "job"}
        if order["job"] == "trial":
            yield from self.run(**arguments)
        elif order["job"] == "answer":
            yield {**self.answer(**arguments), "final": True}
        else:
            yield {**self.teach(**arguments), "final": True}

    def run(
        self, number: int, params: Mapping[str, Any], seed: int, fold: int | None = 0, resume: int | None = None
    ) -> Generator[dict[str, Any], None, None]:
        """Train one configuration, with one fold held out (None: with none).

        Closed before its end it leaves its state in a file. A trial goes on from its own, or from that of the trial
        `resume`, if one is there and is of the very same training; the end is the same, `resumed_step` says so.

        Yields a dict with step, steps, value and cost for each evaluation point, and last one with `"final": True`,
        the best value and the checkpoint that was written. A loss that is no number is tried once more in float32, a
        batch that does not fit into memory once more in two halves; `precision` and `accumulation` say so.
        """
        resumed, busy = time.time(), 0.0
        start = resumed - self._free_since
        whole, folder = Params(**params), self._setup.checkpoints
        training = attempts(
            self._trainer,
            self._base(whole.starting_weights),
            whole,
            seed=seed,
            fold=fold,
            precision=self._precision,
            study=self._study,
            pauses=[pause_path(folder, one) for one in (number, resume) if one is not None],
        )
        with closing(training):
            for item in training:
                busy += time.time() - resumed  # training and evaluation alone
                if isinstance(item, Report):
                    facts = asdict(item)
                else:
                    facts = {**_facts(item.result), "final": True, **self._save(f"trial-{number:05d}", item)}
                    pause_path(folder, number).unlink(missing_ok=True)  # where it had been stopped before
                cost = {"worker": os.getpid(), "start_seconds": round(start, 4), "busy_seconds": round(busy, 4)}
                self._free_since = time.time()
                yield {**facts, **cost, **self._memory()}
                resumed = time.time()

    def answer(self, number: int, params: Mapping[str, Any], path: str, sha256: str) -> dict[str, Any]:
        """What a trial's model says of every row of the study, written beside its checkpoint.

        Args:
            params: of the trial, as `path` and `sha256` are those of its checkpoint.
        """
        tensors, _ = read_tensors(Path(path), sha256)
        whole = Params(**params)
        logits = answers(self._trainer, self._base(whole.starting_weights), whole, tensors, self._precision)
        file = self._setup.checkpoints / f"answers-{number:05d}.logits"
        return {"answers": str(file), "answers_sha256": write_logits(file, logits)}

    def teach(
        self, name: str, params: Mapping[str, Any], committee: Sequence[tuple[str, str]], seed: int, fold: int | None
    ) -> dict[str, Any]:
        """Train a plain model on what a committee says; how it ended, and the checkpoint that was written.

        Args:
            params: of the student.
            committee: files that `answer` wrote for each member, and their SHA-256.
            fold: what is held out; None for the model that is shipped.
        """
        whole = Params(**params)
        wanted = targets([read_logits(Path(path), sha256) for path, sha256 in committee])
        lesson = teach(
            self._trainer,
            self._base(whole.starting_weights),
            whole,
            wanted,
            seed=seed,
            fold=fold,
            precision=self._precision,
        )
        for item in lesson:
            if isinstance(item, Finished):
                end = item
        return {**_facts(end.result), **self._save(f"lesson-{name}", end)}

    def _base(self, name: str) -> Base:
        """Starting weights, loaded when they are first asked for."""
        if name not in self._bases:
            setup = self._setup
            found = setup.weights[name]
            model: Any
            model, new = checkpoint.load(found, kind_of(setup.kind).auto_class, setup.label_names)
            vocabulary.trim(model, setup.used_tokens)
            self._bases[name] = Base(model.to(setup.device), new, found.sha256, setup.text_start)
        return self._bases[name]

    def _save(self, name: str, end: Finished) -> dict[str, Any]:
        path = self._setup.checkpoints / f"{name}.safetensors"
        logits = path.with_suffix(".logits")
        return {
            "predictions": str(logits),
            "predictions_sha256": write_logits(logits, end.result.logits),
            "checkpoint": str(path),
            "checkpoint_sha256": write_tensors(path, end.tensors, self._setup.used_tokens),
        }

    def _memory(self) -> dict[str, int]:
        """Peak memory so far, in MB: of this process, and of its part of the GPU where it has one."""
        import torch

        own = {"peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024}
        if self._setup.device.startswith("cuda"):
            own["peak_gpu_memory_mb"] = torch.cuda.max_memory_allocated() // 2**20
        return own


def _study(setup: WorkerSetup) -> str:
    """Tells all that decides the trainings of a study from that of another."""
    import torch
    import transformers

    elsewhere = ("weights", "precision", "threads", "checkpoints", "cache")  # each training's own, or decides nothing
    versions = (automl.__version__, torch.__version__, transformers.__version__)
    return identity({name: value for name, value in vars(setup).items() if name not in elsewhere}, versions)


def _facts(result: TrialResult) -> dict[str, Any]:
    """What is recorded of it; its logits are saved beside the weights."""
    return {name: value for name, value in vars(result).items() if name != "logits"}
