"""Train with the rows of the embedding table that the data uses, and put them back into the full table afterwards.

Half of a small encoder's weights are word embeddings, nearly all of them for words that a few hundred texts never
hold. Those rows get no gradient (and no weight decay, see `training.loop`), so leaving them out changes nothing but
the time and memory that the optimiser spends on them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from automl.records import Encoded

if TYPE_CHECKING:
    import torch

KEPT = 8  # the first ids keep their numbers: among them are those that models know by number
LOW_PADDING = 1024  # a padding id below this keeps its number too: some models count positions from it (RoBERTa's kin)


def used_tokens(data: Iterable[Encoded], pad_token_id: int) -> np.ndarray:
    """Sorted ids of every token that occurs, the padding and the first few ids included; [used] int64."""
    kept = max(KEPT, pad_token_id + 1) if pad_token_id < LOW_PADDING else KEPT
    ids: list[np.ndarray] = [
        np.arange(kept),
        np.array([pad_token_id]),
        *(encoded.features["input_ids"] for encoded in data),
    ]
    return np.unique(np.concatenate(ids)).astype(np.int64)


def renumber(data: Encoded, used: np.ndarray) -> Encoded:
    """The same rows with token ids that count within `used`."""
    ids = np.searchsorted(used, data.features["input_ids"]).astype(np.int32)
    return replace(data, features={**data.features, "input_ids": ids})


def trim(model: Any, used: np.ndarray) -> None:
    """Shrink the model's word-embedding table to the rows in `used`, in place, wherever the model refers to it.

    `config.pad_token_id` is renumbered with them, as some models find the end of a text by it (GPT-2): take a fresh
    model for export, and `restore` the table there.
    """
    import torch

    table = model.get_input_embeddings()
    full = table.weight
    rows = full.detach()[torch.from_numpy(used).to(full.device)].clone()
    trimmed = torch.nn.Parameter(rows, requires_grad=full.requires_grad)
    for module in model.modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            if parameter is full:  # an output layer may be tied to the table
                setattr(module, name, trimmed)
    table.num_embeddings = len(used)
    if table.padding_idx is not None:
        table.padding_idx = _place(table.padding_idx, used)
    if model.config.pad_token_id is not None:
        place = _place(model.config.pad_token_id, used)
        model.config.pad_token_id = len(used) if place is None else place  # len(used): an id that never occurs


def restore(full_table: torch.Tensor, trained_rows: torch.Tensor, used: np.ndarray) -> torch.Tensor:
    """The full table [vocabulary, width] with the trained rows [used, width] in their places."""
    import torch

    table = full_table.clone()
    table[torch.from_numpy(used)] = trained_rows.to(table.dtype)
    return table


def _place(token: int, used: np.ndarray) -> int | None:
    """The token's number within `used`, if it is there."""
    place = int(np.searchsorted(used, token))
    return place if place < len(used) and used[place] == token else None
