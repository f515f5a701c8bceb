"""Keep libraries from talking on the user's terminal: their warnings, load reports and progress bars."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from typing import TextIO


def quiet_libraries(*, offline: bool) -> None:
    """Set what libraries read when they are imported; call it before the first of them is.

    Args:
        offline: also forbid them the network.
    """
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if offline:
        os.environ["HF_HUB_OFFLINE"] = "1"
    warnings.simplefilter("ignore")
    for name in ("ray", "optuna", "transformers", "datasets", "huggingface_hub", "sklearn", "torch"):
        logging.getLogger(name).setLevel(logging.ERROR)


@contextlib.contextmanager
def own_stdout() -> Iterator[TextIO]:
    """Within the block stdout is ours alone: we write to the stream given, what libraries print there goes nowhere.

    On the level of file descriptors, because native code and child processes print, too.
    """
    sys.stdout.flush()
    descriptor = sys.__stdout__.fileno() if sys.__stdout__ else 1
    ours = os.fdopen(os.dup(descriptor), "w", encoding="utf-8")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    try:
        yield ours
    finally:
        sys.stdout.flush()
        ours.flush()
        os.dup2(ours.fileno(), descriptor)
        ours.close()
        os.close(nowhere)
