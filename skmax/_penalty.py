"""The penalty on the coefficients: a strength, a factor for each of them, and the values that they shrink to.

For coefficients W_kj of logit k and feature j, with factors phi_kj >= 0 and prior means M_kj,

    P(W) = (weight_decay / 2) sum_kj phi_kj (W_kj - M_kj)^2.

Three or more logits are redundant: adding one number c_j to all W_kj of a feature changes no probability. The solver
takes only steps whose rows sum to zero over the classes, and leaves the c_j to the penalty, which is quadratic in each
of them. With e = W - M, and w_kj = phi_kj / sum_l phi_lj the share of a class in the factors of its feature, it is
smallest at

    c_j = - sum_k w_kj e_kj,

and its minimum over c is the profiled penalty

    Q(W) = min_c P(W + c) = (weight_decay / 2) sum_kj phi_kj (e_kj - ebar_j)^2     with    ebar_j = sum_k w_kj e_kj,

a quadratic form with the matrices diag(phi_j) - phi_j phi_j^T / sum_k phi_kj, one of n_logits x n_logits for each
feature. It has the same value for all c, and so has the loss: the minimum of loss + Q is that of loss + P, at any
representative of W, and the W that minimises loss + P is the one with the c_j above: sum_k phi_kj (W_kj - M_kj) = 0.
The gradient of Q is phi (e - ebar), as the derivative in c is zero at the minimum.

If all classes have the same factor, ebar_j is the mean of e_kj over the classes. On W whose rows sum to zero, without
prior means, it is zero, so that Q = P, and products with the second derivatives of Q are those with the factors.

A coefficient of factor 0 is free. If at most one class of a feature has a positive factor, c_j can remove the penalty
of that class, and the whole feature is free. If nothing is penalised, every c_j is optimal: the factors then count as
equal, which is the limit of small equal factors, so that the means over the classes are those of M.
"""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from skmax._samples import Float64Array


