"""The rows of the data: taken block by block, over the threads, whatever X is made of.

No function here, or above, allocates an array of n_samples x n_classes or a second X: a sum over rows is a sum over
blocks that fit the cache, and a block of a CSR matrix is a view.
"""

import copy
import functools
import itertools
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from skmax._softmax import FloatArray
from skmax._threads import Workers

T = TypeVar("T")
Float64Array: TypeAlias = NDArray[np.float64]
Design: TypeAlias = Any  # a NumPy array or a SciPy CSR array or matrix, of shape (n_samples, n_features)

# Numbers in a block: enough to spend the time in the matrix products, few enough for the block to stay in the cache;
# more for rows so wide that a product over so few of them would be slow.
_BLOCK_SIZE = 2**16
_WIDE_BLOCK = (256, 2**22)  # rows at most, numbers at most
# A thread takes about 0.1 ms to start: less work than this many multiplications is done sooner without.
_THREADING_PAYS = 2**21
# Multiplications that an exponential, and the other work on a logit, takes as long as.
LOGIT_COST = 30


class Rows:
    """X and the sample weights, as blocks of rows.

    Parameters
    ----------
    X : {ndarray, CSR array or matrix} of shape (n_samples, n_features), float64 or float32
    sample_weight : ndarray of shape (n_samples,), float64, or None
        None is a weight of 1 for each row.
    workers : Workers, default=None
        Threads. None is the calling one alone.
    origin : ndarray of shape (n_features,), default=None
        Subtracted from each row of a dense X, block by block.
    first : int, default=0
        The place of the first row among all, where these are a part.

    Attributes
    ----------
    dtype : dtype
        Of the products: that of X, or float64 after `in_float64`.
    """

    def __init__(
        self,
        X: Design,
        sample_weight: Float64Array | None = None,
        workers: Workers | None = None,
        origin: Float64Array | None = None,
        first: int = 0,
    ) -> None:
        self.X = X
        self.dtype = X.dtype
        self.sample_weight = sample_weight
        self.n_samples, self.n_features = X.shape
        self.first = first
        self.is_sparse = sparse.issparse(X)
        self.weight_sum = float(self.n_samples if sample_weight is None else sample_weight.sum())
        self.workers = workers or Workers()
        self._origin = origin

    def on(self, workers: Workers) -> "Rows":
        """The same rows, for other threads."""
        other = copy.copy(self)
        other.workers = workers
        return other

    def seen_from(self, origin: Float64Array) -> "Rows":
        """The same rows less `origin`."""
        other = copy.copy(self)
        other._origin = origin
        return other

    def weighted(self, sample_weight: Float64Array) -> "Rows":
        """The same rows with other weights."""
        other = copy.copy(self)
        other.sample_weight, other.weight_sum = sample_weight, float(sample_weight.sum())
        return other

    def in_float64(self) -> "Rows":
        """The same rows, each block of which is converted to float64 when it is taken."""
        if self.dtype == np.float64:
            return self
        other = copy.copy(self)
        other.dtype = np.dtype(np.float64)
        return other

    def of_other_columns(self, X: Design) -> "Rows":
        """Rows of another X, with the same weights."""
        return Rows(X, self.sample_weight, self.workers)

    def take(self, index: NDArray[np.intp], factor: Float64Array) -> "Rows":
        """Some rows, copied, their weights multiplied by `factor`."""
        weight = factor if self.sample_weight is None else factor * self.sample_weight[index]
        taken = Rows(self.X[index], weight, self.workers, self._origin)
        taken.dtype = self.dtype
        return taken

    def at(self, index: NDArray[np.intp] | slice) -> Design:
        """Some rows of X, as they are from the origin."""
        return self._seen(self.X[index])

    def _seen(self, x: Design) -> Design:
        """Some rows of X as they are from the origin, in the dtype of the products."""
        if x.dtype != self.dtype:
            x = x.astype(self.dtype)
        return x if self._origin is None else x - self._origin.astype(x.dtype, copy=False)

    def sum(self, function: Callable[..., T], *args: Any, cost: int) -> T:
        """The sum of `function(self, range, *args)` over ranges of rows that make up all of them.

        It takes `cost` multiplications a row. The function and its arguments say all: rows that live elsewhere are
        summed by the same ones.
        """
        return self.over(functools.partial(function, self), *args, n=self.n_samples, cost=cost)

    def over(self, function: Callable[..., T], *args: Any, n: int, cost: int) -> T:
        """The sum of `function(range, *args)` over ranges that make up `n` things, of `cost` multiplications each.

        There is one range for each thread where that pays. The sum is taken in their order, so that it depends on the
        number of threads, in its rounding, but not on which of them is faster. It may be one of lists.
        """
        n_ranges = self.workers.n_threads if n * cost >= _THREADING_PAYS else 1
        edges = [n * i // n_ranges for i in range(n_ranges + 1)]
        parts = self.workers.map(lambda edge: function(slice(*edge), *args), list(itertools.pairwise(edges)))
        total = parts[0]
        for part in parts[1:]:
            total = total + part  # type: ignore[operator]
        return total

    def blocks(self, width: int, within: slice | None = None) -> Iterator[tuple[slice, Design, Float64Array | None]]:
        """Ranges of the rows `within`, their part of X, and of the weights; `width` numbers are needed for each row."""
        n_rows = max(1, _BLOCK_SIZE // width, min(_WIDE_BLOCK[0], _WIDE_BLOCK[1] // width))
        if self.is_sparse:
            # Each sparse product returns a new (n_features, width) array, so the block may be as large.
            n_rows = max(n_rows, self.n_features)
        within = within or slice(0, self.n_samples)
        for start in range(within.start, within.stop, n_rows):
            rows = slice(start, min(start + n_rows, within.stop))
            x = self._seen(take_rows(self.X, rows))
            yield rows, x, None if self.sample_weight is None else self.sample_weight[rows]


class Maximum(float):
    """A number for which adding up is taking the larger one, so that a sum over rows is their maximum."""

    def __add__(self, other: float) -> "Maximum":
        return Maximum(max(self, other))


def take_rows(X: Design, rows: slice) -> Design:
    """`X[rows]` as a view: of a CSR matrix too, sharing its data and indices."""
    if not sparse.issparse(X):
        return X[rows]
    start, stop = X.indptr[rows.start], X.indptr[rows.stop]
    # An array, not a matrix: `*` multiplies element by element. Its constructor would copy 64-bit indices to 32 bits.
    part = sparse.csr_array((rows.stop - rows.start, X.shape[1]), dtype=X.dtype)
    part.data, part.indices = X.data[start:stop], X.indices[start:stop]
    part.indptr = X.indptr[rows.start : rows.stop + 1] - start
    return part


def raw_prediction(x: Design, coef: FloatArray, intercept: FloatArray) -> FloatArray:
    """Class-major logits W x^T + b of shape (n_logits, n_rows), in a new C-contiguous array."""
    logits = np.ascontiguousarray((x @ coef.T).T) if sparse.issparse(x) else coef @ x.T
    logits += intercept[:, None]
    return logits
