"""A real PostgreSQL server of the tests' own, on a Unix socket, gone when the test run ends."""

from __future__ import annotations

import atexit
import itertools
import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from urllib.parse import quote

import pytest

_names = itertools.count()


def empty_database() -> str:
    """The URL of a new database."""
    folder = _server()
    name = f"db{next(_names)}"
    _as_server_user([_tool("createdb"), "-h", str(folder), name])
    return f"postgresql+psycopg://postgres@/{name}?host={quote(str(folder), safe='')}"


@cache
def _server() -> Path:
    """Start a server once; its socket and data folder."""
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
    if os.getuid() == 0:
        shutil.chown(folder, "postgres")
    data = folder / "data"
    _as_server_user([_tool("initdb"), "-D", str(data), "-U", "postgres", "-A", "trust", "--no-sync"])
    options = f"-k {folder} -c listen_addresses='' -c fsync=off"
    _as_server_user([_tool("pg_ctl"), "-D", str(data), "-o", options, "-w", "-l", str(folder / "log"), "start"])

    def stop() -> None:
        _as_server_user([_tool("pg_ctl"), "-D", str(data), "-m", "immediate", "stop"])
        shutil.rmtree(folder, ignore_errors=True)

    atexit.register(stop)
    return folder


def _tool(name: str) -> str:
    places = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    found = str(places[-1]) if places else shutil.which(name)
    if found is None:
        pytest.skip(f"PostgreSQL's {name} is not installed")
    return found


def _as_server_user(command: list[str]) -> None:
    """PostgreSQL refuses to run as root."""
    if os.getuid() == 0:
        command = ["runuser", "-u", "postgres", "--", *command]
    subprocess.run(command, check=True, capture_output=True, cwd="/", timeout=60)
