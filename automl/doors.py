"""How every command line ends: expected errors are one line and an exit code, the rest is a bug with its traceback."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from automl.errors import AutomlError

if TYPE_CHECKING:
    import typer

STORAGE_VARIABLE = "AUTOML_STORAGE"  # the URL may hold a password, which a command line would show to everyone
DEFAULT_STORAGE = "sqlite:///runs/studies.db"


def run(app: typer.Typer, name: str, arguments: Sequence[str] | None, interrupted: str) -> None:
    """Run a command line.

    Args:
        name: as the user typed it.
        interrupted: what is said when the user stops it.
    """
    try:
        app(arguments, prog_name=name)
    except AutomlError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, BrokenPipeError):  # or whoever read our output is gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        print(interrupted, file=sys.stderr)
        sys.exit(130)
