"""Batches: every row once, little padding, and arrays that say what the tokenizer said."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from automl.data.batches import collate, evaluation_batches, training_batches
from automl.records import Encoded

lengths_strategy = st.lists(st.integers(1, 128), min_size=1, max_size=300).map(np.array)


def encoded(lengths: list[int]) -> Encoded:
    starts = np.concatenate([[0], np.cumsum(lengths)])
    ids = np.concatenate([np.arange(1, n + 1) for n in lengths]).astype(np.int32)
    return Encoded(
        {"input_ids": ids, "token_type_ids": np.ones_like(ids)}, starts, np.zeros(len(lengths), dtype=np.int64)
    )


@settings(max_examples=50)
@given(lengths_strategy, st.integers(1, 40), st.integers(0, 9))
def test_an_epoch_has_every_row_once_in_full_batches(lengths: np.ndarray, size: int, seed: int) -> None:
    batches = training_batches(lengths, size, np.random.default_rng(seed))
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(lengths)))
    assert len(batches) == -(-len(lengths) // size)


@settings(max_examples=50)
@given(lengths_strategy)
def test_evaluation_has_every_row_once_within_the_token_bound(lengths: np.ndarray) -> None:
    batches = list(evaluation_batches(lengths, max_tokens=200))
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(lengths)))
    assert all(len(batch) * lengths[batch].max() <= 200 for batch in batches)


def test_bucketing_wastes_less_than_a_tenth_where_a_random_order_wastes_a_third() -> None:
    lengths = np.random.default_rng(0).integers(5, 60, 800)
    padded = sum(len(b) * lengths[b].max() for b in training_batches(lengths, 16, np.random.default_rng(0)))
    order = np.random.default_rng(0).permutation(800).reshape(-1, 16)
    random_order = sum(16 * lengths[b].max() for b in order)
    assert padded < 1.1 * lengths.sum()
    assert random_order > 1.33 * lengths.sum()


def test_two_epochs_differ_and_equal_seeds_agree() -> None:
    lengths = np.arange(1, 101)
    rng = np.random.default_rng(0)
    first, second = training_batches(lengths, 10, rng), training_batches(lengths, 10, rng)
    again = training_batches(lengths, 10, np.random.default_rng(0))
    assert [b.tolist() for b in first] == [b.tolist() for b in again]
    assert [b.tolist() for b in first] != [b.tolist() for b in second]


def test_a_batch_is_padded_and_masked_row_by_row() -> None:
    batch = collate(encoded([2, 4, 1]), np.array([1, 2]), pad_token_id=99)
    assert batch["input_ids"].tolist() == [[1, 2, 3, 4], [1, 99, 99, 99]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 1], [1, 0, 0, 0]]
    assert batch["token_type_ids"].tolist() == [[1, 1, 1, 1], [1, 0, 0, 0]]
