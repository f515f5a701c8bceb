"""What a search may spend: trials, time, and a value that is good enough; whichever is first."""

from __future__ import annotations

import time
from collections.abc import Callable

GRACE = 0.05  # of the time that there was: what is nearly ready is waited for


class Budget:
    """How much of it is left.

    Args:
        trials: to start in the study's whole life, pruned and failed ones included.
        deadline: on the clock, seconds; None is no limit.
        target: value at which nothing new is tried any more.
        clock: as `time.monotonic`.
    """

    def __init__(
        self,
        trials: int,
        *,
        deadline: float | None = None,
        target: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.trials, self.target, self.clock = trials, target, clock
        self._began, self._deadline = clock(), deadline

    @property
    def limited(self) -> bool:
        """Whether there is a limit of time at all."""
        return self._deadline is not None

    @property
    def late(self) -> bool:
        """Whether time is up."""
        return self._deadline is not None and self.clock() >= self._deadline

    @property
    def overdue(self) -> bool:
        """Whether time is up for what was begun, too."""
        if self._deadline is None:
            return False
        return self.clock() >= self._deadline + GRACE * max(self._deadline - self._began, 0.0)

    def has_time_for(self, seconds: Callable[[], float]) -> bool:
        """Whether something that takes so long would still end in time; asked only where that is limited."""
        return self._deadline is None or self.clock() + seconds() <= self._deadline

    def used(self, started: int, reserve: Callable[[], float]) -> float:
        """Share that is used up: of the trials, or of the time, whichever is further.

        Args:
            started: trials.
            reserve: seconds that are not for trials; asked only where time is limited.
        """
        if self._deadline is None:
            return started / self.trials
        seconds = max(self._deadline - reserve() - self._began, 1e-9)
        return max(started / self.trials, (self.clock() - self._began) / seconds)
