"""What any model must beat: the most frequent label, a linear model on word counts, and one on the encoder as it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from automl.records import Rows

Predict = Callable[[Sequence[str]], np.ndarray]  # texts to label ids, [rows]
Embed = Callable[[Sequence[str]], np.ndarray]  # texts to [rows, width]


@dataclass(frozen=True)
class Baseline:
    """A simple model that can be fitted on any rows, in about a second for a thousand of them."""

    name: str
    fit: Callable[[Rows], Predict]


def baselines(seed: int, encoders: Mapping[str, Embed]) -> list[Baseline]:
    """Every baseline.

    Args:
        encoders: by name what each frozen encoder says of texts; there is one baseline for each.
    """
    learners: dict[str, Callable[[Rows], Predict]] = {
        "tfidf_logistic_regression": lambda train: _tfidf(train, seed),
    }
    for name, embed in encoders.items():
        which = f" ({name})" if len(encoders) > 1 else ""
        learners[f"frozen_encoder_logistic_regression{which}"] = partial(_frozen_encoder, seed=seed, embed=embed)
    return [
        Baseline("majority", _majority),
        *(Baseline(name, partial(_fitted, learner)) for name, learner in learners.items()),
    ]


def _fitted(learner: Callable[[Rows], Predict], train: Rows) -> Predict:
    """Without a second label among the rows, as a fold may leave them, there is nothing to learn."""
    return learner(train) if len(np.unique(train.labels)) > 1 else _majority(train)


def _majority(train: Rows) -> Predict:
    label = int(np.bincount(train.labels).argmax())
    return lambda texts: np.full(len(texts), label)


def _tfidf(train: Rows, seed: int) -> Predict:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    # Words and pairs of words; the token pattern keeps one-letter words, and so texts of scripts without spaces.
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"(?u)\b\w+\b|[^\w\s]")
    model = make_pipeline(words, LogisticRegression(C=10.0, max_iter=1000, random_state=seed))
    model.fit(train.inputs, train.labels)
    return lambda texts: np.asarray(model.predict(list(texts)))


def _frozen_encoder(train: Rows, seed: int, embed: Embed) -> Predict:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000, random_state=seed))
    model.fit(embed(train.inputs), train.labels)
    return lambda texts: np.asarray(model.predict(embed(texts)))
