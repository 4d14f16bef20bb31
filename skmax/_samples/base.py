"""The interface of samples, wherever their rows are, and its implementation for rows in the memory of this process.

A sum over the rows is the sum of a kernel, a function of (samples, range of rows, arguments) alone. Kinds of samples
differ only in who computes the sum: the threads of this process for `LocalSamples`, and Dask's workers for the
partitions of `skmax.dask`, each of which holds local samples.

Neither this module nor any above it allocates an array of n_samples x n_classes or a second X: a kernel takes its rows
block by block, and a block is a view, also of a CSR matrix.
"""

import abc
import dataclasses
import functools
import operator
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Self, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import special

from skmax._samples.block import Block, Design, Float64Array
from skmax._softmax import FloatArray
from skmax._threads import Workers

T = TypeVar("T")

# The number of elements in a block: large enough for the matrix products to take most of the time, small enough for the
# block to stay in the cache. Blocks of very wide rows are larger, since a product with only a few rows would be slow.
_BLOCK_SIZE = 2**16
_WIDE_BLOCK = (256, 2**22)  # the maximum number of rows and of elements
# The exponential and the other operations on a logit take as long as this many multiplications.
LOGIT_COST = 30


@dataclass(frozen=True, eq=False, kw_only=True)
class Samples(abc.ABC):
    """Rows of X with their targets and weights.

    Attributes
    ----------
    n_samples, n_features : int
    n_classes, n_logits : int
        The number of classes in the targets, and of logits: one for each class, or a single one for two classes.
    fit_intercept : bool
        Whether each row represents (x, 1), so that the parameters of a logit end in an intercept.
    dtype : dtype
        The dtype of the products with X: float32 if X is float32, unless `in_float64` was called; otherwise float64.
    is_sparse : bool
        Whether X is sparse, so that subtracting from its rows would make it dense.
    weight_sum : float
    has_offset : bool
        Whether the rows have offsets, numbers that are added to their logits.
    workers : Workers
        The threads of this process, used for local rows and for loops over classes.
    """

    n_samples: int
    n_features: int
    n_classes: int
    n_logits: int
    fit_intercept: bool
    dtype: Any
    is_sparse: bool
    weight_sum: float
    has_offset: bool
    workers: Workers

    @abc.abstractmethod
    def sum(self, kernel: Callable[..., T], *args: Any, cost: int) -> T:
        """The sum of `kernel(samples, range, *args)` over ranges that make up all rows.

        The kernel takes about `cost` multiplications for each row. The ranges are added up in a fixed order, so that
        the sum does not depend on the speed of the threads or workers. Its rounding depends on the number of ranges. A
        sum of lists is their concatenation.
        """

    @abc.abstractmethod
    def with_origin(self, origin: Float64Array) -> Self:
        """The same rows less `origin`."""

    @abc.abstractmethod
    def in_float64(self) -> Self:
        """The same rows, with blocks that are converted to float64 when they are used."""

    @abc.abstractmethod
    def without(self, which: Callable[..., NDArray[np.bool_]], *args: Any, cost: int) -> Self:
        """The same samples with weight 0 for the rows for which `which(block, *args)` is true."""

    @abc.abstractmethod
    def rows(self, index: NDArray[np.intp] | slice) -> Block:
        """The rows at `index`, in ascending order, as a block in the memory of this process."""

    @abc.abstractmethod
    def gather(self, index: NDArray[np.intp], factor: Float64Array) -> "Samples":
        """A copy of the rows at `index`, not in other processes, with their weights multiplied by `factor`."""

    @abc.abstractmethod
    def in_memory(self) -> "LocalSamples | None":
        """The same samples in the memory of this process; None if they are remote, and may be too many for it."""

    @functools.cached_property
    def target_sum(self) -> Float64Array:
        """sum_i s_i y_i (x_i, 1)^T, of shape (n_logits, n_columns).

        It is computed when it is first used: the sample of rows for a preconditioner does not need it.
        """
        return self.sum(_target_sum, cost=self.cost)

    @functools.cached_property
    def target_offset(self) -> float:
        """sum_i s_i <y_i, o_i>, with o_i the offsets: what they add to the part of f that is linear in the targets."""
        return float(self.sum(_target_offset, cost=self.n_logits)) if self.has_offset else 0.0

    @functools.cached_property
    def mean_entropy(self) -> float:
        """The weighted mean of the entropies of the targets, which is 0 for labels."""
        return float(self.sum(_entropy, cost=self.cost)) / self.weight_sum

    @property
    def n_columns(self) -> int:
        """The number of parameters of a logit."""
        return self.n_features + self.fit_intercept

    @property
    def has_float64(self) -> bool:
        """Whether there is float64 where the rows are, and so where the coefficients will be."""
        return True

    @property
    def cost(self) -> int:
        """The number of multiplications for each row in an evaluation of loss and gradient."""
        return self.n_logits * (2 * self.n_columns + LOGIT_COST)

    def on(self, workers: Workers) -> Self:
        """The same samples, with other threads."""
        return dataclasses.replace(self, workers=workers)

    def split(self, theta: Float64Array) -> tuple[Float64Array, Float64Array]:
        """The coefficients and intercepts in the flat `theta`; the latter are 0 if they are not fitted."""
        table = theta.reshape(self.n_logits, self.n_columns)
        intercept = table[:, -1].copy() if self.fit_intercept else np.zeros(self.n_logits)
        return np.ascontiguousarray(table[:, : self.n_features]), intercept

    def parameters(self, theta: Float64Array) -> tuple[FloatArray, FloatArray]:
        """The coefficients and intercepts in `theta`, in the dtype of the products."""
        coef, intercept = self.split(theta)
        return coef.astype(self.dtype, copy=False), intercept.astype(self.dtype, copy=False)


