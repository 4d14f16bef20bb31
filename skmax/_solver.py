"""L-BFGS in stages: each in the coordinates of a preconditioner built where the last one ended.

1. Build a preconditioner at theta.
2. Where half the squared gradient in its coordinates, its estimate of the gap f - min f, is within `tol`, certify: with
   the whole Hessian, where that is not much work, take Newton steps to the last digits and bound the gap; else estimate
   it by conjugate gradients. Converged if the gap is within `tol` (see `skmax._certificate`).
3. Otherwise run L-BFGS-B in its coordinates until the estimate, which grows old, is well within `tol`, or the stage has
   had its share of iterations, or the line search can do no better. Go to 1.

Stages may run on a function of fewer digits, such as one of float32 products. What is certified is the exact one. Where
that takes more, the stages go on with it.

Outliers make first steps of a stage too long. They are shortened, and where that is not enough, a curvature is added to
that of all parameters of the next preconditioner: its caution.

R. H. Byrd, P. Lu, J. Nocedal and C. Zhu (1995). A limited memory algorithm for bound constrained optimization.
SIAM Journal on Scientific Computing 16(5), 1190-1208.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import optimize

from skmax._certificate import Certificate, Function, Point, Steps, certify
from skmax._preconditioner import Preconditioner, WholeHessian
from skmax._rows import Float64Array

# An old preconditioner underestimates the gap, so that a stage aims for a part of `tol`: cheaper than another stage.
_STAGE_TOL = 0.3
# With the whole Hessian, Newton steps take over where an old preconditioner estimates the gap at this, which is a
# decrement of 1/200, over the evaluations that the Hessian takes; or a fresh one at so many times as much.
_NEWTON_FROM, _FRESH = 1e-5, 3
# Where f was off by more than this, relative to 1 + |f|, for want of digits, the exact one begins anew.
_ASTRAY = 1e-3
# The least that an attempt to certify which failed may lower the next one's estimate to.
_LEAST_SHARE = 1e-3
# A first step of a stage that goes uphill is quartered up to so often. If it took so many quarters, the next stage is
# one of more caution, by the factor; otherwise of less.
_MOST_QUARTERS, _TOO_MANY_QUARTERS = 15, 4
_LEAST_CAUTION, _MOST_CAUTION, _CAUTION_STEP = 1e-6, 1.0, 30
# Pairs of vectors that L-BFGS remembers, and how many for more parameters than so many: SciPy's bookkeeping on them is
# then half of a fit. (2e6 parameters, 20 newsgroups as TF-IDF: 3.2 s with 6, 3.9 s with 30, in 19 and 16 iterations.)
_MEMORY, _LARGE, _MEMORY_IF_LARGE = 30, 2**18, 6


@dataclass(frozen=True)
class Solution:
    """Where `minimize` ended: the flat `theta`, f and what is known of its distance from the minimum, and f so far.

    `recession` is a step along which f falls for ever, if the search ended because it found one.
    """

    theta: Float64Array
    value: float
    certificate: Certificate
    converged: bool
    loss_curve: list[float]
    preconditioner: Preconditioner | None = None
    stopped: bool = False
    recession: Float64Array | None = None

    @property
    def gap(self) -> float:
        return self.certificate.gap

    @property
    def n_iter(self) -> int:
        return len(self.loss_curve) - 1


def minimize(
    function: Function,
    start: Float64Array,
    precondition: Callable[[Any, Float64Array, float, int], Preconditioner],
    *,
    tol: float,
    max_iter: int,
    exact: Function | None = None,
    hessian: WholeHessian | None = None,
    first: Preconditioner | None = None,
    watch: Callable[[Float64Array, list[float]], bool] | None = None,
    report: Callable[[int, float, float], None] | None = None,
) -> Solution:
    """Minimise `function` from `start`; `precondition` builds a preconditioner for a function, at a point.

    Its third argument is the caution: a curvature to add to each parameter's, as K. Levenberg (1944, Quarterly of
    Applied Mathematics 2(2), 164-168) did, where the last stage's first step was much too long. Its fourth is how many
    iterations there were so far: a preconditioner may cost a part of them.

    `exact` is the function to certify, where `function` has fewer digits, and `hessian` its Hessian, where it pays.

    `first` is a preconditioner to begin with, of a point near `start`, which saves most of the work where a path of
    minima is followed.

    `watch` sees theta and f so far after each iteration, and stops the search by True.

    `report` is told the number of iterations, f and the estimated gap before each stage and at the end.
    """
    exact = exact or function
    point = Point.of(function, start)
    loss_curve = [point.value]
    # The estimates with which a stage claims to have converged, or to be where Newton steps do.
    claim, newton_from = _STAGE_TOL * tol, _NEWTON_FROM / max(1.0, hessian.evaluations if hessian else 1.0)
    n_stages, caution, stuck, stopped = 0, 0.0, False, False
    lowest = exact.floor - _ASTRAY * (1 + abs(exact.floor))
    at_hand = first

    def accept(point: Point) -> bool:
        nonlocal stopped
        loss_curve.append(point.value)
        stopped = watch is not None and watch(point.theta, loss_curve)
        return stopped

    while True:
        n_iter = len(loss_curve) - 1
        newton = hessian if hessian is not None and hessian.pays(n_iter) else None
        preconditioner = at_hand or precondition(function, point.theta, caution, n_iter)
        estimate = _estimate(preconditioner, point)
        near = tol if newton is None else max(tol, _FRESH * newton_from)
        given_up = stopped or n_iter >= max_iter or not np.isfinite(estimate)
        if function is not exact and (stuck or given_up or estimate <= near):
            rounded, function, point, stuck = point.value, exact, Point.of(exact, point.theta), False
            if not abs(point.value - rounded) <= _ASTRAY * (1 + abs(point.value)):
                point, preconditioner = Point.of(exact, start), precondition(exact, start, 0.0, n_iter)
            loss_curve[-1] = point.value
            estimate = _estimate(preconditioner, point)
        if stuck or given_up or estimate <= near:
            attempt = certify(
                exact,
                point,
                preconditioner,
                newton if np.isfinite(estimate) else None,
                tol,
                n_iter=n_iter,
                steps=Steps(0 if stopped else max_iter - n_iter, accept),
                final=stuck or given_up,
            )
            point, preconditioner, proof = attempt.point, attempt.preconditioner, attempt.proof
            if stuck or given_up or stopped or proof.within(tol) or attempt.recession is not None:
                break
            # The same claim again would end in the same way. The change that a Newton step makes falls with its length.
            share = min(1.0, tol / proof.gap if proof.gap > 0 else 1.0, proof.change**-2 if proof.change > 1 else 1.0)
            claim = _STAGE_TOL * min(claim, estimate) * max(share, _LEAST_SHARE)
            newton_from = min(newton_from, claim)
        if report is not None:
            report(len(loss_curve) - 1, point.value, estimate)
        before = point
        length = min(preconditioner.stage_length(n_stages), max_iter - (len(loss_curve) - 1))
        target = claim if newton is None else max(claim, newton_from)
        n_quarters = 0
        if length > 0:
            point, n_quarters = _stage(function, point, preconditioner, target, lowest, length, accept)
        at_hand = None
        if _estimate(preconditioner, point) <= target:
            if newton is not None:
                at_hand = newton.at(point.theta)
            elif first:
                at_hand = preconditioner
        n_stages += 1
        fails = not point.value < before.value
        stuck = fails and caution > _MOST_CAUTION
        if fails or n_quarters >= _TOO_MANY_QUARTERS:
            caution = max(_LEAST_CAUTION, caution * _CAUTION_STEP)
        else:
            caution = caution / _CAUTION_STEP if caution > _LEAST_CAUTION else 0.0
    if report is not None:
        report(len(loss_curve) - 1, point.value, proof.gap)
    return Solution(
        point.theta, point.value, proof, proof.within(tol), loss_curve, preconditioner, stopped, attempt.recession
    )


class _TooLong(Exception):
    """The first step of a stage went uphill."""


def _stage(
    function: Function,
    start: Point,
    preconditioner: Preconditioner,
    target: float,
    lowest: float,
    max_iter: int,
    accept: Callable[[Point], bool],
) -> tuple[Point, int]:
    """The last point that L-BFGS accepted, or `start`, and how often its first step was quartered."""
    # L-BFGS-B makes its first step one of unit length. In units of the gradient's length that is the Newton step, which
    # outliers make too long, up to a thousand times; the line search of L-BFGS-B would spend all of its trials on it.
    unit = float(np.linalg.norm(preconditioner.backward(start.gradient)))
    for n_quarters in range(_MOST_QUARTERS):
        try:
            return _l_bfgs(function, start, preconditioner, unit, target, lowest, max_iter, accept), n_quarters
        except _TooLong:
            unit /= 4
    return start, _MOST_QUARTERS


def _l_bfgs(
    function: Function,
    start: Point,
    preconditioner: Preconditioner,
    unit: float,
    target: float,
    lowest: float,
    max_iter: int,
    accept: Callable[[Point], bool],
) -> Point:
    """L-BFGS-B in v, in units of `unit`."""
    evaluated = accepted = start
    gradient_in_v = preconditioner.backward(start.gradient)
    memory = _MEMORY if start.theta.size <= _LARGE else _MEMORY_IF_LARGE

    def in_v(v: Float64Array) -> tuple[float, Float64Array]:
        nonlocal evaluated, gradient_in_v
        if v.any():  # else where L-BFGS-B begins, known already
            first = evaluated is start
            theta = start.theta + preconditioner.forward(unit * v)
            evaluated = Point.of(function, theta)
            if first and not evaluated.value < start.value:
                raise _TooLong
            gradient_in_v = preconditioner.backward(evaluated.gradient)
        return evaluated.value, unit * gradient_in_v

    def after_iteration(v: Float64Array) -> None:
        nonlocal accepted
        if not evaluated.value >= lowest:  # where f is not but by rounding
            raise StopIteration
        accepted = evaluated  # the line search ends on the point that it accepts
        if accept(accepted) or np.dot(gradient_in_v, gradient_in_v) / 2 <= target:
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
    return accepted


def _estimate(preconditioner: Preconditioner, point: Point) -> float:
    """Half the squared gradient in the preconditioner's coordinates: the gap, as far as it stands for the Hessian."""
    v = preconditioner.backward(point.gradient)
    return float(np.dot(v, v)) / 2
