"""What Ray tells of an order whose worker died, and what becomes of it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from automl.tuning.orders import WORKER_RESTARTS, Order
from automl.tuning.ray_bridge import _Link, _Scheduler, _Searcher

TRIAL = Order("trial 0", 0, {"job": "trial", "number": 0})
STEP = Order("student", None, {"job": "teach"})


class OneOrder:
    """A search that has one thing to do."""

    stopping, running = False, True

    def __init__(self, order: Order) -> None:
        self.orders, self.told = [order], list[tuple[Any, str]]()

    def ask(self) -> Order | None:
        return self.orders.pop() if self.orders else None

    def fail(self, number: int, error: str, facts: object) -> None:
        self.told.append((number, error))

    def broke(self, step: str, error: str) -> None:
        self.told.append((step, error))


def given_up(link: _Link, ray_id: str, told: int) -> None:
    """Ray tells so often that a worker died, and gives the order up.

    It does after one death already, and may tell of that twice, where that comes between two orders.
    """
    trial = SimpleNamespace(trial_id=ray_id, get_error=lambda: "Traceback\nthe worker was killed")
    for _ in range(told):
        _Scheduler(link).on_trial_error(None, trial)
    _Searcher(link).on_trial_complete(ray_id, error=True)


@pytest.mark.parametrize("order", [TRIAL, STEP])
@pytest.mark.parametrize("told", [1, 2])
def test_an_order_is_carried_out_as_often_whenever_its_workers_die(order: Order, told: int) -> None:
    search: Any = OneOrder(order)
    link = _Link(search)
    for ray_id in range(WORKER_RESTARTS):
        assert _Searcher(link).suggest(str(ray_id)) == order.payload
        given_up(link, str(ray_id), told)
        assert search.told == []
    assert _Searcher(link).suggest("last") == order.payload
    given_up(link, "last", told)
    key = order.name if order.number is None else order.number
    assert search.told == [(key, f"its worker died {WORKER_RESTARTS + 1} times: the worker was killed")]
    assert not link.next


def test_what_ray_has_retried_itself_is_not_begun_again() -> None:
    search: Any = OneOrder(TRIAL)
    link = _Link(search)
    assert _Searcher(link).suggest("a") == TRIAL.payload
    given_up(link, "a", WORKER_RESTARTS + 1)
    assert [number for number, _ in search.told] == [0]
    assert not link.next