class Maximum(float):
    """A number whose sum with another one is the larger of the two, so that a sum over rows is a maximum."""

    def __add__(self, other: float) -> "Maximum":
        return Maximum(max(self, other))


@dataclass(frozen=True, eq=False, kw_only=True)
class LocalSamples(Samples):
    """Samples in the memory of this process, whose rows are used block by block.

    Attributes
    ----------
    X : {ndarray, CSR array or matrix} of shape (n_samples, n_features), of one of `dtypes_of(X)`
    target : ndarray of int, shape (n_samples,), or of numbers, shape (n_samples, n_classes); None for predictions
        Class indices or distributions.
    sample_weight : ndarray of shape (n_samples,), float64, or None
        None means a weight of 1 for each row.
    offset : ndarray of shape (n_samples, n_logits) or, with a single logit, (n_samples,); or None
        Added to the logits of each row, block by block. None means 0.
    origin : ndarray of shape (n_features,), or None
        Subtracted from each row of a dense X, block by block.
    row_offset : int
        The number of rows before these in the whole data, if these are a part of it.
    """

    X: Design
    target: NDArray | None
    sample_weight: Float64Array | None
    offset: FloatArray | None = None
    origin: Float64Array | None = None
    row_offset: int = 0

    _block_type: ClassVar[type[Block]]

    def in_memory(self) -> Self:
        return self

    def with_origin(self, origin: Float64Array) -> Self:
        return dataclasses.replace(self, origin=origin)

    def in_float64(self) -> Self:
        return self if self.dtype == np.float64 else dataclasses.replace(self, dtype=np.dtype(np.float64))

    def with_X(self, X: Design) -> Self:
        """The same targets and weights with another X of the same kind."""
        n_samples, n_features = X.shape
        return dataclasses.replace(self, X=X, n_samples=n_samples, n_features=n_features, dtype=X.dtype, origin=None)

    def reweighted(self, sample_weight: Float64Array) -> Self:
        """The same rows with other weights."""
        return dataclasses.replace(self, sample_weight=sample_weight, weight_sum=float(sample_weight.sum()))

    def without(self, which: Callable[..., NDArray[np.bool_]], *args: Any, cost: int) -> Self:
        return self.reweighted(np.concatenate(self.sum(_weights_without, which, args, cost=cost)))

    def gather(self, index: NDArray[np.intp], factor: Float64Array) -> Self:
        weight = factor if self.sample_weight is None else factor * self.sample_weight[index]
        target = None if self.target is None else self.target[index]
        offset = None if self.offset is None else self.offset[index]
        rows = dataclasses.replace(
            self, X=self.X[index], n_samples=len(index), target=target, offset=offset, row_offset=0
        )
        return rows.reweighted(weight)

    def rows(self, index: NDArray[np.intp] | slice) -> Block:
        return self._block(index, self.X[index])

    def sum(self, kernel: Callable[..., T], *args: Any, cost: int) -> T:
        parts = self.workers.map_ranges(lambda within: kernel(self, within, *args), self.n_samples, cost)
        return functools.reduce(operator.add, parts)

    def blocks(self, width: int, within: slice | None = None) -> Iterator[Block]:
        """Yield the blocks of the range `within`, or of all rows, of a size that suits `width` numbers for each row."""
        within = within or slice(0, self.n_samples)
        n_rows = self._block_length(width)
        for start in range(within.start, within.stop, n_rows):
            rows = slice(start, min(start + n_rows, within.stop))
            yield self._block(rows, self._view(rows))

    def _block_length(self, width: int) -> int:
        return max(1, _BLOCK_SIZE // width, min(_WIDE_BLOCK[0], _WIDE_BLOCK[1] // width))

    @abc.abstractmethod
    def _view(self, rows: slice) -> Design:
        """`X[rows]` as a view."""

    def _block(self, index: NDArray[np.intp] | slice, x: Design) -> Block:
        if x.dtype != self.dtype:
            x = x.astype(self.dtype)
        if self.origin is not None:
            x = x - self.origin.astype(x.dtype, copy=False)
        weight = None if self.sample_weight is None else self.sample_weight[index]
        target = None if self.target is None else self.target[index]
        # A row of one number for a single logit.
        offset = None if self.offset is None else np.atleast_2d(self.offset[index].T)
        return self._block_type(index, x, weight, target, offset, self.n_classes, self.n_logits)


def _target_sum(samples: LocalSamples, within: slice) -> Float64Array:
    total = np.zeros((samples.n_logits, samples.n_columns))
    for block in samples.blocks(samples.n_logits, within):
        block.add_weighted_rows(total, block.distribution())
    return total


def _target_offset(samples: LocalSamples, within: slice) -> float:
    total = 0.0
    for block in samples.blocks(samples.n_logits, within):
        total += block.weighted_sum((block.distribution().astype(np.float64) * block.offset).sum(axis=0))
    return total


def _entropy(samples: LocalSamples, within: slice) -> float:
    """The weighted sum of the entropies."""
    total = 0.0
    if samples.target is None or samples.target.ndim == 1:
        return total
    for block in samples.blocks(samples.n_classes, within):
        total += block.weighted_sum(special.entr(block.class_major_target()).sum(axis=0, dtype=np.float64))
    return total


def _weights_without(
    samples: LocalSamples, within: slice, which: Callable[..., NDArray[np.bool_]], args: tuple[Any, ...]
) -> list[Float64Array]:
    """The weights of `Samples.without`, block by block."""
    weights = [np.empty(0)]
    for block in samples.blocks(samples.n_columns, within):
        weights.append(np.where(which(block, *args), 0, block.weights()))
    return weights
