"""What trains one configuration again."""

from __future__ import annotations

import shlex

import yaml

from automl.dashboard.queries.params import MODEL
from automl.records import Trial
from automl.study.reader import StudyRecord


def as_space(trial: Trial) -> str | None:
    """A search space that holds this trial's configuration alone, as YAML; None where it was not recorded whole."""
    settings = {name: value for name, value in trial.facts.get("settings", {}).items() if name != MODEL}
    if not settings:
        return None
    space = {"name": f"trial-{trial.number}", "description": "One configuration", "params": settings}
    return yaml.safe_dump(space, sort_keys=False, allow_unicode=True)


def again_command(study: StudyRecord, trial: Trial) -> str | None:
    """What trains this configuration again, on the first fold; `as_space` has to be in the file that it names."""
    words = shlex.split(str(study.facts.get("command", "")))
    if not words or not trial.facts.get("settings"):
        return None
    kept, dropped = (
        [],
        {f"--{name}" for name in ("budget", "time-limit", "target", "search-space", "study-name", "output")},
    )
    model = trial.facts["settings"].get(MODEL)
    dropped |= {"--model"} if model else set()
    place = 0
    while place < len(words):
        option = words[place].partition("=")[0]
        if option in dropped:
            place += 1 if "=" in words[place] else 2
        elif option == "--warm-start":
            place += 1
        else:
            kept.append(words[place])
            place += 1
    kept += ["--search-space", f"trial-{trial.number}.yaml", "--budget", "1", "--study-name", f"trial-{trial.number}"]
    return shlex.join(kept + (["--model", str(model)] if model else []))
