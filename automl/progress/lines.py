"""Progress where no one can watch a table: one line for each thing that is worth keeping in a log."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self, TextIO

from automl.progress import text
from automl.progress.events import Event, Notice, PhaseStarted, StudyStarted, TrialEnded, TrialStarted
from automl.progress.tally import Tally


class PlainLines:
    """Writes a line for the study, each ended trial, each phase and each notice."""

    def __init__(self, stream: TextIO) -> None:
        """Write to `stream`, which stays open."""
        self._stream = stream
        self._began = 0.0
        self._budget = 0
        self._tally: Tally | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        return None

    def emit(self, event: Event) -> None:
        """Write the event's line, if it has one."""
        match event:
            case StudyStarted():
                self._began, self._budget, self._tally = time.monotonic(), event.budget, Tally(event)
                self._write(study_line(event))
            case TrialStarted() if self._tally:
                self._tally.start(event.number, time.monotonic() - self._began)
            case TrialEnded() if self._tally:
                self._tally.end(event)
                left = self._tally.remaining(time.monotonic() - self._began)
                self._write(trial_line(event, self._tally, self._budget, left))
            case PhaseStarted():
                self._write(event.text)
            case Notice():
                self._write(f"warning: {event.text}" if event.level == "warning" else event.text)

    def _write(self, line: str) -> None:
        self._stream.write(text.one_line(line) + "\n")
        self._stream.flush()


def study_line(study: StudyStarted) -> str:
    """What is searched, how far it had come, and where it is recorded."""
    before = f", {study.done} done before" if study.done else ""
    before += f", {study.resumed} run again" if study.resumed else ""
    limit = f", at most {text.duration(study.time_limit)}" if study.time_limit is not None else ""
    workers = f"{study.workers} worker{'s' if study.workers != 1 else ''}"
    what = f"study {study.study}: task {study.task}, model {study.model}, metric {study.metric}"
    return f"{what}, {study.budget} trials{before}{limit}, {workers}, recorded in {study.storage}"


def trial_line(trial: TrialEnded, tally: Tally, budget: int, left: float | None) -> str:
    """How a trial ended, in one line whose parts stand in the same order for every trial."""
    took = f"{trial.state.value} {text.score(trial.value)} in {text.duration(trial.seconds)}"
    so_far = _leader(tally) + (f", {text.duration(left)} left" if left else "")
    error = f" | error: {trial.error}" if trial.error else ""
    return f"{tally.ended}/{budget} | trial {trial.number} | {took} | {so_far} | {text.params(trial.params)}{error}"


def _leader(tally: Tally) -> str:
    for one in tally.leaders(1):
        times = f" over {one.trainings}" if one.trainings > 1 else ""
        return f"#{one.configuration} leads with {text.score(one.mean)}{times}"
    return "none is complete"
