"""The coordinates in which a fit works on the columns of X.

Adding `origin` to each row, or turning the columns by an orthonormal `basis`, changes neither the logits nor the
penalty, if the parameters follow:

    x' = (x - origin) basis,     W = W' basis^T,     b = b' - W origin,     ||W|| = ||W'||.

An origin preserves the digits of columns that lie far from zero. A basis of the rows of X is useful if there are fewer
rows than columns: the gradient of the loss, and so W at the minimum, is a combination of rows (B. Scholkopf,
R. Herbrich and A. J. Smola, 2001, A generalized representer theorem), and a fit needs only as many columns as there are
rows.

With a factor phi_j on the penalty of each column, the columns are first divided by phi_j^(1/2), so that all have the
same penalty. With a prior mean M, W - M is a combination of rows at the minimum. The part of M that is not a
combination of rows is kept aside, and added to W in the end. It does not change the logits of the rows less the origin.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import linalg

from skmax._arrays import DeviceMatrix, as_numpy
from skmax._columns import ColumnStats, accurate_product
from skmax._penalty import NO_PENALTY, Penalty
from skmax._samples import DeviceSamples, Float64Array, LocalSamples, Samples
from skmax._softmax import FloatArray, Parameters

# The distance of a column's mean from zero, in units of its spread, beyond which products lose digits, by dtype of X.
_FAR = {np.float64: 1e6, np.float32: 30.0}

# The threshold below which columns count as dependent rises as their precision falls, but no further than this.
_LEAST_DIGITS = 1e-3

# The factorisation that rotates the columns takes 2 n_features n_samples^2 operations, as many as
# n_samples / (2 n_logits) evaluations of the objective. It saves most of the cost of a hundred evaluations or more, and
# even more with a full Hessian.
_ROTATION_PAYS = 200


@dataclass(frozen=True)
class Basis:
    """Orthonormal columns, of shape (n_features, n_columns), as the Householder reflections of a QR factorisation.

    Computing them explicitly would take as long as the factorisation, and they are needed only once.
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
class DeviceBasis:
    """Orthonormal columns, of shape (n_features, n_columns), as a matrix on a device."""

    columns: DeviceMatrix

    @classmethod
    def of(
        cls, samples: DeviceSamples, mean: Float64Array, scale: Float64Array | None
    ) -> "tuple[DeviceBasis, FloatArray]":
        """The Q and R of the rows less the mean, divided by the scale, as columns."""
        xp, where = samples.xp, samples.where
        deviation = xp.astype(samples.X, samples.sum_dtype) - where.put(mean)
        if scale is not None:
            deviation = deviation / where.put(scale)
        basis, triangle = xp.linalg.qr(deviation.T)
        return cls(DeviceMatrix(where, basis)), as_numpy(triangle).copy()

    def inward(self, coef: Float64Array) -> Float64Array:
        """`coef` times the basis."""
        return self.columns.times(coef)

    def outward(self, coef: Float64Array) -> Float64Array:
        """`coef` times the transposed basis."""
        return self.columns.times_transposed(coef)


