"""The plan and the result as text for a person."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from automl.export.card import taken_from_others
from automl.params import short, told
from automl.prepare import Prepared, describe_data

HARDEST = 3  # labels that are named


def result_text(result: Mapping[str, Any]) -> str:
    """What the search found, what it is worth, where it is and what to do next."""
    winner, trials, estimate = result["winner"], result["trials"], result["estimate"]
    trainings = "a training" if len(winner["trainings"]) == 1 else f"{len(winner['trainings'])} trainings"
    lines = [
        "",
        f"Winner: the configuration of trial {winner['trial']}{f', {arm}' if (arm := winner['arm']) else ''}, in "
        f"{trainings}; {sum(trials.values())} trials in all "
        f"({trials['complete']} complete, {trials['pruned']} pruned, {trials['fail']} failed)",
        *([f"  model = {result['model']}"] if len(result["models"]) > 1 else []),
        *(f"  {name} = {short(value)}" for name, value in told(winner["params"], winner["named"]).items()),
        "",
        f"Expected on unseen data: {result['metric']} {estimate['value']:.3f} "
        f"({estimate['low']:.3f} – {estimate['high']:.3f}, 95 %), "
        f"from {estimate['rows']} rows that its models had not seen",
        *_named("It cannot be told from", result["not_distinguishable_from"]),
        *_named("Better by more than chance", result["outdone_by"]),
        "",
        *_score_table(result),
        "",
        f"{result['seconds']:.0f} s. Model folder: {result['model_dir']}",
    ]
    if result["original"]:
        kept = result["original"]
        lines.append(
            f"The winner's own {kept['models']} models are in its folder original: "
            f"test {result['metric']} {kept['test']['value']:.3f} together"
        )
    lines += [f"Shipped: {result['shipped']}.", _audit(result)]
    if taken := taken_from_others(result):
        lines.append(f"Tried first: {taken}.")
    lines += _labels(result)
    ended = sum(trials.values())
    if ended < result["budget"]:
        if result["interrupted"]:
            lines.append(f"Interrupted after {ended} of {result['budget']} trials: the same command goes on.")
        else:
            lines.append(f"Ended after {ended} of {result['budget']} trials: {result['ended']}.")
    if result["stand_in"]:
        lines.append(result["stand_in"])
    if result["needs_peft"]:
        lines.append(f"A prefix needs peft to load: the lines are in {result['model_dir']}/README.md.")
        return "\n".join(lines)
    call = f"pipeline('{result['pipeline']}', '{result['model_dir']}')('your text', truncation=True)"
    lines.append(f'Try it:  {python()} -c "from transformers import pipeline; print({call})"')
    return "\n".join(lines)


def plan_text(prepared: Prepared) -> str:
    """What a search would do: data, splits, space, first configurations and a guess of its cost."""
    from automl.forecast import first_configurations, forecast, planned_warm_start

    data, request = describe_data(prepared), prepared.request
    arms = {arm.name: prepared.space.distributions(arm.name) for arm in prepared.space.arms}
    distributions = {name: one for searched in arms.values() for name, one in searched.items()}
    width = max(44, *(len(name) + 2 for name in distributions))
    lines = [
        f"Task      {prepared.task.name} ({prepared.kind.name}, metric {prepared.kind.metric})",
        f"Data      {data['source']}, fingerprint {data['fingerprint'][:16]}",
        *(
            f"  {name:<11}{data['rows'][name]:>6} rows: " + ", ".join(f"{label} {n}" for label, n in counts.items())
            for name, counts in data["labels"].items()
        ),
        *(f"  {data[word]}" for word in ("imbalance", "scarce") if data[word]),
        *(f"  dropped    {count:>6} rows: {reason}" for reason, count in data["dropped"].items()),
        f"Compared  {data['compared']}",
        *(
            f"Model     {one.checkpoint.name} ({one.checkpoint.source}), {one.depth} layers, "
            f"up to {one.max_length} tokens"
            for one in prepared.backbones.values()
        ),
        f"Space     {prepared.space.written.name}, {len(distributions)} params searched",
        *(f"  {name:<{width}}{_range(distribution)}" for name, distribution in distributions.items()),
        *(f"  {line}" for line in prepared.left_out),
        f"Study     {prepared.study_name}, budget {request.budget} trials; model goes to {prepared.output}",
        *(f"Taken     {one}" for one in planned_warm_start(prepared)),
        "First configurations",
        *(
            "  " + ", ".join(f"{k} {short(v)}" for k, v in prepared.space.told(params).items())
            for params in first_configurations(prepared, 3)
        ),
        f"Cost      {forecast(prepared)}",
    ]
    if prepared.task.stand_in:
        lines.insert(0, prepared.task.stand_in)
    return "\n".join(lines)


def python() -> str:
    """This interpreter, as one would type it here."""
    here, executable = Path.cwd(), Path(sys.executable)
    return str(executable.relative_to(here) if executable.is_relative_to(here) else executable)


def _audit(result: Mapping[str, Any]) -> str:
    labelled = result["data"]["rows"]["labelled"]
    judged = result["audited_rows"]
    of = "" if judged == labelled else f" (the labels of {judged} of {labelled} rows: the models had seen the others)"
    return f"Rows worth a second look: {result['audit']}{of}"


def _labels(result: Mapping[str, Any]) -> list[str]:
    """What one number for all labels hides."""
    data, found = result["data"], result["by_label"]
    lines = [data[word] for word in ("imbalance", "scarce") if data[word]]
    if found and (lines or len(found) > 2):
        hardest = sorted(found, key=lambda name: found[name]["f1"])[:HARDEST]
        told = (f"{name} {found[name]['f1']:.2f} ({found[name]['rows']} rows)" for name in hardest)
        lines.append(f"Labels with the lowest F1 on the test rows: {', '.join(told)}")
    return lines


def _named(what: str, names: Sequence[str]) -> list[str]:
    return [f"{what}: {', '.join(name.replace('_', ' ') for name in names)}"] if names else []


def _score_table(result: Mapping[str, Any]) -> list[str]:
    rows = [("this model", result["validation"], result["test"])]
    rows += [(name.replace("_", " "), one["validation"], one["test"]) for name, one in result["baselines"].items()]
    width = max(len(name) for name, _, _ in rows)
    held_out = f"held out ({result['held_out_rows']} rows)"
    return [
        f"{result['metric']:<{width}}  {held_out}   test, 95 % interval ({result['test']['rows']} rows)",
        *(
            f"{name:<{width}}  {validation:>{len(held_out)}.3f}   "
            f"{test['value']:.3f} ({test['low']:.3f} – {test['high']:.3f})"
            for name, validation, test in rows
        ),
    ]


def _range(distribution: Any) -> str:
    if hasattr(distribution, "choices"):
        return ", ".join(map(str, distribution.choices))
    scale = ", log scale" if distribution.log else ""
    return f"{short(distribution.low)} … {short(distribution.high)}{scale}"
