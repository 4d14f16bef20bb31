"""L-BFGS in stages, each in the coordinates of a preconditioner that is built where the previous stage ended.

1. Build a preconditioner at theta.
2. If half the squared gradient in its coordinates, its estimate of the gap f - min f, is within `tol`, certify: if the
   whole Hessian is cheap, take Newton steps to the last digits and bound the gap; otherwise estimate the gap by
   conjugate gradients. The search has converged if the gap is within `tol` (see `skmax._certificate`).
3. Otherwise run L-BFGS-B in these coordinates until the estimate, which becomes less accurate with every iteration, is
   well within `tol`, the stage has used up its iterations, or the line search finds no lower point. Go to 1.

Stages may run on a less accurate function, for example one computed with float32 products. The certificate applies to
the exact function, as do any further stages that it requires.

Outliers make the first step of a stage too long. Such a step is shortened. If that is not enough, the next
preconditioner is damped: a number is added to the curvature of every parameter.

R. H. Byrd, P. Lu, J. Nocedal and C. Zhu (1995). A limited memory algorithm for bound constrained optimization.
SIAM Journal on Scientific Computing 16(5), 1190-1208.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeAlias

import numpy as np
from scipy import optimize

from skmax._certificate.base import Certificate, Function, LinearChange, Point, Steps
from skmax._certificate.certify import certify
from skmax._hessian.whole import WholeHessian
from skmax._preconditioner.history import History, Stage
from skmax._samples import Float64Array

# An old preconditioner underestimates the gap. A stage therefore aims for a fraction of `tol`, which is cheaper than
# another stage.
_STAGE_TOL = 0.3
# With the whole Hessian, Newton steps take over when an old preconditioner estimates a gap below the first number,
# which is a decrement of 1/200, divided by the cost of the Hessian in evaluations, or a new one below a multiple of it.
_NEWTON_FROM, _FRESH = 1e-5, 3
# If the error of the less accurate f exceeds this, relative to 1 + |f|, the search on the exact f begins at the start.
_ASTRAY = 1e-3
# After a failed attempt to certify, the next attempt waits for a lower estimate, by no more than this factor.
_LEAST_SHARE = 1e-3
# How often the first step of a stage is quartered if it goes uphill, and the number of quarterings from which the
# damping of the next stage is multiplied by the factor. After fewer quarterings it is divided by the factor.
_MOST_QUARTERS, _TOO_MANY_QUARTERS = 15, 4
_LEAST_DAMPING, _MOST_DAMPING, _DAMPING_STEP = 1e-6, 1.0, 30
# The number of pairs of vectors that L-BFGS stores, and a smaller one for problems with more parameters than the number
# between them, for which SciPy's own operations would take half of the fit. (2e6 parameters, 20 newsgroups as TF-IDF:
# 3.2 s with 6, 3.9 s with 30, in 19 and 16 iterations.)
_MEMORY, _LARGE, _MEMORY_IF_LARGE = 30, 2**18, 6


class Preconditioner(LinearChange, Protocol):
    """A linear change of variables for the iterations of a stage. Its string describes it in a few words."""

    def stage_length(self, n_stages: int) -> int:
        """The number of iterations after which to build a new preconditioner, given `n_stages` earlier stages."""


# Called with the number of iterations, f, the estimated gap and the preconditioner.
Report: TypeAlias = Callable[[int, float, float, Preconditioner | None], None]


@dataclass(frozen=True)
class Solution:
    """The result of `minimize`: the flat `theta`, f there and its certificate, and f after each iteration.

    `recession` is a direction of recession if the search ended because it found one.
    """

    theta: Float64Array
    value: float
    certificate: Certificate
    converged: bool
    loss_curve: list[float]
    preconditioner: Any = None  # the last one: a Preconditioner
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
    precondition: Callable[[Any, Float64Array, float, History], Preconditioner],
    *,
    tol: float,
    max_iter: int,
    exact: Function | None = None,
    hessian: WholeHessian | None = None,
    rough_tol: float | None = None,
    initial_preconditioner: Preconditioner | None = None,
    watch: Callable[[Float64Array, list[float]], bool] | None = None,
    report: Report | None = None,
) -> Solution:
    """Minimise `function` from `start`; `precondition` builds a preconditioner for a function, at a point.

    The third argument of `precondition` is the damping, a number to add to the curvature of each parameter (K.
    Levenberg, 1944, Quarterly of Applied Mathematics 2(2), 164-168), which is positive if the previous stage's first
    step was much too long. The fourth is the history of the search: the cost allowed for a preconditioner grows with
    the iterations so far, and the form that helped most is used again.

    `exact` is the function to certify if `function` is less accurate, and `hessian` is the Hessian of `exact`, which is
    used if it is cheap enough.

    With `rough_tol`, the search ends as soon as a preconditioner, even an old one, estimates that the gap is within
    `rough_tol`. It ends without a certificate, which would cost more than the iterations to a loose tolerance.

    `initial_preconditioner` was built at a point near `start`. It saves most of the work along a path of minima.

    `watch` receives theta and the values of f after each iteration, and returns True to stop the search.

    `report` is called before each stage, and at the end with None for the preconditioner.
    """
    exact = exact or function
    point = Point.of(function, start)
    loss_curve = [point.value]
    # The estimates of the gap at which a stage counts as converged, and at which Newton steps take over.
    claim = _STAGE_TOL * tol if rough_tol is None else rough_tol
    newton_from = _NEWTON_FROM / max(1.0, hessian.evaluations if hessian else 1.0)
    recession = None
    damping, stuck, stopped = 0.0, False, False
    infimum = np.inf  # the lowest upper bound of min f so far
    lowest = exact.floor - _ASTRAY * (1 + abs(exact.floor))
    at_hand = initial_preconditioner
    stages: list[Stage] = []

    def accept(point: Point) -> bool:
        nonlocal stopped
        loss_curve.append(point.value)
        stopped = watch is not None and watch(point.theta, loss_curve)
        return stopped

    while True:
        n_iter = len(loss_curve) - 1
        newton = hessian if hessian is not None and hessian.is_affordable(n_iter) else None
        history = History(n_iter, tuple(stages), claim)
        preconditioner = at_hand or precondition(function, point.theta, damping, history)
        estimate = _estimate(preconditioner, point)
        if rough_tol is not None and estimate <= rough_tol:
            proof = Certificate(estimate, 0.0, is_bound=False)
            break
        near = tol if newton is None else max(tol, _FRESH * newton_from)
        given_up = stopped or n_iter >= max_iter or not np.isfinite(estimate)
        if function is not exact and (stuck or given_up or estimate <= near):
            rounded, function, point, stuck = point.value, exact, Point.of(exact, point.theta), False
            if not abs(point.value - rounded) <= _ASTRAY * (1 + abs(point.value)):
                point, preconditioner = Point.of(exact, start), precondition(exact, start, 0.0, history)
            loss_curve[-1] = point.value
            estimate = _estimate(preconditioner, point)
        if stuck or given_up or estimate <= near:
            if damping and np.isfinite(estimate):
                # With damping, the gap along directions of less curvature would be underestimated.
                preconditioner = precondition(exact, point.theta, 0.0, history)
            needed = hessian if hessian is not None and hessian.is_needed(preconditioner) else newton
            attempt = certify(
                exact,
                point,
                preconditioner,
                needed if np.isfinite(estimate) else None,
                tol,
                n_iter=n_iter,
                steps=Steps(0 if stopped else max_iter - n_iter, accept),
                final=stuck or given_up,
            )
            infimum = min(infimum, point.value - attempt.proof.least)
            point, preconditioner, proof = attempt.point, attempt.preconditioner, attempt.proof
            recession = attempt.recession
            if not proof.is_bound:
                proof = replace(proof, gap=max(proof.gap, point.value - infimum))
            if stuck or given_up or stopped or proof.within(tol) or recession is not None:
                break
            # The same estimate would fail again. The change that a Newton step makes is proportional to its length.
            share = min(1.0, tol / proof.gap if proof.gap > 0 else 1.0, 1.0 if proof.holds else proof.change**-2)
            claim = _STAGE_TOL * min(claim, estimate) * max(share, _LEAST_SHARE)
            newton_from = min(newton_from, claim)
        if report is not None:
            report(len(loss_curve) - 1, point.value, estimate, preconditioner)
        before = point
        begun = len(loss_curve) - 1
        length = min(preconditioner.stage_length(history.n_stages(type(preconditioner))), max_iter - begun)
        target = claim if newton is None else max(claim, newton_from)
        n_quarters = n_evaluations = 0
        if length > 0:
            point, n_quarters, n_evaluations = _stage(function, point, preconditioner, target, lowest, length, accept)
        at_hand = None
        estimate = _estimate(preconditioner, point)
        gap = max(estimate, _extrapolated(loss_curve[begun:]))
        stages.append(Stage(type(preconditioner), n_evaluations, before.value, point.value, gap))
        if estimate <= target:
            if newton is not None:
                at_hand = newton.at(point.theta)
            elif initial_preconditioner or rough_tol is not None:
                at_hand = preconditioner
        fails = not point.value < before.value
        stuck = fails and damping > _MOST_DAMPING
        if fails or n_quarters >= _TOO_MANY_QUARTERS:
            damping = max(_LEAST_DAMPING, damping * _DAMPING_STEP)
        else:
            damping = damping / _DAMPING_STEP if damping > _LEAST_DAMPING else 0.0
    if report is not None:
        report(len(loss_curve) - 1, point.value, proof.gap, None)
    converged = proof.within(tol if rough_tol is None else max(tol, rough_tol))
    return Solution(point.theta, point.value, proof, converged, loss_curve, preconditioner, stopped, recession)


class _TooLong(Exception):
    """The first step of a stage goes uphill."""


def _stage(
    function: Function,
    start: Point,
    preconditioner: Preconditioner,
    target: float,
    lowest: float,
    max_iter: int,
    accept: Callable[[Point], bool],
) -> tuple[Point, int, int]:
    """Run L-BFGS-B for one stage.

    The results are the last point that it accepted, or `start`, the number of times that its first step was quartered,
    and the number of evaluations.
    """
    evaluated = accepted = start
    gradient_at_start = gradient_in_v = preconditioner.backward(start.gradient)
    # The first step of L-BFGS-B has unit length. In units of the gradient's length it is the Newton step, which
    # outliers make up to a thousand times too long, more than the line search of L-BFGS-B can correct.
    unit = float(np.linalg.norm(gradient_at_start))

    def value_at(v: Float64Array) -> float:
        """f at v, which is in units of `unit`."""
        nonlocal evaluated, gradient_in_v
        if v.any():  # at v = 0, where L-BFGS-B begins, f is known
            is_first_step = evaluated is start
            evaluated = Point.of(function, start.theta + preconditioner.forward(unit * v))
            if is_first_step and not evaluated.value < start.value:
                raise _TooLong
            gradient_in_v = preconditioner.backward(evaluated.gradient)
        return evaluated.value

    def gradient_there(_: Float64Array) -> Float64Array:
        """The gradient at the last v, the only one that SciPy asks for. (With `jac=True` it would compare each v.)"""
        return unit * gradient_in_v

    def after_iteration(v: Float64Array) -> None:
        nonlocal accepted
        if not evaluated.value >= lowest:  # f is lower only because of rounding
            raise StopIteration
        accepted = evaluated  # the line search ends on the point that it accepts
        if accept(accepted) or np.dot(gradient_in_v, gradient_in_v) / 2 <= target:
            raise StopIteration

    memory = _MEMORY if start.theta.size <= _LARGE else _MEMORY_IF_LARGE
    # Stopping is decided above and in `minimize`, not by relative changes of f or by gradients in units of `unit`.
    options = {"maxiter": max_iter, "maxfun": 100 * max_iter, "maxcor": memory, "ftol": 0, "gtol": 0}
    for n_quarters in range(_MOST_QUARTERS):
        try:
            zero = np.zeros_like(start.theta)
            result = optimize.minimize(
                value_at, zero, jac=gradient_there, method="L-BFGS-B", callback=after_iteration, options=options
            )
            return accepted, n_quarters, n_quarters + result.nfev
        except _TooLong:
            unit, evaluated, gradient_in_v = unit / 4, start, gradient_at_start
    return start, _MOST_QUARTERS, _MOST_QUARTERS


def _estimate(preconditioner: Preconditioner, point: Point) -> float:
    """Half the squared gradient in the preconditioner's coordinates: the gap, if the preconditioner is the Hessian."""
    v = preconditioner.backward(point.gradient)
    return float(np.dot(v, v)) / 2


def _extrapolated(curve: list[float]) -> float:
    """The gap at the end of `curve` if it converges to the minimum as a geometric series."""
    first, second = curve[0] - curve[len(curve) // 2], curve[len(curve) // 2] - curve[-1]
    return second**2 / (first - second) if first > second else 0.0