@dataclass(frozen=True)
class Coordinates:
    """The change from the user's columns to those of the fit; None means no change.

    Attributes
    ----------
    origin, basis, scale
        As in the module's docstring. There is no scale without a basis.
    aside : ndarray of shape (n_logits, n_features), or None
        The part of the prior mean, times the scale, outside of the basis: that of the coefficients at the minimum.
    """

    origin: Float64Array | None = None
    basis: Basis | DeviceBasis | None = None
    scale: Float64Array | None = None
    aside: Float64Array | None = None

    @property
    def are_the_users(self) -> bool:
        """Whether the columns of the fit are those of the user."""
        return self.origin is None and self.basis is None

    def digits(self, columns: ColumnStats, dtype: Any) -> float:
        """The relative precision of the rows of X less the mean, in units of the scale."""
        mean = columns.mean if self.origin is None else columns.mean + (self.origin if self.basis is None else 0)
        digits = 10 * np.finfo(dtype).eps * (1 + np.max(np.abs(mean) / columns.scale, initial=0))
        return float(min(digits, _LEAST_DIGITS))

    def from_origin(self, coef: Float64Array, intercept: Float64Array) -> Parameters:
        """W and b of the user's columns less the origin."""
        return coef, (intercept if self.origin is None else intercept + accurate_product(coef, self.origin))

    def inward(self, coef: Float64Array, intercept: Float64Array) -> Parameters:
        """W' and b' of the user's W and b."""
        coef, intercept = self.from_origin(coef, intercept)
        return self.coef_inward(coef), intercept

    def coef_inward(self, coef: Float64Array) -> Float64Array:
        """W' of the user's W."""
        if self.scale is not None:
            coef = coef * self.scale
        return coef if self.basis is None else self.basis.inward(coef)

    def outward(self, coef: Float64Array, intercept: Float64Array) -> Parameters:
        """The user's W and b of W' and b'."""
        if self.basis is not None:
            coef = self.basis.outward(coef)
        if self.aside is not None:
            coef = coef + self.aside
        if self.scale is not None:
            coef = coef / self.scale
        return coef, (intercept if self.origin is None else intercept - accurate_product(coef, self.origin))


def _basis_of(
    samples: Samples, mean: Float64Array, scale: Float64Array | None
) -> tuple[DeviceSamples | LocalSamples, Basis | DeviceBasis, FloatArray] | None:
    """The samples in which X may be replaced, and the Q and R of its rows less the mean, divided by the scale.

    None if the rows are remote.
    """
    if isinstance(samples, DeviceSamples) and samples.where.has_float64:
        return samples, *DeviceBasis.of(samples, mean, scale)
    dense = samples.in_memory()
    if dense is None:
        return None
    deviation = dense.X - mean
    if scale is not None:
        deviation /= scale
    return dense, *Basis.of(deviation.T)


def work_coordinates(
    samples: Samples, *, centred: bool, penalty: Penalty = NO_PENALTY, rotate: bool = True
) -> tuple[Coordinates, Samples, ColumnStats, Penalty]:
    """The coordinates of the fit, with the samples, the statistics of their columns and the penalty in them.

    `penalty` has the factors and means of any weight decay. Only if `rotate` may a basis of the rows take the place of
    the columns.
    """
    columns = ColumnStats.of(samples, centred=centred)
    few_rows = samples.n_samples < samples.n_features and samples.n_samples <= _ROTATION_PAYS * samples.n_logits
    scale = None if penalty.factor is None else np.sqrt(penalty.factor)
    # Each column has its own factor, which its scale takes in.
    can_turn = rotate and (scale is None or (scale.ndim == 1 and bool(scale.all())))
    found = _basis_of(samples, columns.mean, scale) if few_rows and can_turn and not samples.is_sparse else None
    if found is not None:
        # One QR factorisation of X^T, for an X of n_samples x n_samples.
        origin = columns.mean if centred else None
        dense, basis, triangle = found
        # Rounding errors in directions without any row must not be scaled to unit spread.
        length = np.linalg.norm(triangle, axis=1)
        triangle[length <= 10 * len(triangle) * np.finfo(np.float64).eps * length.max(initial=0)] = 0
        rotated = dense.with_X(np.ascontiguousarray(triangle.T))
        coordinates, mean = Coordinates(origin, basis, scale), None
        if penalty.mean is not None:
            mean = coordinates.coef_inward(penalty.mean)
            scaled = penalty.mean if scale is None else penalty.mean * scale
            coordinates = replace(coordinates, aside=scaled - basis.outward(mean))
        return coordinates, rotated, ColumnStats.of(rotated, centred=centred), Penalty.of(None, mean)
    far = np.abs(columns.mean) > _FAR[samples.dtype.type] * columns.scale
    if samples.is_sparse or not (centred and far.any()):
        return Coordinates(), samples, columns, penalty
    # Rounded to the dtype of X, so that what is subtracted from a row is what `Coordinates` adds to an intercept.
    origin = np.where(far, columns.mean, 0).astype(samples.dtype).astype(np.float64)
    return Coordinates(origin), samples.with_origin(origin), ColumnStats(columns.mean - origin, columns.scale), penalty
