"""How those who watch know that a search is at work, and how they ask it to stop: two facts of the study."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Self

from automl.errors import StorageError

if TYPE_CHECKING:
    from automl.study.record import Study

ALIVE, STOP = "alive", "stop"
BEAT_SECONDS = 5.0
SILENT_SECONDS = 30.0  # after so many without a beat a search is taken for dead


class Heart:
    """Within the block a thread tells every few seconds that this process searches, and hears whether it is to stop.

    Args:
        stop: called once, when a stop was asked for after the block began.
        beat_seconds: between two beats.
    """

    def __init__(self, study: Study, stop: Callable[[], None], *, beat_seconds: float = BEAT_SECONDS) -> None:
        self._study, self._stop, self._seconds = study, stop, beat_seconds
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heart", daemon=True)

    def __enter__(self) -> Self:
        with _database_may_be_away():
            if self._study.facts.get(STOP) is not None:
                self._study.record(STOP, None)  # it was meant for an earlier run
            self._say(now())
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()
        with _database_may_be_away():
            self._say(None)

    def _beat(self) -> None:
        asked = False
        while not self._over.wait(self._seconds):
            with _database_may_be_away():
                self._say(now())
                if not asked and self._study.facts.get(STOP) is not None:
                    asked = True
                    self._stop()

    def _say(self, at: datetime | None) -> None:
        fact = None if at is None else {"at": at.isoformat(), "host": socket.gethostname(), "process": os.getpid()}
        self._study.record(ALIVE, fact)


@contextlib.contextmanager
def _database_may_be_away() -> Iterator[None]:
    """That it does not answer is for the search itself to tell."""
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import SQLAlchemyError

    with contextlib.suppress(StorageInternalError, SQLAlchemyError):
        yield


def is_alive(facts: Mapping[str, Any], at: datetime) -> bool:
    """Whether a search over this study was at work a moment before, on some machine whose clock is about right."""
    beat = facts.get(ALIVE)
    return beat is not None and at - datetime.fromisoformat(beat["at"]) < timedelta(seconds=SILENT_SECONDS)


def is_here(facts: Mapping[str, Any]) -> bool:
    """Whether the search over this study that was at work last is, or was, one of this machine."""
    beat = facts.get(ALIVE)
    return beat is not None and beat.get("host") == socket.gethostname()


def require_alone(facts: Mapping[str, Any], study: str, at: datetime) -> None:
    """Refuse a study that another process searches: each would take the other's running trials for interrupted ones.

    A process of this machine that is gone does not count, though its last beat was a moment ago.

    Raises:
        StorageError: it is at work, on some machine, as far as is known.
    """
    if not is_alive(facts, at):
        return
    host, process, here = facts[ALIVE]["host"], int(facts[ALIVE]["process"]), is_here(facts)
    if here and (process == os.getpid() or not _is_running(process)):
        return
    raise StorageError(
        f"{study}: process {process} on {host} searches it; wait for it or name another --study-name"
        + ("" if here else f" (if it was killed: wait {SILENT_SECONDS:.0f} s)")
    )


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # of another user
        return True
    return True


def now() -> datetime:
    """By this machine's clock, in UTC."""
    return datetime.now(UTC)
