"""The dashboard as its own command starts it, for browsers."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
CHROMIUM_QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
START_SECONDS = 60


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextmanager
def serving(folder: Path, **environment: str) -> Iterator[str]:
    """Its address, while it runs in a folder."""
    port = free_port()
    line = [sys.executable, "-m", "automl.dashboard", "--no-browser", "--port", str(port)]
    whole: Mapping[str, str] = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    with (folder / "dashboard.log").open("w") as log:
        process = subprocess.Popen(line, cwd=folder, env=whole, stdout=log, stderr=log)
        try:
            wait_for(f"http://127.0.0.1:{port}")
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(timeout=20)


def wait_for(address: str) -> None:
    """Until the app answers there."""
    ends = time.monotonic() + START_SECONDS
    while True:
        try:
            with urllib.request.urlopen(f"{address}/_stcore/health", timeout=1):
                return
        except OSError:
            assert time.monotonic() < ends, f"nothing answers at {address}"
            time.sleep(0.2)
