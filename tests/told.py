"""A progress that remembers what it was told."""

from __future__ import annotations

from automl.progress import Event, Notice


class Told:
    """Every event, in order."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def texts(self, *levels: str) -> list[str]:
        """What was said beside the trials; of these levels, or of all."""
        notices = [event for event in self.events if isinstance(event, Notice)]
        return [notice.text for notice in notices if not levels or notice.level in levels]

    def emit(self, event: Event) -> None:
        self.events.append(event)

    def __enter__(self) -> Told:
        return self

    def __exit__(self, *error: object) -> None:
        pass
