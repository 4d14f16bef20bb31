"""The whole Hessian, of all rows or of a sample of them."""

from dataclasses import dataclass
from typing import Self

from skmax._columns import ColumnStats
from skmax._hessian.cost import whole_hessian_numbers
from skmax._hessian.factored import FactoredHessian
from skmax._hessian.measure import measure
from skmax._objective import Objective
from skmax._preconditioner.base import BasePreconditioner
from skmax._preconditioner.diagonal import DiagonalPreconditioner
from skmax._preconditioner.sampling import complete, describe_sample, sample, sample_size
from skmax._samples import Float64Array

# Choosing a sample takes as long as this many evaluations of the objective. If it would not save as much, all rows are
# used (page_blocks, 5473 rows, 55 parameters: 1.15 times as fast).
_SAMPLING = 6


@dataclass(frozen=True, eq=False)
class FullPreconditioner(FactoredHessian, BasePreconditioner):
    """The whole Hessian, of a sample of 4 rows for each parameter if there are many more rows.

    Building it takes more arrays than the other forms need, so it may have half as many elements.
    """

    name = "full"
    most_evaluations, evaluations_per_iteration = 20, 0.5
    takes_turns = False

    @staticmethod
    def cost(objective: Objective) -> float:
        size = objective.n_columns * objective.n_logits
        return _n_rows(objective) * size**2 / 2 + size**3 / 3

    @staticmethod
    def numbers(objective: Objective) -> int:
        return whole_hessian_numbers(objective)

    @classmethod
    def at(cls, objective: Objective, columns: ColumnStats, theta: Float64Array, damping: float = 0.0) -> Self:
        n_samples = objective.samples.n_samples
        n_rows = _n_rows(objective)
        if n_rows == n_samples:
            return cls.of_all_rows(objective, columns, theta, damping)
        diagonal = DiagonalPreconditioner.at(objective, columns, theta, damping)
        [(index, _, factor)] = sample(objective, columns, theta, diagonal.diagonal, n_rows, together=True)
        hessian = measure(objective.with_samples(objective.samples.gather(index, factor)), columns, theta)
        complete(hessian, diagonal.curvature.ravel())
        rows_used = describe_sample(n_rows, n_samples)
        return cls._of(objective, columns, damping, hessian, rows_used=rows_used)

    def __str__(self) -> str:
        return self.name + self.rows_used


def _n_rows(objective: Objective) -> int:
    """The number of rows from which to build the Hessian."""
    size, n_samples = objective.n_columns * objective.n_logits, objective.samples.n_samples
    n_rows = sample_size(size, n_samples)
    saved = (n_samples - n_rows) * size**2 / 2
    return n_rows if saved > _SAMPLING * n_samples * objective.cost else n_samples
