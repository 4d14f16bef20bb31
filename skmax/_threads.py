"""Threads over ranges of rows, while the linear algebra library is limited to one thread.

NumPy's reductions, ufuncs and matrix products release the interpreter lock, so one Python thread for each range of rows
keeps all cores busy. The threads of the linear algebra library would gain little on blocks that fit into the cache.
Because they spin while they wait, they would make a fit up to 70 times as slow if another process used the same cores.
"""

import functools
import itertools
import os
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

import joblib
from threadpoolctl import ThreadpoolController

T = TypeVar("T")

# `_OneThread` below counts its users for the whole process. Its order of steps, which holds through signals and forks,
# has only been tested under the interpreter lock.
if not getattr(sys, "_is_gil_enabled", lambda: True)():
    raise ImportError(
        "skmax does not run without the global interpreter lock (GIL), which this free-threaded Python has disabled. "
        "The limit that skmax puts on the threads of the linear algebra library is shared by the whole process, and "
        "has not been tested without the lock. Enable the lock with the environment variable PYTHON_GIL=1 or with "
        "python -X gil=1."
    )

# Starting a thread takes about 0.1 ms: less work than this many multiplications is faster on one thread.
_THREADING_PAYS = 2**21


@functools.cache
def _linear_algebra() -> ThreadpoolController:
    # Searching the loaded libraries takes a millisecond. Those of NumPy and SciPy are loaded by now.
    return ThreadpoolController().select(user_api="blas")


class _OneThread:
    """Limits the linear algebra to one thread while any fit runs: limits are global, and fits may run in threads.

    An interrupt may occur between any two steps of `enter` and `leave`. Therefore `leave` releases whatever `enter` has
    acquired so far, possibly nothing. Callers of `enter` call `leave` twice, because a single interrupt cannot cut both
    calls short. This requires a reentrant lock, which the thread that holds it can release.
    """

    def __init__(self) -> None:
        self._before: list[tuple[Any, int | None]] | None = None
        self.renew()

    def renew(self) -> None:
        """Reset the state in a forked process, in which the threads that were fitting or held the lock do not exist."""
        self._lock = threading.RLock()
        self._users: set[object] = set()
        self._restore()

    def enter(self, user: object) -> int:
        """Limit the linear algebra to one thread until `user` leaves; return the number of threads allowed before."""
        try:
            self._lock.acquire()
            controllers = _linear_algebra().lib_controllers
            before = [(controller, controller.num_threads) for controller in controllers]
            self._users.add(user)
            if self._before is None:
                self._before = before
            for controller in controllers:
                controller.set_num_threads(1)
            return min((n_threads or 1 for _, n_threads in before), default=1)
        finally:
            self._release()

    def leave(self, user: object) -> None:
        try:
            if user in self._users:
                self._lock.acquire()
                if self._users == {user}:
                    self._restore()
                self._users.discard(user)
        finally:
            self._release()

    def _restore(self) -> None:
        if self._before is not None:
            for controller, n_threads in self._before:
                controller.set_num_threads(n_threads)
            self._before = None

    def _release(self) -> None:
        with suppress(RuntimeError):  # raised when this thread no longer holds the lock
            while True:
                self._lock.release()


_one_thread = _OneThread()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_one_thread.renew)


class Workers:
    """Maps functions over rows or classes on threads. The results are in the order of the arguments."""

    def __init__(self, n_threads: int = 1, user: object = None) -> None:
        self.n_threads = n_threads
        self._user = user
        self._pool = ThreadPoolExecutor(n_threads - 1) if n_threads > 1 else None
        self._process = os.getpid()

    def map(self, function: Callable[[Any], T], ranges: list[Any]) -> list[T]:
        # A forked process does not have the threads of its parent.
        if self._pool is None or len(ranges) == 1 or os.getpid() != self._process:
            return [function(part) for part in ranges]
        others = [self._pool.submit(function, part) for part in ranges[1:]]
        return [function(ranges[0]), *(other.result() for other in others)]

    def map_ranges(self, function: Callable[[slice], T], n: int, cost: int) -> list[T]:
        """`function(range)` of the ranges that make up `n` items, of `cost` multiplications each.

        There is one range for each thread, or a single range if there is little to do.
        """
        n_ranges = self.n_threads if n * cost >= _THREADING_PAYS else 1
        edges = [n * i // n_ranges for i in range(n_ranges + 1)]
        return self.map(function, [slice(*edge) for edge in itertools.pairwise(edges)])

    def map_each(self, function: Callable[[int], T], n: int, cost: int) -> list[T]:
        """`function(k)` of each k below `n`, for loops over classes."""
        parts = self.map_ranges(lambda range_: [function(k) for k in range(range_.start, range_.stop)], n, cost)
        return list(itertools.chain.from_iterable(parts))

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Restore the threads of the linear algebra for a part of a `workers()` block."""
        _one_thread.leave(self._user)
        try:
            yield
        finally:
            _one_thread.enter(self._user)

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown()


@contextmanager
def workers(n_threads: int | None = None) -> Iterator[Workers]:
    """As many workers as the cores and the limits of threadpoolctl, joblib and OMP_NUM_THREADS allow.

    A fit in a joblib process, or in a thread beside another fit, may have fewer threads or a single one. `n_threads`
    overrides the limits.
    """
    user = object()
    pool: Workers | None = None
    try:
        try:
            allowed = _one_thread.enter(user)
            pool = Workers(n_threads or (min(allowed, joblib.cpu_count()) if allowed > 1 else 1), user)
            yield pool
        finally:
            if pool is not None:
                pool.close()
            _one_thread.leave(user)
    finally:
        _one_thread.leave(user)
