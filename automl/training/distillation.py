"""One plain model that answers as a committee of trained ones does: what several folds and seeds know, in one folder.

Source: Hinton, Vinyals & Dean (2015), Distilling the Knowledge in a Neural Network; here at temperature 1.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from automl.models.adapters import trained_tensors
from automl.models.shape import settled, shape
from automl.params import Params
from automl.records import Report, TrialResult
from automl.training.contrastive import encode_texts
from automl.training.features import cls_place, select
from automl.training.heads import load_head
from automl.training.loop import predict_logits, train
from automl.training.precision import by_columns, computing_in
from automl.training.techniques import HEAD, Base, Finished, Trainer, fresh_copy

if TYPE_CHECKING:
    import torch

NOT_EXPRESSIBLE = ("features", "contrastive")  # techniques whose head is not the model's own: transformers has no class
STUDENT = Params(
    learning_rate=3e-4,
    layerwise_lr_decay=0.8,
    num_train_epochs=6,
    min_steps=150,
    per_device_train_batch_size=32,
    lr_scheduler_type="cosine",
    weight_decay=0.01,
)


def student_params(params: Params) -> Params:
    """How a committee's student is trained: as its members were, where that gives a plain model."""
    if params.technique == "fine_tuning":
        return params
    kept = ("starting_weights", "augmentation", "augmentation_copies")
    return STUDENT.model_copy(update={name: getattr(params, name) for name in kept})


def answers(
    trainer: Trainer, base: Base, params: Params, tensors: Mapping[str, torch.Tensor], precision: str
) -> np.ndarray:
    """What a trial's model says of every row of the study, altered copies included: logits, [rows, labels].

    Args:
        tensors: what the trial left.
    """
    params, data = settled(params, base.model), trainer.data
    everything = np.arange(len(data.rows))
    own = {name.removeprefix(HEAD): t.numpy() for name, t in tensors.items() if name.startswith(HEAD)}
    if params.technique == "features":
        states = trainer.pooled_states(base, precision)[params.pooling]
        return load_head(own).logits(select(states, params.feature_source))
    model = restored(base, params, tensors)
    with computing_in(model, precision):
        if params.technique != "contrastive":
            return predict_logits(model, data.rows, data.pad_token_id)
        place = cls_place(model, data.rows, data.pad_token_id)
        vectors = encode_texts(model, data.rows, everything, params.pooling, data.pad_token_id, place)
    return load_head(own).logits(vectors)


def targets(committee: Sequence[np.ndarray]) -> np.ndarray:
    """Mean probabilities of the members, [rows, labels] float32, from their logits."""
    exps = [np.exp(logits - logits.max(axis=1, keepdims=True)) for logits in committee]
    mean: np.ndarray = np.stack([exp / exp.sum(axis=1, keepdims=True) for exp in exps]).mean(axis=0).astype(np.float32)
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
) -> Iterator[Report | Finished]:
    """Fine-tune a copy of the base towards probabilities in place of labels. Yields as a trial does.

    Args:
        params: of the student, see `student_params`.
        targets: [rows of the study, labels]; those of held-out rows are not read. None: the labels themselves.
        fold: what is held out, to see how well it works; None for the student that is shipped.
    """
    params = settled(params, base.model)
    model = fresh_copy(base, seed)
    shape(model, params, base.text_start)
    by_columns(model)
    data = trainer.data.fold(fold)
    cached = trainer.states(model, base, params, data, precision)
    for item in train(
        model, params, data, trainer.kind, seed=seed, precision=precision, cached=cached, targets=targets
    ):
        yield Finished(item, trained_tensors(model)) if isinstance(item, TrialResult) else item


def restored(base: Base, params: Params, tensors: Mapping[str, torch.Tensor]) -> Any:
    """A model as its training left it, within the study's vocabulary.

    Args:
        params: settled (`models.shape`).
    """
    import torch

    model = fresh_copy(base, seed=0)
    if params.technique != "contrastive":
        shape(model, params, base.text_start)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name in tensors:
                parameter.copy_(tensors[name])
    return model
