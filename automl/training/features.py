"""What the frozen encoder says of each text: hidden states pooled to one vector a layer, and the layers a head sees."""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from automl.data.batches import collate, evaluation_batches
from automl.data.imbalance import label_weights
from automl.models.layers import evaluating
from automl.params import Params
from automl.records import Encoded, Report, TrialResult
from automl.tasks.kinds import Kind
from automl.training.data import TrainingData
from automl.training.heads import Head, fit_head

if TYPE_CHECKING:
    import torch

Pooling = Literal["cls", "mean", "max"]
POOLINGS: tuple[Pooling, ...] = ("cls", "mean", "max")
STEP = 8  # a head's fit is one step, the last of eight: it is compared with what others are worth at their ends


def train_features(
    states: Mapping[str, np.ndarray], params: Params, data: TrainingData, kind: Kind, *, seed: int, n_labels: int
) -> Generator[Report | TrialResult, None, Head]:
    """Fit a head on the frozen encoder's states: a Report, then a TrialResult. Returns the head (`yield from` gets it).

    Args:
        states: for each pooling [rows of data, layers + 1, width], as `pooled_states` gives for all rows.
        seed: of the mlp head.
    """
    import torch

    started = time.perf_counter()
    train = data.training_rows(params)
    features = select(states[params.pooling], params.feature_source)
    fitted_on, labels = features[train], data.rows.labels[train]
    weights = label_weights(labels, n_labels, params.class_weights)[labels]
    head = fit_head(fitted_on, labels, n_labels, params, seed, weights)
    logits = head.logits(features[data.held_out])
    value, loss = data.judge(kind, logits)
    train_loss = float(kind.loss(torch.from_numpy(head.logits(fitted_on)), torch.from_numpy(labels)))
    seconds = time.perf_counter() - started
    yield Report(STEP, STEP, value, loss, train_loss, len(train) / seconds)
    yield TrialResult(value, loss, logits, STEP, seconds, len(train), len(train) / seconds, "float32")
    return head


def pooled_states(model: Any, data: Encoded, rows: np.ndarray, pad_token_id: int) -> dict[str, np.ndarray]:
    """Run the encoder once over the rows; for each pooling, [rows, layers + 1, width] float32, embeddings first.

    Args:
        model: a transformers model with a head, on its device; the head is not run, dropout is off.
        rows: row numbers of `data`; the result is in their order.
    """
    import torch

    device = str(next(model.parameters()).device)
    place = cls_place(model, data, pad_token_id)
    lengths = data.lengths[rows]
    states: dict[str, np.ndarray] = {}
    with evaluating(model), torch.inference_mode():
        for batch in evaluation_batches(lengths):
            inputs = collate(data, rows[batch], pad_token_id, device)
            hidden = model.base_model(**inputs, output_hidden_states=True).hidden_states  # each [batch, seq, width]
            for pooling in POOLINGS:
                pooled = torch.stack([pool(layer, inputs["attention_mask"], pooling, place) for layer in hidden], 1)
                if pooling not in states:
                    states[pooling] = np.empty((len(rows), *pooled.shape[1:]), np.float32)
                states[pooling][batch] = pooled.cpu().numpy()
    return states


def pool(hidden: torch.Tensor, attention_mask: torch.Tensor, pooling: Pooling, place: int) -> torch.Tensor:
    """One vector a text, [batch, width] float32, from hidden [batch, seq, width] and attention_mask [batch, seq].

    Mean and max are over the text's tokens with [CLS], [SEP] and the like among them, as in sentence-transformers.

    Args:
        place: what `cls_place` found.
    """
    hidden = hidden.float()
    if pooling == "cls":
        last = attention_mask.shape[1] - 1 - attention_mask.flip(1).argmax(1)  # [batch], wherever the padding is
        return hidden[range(len(hidden)), attention_mask.argmax(1) if place == 0 else last]
    inside = attention_mask[:, :, None]
    if pooling == "max":
        return hidden.masked_fill(inside == 0, float("-inf")).amax(1)
    return (hidden * inside).sum(1) / inside.sum(1)


def cls_place(model: Any, data: Encoded, pad_token_id: int) -> int:
    """Which token stands for the whole text: 0, the first, as in BERT, or -1, the last, as in XLNet and GPT-2.

    It is the first one where every text starts with the same token and the model lets that see those after it.
    """
    import torch

    first = data.features["input_ids"][data.starts[:-1]]
    if (first != first[0]).any():
        return -1
    text = collate(data, np.array([data.lengths.argmax()]), pad_token_id, str(next(model.parameters()).device))
    other = {**text, "input_ids": text["input_ids"][:, :1].expand_as(text["input_ids"])}
    with evaluating(model), torch.inference_mode():
        states = [model.base_model(**inputs).last_hidden_state[0, 0] for inputs in (text, other)]
    return -1 if torch.allclose(states[0], states[1], atol=1e-6) else 0


def select(states: np.ndarray, source: str) -> np.ndarray:
    """The features a head sees, [rows, dims], or [rows, up to 4, width] for weighted_last_four, which the head mixes.

    Args:
        states: [rows, layers + 1, width], embeddings first. Of fewer than four layers all are used.
        source: a `feature_source` of Params.

    Source: Devlin et al. (2019), BERT, table 7.
    """
    if source in ("last", "second_to_last"):
        return states[:, -1 if source == "last" else -2]
    if source == "all":
        return states.reshape(len(states), -1)
    last_four = states[:, 1:][:, -4:]
    if source == "weighted_last_four":
        return last_four
    if source == "mean_last_four":
        return np.asarray(last_four.mean(axis=1))
    return last_four.reshape(len(states), -1)
