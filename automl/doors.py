"""How every command line ends: expected errors are one line and an exit code, the rest is a bug with its traceback."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, ParamSpec

from automl.errors import AutomlError, Interrupted

if TYPE_CHECKING:
    import typer

STORAGE_VARIABLE = "AUTOML_STORAGE"  # the URL may hold a password, which a command line would show to everyone
DEFAULT_STORAGE = "sqlite:///runs/studies.db"

Params = ParamSpec("Params")


def stoppable(told: str) -> Callable[[Callable[Params, int | None]], Callable[Params, int | None]]:
    """Make a command end with exit code 130 and a line when the user stops it, or nobody reads its output any more.

    Typer has its own ends for both: without a word, and with code 1 for the second.

    Args:
        told: that line.
    """

    def decorate(command: Callable[Params, int | None]) -> Callable[Params, int | None]:
        @functools.wraps(command)
        def stopped_or_done(*values: Params.args, **options: Params.kwargs) -> int | None:
            try:
                return command(*values, **options)
            except (KeyboardInterrupt, BrokenPipeError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is still buffered
                raise Interrupted(told) from None

        return stopped_or_done

    return decorate


def run(app: typer.Typer, name: str, arguments: Sequence[str] | None) -> None:
    """Run a command line.

    Args:
        name: as the user typed it.
    """
    try:
        app(arguments, prog_name=name)
    except AutomlError as error:
        print(error if isinstance(error, Interrupted) else f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
