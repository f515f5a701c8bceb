"""Progress on a terminal: a table that is drawn over itself while the search runs, and stays when it has ended."""

from __future__ import annotations

import time
from threading import Lock
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from automl.progress import text
from automl.progress.events import (
    Event,
    Notice,
    PhaseStarted,
    Standing,
    StudyStarted,
    TrialEnded,
    TrialReported,
    TrialStarted,
)
from automl.progress.tally import Tally
from automl.records import State

SHOWN_BEST = 5
SHOWN_RUNNING = 8
_OTHER_LINES = SHOWN_BEST + 9  # of the picture: all but the running trials
_STATES = ((State.COMPLETE, "complete", "green"), (State.PRUNED, "pruned", "yellow"), (State.FAIL, "failed", "red"))


class LiveTable:
    """Draws the running trials, the configurations that lead, counts and times, four times a second."""

    def __init__(self, console: Console) -> None:
        """Draw on `console`. What others print to stderr meanwhile appears above; stdout is left alone."""
        self._console = console
        self._lock = Lock()  # rich draws from its own thread
        self._began = time.monotonic()
        self._study: StudyStarted | None = None
        self._tally: Tally | None = None
        self._running: dict[int, tuple[TrialStarted, TrialReported | None]] = {}
        self._phase = ""
        self._over = False
        self._live = Live(
            console=console, get_renderable=self._picture, refresh_per_second=4, redirect_stdout=False, transient=False
        )

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._lock:
            self._running.clear()
            self._phase, self._over = "", True
        self._live.stop()

    def emit(self, event: Event) -> None:
        """Take the event into the next picture. Notices and failures also stay above it."""
        with self._lock:
            self._take(event)
        match event:  # printing waits for the thread that draws, so the lock must be free
            case Notice():
                warning = event.level == "warning"
                self._say(f"warning: {event.text}" if warning else event.text, "yellow" if warning else "")
            case TrialEnded(state=State.FAIL):
                self._say(f"trial {event.number} failed: {event.error or 'no reason given'}", "red")

    def _say(self, line: str, style: str) -> None:
        self._console.print(Text(text.one_line(line), style))

    def _take(self, event: Event) -> None:
        now = time.monotonic() - self._began
        match event:
            case StudyStarted():
                self._began, self._study, self._tally = time.monotonic(), event, Tally(event)
            case TrialStarted():
                self._phase = ""
                self._running[event.number] = (event, None)
                if self._tally:
                    self._tally.start(event.number, now)
            case TrialReported() if event.number in self._running:
                self._running[event.number] = (self._running[event.number][0], event)
            case TrialEnded():
                self._running.pop(event.number, None)
                if self._tally:
                    self._tally.end(event)
            case PhaseStarted():
                self._phase = text.one_line(event.text)

    def _picture(self) -> Group:
        with self._lock:
            study, tally, running = self._study, self._tally, list(self._running.values())
            parts: list[Text | Table] = []
            if study and tally:
                now = time.monotonic() - self._began
                left = None if self._over else tally.remaining(now)
                parts = [_title(study), _total(study, tally, now, left), _counts(study, tally)]
            if running:
                rows = max(1, min(SHOWN_RUNNING, self._console.height - _OTHER_LINES))
                parts += [Text(), _running_table(running[:rows])]
                if len(running) > rows:
                    parts.append(Text(f"         and {len(running) - rows} more running", "dim"))
            if tally and (leaders := tally.leaders(SHOWN_BEST)):
                parts += [Text(), _best_table(leaders)]
            if self._phase:
                parts.append(_line(f"... {self._phase}", "cyan"))
        return Group(*parts)


def _line(line: str, style: str = "") -> Text:
    return Text(line, style, no_wrap=True, overflow="ellipsis")


def _bar(share: float, width: int) -> Text:
    full = round(min(1.0, max(0.0, share)) * width)
    return Text.assemble(("━" * full, "green"), ("─" * (width - full), "dim"))


def _title(study: StudyStarted) -> Text:
    model = ", ".join(name.rsplit("/", 1)[-1] for name in study.model.split(", "))
    words = " · ".join(text.one_line(word) for word in (study.task, model, study.metric, f"study {study.study}"))
    return _line(words, "bold")


def _total(study: StudyStarted, tally: Tally, now: float, left: float | None) -> Text:
    times = f" · {text.duration(now)}" + (f" · about {text.duration(left)} left" if left else "")
    line = _bar(tally.ended / max(1, study.budget), 30)
    line.append(f" {tally.ended}/{study.budget} trials{times}")
    line.no_wrap, line.overflow = True, "ellipsis"
    return line


def _counts(study: StudyStarted, tally: Tally) -> Text:
    parts = [Text(f"{tally.counts[state]} {word}", style) for state, word, style in _STATES if tally.counts[state]]
    parts += [Text(f"{study.done} done before", "dim")] if study.done else []
    parts += [Text(f"{study.resumed} run again", "dim")] if study.resumed else []
    line = Text(" · ").join(parts)
    line.no_wrap, line.overflow = True, "ellipsis"
    return line


def _table(name: str, second: str) -> Table:
    """Columns of the same widths for running and for ended trials; what is too wide is cut, never wrapped."""
    table = Table(box=None, expand=True, padding=(0, 2, 0, 0), header_style="dim", pad_edge=False)
    table.add_column(name, width=7, justify="right", no_wrap=True)
    table.add_column(second, width=16, no_wrap=True)
    table.add_column("value", width=7, no_wrap=True)
    table.add_column("params", ratio=1, no_wrap=True, overflow="ellipsis")
    return table


def _running_table(running: list[tuple[TrialStarted, TrialReported | None]]) -> Table:
    table = _table("running", "step")
    for trial, report in running:
        step = Text("starting", "dim")
        if report:
            step = _bar(report.step / max(1, report.steps), 8).append(f" {report.step}/{report.steps}")
        value = text.score(report.value if report else None)
        table.add_row(f"#{trial.number}", step, value, Text(text.params(trial.params)))
    return table


def _best_table(leaders: list[Standing]) -> Table:
    table = _table("best", "trained")
    for rank, one in enumerate(leaders):
        times, value = f"{one.trainings} time{'s' if one.trainings > 1 else ''}", text.score(one.mean)
        table.add_row(
            f"#{one.configuration}", times, value, Text(text.params(one.params)), style="" if rank else "bold green"
        )
    return table
