"""Processes that wait for orders: how both competitors are run, so that neither is measured inside the other."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from multiprocessing.connection import Connection, wait
from typing import Any, TypeVar

Argument = TypeVar("Argument")
Order = TypeVar("Order")
Answer = TypeVar("Answer")

# A library that finds this variable takes it for its default number of threads.
THREADS_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@contextlib.contextmanager
def crew(
    make: Callable[[Argument], Callable[[Order], Answer]], argument: Argument, size: int, threads: int | None
) -> Iterator[Callable[[Iterable[Order]], Iterator[Answer]]]:
    """`size` fresh processes, each of which has called `make(argument)` and does orders with what that gave.

    Gives a function from orders to answers as they come. Whichever process is free takes the next order; so many orders
    as there are processes are one each.

    Args:
        make: a function of a module's top level.
        size: 0 does the orders in this process, one after another.
        threads: of each process; None leaves every library its own default.

    Raises:
        RuntimeError: an order failed in its process; with the traceback.
    """
    if size == 0:
        yield partial(map, make(argument))
        return
    context = multiprocessing.get_context("spawn")
    started = []
    try:
        for _ in range(size):
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(theirs, make, argument), daemon=True)
            with _threads_for_children(threads):
                process.start()
            theirs.close()
            started.append((process, ours))
        connections = [ours for _, ours in started]
        for connection in connections:
            _answer(connection)  # it is ready
        yield partial(_run, connections)
    finally:
        for process, ours in started:
            ours.close()
            process.terminate()
            process.join()


def _run(connections: Sequence[Connection], orders: Iterable[Any]) -> Iterator[Any]:
    left, busy = iter(orders), []
    for connection, order in zip(connections, left, strict=False):
        connection.send(order)
        busy.append(connection)
    while busy:
        ready = wait(busy)
        for connection in [one for one in busy if one in ready]:
            answer = _answer(connection)
            try:
                connection.send(next(left))
            except StopIteration:
                busy.remove(connection)
            yield answer


def _serve(connection: Connection, make: Callable[[Any], Callable[[Any], Any]], argument: Any) -> None:
    os.dup2(2, 1)  # the driver's output is the figures alone
    with contextlib.suppress(EOFError, BrokenPipeError):
        try:
            do = make(argument)
            connection.send((None, None))
            while True:
                connection.send((do(connection.recv()), None))
        except (EOFError, BrokenPipeError):
            raise
        except Exception:
            connection.send((None, traceback.format_exc()))


def _answer(connection: Connection) -> Any:
    try:
        answer, error = connection.recv()
    except EOFError:
        raise RuntimeError("a process of the benchmark died: out of memory?") from None
    if error is not None:
        raise RuntimeError(f"in a process of the benchmark:\n{error}")
    return answer


@contextlib.contextmanager
def _threads_for_children(threads: int | None) -> Iterator[None]:
    """A child reads them when it starts, before it imports anything."""
    before = {name: os.environ.pop(name, None) for name in THREADS_VARIABLES}
    if threads is not None:
        os.environ.update(dict.fromkeys(THREADS_VARIABLES, str(threads)))
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
