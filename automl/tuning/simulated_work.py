"""What a simulated worker does with an order: a recorded training is reported at its own pace, unless the worker dies.

Work is a generator that yields the seconds until something happens next, and returns whether it was done to its end.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from automl.study import Study
from automl.training.loop import STEPS
from automl.tuning.curves import Curve, Recorded
from automl.tuning.orders import Order
from automl.tuning.plan import Search

ANSWER_COST = 0.1  # of a training: to answer for all rows
LESSON_COST = 1.2  # of the longest training so far: to teach a plain model, or to average and judge several

Work = Generator[float, None, bool]


@dataclass
class Clock:
    """Simulated seconds, and those that workers have computed for, summed over workers."""

    now: float = 0.0
    busy: float = 0.0
    computing: int = 0  # workers at this moment

    def __call__(self) -> float:
        return self.now

    def advance(self, to: float) -> None:
        """Let time pass."""
        self.busy += self.computing * (to - self.now)
        self.now = to


class Life:
    """Seconds of computing that a worker has left; when they are over it is replaced by the next.

    Args:
        lifetimes: of this worker and of all that replace it; never exhausted.
    """

    def __init__(self, lifetimes: Iterator[float], clock: Clock) -> None:
        self._lifetimes, self._clock = lifetimes, clock
        self._left = next(lifetimes)

    def compute(self, seconds: float) -> Work:
        """Compute for so long; whether the worker lived through it."""
        if not seconds:
            return True
        lived = seconds <= self._left
        self._clock.computing += 1
        yield min(seconds, self._left)
        self._clock.computing -= 1
        self._left = self._left - seconds if lived else next(self._lifetimes)
        return lived


class Labour:
    """Carries out the orders of one search, whichever worker has them.

    Args:
        curve_of: what was recorded for a configuration.
        start_seconds: that a report tells of the trial's start.
        obedient: whether trials that are told to stop do so.
    """

    def __init__(
        self,
        search: Search,
        study: Study,
        curve_of: Callable[[Mapping[str, Any]], Recorded],
        *,
        start_seconds: float,
        obedient: bool,
    ) -> None:
        self._search, self._study, self._curve_of = search, study, curve_of
        self._start_seconds, self._obedient = start_seconds, obedient
        self._first: dict[int, int] = {}  # number of a trial -> step that it goes on from, also after a worker died
        self._longest = 0.0  # training that was completed, in seconds

    def carry_out(self, order: Order, life: Life) -> Work:
        """Do what is ordered, and tell the search how it ended; nothing is told by a worker that dies."""
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

    def give_up(self, order: Order, error: str) -> None:
        """End an order that no worker lives through."""
        if order.number is None:
            self._search.broke(order.name, error)
        else:
            self._search.fail(order.number, error, {})

    def _train(self, number: int, resumed: int | None, life: Life) -> Work:
        curve = self._curve(number)
        first = self._first.setdefault(number, self._left_by(number, resumed))
        began = spent = max((point.seconds for point in curve.points if point.step <= first), default=0.0)
        facts = {
            "busy_seconds": 0.0,
            "start_seconds": self._start_seconds,
            "examples_per_second": curve.examples / max(curve.seconds, 1e-3),
        }
        for point in (point for point in curve.points if point.step > first):
            if not (yield from life.compute(point.seconds - spent)):
                return False
            spent = point.seconds
            facts |= {"loss": point.loss, "busy_seconds": round(spent - began, 3)}
            goes_on = self._search.report(number, point.step, STEPS, point.value, facts)
            if not goes_on and self._obedient:
                self._search.prune(number)
                return True
        if not (yield from life.compute(curve.seconds - spent)):
            return False
        if curve.error:
            self._search.fail(number, curve.error, {})
        else:
            self._longest = max(self._longest, curve.seconds)
            self._search.complete(number, curve.value, {**facts, **_checkpoint(f"trial-{number:05d}")})
        return True

    def _left_by(self, *numbers: int | None) -> int:
        """The last step that one of these trials came to before it was stopped or given back."""
        known = (self._study.trial(number).intermediate for number in numbers if number is not None)
        return max((max(values, default=0) for values in known), default=0)

    def _curve(self, number: int) -> Curve:
        trial = self._study.trial(number)
        curves = self._curve_of(trial.params).curves
        return curves[int(trial.facts["seed"]) % len(curves)]


def _checkpoint(name: str) -> dict[str, str]:
    return {"checkpoint": f"simulated:{name}", "checkpoint_sha256": ""}  # no such file is ever there
