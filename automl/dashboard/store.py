"""What the pages see of the database: read at most every few seconds, whoever asks, and ever less often as it grows."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from automl.study.reader import Reader, StudyRecord
from automl.study.summaries import StudySummary

SHORTEST, LONGEST = 4.0, 10.0  # seconds that an answer stands
TRIALS_A_SECOND = 1000  # it stands one second more for so many

Answer = TypeVar("Answer")


@dataclass
class _Kept(Generic[Answer]):
    answer: Answer
    until: float


class Store:
    """One for all sessions of the app.

    Args:
        clock: as `time.monotonic`.
    """

    def __init__(self, reader: Reader, clock: Callable[[], float] = time.monotonic) -> None:
        self._reader, self._clock = reader, clock
        self._lock = threading.Lock()
        self._summaries: _Kept[list[StudySummary]] | None = None
        self._studies: dict[str, _Kept[StudyRecord | None]] = {}

    def studies(self) -> list[StudySummary]:
        """Every study, the newest first. Raises StorageError."""
        with self._lock:
            if self._summaries is None or self._clock() >= self._summaries.until:
                answer = self._reader.studies()
                self._summaries = _Kept(answer, self._clock() + standing(sum(sum(s.trials.values()) for s in answer)))
            return self._summaries.answer

    def study(self, name: str) -> StudyRecord | None:
        """One with its trials. Raises StorageError."""
        with self._lock:
            kept = self._studies.get(name)
            if kept is None or self._clock() >= kept.until:
                answer = self._reader.study(name)
                size = len(answer.trials) if answer else 0
                kept = self._studies[name] = _Kept(answer, self._clock() + standing(size))
            return kept.answer


def standing(trials: int) -> float:
    """Seconds that an answer of so many trials stands."""
    return min(LONGEST, SHORTEST + trials / TRIALS_A_SECOND)
