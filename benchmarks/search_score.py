"""The benchmark's own score of a model folder, in a process of its own: no competitor's word is taken.

    python -m benchmarks.search_score FOLDER TEST.jsonl

Prints the accuracy on all rows of the file, as one JSON object. Plain transformers reads the folder; where it holds the
linear head of a sentence encoder (SetFit's), that is put on mean-pooled states.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

MAX_LENGTH = 128  # tokens
TEXTS = 64  # at once
HEAD = "head.json"


def main() -> None:
    folder, file = map(Path, sys.argv[1:3])
    with file.open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    predicted = predict(folder, [row["text"] for row in rows])
    right = sum(label == row["label"] for label, row in zip(predicted, rows, strict=True))
    print(json.dumps({"accuracy": right / len(rows), "rows": len(rows)}))


def predict(folder: Path, texts: Sequence[str]) -> list[str]:
    """The label that the folder's model gives to each text."""
    import torch
    from transformers import AutoTokenizer, logging

    logging.set_verbosity_error()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    score, names = _encoder(folder) if (folder / HEAD).exists() else _classifier(folder)
    order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
    labels = [""] * len(texts)
    for start in range(0, len(texts), TEXTS):
        batch = order[start : start + TEXTS]
        inputs = tokenizer(
            [texts[index] for index in batch],
            truncation=True,
            max_length=min(MAX_LENGTH, tokenizer.model_max_length),
            padding=True,
            return_tensors="pt",
        )
        with torch.inference_mode():
            for index, number in zip(batch, score(inputs).argmax(-1).tolist(), strict=True):
                labels[index] = names[number]
    return labels


def _classifier(folder: Path) -> tuple[Callable[[Any], torch.Tensor], Mapping[int, str]]:
    from transformers import AutoModelForSequenceClassification

    model = AutoModelForSequenceClassification.from_pretrained(folder).float().eval()
    return lambda inputs: model(**inputs).logits, model.config.id2label


def _encoder(folder: Path) -> tuple[Callable[[Any], torch.Tensor], Mapping[int, str]]:
    import torch
    from transformers import AutoModel

    model, head = AutoModel.from_pretrained(folder).float().eval(), json.loads((folder / HEAD).read_text())
    weights, bias = torch.tensor(head["weights"]), torch.tensor(head["bias"])

    def score(inputs: Any) -> torch.Tensor:
        states, mask = model(**inputs).last_hidden_state, inputs["attention_mask"].unsqueeze(-1)
        pooled = (states * mask).sum(1) / mask.sum(1)  # [batch, width]
        if head["normalize"]:
            pooled = torch.nn.functional.normalize(pooled, dim=-1)
        scores = pooled @ weights.T + bias  # [batch, labels], or one column where there are two labels
        return torch.cat((-scores, scores), dim=-1) if len(bias) == 1 else scores

    return score, dict(enumerate(head["labels"]))


if __name__ == "__main__":
    main()
