"""The choice of a preconditioner."""

from skmax._columns import ColumnStats
from skmax._hessian import MOST_NUMBERS, evaluation_cost
from skmax._objective import Objective
from skmax._preconditioner.base import Preconditioner
from skmax._preconditioner.block import BlockPreconditioner
from skmax._preconditioner.diagonal import DiagonalPreconditioner
from skmax._preconditioner.full import FullPreconditioner
from skmax._preconditioner.kronecker import KroneckerPreconditioner
from skmax._preconditioner.low_rank import LowRankPreconditioner
from skmax._samples import Float64Array

# In order of preference: the first form that suits the point, fits into memory and is worth its cost is chosen.
_FORMS: tuple[type[Preconditioner], ...] = (
    KroneckerPreconditioner,
    FullPreconditioner,
    BlockPreconditioner,
    LowRankPreconditioner,
)


def choose_preconditioner(
    columns: ColumnStats, objective: Objective, theta: Float64Array, damping: float = 0.0, n_iter: int = 0
) -> Preconditioner:
    """The best form of the Hessian at `theta` that pays, or the diagonal.

    `damping` is a number to add to the curvature of each standardized parameter. An objective that has taken `n_iter`
    iterations is known to be so hard that a preconditioner may cost a share of them.
    """
    evaluation = evaluation_cost(objective)
    for form in _FORMS:
        worth = max(form.most_evaluations, form.evaluations_per_iteration * n_iter) * evaluation
        fits = form.numbers(objective) <= MOST_NUMBERS
        if fits and form.cost(objective) <= worth and form.suits(objective, theta, damping):
            return form.at(objective, columns, theta, damping)
    return DiagonalPreconditioner.at(objective, columns, theta, damping)
