"""L-BFGS in stages: each in the coordinates of a preconditioner built where the last one ended.

1. Build a preconditioner at theta.
2. Where half the squared gradient in its coordinates, its estimate of the gap f - min f, is within `tol`, measure the
   gap with the Hessian itself: converged if that is within `tol` too.
3. Otherwise run L-BFGS-B in its coordinates until the estimate, which grows old, is well within `tol`, or the stage has
   had its share of iterations, or the line search can do no better. Go to 1.

The gap is half the squared Newton decrement, 1/2 g^T H^-1 g, by conjugate gradients on H d = g: g^T d grows with every
step towards the decrement, and a good preconditioner needs two to six. An old preconditioner, or too few steps, would
miss the directions of little curvature, in which most of a gap may lie.

Outliers make first steps of a stage too long. They are shortened, and where that is not enough, a curvature is added to
that of all parameters of the next preconditioner: its caution.

R. H. Byrd, P. Lu, J. Nocedal and C. Zhu (1995). A limited memory algorithm for bound constrained optimization.
SIAM Journal on Scientific Computing 16(5), 1190-1208.
S. Boyd and L. Vandenberghe (2004). Convex Optimization. Section 9.5.1, the Newton decrement.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy import optimize

from skmax._preconditioner import Preconditioner
from skmax._rows import Float64Array

# An old preconditioner underestimates the gap, so that a stage aims for a part of `tol`: cheaper than another stage.
_STAGE_TOL = 0.3
# A first step of a stage that goes uphill is quartered up to so often. If it took so many quarters, the next stage is
# one of more caution, by the factor; otherwise of less.
_MOST_QUARTERS, _TOO_MANY_QUARTERS = 15, 4
_LEAST_CAUTION, _MOST_CAUTION, _CAUTION_STEP = 1e-6, 1.0, 30
# Pairs of vectors that L-BFGS remembers, and how many for more parameters than so many: SciPy's bookkeeping on them is
# then half of a fit. (2e6 parameters, 20 newsgroups as TF-IDF: 3.2 s with 6, 3.9 s with 30, in 19 and 16 iterations.)
_MEMORY, _LARGE, _MEMORY_IF_LARGE = 30, 2**18, 6
# Conjugate gradients end where the later half of the steps, two at least, added less than this share of the decrement,
# or after so many; fewer, but these, where a fit is given up.
_GAP_SHARE = 0.1
_GAP_STEPS, _LEAST_GAP_STEPS = 500, 30
_GAP_ROUNDING = 1e-8  # nothing but rounding is left of the gradient


class Function(Protocol):
    """What is minimised: f and its gradient, and the product of its Hessian with a vector."""

    def __call__(self, theta: Float64Array) -> tuple[float, Float64Array]: ...

    def hessian_product(self, theta: Float64Array, direction: Float64Array) -> Float64Array: ...


@dataclass(frozen=True)
class Solution:
    """Where `minimize` ended: the flat `theta`, f and its estimated distance from the minimum, and f on the way."""

    theta: Float64Array
    value: float
    gap: float
    converged: bool
    loss_curve: list[float]
    preconditioner: Preconditioner | None = None
    stopped: bool = False

    @property
    def n_iter(self) -> int:
        return len(self.loss_curve) - 1


def minimize(
    function: Function,
    start: Float64Array,
    precondition: Callable[[Float64Array, float, int], Preconditioner],
    *,
    tol: float,
    max_iter: int,
    first: Preconditioner | None = None,
    polish: bool = False,
    watch: Callable[[Float64Array, list[float]], bool] | None = None,
    report: Callable[[int, float, float], None] | None = None,
) -> Solution:
    """Minimise `function` from `start`; `precondition` builds a preconditioner at the point that it is given.

    Its second argument is the caution: a curvature to add to each parameter's, as K. Levenberg (1944, Quarterly of
    Applied Mathematics 2(2), 164-168) did, where the last stage's first step was much too long. Its third is the number
    of iterations so far, of which a preconditioner may cost a part.

    `first` is one to begin with, of a point near `start`. It is then enough to confirm convergence, too, which saves
    most of the work where a path of minima is followed.

    With `polish`, what has converged goes on to the last digits by Newton steps, which need no differences of f.

    `watch` sees theta and f so far after each iteration, and stops the search by True.

    `report` is told the number of iterations, f and the estimated gap before each stage and at the end.
    """
    point = _Point(start, *function(start))
    loss_curve = [point.value]
    target = _STAGE_TOL * tol  # the estimate with which a stage claims to have converged
    n_stages, caution, stuck, stopped = 0, 0.0, False, False
    at_hand = first
    while True:
        preconditioner = at_hand or precondition(point.theta, caution, len(loss_curve) - 1)
        estimate, n_left = _estimate(preconditioner, point), max_iter - (len(loss_curve) - 1)
        ends = stuck or stopped or n_left <= 0 or not np.isfinite(estimate)
        if ends or estimate <= tol:
            if ends:  # what a fit that is given up costs more is at most what it cost
                gap = _gap(function, point, preconditioner, n_steps=max(_LEAST_GAP_STEPS, len(loss_curve) // 2))
            else:
                gap = _gap(function, point, preconditioner, enough=3 * tol)
            if ends or gap <= tol:
                break
            target *= _STAGE_TOL * tol / gap
        if report is not None:
            report(len(loss_curve) - 1, point.value, estimate)
        before, length = point, min(preconditioner.stage_length(n_stages), n_left)
        point, n_quarters, stopped = _stage(function, point, preconditioner, loss_curve, target, length, watch)
        at_hand = preconditioner if first and _estimate(preconditioner, point) <= target else None
        n_stages += 1
        fails = not point.value < before.value
        stuck = fails and caution > _MOST_CAUTION
        if fails or n_quarters >= _TOO_MANY_QUARTERS:
            caution = max(_LEAST_CAUTION, caution * _CAUTION_STEP)
        else:
            caution = caution / _CAUTION_STEP if caution > _LEAST_CAUTION else 0.0
    if polish and gap <= tol:
        point = _polished(function, point, preconditioner)
        gap = min(gap, _gap(function, point, preconditioner))
        loss_curve.append(point.value)
    if report is not None:
        report(len(loss_curve) - 1, point.value, gap)
    return Solution(point.theta, point.value, gap, gap <= tol, loss_curve, preconditioner, stopped)


@dataclass(frozen=True)
class _Point:
    theta: Float64Array
    value: float
    gradient: Float64Array


def _gap(
    function: Function,
    point: _Point,
    preconditioner: Preconditioner,
    *,
    enough: float = np.inf,
    n_steps: int | None = None,
) -> float:
    """1/2 g^T H^-1 g at `point`, or a lower bound of it: one above `enough`, or what `n_steps` tell."""
    residual = preconditioner.backward(point.gradient)
    direction, square, decrements = residual, np.dot(residual, residual), [0.0]
    for step in range(1, (n_steps or _GAP_STEPS) + 1):
        product = preconditioner.backward(function.hessian_product(point.theta, preconditioner.forward(direction)))
        curvature = np.dot(direction, product)
        if not curvature > 0:  # rounding, or nothing left to reduce
            break
        decrements.append(decrements[-1] + square**2 / curvature)
        residual = residual - (square / curvature) * product
        last, square = square, np.dot(residual, residual)
        direction = residual + (square / last) * direction
        later = max(2, step // 2)
        settled = step >= later and decrements[-1] - decrements[-1 - later] <= _GAP_SHARE * decrements[-1]
        # What is left of the gradient counts too: first steps that a bad preconditioner wastes add next to nothing.
        exact = square <= _GAP_ROUNDING * decrements[-1]
        if exact or (settled and square <= decrements[-1]) or decrements[-1] / 2 > enough:
            break
    return float(decrements[-1]) / 2


def _polished(function: Function, point: _Point, preconditioner: Preconditioner) -> _Point:
    """Newton steps with the Hessian at hand, for as long as each leaves a small part of the last one's gradient."""
    estimate = _estimate(preconditioner, point)
    while True:
        theta = point.theta - preconditioner.forward(preconditioner.backward(point.gradient))
        next_point = _Point(theta, *function(theta))
        last, estimate = estimate, _estimate(preconditioner, next_point)
        if not estimate < last / 4:
            return point
        # f can no longer tell the two apart, but for its rounding.
        point = _Point(theta, min(next_point.value, point.value), next_point.gradient)


