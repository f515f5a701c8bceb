"""Teach a plain fine-tuned model to answer like a winner that the classes of transformers cannot express.

Source: Hinton, Vinyals & Dean (2015), Distilling the Knowledge in a Neural Network; here at temperature 1.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from automl.models.adapters import trained_tensors
from automl.params import Params
from automl.records import Report, TrialResult
from automl.training.contrastive import encode_texts
from automl.training.features import cls_place, select
from automl.training.heads import load_head
from automl.training.loop import train
from automl.training.precision import by_columns
from automl.training.techniques import HEAD, Base, Finished, Trainer, fresh_copy

if TYPE_CHECKING:
    import torch

NOT_EXPRESSIBLE = ("features", "contrastive")  # techniques whose head is not the model's own
STUDENT = Params(
    learning_rate=3e-4, layerwise_lr_decay=0.8, num_train_epochs=8, lr_scheduler_type="cosine", weight_decay=0.01
)


def distil(
    trainer: Trainer, base: Base, params: Params, tensors: Mapping[str, torch.Tensor], *, seed: int, precision: str
) -> Iterator[Report | Finished]:
    """Fine-tune a copy of the base on what the trial's model says of its training rows and their altered copies.

    Yields as a trial does; the model's params are `STUDENT`. The value is that of the student on the validation rows.

    Args:
        params: of the trial, with a technique of `NOT_EXPRESSIBLE`.
        tensors: what the trial left.
    """
    model = fresh_copy(base, seed)
    if params.technique == "contrastive":  # the student starts from the encoder that its teacher has
        _load(model, tensors)
    logits = _teacher_logits(trainer, base, model, params, tensors, precision)
    exp = np.exp(logits - logits.max(axis=1, keepdims=True))
    copies = {"augmentation": params.augmentation, "augmentation_copies": params.augmentation_copies}
    by_columns(model)
    student = STUDENT.model_copy(update=copies)
    for item in train(
        model,
        student,
        trainer.data,
        trainer.kind,
        seed=seed,
        precision=precision,
        targets=(exp / exp.sum(axis=1, keepdims=True)).astype(np.float32),
    ):
        if isinstance(item, TrialResult):
            yield Finished(item, trained_tensors(model))
        else:
            yield item


def _teacher_logits(
    trainer: Trainer, base: Base, model: Any, params: Params, tensors: Mapping[str, torch.Tensor], precision: str
) -> np.ndarray:
    """What the teacher says of every row of the study, [rows, labels]."""
    head = load_head({name.removeprefix(HEAD): t.numpy() for name, t in tensors.items() if name.startswith(HEAD)})
    data = trainer.data
    if params.technique == "features":
        return head.logits(select(trainer.pooled_states(base, precision)[params.pooling], params.feature_source))
    place = cls_place(model, data.rows, data.pad_token_id)
    everything = np.arange(len(data.rows))
    return head.logits(encode_texts(model, data.rows, everything, params.pooling, data.pad_token_id, place))


def _load(model: Any, tensors: Mapping[str, torch.Tensor]) -> None:
    import torch

    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name in tensors:
                parameter.copy_(tensors[name])
