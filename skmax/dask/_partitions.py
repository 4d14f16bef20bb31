"""The partitions on the workers, and all communication with them: map, gather and sum."""

import copy
import functools
import operator
import uuid
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import dask
import distributed
from distributed.protocol import pickle

T = TypeVar("T")

# The number of results that are added at a node of the tree.
_BRANCHES = 8
# Arguments of up to so many bytes are sent with each task.
_SMALL = 2**16


class Partitions:
    """Values on the workers, one for each partition of the rows."""

    def __init__(self, client: Any, persist: bool, parts: list[Any]) -> None:
        self.client = client
        self.persist = persist
        self.parts = self._run(client.persist, parts) if persist else parts
        n_threads = sum(client.nthreads().values())
        self.n_threads = max(1, n_threads // len(parts))

    def map(self, function: Callable[..., Any], *args: Any, each: Mapping[int, Any] | None = None) -> "Partitions":
        """`function(value, *args)` for each partition; with `each`, `function(value, each[place], *args)`."""
        other = copy.copy(self)
        tasks = self._tasks(function, args, each)
        other.parts = self._run(self.client.persist, tasks) if self.persist else tasks
        return other

    def gather(self, function: Callable[..., T], each: Mapping[int, Any] | None = None) -> list[T]:
        """`function(value)` of each partition; with `each`, `function(value, each[place])` of those in it."""
        return self._run(self.client.compute, self._tasks(function, (), each), wait=True)

    def _tasks(self, function: Callable[..., Any], args: tuple[Any, ...], each: Mapping[int, Any] | None) -> list[Any]:
        lazy = dask.delayed(function, pure=False)
        if each is None:
            return [lazy(part, *args) for part in self.parts]
        return [lazy(self.parts[place], own, *args) for place, own in each.items()]

    def sum(self, function: Callable[..., T], *args: Any) -> T:
        """The sum of `function(value, *args)`, in the order of the partitions."""
        # Small arguments are sent with each task. Large ones, mostly parameters, are a separate task, so that all
        # partitions share one copy, and Dask recreates it if it is lost.
        packed: Any = pickle.dumps(args)
        if len(packed) > _SMALL:
            packed = dask.delayed(packed, name=f"arguments-{uuid.uuid4().hex}", traverse=False)
        level = [dask.delayed(_apply, pure=False)(function, part, packed) for part in self.parts]
        # The client adds the last results: another task would take longer than to fetch a few of them.
        while len(level) > _BRANCHES:
            level = [
                dask.delayed(functools.reduce, pure=False)(operator.add, level[start : start + _BRANCHES])
                for start in range(0, len(level), _BRANCHES)
            ]
        return functools.reduce(operator.add, self._run(self.client.compute, level, wait=True))

    def _run(self, method: Callable[..., Any], values: list[Any], *, wait: bool = False) -> Any:
        """`method(values)` of the client or, with `wait`, its results. An interrupt also cancels the tasks."""
        futures = None
        try:
            futures = method(values)
            return self.client.gather(futures) if wait else futures
        except BaseException as error:
            runs = self.client.status == "running"
            if isinstance(error, distributed.CancelledError) or (isinstance(error, Exception) and not runs):
                raise RuntimeError(
                    "The Dask client was closed, or the computation cancelled, during the fit. An earlier fit is kept; "
                    "fit again with a client that stays open."
                ) from error
            if futures is not None and runs:
                self.client.cancel(futures)
            raise


def _apply(function: Callable[..., T], value: Any, packed: bytes) -> T:
    return function(value, *pickle.loads(packed))
