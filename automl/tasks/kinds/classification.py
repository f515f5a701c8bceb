"""Single-label classification of one text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from automl.errors import DataError
from automl.records import Table
from automl.tasks.kinds.kind import PLAIN, LossRecipe, RawRows

if TYPE_CHECKING:
    import torch

# Headers that people give these columns, most telling first.
TEXT_HEADERS = (
    "text",
    "sentence",
    "content",
    "review",
    "document",
    "message",
    "tweet",
    "question",
    "utterance",
    "comment",
)
LABEL_HEADERS = ("label", "labels", "class", "category", "target", "sentiment", "intent", "topic", "y")
MISSING = (None, "")


@dataclass
class Classification:
    """One text in, one of two or more labels out."""

    metric: str = "accuracy"

    name = "classification"
    metrics: tuple[str, ...] = ("accuracy", "macro_f1", "matthews")
    auto_class = "AutoModelForSequenceClassification"
    pipeline = "text-classification"

    def by(self, metric: str) -> Classification:
        return Classification(metric)

    def find_columns(self, table: Table, text: str | None, label: str | None) -> tuple[str, str]:
        for flag, wanted in (("--text-column", text), ("--label-column", label)):
            if wanted is not None and wanted not in table.columns:
                raise DataError(f"{table.origin}: no column {wanted!r} ({flag}); the columns are {_listed(table)}")
        label = label or _by_header(table, LABEL_HEADERS, taken=text)
        text = text or _by_header(table, TEXT_HEADERS, taken=label) or _only_text_column(table, taken=label)
        if label is None and text is not None:
            others = [name for name in table.columns if name != text]
            label = others[0] if len(others) == 1 else None
        if text is None or label is None:
            flag = "--text-column" if text is None else "--label-column"
            raise DataError(f"{table.origin}: {flag} is needed to tell the columns apart: {_listed(table)}")
        if text == label:
            raise DataError(
                f"{table.origin}: text and label are both column {text!r}; the columns are {_listed(table)}"
            )
        return text, label

    def read_rows(self, table: Table, columns: tuple[str, str]) -> RawRows:
        inputs: list[str] = []
        labels: list[Any] = []
        kept: list[int] = []
        dropped: Counter[str] = Counter()
        pairs = zip(table.columns[columns[0]], table.columns[columns[1]], strict=True)
        for place, (text, label) in enumerate(pairs):
            if not isinstance(text, str):
                dropped["text missing or not text"] += 1
            elif not text.strip():
                dropped["empty text"] += 1
            elif label in MISSING or (isinstance(label, str) and not label.strip()):
                dropped["no label"] += 1
            else:
                kept.append(place)
                inputs.append(text)
                labels.append(label.strip() if isinstance(label, str) else label)
        _refuse_floats(labels, table.origin, columns[1])
        if table.label_names is not None:
            labels = [table.label_names[label] if isinstance(label, int) else label for label in labels]
        return RawRows(inputs, labels, dropped, kept)

    def label_names(self, labels: Sequence[Any], origin: str) -> tuple[str, ...]:
        distinct = {str(label) for label in labels}
        if len(distinct) < 2:
            found = f"only {distinct.pop()!r}" if distinct else "none"
            raise DataError(f"{origin}: a classifier needs at least two labels, found {found}; check --label-column")
        whole = all(_is_whole(label) for label in distinct)
        return tuple(sorted(distinct, key=(lambda label: int(label)) if whole else None))

    def encode_labels(self, labels: Sequence[Any], names: tuple[str, ...], origin: str) -> np.ndarray:
        ids = {name: index for index, name in enumerate(names)}
        unknown = sorted({str(label) for label in labels} - set(ids))
        if unknown:
            known = ", ".join(map(repr, names[:10]))
            raise DataError(
                f"{origin}: label {unknown[0]!r} does not occur in the training rows; known labels: {known}"
            )
        return np.array([ids[str(label)] for label in labels], dtype=np.int64)

    def strata(self, labels: np.ndarray) -> np.ndarray:
        return labels

    def loss(self, logits: torch.Tensor, labels: torch.Tensor, recipe: LossRecipe = PLAIN) -> torch.Tensor:
        """Cross-entropy, weighted by label and by how wrong a row still is; the mean is over rows, not over weights.

        So a batch in parts has the loss and gradient of the whole, and a weight counts in a batch of one label too.

        Source: Lin et al. (2017), Focal Loss for Dense Object Detection, for `focal_gamma`.
        """
        import torch
        from torch.nn.functional import cross_entropy, log_softmax, one_hot

        logits = logits.float()
        if recipe.label_weights is None and not recipe.focal_gamma:
            return cross_entropy(logits, labels, label_smoothing=recipe.label_smoothing)
        losses = cross_entropy(logits, labels, reduction="none", label_smoothing=recipe.label_smoothing)  # [batch]
        targets = labels if labels.ndim == 2 else one_hot(labels, logits.shape[-1]).to(logits.dtype)  # [batch, labels]
        if recipe.label_weights is not None:
            losses = losses * (targets @ recipe.label_weights)
        if recipe.focal_gamma:
            # log(1 - p) as a sum over the other labels: its gradient stays finite where p is 1 to the last digit.
            wrong = torch.logsumexp(log_softmax(logits, -1) + torch.log1p(-targets.clamp(max=1)), -1)
            losses = losses * torch.exp(recipe.focal_gamma * wrong)
        return losses.mean()

    def divergence(self, one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        """Mean of the Kullback-Leibler divergences in both directions, mean over the batch.

        Source: Wu et al. (2021), R-Drop.
        """
        from torch.nn.functional import log_softmax

        p, q = log_softmax(one.float(), -1), log_softmax(other.float(), -1)
        return ((p.exp() - q.exp()) * (p - q)).sum(-1).mean() / 2

    def predict(self, logits: np.ndarray) -> np.ndarray:
        return np.asarray(logits.argmax(axis=-1))


def _by_header(table: Table, headers: tuple[str, ...], taken: str | None) -> str | None:
    by_lower_case = {name.lower().strip(): name for name in table.columns if name != taken}
    return next((by_lower_case[header] for header in headers if header in by_lower_case), None)


def _only_text_column(table: Table, taken: str | None) -> str | None:
    textual = [
        name
        for name, values in table.columns.items()
        if name != taken and any(isinstance(value, str) and " " in value.strip() for value in values[:100])
    ]
    return textual[0] if len(textual) == 1 else None


def _refuse_floats(labels: Sequence[Any], origin: str, column: str) -> None:
    for label in labels:
        if isinstance(label, float) or (isinstance(label, str) and not _is_whole(label) and _is_number(label)):
            raise DataError(
                f"{origin}: column {column!r} holds the number {label!r}; classification needs names or whole "
                "numbers as labels: choose another column with --label-column, or turn the scores into classes"
            )


def _is_whole(label: str) -> bool:
    return label.lstrip("+-").isdecimal()


def _is_number(label: str) -> bool:
    try:
        float(label)
    except ValueError:
        return False
    return any(character.isdigit() for character in label)  # 'nan' and 'inf' may be names


def _listed(table: Table) -> str:
    return ", ".join(map(repr, table.columns))
