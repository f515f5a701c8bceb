"""Tokenised rows in flat arrays, and the batches that waste little padding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from automl.records import Encoded

if TYPE_CHECKING:
    import torch

TOKENS_AT_ONCE = 1024  # in evaluation: on a processor larger batches leave its caches and are slower
WINDOW = 16  # batches whose rows are sorted by length together: little padding, yet still a random order


def encode(tokenizer: Any, inputs: Sequence[str], labels: np.ndarray, max_length: int) -> Encoded:
    """Tokenise once. Rows longer than `max_length` tokens are cut."""
    output = tokenizer(list(inputs), truncation=True, max_length=max_length, padding=False)
    rows = output["input_ids"]
    starts = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
    features = {
        name: np.concatenate([np.asarray(row, dtype=np.int32) for row in output[name]])
        for name in output
        if name != "attention_mask"  # padding alone decides it, see `collate`
    }
    return Encoded(features, starts, labels, tokenizer.padding_side == "left")


def concatenate(parts: Sequence[Encoded]) -> Encoded:
    """All rows of the parts, in their order."""
    lengths = np.concatenate([part.lengths for part in parts])
    return Encoded(
        {name: np.concatenate([part.features[name] for part in parts]) for name in parts[0].features},
        np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        np.concatenate([part.labels for part in parts]),
        parts[0].pad_left,
    )


def training_batches(lengths: np.ndarray, batch_size: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Row numbers of one epoch's batches: shuffled, sorted by length within windows of some batches, shuffled again."""
    order = rng.permutation(len(lengths))
    batches = []
    for start in range(0, len(order), WINDOW * batch_size):
        window = order[start : start + WINDOW * batch_size]
        window = window[np.argsort(lengths[window], kind="stable")]
        batches += [window[i : i + batch_size] for i in range(0, len(window), batch_size)]
    rng.shuffle(batches)
    return batches


def evaluation_batches(lengths: np.ndarray, max_tokens: int = TOKENS_AT_ONCE) -> Iterator[np.ndarray]:
    """Row numbers in length order, at most about `max_tokens` padded tokens a batch."""
    order = np.argsort(lengths, kind="stable")
    start = 0
    while start < len(order):
        stop = start + 1
        while stop < len(order) and (stop + 1 - start) * lengths[order[stop]] <= max_tokens:
            stop += 1
        yield order[start:stop]
        start = stop


def collate(data: Encoded, rows: np.ndarray, pad_token_id: int, device: str = "cpu") -> dict[str, torch.Tensor]:
    """One padded batch: every feature and `attention_mask`, each [batch, seq] int64."""
    lengths = data.lengths[rows]
    shape = (len(rows), int(lengths.max()))
    inside = np.arange(shape[1]) < lengths[:, None]
    inside = inside[:, ::-1] if data.pad_left else inside
    batch = {"attention_mask": inside.astype(np.int64)}
    for name, values in data.features.items():
        padded = np.full(shape, pad_token_id if name == "input_ids" else 0, dtype=np.int64)
        padded[inside] = np.concatenate([values[data.starts[row] : data.starts[row + 1]] for row in rows])
        batch[name] = padded
    return {name: on_device(array, device) for name, array in batch.items()}


def on_device(array: np.ndarray, device: str) -> torch.Tensor:
    """The array as a tensor there; on its way to a GPU it does not hold up the processor."""
    import torch

    tensor = torch.from_numpy(array)
    return tensor if device == "cpu" else tensor.pin_memory().to(device, non_blocking=True)
