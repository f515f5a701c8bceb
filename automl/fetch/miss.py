"""Why a file could not be had, in a form that lets a caller try the next place."""

from __future__ import annotations

import re
from typing import Literal

from automl.errors import FetchError

Outcome = Literal["offline", "unreachable", "not found", "needs auth", "too big", "damaged", "disk"]


class Miss(FetchError):
    """One place did not give the file. `reason` says why without advice, `next_step` is the advice."""

    def __init__(self, outcome: Outcome, reason: str, next_step: str) -> None:
        self.outcome = outcome
        # Addresses of proxies, mirrors and private indexes may carry a password or a token.
        self.reason = re.sub(r"//[^/@\s]+@", "//", " ".join(reason.split()))
        self.next_step = next_step
        super().__init__(f"{self.reason}; {next_step}")
