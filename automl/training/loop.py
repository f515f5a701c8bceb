"""The train loop: params and tokenised rows in, a report at each evaluation point out. Knows no Ray, no database."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from automl.data.batches import collate, evaluation_batches, training_batches
from automl.metrics import METRICS
from automl.models.layers import freeze
from automl.params import Params
from automl.records import Encoded, Report, TrialResult
from automl.tasks.kinds import Kind

if TYPE_CHECKING:
    import torch

# Evaluation points, in eighths of a trial's own schedule: trials of any length are compared at the same fraction.
STEPS = 8
EVALUATED_STEPS = (1, 2, 4, 6, 8)
MAX_GRAD_NORM = 1.0


class TrainingDiverged(Exception):
    """The loss is no longer a finite number."""


@dataclass(frozen=True)
class TrainingData:
    """What a trial trains and is compared on. `train` has one entry for each augmentation that the space can choose."""

    train: Mapping[str, Encoded]
    validation: Encoded
    pad_token_id: int


def train(
    model: Any,
    params: Params,
    data: TrainingData,
    kind: Kind,
    *,
    seed: int,
    precision: str = "float32",
    device: str = "cpu",
) -> Iterator[Report | TrialResult]:
    """Fine-tune `model` in place, which ends with the weights of its best step.

    Yields a Report at each evaluation point, and last a TrialResult. Whoever stops iterating stops the training.

    Args:
        model: a transformers model with freshly loaded weights, on `device`.
        seed: decides the order of rows and dropout; equal seeds give equal trainings on one machine.
        precision: "bfloat16" computes in it and keeps float32 master weights.

    Raises:
        TrainingDiverged: the loss became NaN or infinite.
    """
    import torch

    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    rows = data.train[params.augmentation]
    lengths = rows.lengths
    labels = torch.from_numpy(rows.labels).to(device)
    batches_per_epoch = math.ceil(len(rows) / params.per_device_train_batch_size)
    total = batches_per_epoch * params.num_train_epochs
    evaluate_at = {max(1, math.ceil(total * step / STEPS)): step for step in EVALUATED_STEPS}

    model.train()
    freeze(model, params.frozen_layers)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = _optimizer(model, params)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda done: _linear(done, total, params.warmup_ratio))

    best_value, best_step, best_weights = -math.inf, 0, {}
    started, done, examples, loss_sum, since = time.perf_counter(), 0, 0, torch.zeros((), device=device), 0
    for _ in range(params.num_train_epochs):
        for batch in training_batches(lengths, params.per_device_train_batch_size, rng):
            features = collate(rows, batch, data.pad_token_id, device)  # each [batch, seq]
            with _compute_in(precision, device):
                logits = model(**features).logits  # [batch, labels]
            loss = kind.loss(logits, labels[torch.from_numpy(batch).to(device)])
            loss.backward()
            torch.nn.utils.clip_grad_norm_(trained, MAX_GRAD_NORM)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad(set_to_none=True)
            done, examples, since = done + 1, examples + len(batch), since + 1
            loss_sum += loss.detach()  # stays on the device: reading it at every step would stall a GPU
            if done not in evaluate_at:
                continue

            train_loss = float(loss_sum) / since
            if not math.isfinite(train_loss):
                raise TrainingDiverged(
                    f"the training loss is {train_loss} between batches {done - since + 1} and {done} of {total}: "
                    f"learning_rate {params.learning_rate:.3g} is too high for this model"
                )
            loss_sum, since = torch.zeros((), device=device), 0
            predictions = kind.predict(predict_logits(model, data.validation, data.pad_token_id, precision, device))
            value = METRICS[kind.metric](data.validation.labels, predictions)
            freeze(model.train(), params.frozen_layers)
            if value >= best_value:  # on a tie the later step: it has seen more
                best_value, best_step = value, evaluate_at[done]
                best_weights = {
                    name: parameter.detach().clone()
                    for name, parameter in model.named_parameters()
                    if parameter.requires_grad
                }
            speed = examples / (time.perf_counter() - started)
            yield Report(evaluate_at[done], STEPS, value, train_loss, speed)

    model.load_state_dict(best_weights, strict=False)
    seconds = time.perf_counter() - started
    yield TrialResult(best_value, best_step, seconds, examples, examples / seconds, precision)


def predict_logits(
    model: Any, data: Encoded, pad_token_id: int, precision: str = "float32", device: str = "cpu"
) -> np.ndarray:
    """Logits of every row in the order of `data`, [rows, labels] float32."""
    import torch

    model.eval()
    rows, logits = [], []
    with torch.inference_mode(), _compute_in(precision, device):
        for batch in evaluation_batches(data.lengths):
            rows.append(batch)
            logits.append(model(**collate(data, batch, pad_token_id, device)).logits.float())
    result = torch.cat(logits).cpu().numpy()
    return result[np.argsort(np.concatenate(rows))]


def _optimizer(model: Any, params: Params) -> torch.optim.Optimizer:
    """AdamW with bias correction; matrices of the layers decay, biases, norms and embeddings do not."""
    import torch

    embeddings = model.get_input_embeddings().weight
    decayed: list[torch.nn.Parameter] = []
    free: list[torch.nn.Parameter] = []
    for parameter in model.parameters():
        if parameter.requires_grad:
            (decayed if parameter.ndim > 1 and parameter is not embeddings else free).append(parameter)
    groups = [{"params": decayed, "weight_decay": params.weight_decay}, {"params": free, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=params.learning_rate, fused=True)


def _linear(done: int, total: int, warmup_ratio: float) -> float:
    """Factor of the peak learning rate: up from 0 within the warm-up, then down to 0 at the end."""
    warmup = warmup_ratio * total
    return (done + 1) / (warmup + 1) if done < warmup else (total - done) / max(1.0, total - warmup)


def _compute_in(precision: str, device: str) -> AbstractContextManager[Any]:
    import torch

    return torch.autocast(device.partition(":")[0], dtype=torch.bfloat16, enabled=precision == "bfloat16")
