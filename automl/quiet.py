"""Keep libraries from talking on the user's terminal: their warnings, load reports and progress bars."""

from __future__ import annotations

import logging
import os
import warnings


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
