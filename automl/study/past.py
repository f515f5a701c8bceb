"""Studies of earlier searches, only read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from automl.records import Trial
from automl.study.record import IDENTITY, trial_of
from automl.study.storage import close, open_to_read

if TYPE_CHECKING:
    import optuna


@dataclass(frozen=True)
class PastStudy:
    """What a database has of a search, to be read only; `trials` reads them now, and gives none where it cannot."""

    name: str
    facts: Mapping[str, Any]
    trials: Callable[[], list[Trial]]


@contextmanager
def past_studies(url: str) -> Iterator[list[PastStudy]]:
    """Within the block, every study that searches left in the database, the newest first. Nothing is written.

    Studies of other tools are passed over. Where there is no database yet, there are none.

    Raises:
        StorageError: the database cannot be opened.
    """
    storage = open_to_read(url)
    if storage is None:
        yield []
        return
    try:
        found = [study for study in storage.get_all_studies() if IDENTITY in study.user_attrs]
        newest_first = sorted(found, key=lambda study: study._study_id, reverse=True)
        yield [
            PastStudy(study.study_name, study.user_attrs, _reader(storage, study._study_id)) for study in newest_first
        ]
    finally:
        close(storage)


def _reader(storage: optuna.storages.RDBStorage, study_id: int) -> Callable[[], list[Trial]]:
    def trials() -> list[Trial]:
        try:
            return [trial_of(frozen) for frozen in storage.get_all_trials(study_id, deepcopy=False)]
        except (KeyError, ValueError):  # it was deleted a moment ago, or a later version wrote it
            return []

    return trials
