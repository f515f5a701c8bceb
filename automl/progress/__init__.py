"""How a search tells the terminal what happens: it emits events, and one of three renderers shows them.

with make_progress(json=False) as progress:
    progress.emit(StudyStarted(...))
    progress.emit(TrialEnded(...))
"""

from __future__ import annotations

import os
import sys
from types import TracebackType
from typing import Protocol, Self, TextIO

from automl.progress.events import (
    Event,
    Notice,
    PhaseStarted,
    ResultReady,
    Standing,
    StudyStarted,
    TrialEnded,
    TrialReported,
    TrialStarted,
)
from automl.progress.tally import Tally

__all__ = [
    "Event",
    "Notice",
    "PhaseStarted",
    "Progress",
    "ResultReady",
    "Standing",
    "StudyStarted",
    "Tally",
    "TrialEnded",
    "TrialReported",
    "TrialStarted",
    "make_progress",
]


class Progress(Protocol):
    """Shows events while its `with` block runs. `emit` is called from one thread."""

    def emit(self, event: Event) -> None:
        """Show one event."""

    def __enter__(self) -> Self:
        """Start showing."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop showing; the terminal is as it was, below the last picture."""


def make_progress(json: bool, stream: TextIO | None = None) -> Progress:
    """The renderer for where the output goes.

    Args:
        json: one JSON object a line, for programs; otherwise a live table on a terminal and plain lines elsewhere.
        stream: where to write; by default stdout for JSON, which gets nothing else, and stderr for people.
    """
    if json:
        from automl.progress.json_lines import JsonLines

        return JsonLines(stream or sys.stdout)
    stream = stream or sys.stderr
    if stream.isatty() and os.environ.get("TERM") != "dumb" and _has_box_characters(stream):
        from rich.console import Console

        from automl.progress.live import LiveTable

        return LiveTable(Console(file=stream))
    from automl.progress.lines import PlainLines

    return PlainLines(stream)


def _has_box_characters(stream: TextIO) -> bool:
    return (stream.encoding or "").lower().replace("-", "").startswith("utf")
