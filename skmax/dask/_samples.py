"""Samples whose rows are in the partitions of a Dask collection: the workers that hold the rows compute the sums.

The objective, its gradient, the products with its Hessian, the statistics of the columns and the measurements of a
preconditioner are sums over rows of kernels, functions that depend only on their samples, range and arguments
(`Samples.sum`). Here each partition is a `LocalSamples` on the worker that holds it. A sum sends the kernel and its
arguments, mostly the parameters, to the workers and brings back one result, added up along a tree in the order of the
partitions.
"""

import functools
import itertools
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, Self, TypeVar

import numpy as np
from dask.sizeof import sizeof
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from skmax._prior import check_offset
from skmax._samples import (
    Block,
    Float64Array,
    LocalSamples,
    Samples,
    local_samples,
    product_dtype,
    storage_dtypes,
)
from skmax._target import Encoding, Part, all_labels, class_indices, class_totals
from skmax._threads import Workers, workers
from skmax.dask._collections import Checked
from skmax.dask._partitions import Partitions

T = TypeVar("T")

_WEIGHT_SUM = operator.attrgetter("weight_sum")


@dataclass(frozen=True)
class Shape:
    """The sizes and the type of the partitions, which the client needs to know.

    Attributes
    ----------
    n_samples : list of int
        The number of rows of each partition.
    n_features : int
    dtype : dtype
        That in which all partitions are stored.
    is_sparse : bool
        Whether some partition is sparse, so that all are treated as sparse.
    has_offset : bool
        Whether the rows have offsets.
    """

    n_samples: list[int]
    n_features: int
    dtype: Any
    is_sparse: bool
    has_offset: bool

    @property
    def edges(self) -> list[int]:
        """The number of rows before each partition, and of all rows."""
        return np.cumsum([0, *self.n_samples]).tolist()


@dataclass(frozen=True, eq=False, kw_only=True)
class RemoteSamples(Samples):
    """Samples in partitions: the workers compute sums over rows, the client computes loops over classes."""

    partitions: Partitions  # of a LocalSamples each
    edges: list[int]

    @classmethod
    def of(cls, loaded: Partitions, shape: Shape, encoding: Encoding, *, fit_intercept: bool, pool: Workers) -> Self:
        """The samples of loaded partitions, with encoded targets."""
        local = loaded.map(_local_samples, encoding, shape, fit_intercept, each=dict(enumerate(shape.edges[:-1])))
        return cls(
            partitions=local,
            edges=shape.edges,
            n_samples=shape.edges[-1],
            n_features=shape.n_features,
            n_classes=len(encoding.frequency),
            n_logits=encoding.n_logits,
            fit_intercept=fit_intercept,
            dtype=product_dtype(shape.dtype),
            is_sparse=shape.is_sparse,
            weight_sum=sum(local.gather(_WEIGHT_SUM)),
            has_offset=shape.has_offset,
            workers=pool,
        )

    def sum(self, kernel: Callable[..., T], *args: Any, cost: int) -> T:
        total = self.partitions.sum(_sum_of_partition, self.partitions.n_threads, kernel, args, cost)
        # A deserialised array may be misaligned, which makes the dot product of NumPy before version 2 crash.
        return np.require(total, requirements="A") if isinstance(total, np.ndarray) else total  # type: ignore[return-value]

    def with_origin(self, origin: Float64Array) -> Self:
        return replace(self, partitions=self.partitions.map(LocalSamples.with_origin, origin))

    def in_float64(self) -> Self:
        if self.dtype == np.float64:
            return self
        partitions = self.partitions.map(LocalSamples.in_float64)
        return replace(self, partitions=partitions, dtype=np.dtype(np.float64))

    def without(self, which: Callable[..., NDArray[np.bool_]], *args: Any, cost: int) -> Self:
        partitions = self.partitions.map(functools.partial(LocalSamples.without, cost=cost), which, *args)
        return replace(self, partitions=partitions, weight_sum=sum(partitions.gather(_WEIGHT_SUM)))

    def in_memory(self) -> None:
        return None

    def rows(self, index: NDArray[np.intp] | slice) -> Block:
        return self._fetch(index).rows(slice(None))

    def gather(self, index: NDArray[np.intp], factor: Float64Array) -> LocalSamples:
        fetched = self._fetch(index)
        return fetched.reweighted(factor if fetched.sample_weight is None else factor * fetched.sample_weight)

    def _fetch(self, index: NDArray[np.intp] | slice) -> LocalSamples:
        """The rows at `index`, in ascending order, in the memory of the client."""
        index = np.arange(self.n_samples)[index] if isinstance(index, slice) else index
        bounds = np.searchsorted(index, self.edges)
        places = zip(self.edges[:-1], itertools.pairwise(bounds), strict=True)
        parts = [index[start:stop] - edge for edge, (start, stop) in places]
        own = {place: part for place, part in enumerate(parts) if len(part)}
        blocks = self.partitions.gather(LocalSamples.rows, own)
        x, target, weight = zip(*((block.x, block.target, block.weight) for block in blocks), strict=True)
        if any(values.ndim == 2 for values in target):  # other partitions may have class indices
            identity = np.eye(self.n_classes)
            target = tuple(values if values.ndim == 2 else identity[values] for values in target)
        offset = None
        if self.has_offset:  # class-major in a block
            offset = np.concatenate([block.offset.T if self.n_logits > 1 else block.offset[0] for block in blocks])
        return local_samples(
            sparse.vstack(x, format="csr") if self.is_sparse else np.concatenate(x),
            np.concatenate(target),
            None if weight[0] is None else np.concatenate(weight),
            n_classes=self.n_classes,
            n_logits=self.n_logits,
            fit_intercept=self.fit_intercept,
            workers=self.workers,
            offset=offset,
        )


