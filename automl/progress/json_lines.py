"""Progress for programs: one strict JSON object a line, its kind first under the key "event"."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from types import TracebackType
from typing import Any, Self, TextIO

import numpy as np

from automl.progress.events import (
    Event,
    Notice,
    PhaseStarted,
    ResultReady,
    StudyStarted,
    TrialEnded,
    TrialReported,
    TrialStarted,
)

NAMES: dict[type[Event], str] = {
    StudyStarted: "study_started",
    TrialStarted: "trial_started",
    TrialReported: "trial_reported",
    TrialEnded: "trial_ended",
    Notice: "notice",
    PhaseStarted: "phase_started",
    ResultReady: "result",
}


class JsonLines:
    """Writes every event as one line of JSON, at once."""

    def __init__(self, stream: TextIO) -> None:
        """Write to `stream`, which stays open."""
        self._stream = stream

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        return None

    def emit(self, event: Event) -> None:
        """Write the event's line."""
        content = event.payload if isinstance(event, ResultReady) else _plain(event)
        line = json.dumps(_plain({"event": NAMES[type(event)], **content}), allow_nan=False)
        self._stream.write(line + "\n")
        self._stream.flush()


def _plain(value: Any) -> Any:
    """The value in JSON's own types. JSON has no NaN and no infinity: they become null."""
    if isinstance(value, (np.ndarray, np.generic)):
        value = value.tolist()
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, (bool, int, str)) else str(value)
