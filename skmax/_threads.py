"""Threads over ranges of rows, with the linear algebra library held to one thread meanwhile.

NumPy's reductions and ufuncs run on one thread and release the interpreter lock, as its matrix products do: one
Python thread for each range of rows keeps all cores busy on all of the work. The products' own threads would gain
little on blocks that fit the cache, and cost up to 70 times the whole fit where another process wants the cores,
because they spin while they wait.
"""

import functools
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

import joblib
from threadpoolctl import ThreadpoolController

T = TypeVar("T")


@functools.cache
def _linear_algebra() -> ThreadpoolController:
    # Looking through the loaded libraries takes a millisecond; NumPy's and SciPy's are loaded by now.
    return ThreadpoolController().select(user_api="blas")


class _OneThread:
    """Holds the linear algebra to one thread while any fit runs: limits are global, and fits may run in threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._limiter: Any = None

    def enter(self) -> int:
        """Hold it; return the number of threads that was allowed."""
        with self._lock:
            controllers = _linear_algebra().lib_controllers
            allowed = min((controller.num_threads or 1 for controller in controllers), default=1)
            if self._users == 0:
                self._limiter = _linear_algebra().limit(limits=1)
            self._users += 1
            return allowed

    def leave(self) -> None:
        with self._lock:
            self._users -= 1
            if self._users == 0:
                self._limiter.restore_original_limits()


_one_thread = _OneThread()


class Workers:
    """Maps a function over the ranges of rows, one for each thread; the results come in the order of the ranges."""

    def __init__(self, n_threads: int = 1) -> None:
        self.n_threads = n_threads
        self._pool = ThreadPoolExecutor(n_threads - 1) if n_threads > 1 else None

    def map(self, function: Callable[[Any], T], ranges: list[Any]) -> list[T]:
        if self._pool is None or len(ranges) == 1:
            return [function(part) for part in ranges]
        others = [self._pool.submit(function, part) for part in ranges[1:]]
        return [function(ranges[0]), *(other.result() for other in others)]

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown()


@contextmanager
def workers(n_threads: int | None = None) -> Iterator[Workers]:
    """As many workers as the limits in force allow: those of threadpoolctl, joblib and OMP_NUM_THREADS, and the cores.

    A fit inside a process of joblib's, or in a thread beside another fit, finds fewer allowed, or one. `n_threads` is
    for who knows how many there are.
    """
    allowed = _one_thread.enter()
    try:
        pool = Workers(n_threads or (min(allowed, joblib.cpu_count()) if allowed > 1 else 1))
        try:
            yield pool
        finally:
            pool.close()
    finally:
        _one_thread.leave()
