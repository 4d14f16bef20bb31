"""The gap, f less its minimum: an upper bound if the whole Hessian is available, and otherwise an estimate.

Half the squared Newton decrement, lambda^2 / 2 with lambda^2 = g^T H^-1 g, is the gap of a quadratic function. The loss
is not quadratic, but it is generalised self-concordant (F. Bach, 2010, Self-concordant analysis for logistic
regression, Electronic Journal of Statistics 4, 384-414), which limits how far it is from a quadratic function.

Along a line, phi(tau) = f(theta + tau d), a row adds to phi'' the variance, under its probabilities, of the change of
its logits, and to phi''' their third central moment, which is at most the range of the change times the variance. So
|phi'''| <= R phi'', with R the largest range of any row's change, and the penalty only helps. Hence
phi''(tau) >= phi''(0) exp(-R tau). Integrated twice, with r = ||d||_H = phi''(0)^(1/2),

    f(theta + d) >= f(theta) + <g, d> + r^2 (exp(-R) + R - 1) / R^2.

Let c be the largest range that a step of unit length, ||d||_H = 1, can make, so that R <= c r. As the last term falls
with R, and <g, d> >= -lambda r, the right hand side is at least its minimum over r, which is at c r = -log(1 - t):

    f(theta) - min f  <=  lambda^2 psi(t),    psi(t) = [ t + (1 - t) log(1 - t) ] / t^2,    t = lambda c < 1.

psi grows from 1/2 at t = 0, the value for a quadratic function, to 1 at t = 1. For t >= 1 there is no bound; outliers
make c large.

Along the line of the Newton step alone, the same inequality holds with the change R that this step makes in place of t.
This serves as an estimate of the whole gap if c cannot be computed. R also limits the change of the Hessian between two
points: H(theta + d) lies between exp(-R) and exp(R) times H(theta).

Rows that the model is sure of leave directions in which the penalty has most of the curvature, and a Newton step may
change all rows by R >= 1 without being wrong. With rho the share of the penalty in ||d||_H^2, which is the same all
along the line, f(theta + tau d) >= f(theta) - tau lambda^2 + rho tau^2 lambda^2 / 2, so that the gap there is at most

    lambda^2 / (2 rho)    for any R.

This estimates the whole gap if rho is not small and the step changes most rows by a similar amount. It does not if the
step changes a few rows much more than the others. These are outliers, and it is their curvature that keeps the step
short: once they are saturated, f falls a long way. On 2500 hostile problems, with rho >= 0.15, the gap was at most 1.9
lambda^2 where the mean change was at least 0.2 R, and up to 1e6 times as much where it was not.

Likewise phi''(tau) <= phi''(0) exp(R tau). Integrated twice along a step d with <g, d> = -||d||_H^2, such as that of
conjugate gradients, it is least at tau = log(1 + R) / R, which gives a lower bound of the gap:

    f(theta) - min f  >=  ||d||_H^2 [ (1 + R) log(1 + R) - R ] / R^2.

If an attempt to certify has found a lower bound of the gap, what f has not fallen by since then is still a lower bound
at the next attempt.

A few rows may make c so large that the bound is void: outliers that the model classifies with near certainty, so that
they have almost no curvature. Without these rows D, f is smaller by their losses, which are positive, so that

    f - min f  <=  sum_D (s_i / S) loss_i  +  (f_-D - min f_-D),

and the bound of f_-D, which has a gradient and a Hessian of its own, may hold.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from skmax._samples import Float64Array

# Below this t, psi equals 1/2 + t/6 to the digits that its own formula would lose.
_FLAT = 1e-4
_ROUNDING = 1e-12  # of f, relative to 1 + |f|
# f is close to quadratic along a step that changes every logit by less than this.
SMALL = 0.1


class Function(Protocol):
    """The function f that is minimised, its gradient, and what a certificate needs to know about it."""

    def __call__(self, theta: Float64Array) -> tuple[float, Float64Array]: ...

    @property
    def floor(self) -> float:
        """A lower bound of f."""

    @property
    def has_weak_penalty(self) -> bool:
        """Whether there may be directions of almost no curvature."""

    def hessian_product(self, theta: Float64Array, direction: Float64Array) -> Float64Array: ...

    def largest_change(self, step: Float64Array) -> float:
        """The R of the module's docstring."""

    def mean_change(self, step: Float64Array) -> float:
        """The mean over the rows of the range whose maximum is R."""

    def penalty_curvature(self, step: Float64Array) -> float:
        """The second derivative of the penalty along `step`."""

    def receding(self, step: Float64Array) -> Float64Array | None:
        """The part of `step` that is a direction of recession, along which f falls without end, or None."""


