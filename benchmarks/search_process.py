"""A competitor's process: what it prints and when, and a hard end for it and for everything that it started."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

TAIL = 4000  # characters of its errors that are told


@dataclass(frozen=True)
class Ended:
    """What is left of a process.

    Args:
        seconds: from its start to its end.
        lines: of its standard output, each after the seconds at which it came.
        errors: the end of its standard error.
        code: its exit code; None where it was killed for its time.
    """

    seconds: float
    lines: tuple[tuple[float, str], ...]
    errors: str
    code: int | None


def run_limited(command: Sequence[str], kill_after: float, folder: Path, environment: Mapping[str, str]) -> Ended:
    """Run a command in a session of its own, and end whatever is left of the session when it is over.

    Args:
        kill_after: seconds.
        folder: its working directory.
    """
    with tempfile.TemporaryFile() as errors:
        began = time.monotonic()
        process = subprocess.Popen(
            command, cwd=folder, env=dict(environment), stdout=subprocess.PIPE, stderr=errors, start_new_session=True
        )
        lines: list[tuple[float, str]] = []
        reader = threading.Thread(target=_stamp, args=(process, began, lines), daemon=True)
        reader.start()
        try:
            code: int | None = process.wait(kill_after)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            seconds = time.monotonic() - began
            _kill(process.pid)
            process.wait()
        reader.join(timeout=10)
        errors.seek(0)
        return Ended(seconds, tuple(lines), errors.read().decode(errors="replace")[-TAIL:], code)


def _stamp(process: subprocess.Popen[bytes], began: float, lines: list[tuple[float, str]]) -> None:
    assert process.stdout is not None
    with process.stdout as stdout:
        for line in stdout:
            lines.append((time.monotonic() - began, line.decode(errors="replace").rstrip("\n")))


def _kill(leader: int) -> None:
    """End a session's processes, and those that left it while their parents were still there."""
    while members := _members(leader):
        for pid in members:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)


def _members(leader: int) -> set[int]:
    alive = [(pid, parent, session) for pid, parent, session, state in _processes() if state not in "ZX"]
    members = {pid for pid, _, session in alive if leader in (pid, session)}
    while more := {pid for pid, parent, _ in alive if parent in members} - members:
        members |= more
    return members


def _processes() -> list[tuple[int, int, int, str]]:
    """Process, parent, session and state of all there are."""
    found = []
    for file in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, parent, _, session = file.read_text(errors="replace").rpartition(")")[2].split()[:4]
            found.append((int(file.parent.name), int(parent), int(session), state))
    return found
