"""Changes of variables in which the Hessian of the objective is close to the identity.

With the columns centred and scaled, x~ = (x - mean) / scale, the logits are the same for

    W~ = W scale,   b~ = b + W mean,

and in these coordinates the Hessian of the objective is, with p_i = softmax(z_i) and x~_i ending in a 1,

    H = (1/S) sum_i s_i (diag(p_i) - p_i p_i^T) (x) x~_i x~_i^T  +  weight_decay diag(1/scale^2 on W~, 0 on b~).

A preconditioner factors H or its diagonal at one point, H ~ L L^T, and offers v = L^T (W~, b~): a step -grad_v f in v
is a Newton step in (W, b), and half the squared length of grad_v f, half the squared Newton decrement, estimates how
far f is above its minimum (S. Boyd and L. Vandenberghe, 2004, Convex Optimization, section 9.5.1).

Three or more logits are redundant: adding one vector to all rows of (W, b) changes no probability. Weight decay makes
the rows sum to zero at the minimum, so every step taken here does: the mean over classes is removed from it.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, sparse

from skmax._columns import Columns
from skmax._objective import Objective
from skmax._rows import Design, Float64Array
from skmax._softmax import FloatArray

# The full Hessian is worth up to this many evaluations of the objective, and has at most so many rows: four arrays of
# that size, of 150 MB in all, are needed for a while.
_FULL_EVALUATIONS = 500
_FULL_LIMIT = 2200
# A sample has so many rows for each parameter, and at least so many.
_SAMPLE = (6, 2000)
# A parameter that no row is uncertain about has no curvature; it must not get infinite steps. One of a column of unit
# spread has at most 1/4, and the weight decay.
_LEAST_CURVATURE = 1e-12


class Preconditioner:
    """A linear change of variables theta = forward(v), and its transpose, backward, for gradients.

    Subclasses give the factor: `_from_v`, the product with L^-T, and `_to_v`, with L^-1.
    """

    def __init__(self, objective: Objective, columns: Columns) -> None:
        self._columns = columns
        self._n_logits = objective.n_logits
        self._fit_intercept = objective.fit_intercept
        # Second derivatives of the weight decay, which spares the intercepts.
        self._penalty = np.zeros(objective.n_columns)
        self._penalty[: objective.n_features] = objective.weight_decay / columns.scale**2

    def stage_length(self, n_stages: int) -> int:
        """Iterations until another preconditioner pays, after `n_stages` before this one."""
        return 15

    def _from_v(self, v: Float64Array) -> Float64Array:
        raise NotImplementedError

    def _to_v(self, gradient: Float64Array) -> Float64Array:
        raise NotImplementedError

    def forward(self, v: Float64Array) -> Float64Array:
        """A step in theta from a step in v."""
        theta = self._centred_over_classes(self._from_v(v).reshape(self._n_logits, -1))
        coef = theta[:, : len(self._columns.scale)]
        coef /= self._columns.scale
        if self._fit_intercept:
            theta[:, -1] -= coef @ self._columns.mean
        return theta.ravel()

    def backward(self, gradient: Float64Array) -> Float64Array:
        """The gradient in v from the gradient in theta."""
        tilde = gradient.reshape(self._n_logits, -1).copy()
        coef = tilde[:, : len(self._columns.scale)]
        if self._fit_intercept:
            coef -= np.multiply.outer(tilde[:, -1], self._columns.mean)
        coef /= self._columns.scale
        return self._to_v(self._centred_over_classes(tilde).ravel())

    def _tilde(self, x: Design) -> Float64Array:
        """Rows of x~, ending in a 1 if there is an intercept. Fills a sparse `x`."""
        tilde = ((x.toarray() if sparse.issparse(x) else x) - self._columns.mean) / self._columns.scale
        return np.column_stack([tilde, np.ones(len(tilde))]) if self._fit_intercept else tilde

    def _centred_over_classes(self, tilde: Float64Array) -> Float64Array:
        return tilde - tilde.mean(axis=0) if self._n_logits > 1 else tilde


class DiagonalPreconditioner(Preconditioner):
    """The diagonal of the Hessian: cheap for any number of parameters, blind to correlated columns.

    L-BFGS makes up for part of that from its memory, which ends with the stage: the stages grow.
    """

    def __init__(self, objective: Objective, columns: Columns, theta: Float64Array, *, cautious: bool = False) -> None:
        super().__init__(objective, columns)
        mean, scale = columns.mean, columns.scale

        def curvatures(within: slice) -> Float64Array:
            total = np.zeros((objective.n_logits, objective.n_columns))
            for block, x, weight in objective.rows.blocks(objective.n_columns, within):
                curvature = _curvature(objective, objective.probability(theta, x), block, cautious)
                if weight is not None:
                    curvature *= weight
                if objective.rows.is_sparse:
                    # sum_i c_i (x_i - mean)^2, without filling x
                    moment, square = curvature @ x, curvature @ (x * x)
                    square += mean**2 * curvature.sum(axis=1)[:, None] - 2 * mean * moment
                else:
                    square = curvature @ (x - mean) ** 2
                total[:, : len(scale)] += square
                if objective.fit_intercept:
                    total[:, -1] += curvature.sum(axis=1)
            return total

        diagonal = objective.rows.sum(curvatures, cost=objective.cost) / objective.rows.weight_sum
        diagonal[:, : len(scale)] /= scale**2
        self.diagonal = np.maximum(diagonal + self._penalty, _LEAST_CURVATURE)
        self._inverse_root = 1 / np.sqrt(self.diagonal).ravel()

    def stage_length(self, n_stages: int) -> int:
        return 15 * 2 ** min(n_stages, 4)

    def _from_v(self, v: Float64Array) -> Float64Array:
        return self._inverse_root * v

    def _to_v(self, gradient: Float64Array) -> Float64Array:
        return self._inverse_root * gradient


class FullPreconditioner(Preconditioner):
    """The whole Hessian, by one Cholesky factorisation: n_rows d^2 + d^3 / 3 operations for d parameters.

    A sample of 6 d rows is enough where there are many more, if rows that no others can stand for are taken for sure:
    row i is taken with a probability in proportion to an estimate of its leverage, that is of its part of the
    curvature along its own direction, and weighs as much more as that is below 1. (D. P. Woodruff, 2014, Sketching as
    a tool for numerical linear algebra, section 2.4.) A uniform sample misses rare classes and outliers.
    """

    def __init__(self, objective: Objective, columns: Columns, theta: Float64Array, *, cautious: bool = False) -> None:
        super().__init__(objective, columns)
        self._cautious = cautious
        n_rows = _sample_size(theta.size)
        sample = objective if objective.rows.n_samples <= 2 * n_rows else self._sample(objective, theta, n_rows)
        self._inverse_root, self._factor = _factor(self._hessian(sample, theta))

    def _sample(self, objective: Objective, theta: Float64Array, n_rows: int) -> Objective:
        diagonal = DiagonalPreconditioner(objective, self._columns, theta, cautious=self._cautious).diagonal
        leverage = np.empty(objective.rows.n_samples)

        def measure(within: slice) -> float:
            for block, x, weight in objective.rows.blocks(objective.n_columns, within):
                curvature = _curvature(objective, objective.probability(theta, x), block, self._cautious)
                part = (curvature * ((1 / diagonal) @ (self._tilde(x) ** 2).T)).sum(axis=0)
                leverage[block] = part if weight is None else part * weight
            return 0.0

        objective.rows.sum(measure, cost=objective.cost)
        chance = np.minimum(leverage * (n_rows / leverage.sum()), 1)
        for _ in range(10):  # what rows that are taken for sure do not need of the sample goes to the others
            chance = np.minimum(chance * (n_rows / chance.sum()), 1)
        index = np.flatnonzero(np.random.default_rng(0).uniform(size=len(chance)) < chance)
        return objective.of_rows(index, 1 / chance[index])

    def _hessian(self, objective: Objective, theta: Float64Array) -> Float64Array:
        """H of the module's docstring, of shape (d, d), classes varying slowest."""
        n_logits, n_columns = objective.n_logits, objective.n_columns
        size = n_logits * n_columns

        def products(factor: FloatArray, tilde: Float64Array, weight: Float64Array | None) -> Float64Array:
            """Gram matrix of the rows sqrt(s_i) (factor_i (x) x~_i)."""
            rows = (factor if weight is None else factor * np.sqrt(weight)).T[:, :, None] * tilde[:, None, :]
            rows = rows.reshape(len(tilde), size)
            return rows.T @ rows

        def curvatures(within: slice) -> Float64Array:
            total = np.zeros((size, size))
            for block, x, weight in objective.rows.blocks(size, within):
                probability = objective.probability(theta, x)
                tilde = self._tilde(x)
                total -= products(probability, tilde, weight)
                weighted = probability if weight is None else probability * weight
                for k in range(n_logits):
                    own = slice(k * n_columns, (k + 1) * n_columns)
                    total[own, own] += (tilde.T * weighted[k]) @ tilde
                if self._cautious:
                    residual = objective.residual(probability, block)
                    misfit = _misfit(probability, residual)
                    total += products(residual[:, misfit], tilde[misfit], None if weight is None else weight[misfit])
            return total

        hessian = objective.rows.sum(curvatures, cost=size**2) / objective.rows.weight_sum
        hessian[np.diag_indices(size)] += np.tile(self._penalty, n_logits)
        return hessian

    def _from_v(self, v: Float64Array) -> Float64Array:
        return self._inverse_root * linalg.blas.dtrsv(self._factor, v, lower=1, trans=1)

    def _to_v(self, gradient: Float64Array) -> Float64Array:
        return linalg.blas.dtrsv(self._factor, self._inverse_root * gradient, lower=1)


