"""A script for a process of its own: get one named file from the package index as pip would, and nothing else.

`pip download` would run an sdist's setup.py to learn its metadata. This asks pip's finder for the links and pip's
session (proxies, certificates, credentials) for the bytes, so no code of the package is built or run.

Usage: pip_child.py PROJECT FILENAME TARGET. Exit status 3: the index was asked and has no such file.
"""

from __future__ import annotations

import logging
import shutil
import sys
from typing import Any

QUICK = ["--no-deps", "--no-input", "--disable-pip-version-check", "--retries", "1", "--timeout", "10"]
# Formats are reset because a user's `only-binary` would hide an sdist; the file is pinned, so nothing else can come.
FORMATS = ["--only-binary", ":none:", "--no-binary", ":none:"]
NOT_THERE = 3


class Failures(logging.Handler):
    """Keeps what pip logs of the pages that it could not read, and its last warning; stderr stays quiet."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.warning = ""

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno >= logging.WARNING:
            self.warning = record.getMessage()
        page = record.getMessage().partition("Could not fetch URL ")[2]
        if page:
            address, _, why = page.removesuffix(" - skipping").partition(": ")
            # urllib3 nests its causes as "A (Caused by B('C: D'))"; the innermost is what a person can act on.
            self.lines.append(f"{address}: " + why.rsplit(": ", 1)[-1].rstrip("')\""))


def main(project: str, filename: str, target: str) -> int:
    """Write the file to `target`, or say why not on the last line of stderr."""
    from pip._internal.commands import create_command

    failures = Failures()
    logging.getLogger("pip").addHandler(failures)
    logging.getLogger("pip").setLevel(logging.DEBUG)
    command: Any = create_command("download")
    options, _ = command.parse_args([*QUICK, *FORMATS, project])
    with command.main_context():
        session = command.get_default_session(options)
        finder = command._build_package_finder(options, session)
        links = {candidate.link.filename: candidate.link for candidate in finder.find_all_candidates(project)}
        if filename not in links:
            unread = failures.lines[-1] if failures.lines else "" if links else failures.warning
            print(unread or f"it has {len(links)} files of {project}, none so named", file=sys.stderr)
            return 1 if unread else NOT_THERE
        address = links[filename].url_without_fragment
        answer = session.get(address, headers={"Accept-Encoding": "identity"}, stream=True)
        answer.raise_for_status()
        with open(target, "wb") as file:
            shutil.copyfileobj(answer.raw, file)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
