"""Pairs of texts that are the same, or nearly: what duplicates and conflicts are made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

GRAM = 5  # characters
ALIKE = 0.8  # of all 5-grams of two texts, the share that both have, from which they are nearly the same
PAIRS_AT_ONCE = 20_000


def near_pairs(texts: Sequence[str], alike: float = ALIKE) -> list[tuple[int, int, float]]:
    """Pairs i < j of texts whose Jaccard similarity of character 5-grams is at least `alike`, with that similarity.

    Texts under 5 characters have no near twin. Not all pairs are compared: two texts that are so alike must share one
    of their rarest 5-grams, so only those that do are.

    Source: Chaudhuri, Ganti and Kaushik (2006), A primitive operator for similarity joins in data cleaning; Bayardo, Ma
    and Srikant (2007), Scaling up all pairs similarity search.
    """
    from sklearn.feature_extraction.text import HashingVectorizer

    if len(texts) < 2:
        return []
    hashed = HashingVectorizer(
        analyzer="char", ngram_range=(GRAM, GRAM), lowercase=False, norm=None, alternate_sign=False, binary=True
    )
    # a lone surrogate, which JSON may hold, has no UTF-8
    grams = hashed.transform([text.encode("utf-8", "replace").decode() for text in texts]).astype(np.int32)
    sizes = np.diff(grams.indptr)
    left, right = _candidates(grams, sizes, alike)
    found = []
    for start in range(0, len(left), PAIRS_AT_ONCE):
        one, other = left[start : start + PAIRS_AT_ONCE], right[start : start + PAIRS_AT_ONCE]
        both = np.asarray(grams[one].multiply(grams[other]).sum(axis=1)).ravel()
        jaccard = both / (sizes[one] + sizes[other] - both)
        found += [(int(one[k]), int(other[k]), float(jaccard[k])) for k in np.flatnonzero(jaccard >= alike - 1e-9)]
    return found


def _candidates(grams: csr_matrix, sizes: np.ndarray, alike: float) -> tuple[np.ndarray, np.ndarray]:
    """Pairs i < j that share one of the rarest grams of each, [pairs] and [pairs].

    Two texts with a share of `alike` have all but (1 - alike) of the grams of either in common; so if each keeps its
    size - ceil(alike * size) + 1 rarest, by one order of rarity for all, they still share one.
    """
    from scipy.sparse import csr_matrix, triu

    rarity = np.argsort(np.argsort(np.bincount(grams.indices, minlength=grams.shape[1]), kind="stable"))
    ordered = csr_matrix((grams.data, rarity[grams.indices], grams.indptr), shape=grams.shape, copy=True)
    ordered.sort_indices()
    kept = sizes - np.ceil(alike * sizes - 1e-9).astype(int) + 1
    place = np.arange(ordered.nnz) - np.repeat(ordered.indptr[:-1], sizes)
    ordered.data = np.where(place < np.repeat(kept, sizes), 1, 0).astype(np.int32)
    ordered.eliminate_zeros()
    pairs = triu(ordered @ ordered.T, k=1).tocoo()
    return pairs.row, pairs.col
