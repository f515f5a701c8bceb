"""The plan and the result as text for a person."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from automl.params import told
from automl.prepare import Prepared, describe_data


def result_text(result: Mapping[str, Any]) -> str:
    """What the search found, what it is worth, where it is and what to do next."""
    winner, test, trials, estimate = result["winner"], result["test"], result["trials"], result["estimate"]
    lines = [
        "",
        f"Winner: the configuration of trial {winner['trial']}{f', {arm}' if (arm := winner['arm']) else ''}, in "
        f"{len(winner['trainings'])} trainings; {sum(trials.values())} trials in all "
        f"({trials['complete']} complete, {trials['pruned']} pruned, {trials['fail']} failed)",
        *(f"  {name} = {short(value)}" for name, value in told(winner["params"], winner["named"]).items()),
        "",
        f"Expected on unseen data: {result['metric']} {estimate['value']:.3f} "
        f"({estimate['low']:.3f} – {estimate['high']:.3f}, 95 %), from {result['data']['compared']}",
        *_no_better(result["not_distinguishable_from"]),
        "",
        f"{result['metric']:<34}{'held out':>10}   test, 95 % interval ({test['rows']} rows)",
        _score_line("this model", result["validation"], test),
        *(
            _score_line(name.replace("_", " "), scores["validation"], scores["test"])
            for name, scores in result["baselines"].items()
        ),
        "",
        f"{result['seconds']:.0f} s. Model folder: {result['model_dir']}",
    ]
    if result["original"]:
        kept = result["original"]
        lines.append(
            f"The winner's own {kept['models']} models are in its folder original: "
            f"test {result['metric']} {kept['test']['value']:.3f} together"
        )
    lines += [f"Shipped: {result['shipped']}.", f"Rows worth a second look: {result['audit']}"]
    if result["data"]["imbalance"]:
        lines.append(f"{result['data']['imbalance']} Accuracy can hide that the rare labels are missed.")
    ended = sum(trials.values())
    if ended < result["budget"]:
        if result["interrupted"]:
            lines.append(f"Interrupted after {ended} of {result['budget']} trials: the same command goes on.")
        else:
            lines.append(f"Ended after {ended} of {result['budget']} trials: time was up, or more was unlikely to pay.")
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
    from automl.forecast import first_configurations, forecast

    data, request = describe_data(prepared), prepared.request
    arms = {arm.name: prepared.space.distributions(arm.name) for arm in prepared.space.arms}
    distributions = {name: one for searched in arms.values() for name, one in searched.items()}
    lines = [
        f"Task      {prepared.task.name} ({prepared.kind.name}, metric {prepared.kind.metric})",
        f"Data      {data['source']}, fingerprint {data['fingerprint'][:16]}",
        *(
            f"  {name:<11}{data['rows'][name]:>6} rows: " + ", ".join(f"{label} {n}" for label, n in counts.items())
            for name, counts in data["labels"].items()
        ),
        *([f"  {data['imbalance']}"] if data["imbalance"] else []),
        *(f"  dropped    {count:>6} rows: {reason}" for reason, count in data["dropped"].items()),
        f"Model     {prepared.checkpoint.name} ({prepared.checkpoint.source}), {prepared.depth} layers, "
        f"up to {prepared.max_length} tokens",
        f"Space     {prepared.space.written.name}, {len(distributions)} params searched",
        *(f"  {name:<44}{_range(distribution)}" for name, distribution in distributions.items()),
        f"Study     {prepared.study_name}, budget {request.budget} trials; model goes to {prepared.output}",
        "First configurations",
        *(
            "  " + ", ".join(f"{k} {short(v)}" for k, v in params.items())
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


def short(value: Any) -> str:
    """A value with the digits that a reader needs."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _no_better(names: Sequence[str]) -> list[str]:
    return [f"It cannot be told from: {', '.join(name.replace('_', ' ') for name in names)}"] if names else []


def _score_line(name: str, validation: float, test: Mapping[str, float]) -> str:
    return f"{name:<34}{validation:>10.3f}   {test['value']:.3f} ({test['low']:.3f} – {test['high']:.3f})"


def _range(distribution: Any) -> str:
    if hasattr(distribution, "choices"):
        return ", ".join(map(str, distribution.choices))
    scale = ", log scale" if distribution.log else ""
    return f"{short(distribution.low)} … {short(distribution.high)}{scale}"
