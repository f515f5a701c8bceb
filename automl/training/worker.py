"""What one worker keeps between trials: pretrained models, loaded once, and what came of them. Knows no Ray."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from itertools import chain, repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import automl
from automl.models import checkpoint, vocabulary
from automl.models.checkpoint import Checkpoint
from automl.params import Params
from automl.records import Report, TrialResult
from automl.tasks.kinds import kind_of
from automl.training.attempts import Training, attempts, retried
from automl.training.averaging import greedy_average
from automl.training.data import StudyData
from automl.training.distillation import answers, targets, teach
from automl.training.keep import read_logits, read_tensors, write_logits, write_tensors
from automl.training.memory import peak_memory
from automl.training.pause_file import identity, pause_path
from automl.training.precision import best_precision, keep_freed_memory
from automl.training.restored import mean_tensors, plain_tensors
from automl.training.techniques import Base, Finished, Trainer

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class BackboneSetup:
    """What a worker needs to know of one encoder: nothing of it fits another."""

    weights: Mapping[str, Checkpoint]  # by what the param `starting_weights` calls them
    data: StudyData  # token ids count within `used_tokens`
    used_tokens: np.ndarray  # [used] int64
    text_start: int = 0  # tokens that the tokenizer puts before a text


@dataclass(frozen=True)
class WorkerSetup:
    """Everything a worker needs to run any trial of a study. Sent once a worker, not once a trial."""

    backbones: Mapping[str, BackboneSetup]  # by the names that orders have for them; the first is loaded at once
    kind: str
    label_names: Sequence[str]
    checkpoints: Path  # folder of the trials' checkpoints and predictions
    threads: int
    device: str
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
        kind = kind_of(setup.kind, setup.metric)
        self._trainers = {model: Trainer(own.data, kind, setup.cache) for model, own in setup.backbones.items()}
        self._precision = setup.precision or best_precision(setup.device)
        self._bases: dict[tuple[str, str], Base] = {}
        self._studies = {model: _study(setup, own) for model, own in setup.backbones.items()}
        self._base(next(iter(setup.backbones)), "pretrained")
        self._free_since = time.time()

    def work(self, order: Mapping[str, Any]) -> Generator[dict[str, Any], None, None]:
        """Do what is ordered; "job" names the method. Yields its reports, and last its end."""
        arguments = {name: value for name, value in order.items() if name != "job"}
        if order["job"] == "trial":
            yield from self.run(**arguments)
        elif order["job"] == "wait":
            yield from self.wait()
        else:
            methods: dict[str, Callable[..., dict[str, Any]]]
            methods = {"answer": self.answer, "teach": self.teach, "average": self.average}
            yield {**methods[order["job"]](**arguments), "worker": os.getpid(), "final": True}

    def wait(self) -> Generator[dict[str, Any], None, None]:
        """Do nothing, until it is closed; each report comes later than the one before."""
        for seconds in chain((0.05, 0.1, 0.2, 0.5), repeat(1.0)):
            time.sleep(seconds)
            self._free_since = time.time()
            yield {}

    def run(
        self,
        number: int,
        model: str,
        params: Mapping[str, Any],
        seed: int,
        fold: int | None = 0,
        resume: int | None = None,
    ) -> Generator[dict[str, Any], None, None]:
        """Train one configuration of a backbone, with one fold held out (None: with none).

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
            self._trainers[model],
            self._base(model, whole.starting_weights),
            whole,
            seed=seed,
            fold=fold,
            precision=self._precision,
            study=self._studies[model],
            pauses=[pause_path(folder, one) for one in (number, resume) if one is not None],
        )
        with closing(training):
            for item in training:
                busy += time.time() - resumed  # training and evaluation alone
                if isinstance(item, Report):
                    facts = asdict(item)
                else:
                    facts = {**_facts(item.result), "final": True, **self._save(f"trial-{number:05d}", model, item)}
                    pause_path(folder, number).unlink(missing_ok=True)  # where it had been stopped before
                cost = {"worker": os.getpid(), "start_seconds": round(start, 4), "busy_seconds": round(busy, 4)}
                self._free_since = time.time()
                yield {**facts, **cost, **peak_memory(self._setup.device)}
                resumed = time.time()

    def answer(self, number: int, model: str, params: Mapping[str, Any], path: str, sha256: str) -> dict[str, Any]:
        """What a trial's model says of every row of the study, written beside its checkpoint.

        Args:
            model, params: of the trial, as `path` and `sha256` are those of its checkpoint.
        """
        tensors, _ = read_tensors(Path(path), sha256)
        whole = Params(**params)
        base = self._base(model, whole.starting_weights)
        logits = answers(self._trainers[model], base, whole, tensors, self._precision)
        file = self._setup.checkpoints / f"answers-{number:05d}.logits"
        return {"answers": str(file), "answers_sha256": write_logits(file, logits)}

    def average(
        self,
        model: str,
        params: Mapping[str, Any],
        judged: Sequence[tuple[str, str]],
        others: Sequence[tuple[str, str]],
        fold: int,
    ) -> dict[str, Any]:
        """The greedy average of models that did not see a fold, and of all others with it; what is known of it.

        Args:
            model, params: of all of them.
            judged: checkpoints of trainings without the fold, and their SHA-256.
            others: those of trainings with it, which its rows cannot judge.
        """
        whole = Params(**params)
        models, further = ([read_tensors(Path(path), hash)[0] for path, hash in files] for files in (judged, others))
        base = self._base(model, whole.starting_weights)
        best = greedy_average(self._trainers[model], base, whole, models, fold=fold, precision=self._precision)
        tensors = mean_tensors([*(models[place] for place in best.kept), *further])
        saved = self._write("average", model, tensors, best.logits)
        return {"kept": len(best.kept), "value": best.value, "loss": best.loss, **saved}

    def teach(
        self,
        name: str,
        model: str,
        params: Mapping[str, Any],
        committee: Sequence[tuple[str, str]],
        seed: int,
        fold: int | None,
        begin: Sequence[tuple[str, str]] = (),
        teachers: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Train a plain model on what a committee says; how it ended, and the checkpoint that was written.

        Args:
            model, params: of the student.
            committee: files that `answer` wrote for each member, and their SHA-256; none: the labels are the lesson.
            fold: what is held out; None for the model that is shipped.
            begin: checkpoints of the models whose mean it begins with, and their SHA-256.
            teachers: params of these.
        """
        whole = Params(**params)
        base = self._base(model, whole.starting_weights)
        members = [read_tensors(Path(path), sha256)[0] for path, sha256 in begin]
        wanted = targets([read_logits(Path(path), sha256) for path, sha256 in committee]) if committee else None
        begun = [plain_tensors(base, Params(**(teachers or params)), tensors) for tensors in members]

        def lesson(precision: str, accumulation: int) -> Training:
            return teach(
                self._trainers[model],
                base,
                whole,
                wanted,
                seed=seed,
                fold=fold,
                precision=precision,
                accumulation=accumulation,
                begin=begun,
            )

        for item in retried(lesson, self._precision, self._setup.device):
            if isinstance(item, Finished):
                end = item
        return {**_facts(end.result), **self._save(f"lesson-{name}", model, end)}

    def _base(self, backbone: str, weights: str) -> Base:
        """Starting weights, loaded when they are first asked for."""
        if (backbone, weights) not in self._bases:
            setup, own = self._setup, self._setup.backbones[backbone]
            found = own.weights[weights]
            model: Any
            model, new = checkpoint.load(found, kind_of(setup.kind).auto_class, setup.label_names)
            vocabulary.trim(model, own.used_tokens)
            self._bases[backbone, weights] = Base(model.to(setup.device), new, found.sha256, own.text_start)
        return self._bases[backbone, weights]

    def _save(self, name: str, model: str, end: Finished) -> dict[str, Any]:
        return self._write(name, model, end.tensors, end.result.logits)

    def _write(self, name: str, model: str, tensors: Mapping[str, torch.Tensor], logits: np.ndarray) -> dict[str, Any]:
        path = self._setup.checkpoints / f"{name}.safetensors"
        said = path.with_suffix(".logits")
        return {
            "predictions": str(said),
            "predictions_sha256": write_logits(said, logits),
            "checkpoint": str(path),
            "checkpoint_sha256": write_tensors(path, tensors, self._setup.backbones[model].used_tokens),
        }


def _study(setup: WorkerSetup, own: BackboneSetup) -> str:
    """Tells all that decides the trainings of an encoder in this study from that of another, but for its weights."""
    import torch
    import transformers

    versions = (automl.__version__, torch.__version__, transformers.__version__)
    alike = (setup.kind, setup.metric, tuple(setup.label_names), setup.device)
    return identity(alike, own.data, own.used_tokens, own.text_start, versions)


def _facts(result: TrialResult) -> dict[str, Any]:
    """What is recorded of it; its logits are saved beside the weights."""
    return {name: value for name, value in vars(result).items() if name != "logits"}
