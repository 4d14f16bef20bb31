"""The Hessian of all rows, and the decision when it is worth its cost."""

from dataclasses import dataclass

from skmax._columns import ColumnStats
from skmax._hessian.cost import evaluation_cost, whole_hessian_fits
from skmax._hessian.factored import FactoredHessian
from skmax._objective import Objective
from skmax._samples import Float64Array

# The cost allowed for the whole Hessian at the end of a fit, to certify it: this many evaluations; this fraction of the
# number of iterations so far, which conjugate gradients would cost too; or this many operations, about 20 ms.
_WHOLE_EVALUATIONS, _WHOLE_SHARE, _WHOLE_OPERATIONS = 10, 0.2, 3.3e8
# The cost allowed, in evaluations, if the gap cannot be found without it.
_NEEDED_EVALUATIONS = 1000
# If rounding may have affected a pivot, the Hessian is factorised from its rows instead, provided that this costs no
# more than this many evaluations.
_ROWS_EVALUATIONS = 30
# The number of multiplications that take as long as computing the weight of one row for one pair of classes.
_PAIR_COST = 70


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

    def is_affordable(self, n_iter: int) -> bool:
        """Whether it costs at most a few evaluations, a fraction of `n_iter` evaluations, or a few milliseconds."""
        allowed = max(_WHOLE_EVALUATIONS, _WHOLE_SHARE * n_iter, _WHOLE_OPERATIONS / evaluation_cost(self.objective))
        return whole_hessian_fits(self.objective) and self.evaluations <= allowed

    def is_needed(self, preconditioner: object) -> bool:
        """Whether the gap cannot be estimated without it.

        A weak penalty leaves directions of almost no curvature, which conjugate gradients miss in a few steps, unless
        the preconditioner is the whole Hessian.
        """
        unknown = self.objective.has_weak_penalty and not isinstance(preconditioner, FactoredHessian)
        return unknown and whole_hessian_fits(self.objective) and self.evaluations <= _NEEDED_EVALUATIONS

    def at(self, theta: Float64Array) -> FactoredHessian:
        """The Hessian at `theta`, as accurate as the rows allow."""
        change = self.roughly_at(theta)
        by_rows = 2 * self.objective.samples.n_samples * self.objective.n_logits * theta.size**2
        if change.is_singular() and by_rows <= _ROWS_EVALUATIONS * evaluation_cost(self.objective):
            change = FactoredHessian.of_all_rows(self.objective, self.columns, theta, by_rows=True)
        return change

    def roughly_at(self, theta: Float64Array) -> FactoredHessian:
        """The Hessian at `theta`, inaccurate only along directions of almost no curvature."""
        return FactoredHessian.of_all_rows(self.objective, self.columns, theta)
