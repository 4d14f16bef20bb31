"""The columns of X: their means and scales, and which of them are independent."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from skmax._samples import Block, Float64Array, LocalSamples, Samples
from skmax._softmax import Parameters

_SMALLEST = 1e-145

# The fractions of the largest singular value below which columns count as dependent, and as nearly dependent, and the
# largest table whose columns are examined, in elements.
_DEPENDENT, _NEARLY_DEPENDENT, _LARGEST_TURN = 1e-12, 1e-4, 2**22


@dataclass(frozen=True)
class ColumnStats:
    """Means and scales of the columns, for the change to x~ = (x - mean) / scale with zero mean and unit spread.

    Attributes
    ----------
    mean, scale : ndarray of shape (n_features,)
        Weighted mean and standard deviation of each column or, without an intercept to absorb the mean, 0 and the root
        mean square. A column without spread has scale 1.
    turn : ndarray of shape (n_features, n_features), or None
        A matrix by which x~ is also multiplied: an orthonormal basis of the span of the centred and scaled rows,
        followed by columns of zeros. It leaves penalised columns unchanged.
    span : ndarray of shape (n_features, rank), or None
        An orthonormal basis of the span of the centred rows and of the penalised columns, if that is not the whole
        space.
    """

    mean: Float64Array
    scale: Float64Array
    turn: Float64Array | None = None
    span: Float64Array | None = None

    @property
    def unit(self) -> Float64Array:
        """The divisor that turns the squares of `squared_deviations` into those of x~."""
        return self.scale**2 if self.turn is None else np.ones_like(self.scale)

    def standardized(self, block: Block, intercept: bool) -> Float64Array:
        """The rows x~ of a block as a dense array, followed by a column of ones if there is an `intercept`."""
        n_features = len(self.scale)
        # In place, since allocating such a table takes as long as computing it.
        standardized = np.ones((block.n_rows, n_features + intercept))
        inner = standardized[:, :n_features]
        np.subtract(block.dense(), self.mean, out=inner)
        inner /= self.scale
        if self.turn is not None:
            inner[:] = inner @ self.turn
        return standardized

    def step(self, standardized: Float64Array, intercept: bool) -> Float64Array:
        """The step in (W, b), with a row for each logit, that equals a step in the `standardized` (W~, b~)."""
        theta = standardized.copy()
        coef = theta[:, : len(self.scale)]
        if self.turn is not None:
            coef[:] = coef @ self.turn.T
        coef /= self.scale
        if intercept:
            theta[:, -1] -= coef @ self.mean
        return theta

    @classmethod
    def of(cls, samples: Samples, *, centred: bool) -> "ColumnStats":
        """Measure the columns in one pass. Raise a ValueError that names a column whose values are too large."""
        # Deviations from the first row, not from 0, keep their digits if the mean is much larger than the spread, and
        # are exact for constant columns. They would make a sparse X dense.
        first = np.zeros(samples.n_features)
        if centred and not samples.is_sparse:
            first = samples.rows(slice(1)).dense()[0].astype(np.float64)
        with np.errstate(over="ignore"):
            mean, squares = samples.sum(_moments, first, cost=4 * samples.n_features) / samples.weight_sum
        if not np.isfinite(squares).all():
            column = int(np.flatnonzero(~np.isfinite(squares))[0])
            raise ValueError(
                f"X must have values whose squares are finite, up to about 1e150; got larger ones in column {column}."
            )
        largest = samples.n_samples * np.sqrt(squares.max(initial=0))
        if samples.dtype == np.float32 and largest > np.finfo(np.float32).max:
            raise ValueError(
                "X must have values whose sum is finite in its dtype, float32; got larger ones in column "
                f"{int(squares.argmax())}. Pass X as float64."
            )
        mean = mean if centred else np.zeros_like(mean)
        scale = np.sqrt(np.maximum(squares - mean**2, 0))
        # Such a small spread is the rounding error of a constant column, or the penalty over its square would overflow.
        scale[(scale <= 1e-7 * np.abs(mean)) | (scale < _SMALLEST)] = 0
        return cls(mean=first + mean, scale=np.where(scale > 0, scale, 1))

    def independent(
        self, samples: Samples, *, centred: bool, precision: float, digits: float, free: NDArray[np.bool_] | None = None
    ) -> "ColumnStats":
        """Linearly independent columns, as a fit needs them if all columns, or the `free` ones, have no penalty.

        The result is `self` if the columns are independent. Otherwise they are rotated to a basis of the span of the
        rows with weight, up to the relative precision `digits`. If the fit is `centred`, the span is that of the
        differences of successive rows, which do not depend on the mean. Each row is scaled to length 1, which does not
        change the span, so that outliers do not hide the other rows. Rows that are no longer than the rounding error at
        the `precision` of X are left out. Nearly dependent columns are rotated too, since each of the new columns can
        have its own scale.
        """
        n_features = len(self.scale)
        if min(samples.n_samples, n_features) * n_features > _LARGEST_TURN:
            return self
        index = np.arange(n_features) if free is None else np.flatnonzero(free)
        rank, turn, span = self._basis(samples, index if free is not None else slice(None), centred, precision, digits)
        if turn is None:
            return self
        if free is not None:
            whole = np.eye(n_features)
            whole[np.ix_(index, index)] = turn
            turn = whole
            if span is not None:
                rest = np.flatnonzero(~free)
                whole = np.zeros((n_features, len(rest) + rank))
                whole[rest, np.arange(len(rest))] = 1
                whole[index, len(rest) :] = span
                span = whole
        return replace(self, turn=turn, span=span)

    def _basis(
        self, samples: Samples, index: Any, centred: bool, precision: float, digits: float
    ) -> tuple[int, Float64Array | None, Float64Array | None]:
        """The rank of the columns at `index`, their rotation or None, and their span or None if that is everything."""
        scale = self.scale[index]
        n_features = len(scale)
        first = samples.rows(slice(1)).dense().astype(np.float64)[:, index] if centred else None
        triangle = samples.sum(_triangle, index, scale, first, precision, cost=2 * n_features**2).matrix
        if not triangle.size:
            return 0, np.zeros((n_features, n_features)), np.zeros((n_features, 0))
        _, values, basis = linalg.svd(triangle, full_matrices=False)
        kept = values > max(_DEPENDENT, digits) * values.max()
        rank = int(kept.sum())
        if rank == n_features and values.min() > _NEARLY_DEPENDENT * values.max():
            return rank, None, None
        turn = np.zeros((n_features, n_features))
        turn[:, :rank] = basis[kept].T
        return rank, turn, np.linalg.qr(basis[kept].T * scale[:, None])[0] if rank < n_features else None

    def nearest(self, coef: Float64Array, intercept: Float64Array, mean: Float64Array | None) -> Parameters:
        """The coefficients closest to `mean`, or to 0, with the same logits on all rows, and their intercepts."""
        if self.span is None:
            return coef, intercept
        inside = (coef if mean is None else coef - mean) @ self.span @ self.span.T
        if mean is not None:
            inside += mean
        return inside, intercept + accurate_product(coef - inside, self.mean)


@dataclass(frozen=True)
class Triangle:
    """The R of a QR factorisation of some rows. The sum of two is the R of the rows of both."""

    matrix: Float64Array

    @classmethod
    def of(cls, rows: Float64Array) -> "Triangle":
        """The R of `rows`, with long rows first, so that errors are relative to each row (Cox and Higham, 1998)."""
        return cls(np.asarray(np.linalg.qr(rows[np.argsort(-np.square(rows).sum(axis=1))], mode="r")))

    def __add__(self, other: "Triangle") -> "Triangle":
        return Triangle.of(np.vstack([self.matrix, other.matrix]))


def _triangle(
    samples: LocalSamples, within: slice, index: Any, scale: Float64Array, first: Float64Array | None, precision: float
) -> Triangle:
    """The R of the directions in `ColumnStats.independent`, in the columns at `index`."""
    total = Triangle(np.empty((0, len(scale))))
    for block in samples.blocks(samples.n_features, within):
        x = block.with_positive_weight(block.dense()[:, index].astype(np.float64, copy=False))
        size = np.abs(x) / scale
        if first is not None:
            before = np.vstack([first, x[:-1]])[: len(x)]
            x, size = x - before, np.maximum(size, np.abs(before) / scale)
        direction = x / scale
        length = np.linalg.norm(direction, axis=1)
        kept = length > 10 * precision * np.linalg.norm(size, axis=1)
        total += Triangle.of(direction[kept] / length[kept, None])
    return total


def squared_deviations(
    samples: LocalSamples, within: slice, columns: ColumnStats, width: int = 0
) -> Iterator[tuple[Block, Float64Array, Float64Array]]:
    """Yield blocks with the deviations of their x from the mean and the squares of these, in dense arrays.

    A block has room for `width` more numbers for each row, such as its logits. If the columns are turned, x~ takes the
    place of the deviations. The arrays are reused for the next block: they are as large as a block of X, so that
    allocating them would take as long as filling them.
    """
    buffer = np.empty((2, 0, samples.n_features))
    for block in samples.blocks(samples.n_features + width, within):
        if buffer.shape[1] < block.n_rows:
            buffer = np.empty((2, block.n_rows, samples.n_features))
        deviation, square = buffer[:, : block.n_rows]
        if columns.turn is not None:
            deviation[:] = columns.standardized(block, False)
        else:
            np.subtract(block.dense(), columns.mean, out=deviation)
        np.square(deviation, out=square)
        yield block, deviation, square


def _moments(samples: LocalSamples, within: slice, first: Float64Array) -> Float64Array:
    """The sums of the weighted deviations from `first`, which is 0 for a sparse X, and of their squares."""
    total = np.zeros((2, samples.n_features))
    if samples.is_sparse:
        for block in samples.blocks(samples.n_features, within):
            total += block.moments(block.weights())
    else:
        from_first = ColumnStats(first, np.ones_like(first))
        for block, deviation, square in squared_deviations(samples, within, from_first):
            weight = block.weights()
            total += [weight @ deviation, weight @ square]
    return total


def accurate_product(coef: Float64Array, origin: Float64Array) -> Float64Array:
    """`coef @ origin` in extended precision: far from zero, most digits cancel against the intercept."""
    return (coef.astype(np.longdouble) @ origin.astype(np.longdouble)).astype(np.float64)
