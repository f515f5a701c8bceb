"""Contrastive fine-tuning for few rows: texts of one label are drawn together, then a linear head is fitted."""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Iterator, Mapping
from itertools import chain, count, islice
from typing import TYPE_CHECKING, Any

import numpy as np

from automl.data.batches import collate, evaluation_batches
from automl.data.imbalance import balanced_epoch, label_weights
from automl.models.layers import encoder_layers, evaluating, freeze
from automl.params import Params
from automl.records import Encoded, Report, TrialResult
from automl.tasks.kinds import Kind
from automl.training.data import TrainingData
from automl.training.features import Pooling, cls_place, pool
from automl.training.heads import Head, fit_head
from automl.training.loop import STEPS, TrainingDiverged
from automl.training.optimizer import Optimizer
from automl.training.pairs import pair_batches, pair_loss
from automl.training.precision import computing_in
from automl.training.schedules import factor

if TYPE_CHECKING:
    import torch

EVALUATED_STEPS = (2, 4, 8)  # at each of them every text is encoded and a head fitted: fewer than in fine-tuning


def train_contrastive(
    model: Any,
    params: Params,
    data: TrainingData,
    kind: Kind,
    *,
    seed: int,
    precision: str = "float32",
    pretrained: Mapping[str, torch.Tensor] | None = None,
) -> Generator[Report | TrialResult, None, Head]:
    """Fine-tune the encoder of `model` in place on pairs; in float32 before and after.

    Yields a Report at each evaluation point, and last a TrialResult. Returns the linear head, which
    reads the last layer pooled by `params.pooling` (`yield from` gets it). The model's own head has no part in this.

    Args:
        model: a transformers model in float32 with freshly loaded weights, on its device.
        seed: decides the batches and dropout; equal seeds give equal trainings on one machine.
        precision: "bfloat16" computes in it and keeps float32 master weights.
        pretrained: values that `pretrained_decay` holds on to, by parameter name.

    Raises:
        TrainingDiverged: the loss, or what the encoder puts out, is no longer finite.

    Source: Tunstall et al. (2022), Efficient Few-Shot Learning Without Prompts (SetFit); here all pairs of a batch.
    """
    place = cls_place(model, data.rows, data.pad_token_id)
    freeze(model.train(), min(params.frozen_layers, len(encoder_layers(model)) - 1))  # or nothing would train
    _hold_what_has_no_part(model, params, data, place)
    optimizer = Optimizer(model, params, pretrained or {})
    started = time.perf_counter()
    with computing_in(model, precision):
        for step, train_loss, examples in _fine_tune(model, params, data, place, seed, optimizer):
            head, logits = _fitted(model, params, data, place, seed)
            value, loss = data.judge(kind, logits)
            yield Report(step, STEPS, value, loss, train_loss, examples / (time.perf_counter() - started))
    optimizer.weights.hand_out()
    seconds = time.perf_counter() - started
    yield TrialResult(value, loss, logits, step, seconds, examples, examples / seconds, precision)
    return head


def encode_texts(
    model: Any, data: Encoded, rows: np.ndarray, pooling: Pooling, pad_token_id: int, place: int
) -> np.ndarray:
    """The model's last layer, pooled, in eval mode: [rows, width] float32.

    Args:
        rows: row numbers of `data`; the result is in their order.
        place: what `cls_place` found.
    """
    import torch

    device = str(next(model.parameters()).device)
    found, vectors = [], []
    with evaluating(model), torch.inference_mode():
        for batch in evaluation_batches(data.lengths[rows]):
            inputs = collate(data, rows[batch], pad_token_id, device)
            hidden = model.base_model(**inputs).last_hidden_state  # [batch, seq, width]
            vectors.append(pool(hidden, inputs["attention_mask"], pooling, place))
            found.append(batch)
    return np.asarray(torch.cat(vectors).cpu().numpy()[np.argsort(np.concatenate(found))])


