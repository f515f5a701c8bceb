"""Trials on a simulated clock: recorded learning curves answer for workers, and all else is the search's own code.

`plan.Search`, its policy, its proposals, its pruning and the study are the real ones; what Ray Tune does is done here
by an event loop. A configuration that was not recorded is answered for by the nearest one of its arm, and the search is
told that its own proposal did so. Cells are told apart by seed: a policy that begins with seed s gets the recorded
cell s modulo their number first, and may have as many cells as were recorded.

Source: Salinas et al. (2022), Syne Tune: A Library for Large Scale Hyperparameter Tuning and Reproducible Research.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from automl.study import Study
from automl.tuning.curves import Recorded
from automl.tuning.orders import WORKER_RESTARTS
from automl.tuning.plan import Search
from automl.tuning.simulated_work import Clock, Labour, Life


@dataclass(frozen=True)
class Workers:
    """Those that carry orders out.

    Args:
        count: at once.
        start_seconds: between an order and its first step, in which nothing is computed.
        restart_seconds: likewise, where a worker died and another has to be made first.
        lifetimes: seconds of computing until a worker dies, one for each that is started; those that follow the last
            one never die.
        finals: whether the winner's last steps are taken, too.
        obedient: whether trials that are told to stop do so.
    """

    count: int
    start_seconds: float = 0.0
    restart_seconds: float = 0.0
    lifetimes: Iterable[float] = ()
    finals: bool = True
    obedient: bool = True


@dataclass(frozen=True)
class Usage:
    """How well workers were used, until the last trial ended."""

    workers: int
    seconds: float
    busy: float  # summed over workers

    @property
    def utilisation(self) -> float:
        return self.busy / (self.workers * self.seconds) if self.seconds else 1.0


def simulate(
    search: Search,
    study: Study,
    curve_of: Callable[[Mapping[str, Any]], Recorded],
    clock: Clock,
    workers: Workers,
    *,
    until: float = math.inf,
) -> Usage:
    """Run a search to its end, or to a time on its clock; trials that still run then are given back.

    Args:
        search: over `study`, and with `clock` for its clock.
        curve_of: what was recorded for a configuration (see `curves.nearest_in`).
    """
    labour = Labour(search, study, curve_of, start_seconds=workers.start_seconds, obedient=workers.obedient)
    lifetimes = itertools.chain(workers.lifetimes, itertools.repeat(math.inf))
    last_end = [0.0, 0.0]  # of a trial: the clock's time, and what was computed by then

    def worker() -> Iterator[float | None]:
        """Seconds until this one is to be asked again; None: not before something happens elsewhere."""
        life = Life(lifetimes, clock)
        while True:
            order = search.ask()
            if order is None or (order.number is None and not workers.finals):
                yield None
                continue
            for attempt in range(WORKER_RESTARTS + 1):
                yield workers.restart_seconds if attempt else workers.start_seconds
                if (yield from labour.carry_out(order, life)):
                    break
            else:
                labour.give_up(order, f"its worker died {WORKER_RESTARTS + 1} times")
            if order.number is not None:
                last_end[:] = clock.now, clock.busy

    _loop([worker() for _ in range(workers.count)], clock, lambda: search.stopping, until)
    search.release()
    return Usage(workers.count, *last_end)


def deaths(per_hour: float, seed: int) -> Iterator[float]:
    """Lifetimes of workers that die at random, so often in an hour of computing."""
    rng = np.random.default_rng(seed)
    while per_hour:
        yield float(rng.exponential(3600 / per_hour))


def _loop(workers: list[Iterator[float | None]], clock: Clock, stopped: Callable[[], bool], until: float) -> None:
    """Let each worker go on when its time has come, until none has anything to wait for."""
    idle, events = workers, list[tuple[float, int, Iterator[float | None]]]()
    ticket = itertools.count()  # of two events at one time the one that was foreseen first comes first
    while not stopped():
        while idle and (seconds := next(idle[-1])) is not None:  # one who gets nothing speaks for all
            heapq.heappush(events, (clock.now + seconds, next(ticket), idle.pop()))
        if not events or events[0][0] > until:
            break
        time, _, worker = heapq.heappop(events)
        clock.advance(time)
        if stopped():
            return
        seconds = next(worker)
        if seconds is None:
            idle.append(worker)
        else:
            heapq.heappush(events, (time + seconds, next(ticket), worker))
    if events and not stopped():
        clock.advance(until)