class LinearChange(Protocol):
    """A change of variables theta = forward(v), in which the Hessian is close to the identity, and its transpose."""

    def forward(self, v: Float64Array) -> Float64Array: ...

    def backward(self, gradient: Float64Array) -> Float64Array: ...


@dataclass(frozen=True)
class Point:
    theta: Float64Array
    value: float
    gradient: Float64Array

    @classmethod
    def of(cls, function: Function, theta: Float64Array) -> "Point":
        return cls(theta, *function(theta))

    def is_above(self, other: "Point") -> bool:
        """Whether f is larger here than at the `other` point by more than rounding errors."""
        return not self.value <= other.value + _ROUNDING * (1 + abs(other.value))


@dataclass(frozen=True)
class Certificate:
    """What is known about f - min f at a point.

    Attributes
    ----------
    gap : float
        lambda^2 psi(t).
    change : float
        t or R.
    is_bound : bool
        Whether the gap is an upper bound, and not just an estimate.
    by_penalty : bool
        Whether the gap is lambda^2 / (2 rho), which holds for any R.
    least : float
        A lower bound of the gap.
    doubt : float
        The factor by which the true gap may be larger.
    """

    gap: float
    change: float
    is_bound: bool
    by_penalty: bool = False
    least: float = 0.0
    doubt: float = 1.0

    @classmethod
    def of(cls, decrement: float, change: float, *, is_bound: bool) -> "Certificate":
        """The certificate that follows from the Newton decrement lambda and the `change` t."""
        return cls(float(decrement) ** 2 * _psi(change), float(change), is_bound)

    @property
    def holds(self) -> bool:
        """Whether the gap is meaningful."""
        return self.change < 1 or self.by_penalty

    def at_infinity(self) -> "Certificate":
        """The same gap without a certificate, as there is no minimum that the point could be near."""
        return replace(self, change=np.inf, by_penalty=False)

    def within(self, tol: float) -> bool:
        return bool(self.holds and self.doubt * self.gap <= tol)


# Beyond this change the lower bound is next to nothing, and its formula overflows.
_FAR = 1e100


def _psi(t: float) -> float:
    if t < _FLAT:
        return 1 / 2 + t / 6
    return float((t + (1 - t) * np.log1p(-t)) / t**2) if t < 1 else 1.0


def lower_bound(square: float, change: float) -> float:
    """The lower bound of the gap that follows from a step with ||d||_H^2 = `square` and the change R = `change`."""
    if not change < _FAR:
        return 0.0
    share = ((1 + change) * np.log1p(change) - change) / change**2 if change > _FLAT else 1 / 2 - change / 6
    return float(square * share)


class Steps:
    """The steps that an attempt may still take. `accept` is called after each, and returns True to stop."""

    def __init__(self, left: int, accept: Callable[[Point], bool]) -> None:
        self.left = left
        self._accept = accept

    def take(self, point: Point) -> None:
        self.left = 0 if self._accept(point) else self.left - 1


@dataclass(frozen=True)
class Attempt:
    """The outcome of an attempt to certify that f is within `tol` of its minimum.

    Attributes
    ----------
    point : Point
        The point where the attempt ended: the point where it began, or one with a lower f.
    proof : Certificate
        The certificate at that point.
    preconditioner : LinearChange
        The preconditioner of a point nearby.
    recession : ndarray of shape (n_parameters,), or None
        A direction of recession, if one was found.
    """

    point: Point
    proof: Certificate
    preconditioner: Any  # a LinearChange
    recession: Float64Array | None = None