class KroneckerPreconditioner(Preconditioner):
    """The whole Hessian where all rows have the same probabilities p, as with zero coefficients.

    There it is A (x) B and the penalty, with A = diag(p) - p p^T and B the second moments of the columns, and in the
    eigenvectors of A one problem of n_columns for each eigenvalue a: n_samples n_columns^2 operations for B and
    n_logits n_columns^3 / 3 for the factors of a B and the penalty.
    """

    def __init__(self, objective: Objective, columns: Columns, theta: Float64Array) -> None:
        super().__init__(objective, columns)
        n_columns = objective.n_columns

        def moments(within: slice) -> Float64Array:
            total = np.zeros((n_columns, n_columns))
            for _, x, weight in objective.rows.blocks(n_columns, within):
                tilde = self._tilde(x)
                total += tilde.T @ tilde if weight is None else (tilde.T * weight) @ tilde
            return total

        moment = objective.rows.sum(moments, cost=n_columns**2) / objective.rows.weight_sum
        probability = objective.probability_at_intercepts(theta)
        curvature = np.diag(probability) - np.outer(probability, probability)
        eigenvalues, self._eigenvectors = np.linalg.eigh(curvature)
        # The redundant direction, of eigenvalue 0, is removed from every step: any positive number will do for it.
        # Classes of equal frequency share an eigenvalue, and so a factor.
        logarithms = np.log(np.maximum(eigenvalues, _LEAST_CURVATURE)).round(9)
        self._groups = []
        for logarithm in np.unique(logarithms):
            hessian = np.exp(logarithm) * moment
            hessian[np.diag_indices(n_columns)] += self._penalty
            self._groups.append((np.flatnonzero(logarithms == logarithm), *_factor(hessian)))

    def _from_v(self, v: Float64Array) -> Float64Array:
        turned = v.reshape(self._n_logits, -1).copy()
        for index, inverse_root, factor in self._groups:
            turned[index] = linalg.blas.dtrsm(1.0, factor, turned[index].T, lower=1, trans_a=1).T * inverse_root
        return (self._eigenvectors @ turned).ravel()

    def _to_v(self, gradient: Float64Array) -> Float64Array:
        turned = self._eigenvectors.T @ gradient.reshape(self._n_logits, -1)
        for index, inverse_root, factor in self._groups:
            turned[index] = linalg.blas.dtrsm(1.0, factor, (turned[index] * inverse_root).T, lower=1).T
        return turned.ravel()


