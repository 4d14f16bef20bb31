"""The columns of X: their means and scales, and the coordinates in which a fit works on them.

Adding `origin` to each row, or turning the columns by an orthonormal `basis`, changes neither the logits nor the
penalty, if the parameters follow:

    x' = (x - origin) basis,     W = W' basis^T,     b = b' - W origin,     ||W|| = ||W'||.

An origin keeps the digits of columns that lie far from zero. A basis of the rows of X serves where there are fewer rows
than columns: the gradient of the loss, and so W at the minimum, is a combination of rows (B. Scholkopf, R. Herbrich
and A. J. Smola, 2001, A generalized representer theorem), and a fit needs only as many columns as there are rows.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import linalg, sparse

from skmax._rows import Design, Float64Array, Rows
from skmax._softmax import FloatArray

# Spreads that a column's mean may lie from zero before products lose digits to it, by dtype of X.
_FAR = {np.float64: 1e6, np.float32: 30.0}

# The factorisation that turns the columns takes 2 n_features n_samples^2 operations, as do n_samples / (2 n_logits)
# evaluations of the objective. It saves most of a hundred and more, and more still for a full Hessian.
_ROTATION_PAYS = 200


@dataclass(frozen=True)
class Columns:
    """Weighted mean and scale of each column.

    They are the standard deviations, or, without an intercept to absorb the mean, 0 and the root mean squares. A column
    without spread has scale 1.
    """

    mean: Float64Array
    scale: Float64Array

    def tilde(self, x: Design, intercept: bool) -> Float64Array:
        """Rows `x` centred and scaled, ending in a 1 if there is an `intercept`. Fills a sparse `x`."""
        tilde = ((x.toarray() if sparse.issparse(x) else x) - self.mean) / self.scale
        return np.column_stack([tilde, np.ones(len(tilde))]) if intercept else tilde

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
        mean = mean if centred else np.zeros_like(mean)
        scale = np.sqrt(np.maximum(squares - mean**2, 0))
        scale[scale <= 1e-7 * np.abs(mean)] = 0  # what rounding leaves of a constant column
        return cls(mean=first + mean, scale=np.where(scale > 0, scale, 1))


def squared_deviations(rows: Rows, within: slice, mean: Float64Array) -> Iterator[tuple[slice, Design, Any, Any, Any]]:
    """`rows.blocks` with the deviations of a dense x from `mean`, and their squares, in arrays that are used again.

    They are as large as a block of X: to allocate them for each would take as long as to fill them.
    """
    buffer = np.empty((2, 0, rows.n_features))
    for block, x, weight in rows.blocks(rows.n_features, within):
        if buffer.shape[1] < x.shape[0]:
            buffer = np.empty((2, *x.shape))
        deviation, square = buffer[:, : x.shape[0]]
        np.subtract(x.toarray() if rows.is_sparse else x, mean, out=deviation)
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
        for _, _, weight, deviation, square in squared_deviations(rows, within, first):
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

    def inward(self, coef: Float64Array, intercept: Float64Array) -> tuple[Float64Array, Float64Array]:
        """W' and b' of the user's W and b."""
        if self.origin is not None:
            intercept = intercept + coef @ self.origin
        return (coef if self.basis is None else self.basis.inward(coef)), intercept

    def outward(self, coef: Float64Array, intercept: Float64Array) -> tuple[Float64Array, Float64Array]:
        """The user's W and b of W' and b'."""
        if self.basis is not None:
            coef = self.basis.outward(coef)
        return coef, (intercept if self.origin is None else intercept - coef @ self.origin)


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
        turned = rows.of_other_columns(np.ascontiguousarray(triangle.T, dtype=rows.X.dtype))
        return Coordinates(origin, basis), turned, Columns.of(turned, centred=centred)
    far = np.abs(columns.mean) > _FAR[rows.dtype.type] * columns.scale
    if not (centred and far.any()):
        return Coordinates(), rows, columns
    origin = np.where(far, columns.mean, 0)
    return Coordinates(origin), rows.seen_from(origin), Columns(columns.mean - origin, columns.scale)
