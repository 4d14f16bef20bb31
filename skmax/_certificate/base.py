"""How far f is above its minimum: a bound where the whole Hessian is available, an estimate elsewhere.

Half the squared Newton decrement, lambda^2 / 2 with lambda^2 = g^T H^-1 g, is the gap of a parabola. The loss is not
one, but it is generalised self-concordant (F. Bach, 2010, Self-concordant analysis for logistic regression, Electronic
Journal of Statistics 4, 384-414), and that says how far it can be from one.

Along a line, phi(tau) = f(theta + tau d), a row adds to phi'' the variance, under its probabilities, of the change of
its logits, and to phi''' their third central moment, which is at most the range of the change times the variance. So
|phi'''| <= R phi'', with R the largest range of any row's change, and the penalty only helps. Hence
phi''(tau) >= phi''(0) exp(-R tau). Integrated twice, with r = ||d||_H = phi''(0)^(1/2),

    f(theta + d) >= f(theta) + <g, d> + r^2 (exp(-R) + R - 1) / R^2.

Let c be the largest range that a step of unit length, ||d||_H = 1, can make, so that R <= c r. As the last term falls
with R, and <g, d> >= -lambda r, the right hand side is at least its minimum over r, which is at c r = -log(1 - t):

    f(theta) - min f  <=  lambda^2 psi(t),    psi(t) = [ t + (1 - t) log(1 - t) ] / t^2,    t = lambda c < 1.

psi grows from 1/2 at t = 0, the parabola, to 1 at t = 1. Where t >= 1, nothing is known: outliers make c large.

Along the line of the Newton step alone, the same inequality holds with the change R that this step makes in place of t.
It estimates the whole gap, and is used where c cannot be computed. R also says how much the Hessian can have changed
between two points: H(theta + d) lies between exp(-R) and exp(R) times H(theta).

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

What an attempt to certify found to be left, and has not been gained since, is still left at the next attempt.

A few rows may make c so large that the bound is void: outliers about which the model is so sure that they have next to
no curvature. Without these rows D, f is smaller by their losses, which are positive, so that

    f - min f  <=  sum_D (s_i / S) loss_i  +  (f_-D - min f_-D),

and the bound of f_-D, which has a gradient and a Hessian of its own, may hold.
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from skmax._samples import Float64Array

# Below this t, psi equals 1/2 + t/6 to the digits that its own formula would lose.
_FLAT = 1e-4
_ROUNDING = 1e-12  # of f, relative to 1 + |f|
# A step that changes every logit by less than this is so short that f is close to a parabola along it.
SMALL = 0.1


class Function(Protocol):
    """The function f that is minimised, its gradient, and what a certificate needs to know about it."""

    def __call__(self, theta: Float64Array) -> tuple[float, Float64Array]: ...

    @property
    def floor(self) -> float:
        """A lower bound of f."""

    @property
    def has_weak_penalty(self) -> bool:
        """Whether there may be directions of next to no curvature."""

    def hessian_product(self, theta: Float64Array, direction: Float64Array) -> Float64Array: ...

    def largest_change(self, step: Float64Array) -> float:
        """The R of the module's docstring."""

    def mean_change(self, step: Float64Array) -> float:
        """The mean of the ranges of which R is the largest."""

    def penalty_curvature(self, step: Float64Array) -> float:
        """The second derivative of the penalty along `step`."""

    def receding(self, step: Float64Array) -> Float64Array | None:
        """The part of `step` along which f falls for ever, or None."""


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
        """Whether f is larger here by more than rounding explains."""
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
        Whether the gap is an upper bound and not just an estimate.
    by_penalty : bool
        Whether the gap is lambda^2 / (2 rho), which holds for any R.
    least : float
        A lower bound of the gap.
    doubt : float
        How many times as large the gap may be.
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
        """The same gap where there is no minimum that the point could be near, so that it certifies nothing."""
        return dataclasses.replace(self, change=np.inf, by_penalty=False)

    def within(self, tol: float) -> bool:
        return bool(self.holds and self.doubt * self.gap <= tol)


def _psi(t: float) -> float:
    if t < _FLAT:
        return 1 / 2 + t / 6
    return float((t + (1 - t) * np.log1p(-t)) / t**2) if t < 1 else 1.0


def lower_bound(square: float, change: float) -> float:
    """The lower bound of the gap, of a step with ||d||_H^2 = `square` that makes the `change` R."""
    if not change < np.inf:
        return 0.0
    share = ((1 + change) * np.log1p(change) - change) / change**2 if change > _FLAT else 1 / 2 - change / 6
    return float(square * share)


class Steps:
    """The steps that an attempt may take: at most `left`. `accept` sees each, and returns True to end them."""

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
        The point where the attempt ended: where it began, or a lower one.
    proof : Certificate
    preconditioner : LinearChange
        That of a point nearby.
    recession : ndarray of shape (n_parameters,), or None
        A step along which f falls for ever, if one was found.
    """

    point: Point
    proof: Certificate
    preconditioner: Any  # a LinearChange
    recession: Float64Array | None = None
