"""Trials on a simulated clock: recorded learning curves answer for workers, and all else is the search's own code.

`plan.Search`, its policy, its proposals, its pruning and the study are the real ones; what Ray Tune does is done here
by an event loop. A configuration that was not recorded is answered for by the nearest one of its arm, and the search is
told that its own proposal did so. Cells are told apart by seed: a policy that begins with seed s gets the recorded
cell s modulo their number first, and may have as many cells as were recorded.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from automl.study import Study
from automl.training.loop import STEPS
from automl.tuning.curves import Curve, Recorded
from automl.tuning.orders import WORKER_RESTARTS, Order
from automl.tuning.plan import Search

ANSWER_COST, LESSON_COST = 0.1, 1.2  # of a training: to answer for all rows, to teach a plain model

Wait = Generator[float | None, None, None]  # seconds until something happens next; None: not before something else does
Work = Generator[float, None, bool]  # and whether it was done to its end


@dataclass
class Clock:
    """Simulated seconds, and how many of them workers have computed for, summed over workers."""

    now: float = 0.0
    busy: float = 0.0
    computing: int = 0  # workers at this moment

    def __call__(self) -> float:
        return self.now

    def advance(self, to: float) -> None:
        """Let time pass."""
        self.busy += self.computing * (to - self.now)
        self.now = to


@dataclass(frozen=True)
class Workers:
    """Those that carry orders out.

    Args:
        count: at once.
        start_seconds: between an order and its first step: a copy of the weights, a new worker's start.
        lifetimes: seconds of computing until a worker dies, one for each that is started; those that follow the last
            one never die.
        finals: whether the winner's last steps are taken, too.
        obedient: whether trials that are told to stop do so.
    """

    count: int
    start_seconds: float = 0.0
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
    crew = _Crew(search, study, curve_of, clock, workers)
    crew.run(until)
    search.release()
    return Usage(workers.count, *crew.last_end)


class _Crew:
    """All workers: each is a generator that says when it is to be asked again."""

    def __init__(
        self,
        search: Search,
        study: Study,
        curve_of: Callable[[Mapping[str, Any]], Recorded],
        clock: Clock,
        workers: Workers,
    ) -> None:
        self._search, self._study, self._curve_of, self._clock, self._workers = search, study, curve_of, clock, workers
        self._lifetimes = itertools.chain(workers.lifetimes, itertools.repeat(math.inf))
        self._reached: dict[int, int] = {}  # number of a trial -> last step that it was evaluated at
        self._longest = 0.0  # training that was completed, in seconds
        self.last_end = 0.0, 0.0  # of a trial: the clock's time, and what was computed by then

    def run(self, until: float) -> None:
        """Whoever is free asks for an order, then time passes to the next event, until nobody is busy."""
        idle = [self._worker() for _ in range(self._workers.count)]
        events: list[tuple[float, int, Wait]] = []
        order = itertools.count()  # of events at one time: as they were made
        while not self._search.stopping:
            while idle and (seconds := next(idle[-1])) is not None:  # one who gets nothing speaks for all
                heapq.heappush(events, (self._clock.now + seconds, next(order), idle.pop()))
            if not events or events[0][0] > until:
                break
            time, _, worker = heapq.heappop(events)
            self._clock.advance(time)
            if self._search.stopping:
                break
            if (seconds := next(worker)) is None:
                idle.append(worker)
            else:
                heapq.heappush(events, (time + seconds, next(order), worker))
        if events and events[0][0] > until:
            self._clock.advance(until)

    def _worker(self) -> Wait:
        life = _Life(self._lifetimes, self._clock)
        while True:
            order = self._search.ask()
            if order is None or (order.number is None and not self._workers.finals):
                yield None
                continue
            for _ in range(WORKER_RESTARTS + 1):
                yield self._workers.start_seconds
                if (yield from self._carry_out(order, life)):
                    break
            else:
                self._give_up(order)

    def _carry_out(self, order: Order, life: _Life) -> Work:
        if order.number is not None:
            return (yield from self._train(order.number, order.payload.get("resume"), life))
        if order.payload["job"] == "answer":
            seconds = ANSWER_COST * self._curve(order.payload["number"]).seconds
        else:
            seconds = LESSON_COST * self._longest
        lived = yield from life.compute(seconds)
        if lived:
            self._search.done(order.name, {"answers": order.name, "answers_sha256": "", **_checkpoint(order.name)})
        return lived

    def _train(self, number: int, resumed: str | None, life: _Life) -> Work:
        curve, facts = self._curve(number), {"busy_seconds": 0.0, "start_seconds": self._workers.start_seconds}
        first = self._reached[_number(resumed)] if resumed else 0
        began = spent = max((point.seconds for point in curve.points if point.step <= first), default=0.0)
        for point in curve.points:
            if point.step <= first:
                continue
            if not (yield from life.compute(point.seconds - spent)):
                return False
            spent, self._reached[number] = point.seconds, point.step
            facts |= {"loss": point.loss, "busy_seconds": spent - began}
            goes_on = self._search.report(number, point.step, STEPS, point.value, facts)
            if not goes_on and self._workers.obedient:
                self._search.prune(number)
                self._ended()
                return True
        if not (yield from life.compute(curve.seconds - spent)):
            return False
        if curve.error:
            self._search.fail(number, curve.error, {})
        else:
            self._longest = max(self._longest, curve.seconds)
            self._search.complete(number, curve.value, {**facts, **_checkpoint(f"trial-{number:05d}")})
        self._ended()
        return True

    def _give_up(self, order: Order) -> None:
        error = f"its worker died {WORKER_RESTARTS + 1} times"
        if order.number is None:
            self._search.broke(order.name, error)
        else:
            self._search.fail(order.number, error, {})
            self._ended()

    def _ended(self) -> None:
        self.last_end = self._clock.now, self._clock.busy

    def _curve(self, number: int) -> Curve:
        trial = self._study.trial(number)
        curves = self._curve_of(trial.params).curves
        return curves[int(trial.facts["seed"]) % len(curves)]


class _Life:
    """Seconds of computing that a worker has left; when they are over it is replaced by the next."""

    def __init__(self, lifetimes: Iterator[float], clock: Clock) -> None:
        self._lifetimes, self._clock = lifetimes, clock
        self._left = next(lifetimes)

    def compute(self, seconds: float) -> Work:
        """Compute for so long; whether the worker lived through it."""
        lived = seconds <= self._left
        self._clock.computing += 1
        yield min(seconds, self._left)
        self._clock.computing -= 1
        self._left = self._left - seconds if lived else next(self._lifetimes)
        return lived


def _checkpoint(name: str) -> dict[str, str]:
    return {"checkpoint": f"simulated:{name}", "checkpoint_sha256": ""}  # no such file is ever there


def _number(path: str) -> int:
    """Of the trial that wrote a file such as trial-00007.state."""
    return int(Path(path).stem.rpartition("-")[2])
