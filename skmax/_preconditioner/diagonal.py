"""The diagonal of the Hessian."""

from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np

from skmax._columns import ColumnStats
from skmax._hessian.factored import LEAST_CURVATURE
from skmax._hessian.measure import measure_diagonal
from skmax._objective import Objective
from skmax._preconditioner.base import BasePreconditioner
from skmax._samples import Float64Array


@dataclass(frozen=True, eq=False)
class DiagonalPreconditioner(BasePreconditioner):
    """The diagonal of the Hessian: cheap for any number of parameters, but without the correlations of columns.

    L-BFGS learns part of these correlations, and forgets them at the end of a stage, so the stages grow.
    """

    name = "diagonal"
    stages_grow = True

    curvature: Float64Array
    diagonal: Float64Array = field(default_factory=lambda: np.empty((0, 0)))
    inverse_root: Float64Array = field(default_factory=lambda: np.empty(0))

    @staticmethod
    def cost(objective: Objective) -> float:
        return 2 * objective.samples.n_samples * objective.cost

    @classmethod
    def at(cls, objective: Objective, columns: ColumnStats, theta: Float64Array, damping: float = 0.0) -> Self:
        curvature = measure_diagonal(objective, columns, theta)
        return cls._of(objective, columns, damping, curvature)

    def penalised(self, objective: Objective) -> Self:
        diagonal = np.maximum(self.curvature + self._penalty(objective), LEAST_CURVATURE)
        return replace(self, diagonal=diagonal, inverse_root=1 / np.sqrt(diagonal).ravel())

    def _from_v(self, v: Float64Array) -> Float64Array:
        return self.inverse_root * v

    def _to_v(self, gradient: Float64Array) -> Float64Array:
        return self.inverse_root * gradient
