"""The train loop: params and tokenised rows in, a report at each evaluation point out. Knows no Ray, no database."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from automl.data.batches import collate, evaluation_batches, on_device, training_batches
from automl.data.imbalance import balanced_epoch, label_weights
from automl.models.first_token import first_token_alone
from automl.models.layers import encoder_layers, evaluating, freeze
from automl.models.replay import Replay
from automl.params import PEFT_TECHNIQUES, Params
from automl.records import Encoded, Report, TrialResult
from automl.tasks.kinds import Kind, LossRecipe
from automl.training.cache import CachedStates, replaying
from automl.training.data import TrainingData
from automl.training.optimizer import Optimizer
from automl.training.pause import Paused, Position, go_on, pause
from automl.training.precision import computing_in
from automl.training.regularisers import Averager, Pair, mixout, mixup_loss, mixup_pair
from automl.training.schedules import factor, total_steps, unfrozen_from
from automl.training.weights import MasterWeights

if TYPE_CHECKING:
    import torch

# Evaluation points, in eighths of a trial's own schedule: trials of any length are compared at the same fraction.
STEPS = 8
EVALUATED_STEPS = (1, 2, 4, 6, 8)


class TrainingDiverged(Exception):
    """The loss is no longer a finite number."""


def train(
    model: Any,
    params: Params,
    data: TrainingData,
    kind: Kind,
    *,
    seed: int,
    precision: str = "float32",
    cached: CachedStates | None = None,
    pretrained: Mapping[str, torch.Tensor] | None = None,
    targets: np.ndarray | None = None,
    accumulation: int = 1,
    paused: Paused | None = None,
    on_stop: Callable[[Paused], None] | None = None,
) -> Generator[Report | TrialResult, None, None]:
    """Fine-tune `model` in place, which ends with the weights of its last step, in float32.

    With early stopping it ends with those of the best step. Without, the last one counts however it did: the maximum
    over evaluations of a few hundred rows is luck for the most part, and weights are best when the schedule has ended.

    Yields a Report at each evaluation point, and last a TrialResult. Whoever closes the generator stops the training.
    Another call can go on with it, and ends as if it had never been stopped, to the last bit.

    Args:
        model: a transformers model in float32 on its device, with its technique already attached (`models.adapters`).
        seed: decides the order of rows and dropout; equal seeds give equal trainings on one machine.
        precision: "bfloat16" computes in it and keeps float32 master weights.
        cached: states of the frozen layers for every row that is used; they then need not run.
        pretrained: values that `mixout` and `pretrained_decay` hold on to, by parameter name.
        targets: probabilities to learn in place of labels, [rows of data, labels] float32.
        accumulation: parts that each batch is computed in, where the whole does not fit into memory.
        paused: state of a training of the same arguments, to go on from; its tensors are then this training's.
        on_stop: is given the state when the generator is closed at an evaluation point.

    Raises:
        Misfit: `paused` is of another training.
        TrainingDiverged: the loss became NaN or infinite.
    """
    import torch

    torch.manual_seed(seed)
    device = str(next(model.parameters()).device)
    rows = data.training_rows(params)
    row_labels = (data.rows.labels if targets is None else targets.argmax(axis=1))[rows]
    labels = torch.from_numpy(data.rows.labels if targets is None else targets).to(device)
    recipe = LossRecipe(params.label_smoothing_factor, params.focal_gamma)
    if params.class_weights != "none":
        weights = label_weights(row_labels, model.config.num_labels, params.class_weights)
        recipe = replace(recipe, label_weights=torch.from_numpy(weights).to(device))
    patience = params.early_stopping_patience if len(data.held_out) else 0
    total = total_steps(params, len(rows))
    evaluate_at = {max(1, math.ceil(total * step / STEPS)): step for step in EVALUATED_STEPS}

    depth = len(encoder_layers(model))
    _hold(model, params, min(params.frozen_layers, depth))  # the optimiser is to know all that will ever train
    optimizer = Optimizer(model, params, pretrained or {})
    averager = Averager(optimizer.weights.flats, params.weight_averaging, params.ema_decay, total)
    mixing = torch.Generator(device).manual_seed(seed)

    batches = _batches(data, rows, row_labels, params, np.random.default_rng(seed))
    loss_sum, since = torch.zeros((), device=device), 0
    unlike = collate(data.rows, rows[np.argsort(data.rows.lengths[rows])[[0, -1]]], data.pad_token_id, device)
    with first_token_alone(model, unlike), computing_in(model, precision), replaying(model, cached) as replay:
        at = go_on(paused, optimizer, averager, mixing) if paused else Position()
        started, resumed_step = time.perf_counter() - at.seconds, at.step
        held = unfrozen_from(max(at.done - 1, 0), total, params, depth)
        _hold(model, params, held)
        for batch in islice(batches, at.done, total):
            if 0 < patience <= at.worse:
                break
            if held != (lowest := unfrozen_from(at.done, total, params, depth)):
                held = lowest
                _hold(model, params, held)
            rng = np.random.default_rng([seed, at.done])  # a step's own, so that there is none to remember
            with mixout(model, pretrained or {}, params.mixout, mixing):
                for part in np.array_split(batch, min(accumulation, len(batch))):
                    seen = np.concatenate([part, part]) if params.r_drop else part
                    features = collate(data.rows, seen, data.pad_token_id, device)  # each [batch, seq]
                    if replay is not None and cached is not None:
                        replay.hidden = cached.batch(seen, device)  # [batch, seq, width]
                    logits = model(**features).logits  # [batch, labels]
                    pair = mixup_pair(len(part), params.mixup_alpha, rng) if params.mixup_alpha else None
                    target = labels[on_device(part, device)]
                    loss = _loss(logits, target, kind, recipe, params.r_drop, pair) * (len(part) / len(batch))
                    loss.backward()
                    loss_sum += loss.detach()  # stays on the device: reading it at every step would stall a GPU
            optimizer.step(factor(at.done, total, params))
            at.done, at.examples, since = at.done + 1, at.examples + len(batch), since + 1
            averager.update(at.done)
            if at.done not in evaluate_at:
                continue

            train_loss = float(loss_sum) / since
            if not math.isfinite(train_loss):
                raise TrainingDiverged(
                    f"the training loss is {train_loss} between batches {at.done - since + 1} and {at.done} of "
                    f"{total}: learning_rate {params.learning_rate:.3g} is too high for this model"
                )
            loss_sum, since = torch.zeros((), device=device), 0
            with _averaged(averager, optimizer.weights):
                logits = predict_logits(model, data.rows, data.pad_token_id, data.held_out, cached, replay)
                value, held_out_loss = data.judge(kind, logits)
                at.step, at.seconds = evaluate_at[at.done], time.perf_counter() - started
                worth = -math.inf if value is None else value
                at.worse = 0 if worth > at.best else at.worse + 1
                if worth >= at.best or not patience:  # on a tie the later step: it has seen more
                    at.best, at.best_step, at.value, at.loss, at.logits = worth, at.step, value, held_out_loss, logits
                    at.weights = optimizer.weights.snapshot() if patience else []
            try:
                yield Report(at.step, STEPS, value, held_out_loss, train_loss, at.examples / at.seconds, resumed_step)
            except GeneratorExit:
                if on_stop is not None:
                    on_stop(pause(at, optimizer, averager, mixing))
                raise

    if patience:
        optimizer.weights.restore(at.weights)
    else:
        averager.apply()
        optimizer.weights.hand_out()
    seconds = time.perf_counter() - started
    yield TrialResult(
        value=at.value,
        loss=at.loss,
        logits=at.logits,
        best_step=at.best_step,
        seconds=seconds,
        train_examples=at.examples,
        examples_per_second=at.examples / seconds,
        precision=precision,
        cached_layers=cached.layers if cached else 0,
        accumulation=accumulation,
        resumed_step=resumed_step,
    )


def predict_logits(
    model: Any,
    data: Encoded,
    pad_token_id: int,
    rows: np.ndarray | None = None,
    cached: CachedStates | None = None,
    replay: Replay | None = None,
) -> np.ndarray:
    """Logits of rows in their order, [rows, labels] float32. `rows` of None are all.

    Args:
        cached: with `replay`, states of the layers that the model then passes over.
    """
    import torch

    rows = np.arange(len(data)) if rows is None else rows
    device = str(next(model.parameters()).device)
    if not len(rows):
        return np.zeros((0, model.config.num_labels), dtype=np.float32)
    order, logits = [], []
    with evaluating(model), torch.inference_mode():
        for batch in evaluation_batches(data.lengths[rows]):
            order.append(batch)
            if replay is not None and cached is not None:
                replay.hidden = cached.batch(rows[batch], device)
            logits.append(model(**collate(data, rows[batch], pad_token_id, device)).logits.float())
    result = torch.cat(logits).cpu().numpy()
    return result[np.argsort(np.concatenate(order))]


def _batches(
    data: TrainingData, rows: np.ndarray, labels: np.ndarray, params: Params, rng: np.random.Generator
) -> Iterator[np.ndarray]:
    """Batches of row numbers, epoch after epoch without end.

    Args:
        labels: of these rows, which balanced sampling goes by.
    """
    lengths = data.rows.lengths[rows]
    while True:
        epoch = balanced_epoch(labels, rng) if params.balanced_sampling else np.arange(len(rows))
        for index in training_batches(lengths[epoch], params.per_device_train_batch_size, rng):
            yield rows[epoch[index]]


@contextmanager
def _averaged(averager: Averager, weights: MasterWeights) -> Iterator[None]:
    """Within the block model and masters have the averaged weights, if weights are averaged."""
    with averager.swapped():
        weights.hand_out()
        yield
    weights.hand_out()


def _hold(model: Any, params: Params, layers: int) -> None:
    """Training mode, but for the embeddings and the first `layers` layers, which are held as they are.

    What a technique attached says itself what is trained; layers below it are only kept from dropping out.
    """
    trained = {parameter for parameter in model.parameters() if parameter.requires_grad}
    freeze(model.train(), layers)
    if params.technique in PEFT_TECHNIQUES:
        for parameter in model.parameters():
            parameter.requires_grad_(parameter in trained)


def _loss(
    logits: torch.Tensor, labels: torch.Tensor, kind: Kind, recipe: LossRecipe, r_drop: float, pair: Pair | None
) -> torch.Tensor:
    """Mean loss of a batch; with `r_drop` logits hold every row twice, [2 * batch, labels].

    Source: Liang et al. (2021), R-Drop: Regularized Dropout for Neural Networks.
    """

    def plain(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return kind.loss(logits, labels, recipe)

    def one(logits: torch.Tensor) -> torch.Tensor:
        return plain(logits, labels) if pair is None else mixup_loss(plain, logits, labels, pair)

    if not r_drop:
        return one(logits)
    first, second = logits.chunk(2)
    return (one(first) + one(second)) / 2 + r_drop * kind.divergence(first, second)
