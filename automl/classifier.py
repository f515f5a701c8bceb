"""An exported model in use: texts in, probabilities out. It reads only the folder; nothing of the search is needed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from automl.data.batches import encode
from automl.errors import DataError, ModelError
from automl.metrics import softmax
from automl.tasks.text_column import text_column as find_text_column
from automl.training.loop import predict_logits

PREFIX = "adapter_config.json"  # in the folder of a model that peft loads
ROWS_AT_ONCE = 1024  # their texts are sorted by length, and held in memory
LABEL, SURE, EACH = "predicted_label", "probability", "probability of {label}"


@dataclass(frozen=True)
class Classifier:
    """A model, its tokenizer, and its labels by their ids."""

    model: Any
    tokenizer: Any
    labels: Sequence[str]

    def probabilities(self, texts: Sequence[str]) -> np.ndarray:
        """Of each label for each text, [texts, labels] float32. Long texts are cut as they were in training."""
        if not texts:
            return np.zeros((0, len(self.labels)), np.float32)
        rows = encode(self.tokenizer, texts, np.zeros(len(texts), np.int64), self.tokenizer.model_max_length)
        return softmax(predict_logits(self.model, rows, self.tokenizer.pad_token_id))


def load_classifier(folder: Path) -> Classifier:
    """The model of an exported folder, in float32 on this machine's processor; safetensors only, no code of its own.

    Raises:
        ModelError: there is no such model.
    """
    import transformers

    if not (folder / "config.json").exists() and not (folder / PREFIX).exists():
        raise ModelError(f"--model {folder}: no exported model there; give the folder that a search printed")
    options = {"trust_remote_code": False, "local_files_only": True}
    try:
        base = folder / "base" if (folder / PREFIX).exists() else folder
        model: Any = transformers.AutoModelForSequenceClassification.from_pretrained(
            base, use_safetensors=True, dtype="float32", **options
        )
        if base != folder:
            from peft import PeftModel

            model = PeftModel.from_pretrained(model, folder)
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, **options)
    except (OSError, ValueError, ImportError, json.JSONDecodeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ModelError(f"--model {folder}: cannot be loaded ({reason}); export it again") from None
    names = model.config.id2label
    return Classifier(model.eval(), tokenizer, [str(names[index]) for index in range(len(names))])


def predictions(
    classifier: Classifier, rows: Iterable[Mapping[str, Any]], text_column: str | None, origin: str
) -> Iterator[list[dict[str, Any]]]:
    """Each row with its label and probabilities, some hundreds at a time; None where it has no text.

    Args:
        text_column: None finds it by name in the first row.
        origin: of the rows, for messages.

    Raises:
        DataError: which column is the text cannot be told, or a column has the name of one that is added.
    """
    rows, column = iter(rows), ""
    added = [LABEL, SURE, *(EACH.format(label=label) for label in classifier.labels)]
    while some := list(islice(rows, ROWS_AT_ONCE)):
        if not column:
            column = find_text_column(list(some[0]), text_column, origin)
            _refuse_taken(added, some[0], origin)
        texts = [row.get(column) for row in some]
        known = [place for place, text in enumerate(texts) if isinstance(text, str) and text.strip()]
        said = classifier.probabilities([str(texts[place]) for place in known])
        answers: list[list[Any]] = [[None] * len(added) for _ in some]
        for place, probabilities in zip(known, said, strict=True):
            best = int(probabilities.argmax())
            answers[place] = [
                classifier.labels[best],
                *(round(float(p), 6) for p in (probabilities[best], *probabilities)),
            ]
        yield [{**row, **dict(zip(added, answer, strict=True))} for row, answer in zip(some, answers, strict=True)]


def _refuse_taken(added: Sequence[str], row: Mapping[str, Any], origin: str) -> None:
    if taken := [name for name in added if name in row]:
        raise DataError(f"{origin}: has a column {taken[0]!r} already, which predictions would overwrite: rename it")
