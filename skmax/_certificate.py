"""How far f is above its minimum: a bound where the whole Hessian is at hand, an estimate elsewhere.

Half the squared Newton decrement, lambda^2 / 2 with lambda^2 = g^T H^-1 g, is the gap of a parabola. The loss is not
one, but it is generalised self-concordant (F. Bach, 2010, Self-concordant analysis for logistic regression, Electronic
Journal of Statistics 4, 384-414), and that says how far it can be from one.

Along a line, phi(tau) = f(theta + tau d), a row adds to phi'' the variance, under its probabilities, of the change of
its logits, and to phi''' their third central moment, which is at most the range of the change times the variance. So
|phi'''| <= R phi'', with R the largest range of any row's change, and the penalty only helps. Hence
phi''(tau) >= phi''(0) exp(-R tau). Integrated twice, with r = ||d||_H = phi''(0)^(1/2),

    f(theta + d) >= f(theta) + <g, d> + r^2 (exp(-R) + R - 1) / R^2.

Let c be the largest range that a step of unit length, ||d||_H = 1, can make, so that R <= c r; as the last term falls
with R, and <g, d> >= -lambda r, the right hand side is at least its minimum over r, which is at c r = -log(1 - t):

    f(theta) - min f  <=  lambda^2 psi(t),    psi(t) = [ t + (1 - t) log(1 - t) ] / t^2,    t = lambda c < 1.

psi grows from 1/2 at t = 0, the parabola, to 1 at t = 1. Where t >= 1 nothing is known: outliers make c large.

The same bound holds along the Newton step's line alone with t the change R that the Newton step makes. It is an
estimate of the whole gap, and what is used where c is not to be had. The change between two points shows, too, how far
the Hessian can have changed: H(theta + d) is between exp(-R) and exp(R) times H(theta).
"""

from dataclasses import dataclass

import numpy as np

_FLAT = 1e-4  # where psi is a parabola's to so many digits, and the formula would lose as many


@dataclass(frozen=True)
class Certificate:
    """What is known of f - min f at a point.

    Attributes
    ----------
    gap : float
        lambda^2 psi(t).
    holds : bool
        Whether t < 1, without which the gap tells nothing.
    is_bound : bool
        Whether t is that of all directions, so that the gap is an upper bound.
    change : float
        t.
    """

    gap: float
    holds: bool
    is_bound: bool
    change: float = 0.0

    def within(self, tol: float) -> bool:
        return self.holds and self.gap <= tol


def certificate(decrement: float, change: float, *, is_bound: bool) -> Certificate:
    """Of the Newton decrement lambda and the `change` t."""
    holds = bool(change < 1)
    return Certificate(float(decrement) ** 2 * _psi(change if holds else 1.0), holds, is_bound and holds, change)


def _psi(t: float) -> float:
    if t < _FLAT:
        return 1 / 2 + t / 6
    return (t + (1 - t) * np.log1p(-t)) / t**2 if t < 1 else 1.0
