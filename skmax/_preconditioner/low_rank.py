"""The diagonal of the Hessian plus a matrix of low rank for each logit."""

from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np
from scipy import linalg

from skmax._columns import ColumnStats
from skmax._hessian.cost import MOST_NUMBERS
from skmax._hessian.factored import LEAST_CURVATURE
from skmax._objective import Objective
from skmax._preconditioner.base import BasePreconditioner
from skmax._preconditioner.diagonal import DiagonalPreconditioner
from skmax._preconditioner.sampling import sample
from skmax._samples import Float64Array

# The number of rows of each logit that are used in full beside the diagonal (at least half as many if memory is short),
# and the least curvature along a direction, relative to the diagonal, for which this is done.
_RANK, _LEAST_CURVATURE_RATIO = 64, 2.0


@dataclass(frozen=True, eq=False)
class LowRankPreconditioner(BasePreconditioner):
    """The diagonal, and for each logit the full contribution of the few rows that have most of the curvature.

    If the model is nearly certain of most rows, these few rows make up almost all of the block, at a small part of its
    cost. With U the rows sqrt(s_i p_i (1 - p_i) / S) x~_i of a logit, D the diagonal less theirs, U D^-1/2 = R^T Q its
    thin singular value decomposition with the values r on R's diagonal, so that Q has orthonormal rows,

        D^-1/2 (D + U^T U) D^-1/2 = I + Q^T r^2 Q    has the inverse root    I + Q^T ((1 + r^2)^-1/2 - 1) Q.
    """

    name = "low rank"
    evaluations_per_iteration = 0.5  # only long fits need it

    parts: list[Float64Array]
    rest: Float64Array
    # D^-1/2, (1 + r^2)^-1/2 - 1 and Q for each logit.
    factors: list[tuple[Float64Array, Float64Array, Float64Array]] = field(default_factory=list)

    @staticmethod
    def cost(objective: Objective) -> float:
        rank = _rank(objective)
        return objective.n_logits * (3 * rank**2 * objective.n_columns + 10 * rank**3)

    @staticmethod
    def numbers(objective: Objective) -> int:
        return _RANK // 2 * objective.n_columns * objective.n_logits

    @staticmethod
    def suits(objective: Objective, theta: Float64Array, damping: float) -> bool:
        return not objective.samples.is_sparse and objective.samples.n_samples >= _RANK // 2

    @classmethod
    def at(cls, objective: Objective, columns: ColumnStats, theta: Float64Array, damping: float = 0.0) -> Self:
        rank = _rank(objective)
        diagonal = DiagonalPreconditioner.at(objective, columns, theta, damping)
        samples = objective.samples
        chosen = sample(objective, columns, theta, diagonal.diagonal, rank, together=False, by_chance=False)

        def part(k: int) -> Float64Array:
            index, curvature, _ = chosen[k]
            standardized = columns.standardized(samples.rows(index), objective.fit_intercept)
            return standardized * np.sqrt(curvature / samples.weight_sum)[:, None]

        parts = samples.workers.map_each(part, objective.n_logits, rank * objective.n_columns)
        own = np.array([np.square(part).sum(axis=0) for part in parts])
        rest = np.maximum(diagonal.curvature - own, 0)
        return cls._of(objective, columns, damping, parts, rest)

    def penalised(self, objective: Objective) -> Self:
        penalty, workers = self._penalty_of_each(objective), objective.samples.workers

        def factor(k: int) -> tuple[Float64Array, Float64Array, Float64Array]:
            return _inverse_root(self.parts[k], np.maximum(self.rest[k] + penalty[k], LEAST_CURVATURE))

        cost = 2 * objective.n_columns * _rank(objective) ** 2
        return replace(self, factors=workers.map_each(factor, self.n_logits, cost))

    def _from_v(self, v: Float64Array) -> Float64Array:
        parts = zip(v.reshape(self.n_logits, -1), self.factors, strict=True)
        return np.concatenate([root * (part + (basis @ part * less) @ basis) for part, (root, less, basis) in parts])

    def _to_v(self, gradient: Float64Array) -> Float64Array:
        parts = zip(gradient.reshape(self.n_logits, -1), self.factors, strict=True)
        scaled = ((root * part, less, basis) for part, (root, less, basis) in parts)
        return np.concatenate([part + (basis @ part * less) @ basis for part, less, basis in scaled])


def _rank(objective: Objective) -> int:
    return min(_RANK, objective.samples.n_samples, MOST_NUMBERS // (objective.n_columns * objective.n_logits))


def _inverse_root(part: Float64Array, rest: Float64Array) -> tuple[Float64Array, Float64Array, Float64Array]:
    """(D^-1/2, (1 + r^2)^-1/2 - 1, Q) of `LowRankPreconditioner`, with U = `part` and D = diag(`rest`)."""
    root = 1 / np.sqrt(rest)
    scaled = part * root
    square, left = linalg.eigh(scaled @ scaled.T, driver="evd", check_finite=False)
    kept = square > _LEAST_CURVATURE_RATIO
    square, left = square[kept], left[:, kept]
    return root, 1 / np.sqrt(1 + square) - 1, (left / np.sqrt(square)).T @ scaled