@dataclass(frozen=True, eq=False)
class Penalty:
    """The profiled penalty Q of the module's docstring, a function of W of shape (n_logits, n_features).

    Attributes
    ----------
    weight_decay : float
    factor : ndarray of shape (n_features,) or (n_logits, n_features), or None
        The phi; None means 1. Rows for single logits exist only with three or more logits.
    mean : ndarray of shape (n_logits, n_features), or None
        The M; None means 0.
    """

    weight_decay: float = 0.0
    factor: Float64Array | None = None
    mean: Float64Array | None = None

    @classmethod
    def of(cls, factor: Float64Array | None, mean: Float64Array | None) -> Self:
        """The penalty of weight decay 0 with these factors and means, in the simplest equivalent form."""
        if factor is not None and factor.ndim == 2 and (factor == factor[0]).all():
            factor = factor[0]
        if factor is not None and (factor == 1).all():
            factor = None
        return cls(factor=factor, mean=None if mean is None or not mean.any() else mean)

    def decayed(self, weight_decay: float) -> Self:
        """The same penalty with another strength."""
        return replace(self, weight_decay=weight_decay)

    @property
    def by_class(self) -> bool:
        """Whether the classes of a feature have different factors, so that its second derivatives couple them."""
        return self.factor is not None and self.factor.ndim == 2

    @property
    def has_centre(self) -> bool:
        """Whether coefficients that sum to zero over the classes are not at the c_j above, so that they move there."""
        return self.mean is not None or self.by_class

    @property
    def share(self) -> Float64Array:
        """The w of the factors by class, of shape (n_logits, n_features)."""
        factor = np.asarray(self.factor)
        total = factor.sum(axis=0)
        return np.divide(factor, total, out=np.full_like(factor, 1 / len(factor)), where=total > 0)

    @property
    def curvature(self) -> Float64Array | float:
        """A diagonal for the second derivatives: a number, one for each feature, or one for each logit and feature.

        It is exact on steps that sum to zero over the classes, unless the factors are `by_class`. Then it is the
        diagonal of the second derivatives of Q times n_logits / (n_logits - 1), which is the factors if all are equal.
        """
        if self.factor is None:
            return self.weight_decay
        if not self.by_class:
            return self.weight_decay * self.factor
        n_logits = len(self.factor)
        return self.weight_decay * n_logits / (n_logits - 1) * self.factor * (1 - self.share)

    def matrices(self) -> Float64Array:
        """The second derivatives of Q by a feature's coefficients, of shape (n_features, n_logits, n_logits).

        They exist only for factors `by_class`; with others, the classes are not coupled.
        """
        factor = np.asarray(self.factor).T
        matrices = -factor[:, :, None] * self.share.T[:, None, :]
        every = np.arange(factor.shape[1])
        matrices[:, every, every] = factor * (1 - self.share.T)
        return self.weight_decay * matrices

    def roots(self) -> Float64Array:
        """R_j with R_j^T R_j = `matrices`, as accurate as the factors: (I - r r^T) diag(phi)^(1/2) with r = w^(1/2)."""
        root = np.sqrt(self.share.T)
        projection = -root[:, :, None] * root[:, None, :]
        every = np.arange(root.shape[1])
        projection[:, every, every] = 1 - self.share.T
        return projection * np.sqrt(self.weight_decay * np.asarray(self.factor).T)[:, None, :]

    @property
    def least(self) -> float:
        """A lower bound of the second derivatives along the steps that sum to zero over the classes.

        Along such a step u the form is min_c sum_k phi_k (u_k + c)^2 >= min_k phi_k ||u||^2.
        """
        return self.weight_decay if self.factor is None else self.weight_decay * float(self.factor.min(initial=np.inf))

    @property
    def free(self) -> NDArray[np.bool_] | bool:
        """Which coefficients are not penalised, of the shape of `factor`, or whether all are (see `has_free`)."""
        if self.weight_decay == 0:
            return True
        if self.factor is None:
            return False
        free = self.factor == 0
        if self.by_class:
            free |= (self.factor > 0).sum(axis=0) <= 1
        return free

    @property
    def has_free(self) -> bool:
        """Whether some coefficient is not penalised, so that the minimum may be at infinity along it."""
        return self.weight_decay == 0 if self.factor is None else bool(np.any(self.free))

    @property
    def is_none(self) -> bool:
        """Whether no coefficient is penalised."""
        return self.weight_decay == 0 if self.factor is None else bool(np.all(self.free))

    def free_part(self, coef: Float64Array) -> Float64Array:
        """The part of a step `coef` along which Q does not change.

        The coefficients with a factor all change by some number c_j, and the others arbitrarily. Subtracting c_j
        changes no probability, and leaves only changes of free coefficients.
        """
        free = self.free
        if not self.by_class or self.weight_decay == 0:
            return np.where(free, coef, 0.0)
        return np.where(free, coef - (self.share * coef).sum(axis=0), 0.0)

    def value(self, coef: Float64Array) -> float:
        # Coefficients without a penalty may be too large to be squared.
        if not self.weight_decay:
            return 0.0
        if self.mean is None and self.factor is None:
            return self.weight_decay / 2 * float(np.vdot(coef, coef))
        rest = self._rest(coef)
        scaled = rest if self.factor is None else self.factor * rest
        return self.weight_decay / 2 * float(np.vdot(rest, scaled))

    def gradient(self, coef: Float64Array) -> Float64Array:
        """phi (e - ebar) weight_decay."""
        if self.mean is None and self.factor is None:  # no call more than needed, as each evaluation comes here
            return self.weight_decay * coef
        rest = self.weight_decay * self._rest(coef)
        return rest if self.factor is None else self.factor * rest

    def product(self, step: Float64Array) -> Float64Array:
        """The product of the second derivatives with a `step` that sums to zero over the classes."""
        if self.by_class:
            step = step - (self.share * step).sum(axis=0)
        product = self.weight_decay * step
        return product if self.factor is None else self.factor * product

    def _rest(self, coef: Float64Array) -> Float64Array:
        """e - ebar."""
        if self.mean is not None:
            coef = coef - self.mean
        if self.by_class:
            return coef - (self.share * coef).sum(axis=0)
        return coef if self.mean is None or len(coef) == 1 else coef - coef.mean(axis=0)

    def centred(self, coef: Float64Array) -> Float64Array:
        """W + c: the coefficients of smallest penalty P among those with the probabilities of `coef`."""
        if len(coef) == 1 or not self.has_centre:
            return coef
        rest = coef if self.mean is None else coef - self.mean
        shift = (self.share * rest).sum(axis=0) if self.by_class else rest.mean(axis=0)
        return coef - shift


NO_PENALTY = Penalty()
