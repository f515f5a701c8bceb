"""Where fetched files are kept, and how they come to be there whole."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from automl.fetch.miss import Miss


def folder(name: str) -> Path:
    """The cache's folder of that name: under $AUTOML_CACHE, else $XDG_CACHE_HOME/automl, else ~/.cache/automl."""
    own = os.environ.get("AUTOML_CACHE")
    if own:
        return Path(own).expanduser() / name
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "automl" / name


@contextmanager
def writing(path: Path) -> Iterator[Path]:
    """A path beside `path` to write to; it takes the name `path` when the block ends well, and is removed otherwise.

    Raises:
        Miss: the folder cannot be written.
    """
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.touch()
    except OSError as error:
        reason = f"the cache folder {path.parent} cannot be written ({error.strerror})"
        raise Miss("disk", reason, "set AUTOML_CACHE to a folder that can be") from None
    try:
        yield part
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
