"""L-BFGS in stages: each in the coordinates of a preconditioner built where the last one ended.

1. Build a preconditioner at theta. Half the squared gradient in its coordinates is the estimated gap f(theta) - min f.
2. Stop if the gap is within `tol`: converged, as told by a fresh preconditioner.
3. Otherwise run L-BFGS-B in these coordinates until its own, ageing estimate of the gap is within `tol`, or the
   stage has had its share of iterations, or the line search can do no better; go to 1.

R. H. Byrd, P. Lu, J. Nocedal and C. Zhu (1995). A limited memory algorithm for bound constrained optimization.
SIAM Journal on Scientific Computing 16(5), 1190-1208.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import optimize

from skmax._objective import Float64Array
from skmax._preconditioner import Preconditioner

# An old preconditioner misjudges the gap, so that a stage aims for a part of `tol`: cheaper than another stage.
_STAGE_TOL = 0.3
# Quarters of the first step of a stage tried in turn.
_SHORTENINGS = 15
# Iterations of a stage at most.
_STAGE_LENGTH = 15


@dataclass(frozen=True)
class Solution:
    """Where `minimize` ended: the flat `theta`, f and its estimated distance from the minimum, and f on the way."""

    theta: Float64Array
    value: float
    gap: float
    converged: bool
    loss_curve: list[float]

    @property
    def n_iter(self) -> int:
        return len(self.loss_curve) - 1


def minimize(
    objective: Callable[[Float64Array], tuple[float, Float64Array]],
    start: Float64Array,
    precondition: Callable[[Float64Array], Preconditioner],
    *,
    tol: float,
    max_iter: int,
    report: Callable[[int, float, float], None] | None = None,
) -> Solution:
    """Minimise `objective` from `start`; `precondition` builds a preconditioner at the point that it is given.

    `report` is told the number of iterations, f and the estimated gap before each stage and at the end.
    """
    point = _Point(start, *objective(start))
    loss_curve = [point.value]
    while True:
        preconditioner = precondition(point.theta)
        gap = half_square(preconditioner.backward(point.gradient))
        if report is not None:
            report(len(loss_curve) - 1, point.value, gap)
        n_left = max_iter - (len(loss_curve) - 1)
        if gap <= tol or n_left <= 0:
            break
        before = point
        point = _stage(objective, point, preconditioner, loss_curve, tol, min(_STAGE_LENGTH, n_left))
        if not point.value < before.value:
            break  # float precision ends here
    return Solution(point.theta, point.value, gap, gap <= tol, loss_curve)


@dataclass(frozen=True)
class _Point:
    theta: Float64Array
    value: float
    gradient: Float64Array


class _TooLong(Exception):
    """The first step of a stage went uphill."""


def _stage(
    objective: Callable[[Float64Array], tuple[float, Float64Array]],
    start: _Point,
    preconditioner: Preconditioner,
    loss_curve: list[float],
    tol: float,
    max_iter: int,
) -> _Point:
    """The last point that L-BFGS accepted, of lower value than `start`, or `start` itself."""
    # L-BFGS-B makes its first step one of unit length. In units of the gradient's length that is the Newton step, which
    # outliers make too long, up to a thousand times. The line search of L-BFGS-B would spend all of its trials on it.
    unit = float(np.linalg.norm(preconditioner.backward(start.gradient)))
    for _ in range(_SHORTENINGS):
        try:
            return _l_bfgs(objective, start, preconditioner, unit, loss_curve, tol, max_iter)
        except _TooLong:
            unit /= 4
    return start


def _l_bfgs(
    objective: Callable[[Float64Array], tuple[float, Float64Array]],
    start: _Point,
    preconditioner: Preconditioner,
    unit: float,
    loss_curve: list[float],
    tol: float,
    max_iter: int,
) -> _Point:
    """L-BFGS-B in v, in units of `unit`."""
    evaluated = accepted = start

    def in_v(v: Float64Array) -> tuple[float, Float64Array]:
        nonlocal evaluated
        if not v.any():  # where L-BFGS-B begins, known already
            return start.value, unit * preconditioner.backward(start.gradient)
        first = evaluated is start
        theta = start.theta + preconditioner.forward(unit * v)
        evaluated = _Point(theta, *objective(theta))
        if first and not evaluated.value < start.value:
            raise _TooLong
        return evaluated.value, unit * preconditioner.backward(evaluated.gradient)

    def after_iteration(v: Float64Array) -> None:
        nonlocal accepted
        accepted = evaluated  # the line search ends on the point that it accepts
        loss_curve.append(accepted.value)
        if half_square(preconditioner.backward(accepted.gradient)) <= _STAGE_TOL * tol:
            raise StopIteration

    optimize.minimize(
        in_v,
        np.zeros_like(start.theta),
        jac=True,
        method="L-BFGS-B",
        callback=after_iteration,
        # Stopping is decided above and in `minimize`, not by relative changes of f or by gradients in odd units.
        options={"maxiter": max_iter, "maxfun": 100 * max_iter, "maxcor": 30, "ftol": 0, "gtol": 0},
    )
    return accepted


def half_square(v: Float64Array) -> float:
    return float(np.dot(v, v)) / 2
