"""What a new search takes from the other studies of its database: the configurations that came furthest there."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from automl.errors import StorageError
from automl.progress import text
from automl.records import State, Trial
from automl.spaces import BoundSpace
from automl.study import Reader
from automl.study.summaries import StudySummary
from automl.tuning.configurations import Cell, Configuration, configuration_of, configurations
from automl.tuning.job import SEARCH

WARM_START = "warm_start"  # the study's fact that says what it took, so that it goes on as it began
MOST, MOST_OF_ONE = 6, 2  # configurations: in all, and of one study


@dataclass(frozen=True)
class Taken:
    """A configuration of another study: its first trial there, and its mean value over so many trainings."""

    study: str
    trial: int
    metric: str
    value: float
    trainings: int
    params: Mapping[str, Any]  # by Optuna's names

    def __str__(self) -> str:
        trainings = "a training" if self.trainings == 1 else f"{self.trainings} trainings"
        worth = f"{self.metric} {self.value:.3f} in {trainings}"
        return f"trial {self.trial} of study {self.study}, {worth}: {text.params(self.params)}"


def warm_start(url: str, name: str, facts: Mapping[str, Any], space: BoundSpace) -> list[Taken]:
    """What the study of this name begins with: what it has recorded, or else the best of the other studies.

    One of the same data with other test rows is passed over: it may have chosen by this one's.

    Args:
        facts: "kind", "model" and "data" of the study, as they are recorded with it.

    Raises:
        StorageError: the database cannot be opened.
    """
    with contextlib.closing(Reader(url)) as reader:
        studies = [study for study in reader.studies() if study.is_search]
        own = next((study for study in studies if study.name == name), None)
        if own is not None and (WARM_START in own.facts or own.trials):
            return recorded(own.facts)
        others = [study for study in studies if study.name != name and study.facts.get("kind") == facts["kind"]]
        others = [study for study in others if not _had_the_test_rows(study.facts, facts)]
        others.sort(key=lambda study: _distance(study.facts, facts))  # stable: among equals the newest comes first
        return _best(others, reader, space)


def recorded(facts: Mapping[str, Any]) -> list[Taken]:
    """What a study took when it began."""
    return [Taken(**one) for one in facts.get(WARM_START, [])]


def in_order(taken: Iterable[Taken], recipes: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """What is tried before a sampler proposes: what did well elsewhere, then the space's own recipes.

    A recipe is a guess for any task, what was taken is evidence from one: it is first to be tried, and first to be at
    a rung that others have to pass. All recipes follow, in case that other task was too unlike this one.
    """
    first = [one.params for one in taken]
    return [*first, *(recipe for recipe in recipes if recipe not in first)]


def _best(studies: Iterable[StudySummary], reader: Reader, space: BoundSpace) -> list[Taken]:
    """The best of each study in turn. One that is tried anyway takes its place without being named."""
    taken: list[Taken] = []
    known: list[Mapping[str, Any]] = [*space.recipes()]
    for study in studies:
        if len(taken) == MOST:
            break
        fitting = [one for one in configurations(_completed(_trials(reader, study.name))) if space.has(one.params)]
        for one in sorted(fitting, key=_rank, reverse=True)[:MOST_OF_ONE]:
            if one.params not in known and len(taken) < MOST:
                known.append(one.params)
                taken.append(_taken(study, one))
    return taken


def _trials(reader: Reader, name: str) -> Sequence[Trial]:
    """All of a study; none where it was deleted a moment ago, or a later version wrote it."""
    try:
        found = reader.study(name)
    except StorageError:
        return []
    return found.trials if found is not None else []


def _completed(trials: Sequence[Trial]) -> list[Trial]:
    """Those that a configuration can be judged by: what still runs, was stopped or is not understood says nothing."""
    done = [
        trial
        for trial in trials
        if trial.state is State.COMPLETE and trial.value is not None and {"fold", "seed"} <= trial.facts.keys()
    ]
    begun = {configuration_of(trial) for trial in done if trial.facts.get("stage") == SEARCH}
    return [trial for trial in done if configuration_of(trial) in begun]


def _rank(one: Configuration) -> tuple[int, tuple[float, float, int]]:
    """As in the race of its own study: who came furthest, then the mean value, loss and age."""
    return len(one.trials), one.worth(_cells(one))


def _cells(one: Configuration) -> list[Cell]:
    return list(one.trials)


def _taken(study: StudySummary, one: Configuration) -> Taken:
    value, _, _ = one.worth(_cells(one))
    return Taken(
        study.name, one.number, str(study.facts.get("metric", "value")), value, len(one.trials), dict(one.params)
    )


def _had_the_test_rows(other: Mapping[str, Any], own: Mapping[str, Any]) -> bool:
    """Whether another study may have chosen by rows that are this one's test rows: of the same data it kept others."""
    theirs, ours = (facts.get("data") or {} for facts in (other, own))
    return theirs.get("source") == ours.get("source") and theirs.get("test_rows") != ours.get("test_rows")


def _distance(other: Mapping[str, Any], own: Mapping[str, Any]) -> tuple[int, bool]:
    """How unlike the data of two studies are: 0 the same rows, 1 as many labels, 2 neither; then whether models are."""
    theirs, ours = _data(other), _data(own)
    alike = 0 if theirs[0] == ours[0] else 1 if theirs[1] == ours[1] else 2
    return alike, other.get("model") != own.get("model")


def _data(facts: Mapping[str, Any]) -> tuple[str | None, int]:
    """Fingerprint and number of labels."""
    data = facts.get("data") or {}
    return data.get("fingerprint"), len(next(iter(data.get("labels", {}).values()), ()))
