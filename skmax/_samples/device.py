"""Samples of an array on another device, such as a GPU: the sums over rows are computed there.

A sum runs the twin of its kernel on the device: the same sum, written with the functions of the array API standard.
`skmax._kernels` has the twins of all kernels that a fit calls often. A kernel without a twin works on NumPy copies of a
part of the rows at a time, and so does every kernel in float64 if the device has no float64. What crosses between the
device and this process otherwise are parameters and sums.
"""

import functools
import operator
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from skmax._arrays import Device, as_numpy, is_foreign
from skmax._samples.base import Samples, _weights_without
from skmax._samples.block import Block, Float64Array
from skmax._samples.dense import DenseSamples
from skmax._threads import Workers

T = TypeVar("T")

# The largest number of rows in a block, over which a product in float32 adds up, and of elements: large enough for the
# device to be busy, small enough for some such tables beside X.
_MOST_ROWS, _MOST_ELEMENTS = 2**16, 2**25
_TABLES = 8 * 8 * _MOST_ELEMENTS  # bytes of some tables of float64
# The number of elements of X in a part of the rows that is copied to this process.
_PART = 2**24

TWINS: dict[Callable[..., Any], Callable[..., Any]] = {}


def twin_of(kernel: Callable[..., Any]) -> Callable[[Callable[..., T]], Callable[..., T]]:
    """Declare the decorated function, of samples and the arguments of `kernel`, its twin: a sum over all rows."""

    def register(twin: Callable[..., T]) -> Callable[..., T]:
        TWINS[kernel] = twin
        return twin

    return register


@contextmanager
def explained_memory(X: Any, n_logits: int) -> Iterator[None]:
    """Raise a MemoryError that says what a fit to `X` needs, instead of the error of its library."""
    try:
        yield
    except Exception as error:
        if "OutOfMemory" not in type(error).__name__ or not is_foreign(X):
            raise
        (n_samples, n_features), name = X.shape, str(X.dtype).rpartition(".")[2]
        size = n_samples * n_features * np.dtype("float16" if name == "bfloat16" else name).itemsize
        raise MemoryError(
            f"A fit to X of shape {(n_samples, n_features)} with {n_logits} logits needs more memory than {X.device} "
            f"has left: besides the {size / 1e9:.2g} GB of X, of dtype {name}, up to {_TABLES * 2**-30:.0f} GB for "
            f"blocks of rows, and a few matrices of shape {(n_features, n_features)}; cross-validation, also a copy of "
            "the training rows of a fold. As float16, X would take half as much as float32."
        ) from error


@dataclass(eq=False, slots=True)
class DeviceBlock:
    """Some rows on the device; the tables of logits are class-major, as in `Block`."""

    start: int
    x: Any
    weight: Any
    target: Any
    offset: Any

    @property
    def stop(self) -> int:
        return self.start + self.x.shape[0]