def _sample_size(n_parameters: int) -> int:
    return max(_SAMPLE[0] * n_parameters, _SAMPLE[1])


def _misfit(probability: FloatArray, residual: FloatArray) -> NDArray[np.bool_]:
    """Rows of which the model is sure and wrong.

    They have a gradient of about 1 and a curvature of about 0, so that a Newton step may be far too long. With the
    square of the residual added to their curvature it is not.
    """
    return (residual**2).sum(axis=0) > 10 * (probability * (1 - probability)).sum(axis=0)


def _curvature(objective: Objective, probability: FloatArray, block: slice, cautious: bool) -> FloatArray:
    """The diagonal of each row's second derivatives in its logits, class-major."""
    curvature = probability * (1 - probability)
    if cautious:
        residual = objective.residual(probability, block)
        misfit = _misfit(probability, residual)
        curvature[:, misfit] += residual[:, misfit] ** 2
    return curvature


def _factor(hessian: Float64Array) -> tuple[Float64Array, Float64Array]:
    """(r, L) with hessian ~ diag(1/r) L L^T diag(1/r); `hessian` is overwritten."""
    # Scaled to a unit diagonal, so that the jitter is relative to each parameter's own curvature.
    inverse_root = 1 / np.sqrt(np.maximum(hessian.diagonal(), _LEAST_CURVATURE))
    hessian *= inverse_root
    hessian *= inverse_root[:, None]
    diagonal = hessian.diagonal().copy()
    # Redundant logits, duplicate and constant columns make it singular; rounding may make it slightly indefinite.
    jitter = 1e-13
    while True:
        np.fill_diagonal(hessian, diagonal + jitter)
        try:
            # In Fortran's order, as BLAS wants it: solve_triangular would check it anew each time, for 20 us.
            return inverse_root, np.asfortranarray(linalg.cholesky(hessian, lower=True, check_finite=False))
        except linalg.LinAlgError:
            jitter *= 100


