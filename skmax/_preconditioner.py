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

import copy
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from skmax._columns import Columns, Triangle, squared_deviations
from skmax._objective import Objective
from skmax._rows import Design, Float64Array, Maximum
from skmax._softmax import FloatArray, normalize_in_place

# What a form of the Hessian may cost, in evaluations of the objective, and the numbers that it may hold: 67 MB, and as
# many in its factors. The full one, which needs more arrays while it is built, holds half of that.
_FULL_EVALUATIONS, _BLOCK_EVALUATIONS, _KRONECKER_EVALUATIONS = 20, 40, 30
_LIMIT = 2**23
# What the whole Hessian may cost at the end of a fit, to certify it: so many evaluations, or this share of the
# iterations so far, which conjugate gradients cost too; or so many operations, some 20 ms.
_WHOLE_EVALUATIONS, _WHOLE_SHARE, _WHOLE_OPERATIONS = 10, 0.1, 3.3e8
# The share of the inverse Hessian's trace that the jitter may hide from a bound.
_HIDDEN = 0.5
# A Hessian of unit diagonal with a smaller pivot than this is factorised from its rows instead, if that costs no more
# than so many evaluations. The jitter is then one that only rounding needs.
_SINGULAR, _ROWS_EVALUATIONS, _ROOT_JITTER = 1e-9, 30, 1e-30
# The matrix products of so few pairs of classes are taken one by one: 2 to 7 times as fast for one pair, as fast for
# ten. Those of more are taken for all pairs at once, column by column.
_FEW_PAIRS = 10
# Multiplications that the weight of a row and a pair of classes takes as long as.
_PAIR_COST = 70
# A sample has so many rows for each row of the matrix that it is for, and at least so many.
_SAMPLE = (4, 2000)
# Rows for each logit that are taken whole beside a diagonal, half as many at least where memory is short, and the
# least curvature along a direction, in terms of the diagonal, for which that is done.
_LOW_RANK, _LEAST_RANK = 64, 2.0
# A parameter that no row is uncertain about has no curvature; it must not get infinite steps. One of a column of unit
# spread has at most 1/4, and the weight decay.
_LEAST_CURVATURE = 1e-12


class Preconditioner:
    """A linear change of variables theta = forward(v), and its transpose, backward, for gradients.

    Subclasses measure the curvature of the loss, and give the factor of that and the penalty: `_factorise` makes it,
    `_from_v` is the product with L^-T, and `_to_v` with L^-1.
    """

    def __init__(self, objective: Objective, columns: Columns, caution: float = 0.0) -> None:
        self._columns = columns
        self._n_logits = objective.n_logits
        self._fit_intercept = objective.fit_intercept
        self._caution = caution

    def penalised(self, objective: Objective) -> Self:
        """The same point's, for an objective that differs in its weight decay."""
        other = copy.copy(self)
        other._factorise(objective)
        return other

    def stage_length(self, n_stages: int) -> int:
        """Iterations until another preconditioner pays, after `n_stages` before this one."""
        return 15

    def _factorise(self, objective: Objective) -> None:
        raise NotImplementedError

    def _penalty(self, objective: Objective) -> Float64Array:
        """Second derivatives of the weight decay, which spares the intercepts, and the caution."""
        penalty = np.full(objective.n_columns, self._caution)
        penalty[: objective.n_features] += objective.weight_decay / self._columns.scale**2
        return penalty

    def _from_v(self, v: Float64Array) -> Float64Array:
        raise NotImplementedError

    def _to_v(self, gradient: Float64Array) -> Float64Array:
        raise NotImplementedError

    def forward(self, v: Float64Array) -> Float64Array:
        """A step in theta from a step in v."""
        theta = self._centred_over_classes(self._from_v(v).reshape(self._n_logits, -1))
        coef = theta[:, : len(self._columns.scale)]
        if self._columns.turn is not None:
            coef[:] = coef @ self._columns.turn.T
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
        if self._columns.turn is not None:
            coef[:] = coef @ self._columns.turn
        return self._to_v(self._centred_over_classes(tilde).ravel())

    def tilde(self, x: Design) -> Float64Array:
        """Rows of x~, ending in a 1 if there is an intercept. Fills a sparse `x`."""
        return self._columns.tilde(x, self._fit_intercept)

    def _sample(
        self,
        objective: Objective,
        theta: Float64Array,
        diagonal: Float64Array,
        n_rows: int,
        *,
        together: bool,
        by_chance: bool = True,
    ) -> list[tuple[NDArray[np.intp], Float64Array, Float64Array]]:
        """(index, curvature, factor) of `n_rows` rows, for each logit or for all `together`.

        A row's chance is in proportion to an estimate of its leverage, that is of its part of the curvature along its
        own direction (D. P. Woodruff, 2014, Sketching as a tool for numerical linear algebra, section 2.4): a uniform
        sample misses rare classes and outliers. The rows of largest leverage / u are taken, with a u of each row that
        is uniform over (0, 1]; with tau the largest that is left out, a row of leverage l stands for max(1, tau / l)
        rows (N. Duffield, C. Lund and M. Thorup, 2007, Priority sampling for estimation of arbitrary subset sums).
        If not `by_chance`, u is 1: those of largest leverage, which then stand for themselves alone.
        """
        largest = objective.sum(
            _largest, theta, self._columns, 1 / diagonal, n_rows, together, by_chance, cost=objective.cost
        )
        result = []
        for priority, index, curvature, leverage in largest.tables:
            tau = 0.0
            if len(priority) > n_rows:
                tau = priority.min()
                kept = np.flatnonzero(priority > tau)
                index, curvature, leverage = index[kept], curvature[kept], leverage[kept]
            order = np.argsort(index)
            factor = np.maximum(1, tau / leverage)
            result.append((index[order].astype(np.intp), curvature[order], factor[order]))
        return result

    def _centred_over_classes(self, tilde: Float64Array) -> Float64Array:
        # Not `mean`, which takes longer than all else here on a small table.
        return tilde - tilde.sum(axis=0) / self._n_logits if self._n_logits > 1 else tilde