def survey(
    loaded: Partitions,
    n_features: int,
    classes: ArrayLike | None,
    class_weight: Mapping[Any, float] | Literal["balanced"] | None,
    has_offset: bool = False,
) -> tuple[Shape, Encoding]:
    """Collect from all partitions what the client needs to know of them."""
    n_samples, dtypes, are_sparse, found = zip(*loaded.gather(_found), strict=True)
    filled = [labels for n, labels in zip(n_samples, found, strict=True) if n]
    if not filled:
        raise ValueError("X must have at least one row; got none in all of its partitions.")
    labels = all_labels(filled, classes)
    total = loaded.sum(_totals, labels)
    with np.errstate(over="ignore"):
        weight_sum = total.sum()
    if not np.isfinite(weight_sum):
        raise ValueError(f"sample_weight must have a finite sum above zero; got {weight_sum:g}.")
    if has_offset:
        loaded.gather(functools.partial(_check_offset, n_classes=len(labels)))
    dtype, is_sparse = np.result_type(*dtypes), any(are_sparse)
    if dtype not in storage_dtypes(is_sparse=is_sparse):  # as of uint8 and int8 together
        dtype = np.dtype(np.float64)
    shape = Shape(list(n_samples), n_features, dtype, is_sparse, has_offset)
    return shape, Encoding.of(labels, total, class_weight)


@sizeof.register(LocalSamples)
def _size_of_samples(samples: LocalSamples) -> int:
    """The size in bytes, by which the scheduler decides whether to move the data or to send tasks to it."""
    values = (samples.X, samples.target, samples.sample_weight, samples.offset)
    return sum(sizeof(value) for value in values if value is not None)


def _found(loaded: Checked) -> tuple[int, Any, bool, tuple[NDArray | None, int]]:
    X, part, *_ = loaded
    return X.shape[0], X.dtype, sparse.issparse(X), (part.labels, part.n_columns)


def _check_offset(loaded: Checked, n_classes: int) -> None:
    X, *_, offset = loaded
    if X.shape[0]:
        check_offset(offset, X.shape[0], n_classes)


def _totals(loaded: Checked, labels: NDArray) -> Float64Array:
    X, part, weight, _ = loaded
    if X.shape[0] == 0:
        return np.zeros(len(labels))
    return class_totals(class_indices(part, labels), weight, len(labels))


def _local_samples(loaded: Checked, row_offset: int, encoding: Encoding, shape: Shape, fit_intercept: bool) -> Samples:
    X, part, weight, offset = loaded
    X = X.astype(shape.dtype, copy=False)
    if shape.is_sparse:
        X = sparse.csr_array(X)
    if X.shape[0] == 0:
        part = Part(encoding.classes, part.values)
    if offset is not None:
        n_classes = len(encoding.classes)
        width = () if n_classes == 2 else (n_classes,)
        offset = check_offset(offset, X.shape[0], n_classes) if X.shape[0] else np.empty((0, *width))
    target = encoding.apply(part, weight)
    return target.samples(X, fit_intercept=fit_intercept, offset=offset, row_offset=row_offset)


def _sum_of_partition(
    samples: LocalSamples, n_threads: int, kernel: Callable[..., T], args: tuple[Any, ...], cost: int
) -> T:
    with workers(n_threads) as pool:
        return samples.on(pool).sum(kernel, *args, cost=cost)