def _hold_what_has_no_part(model: Any, params: Params, data: TrainingData, place: int) -> None:
    """No gradient for the model's own head, its pooler and all else that a text's vector is not computed from."""
    _vectors(model, params, data, data.train[:2], place).sum().backward()
    for parameter in model.parameters():
        parameter.requires_grad_(parameter.grad is not None)
        parameter.grad = None


def _vectors(model: Any, params: Params, data: TrainingData, rows: np.ndarray, place: int) -> torch.Tensor:
    """The last layer of these rows, pooled: [rows, width], with gradients."""
    inputs = collate(data.rows, rows, data.pad_token_id, str(next(model.parameters()).device))
    hidden = model.base_model(**inputs).last_hidden_state  # [rows, seq, width]
    return pool(hidden, inputs["attention_mask"], params.pooling, place)


def _fine_tune(
    model: Any, params: Params, data: TrainingData, place: int, seed: int, optimizer: Optimizer
) -> Iterator[tuple[int, float, int]]:
    """Train up to the next evaluation point: its step, the mean loss since the last one, and examples so far."""
    import torch

    torch.manual_seed(seed)
    labels = torch.tensor(data.rows.labels, device=next(model.parameters()).device)
    batches, total = _batches(params, data, np.random.default_rng(seed))
    evaluate_at = {max(1, math.ceil(total * step / STEPS)): step for step in EVALUATED_STEPS}
    examples, losses = 0, []
    for done, batch in enumerate(batches):
        vectors = _vectors(model, params, data, batch, place)  # [batch, width]
        loss = pair_loss(vectors, labels[torch.from_numpy(batch).to(labels.device)])
        loss.backward()
        optimizer.step(factor(done, total, params))
        examples += len(batch)
        losses.append(loss.detach())  # stays on the device: reading it at every step would stall a GPU
        if done + 1 in evaluate_at:
            train_loss = float(torch.stack(losses).mean())
            if not math.isfinite(train_loss):
                where = f"between batches {done + 2 - len(losses)} and {done + 1} of {total}"
                raise TrainingDiverged(_diverged(f"the contrastive loss is {train_loss} {where}", params))
            losses = []
            yield evaluate_at[done + 1], train_loss, examples


def _batches(params: Params, data: TrainingData, rng: np.random.Generator) -> tuple[Iterator[np.ndarray], int]:
    """The batches of the whole training, as row numbers of the data, and how many there are."""
    rows = data.training_rows(params)
    labels = data.rows.labels[rows]

    def epoch() -> list[np.ndarray]:
        order = balanced_epoch(labels, rng) if params.balanced_sampling else rng.permutation(len(rows))
        batches = pair_batches(labels, order, params.per_device_train_batch_size, params.contrastive_pairs, rng)
        return [rows[batch] for batch in batches]

    first = epoch()
    total = params.max_steps or max(len(first) * params.num_train_epochs, params.min_steps)
    later = chain.from_iterable(epoch() for _ in count())
    return islice(chain(first, later), total), total


def _fitted(model: Any, params: Params, data: TrainingData, place: int, seed: int) -> tuple[Head, np.ndarray]:
    """A linear head on the texts as the encoder sees them now, and its logits of the held-out rows, [rows, labels]."""
    rows = data.training_rows(params)
    labels, n_labels = data.rows.labels[rows], model.config.num_labels
    both = np.concatenate([rows, data.held_out])
    vectors = encode_texts(model, data.rows, both, params.pooling, data.pad_token_id, place)
    if not np.isfinite(vectors).all():
        raise TrainingDiverged(_diverged("the encoder puts out numbers that are not finite", params))
    weights = label_weights(labels, n_labels, params.class_weights)[labels]
    linear = params.model_copy(update={"feature_head": "logistic_regression"})
    head = fit_head(vectors[: len(rows)], labels, n_labels, linear, seed, weights)
    return head, head.logits(vectors[len(rows) :])


def _diverged(what: str, params: Params) -> str:
    return f"{what}: learning_rate {params.learning_rate:.3g} is too high for this model"