class DiagonalPreconditioner(Preconditioner):
    """The diagonal of the Hessian: cheap for any number of parameters, blind to correlated columns.

    L-BFGS makes up for part of that from its memory, which ends with the stage: the stages grow.
    """

    def __init__(self, objective: Objective, columns: Columns, theta: Float64Array, caution: float = 0.0) -> None:
        super().__init__(objective, columns, caution)
        diagonal = objective.sum(_diagonal, theta, columns, cost=objective.cost) / objective.rows.weight_sum
        diagonal[:, : objective.n_features] /= columns.unit
        self.curvature = diagonal
        self._factorise(objective)

    def _factorise(self, objective: Objective) -> None:
        self.diagonal = np.maximum(self.curvature + self._penalty(objective), _LEAST_CURVATURE)
        self._inverse_root = 1 / np.sqrt(self.diagonal).ravel()

    def stage_length(self, n_stages: int) -> int:
        return _growing(n_stages)

    def _from_v(self, v: Float64Array) -> Float64Array:
        return self._inverse_root * v

    def _to_v(self, gradient: Float64Array) -> Float64Array:
        return self._inverse_root * gradient


class LowRankPreconditioner(Preconditioner):
    """The diagonal, and for each logit the whole part of the few rows that have most of the curvature.

    Where most rows are sure of their class, that is nearly all: as much as a block would know, for a small part of its
    price. With U the rows sqrt(s_i p_i (1 - p_i) / S) x~_i of a logit, D the diagonal less theirs, U D^-1/2 = R^T Q its
    thin singular value decomposition with the values r on R's diagonal, so that Q has orthonormal rows,

        D^-1/2 (D + U^T U) D^-1/2 = I + Q^T r^2 Q    has the inverse root    I + Q^T ((1 + r^2)^-1/2 - 1) Q.
    """

    def __init__(self, objective: Objective, columns: Columns, theta: Float64Array, caution: float = 0.0) -> None:
        super().__init__(objective, columns, caution)
        rank = _low_rank(objective)
        diagonal = DiagonalPreconditioner(objective, columns, theta, caution)
        samples = self._sample(objective, theta, diagonal.diagonal, rank, together=False, by_chance=False)

        def parts(classes: slice) -> list[Float64Array]:
            return [
                self.tilde(objective.rows.at(index)) * np.sqrt(curvature / objective.rows.weight_sum)[:, None]
                for index, curvature, _ in samples[classes]
            ]

        self._parts = objective.rows.over(parts, n=self._n_logits, cost=rank * objective.n_columns)
        own = np.array([np.square(part).sum(axis=0) for part in self._parts])
        self._rest = np.maximum(diagonal.curvature - own, 0)
        self._factorise(objective)

    def _factorise(self, objective: Objective) -> None:
        penalty = self._penalty(objective)

        def turns(classes: slice) -> list[tuple[Float64Array, Float64Array, Float64Array]]:
            return [
                _inverse_root(part, np.maximum(rest + penalty, _LEAST_CURVATURE))
                for part, rest in zip(self._parts[classes], self._rest[classes], strict=True)
            ]

        cost = 2 * objective.n_columns * _low_rank(objective) ** 2
        self._turns = objective.rows.over(turns, n=self._n_logits, cost=cost)

    def _from_v(self, v: Float64Array) -> Float64Array:
        parts = zip(v.reshape(self._n_logits, -1), self._turns, strict=True)
        return np.concatenate([root * (part + (basis @ part * less) @ basis) for part, (root, less, basis) in parts])

    def _to_v(self, gradient: Float64Array) -> Float64Array:
        parts = zip(gradient.reshape(self._n_logits, -1), self._turns, strict=True)
        scaled = ((root * part, less, basis) for part, (root, less, basis) in parts)
        return np.concatenate([part + (basis @ part * less) @ basis for part, less, basis in scaled])


