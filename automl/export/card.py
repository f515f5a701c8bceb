"""The model card: what the model is, how it was chosen, and how far to trust it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from automl.params import short, told

HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
HUB_DATA = re.compile(r"Hub data set ([\w.-]+/[\w.-]+)")  # as a source begins that is one

TEMPLATE = """# {task}: a fine-tuned {base_model}

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

{labels_table}Metric: {metric}. "Held out" is the mean over what was compared on; the choice was made by it, so it is
too high a guess for new data. The {test_rows} test rows took no part in any choice.

## How it was made

- Data: {source}; {labelled_rows} labelled and {test_rows} test rows, fingerprint `{fingerprint}`.{licence}
- Compared on: {compared}; the winner on {held_out_rows} of these rows, with the seeds {seeds}.{warm_start}
- Winner: the configuration of trial {trial} of study `{study}`, {params}; seed {seed}.{searched}
- Shipped: {shipped}.
- Texts are read up to {max_length} tokens.
- Again: `{command}`

## Intended use and limits

For texts like those that it was trained on, in their language, and for the labels above: it gives one of them to any
text, also to one that none fits. How it treats groups of people was not looked at; where that matters, or a mistake is
costly, check it on texts of your own first. A new data set is a new search: the score above says nothing of another
one.
"""


METRICS = {"accuracy": "Accuracy", "macro_f1": "Macro F1", "matthews": "Matthews correlation"}
TASK = "text-classification"

PLAIN_USAGE = """from transformers import pipeline

classify = pipeline("{pipeline}", "{where}")"""

PREFIX_USAGE = """from peft import PeftModel
from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline

base = AutoModelForSequenceClassification.from_pretrained("{where}", subfolder="base")
model = PeftModel.from_pretrained(base, "{where}").eval()
classify = pipeline("{pipeline}", model, tokenizer=AutoTokenizer.from_pretrained("{where}"))"""


def usage(result: Mapping[str, Any], where: str = "PATH") -> str:
    """How the folder is loaded: by transformers alone, but for a prefix, which only peft knows.

    Args:
        where: path of the folder, or id of a repository on the Hub.
    """
    return (PREFIX_USAGE if result["needs_peft"] else PLAIN_USAGE).format(pipeline=result["pipeline"], where=where)


def metadata(result: Mapping[str, Any], name: str) -> str:
    """What the Hub reads of the card, as YAML: base model, data, licence, and the scores with their intervals.

    Args:
        name: of the model on the Hub, without its owner.
    """
    from huggingface_hub import EvalResult, ModelCardData

    metric, data = result["metric"], result["data"]
    scores = [("test", "test", result["test"]), ("expected on unseen data", "validation", result["estimate"])]
    task, name_of_data = result["task"], result["task"]
    if result["stand_in"]:  # scores on other data are none on this
        task, name_of_data = "stand-in", f"{data['source']}, in place of {task}"
    card = ModelCardData(
        library_name="transformers",
        pipeline_tag=result["pipeline"],
        base_model=result["model"] if _is_of_the_hub(result) else None,
        datasets=[found[1]] if (found := HUB_DATA.match(data["source"])) else None,
        license=result.get("licence"),
        tags=["automl", "fine-tuned"],
        metrics=[metric],
        model_name=name,
        eval_results=[
            EvalResult(
                task_type=TASK,
                dataset_type=task,
                dataset_name=name_of_data,
                dataset_split=split,
                dataset_revision=data["fingerprint"][:16],
                metric_type=metric,
                metric_name=f"{METRICS.get(metric, metric)}, {what}",
                metric_value=round(score["value"], 4),
                metric_args={
                    "interval": [round(score["low"], 4), round(score["high"], 4)],
                    "confidence": 0.95,
                    "rows": score["rows"],
                },
            )
            for what, split, score in scores
        ],
    )
    return f"---\n{card.to_yaml()}\n---\n"


def write_card(result: Mapping[str, Any], where: str = "PATH") -> str:
    """The card as Markdown, from the content of `result.json`.

    Args:
        where: as `usage` takes it.
    """
    rows = [("**this model**", result["validation"], result["test"])]
    rows += [
        (name.replace("_", " "), entry["validation"], entry["test"]) for name, entry in result["baselines"].items()
    ]
    winner = result["winner"]
    card = TEMPLATE.format(
        usage=usage(result, where),
        base_model=result["model"],
        task=result["task"],
        stand_in=f"> **{result['stand_in']}**\n\n" if result["stand_in"] else "",
        labels=", ".join(f"`{name}`" for name in result["labels"]),
        scores="\n".join(
            f"| {name} | {validation:.3f} | {test['value']:.3f} ({test['low']:.3f} – {test['high']:.3f}) |"
            for name, validation, test in rows
        ),
        labels_table=_labels_table(result.get("by_label")),
        metric=result["metric"],
        trials=sum(result["trials"].values()),
        source=result["data"]["source"],
        expected=f"{result['estimate']['value']:.3f}",
        low=f"{result['estimate']['low']:.3f}",
        high=f"{result['estimate']['high']:.3f}",
        no_better=_no_better(result),
        compared=result["data"]["compared"],
        held_out_rows=result.get("held_out_rows", result["estimate"]["rows"]),
        seeds=", ".join(map(str, result["seeds"])),
        warm_start=f"\n- Tried first: {taken}." if (taken := taken_from_others(result)) else "",
        labelled_rows=result["data"]["rows"]["labelled"],
        test_rows=result["data"]["rows"]["test"],
        fingerprint=result["data"]["fingerprint"][:16],
        licence=f" Licence of the data: {result['data']['licence']}." if result["data"]["licence"] else "",
        trial=result["winner"]["trial"],
        study=result["study"],
        params=", ".join(f"{name} {short(value)}" for name, value in told(winner["params"], winner["named"]).items()),
        seed=result["seed"],
        searched=_searched(result["models"]),
        shipped=result["shipped"],
        max_length=result["max_length"],
        command=result["command"],
    )
    return metadata(result, where.rpartition("/")[2]) + card


def _is_of_the_hub(result: Mapping[str, Any]) -> bool:
    """A folder that is called models/mine is not the Hub's."""
    return HUB_ID.fullmatch(result["model"]) is not None and not result.get("model_is_local")


def _labels_table(found: Mapping[str, Mapping[str, float]] | None) -> str:
    if not found:  # of older studies
        return ""
    rows = ""
    for name, one in found.items():
        shares = " | ".join(f"{one[what]:.2f}" for what in ("precision", "recall", "f1"))
        rows += f"| `{name.replace('|', '¦')}` | {shares} | {one['rows']} |\n"
    return f"| label | precision | recall | F1 | test rows |\n|---|---|---|---|---|\n{rows}\n"


def taken_from_others(result: Mapping[str, Any]) -> str:
    """Which configurations of other studies were tried first; nothing where there were none."""
    return ", ".join(
        f"the configuration of trial {one['trial']} of study {one['study']}" for one in result["warm_start"]
    )


def _no_better(result: Mapping[str, Any]) -> str:
    told = {
        "It cannot be told from": result["not_distinguishable_from"],
        "Better by more than chance": result.get("outdone_by", []),  # older studies have none
    }
    return "".join(f" {what}: {', '.join(names).replace('_', ' ')}." for what, names in told.items() if names)


def _searched(models: Sequence[str]) -> str:
    return f" The encoders that were searched: {', '.join(models)}." if len(models) > 1 else ""
