"""The columns of X: their means and scales, and the coordinates in which a fit works on them.

Adding `origin` to each row, or turning the columns by an orthonormal `basis`, changes neither the logits nor the
penalty, if the parameters follow:

    x' = (x - origin) basis,     W = W' basis^T,     b = b' - W origin,     ||W|| = ||W'||.

An origin keeps the digits of columns that lie far from zero. A basis of the rows of X serves where there are fewer rows
than columns: the gradient of the loss, and so W at the minimum, is a combination of rows (B. Scholkopf, R. Herbrich
and A. J. Smola, 2001, A generalized representer theorem), and a fit needs only as many columns as there are rows.
"""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import linalg, sparse

from skmax._rows import Design, Float64Array, Rows
from skmax._softmax import FloatArray

# Spreads that a column's mean may lie from zero before products lose digits to it, by dtype of X.
_FAR = {np.float64: 1e6, np.float32: 30.0}

_SMALLEST = 1e-145

# Columns whose part that is independent of the others is smaller than this share of the largest are taken for
# dependent, and for nearly dependent. To find out needs a table of so many numbers at most.
_DEPENDENT, _NEARLY_DEPENDENT, _LARGEST_TURN = 1e-12, 1e-4, 2**22
# Columns that have fewer digits than these are as they are: coefficients of a thousand make up for no dependence.
_LEAST_DIGITS = 1e-3

# The factorisation that turns the columns takes 2 n_features n_samples^2 operations, as do n_samples / (2 n_logits)
# evaluations of the objective. It saves most of a hundred and more, and more still for a full Hessian.
_ROTATION_PAYS = 200


@dataclass(frozen=True)
class Columns:
    """The change to columns x~ of zero mean and unit spread, x~ = (x - mean) / scale, turned if need be.

    Attributes
    ----------
    mean, scale : ndarray of shape (n_features,)
        Weighted mean and standard deviation of each column, or, without an intercept to absorb the mean, 0 and the root
        mean square. A column without spread has scale 1.
    turn : ndarray of shape (n_features, n_features), or None
        A matrix that x~ is multiplied with: an orthonormal basis V of what the centred and scaled rows span, and zeros.
    span : ndarray of shape (n_features, rank), or None
        An orthonormal basis of what the centred rows span, where that is not everything.
    """

    mean: Float64Array
    scale: Float64Array
    turn: Float64Array | None = None
    span: Float64Array | None = None

    @property
    def unit(self) -> Float64Array:
        """The squares of `squared_deviations` over this are those of x~."""
        return self.scale**2 if self.turn is None else np.ones_like(self.scale)

    def tilde(self, x: Design, intercept: bool) -> Float64Array:
        """Rows x~ of rows `x`, ending in a 1 if there is an `intercept`. Fills a sparse `x`."""
        tilde = ((x.toarray() if sparse.issparse(x) else x) - self.mean) / self.scale
        if self.turn is not None:
            tilde = tilde @ self.turn
        return np.column_stack([tilde, np.ones(len(tilde))]) if intercept else tilde

    def step(self, tilde: Float64Array, intercept: bool) -> Float64Array:
        """The change of (W, b), a row for each logit, that makes the change `tilde` of (W~, b~)."""
        theta = tilde.copy()
        coef = theta[:, : len(self.scale)]
        if self.turn is not None:
            coef[:] = coef @ self.turn.T
        coef /= self.scale
        if intercept:
            theta[:, -1] -= coef @ self.mean
        return theta

    @classmethod
    def of(cls, rows: Rows, *, centred: bool) -> "Columns":
        """Measured in one pass. A ValueError names a column too large for that."""
        # Deviations from the first row, not from 0, lose no digits where the mean is much larger than the spread, and
        # are exact for constant columns. They would fill a sparse X.
        first = rows.at(slice(1))[0].astype(np.float64) if centred and not rows.is_sparse else np.zeros(rows.n_features)
        with np.errstate(over="ignore"):
            mean, squares = rows.sum(_moments, first, cost=4 * rows.n_features) / rows.weight_sum
        if not np.isfinite(squares).all():
            column = int(np.flatnonzero(~np.isfinite(squares))[0])
            raise ValueError(
                f"X must have values whose squares are finite, up to about 1e150; got larger ones in column {column}."
            )
        if rows.dtype == np.float32 and rows.n_samples * np.sqrt(squares.max(initial=0)) > np.finfo(np.float32).max:
            raise ValueError(
                "X must have values whose sum is finite in its dtype, float32; got larger ones in column "
                f"{int(squares.argmax())}. Pass X as float64."
            )
        mean = mean if centred else np.zeros_like(mean)
        scale = np.sqrt(np.maximum(squares - mean**2, 0))
        # What rounding leaves of a constant column, and what is so small that the penalty over its square overflows.
        scale[(scale <= 1e-7 * np.abs(mean)) | (scale < _SMALLEST)] = 0
        return cls(mean=first + mean, scale=np.where(scale > 0, scale, 1))

    def independent(self, rows: Rows, *, centred: bool, precision: float, digits: float) -> "Columns":
        """For a fit without penalty, which needs columns that are independent, and has the shortest coefficients else.

        The same columns, if they are; else turned to a basis of what the rows with weight span, up to `digits`. If the
        fit is `centred`, differences of rows count, which are the same for the mean: those of one row and the next. As
        a basis of rows of any length serves, each is scaled to length 1, so that outliers do not hide the others, and
        those are left out that are as short as the `precision` of X makes them. Columns that are nearly dependent are
        turned, too: each of the new ones has a scale of its own.
        """
        n_features = len(self.scale)
        if min(rows.n_samples, n_features) * n_features > _LARGEST_TURN:
            return self
        first = rows.at(slice(1))
        first = (first.toarray() if rows.is_sparse else first).astype(np.float64) if centred else None
        triangle = rows.sum(_triangle, self.scale, first, precision, cost=2 * n_features**2).matrix
        if not triangle.size:
            return dataclasses.replace(self, turn=np.zeros((n_features, n_features)), span=np.zeros((n_features, 0)))
        _, values, basis = linalg.svd(triangle, full_matrices=False)
        kept = values > max(_DEPENDENT, digits) * values.max()
        rank = int(kept.sum())
        if rank == n_features and values.min() > _NEARLY_DEPENDENT * values.max():
            return self
        turn = np.zeros((n_features, n_features))
        turn[:, :rank] = basis[kept].T
        span = None
        if rank < n_features:
            span = np.linalg.qr(basis[kept].T * self.scale[:, None])[0]
        return dataclasses.replace(self, turn=turn, span=span)

    def shortest(self, coef: Float64Array, intercept: Float64Array) -> tuple[Float64Array, Float64Array]:
        """The shortest coefficients with the logits of these on all rows, and their intercepts."""
        if self.span is None:
            return coef, intercept
        inside = (coef @ self.span) @ self.span.T
        return inside, intercept + _accurate_product(coef - inside, self.mean)


