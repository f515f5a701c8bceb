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

KEPT = 8  # the first ids keep their numbers: models compute positions from a low padding id


def used_tokens(data: Iterable[Encoded], pad_token_id: int) -> np.ndarray:
    """Sorted ids of every token that occurs, the padding and the first few ids included; [used] int64."""
    ids: list[np.ndarray] = [
        np.arange(KEPT),
        np.array([pad_token_id]),
        *(encoded.features["input_ids"] for encoded in data),
    ]
    return np.unique(np.concatenate(ids)).astype(np.int64)


def renumber(data: Encoded, used: np.ndarray) -> Encoded:
    """The same rows with token ids that count within `used`."""
    ids = np.searchsorted(used, data.features["input_ids"]).astype(np.int32)
    return replace(data, features={**data.features, "input_ids": ids})


def trim(model: Any, used: np.ndarray) -> None:
    """Shrink the model's word-embedding table to the rows in `used`, in place."""
    import torch

    table = model.get_input_embeddings()
    table.weight = torch.nn.Parameter(table.weight.detach()[torch.from_numpy(used)].clone())
    table.num_embeddings = len(used)
    if table.padding_idx is not None:
        table.padding_idx = int(np.searchsorted(used, table.padding_idx))


def restore(full_table: torch.Tensor, trained_rows: torch.Tensor, used: np.ndarray) -> torch.Tensor:
    """The full table [vocabulary, width] with the trained rows [used, width] in their places."""
    import torch

    table = full_table.clone()
    table[torch.from_numpy(used)] = trained_rows.to(table.dtype)
    return table
