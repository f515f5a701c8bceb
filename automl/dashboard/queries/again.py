"""What trains one configuration again."""

from __future__ import annotations

import shlex

import yaml

from automl.commands import without
from automl.dashboard.queries.params import MODEL
from automl.records import Trial
from automl.study.reader import StudyRecord

REPLACED = ("--budget", "--time-limit", "--target", "--search-space", "--study-name", "--output")  # each has a value

MOST_NAMED = 100  # characters of a study's name


def as_space(trial: Trial) -> str | None:
    """A search space that holds this trial's configuration alone, as YAML; None where it was not recorded whole."""
    settings = {name: value for name, value in trial.facts.get("settings", {}).items() if name != MODEL}
    if not settings:
        return None
    space = {"name": f"trial-{trial.number}", "description": "One configuration", "params": settings}
    return yaml.safe_dump(space, sort_keys=False, allow_unicode=True)


def again_command(study: StudyRecord, trial: Trial) -> str | None:
    """What trains this configuration again, on the first fold; `as_space` has to be in the file that it names."""
    command, settings = str(study.facts.get("command", "")), trial.facts.get("settings")
    if not study.is_search or not command or not settings:
        return None
    short = settings.get(MODEL)
    models = str(study.facts.get("model") or "").split(", ")
    model = next((one for one in models if short and one.rsplit("/", 1)[-1] == str(short).rsplit("/", 1)[-1]), short)
    name = f"{study.name}-trial-{trial.number}"[-MOST_NAMED:].lstrip("._-")  # one of its own in the same database
    kept = without(command, {*REPLACED, *(["--model"] if model else [])}, {"--warm-start"})
    kept += ["--search-space", f"trial-{trial.number}.yaml", "--budget", "1", "--study-name", name]
    return shlex.join(kept + (["--model", str(model)] if model else []))
