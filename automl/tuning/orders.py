"""What a worker is told to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

WORKER_RESTARTS = 2  # a worker that died (killed, out of memory) is replaced and its order carried out again this often

WAIT = "wait"  # the job of a worker that there is nothing for at the moment: its end is no one's


@dataclass(frozen=True)
class Order:
    """One piece of work: a trial, or one of the last steps (`tuning.finals`), which have a name and some words."""

    name: str
    number: int | None  # of the trial
    payload: Mapping[str, Any]  # "job": trial, answer or teach, and the arguments of the worker's method
    about: str = ""  # of a last step: what it does, for who watches
