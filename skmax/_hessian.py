"""The Hessian of the objective in standardized columns: its measurement by sums over rows, and its factors.

As diag(p) - p p^T = sum_{k<l} p_k p_l (e_k - e_l) (e_k - e_l)^T, the Hessian of the loss is made of one matrix for each
pair of classes, G_kl = (1/S) sum_i s_i p_ik p_il x~_i x~_i^T, which takes a quarter of the multiplications of a Gram
matrix of d columns, n_rows d^2 / 2 for d parameters. A Cholesky factorisation takes another d^3 / 3.

A sum of squares keeps half of the digits: beside the square of an outlier, 1e8 times as long, the others are lost. As
diag(p) - p p^T = sum_k p_k (e_k - p) (e_k - p)^T, the Hessian is also R^T R with R from a QR factorisation of the rows
(s_i p_ik / S)^(1/2) (e_k - p_i) (x) x~_i, one for each row of X and each class, which keeps all of them.
"""

import dataclasses
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from skmax._change_of_variables import ChangeOfVariables
from skmax._columns import ColumnStats, Triangle, squared_deviations
from skmax._objective import Objective
from skmax._samples import Block, Float64Array, LocalSamples, Maximum
from skmax._softmax import FloatArray, normalize_in_place

# The most numbers that a form of the Hessian may hold, 67 MB, with as many again in its factors.
MOST_NUMBERS = 2**23
# Where no row is uncertain, a parameter has no curvature; its steps must not be infinite. The curvature of a parameter
# whose column has unit spread is at most 1/4 plus the weight decay.
LEAST_CURVATURE = 1e-12
# What the whole Hessian may cost at the end of a fit, to certify it: this many evaluations; this share of the number of
# iterations so far, which conjugate gradients would cost too; or this many operations, about 20 ms.
_WHOLE_EVALUATIONS, _WHOLE_SHARE, _WHOLE_OPERATIONS = 10, 0.2, 3.3e8
# What it may cost where nothing else can tell the gap.
_NEEDED_EVALUATIONS = 1000
# The largest share of the inverse Hessian's trace that the jitter may hide from a bound.
_HIDDEN = 0.5
# A Hessian of unit diagonal with a smaller pivot than this is factorised from its rows instead, if that costs no more
# than this many evaluations. The jitter is then the smallest that rounding requires.
_SINGULAR, _ROWS_EVALUATIONS, _ROOT_JITTER = 1e-9, 30, 1e-30
# Up to this many pairs of classes get a matrix product each: 2 to 7 times as fast for one pair, as fast for ten. More
# pairs are computed together, column by column.
_FEW_PAIRS = 10
# Multiplications that take as long as computing the weight of one row for one pair of classes.
_PAIR_COST = 70


def whole_hessian_fits(objective: Objective) -> bool:
    """Whether the whole Hessian may be held in memory, which is the case for up to 2048 parameters."""
    return whole_hessian_numbers(objective) <= MOST_NUMBERS


def whole_hessian_numbers(objective: Objective) -> int:
    """How many numbers the whole Hessian holds, and as many again that are needed while it is built."""
    return 2 * (objective.n_columns * objective.n_logits) ** 2


def evaluation_cost(objective: Objective) -> int:
    """The operations of an evaluation, two for each multiplication: for the rows, SciPy's bookkeeping and the calls."""
    size = objective.n_columns * objective.n_logits
    return 2 * objective.samples.n_samples * objective.cost + 120 * size + 3_000_000


