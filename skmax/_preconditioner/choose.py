"""The choice of a preconditioner."""

from skmax._columns import Columns
from skmax._hessian import MOST_NUMBERS, evaluation_cost
from skmax._objective import Objective
from skmax._preconditioner.base import Form, Preconditioner
from skmax._preconditioner.block import BlockPreconditioner
from skmax._preconditioner.diagonal import DiagonalPreconditioner
from skmax._preconditioner.full import FullPreconditioner
from skmax._preconditioner.kronecker import KroneckerPreconditioner
from skmax._preconditioner.low_rank import LowRankPreconditioner
from skmax._rows import Float64Array

# In order of preference: the first form that suits the point, fits into memory and is worth its cost is chosen.
_FORMS: tuple[type[Form], ...] = (
    KroneckerPreconditioner,
    FullPreconditioner,
    BlockPreconditioner,
    LowRankPreconditioner,
)


def choose_preconditioner(
    columns: Columns, objective: Objective, theta: Float64Array, damping: float = 0.0, n_iter: int = 0
) -> Preconditioner:
    """The best form of the Hessian at `theta` that pays, or its diagonal.

    `damping` is a curvature to add to that of each parameter, of columns scaled to unit spread. After `n_iter`
    iterations, an objective is known to be so hard that a preconditioner may cost a part of them.
    """
    evaluation = evaluation_cost(objective)
    for form in _FORMS:
        if (
            form.numbers(objective) <= MOST_NUMBERS
            and form.cost(objective) <= form.most_evaluations(n_iter) * evaluation
            and form.suits(objective, theta, damping)
        ):
            return form.at(objective, columns, theta, damping)
    return DiagonalPreconditioner.at(objective, columns, theta, damping)