class _TooLong(Exception):
    """The first step of a stage went uphill."""


def _stage(
    function: Function,
    start: _Point,
    preconditioner: Preconditioner,
    loss_curve: list[float],
    target: float,
    max_iter: int,
    watch: Callable[[Float64Array, list[float]], bool] | None,
) -> tuple[_Point, int, bool]:
    """The last point that L-BFGS accepted, or `start`; how often its first step was quartered; if it was stopped."""
    # L-BFGS-B makes its first step one of unit length. In units of the gradient's length that is the Newton step, which
    # outliers make too long, up to a thousand times; the line search of L-BFGS-B would spend all of its trials on it.
    unit = float(np.linalg.norm(preconditioner.backward(start.gradient)))
    for n_quarters in range(_MOST_QUARTERS):
        try:
            end, stopped = _l_bfgs(function, start, preconditioner, unit, loss_curve, target, max_iter, watch)
            return end, n_quarters, stopped
        except _TooLong:
            unit /= 4
    return start, _MOST_QUARTERS, False


def _l_bfgs(
    function: Function,
    start: _Point,
    preconditioner: Preconditioner,
    unit: float,
    loss_curve: list[float],
    target: float,
    max_iter: int,
    watch: Callable[[Float64Array, list[float]], bool] | None,
) -> tuple[_Point, bool]:
    """L-BFGS-B in v, in units of `unit`."""
    stopped = False
    evaluated = accepted = start
    gradient_in_v = preconditioner.backward(start.gradient)
    memory = _MEMORY if start.theta.size <= _LARGE else _MEMORY_IF_LARGE

    def in_v(v: Float64Array) -> tuple[float, Float64Array]:
        nonlocal evaluated, gradient_in_v
        if v.any():  # else where L-BFGS-B begins, known already
            first = evaluated is start
            theta = start.theta + preconditioner.forward(unit * v)
            evaluated = _Point(theta, *function(theta))
            if first and not evaluated.value < start.value:
                raise _TooLong
            gradient_in_v = preconditioner.backward(evaluated.gradient)
        return evaluated.value, unit * gradient_in_v

    def after_iteration(v: Float64Array) -> None:
        nonlocal accepted, stopped
        accepted = evaluated  # the line search ends on the point that it accepts
        loss_curve.append(accepted.value)
        stopped = watch is not None and watch(accepted.theta, loss_curve)
        if stopped or np.dot(gradient_in_v, gradient_in_v) / 2 <= target:
            raise StopIteration

    optimize.minimize(
        in_v,
        np.zeros_like(start.theta),
        jac=True,
        method="L-BFGS-B",
        callback=after_iteration,
        # Stopping is decided above and in `minimize`, not by relative changes of f or by gradients in odd units.
        options={"maxiter": max_iter, "maxfun": 100 * max_iter, "maxcor": memory, "ftol": 0, "gtol": 0},
    )
    return accepted, stopped


def _estimate(preconditioner: Preconditioner, point: _Point) -> float:
    """Half the squared gradient in the preconditioner's coordinates: the gap, as far as it stands for the Hessian."""
    v = preconditioner.backward(point.gradient)
    return float(np.dot(v, v)) / 2