def preconditioner(
    objective: Objective, columns: Columns, theta: Float64Array, cautious: bool = False
) -> Preconditioner:
    """The Hessian at `theta`: a Kronecker product where it is one and cheap, full where affordable, else its diagonal.

    The costs are counts of multiplications, not times, so that a fit can be repeated. A `cautious` one takes shorter
    steps in the directions of rows of which the model is sure and wrong.
    """
    n_samples, n_columns, n_logits = objective.rows.n_samples, objective.n_columns, objective.n_logits
    size = n_columns * n_logits
    # In operations, two for each multiplication: the rows, SciPy's bookkeeping, and the calls as such.
    evaluation = 2 * n_samples * objective.cost + 120 * size + 3_000_000
    kronecker = n_samples * n_columns**2 + n_logits * n_columns**3 / 3
    # The limit is one of memory too: the blocks of a sparse X, which are filled, have as many rows as columns.
    if n_columns <= _FULL_LIMIT and kronecker <= 10 * evaluation and not objective.split(theta)[0].any():
        return KroneckerPreconditioner(objective, columns, theta)
    n_rows = min(n_samples, 2 * _sample_size(size))
    if size <= _FULL_LIMIT and n_rows * size**2 + size**3 / 3 <= _FULL_EVALUATIONS * evaluation:
        return FullPreconditioner(objective, columns, theta, cautious=cautious)
    return DiagonalPreconditioner(objective, columns, theta, cautious=cautious)
