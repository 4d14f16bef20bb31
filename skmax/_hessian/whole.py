"""The Hessian of all rows, and where it pays."""

from dataclasses import dataclass

from skmax._columns import ColumnStats
from skmax._hessian.cost import evaluation_cost, whole_hessian_fits
from skmax._hessian.factored import FactoredHessian
from skmax._objective import Objective
from skmax._samples import Float64Array

# What the whole Hessian may cost at the end of a fit, to certify it: this many evaluations; this share of the number of
# iterations so far, which conjugate gradients would cost too; or this many operations, about 20 ms.
_WHOLE_EVALUATIONS, _WHOLE_SHARE, _WHOLE_OPERATIONS = 10, 0.2, 3.3e8
# What it may cost where nothing else can tell the gap.
_NEEDED_EVALUATIONS = 1000
# A Hessian with a pivot that rounding may have made is factorised from its rows instead, if that costs no more than
# this many evaluations.
_ROWS_EVALUATIONS = 30
# Multiplications that take as long as computing the weight of one row for one pair of classes.
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
