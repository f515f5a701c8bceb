"""The command line: `python -m automl.dashboard`."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from automl.doors import DEFAULT_STORAGE, STORAGE_VARIABLE, run, stoppable

LOCAL = "127.0.0.1"
COLOUR = "#0072B2"  # of what can be clicked; everyone can tell it from the rest
GIVE_WAY = 10  # niceness: whoever looks waits a moment, a search beside it does not

app = typer.Typer(add_completion=False, rich_markup_mode="rich", pretty_exceptions_enable=False)


@app.command()
@stoppable("stopped")
def command(
    storage: Annotated[
        str,
        typer.Option(
            help="SQLAlchemy URL of the study database, which is only read. One with a password is better given in the "
            "environment.",
            envvar=STORAGE_VARIABLE,
        ),
    ] = DEFAULT_STORAGE,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8501,
    address: Annotated[
        str,
        typer.Option(
            help="Address to listen on. There is no login: listen elsewhere only behind a proxy that has one."
        ),
    ] = LOCAL,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open a browser.")] = True,
) -> None:
    """Open the dashboard, and keep it open until Ctrl-C. It follows a running search."""
    from automl.errors import UsageError

    if importlib.util.find_spec("streamlit") is None:
        raise UsageError("the dashboard needs streamlit and plotly: pip install 'automl-search[dashboard]'")
    options = {
        "server.address": address,
        "server.port": port,
        "server.headless": not browser,
        "server.fileWatcherType": "none",
        "server.runOnSave": False,
        "runner.postScriptGC": False,  # a whole collection after each look took four fifths of its time
        "server.showEmailPrompt": False,  # where it never ran before it would else wait for an address
        "browser.gatherUsageStats": False,
        "browser.serverAddress": address,
        "client.toolbarMode": "viewer",
        "client.showErrorDetails": "none",
        "server.maxUploadSize": 50,
        "theme.light.primaryColor": COLOUR,
        "theme.dark.primaryColor": COLOUR,
    }
    flags = [f"--{name}={str(value).lower()}" for name, value in options.items()]
    script = Path(__file__).with_name("app.py")
    # This process becomes Streamlit's: Ctrl-C and the exit code are its own. The URL travels unseen by other users.
    os.environ[STORAGE_VARIABLE] = storage
    os.nice(GIVE_WAY)
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", "streamlit", "run", str(script), *flags])  # noqa: S606


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point."""
    run(app, "python -m automl.dashboard", arguments)


if __name__ == "__main__":
    main()
