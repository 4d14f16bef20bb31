"""The Hessian of the objective in standardized columns and its Cholesky factor, d^3 / 3 multiplications."""

from dataclasses import dataclass, field, replace
from typing import ClassVar, Self, TypeAlias

import numpy as np
from scipy import linalg

from skmax._arrays import Device
from skmax._change_of_variables import ChangeOfVariables
from skmax._columns import ColumnStats, Triangle
from skmax._hessian.measure import measure, measure_root
from skmax._objective import Objective
from skmax._penalty import Penalty
from skmax._samples import Float64Array

# A parameter has no curvature if the model is certain of all rows, but its steps must stay finite. The curvature of a
# parameter whose column has unit spread is at most 1/4 plus the weight decay.
LEAST_CURVATURE = 1e-12
# The largest fraction of the trace of the inverse Hessian that the jitter may remove if a bound is to hold.
_HIDDEN = 0.5
# A pivot smaller than this, of a Hessian with unit diagonal, may be due to rounding. A Hessian factorised from its rows
# has a smaller jitter, the least that rounding requires.
_SINGULAR, _ROOT_JITTER = 1e-9, 1e-30

# (r, L, jitter), as `factorise` returns them.
Factor: TypeAlias = tuple[Float64Array, Float64Array, float]


@dataclass(frozen=True, eq=False)
class FactoredHessian(ChangeOfVariables):
    """The Hessian H = diag(1/r) L L^T diag(1/r) at one point, up to a jitter, with v = L^T diag(1/r) (W~, b~).

    Attributes
    ----------
    measured : ndarray of shape (n_parameters, n_parameters)
        The Hessian of the loss, or the R of its QR factorisation if `by_rows`.
    exact_at : ndarray of shape (n_parameters,), or None
        The point, if `measured` is the Hessian itself, not computed from a sample of rows or in float32.
    inverse_root, factor, jitter
        r, L and the number that was added to the diagonal before the factorisation.
    """

    takes_turns: ClassVar[bool] = False

    measured: Float64Array
    by_rows: bool = False
    exact_at: Float64Array | None = None
    inverse_root: Float64Array = field(default_factory=lambda: np.empty(0))
    factor: Float64Array = field(default_factory=lambda: np.empty((0, 0)))
    jitter: float = 0.0

    @classmethod
    def of_all_rows(
        cls,
        objective: Objective,
        columns: ColumnStats,
        theta: Float64Array,
        damping: float = 0.0,
        *,
        by_rows: bool = False,
    ) -> Self:
        """The Hessian at `theta`, by a QR factorisation of its rows or by sums of their squares."""
        measured = measure_root(objective, columns, theta) if by_rows else measure(objective, columns, theta)
        exact = by_rows or (objective.samples.dtype == np.float64 and not damping)
        change = cls(
            columns, objective.n_logits, objective.fit_intercept, damping, measured, by_rows, theta if exact else None
        )
        return change.penalised(objective)

    def __str__(self) -> str:
        return "full"

    def stage_length(self, n_stages: int) -> int:
        return 8

    def penalised(self, objective: Objective) -> Self:
        coupled = objective.penalty if objective.penalty.by_class else None
        if coupled is None:
            penalty = np.tile(self._penalty(objective), self.n_logits)
        else:
            penalty = np.full(self.n_logits * objective.n_columns, self.damping)
        factorise = self._factorise_root if self.by_rows else self._factorise_hessian
        inverse_root, factor, jitter = factorise(penalty, coupled)
        return replace(self, inverse_root=inverse_root, factor=factor, jitter=jitter)

    def _factorise_hessian(self, penalty: Float64Array, coupled: Penalty | None) -> Factor:
        """The factors of the curvature, diag(penalty) and the second derivatives of a penalty that couples classes."""
        curvature = self.measured
        if self.n_logits > 1:
            # No step goes along the redundant direction, the same for all classes, so its curvature is arbitrary.
            table = curvature.reshape(self.n_logits, -1, self.n_logits, penalty.size // self.n_logits).copy()
            if coupled is not None:
                scale = self.columns.scale
                every = np.arange(len(scale))
                table[:, every, :, every] += coupled.matrices() / scale[:, None, None] ** 2
                curvature = table.reshape(curvature.shape)
            mean = (curvature.diagonal() + penalty).reshape(self.n_logits, -1).mean(axis=0)
            of_each_column = np.einsum("kjlj->jkl", table)  # a view
            of_each_column += mean[:, None, None] / self.n_logits
            curvature = table.reshape(curvature.shape)
        return factorise(curvature, penalty)

    def _factorise_root(self, penalty: Float64Array, coupled: Penalty | None) -> Factor:
        """Like `_factorise_hessian`, but from square roots."""
        root = self.measured
        if coupled is not None:
            scale = self.columns.scale
            table = np.zeros((len(scale), self.n_logits, self.n_logits, penalty.size // self.n_logits))
            every = np.arange(len(scale))
            table[every, :, :, every] = coupled.roots() / scale[:, None, None]
            root = np.vstack([root, table.reshape(-1, penalty.size)])
        square = np.square(root).sum(axis=0) + penalty
        rows = [root, np.diag(np.sqrt(penalty))]
        if self.n_logits > 1:  # as in `_factorise_hessian`
            mean = square.reshape(self.n_logits, -1).mean(axis=0)
            rows.append(np.tile(np.diag(np.sqrt(mean / self.n_logits)), self.n_logits))
        triangle = Triangle.of(np.vstack(rows)).matrix
        norm = np.linalg.norm(triangle, axis=0)
        empty = norm == 0
        inverse_root = 1 / np.where(empty, 1, norm)
        triangle *= inverse_root
        diagonal = triangle.diagonal()
        least = np.where(np.abs(diagonal) < np.sqrt(_ROOT_JITTER), np.sqrt(_ROOT_JITTER), diagonal)
        np.fill_diagonal(triangle, np.where(empty, 1, least))
        return inverse_root, np.asfortranarray(triangle.T), _ROOT_JITTER

    def is_singular(self) -> bool:
        """Whether rounding dominates some of the Hessian, or nearly does."""
        return bool(np.square(self.factor.diagonal()).min() < _SINGULAR)

    def misses(self, gradient: Float64Array) -> bool:
        """Whether an intercept has a gradient but no curvature, so that this Hessian says nothing of the gap.

        So it is where all rows are so sure that their curvature is 0, and some of them are wrong: offsets and prior
        means may be as large.
        """
        if not self.fit_intercept:
            return False
        curvature = self.measured if not self.by_rows else np.square(self.measured).sum(axis=0)
        curvature = (curvature.diagonal() if curvature.ndim == 2 else curvature).reshape(self.n_logits, -1)[:, -1]
        return bool(np.any((curvature == 0) & (gradient.reshape(self.n_logits, -1)[:, -1] != 0)))

    def inverse(self) -> Float64Array:
        """H^-1 on the steps that sum to zero over the classes, in standardized columns, of shape (d, d)."""
        half = self._inverse_factor()
        return half.T @ half

    def inverse_product(self, gradient: Float64Array) -> Float64Array:
        """The product of H^-1 with `gradient`, on the same steps, both flat and in the coordinates of theta."""
        return self.forward(self.backward(gradient))

    def _inverse_factor(self) -> Float64Array:
        """A square root of `inverse`, of shape (d, d)."""
        n_logits, size = self.n_logits, len(self.inverse_root)
        half = linalg.lapack.dtrtri(self.factor, lower=1)[0] * self.inverse_root
        if n_logits > 1:
            table = half.reshape(size, n_logits, -1)
            half = (table - table.mean(axis=1, keepdims=True)).reshape(size, size)
        return half

    def longest_steps(self) -> Float64Array:
        """Bounds b_j such that a step of unit length changes a row's difference of two logits by sum_j |x~_ij| b_j.

        A step of unit length changes parameter kj by at most m_kj, the root of the diagonal of H^-1, and so the
        difference of two logits by at most sum_j |x~_ij| (m_kj + m_lj). The jitter of the factor makes steps shorter in
        directions of no curvature. The bounds are infinite if the jitter dominates the curvature of those directions.
        """
        half = self._inverse_factor()
        hidden = self.jitter * np.square(half / self.inverse_root).sum()
        if not hidden < _HIDDEN:
            return np.full(half.shape[1] // self.n_logits, np.inf)
        norm = np.sqrt(np.square(half).sum(axis=0) / (1 - hidden)).reshape(self.n_logits, -1).max(axis=0)
        return norm if self.n_logits == 1 else 2 * norm

    def _from_v(self, v: Float64Array) -> Float64Array:
        return self.inverse_root * linalg.blas.dtrsv(self.factor, v, lower=1, trans=1)

    def _to_v(self, gradient: Float64Array) -> Float64Array:
        return linalg.blas.dtrsv(self.factor, self.inverse_root * gradient, lower=1)


def factorise(curvature: Float64Array, penalty: Float64Array, device: Device | None = None) -> Factor:
    """(r, L, jitter) with curvature + diag(penalty) + jitter diag(1/r^2) = diag(1/r) L L^T diag(1/r).

    L is computed on the `device`, if there is one.
    """
    diagonal = curvature.diagonal() + penalty
    # Nothing depends on a parameter without any curvature, so its curvature is arbitrary.
    diagonal[diagonal == 0] = 1
    # Scaled to a unit diagonal, so that the jitter is relative to each parameter's own curvature.
    inverse_root = 1 / np.sqrt(np.maximum(diagonal, LEAST_CURVATURE))
    diagonal = diagonal * inverse_root * inverse_root
    # Redundant logits, duplicate and constant columns make it singular; rounding may make it slightly indefinite.
    jitter = 1e-13
    while True:
        hessian = curvature * inverse_root
        hessian *= inverse_root[:, None]
        np.fill_diagonal(hessian, diagonal + jitter)
        if device is not None:
            factor = device.cholesky(hessian)
            if factor is not None:
                return inverse_root, factor, jitter
            jitter *= 100
            continue
        # In place, and in the order that LAPACK wants: with 600 columns, copies take as long as the factorisation, and
        # with a few columns, the checks of `linalg.cholesky` do.
        factor, info = linalg.lapack.dpotrf(hessian.T, lower=1, overwrite_a=1)
        if info == 0:
            return inverse_root, factor, jitter
        jitter *= 100