class FullPreconditioner(Preconditioner):
    """The whole Hessian, by one Cholesky factorisation: d^3 / 3 operations for d parameters, and n_rows d^2 / 2 before.

    As diag(p) - p p^T = sum_{k<l} p_k p_l (e_k - e_l) (e_k - e_l)^T, it is made of one matrix for each pair of classes,
    G_kl = (1/S) sum_i s_i p_ik p_il x~_i x~_i^T, with a quarter of the multiplications of a Gram matrix of d columns.
    A sample of 4 d rows is enough where there are many more; see `_sample`.
    """

    def __init__(
        self,
        objective: Objective,
        columns: Columns,
        theta: Float64Array,
        caution: float = 0.0,
        *,
        sampled: bool = True,
        by_rows: bool = False,
    ) -> None:
        super().__init__(objective, columns, caution)
        self._root: Float64Array | None = None
        if by_rows:
            cost = objective.n_logits * theta.size**2
            self._root = objective.sum(_square_roots, theta, columns, cost=cost).matrix
            self._root /= np.sqrt(objective.rows.weight_sum)
            self.exact_at: Float64Array | None = theta
            self._factorise(objective)
            return
        n_rows = _rows_for(theta.size, objective.rows.n_samples)
        # Where it is the Hessian itself, not that of a sample or of float32 products.
        self.exact_at = None
        if not sampled or n_rows == objective.rows.n_samples:
            self._curvature = self._measure(objective, theta)
            if objective.rows.dtype == np.float64 and not caution:
                self.exact_at = theta
        else:
            diagonal = DiagonalPreconditioner(objective, columns, theta, caution)
            [(index, _, factor)] = self._sample(objective, theta, diagonal.diagonal, n_rows, together=True)
            self._curvature = self._measure(objective.of_rows(index, factor), theta)
            _complete(self._curvature, diagonal.curvature.ravel())
        self._factorise(objective)

    def _factorise(self, objective: Objective) -> None:
        penalty = np.tile(self._penalty(objective), self._n_logits)
        if self._root is not None:
            self._factorise_rows(self._root, penalty)
            return
        curvature = self._curvature
        if self._n_logits > 1:
            # No step goes along the redundant direction, the same for all classes. Any curvature there will do.
            table = curvature.reshape(self._n_logits, -1, self._n_logits, penalty.size // self._n_logits).copy()
            every = np.arange(table.shape[1])
            mean = (curvature.diagonal() + penalty).reshape(self._n_logits, -1).mean(axis=0)
            table[:, every, :, every] += mean[:, None, None] / self._n_logits
            curvature = table.reshape(curvature.shape)
        self._inverse_root, self._factor, self._jitter = _factor(curvature, penalty)

    def _factorise_rows(self, root: Float64Array, penalty: Float64Array) -> None:
        """As `_factorise`, from a QR factorisation of the rows whose squares H is the sum of.

        A sum of squares keeps half of the digits: beside those of an outlier, 1e8 times as long, the others are lost.
        As diag(p) - p p^T = sum_k p_k (e_k - p) (e_k - p)^T, each row and class k make one, p_k^(1/2) (e_k - p) (x) x~.
        """
        square = np.square(root).sum(axis=0) + penalty
        rows = [root, np.diag(np.sqrt(penalty))]
        if self._n_logits > 1:  # as in `_factorise`
            mean = square.reshape(self._n_logits, -1).mean(axis=0)
            rows.append(np.tile(np.diag(np.sqrt(mean / self._n_logits)), self._n_logits))
        triangle = Triangle.of(np.vstack(rows)).matrix
        norm = np.linalg.norm(triangle, axis=0)
        empty = norm == 0
        self._inverse_root = 1 / np.where(empty, 1, norm)
        triangle *= self._inverse_root
        diagonal = triangle.diagonal()
        least = np.where(np.abs(diagonal) < np.sqrt(_ROOT_JITTER), np.sqrt(_ROOT_JITTER), diagonal)
        np.fill_diagonal(triangle, np.where(empty, 1, least))
        self._factor, self._jitter = np.asfortranarray(triangle.T), _ROOT_JITTER

    def is_singular(self) -> bool:
        """Whether rounding hides some of the Hessian, or nearly."""
        return bool(np.square(self._factor.diagonal()).min() < _SINGULAR)

    def _measure(self, objective: Objective, theta: Float64Array) -> Float64Array:
        """H of the module's docstring less the penalty, of shape (d, d), classes varying slowest."""
        n_logits, n_columns = objective.n_logits, objective.n_columns
        size = n_logits * n_columns
        first, second = np.triu_indices(n_logits, 1)
        gram = objective.sum(_pairs, theta, self._columns, cost=max(len(first), 1) * n_columns**2)
        hessian = np.zeros((n_logits, n_columns, n_logits, n_columns))
        if n_logits == 1:
            hessian[0, :, 0] = gram[0]
        else:
            hessian[first, :, second] = hessian[second, :, first] = -gram
            every = np.arange(n_logits)
            hessian[every, :, every] = -hessian.sum(axis=2)
        hessian = hessian.reshape(size, size)
        hessian /= objective.rows.weight_sum
        return hessian

    def stage_length(self, n_stages: int) -> int:
        return 8

    def inverse(self) -> Float64Array:
        """H^-1 on the steps that sum to zero over the classes, for the columns of `tilde`; of shape (d, d)."""
        half = self._inverse_factor()
        return half.T @ half

    def _inverse_factor(self) -> Float64Array:
        """A square root, of shape (d, d), of `inverse`."""
        n_logits, size = self._n_logits, len(self._inverse_root)
        half = linalg.solve_triangular(self._factor, np.diag(self._inverse_root), lower=True, check_finite=False)
        if n_logits > 1:
            table = half.reshape(size, n_logits, -1)
            half = (table - table.mean(axis=1, keepdims=True)).reshape(size, size)
        return half

    def longest_steps(self) -> Float64Array:
        """Of a step of unit length, bounds of what it changes by: sum_j |x~_ij| of these, a row's difference of logits.

        With m_kj the norm of the step of unit length that changes parameter kj most, which is the root of the diagonal
        of H^-1, two classes make a difference of at most sum_j |x~_ij| (m_kj + m_lj). The jitter of the factor makes
        steps shorter in directions of no curvature; infinite, if that hides them.
        """
        half = self._inverse_factor()
        hidden = self._jitter * np.square(half / self._inverse_root).sum()
        if not hidden < _HIDDEN:
            return np.full(half.shape[1] // self._n_logits, np.inf)
        norm = np.sqrt(np.square(half).sum(axis=0) / (1 - hidden)).reshape(self._n_logits, -1).max(axis=0)
        return norm if self._n_logits == 1 else 2 * norm

    def _from_v(self, v: Float64Array) -> Float64Array:
        return self._inverse_root * linalg.blas.dtrsv(self._factor, v, lower=1, trans=1)

    def _to_v(self, gradient: Float64Array) -> Float64Array:
        return linalg.blas.dtrsv(self._factor, self._inverse_root * gradient, lower=1)


class BlockPreconditioner(Preconditioner):
    """The Hessian's blocks on the diagonal, one for each logit, with the class's own weights: n_logits (n_rows
    n_columns^2 + n_columns^3 / 3) operations.

    It knows how the columns correlate for each class, and leaves the coupling of the classes to L-BFGS. For a block,
    a sample of 4 n_columns rows is enough.
    """

    def __init__(self, objective: Objective, columns: Columns, theta: Float64Array, caution: float = 0.0) -> None:
        super().__init__(objective, columns, caution)
        rows, n_columns = objective.rows, objective.n_columns
        n_rows = _rows_for(n_columns, rows.n_samples)
        if n_rows == rows.n_samples:
            whole = objective.here()
            x, weight = whole.rows.at(slice(None)), whole.rows.sample_weight
            tilde, curvature = self.tilde(x), _curvature(objective.probability(theta, x))
            root = np.sqrt(curvature if weight is None else curvature * weight)

            def block(k: int) -> Float64Array:
                return gram(tilde, root[k])
        else:
            diagonal = DiagonalPreconditioner(objective, columns, theta, caution)
            samples = self._sample(objective, theta, diagonal.diagonal, n_rows, together=False)

            def block(k: int) -> Float64Array:
                index, curvature, factor = samples[k]
                result = gram(self.tilde(rows.at(index)), np.sqrt(curvature * factor))
                _complete(result, diagonal.curvature[k])
                return result

        def gram(tilde: Float64Array, root: Float64Array) -> Float64Array:
            scaled = tilde * root[:, None]
            return scaled.T @ scaled / rows.weight_sum

        def blocks(classes: slice) -> list[Float64Array]:
            return [block(k) for k in range(classes.start, classes.stop)]

        self._curvature = rows.over(blocks, n=objective.n_logits, cost=n_rows * n_columns**2)
        self._factorise(objective)

    def _factorise(self, objective: Objective) -> None:
        penalty = self._penalty(objective)

        def factors(classes: slice) -> list[tuple[Float64Array, Float64Array]]:
            return [_factor(block, penalty)[:2] for block in self._curvature[classes]]

        self._factors = objective.rows.over(factors, n=self._n_logits, cost=objective.n_columns**3)

    def stage_length(self, n_stages: int) -> int:
        return _growing(n_stages)

    def _from_v(self, v: Float64Array) -> Float64Array:
        parts = zip(v.reshape(self._n_logits, -1), self._factors, strict=True)
        return np.concatenate(
            [root * linalg.blas.dtrsv(factor, part, lower=1, trans=1) for part, (root, factor) in parts]
        )

    def _to_v(self, gradient: Float64Array) -> Float64Array:
        parts = zip(gradient.reshape(self._n_logits, -1), self._factors, strict=True)
        return np.concatenate([linalg.blas.dtrsv(factor, root * part, lower=1) for part, (root, factor) in parts])


class KroneckerPreconditioner(Preconditioner):
    """The whole Hessian where all rows have the same probabilities p, as with zero coefficients.

    There it is A (x) B and the penalty, with A = diag(p) - p p^T and B the second moments of the columns, and in the
    eigenvectors of A one problem of n_columns for each eigenvalue a: n_samples n_columns^2 operations for B and
    n_logits n_columns^3 / 3 for the factors of a B and the penalty.
    """

    def __init__(self, objective: Objective, columns: Columns, theta: Float64Array) -> None:
        super().__init__(objective, columns)
        self._moment = objective.sum(_second_moment, columns, cost=objective.n_columns**2) / objective.rows.weight_sum
        probability = objective.probability_at_intercepts(theta)
        curvature = np.diag(probability) - np.outer(probability, probability)
        eigenvalues, self._eigenvectors = np.linalg.eigh(curvature)
        # The redundant direction, of eigenvalue 0, is removed from every step: any positive number will do for it.
        # Classes of equal frequency share an eigenvalue, and so a factor.
        self._logarithms = np.log(np.maximum(eigenvalues, _LEAST_CURVATURE)).round(9)
        self._factorise(objective)

    def _factorise(self, objective: Objective) -> None:
        penalty = self._penalty(objective)
        self._groups = [
            (np.flatnonzero(self._logarithms == logarithm), *_factor(np.exp(logarithm) * self._moment, penalty)[:2])
            for logarithm in np.unique(self._logarithms)
        ]

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


@dataclass(frozen=True)
class _Largest:
    """Up to `size` rows of largest priority, for each of some groups: priority, index, curvature and leverage of each.

    Those of two sets of rows add up to those of both.
    """

    tables: list[Float64Array]
    size: int

    def __add__(self, other: "_Largest") -> "_Largest":
        tables = [np.concatenate(pair, axis=1) for pair in zip(self.tables, other.tables, strict=True)]
        return _Largest([_first(table, self.size) for table in tables], self.size)


def _first(table: Float64Array, size: int) -> Float64Array:
    """The columns of `table` that are largest in its first row."""
    return table if table.shape[1] <= size else table[:, np.argpartition(-table[0], size - 1)[:size]]


def _largest(
    objective: Objective,
    within: slice,
    theta: Float64Array,
    columns: Columns,
    inverse_diagonal: Float64Array,
    n_rows: int,
    together: bool,
    by_chance: bool,
) -> _Largest:
    """The candidates of `Preconditioner._sample`: one more than are to be taken, for tau."""
    n_groups, first = 1 if together else objective.n_logits, objective.rows.first
    luck = np.ones(within.stop - within.start)
    if by_chance:
        # The same for a row whichever range, or part of the data, it is in.
        generator = np.random.PCG64(0)
        generator.advance(first + within.start)
        luck -= np.random.Generator(generator).uniform(size=len(luck))
    result = _Largest([np.empty((4, 0))] * n_groups, n_rows + 1)
    # The squares of x~ are those of x - mean over those of the scale, and 1.
    of_columns = inverse_diagonal[:, : objective.n_features] / columns.unit
    of_intercept = inverse_diagonal[:, objective.n_features :].sum(axis=1, keepdims=True)
    for block, x, weight, _, square in squared_deviations(objective.rows, within, columns):
        curvature = _weighted_curvature(objective, theta, x, weight)
        leverage = curvature * (of_columns @ square.T + of_intercept)
        if together:
            leverage = leverage.sum(axis=0, keepdims=True)
        priority = leverage / luck[block.start - within.start : block.stop - within.start]
        tables = []
        for g in range(n_groups):
            chosen = np.flatnonzero(priority[g])
            index = first + block.start + chosen
            table = np.array([priority[g, chosen], index, curvature[g, chosen], leverage[g, chosen]])
            tables.append(_first(table, n_rows + 1))
        result += _Largest(tables, n_rows + 1)
    return result


def _diagonal(objective: Objective, within: slice, theta: Float64Array, columns: Columns) -> Float64Array:
    """The sum of s_i p_i (1 - p_i) (x_i - mean, 1)^2, of shape (n_logits, n_columns), or that of turned columns."""
    mean = columns.mean
    total = np.zeros((objective.n_logits, objective.n_columns))

    def weighted(x: Design, weight: Float64Array | None) -> FloatArray:
        curvature = _weighted_curvature(objective, theta, x, weight)
        if objective.fit_intercept:
            total[:, -1] += curvature.sum(axis=1)
        return curvature

    if objective.rows.is_sparse and columns.turn is None:  # without filling x
        for _, x, weight in objective.rows.blocks(objective.n_columns, within):
            curvature = weighted(x, weight)
            moment, square = curvature @ x, curvature @ (x * x)
            total[:, : len(mean)] += square + mean**2 * curvature.sum(axis=1)[:, None] - 2 * mean * moment
    else:
        for _, x, weight, _, square in squared_deviations(objective.rows, within, columns):
            total[:, : len(mean)] += weighted(x, weight) @ square
    return total


def _pairs(objective: Objective, within: slice, theta: Float64Array, columns: Columns) -> Float64Array:
    """S G_kl of `FullPreconditioner`, of shape (n_pairs, n_columns, n_columns).

    A single logit makes a pair with the 0 of the other class.
    """
    n_logits, n_columns = objective.n_logits, objective.n_columns
    first, second = np.triu_indices(n_logits, 1)
    total = np.zeros((max(len(first), 1), n_columns, n_columns))
    for _, x, weight in objective.rows.blocks(len(total) + n_columns, within):
        probability = objective.probability(theta, x)
        tilde = np.ascontiguousarray(columns.tilde(x, objective.fit_intercept).T)
        product = _curvature(probability) if n_logits == 1 else probability[first] * probability[second]
        if weight is not None:
            product *= weight
        if len(product) <= _FEW_PAIRS:
            for pair, weights in zip(total, product, strict=True):
                pair += (tilde * weights) @ tilde.T
        else:
            for column in range(n_columns):
                moment = product @ (tilde[column:] * tilde[column]).T
                total[:, column, column:] += moment
                total[:, column + 1 :, column] += moment[:, 1:]
    return total


def _square_roots(objective: Objective, within: slice, theta: Float64Array, columns: Columns) -> Triangle:
    """The triangle of `FullPreconditioner._factorise_rows`, not normalised, not penalised."""
    n_logits, size = objective.n_logits, theta.size
    total = Triangle(np.empty((0, size)))
    for _, x, weight in objective.rows.blocks(n_logits * size, within):
        tilde = columns.tilde(x, objective.fit_intercept)
        logits = objective.raw_prediction(x, *objective.split(theta))
        probability = logits.copy()
        normalize_in_place(probability)
        if n_logits == 1:
            normalize_in_place(np.negative(logits, out=logits))
            root = np.sqrt(probability * logits).T
            rows = (root if weight is None else root * np.sqrt(weight)[:, None]) * tilde
        else:
            # e_k - p, of which 1 - p_k is the sum of the others: as a difference it would lose its digits.
            away = np.tile(-probability, (n_logits, 1, 1))
            for k in range(n_logits):
                away[k, k] = np.delete(probability, k, axis=0).sum(axis=0)
            away *= np.sqrt(probability if weight is None else probability * weight)[:, None]
            rows = np.einsum("kli,ij->kilj", away, tilde).reshape(-1, size)
        total += Triangle.of(rows)
    return total


def _largest_sum(objective: Objective, within: slice, columns: Columns, norm: Float64Array) -> Maximum:
    """The largest sum_j |x~_ij| norm_j of a row with weight."""
    largest = 0.0
    for _, x, weight in objective.rows.blocks(objective.n_columns, within):
        sums = np.abs(columns.tilde(x, objective.fit_intercept)) @ norm
        largest = max(largest, float((sums if weight is None else sums[weight > 0]).max(initial=0)))
    return Maximum(largest)


def _far_rows(
    objective: Objective, block: slice, x: Design, columns: Columns, norm: Float64Array, limit: float
) -> NDArray[np.bool_]:
    """Which rows have a sum_j |x~_ij| norm_j above the limit."""
    return np.abs(columns.tilde(x, objective.fit_intercept)) @ norm > limit


def _second_moment(objective: Objective, within: slice, columns: Columns) -> Float64Array:
    """The sum of s_i x~_i x~_i^T."""
    total = np.zeros((objective.n_columns, objective.n_columns))
    for _, x, weight in objective.rows.blocks(objective.n_columns, within):
        tilde = columns.tilde(x, objective.fit_intercept)
        total += tilde.T @ tilde if weight is None else (tilde.T * weight) @ tilde
    return total


def _rows_for(size: int, n_samples: int) -> int:
    """How many rows a matrix of `size` is made of: a sample where there are twice as many and more."""
    n_rows = max(_SAMPLE[0] * size, _SAMPLE[1])
    return n_rows if n_samples > 2 * n_rows else n_samples


def _complete(hessian: Float64Array, diagonal: Float64Array) -> None:
    """Mend the parameters of a sampled `hessian` most of whose curvature lies in rows that were missed.

    Not those whose sample is merely short of it: what is added to the diagonal hides how columns are correlated.
    """
    missing = diagonal - hessian.diagonal()
    hessian[np.diag_indices(len(hessian))] += np.where(missing > diagonal / 2, missing, 0)


def _low_rank(objective: Objective) -> int:
    return min(_LOW_RANK, objective.rows.n_samples, _LIMIT // (objective.n_columns * objective.n_logits))


def _inverse_root(part: Float64Array, rest: Float64Array) -> tuple[Float64Array, Float64Array, Float64Array]:
    """(D^-1/2, (1 + r^2)^-1/2 - 1, Q) of `LowRankPreconditioner`, with U = `part` and D = diag(`rest`)."""
    root = 1 / np.sqrt(rest)
    scaled = part * root
    square, left = linalg.eigh(scaled @ scaled.T, driver="evd", check_finite=False)
    kept = square > _LEAST_RANK
    square, left = square[kept], left[:, kept]
    return root, 1 / np.sqrt(1 + square) - 1, (left / np.sqrt(square)).T @ scaled


def _growing(n_stages: int) -> int:
    """For a preconditioner that leaves a part of the Hessian to L-BFGS, which learns it anew in each stage."""
    return 15 * 2**n_stages


def _curvature(probability: FloatArray) -> FloatArray:
    """The diagonal of each row's second derivatives in its logits, class-major."""
    return probability * (1 - probability)


def _weighted_curvature(
    objective: Objective, theta: Float64Array, x: Design, weight: Float64Array | None
) -> FloatArray:
    """s_i p_i (1 - p_i) of rows `x`, class-major."""
    curvature = _curvature(objective.probability(theta, x))
    if weight is not None:
        curvature *= weight
    return curvature


def _factor(curvature: Float64Array, penalty: Float64Array) -> tuple[Float64Array, Float64Array, float]:
    """(r, L, jitter) with curvature + diag(penalty) + jitter diag(1/r^2) = diag(1/r) L L^T diag(1/r)."""
    hessian = curvature + np.diag(penalty)
    # Nothing depends on a parameter of no curvature at all: any will do.
    empty = np.flatnonzero(hessian.diagonal() == 0)
    hessian[empty, empty] = 1
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
            factor = np.asfortranarray(linalg.cholesky(hessian, lower=True, check_finite=False))
            return inverse_root, factor, jitter
        except linalg.LinAlgError:
            jitter *= 100


def whole_hessian_fits(objective: Objective) -> bool:
    """Whether there are so few parameters that the whole Hessian may be held: 2048."""
    return 2 * (objective.n_columns * objective.n_logits) ** 2 <= _LIMIT


def preconditioner(
    columns: Columns, objective: Objective, theta: Float64Array, caution: float = 0.0, n_iter: int = 0
) -> Preconditioner:
    """The Hessian at `theta`: a Kronecker product where it is one, or full, by classes, or its diagonal, as it pays.

    The costs are counts of multiplications, not times, so that a fit can be repeated. `caution` is a curvature to add
    to that of each parameter, of columns scaled to unit spread. After `n_iter` iterations, an objective is known to be
    so hard that a preconditioner may cost a part of them.
    """
    n_samples, n_columns, n_logits = objective.rows.n_samples, objective.n_columns, objective.n_logits
    size = n_columns * n_logits
    evaluation = _evaluation(objective)
    kronecker = n_samples * n_columns**2 + n_logits * n_columns**3 / 3 + 10 * n_logits**3
    full = _rows_for(size, n_samples) * size**2 / 2 + size**3 / 3
    block = n_logits * (_rows_for(n_columns, n_samples) * n_columns**2 + n_columns**3 / 3)
    blocks_fit = n_logits * n_columns**2 <= _LIMIT
    same = caution == 0 and not objective.split(theta)[0].any()  # probabilities of all rows
    # Else the products with many small factors take longer than one large one.
    same = same and full > evaluation and n_logits**2 <= _LIMIT
    if same and blocks_fit and kronecker <= _KRONECKER_EVALUATIONS * evaluation:
        return KroneckerPreconditioner(objective, columns, theta)
    if whole_hessian_fits(objective) and full <= _FULL_EVALUATIONS * evaluation:
        return FullPreconditioner(objective, columns, theta, caution)
    # A sample for each class is a table of rows, too.
    sampled = n_logits * _rows_for(n_columns, n_samples) if _rows_for(n_columns, n_samples) < n_samples else 0
    if blocks_fit and sampled <= _LIMIT and block <= _BLOCK_EVALUATIONS * evaluation:
        return BlockPreconditioner(objective, columns, theta, caution)
    rank = _low_rank(objective)
    low_rank = n_logits * (3 * rank**2 * n_columns + 10 * rank**3)
    if not objective.rows.is_sparse and rank >= _LOW_RANK / 2 and low_rank <= n_iter / 2 * evaluation:
        return LowRankPreconditioner(objective, columns, theta, caution)
    return DiagonalPreconditioner(objective, columns, theta, caution)


class WholeHessian:
    """The Hessian of `objective`, not of a sample of its rows, at any point where it pays."""

    def __init__(self, objective: Objective, columns: Columns) -> None:
        self.objective = objective
        self._columns = columns

    @property
    def evaluations(self) -> float:
        """What it costs, in evaluations of the objective."""
        size, n_logits = self.objective.n_columns * self.objective.n_logits, self.objective.n_logits
        row = size**2 / 2 + _PAIR_COST * max(1, n_logits * (n_logits - 1) / 2)
        return (self.objective.rows.n_samples * row + 2 / 3 * size**3) / _evaluation(self.objective)

    def pays(self, n_iter: int) -> bool:
        """Whether it costs no more than a few evaluations, or a part of `n_iter`, or little."""
        allowed = max(_WHOLE_EVALUATIONS, _WHOLE_SHARE * n_iter, _WHOLE_OPERATIONS / _evaluation(self.objective))
        return whole_hessian_fits(self.objective) and self.evaluations <= allowed

    def at(self, theta: Float64Array) -> FullPreconditioner:
        """To as many digits as there are."""
        change = self.roughly_at(theta)
        by_rows = 2 * self.objective.rows.n_samples * self.objective.n_logits * theta.size**2
        if change.is_singular() and by_rows <= _ROWS_EVALUATIONS * _evaluation(self.objective):
            change = FullPreconditioner(self.objective, self._columns, theta, by_rows=True)
        return change

    def roughly_at(self, theta: Float64Array) -> FullPreconditioner:
        """But for directions of next to no curvature, which rounding hides."""
        return FullPreconditioner(self.objective, self._columns, theta, sampled=False)

    def reach(self, change: FullPreconditioner) -> float:
        """The c of `skmax._certificate`, or more, for the Hessian that `change` is of."""
        steps = change.longest_steps()
        if not np.isfinite(steps).all():
            return np.inf
        return float(self.objective.sum(_largest_sum, self._columns, steps, cost=self.objective.n_columns))

    def without_far_rows(
        self, theta: Float64Array, change: FullPreconditioner, limit: float
    ) -> "tuple[WholeHessian, float, float] | None":
        """The same without the rows of a reach above the limit, their share of f, and the others' share of the weight.

        None if nothing would be left, or is.
        """
        steps = change.longest_steps()
        if not np.isfinite(steps).all():
            return None
        rest = self.objective.without(_far_rows, theta, self._columns, steps, limit)
        if rest is None:
            return None
        objective, loss = rest
        # In its own mean, of less weight, the penalty has another share.
        share = objective.rows.weight_sum / self.objective.rows.weight_sum
        objective = objective.penalised(objective.weight_decay / share)
        return WholeHessian(objective, self._columns), loss, share


def _evaluation(objective: Objective) -> float:
    """An evaluation in operations, two for each multiplication: of the rows, of SciPy's bookkeeping, of the calls."""
    size = objective.n_columns * objective.n_logits
    return 2 * objective.rows.n_samples * objective.cost + 120 * size + 3_000_000