@dataclass(frozen=True)
class Triangle:
    """The R of a QR factorisation of some rows. That of the rows of two adds up to that of all."""

    matrix: Float64Array

    @classmethod
    def of(cls, rows: Float64Array) -> "Triangle":
        """Long rows first, so that rounding is relative to each row (A. J. Cox and N. J. Higham, 1998)."""
        return cls(np.asarray(np.linalg.qr(rows[np.argsort(-np.square(rows).sum(axis=1))], mode="r")))

    def __add__(self, other: "Triangle") -> "Triangle":
        return Triangle.of(np.vstack([self.matrix, other.matrix]))


def _triangle(rows: Rows, within: slice, scale: Float64Array, first: Float64Array | None, precision: float) -> Triangle:
    """Of the directions in `Columns.independent`."""
    total = Triangle(np.empty((0, rows.n_features)))
    for _, x, weight in rows.blocks(rows.n_features, within):
        x = (x.toarray() if rows.is_sparse else x).astype(np.float64, copy=False)
        if weight is not None:
            x = x[weight > 0]
        size = np.abs(x) / scale
        if first is not None:
            before = np.vstack([first, x[:-1]])[: len(x)]
            x, size = x - before, np.maximum(size, np.abs(before) / scale)
        direction = x / scale
        length = np.linalg.norm(direction, axis=1)
        kept = length > 10 * precision * np.linalg.norm(size, axis=1)
        total += Triangle.of(direction[kept] / length[kept, None])
    return total


def squared_deviations(rows: Rows, within: slice, columns: Columns) -> Iterator[tuple[slice, Design, Any, Any, Any]]:
    """`rows.blocks` with the deviations of a dense x from the mean, and their squares, in arrays that are used again.

    If the columns are turned, x~ takes the place of the deviations.

    They are as large as a block of X: to allocate them for each would take as long as to fill them.
    """
    buffer = np.empty((2, 0, rows.n_features))
    for block, x, weight in rows.blocks(rows.n_features, within):
        if buffer.shape[1] < x.shape[0]:
            buffer = np.empty((2, *x.shape))
        deviation, square = buffer[:, : x.shape[0]]
        if columns.turn is not None:
            deviation[:] = columns.tilde(x, False)
        else:
            np.subtract(x.toarray() if rows.is_sparse else x, columns.mean, out=deviation)
        np.square(deviation, out=square)
        yield block, x, weight, deviation, square


def _moments(rows: Rows, within: slice, first: Float64Array) -> Float64Array:
    """The sums of the weighted deviations from `first`, and of their squares, of each column."""
    total = np.zeros((2, rows.n_features))
    if rows.is_sparse:
        for _, x, weight in rows.blocks(rows.n_features, within):
            x = x.astype(np.float64)
            weight = np.ones(x.shape[0]) if weight is None else weight
            total += [weight @ x, weight @ (x * x)]
    else:
        from_first = Columns(first, np.ones_like(first))
        for _, _, weight, deviation, square in squared_deviations(rows, within, from_first):
            weight = np.ones(len(square)) if weight is None else weight
            total += [weight @ deviation, weight @ square]
    return total