@dataclass(frozen=True, eq=False, kw_only=True)
class DeviceSamples(Samples):
    """Samples of an array on a device.

    Attributes
    ----------
    where : Device
    X : array of shape (n_samples, n_features), as the user passed it
    target : array of int, shape (n_samples,), or of numbers, shape (n_samples, n_classes); or None
    sample_weight : ndarray of shape (n_samples,), float64, or None
        In the memory of this process, too.
    offset : array of shape (n_samples, n_logits) or, with a single logit, (n_samples,); or None
    origin : ndarray of shape (n_features,), or None
        Subtracted from each row, block by block.
    """

    where: Device
    X: Any
    target: Any
    sample_weight: Float64Array | None
    offset: Any = None
    origin: Float64Array | None = None

    @classmethod
    def of(
        cls,
        X: Any,
        target: NDArray | None = None,
        sample_weight: Float64Array | None = None,
        *,
        n_classes: int = 0,
        n_logits: int = 0,
        fit_intercept: bool = True,
        workers: Workers | None = None,
        offset: NDArray | None = None,
    ) -> Self:
        """The samples of an X on a device, to which NumPy arrays of targets, weights and offsets are copied."""
        where = Device.holding(X)
        is_double = str(X.dtype).endswith("float64")
        if target is not None:
            target = where.put(target, np.int64 if target.ndim == 1 else None)
        return cls(
            where=where,
            X=X,
            target=target,
            sample_weight=sample_weight,
            offset=None if offset is None else where.put(offset),
            n_samples=X.shape[0],
            n_features=X.shape[1],
            dtype=np.dtype(np.float64 if is_double else np.float32),
            is_sparse=False,
            has_offset=offset is not None,
            weight_sum=float(X.shape[0] if sample_weight is None else sample_weight.sum()),
            n_classes=n_classes,
            n_logits=n_logits,
            fit_intercept=fit_intercept,
            workers=workers or Workers(),
        )

    @property
    def xp(self) -> Any:
        return self.where.xp

    @property
    def has_float64(self) -> bool:
        return self.where.has_float64

    @property
    def product_dtype(self) -> Any:
        """The library's name of the dtype of the products."""
        return self.where.dtype(self.dtype)

    @property
    def sum_dtype(self) -> Any:
        """The library's name of the dtype of sums over blocks: float64 if the device has it."""
        return self.where.dtype(np.float64)

    def sum(self, kernel: Callable[..., T], *args: Any, cost: int) -> T:
        twin = TWINS.get(kernel)
        with explained_memory(self.X, self.n_logits):
            if twin is not None and (self.dtype == np.float32 or self.where.has_float64):
                return twin(self, *args)
            parts = (part.on(self.workers).sum(kernel, *args, cost=cost) for part in self._parts())
            return functools.reduce(operator.add, parts)

    def with_origin(self, origin: Float64Array) -> Self:
        return replace(self, origin=origin)

    def with_X(self, X: NDArray) -> Self:
        """The same targets and weights with a NumPy array in place of X, on the same device."""
        n_samples, n_features = X.shape
        dtype = np.dtype(X.dtype)
        return replace(self, X=self.where.put(X), n_samples=n_samples, n_features=n_features, dtype=dtype, origin=None)

    def in_float64(self) -> Self:
        return self if self.dtype == np.float64 else replace(self, dtype=np.dtype(np.float64))

    def reweighted(self, sample_weight: Float64Array) -> Self:
        """The same rows with other weights."""
        return replace(self, sample_weight=sample_weight, weight_sum=float(sample_weight.sum()))

    def without(self, which: Callable[..., NDArray[np.bool_]], *args: Any, cost: int) -> Self:
        return self.reweighted(np.concatenate(self.sum(_weights_without, which, args, cost=cost)))

    def gather(self, index: NDArray[np.intp], factor: Float64Array) -> Self:
        taken: dict[str, Any] = {
            name: None if array is None else self.where.take(array, index) for name, array in self._arrays.items()
        }
        rows = replace(self, n_samples=len(index), **taken)
        return rows.reweighted(factor if self.sample_weight is None else factor * self.sample_weight[index])

    def rows(self, index: NDArray[np.intp] | slice) -> Block:
        if isinstance(index, slice):
            return self._in_memory(index).rows(slice(None))
        return self.gather(index, np.ones(len(index)))._in_memory(slice(None)).rows(slice(None))

    def in_memory(self) -> DenseSamples:
        return self._in_memory(slice(None))

    def put(self, array: NDArray, dtype: Any = None) -> Any:
        """A NumPy array on the device; by default, in the dtype of the products."""
        return self.where.put(array, self.dtype if dtype is None else dtype)

    def blocks(self, width: int) -> Iterator[DeviceBlock]:
        """Yield the rows in blocks with room for `width` numbers for each row."""
        n_rows = max(1, min(_MOST_ROWS, _MOST_ELEMENTS // (width + self.n_features)))
        origin = None if self.origin is None else self.put(self.origin)
        for start in range(0, self.n_samples, n_rows):
            part = self._at(slice(start, min(start + n_rows, self.n_samples)))
            x = self.xp.astype(part["X"], self.product_dtype, copy=False)
            if origin is not None:
                x = x - origin
            offset = part["offset"]
            if offset is not None:
                offset = self.xp.astype(offset, self.product_dtype, copy=False)
                offset = self.xp.reshape(offset, (1, -1)) if offset.ndim == 1 else offset.T
            weight = None if self._weight is None else self._weight[start : start + x.shape[0]]
            yield DeviceBlock(start, x, weight, part["target"], offset)

    @functools.cached_property
    def _weight(self) -> Any:
        """The weights on the device."""
        return None if self.sample_weight is None else self.where.put(self.sample_weight)

    @property
    def _arrays(self) -> dict[str, Any]:
        """The arrays on the device that have a row for each sample."""
        return {name: getattr(self, name) for name in ("X", "target", "offset")}

    def _at(self, rows: slice) -> dict[str, Any]:
        """Views of the arrays of consecutive rows."""
        return {name: None if array is None else array[rows, ...] for name, array in self._arrays.items()}

    def _parts(self) -> Iterator[DenseSamples]:
        n_rows = max(1, _PART // self.n_features)
        for start in range(0, self.n_samples, n_rows):
            yield self._in_memory(slice(start, min(start + n_rows, self.n_samples)))

    def _in_memory(self, rows: slice) -> DenseSamples:
        """A copy of consecutive rows in the memory of this process."""
        arrays: dict[str, Any] = {
            name: None if array is None else as_numpy(array) for name, array in self._at(rows).items()
        }
        weight = None if self.sample_weight is None else self.sample_weight[rows]
        n_samples = arrays["X"].shape[0]
        return DenseSamples(
            **arrays,
            sample_weight=weight,
            origin=self.origin,
            row_offset=rows.start or 0,
            n_samples=n_samples,
            n_features=self.n_features,
            n_classes=self.n_classes,
            n_logits=self.n_logits,
            fit_intercept=self.fit_intercept,
            dtype=self.dtype,
            is_sparse=False,
            has_offset=self.has_offset,
            weight_sum=float(n_samples if weight is None else weight.sum()),
            workers=self.workers,
        )
