"""The whole Hessian as a Kronecker product."""

from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from skmax._columns import ColumnStats
from skmax._hessian.cost import evaluation_cost
from skmax._hessian.factored import LEAST_CURVATURE, factorise
from skmax._hessian.measure import measure_second_moment
from skmax._objective import Objective
from skmax._preconditioner.base import BasePreconditioner
from skmax._preconditioner.full import FullPreconditioner
from skmax._samples import Float64Array


@dataclass(frozen=True, eq=False)
class KroneckerPreconditioner(BasePreconditioner):
    """The whole Hessian at a point where all rows have the same probabilities p, as at zero coefficients.

    There it is A (x) B plus the penalty, with A = diag(p) - p p^T and B the second moments of the columns. In the
    eigenvectors of A, it divides into one problem of size n_columns for each eigenvalue a, with a B plus the penalty.
    """

    name = "Kronecker"
    most_evaluations = 30
    takes_turns = False

    moment: Float64Array
    eigenvectors: Float64Array
    logarithms: Float64Array  # of the eigenvalues
    # For each group of equal eigenvalues: their indices, and the factor of a B plus the penalty.
    groups: list[tuple[NDArray[np.intp], Float64Array, Float64Array]] = field(default_factory=list)

    @staticmethod
    def cost(objective: Objective) -> float:
        n_columns, n_logits = objective.n_columns, objective.n_logits
        return objective.samples.n_samples * n_columns**2 + n_logits * n_columns**3 / 3 + 10 * n_logits**3

    @staticmethod
    def numbers(objective: Objective) -> int:
        return max(objective.n_logits * objective.n_columns**2, objective.n_logits**2)

    @staticmethod
    def suits(objective: Objective, theta: Float64Array, damping: float) -> bool:
        if damping or objective.samples.has_offset or objective.penalty.by_class or objective.split(theta)[0].any():
            return False
        # For small problems, one product with a large factor is faster than products with many small factors.
        return FullPreconditioner.cost(objective) > evaluation_cost(objective)

    @classmethod
    def at(cls, objective: Objective, columns: ColumnStats, theta: Float64Array, damping: float = 0.0) -> Self:
        moment = measure_second_moment(objective, columns)
        probability = objective.probability_at_intercepts(theta)
        curvature = np.diag(probability) - np.outer(probability, probability)
        eigenvalues, eigenvectors = np.linalg.eigh(curvature)
        # The redundant direction, of eigenvalue 0, is removed from every step, so its eigenvalue is arbitrary. Classes
        # of equal frequency share an eigenvalue, and so a factor.
        logarithms = np.log(np.maximum(eigenvalues, LEAST_CURVATURE)).round(9)
        return cls._of(objective, columns, damping, moment, eigenvectors, logarithms)

    def penalised(self, objective: Objective) -> Self:
        penalty = self._penalty(objective)
        groups = [
            (np.flatnonzero(self.logarithms == logarithm), *factorise(np.exp(logarithm) * self.moment, penalty)[:2])
            for logarithm in np.unique(self.logarithms)
        ]
        return replace(self, groups=groups)

    def _from_v(self, v: Float64Array) -> Float64Array:
        turned = v.reshape(self.n_logits, -1).copy()
        for index, inverse_root, factor in self.groups:
            turned[index] = linalg.blas.dtrsm(1.0, factor, turned[index].T, lower=1, trans_a=1).T * inverse_root
        return (self.eigenvectors @ turned).ravel()

    def _to_v(self, gradient: Float64Array) -> Float64Array:
        turned = self.eigenvectors.T @ gradient.reshape(self.n_logits, -1)
        for index, inverse_root, factor in self.groups:
            turned[index] = linalg.blas.dtrsm(1.0, factor, (turned[index] * inverse_root).T, lower=1).T
        return turned.ravel()
