"""Linear changes of variables in which the Hessian is close to the identity, by way of standardized columns.

With the columns centred and scaled, x~ = (x - mean) / scale, the logits are the same for

    W~ = W scale,   b~ = b + W mean,

and in these coordinates the Hessian of the objective is, with p_i = softmax(z_i) and x~_i ending in a 1,

    H = (1/S) sum_i s_i (diag(p_i) - p_i p_i^T) (x) x~_i x~_i^T  +  Q''/scale^2 on W~,

with Q'' the second derivatives of the penalty (`skmax._penalty`): diag(weight_decay) unless it has factors by class.

A subclass factors H or an approximation of it at one point, H ~ L L^T, and the new variables are v = L^T (W~, b~). A
step -grad_v f in v is a Newton step in (W, b), and half the squared length of grad_v f, half the squared Newton
decrement, estimates how far f is above its minimum (S. Boyd and L. Vandenberghe, 2004, Convex Optimization, section
9.5.1).

Three or more logits are redundant: adding one vector to all rows of (W, b) changes neither the probabilities nor the
penalty. Therefore the rows of every step sum to zero: the mean over the classes is removed from it.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np

from skmax._columns import ColumnStats
from skmax._objective import Objective
from skmax._samples import Float64Array


@dataclass(frozen=True, eq=False)
class ChangeOfVariables:
    """A linear change of variables, theta = forward(v), and its transpose, backward, for gradients.

    A subclass holds a measurement of the curvature of the loss, and the factor L of that curvature plus the penalty.
    `_from_v` multiplies by L^-T and `_to_v` by L^-1.

    Attributes
    ----------
    columns : ColumnStats
        The means and scales that standardize the columns of X.
    damping : float
        A number that is added to the curvature of each standardized parameter.
    """

    columns: ColumnStats
    n_logits: int
    fit_intercept: bool
    damping: float

    def penalised(self, objective: Objective) -> Self:
        """The change of variables at the same point, for an `objective` with another weight decay."""
        raise NotImplementedError

    def _from_v(self, v: Float64Array) -> Float64Array:
        raise NotImplementedError

    def _to_v(self, gradient: Float64Array) -> Float64Array:
        raise NotImplementedError

    def forward(self, v: Float64Array) -> Float64Array:
        """The step in theta that corresponds to a step in v."""
        standardized = self._centred_over_classes(self._from_v(v).reshape(self.n_logits, -1))
        return self.columns.step(standardized, self.fit_intercept).ravel()

    def backward(self, gradient: Float64Array) -> Float64Array:
        """The gradient in v that corresponds to the gradient in theta."""
        standardized = gradient.reshape(self.n_logits, -1).copy()
        coef = standardized[:, : len(self.columns.scale)]
        if self.fit_intercept:
            coef -= np.multiply.outer(standardized[:, -1], self.columns.mean)
        coef /= self.columns.scale
        if self.columns.turn is not None:
            coef[:] = coef @ self.columns.turn
        return self._to_v(self._centred_over_classes(standardized).ravel())

    def _penalty(self, objective: Objective) -> Float64Array:
        """The damping, plus the second derivatives of the penalty, which does not act on the intercepts.

        Of shape (n_columns,), or (n_logits, n_columns) for factors by class, whose diagonal it is.
        """
        curvature = objective.penalty.curvature
        penalty = np.full((*np.shape(curvature)[:-1], objective.n_columns), self.damping)
        penalty[..., : objective.n_features] += curvature / self.columns.scale**2
        return penalty

    def _penalty_of_each(self, objective: Objective) -> Float64Array:
        """`_penalty`, with a row for each logit."""
        return np.broadcast_to(self._penalty(objective), (self.n_logits, objective.n_columns))

    def _centred_over_classes(self, standardized: Float64Array) -> Float64Array:
        # On a small table, a call of `mean` would take longer than everything else in this module.
        return standardized - standardized.sum(axis=0) / self.n_logits if self.n_logits > 1 else standardized
