"""One plain model that answers as a committee of trained ones does: what several folds and seeds know, in one folder.

Source: Hinton, Vinyals & Dean (2015), Distilling the Knowledge in a Neural Network; here at temperature 1.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from automl.metrics import softmax
from automl.models.adapters import trained_tensors
from automl.models.shape import settled
from automl.params import Params
from automl.records import Report, TrialResult
from automl.training.contrastive import encode_texts
from automl.training.features import cls_place, select
from automl.training.heads import load_head
from automl.training.loop import predict_logits, train
from automl.training.precision import by_columns, computing_in
from automl.training.restored import FOLDED, mean_tensors, restored
from automl.training.schedules import total_steps
from automl.training.techniques import HEAD, Base, Finished, Trainer

if TYPE_CHECKING:
    import torch

NOT_EXPRESSIBLE = ("features", "contrastive")  # techniques whose head is not the model's own: transformers has no class
BEGUN = ("fine_tuning", "contrastive", "bitfit", *FOLDED)  # techniques whose models' weights a student can begin with
STUDENT = Params(
    learning_rate=3e-4,
    layerwise_lr_decay=0.8,
    num_train_epochs=6,
    min_steps=100,
    per_device_train_batch_size=16,
    lr_scheduler_type="cosine",
    weight_decay=0.01,
)

SMALLER = 3  # times, the steps of a student that begins with its teachers' weights
FURTHER = {"num_train_epochs": 2, "min_steps": 80, "reinitialized_layers": 0}  # likewise


def student_params(params: Params) -> Params:
    """How a committee's student is trained.

    Where it begins with the mean of the members' weights, it has little left to learn: a few epochs of small steps.
    From pretrained weights, it is trained as a plain model is that does well on few rows.
    """
    if params.technique == "fine_tuning":
        return params.model_copy(update={**FURTHER, "learning_rate": params.learning_rate / SMALLER})
    kept = {name: getattr(params, name) for name in ("starting_weights", "augmentation", "augmentation_copies")}
    if params.technique in BEGUN:
        kept |= {"frozen_layers": params.frozen_layers, "learning_rate": STUDENT.learning_rate / SMALLER, **FURTHER}
    return STUDENT.model_copy(update=kept)


def answers(
    trainer: Trainer, base: Base, params: Params, tensors: Mapping[str, torch.Tensor], precision: str
) -> np.ndarray:
    """What a trial's model says of every row of the study, copies and unlabelled ones included: logits, [rows, labels].

    Args:
        tensors: what the trial left.
    """
    params, data = settled(params, base.model), trainer.data
    everything = np.arange(len(data.rows))
    own = {name.removeprefix(HEAD): t.numpy() for name, t in tensors.items() if name.startswith(HEAD)}
    if params.technique == "features":
        parts = [rows for rows in (data.trial_rows, data.unlabelled_rows) if len(rows)]
        states = [trainer.pooled_states(base, precision, rows)[params.pooling] for rows in parts]
        return np.concatenate([load_head(own).logits(select(part, params.feature_source)) for part in states])
    model = restored(base, params, tensors)
    with computing_in(model, precision):
        if params.technique != "contrastive":
            return predict_logits(model, data.rows, data.pad_token_id)
        place = cls_place(model, data.rows, data.pad_token_id)
        vectors = encode_texts(model, data.rows, everything, params.pooling, data.pad_token_id, place)
    return load_head(own).logits(vectors)


def targets(committee: Sequence[np.ndarray]) -> np.ndarray:
    """Mean probabilities of the members, [rows, labels] float32, from their logits."""
    mean: np.ndarray = np.stack([softmax(logits) for logits in committee]).mean(axis=0)
    return mean


def teach(
    trainer: Trainer,
    base: Base,
    params: Params,
    targets: np.ndarray | None,
    *,
    seed: int,
    fold: int | None,
    precision: str,
    accumulation: int = 1,
    begin: Sequence[Mapping[str, torch.Tensor]] = (),
) -> Generator[Report | Finished, None, None]:
    """Fine-tune a copy of the base towards probabilities in place of labels. Yields as a trial does.

    Texts without a label make a lesson richer, not longer: its steps are those of the labelled rows and their copies.
    Seen once, on 200 rows of SST-2 and 3,000 more: two and four times the steps did no better than the same number.

    Args:
        params: of the student, see `student_params`.
        targets: [rows of the study, labels]; those of held-out rows are not read. None: the labels themselves,
            and nothing is learned from rows without one.
        fold: what is held out, to see how well it works; None for the student that is shipped.
        accumulation: parts that each batch is computed in.
        begin: models whose mean it begins with; none: the pretrained weights.
    """
    data = trainer.data.fold(fold)
    steps = total_steps(params, len(data.training_rows(params)))
    params = settled(params.model_copy(update={"max_steps": steps}), base.model)
    data = data if targets is None else trainer.data.lesson(fold)
    model = restored(base, params, mean_tensors(begin) if begin else {}, seed)
    by_columns(model)
    cached = trainer.states(model, base, params, data, precision)
    for item in train(
        model,
        params,
        data,
        trainer.kind,
        seed=seed,
        precision=precision,
        cached=cached,
        targets=targets,
        accumulation=accumulation,
    ):
        yield Finished(item, trained_tensors(model)) if isinstance(item, TrialResult) else item
