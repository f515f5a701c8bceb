"""One model in the place of several: the mean of their weights, of those that it gains from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from automl.models.shape import settled
from automl.params import Params
from automl.training.loop import predict_logits
from automl.training.precision import computing_in
from automl.training.restored import mean_tensors, restored
from automl.training.techniques import Base, Trainer

if TYPE_CHECKING:
    import torch

AVERAGEABLE = ("fine_tuning", "bitfit")  # techniques whose weights mean the same in every training


@dataclass(frozen=True)
class Average:
    """The mean of some models, and what it said of the held-out rows, [held-out rows, labels]."""

    kept: tuple[int, ...]  # places of its models among those given
    value: float
    loss: float
    logits: np.ndarray
    tensors: Mapping[str, torch.Tensor]


def greedy_average(
    trainer: Trainer,
    base: Base,
    params: Params,
    models: Sequence[Mapping[str, torch.Tensor]],
    *,
    fold: int,
    precision: str,
) -> Average:
    """Begin with the best model, and take in one after another as long as the mean does not get worse.

    Args:
        models: at least one, trained without the fold from the same starting weights.
        fold: whose rows judge it.

    Source: Wortsman et al. (2022), Model soups: averaging weights of multiple fine-tuned models improves accuracy
    without increasing inference time.
    """

    def judged(*places: int) -> Average:
        return _judged(trainer, base, params, models, places, fold, precision)

    alone = sorted((judged(place) for place in range(len(models))), key=_worth, reverse=True)
    best = alone[0]
    for one in alone[1:]:
        longer = judged(*best.kept, *one.kept)
        best = longer if _worth(longer) >= _worth(best) else best
    return best


def _judged(
    trainer: Trainer,
    base: Base,
    params: Params,
    models: Sequence[Mapping[str, torch.Tensor]],
    places: tuple[int, ...],
    fold: int,
    precision: str,
) -> Average:
    tensors = mean_tensors([models[place] for place in places])
    data = trainer.data.fold(fold)
    model = restored(base, settled(params, base.model), tensors)
    with computing_in(model, precision):
        logits = predict_logits(model, data.rows, data.pad_token_id, data.held_out)
    value, loss = data.judge(trainer.kind, logits)
    return Average(places, value or 0.0, loss or 0.0, logits, tensors)


def _worth(one: Average) -> tuple[float, float]:
    return one.value, -one.loss
