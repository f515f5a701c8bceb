"""Work on a thread of a process that starts others meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from importlib import import_module
from typing import TypeVar

Result = TypeVar("Result")


@contextmanager
def beside(work: Callable[[], Result]) -> Iterator[Future[Result]]:
    """Do it while the block starts processes, as Ray does; the block's end waits for it.

    OpenBLAS ends its threads before a process forks; a matrix product that another thread has under way then waits for
    them for ever. So it has one thread until both are over, and waits for none.
    Source: `pthread_atfork` in OpenBLAS, driver/others/memory.c and blas_server.c.
    """
    import_module("sklearn.linear_model")  # and scipy's OpenBLAS with it: what is loaded later would not be limited
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(1) as thread:
        yield thread.submit(work)
