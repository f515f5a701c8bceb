"""What any model must beat: the most frequent label, and a linear model on word counts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from automl.records import Rows


@dataclass(frozen=True)
class Baseline:
    """A fitted baseline; `predict` maps texts to label ids, [rows]."""

    name: str
    predict: Callable[[Sequence[str]], np.ndarray]


def fit_baselines(train: Rows, seed: int) -> list[Baseline]:
    """Fit every baseline on the training rows. About a second for a thousand rows."""
    return [_majority(train), _tfidf(train, seed)]


def _majority(train: Rows) -> Baseline:
    label = int(np.bincount(train.labels).argmax())
    return Baseline("majority", lambda texts: np.full(len(texts), label))


def _tfidf(train: Rows, seed: int) -> Baseline:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    # Words and pairs of words; the token pattern keeps one-letter words, and so texts of scripts without spaces.
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"(?u)\b\w+\b|[^\w\s]")
    model = make_pipeline(words, LogisticRegression(C=10.0, max_iter=1000, random_state=seed))
    model.fit(train.inputs, train.labels)
    return Baseline("tfidf_logistic_regression", lambda texts: np.asarray(model.predict(list(texts))))