@dataclass(frozen=True)
class Basis:
    """Orthonormal columns, of shape (n_features, n_columns), as the Householder reflections of a QR factorisation.

    To write them out would take as long as the factorisation, and they are needed once.
    """

    reflections: Float64Array
    factors: Float64Array

    @classmethod
    def of(cls, columns: FloatArray) -> "tuple[Basis, FloatArray]":
        """The Q and R of `columns`, which are overwritten."""
        (reflections, factors), triangle = linalg.qr(columns, mode="raw", overwrite_a=True, check_finite=False)
        return cls(reflections.astype(np.float64, copy=False), factors.astype(np.float64, copy=False)), triangle

    def inward(self, coef: Float64Array) -> Float64Array:
        """`coef` times the basis."""
        return self._times(coef.T, "T")[: len(self.factors)].T

    def outward(self, coef: Float64Array) -> Float64Array:
        """`coef` times the transposed basis."""
        filled = np.zeros((len(self.reflections), len(coef)))
        filled[: len(self.factors)] = coef.T
        return self._times(filled, "N").T

    def _times(self, table: Float64Array, trans: str) -> Float64Array:
        """The whole Q, or its transpose, times `table`."""
        workspace = 64 * (table.shape[1] + 65)  # what LAPACK asks for
        product, _, info = linalg.lapack.dormqr("L", trans, self.reflections, self.factors, table, workspace)
        if info:
            raise linalg.LinAlgError(f"LAPACK's dormqr failed: info {info}.")
        return product


@dataclass(frozen=True)
class Coordinates:
    """The change from the user's columns to those of the fit; None stands for no change."""

    origin: Float64Array | None = None
    basis: Basis | None = None

    @property
    def are_the_users(self) -> bool:
        """Whether nothing is changed."""
        return self.origin is None and self.basis is None

    def digits(self, columns: Columns, dtype: Any) -> float:
        """The relative precision of the rows of X less the mean, in units of the scale."""
        mean = columns.mean if self.origin is None else columns.mean + (self.origin if self.basis is None else 0)
        digits = 10 * np.finfo(dtype).eps * (1 + np.max(np.abs(mean) / columns.scale, initial=0))
        return float(min(digits, _LEAST_DIGITS))

    def from_origin(self, coef: Float64Array, intercept: Float64Array) -> tuple[Float64Array, Float64Array]:
        """W and b of the user's columns less the origin."""
        return coef, (intercept if self.origin is None else intercept + _accurate_product(coef, self.origin))

    def inward(self, coef: Float64Array, intercept: Float64Array) -> tuple[Float64Array, Float64Array]:
        """W' and b' of the user's W and b."""
        coef, intercept = self.from_origin(coef, intercept)
        return (coef if self.basis is None else self.basis.inward(coef)), intercept

    def outward(self, coef: Float64Array, intercept: Float64Array) -> tuple[Float64Array, Float64Array]:
        """The user's W and b of W' and b'."""
        if self.basis is not None:
            coef = self.basis.outward(coef)
        return coef, (intercept if self.origin is None else intercept - _accurate_product(coef, self.origin))


def _accurate_product(coef: Float64Array, origin: Float64Array) -> Float64Array:
    """`coef @ origin`, in as many digits as there are: far from zero, most of them cancel against the intercept."""
    return (coef.astype(np.longdouble) @ origin.astype(np.longdouble)).astype(np.float64)


def work_coordinates(rows: Rows, *, centred: bool, n_logits: int) -> tuple[Coordinates, Rows, Columns]:
    """The coordinates to fit in, with the rows and their columns as they are there."""
    columns = Columns.of(rows, centred=centred)
    if rows.is_sparse:
        return Coordinates(), rows, columns
    if rows.X is not None and rows.n_samples < rows.n_features and rows.n_samples <= _ROTATION_PAYS * n_logits:
        # One QR factorisation of X^T, for an X of n_samples x n_samples.
        origin = columns.mean if centred else None
        deviation = rows.X - columns.mean
        basis, triangle = Basis.of(deviation.T)
        # What rounding leaves of directions in which there is no row must not be scaled to unit spread.
        length = np.linalg.norm(triangle, axis=1)
        triangle[length <= 10 * len(triangle) * np.finfo(np.float64).eps * length.max(initial=0)] = 0
        turned = rows.of_other_columns(np.ascontiguousarray(triangle.T))
        return Coordinates(origin, basis), turned, Columns.of(turned, centred=centred)
    far = np.abs(columns.mean) > _FAR[rows.dtype.type] * columns.scale
    if not (centred and far.any()):
        return Coordinates(), rows, columns
    # In the numbers that X has, so that what is subtracted from a row is what `Coordinates` adds to an intercept.
    origin = np.where(far, columns.mean, 0).astype(rows.dtype).astype(np.float64)
    return Coordinates(origin), rows.seen_from(origin), Columns(columns.mean - origin, columns.scale)
