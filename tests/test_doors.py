"""How a command line ends when the user stops it, or nobody reads its output any more."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

import pytest

COMMAND = """
import signal, sys, time
import typer
from automl.doors import run, stoppable
from automl.errors import DataError

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell that runs tests in the background has it ignored
app = typer.Typer()

@app.command()
@stoppable("stopped: nothing was lost")
def command(kind: str) -> None:
    print("begun", flush=True)
    if kind == "bad":
        raise DataError("row 3: no label")
    while kind == "slow":
        time.sleep(0.01)
    while kind == "long":
        print("line")

run(app, "it", sys.argv[1:])
"""


@contextmanager
def started(kind: str) -> Iterator[tuple[subprocess.Popen[str], IO[str]]]:
    """The process and its output, once the command has begun."""
    with subprocess.Popen(
        [sys.executable, "-c", COMMAND, kind], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        try:
            yield process, process.stdout
        finally:
            process.kill()


def end(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Exit code and what was said of it."""
    assert process.stderr is not None
    return process.wait(timeout=30), process.stderr.read()


def test_an_interrupt_is_one_line_and_130() -> None:
    with started("slow") as (process, _):
        process.send_signal(signal.SIGINT)
        assert end(process) == (130, "stopped: nothing was lost\n")


def test_a_reader_that_is_gone_is_an_interrupt_and_no_failed_search() -> None:
    with started("long") as (process, output):
        output.close()
        assert end(process) == (130, "stopped: nothing was lost\n")


@pytest.mark.parametrize(("kind", "ends"), [("bad", (2, "error: row 3: no label\n")), ("fine", (0, ""))])
def test_other_ends_are_as_they_were(kind: str, ends: tuple[int, str]) -> None:
    with started(kind) as (process, _):
        assert end(process) == ends
