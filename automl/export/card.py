"""The model card: what the model is, how it was chosen, and how far to trust it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from automl.params import told

TEMPLATE = """---
library_name: transformers
pipeline_tag: {pipeline}
base_model: {base_model}
tags: [automl, fine-tuned]
---
# {task}: a fine-tuned {base_model}

{stand_in}Labels: {labels}.

```python
{usage}
classify("some text", truncation=True)
```

## How well it does

**Expected on unseen data: {metric} {expected} (95 % interval {low} to {high})**, corrected for having been chosen among
{trials} trials, and said before the test rows were read.{no_better}

| | held out | test (95 % interval) |
|---|---|---|
{scores}

Metric: {metric}. "Held out" is the mean over what was compared on; the choice was made by it, so it is too high a guess
for new data. The {test_rows} test rows took no part in any choice.

## How it was made

- Data: {source}; {labelled_rows} labelled and {test_rows} test rows, fingerprint `{fingerprint}`.{licence}
- Compared on: {compared}.{warm_start}
- Winner: the configuration of trial {trial} of study `{study}`, {params}; seed {seed}.{searched}
- Shipped: {shipped}.
- Texts are read up to {max_length} tokens.
- Again: `{command}`

## Limits

It knows the labels above and texts like those it was trained on, and nothing of how it behaves on others.
"""


PLAIN_USAGE = """from transformers import pipeline

classify = pipeline("{pipeline}", "PATH")  # this folder"""

PREFIX_USAGE = """from peft import PeftModel
from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline

base = AutoModelForSequenceClassification.from_pretrained("PATH/base")  # in this folder
model = PeftModel.from_pretrained(base, "PATH").eval()
classify = pipeline("{pipeline}", model, tokenizer=AutoTokenizer.from_pretrained("PATH"))"""


def usage(result: Mapping[str, Any]) -> str:
    """How the folder is loaded: by transformers alone, but for a prefix, which only peft knows."""
    return (PREFIX_USAGE if result["needs_peft"] else PLAIN_USAGE).format(pipeline=result["pipeline"])


def write_card(result: Mapping[str, Any]) -> str:
    """The card as Markdown, from the content of `result.json`."""
    rows = [("**this model**", result["validation"], result["test"])]
    rows += [
        (name.replace("_", " "), entry["validation"], entry["test"]) for name, entry in result["baselines"].items()
    ]
    winner = result["winner"]
    return TEMPLATE.format(
        pipeline=result["pipeline"],
        usage=usage(result),
        base_model=result["model"],
        task=result["task"],
        stand_in=f"> **{result['stand_in']}**\n\n" if result["stand_in"] else "",
        labels=", ".join(f"`{name}`" for name in result["labels"]),
        scores="\n".join(
            f"| {name} | {validation:.3f} | {test['value']:.3f} ({test['low']:.3f} – {test['high']:.3f}) |"
            for name, validation, test in rows
        ),
        metric=result["metric"],
        trials=sum(result["trials"].values()),
        source=result["data"]["source"],
        expected=f"{result['estimate']['value']:.3f}",
        low=f"{result['estimate']['low']:.3f}",
        high=f"{result['estimate']['high']:.3f}",
        no_better=_no_better(result["not_distinguishable_from"]),
        compared=result["data"]["compared"],
        warm_start=f"\n- Tried first: {taken}." if (taken := taken_from_others(result)) else "",
        labelled_rows=result["data"]["rows"]["labelled"],
        test_rows=result["data"]["rows"]["test"],
        fingerprint=result["data"]["fingerprint"][:16],
        licence=f" Licence of the data: {result['data']['licence']}." if result["data"]["licence"] else "",
        trial=result["winner"]["trial"],
        study=result["study"],
        params=", ".join(f"{name} {_short(value)}" for name, value in told(winner["params"], winner["named"]).items()),
        seed=result["seed"],
        searched=_searched(result["models"]),
        shipped=result["shipped"],
        max_length=result["max_length"],
        command=result["command"],
    )


def taken_from_others(result: Mapping[str, Any]) -> str:
    """Which configurations of other studies were tried first; nothing where there were none."""
    return ", ".join(
        f"the configuration of trial {one['trial']} of study {one['study']}" for one in result["warm_start"]
    )


def _no_better(names: Sequence[str]) -> str:
    return f" It cannot be told from: {', '.join(name.replace('_', ' ') for name in names)}." if names else ""


def _searched(models: Sequence[str]) -> str:
    return f" The encoders that were searched: {', '.join(models)}." if len(models) > 1 else ""


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
