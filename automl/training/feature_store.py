"""Arrays that several processes use and only one of them computes, in memory-mapped files."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
from numpy.lib.format import header_data_from_array_1_0, write_array_header_1_0


def shared_arrays(
    folder: Path, key: str, names: tuple[str, ...], rows: int, compute: Callable[[], Mapping[str, np.ndarray]]
) -> dict[str, np.ndarray]:
    """Arrays [rows, ...] float32 by name: mapped read-only from `folder`, or computed now and left there for others.

    Of several processes that ask at once one computes and the others wait; if it dies, the next one takes over. A file
    that is broken or of another size is made again. Where the disk is full or refuses, the arrays stay in memory.

    Args:
        key: tells these arrays from others in the folder: letters, digits, dashes.
        names: what `compute` gives.
    """
    paths = {name: folder / f"{key}-{name}.npy" for name in names}
    with _locked(folder / f"{key}.lock"):
        found = _mapped(paths, rows)
        if found is not None:
            return found
        arrays = dict(compute())
        try:
            for name, path in paths.items():
                _write(path, arrays[name])
        except OSError:
            for path in paths.values():
                with suppress(OSError):
                    path.unlink(missing_ok=True)
            return arrays
        return _mapped(paths, rows) or arrays


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Wait for the lock; the system frees it when its holder ends, however it ends. Without a disk there is none."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("ab")
    except OSError:
        yield
        return
    with file:
        with suppress(OSError):  # some network disks have no locks: computed twice, then, and still right
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _mapped(paths: Mapping[str, Path], rows: int) -> dict[str, np.ndarray] | None:
    """Every array, or None where one is missing or broken."""
    try:
        arrays = {name: np.load(path, mmap_mode="r", allow_pickle=False) for name, path in paths.items()}
    except (OSError, ValueError, EOFError):
        return None
    whole = all(array.dtype == np.float32 and array.shape[:1] == (rows,) for array in arrays.values())
    return arrays if whole else None


def _write(path: Path, array: np.ndarray) -> None:
    """Write it whole or not at all."""
    part = path.with_suffix(f".{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            # Not np.save: its last bytes pass through a buffer of C, whose errors nobody sees.
            whole = np.ascontiguousarray(array, np.float32)
            write_array_header_1_0(file, header_data_from_array_1_0(whole))
            file.write(whole.data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