@dataclass(frozen=True, eq=False)
class FactoredHessian(ChangeOfVariables):
    """The Hessian H = diag(1/r) L L^T diag(1/r) at one point, up to a jitter, with v = L^T diag(1/r) (W~, b~).

    Attributes
    ----------
    measured : ndarray of shape (n_parameters, n_parameters)
        The Hessian of the loss, or the R of its QR factorisation if `by_rows`.
    exact_at : ndarray of shape (n_parameters,), or None
        The point, if `measured` is the Hessian itself there and not one of a sample of rows or of float32 products.
    inverse_root, factor, jitter
        r, L and the number that was added to the diagonal of L L^T.
    """

    takes_turns: ClassVar[bool] = False

    measured: Float64Array
    by_rows: bool = False
    exact_at: Float64Array | None = None
    inverse_root: Float64Array = dataclasses.field(default_factory=lambda: np.empty(0))
    factor: Float64Array = dataclasses.field(default_factory=lambda: np.empty((0, 0)))
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
        penalty = np.tile(self._penalty(objective), self.n_logits)
        factorise = self._factorise_root if self.by_rows else self._factorise_hessian
        inverse_root, factor, jitter = factorise(penalty)
        return dataclasses.replace(self, inverse_root=inverse_root, factor=factor, jitter=jitter)

    def _factorise_hessian(self, penalty: Float64Array) -> tuple[Float64Array, Float64Array, float]:
        curvature = self.measured
        if self.n_logits > 1:
            # No step goes along the redundant direction, the same for all classes. Any curvature there will do.
            table = curvature.reshape(self.n_logits, -1, self.n_logits, penalty.size // self.n_logits).copy()
            every = np.arange(table.shape[1])
            mean = (curvature.diagonal() + penalty).reshape(self.n_logits, -1).mean(axis=0)
            table[:, every, :, every] += mean[:, None, None] / self.n_logits
            curvature = table.reshape(curvature.shape)
        return factorise(curvature, penalty)

    def _factorise_root(self, penalty: Float64Array) -> tuple[Float64Array, Float64Array, float]:
        root = self.measured
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
        """Whether rounding hides some of the Hessian, or nearly does."""
        return bool(np.square(self.factor.diagonal()).min() < _SINGULAR)

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
        half = linalg.solve_triangular(self.factor, np.diag(self.inverse_root), lower=True, check_finite=False)
        if n_logits > 1:
            table = half.reshape(size, n_logits, -1)
            half = (table - table.mean(axis=1, keepdims=True)).reshape(size, size)
        return half

    def longest_steps(self) -> Float64Array:
        """Bounds b_j such that a step of unit length changes a row's difference of two logits by sum_j |x~_ij| b_j.

        With m_kj the norm of the step of unit length that changes parameter kj most, which is the root of the diagonal
        of H^-1, two classes make a difference of at most sum_j |x~_ij| (m_kj + m_lj). The jitter of the factor makes
        steps shorter in directions of no curvature. The bounds are infinite if the jitter hides those directions.
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


@dataclass(frozen=True, eq=False)
class WholeHessian:
    """The Hessian of `objective` at any point, of all rows and not of a sample of them."""

    objective: Objective
    columns: ColumnStats

    @property
    def evaluations(self) -> float:
        """The cost of measuring and factorising it, in evaluations of the objective."""
        size, n_logits = self.objective.n_columns * self.objective.n_logits, self.objective.n_logits
        row = size**2 / 2 + _PAIR_COST * max(1, n_logits * (n_logits - 1) / 2)
        return (self.objective.samples.n_samples * row + 2 / 3 * size**3) / evaluation_cost(self.objective)

    def pays(self, n_iter: int) -> bool:
        """Whether it costs no more than a few evaluations, a share of `n_iter`, or a few milliseconds."""
        allowed = max(_WHOLE_EVALUATIONS, _WHOLE_SHARE * n_iter, _WHOLE_OPERATIONS / evaluation_cost(self.objective))
        return whole_hessian_fits(self.objective) and self.evaluations <= allowed

    def is_needed(self, preconditioner: object) -> bool:
        """Whether nothing else can tell how far f is above its minimum.

        A weak penalty leaves directions of next to no curvature, of which conjugate gradients learn nothing in a few
        steps, unless the preconditioner stands for the whole Hessian.
        """
        unknown = self.objective.has_weak_penalty and not isinstance(preconditioner, FactoredHessian)
        return unknown and whole_hessian_fits(self.objective) and self.evaluations <= _NEEDED_EVALUATIONS

    def at(self, theta: Float64Array) -> FactoredHessian:
        """The Hessian at `theta`, to as many digits as the rows have."""
        change = self.roughly_at(theta)
        by_rows = 2 * self.objective.samples.n_samples * self.objective.n_logits * theta.size**2
        if change.is_singular() and by_rows <= _ROWS_EVALUATIONS * evaluation_cost(self.objective):
            change = FactoredHessian.of_all_rows(self.objective, self.columns, theta, by_rows=True)
        return change

    def roughly_at(self, theta: Float64Array) -> FactoredHessian:
        """The Hessian at `theta`, except for directions of next to no curvature, which rounding hides."""
        return FactoredHessian.of_all_rows(self.objective, self.columns, theta)

    def reach(self, change: FactoredHessian) -> float:
        """An upper bound of the c of `skmax._certificate` for the Hessian that `change` factors."""
        steps = change.longest_steps()
        if not np.isfinite(steps).all():
            return np.inf
        samples = self.objective.samples
        return float(samples.sum(_largest_reach, self.columns, steps, cost=samples.n_columns))

    def without_far_rows(
        self, theta: Float64Array, change: FactoredHessian, limit: float
    ) -> "tuple[WholeHessian, float, float] | None":
        """The Hessian without the rows whose reach is above `limit`, their share of f, and the others' of the weight.

        None if all rows would be left out, or none.
        """
        steps = change.longest_steps()
        if not np.isfinite(steps).all():
            return None
        rest = self.objective.without(theta, _is_far, self.columns, self.objective.fit_intercept, steps, limit)
        if rest is None:
            return None
        objective, loss = rest
        # The other rows have less weight, of which the same penalty is a larger share.
        share = objective.samples.weight_sum / self.objective.samples.weight_sum
        objective = objective.penalised(objective.weight_decay / share)
        return WholeHessian(objective, self.columns), loss, share


def measure(objective: Objective, columns: ColumnStats, theta: Float64Array) -> Float64Array:
    """The Hessian of the loss without the penalty, of shape (d, d), with the classes varying slowest."""
    n_logits, n_columns = objective.n_logits, objective.n_columns
    size = n_logits * n_columns
    first, second = np.triu_indices(n_logits, 1)
    gram = objective.samples.sum(_pairs, theta, columns, cost=max(len(first), 1) * n_columns**2)
    hessian = np.zeros((n_logits, n_columns, n_logits, n_columns))
    if n_logits == 1:
        hessian[0, :, 0] = gram[0]
    else:
        hessian[first, :, second] = hessian[second, :, first] = -gram
        every = np.arange(n_logits)
        hessian[every, :, every] = -hessian.sum(axis=2)
    hessian /= objective.samples.weight_sum
    return hessian.reshape(size, size)


def measure_root(objective: Objective, columns: ColumnStats, theta: Float64Array) -> Float64Array:
    """The R of the module's docstring."""
    root = objective.samples.sum(_square_roots, theta, columns, cost=objective.n_logits * theta.size**2).matrix
    root /= np.sqrt(objective.samples.weight_sum)
    return root


def measure_diagonal(objective: Objective, columns: ColumnStats, theta: Float64Array) -> Float64Array:
    """The diagonal of the Hessian of the loss, of shape (n_logits, n_columns)."""
    diagonal = objective.samples.sum(_diagonal, theta, columns, cost=objective.cost) / objective.samples.weight_sum
    diagonal[:, : objective.n_features] /= columns.unit
    return diagonal


def measure_second_moment(objective: Objective, columns: ColumnStats) -> Float64Array:
    """The weighted mean of x~_i x~_i^T."""
    samples = objective.samples
    return samples.sum(_second_moment, columns, cost=samples.n_columns**2) / samples.weight_sum


def logit_curvature(probability: FloatArray) -> FloatArray:
    """The second derivative of each row's loss in each of its logits, p_i (1 - p_i), class-major."""
    return probability * (1 - probability)


def weighted_curvature(block: Block, coef: FloatArray, intercept: FloatArray) -> FloatArray:
    """s_i p_i (1 - p_i) of the rows of a block, class-major."""
    curvature = logit_curvature(block.probability(coef, intercept))
    if block.weight is not None:
        curvature *= block.weight
    return curvature


def factorise(curvature: Float64Array, penalty: Float64Array) -> tuple[Float64Array, Float64Array, float]:
    """(r, L, jitter) with curvature + diag(penalty) + jitter diag(1/r^2) = diag(1/r) L L^T diag(1/r)."""
    hessian = curvature + np.diag(penalty)
    # Nothing depends on a parameter of no curvature at all: any curvature will do.
    empty = np.flatnonzero(hessian.diagonal() == 0)
    hessian[empty, empty] = 1
    # Scaled to a unit diagonal, so that the jitter is relative to each parameter's own curvature.
    inverse_root = 1 / np.sqrt(np.maximum(hessian.diagonal(), LEAST_CURVATURE))
    hessian *= inverse_root
    hessian *= inverse_root[:, None]
    diagonal = hessian.diagonal().copy()
    # Redundant logits, duplicate and constant columns make it singular; rounding may make it slightly indefinite.
    jitter = 1e-13
    while True:
        np.fill_diagonal(hessian, diagonal + jitter)
        try:
            # In Fortran's order, as BLAS wants it: `solve_triangular` would check it in every call, for 20 us.
            factor = np.asfortranarray(linalg.cholesky(hessian, lower=True, check_finite=False))
            return inverse_root, factor, jitter
        except linalg.LinAlgError:
            jitter *= 100


def _pairs(samples: LocalSamples, within: slice, theta: Float64Array, columns: ColumnStats) -> Float64Array:
    """S G_kl of the module's docstring, of shape (n_pairs, n_columns, n_columns).

    A single logit makes a pair with the 0 of the other class.
    """
    n_logits, n_columns, parameters = samples.n_logits, samples.n_columns, samples.parameters(theta)
    first, second = np.triu_indices(n_logits, 1)
    total = np.zeros((max(len(first), 1), n_columns, n_columns))
    for block in samples.blocks(len(total) + n_columns, within):
        probability = block.probability(*parameters)
        standardized = np.ascontiguousarray(columns.standardized(block, samples.fit_intercept).T)
        product = logit_curvature(probability) if n_logits == 1 else probability[first] * probability[second]
        if block.weight is not None:
            product *= block.weight
        if len(product) <= _FEW_PAIRS:
            for pair, weights in zip(total, product, strict=True):
                pair += (standardized * weights) @ standardized.T
        else:
            for column in range(n_columns):
                moment = product @ (standardized[column:] * standardized[column]).T
                total[:, column, column:] += moment
                total[:, column + 1 :, column] += moment[:, 1:]
    return total


def _square_roots(samples: LocalSamples, within: slice, theta: Float64Array, columns: ColumnStats) -> Triangle:
    """S^(1/2) R of the module's docstring."""
    n_logits, size, parameters = samples.n_logits, theta.size, samples.parameters(theta)
    total = Triangle(np.empty((0, size)))
    for block in samples.blocks(n_logits * size, within):
        standardized, weight = columns.standardized(block, samples.fit_intercept), block.weight
        logits = block.raw_prediction(*parameters)
        probability = logits.copy()
        normalize_in_place(probability)
        if n_logits == 1:
            normalize_in_place(np.negative(logits, out=logits))
            root = np.sqrt(probability * logits).T
            rows = (root if weight is None else root * np.sqrt(weight)[:, None]) * standardized
        else:
            # e_k - p, of which 1 - p_k is the sum of the others: as a difference it would lose its digits.
            away = np.tile(-probability, (n_logits, 1, 1))
            for k in range(n_logits):
                away[k, k] = np.delete(probability, k, axis=0).sum(axis=0)
            away *= np.sqrt(probability if weight is None else probability * weight)[:, None]
            rows = np.einsum("kli,ij->kilj", away, standardized).reshape(-1, size)
        total += Triangle.of(rows)
    return total


def _diagonal(samples: LocalSamples, within: slice, theta: Float64Array, columns: ColumnStats) -> Float64Array:
    """The sum of s_i p_i (1 - p_i) (x_i - mean, 1)^2, of shape (n_logits, n_columns), or that of turned columns."""
    mean, parameters = columns.mean, samples.parameters(theta)
    total = np.zeros((samples.n_logits, samples.n_columns))

    def weighted(block: Block) -> FloatArray:
        curvature = weighted_curvature(block, *parameters)
        if samples.fit_intercept:
            total[:, -1] += curvature.sum(axis=1)
        return curvature

    if samples.is_sparse and columns.turn is None:  # without filling x
        for block in samples.blocks(samples.n_columns + samples.n_logits, within):
            curvature = weighted(block)
            moment, square = block.moments(curvature)
            total[:, : len(mean)] += square + mean**2 * curvature.sum(axis=1)[:, None] - 2 * mean * moment
    else:
        for block, _, square in squared_deviations(samples, within, columns, samples.n_logits):
            total[:, : len(mean)] += weighted(block) @ square
    return total


def _second_moment(samples: LocalSamples, within: slice, columns: ColumnStats) -> Float64Array:
    """The sum of s_i x~_i x~_i^T."""
    total = np.zeros((samples.n_columns, samples.n_columns))
    for block in samples.blocks(samples.n_columns, within):
        standardized, weight = columns.standardized(block, samples.fit_intercept), block.weight
        total += standardized.T @ standardized if weight is None else (standardized.T * weight) @ standardized
    return total


def _reach(block: Block, columns: ColumnStats, intercept: bool, norm: Float64Array) -> Float64Array:
    """sum_j |x~_ij| norm_j of each row."""
    return np.abs(columns.standardized(block, intercept)) @ norm


def _largest_reach(samples: LocalSamples, within: slice, columns: ColumnStats, norm: Float64Array) -> Maximum:
    """The largest reach of a row with weight."""
    largest = 0.0
    for block in samples.blocks(samples.n_columns, within):
        reach = block.with_positive_weight(_reach(block, columns, samples.fit_intercept, norm))
        largest = max(largest, float(reach.max(initial=0)))
    return Maximum(largest)


def _is_far(block: Block, columns: ColumnStats, intercept: bool, norm: Float64Array, limit: float) -> NDArray[np.bool_]:
    """Which rows have a reach above the limit."""
    return _reach(block, columns, intercept, norm) > limit
