"""L-BFGS in stages: each in the coordinates of a preconditioner built where the last one ended.

1. Build a preconditioner at theta.
2. Where half the squared gradient in its coordinates, its estimate of the gap f - min f, is within `tol`, certify:
   with the whole Hessian, where that is not much work, take Newton steps to the last digits and bound the gap; else
   estimate it by conjugate gradients. Converged if the gap is within `tol` (see `skmax._certificate`).
3. Otherwise run L-BFGS-B in its coordinates until the estimate, which grows old, is well within `tol`, or the stage has
   had its share of iterations, or the line search can do no better. Go to 1.

Stages may run on a function of fewer digits, such as one of float32 products. What is certified is the exact one; where
they differ by more than is left to gain, the stages go on with that.

Outliers make first steps of a stage too long. They are shortened, and where that is not enough, a curvature is added to
that of all parameters of the next preconditioner: its caution.

R. H. Byrd, P. Lu, J. Nocedal and C. Zhu (1995). A limited memory algorithm for bound constrained optimization.
SIAM Journal on Scientific Computing 16(5), 1190-1208.
S. Boyd and L. Vandenberghe (2004). Convex Optimization. Section 9.5.1, the Newton decrement.
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy import linalg, optimize

from skmax._certificate import Certificate, certificate
from skmax._preconditioner import FullPreconditioner, Preconditioner, WholeHessian
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
# With the whole Hessian, Newton steps begin at this estimate of the gap: a decrement of 1/200.
_NEWTON_FROM, _NEAR = 1e-5, 10
# Newton steps end at this decrement: logits are then within as much of those of the minimum, times the spread that
# rows have. For them at least, and at most, so many Hessians are built, within as many evaluations as the most.
_LAST_DECREMENT, _LEAST_HESSIANS, _MOST_HESSIANS = 1e-10, 4, 20
# What a step must leave less of: along a direction in which f falls for ever, as exp(-tau), it leaves 1/e of it for ever.
_CONTRACTS = 0.3
_INFINITY = 50.0  # a change of logits after which nothing but rounding is left of exp(-tau)
_ROUNDING = 1e-12  # of f, relative to 1 + |f|
# A Newton step that changes a logit by more than the smaller is shortened if it does not do; L-BFGS is better at one that
# changes one by more than the larger.
_SMALL, _FARTHEST = 0.1, 20.0
# Conjugate gradients end where what is left of the gradient can add no more than the decrement so far, or after so many
# steps or this share of the iterations: a fifth of a fit, as a step takes as long as two iterations.
_GAP_SLACK, _GAP_STEPS, _GAP_STEPS_SHARE = 2.0, 10, 0.1


class Function(Protocol):
    """What is minimised: f and its gradient, and the product of its Hessian with a vector."""

    def __call__(self, theta: Float64Array) -> tuple[float, Float64Array]: ...

    def hessian_product(self, theta: Float64Array, direction: Float64Array) -> Float64Array: ...

    @property
    def floor(self) -> float:
        """What f is nowhere below."""

    def largest_change(self, step: Float64Array) -> float:
        """The R of `skmax._certificate` for `step`."""

    def recedes(self, step: Float64Array) -> bool:
        """Whether f falls for ever along `step`."""


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
    precondition: Callable[[Float64Array, float, int], Preconditioner],
    *,
    tol: float,
    max_iter: int,
    exact: Function | None = None,
    hessian: WholeHessian | None = None,
    first: Preconditioner | None = None,
    watch: Callable[[Float64Array, list[float]], bool] | None = None,
    report: Callable[[int, float, float], None] | None = None,
) -> Solution:
    """Minimise `function` from `start`; `precondition` builds a preconditioner at the point that it is given.

    Its second argument is the caution: a curvature to add to each parameter's, as K. Levenberg (1944, Quarterly of
    Applied Mathematics 2(2), 164-168) did, where the last stage's first step was much too long. Its third is the number
    of iterations so far, of which a preconditioner may cost a part.

    `exact` is the function to certify, where `function` has fewer digits, and `hessian` its Hessian, where it pays.

    `first` is a preconditioner to begin with, of a point near `start`, which saves most of the work where a path of
    minima is followed.

    `watch` sees theta and f so far after each iteration, and stops the search by True.

    `report` is told the number of iterations, f and the estimated gap before each stage and at the end.
    """
    exact = exact or function
    point = _Point.of(function, start)
    loss_curve = [point.value]
    # The estimates with which a stage claims to have converged, or to be where Newton steps do.
    claim, newton_from = _STAGE_TOL * tol, _NEWTON_FROM
    n_stages, caution, stuck, stopped = 0, 0.0, False, False
    at_hand, recession = first, None
    while True:
        n_iter = len(loss_curve) - 1
        n_left = max_iter - n_iter
        newton = hessian is not None and hessian.pays(n_iter)
        preconditioner = at_hand or precondition(point.theta, caution, n_iter)
        estimate = _estimate(preconditioner, point)
        near = max(tol, _NEAR * newton_from) if newton else tol
        ends = stuck or stopped or n_left <= 0 or not np.isfinite(estimate)
        if function is not exact and (ends or estimate <= near):
            function, point, stuck = exact, _Point.of(exact, point.theta), False
            loss_curve[-1] = point.value
            estimate = _estimate(preconditioner, point)
            ends = stopped or n_left <= 0 or not np.isfinite(estimate)
        if ends or estimate <= near:
            if newton and np.isfinite(estimate):
                if not (isinstance(preconditioner, FullPreconditioner) and preconditioner.exact_at is point.theta):
                    preconditioner = hessian.at(point.theta)
                steps = 0 if stopped else n_left
                point, preconditioner, proof, step = _newton(
                    exact, point, preconditioner, hessian, tol, steps, loss_curve, np.inf if ends else _FARTHEST
                )
                if not proof.within(tol) and point.value - exact.floor <= tol:
                    proof = Certificate(max(0.0, point.value - exact.floor), holds=True, is_bound=True)
            elif point.value - exact.floor <= tol:
                step = np.zeros_like(point.theta)
                proof = Certificate(max(0.0, point.value - exact.floor), holds=True, is_bound=True)
            else:
                n_steps = max(_GAP_STEPS, int(_GAP_STEPS_SHARE * n_iter))
                enough = np.inf if ends else 3 * tol
                proof, step = _by_conjugate_gradients(exact, point, preconditioner, n_steps, enough)
                if not (ends or proof.within(tol) or exact.recedes(step)):
                    further = _Point.of(exact, point.theta + step / max(1.0, proof.change))
                    if further.value < point.value:
                        point = further
                        loss_curve.append(point.value)
            if not proof.within(tol) and proof.gap <= tol and exact.recedes(step):
                far, there = _far_along(exact, point, step, preconditioner, hessian if newton else None)
                if there.within(tol):
                    # Of what is left to gain, nearly all is between here and there.
                    gap = there.gap + max(0.0, point.value - far.value)
                    proof, recession = dataclasses.replace(there, gap=gap, holds=True), step
                elif far.value < point.value and not ends:
                    point, proof = far, there
                    loss_curve.append(point.value)
            if ends or proof.within(tol):
                break
            # The same claim again would end in the same way. The change that a Newton step makes falls with its length.
            claim = _STAGE_TOL * min(claim, estimate) * min(1.0, max(tol / proof.gap, 1e-3), max(proof.change**-2, 1e-3))
            newton_from = min(newton_from, claim)
            n_left = max_iter - (len(loss_curve) - 1)
        if report is not None:
            report(len(loss_curve) - 1, point.value, estimate)
        before, length = point, min(preconditioner.stage_length(n_stages), n_left)
        target = max(claim, newton_from) if newton else claim
        point, n_quarters, stopped = _stage(function, point, preconditioner, loss_curve, target, length, watch)
        at_hand = None
        if _estimate(preconditioner, point) <= target:
            if newton:
                at_hand = hessian.at(point.theta)
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
    return Solution(point.theta, point.value, proof, proof.within(tol), loss_curve, preconditioner, stopped, recession)


@dataclass(frozen=True)
class _Point:
    theta: Float64Array
    value: float
    gradient: Float64Array

    @classmethod
    def of(cls, function: Function, theta: Float64Array) -> "_Point":
        return cls(theta, *function(theta))


def _newton(
    function: Function,
    point: _Point,
    change: FullPreconditioner,
    hessian: WholeHessian,
    tol: float,
    max_iter: int,
    loss_curve: list[float],
    farthest: float,
) -> tuple[_Point, FullPreconditioner, Certificate, Float64Array]:
    """Newton steps to the last digits, as long as each leaves a small part of the decrement, and a bound of the gap.

    Also the Hessian of the bound, which is that of a point before some of the steps: what they change is accounted for.
    And the Newton step at the end.
    """
    n_hessians, most = 1, max(_LEAST_HESSIANS, min(_MOST_HESSIANS, int(_MOST_HESSIANS / hessian.evaluations)))
    while True:
        base, step = point, change.backward(point.gradient)
        decrement, stale, ended = float(np.linalg.norm(step)), False, False
        while decrement > _LAST_DECREMENT and not (stale or ended) and max_iter > 0:
            direction = -change.forward(step)
            next_point = _Point.of(function, point.theta + direction)
            next_step = change.backward(next_point.gradient)
            rate = float(np.linalg.norm(next_step)) / decrement
            if not (rate < _CONTRACTS and _not_above(next_point, point)):
                spread = function.largest_change(direction)
                ended = spread < _SMALL or spread > farthest or n_hessians == most  # at rounding, or too far
                if ended or function.recedes(direction):
                    break
                next_point = _Point.of(function, point.theta + np.log1p(spread) / spread * direction)
                ended = not _not_above(next_point, point)
                if ended:
                    break
                next_step, stale = change.backward(next_point.gradient), True
            # Of points so close, f cannot tell which is lower but by its rounding.
            point = _Point(next_point.theta, min(next_point.value, point.value), next_point.gradient)
            step, decrement, max_iter = next_step, float(np.linalg.norm(next_step)), max_iter - 1
            loss_curve.append(point.value)
            # Another Hessian, with which three steps are enough, where this one needs more than it takes to build that.
            stale = stale or _steps_to_go(decrement, rate) > hessian.evaluations + 3
        moved = 0.0 if point is base else function.largest_change(point.theta - base.theta)
        stretch = np.exp(min(moved, 100.0) / 2)
        proof = hessian.bound(change, point.theta, stretch, decrement)
        done = decrement <= _LAST_DECREMENT or max_iter <= 0 or n_hessians == most
        if (proof.within(tol) and (done or ended)) or not stale:
            break
        change = hessian.at(point.theta)
        n_hessians += 1
    left = -change.forward(step)
    if not proof.holds and not function.recedes(left):
        # The bound asks for more than there is where columns are redundant but for rounding, or nearly. Steps that end
        # at such a small one, by rounding and not by outliers, have ended at the minimum all the same.
        newton = function.largest_change(left)
        if newton < _SMALL:
            proof = certificate(stretch * decrement, newton, is_bound=False)
    return point, change, proof, left


def _far_along(
    function: Function,
    point: _Point,
    step: Float64Array,
    preconditioner: Preconditioner,
    hessian: WholeHessian | None,
) -> tuple[_Point, Certificate]:
    """The point so far along `step`, a direction in which f falls for ever, that no more can be gained by it.

    And an estimate of what can be gained there otherwise: outliers that are far enough away look like infinity.
    """
    far = _Point.of(function, point.theta + _INFINITY / function.largest_change(step) * step)
    change = preconditioner if hessian is None else hessian.roughly_at(far.theta)
    left = change.backward(far.gradient)
    onwards = -change.forward(left)
    spread = function.largest_change(onwards)
    proof = certificate(float(np.linalg.norm(left)), spread, is_bound=False)
    return far, dataclasses.replace(proof, holds=proof.holds or function.recedes(onwards))


def _not_above(point: _Point, other: _Point) -> bool:
    """Whether f is lower, as far as its rounding tells."""
    return point.value <= other.value + _ROUNDING * (1 + abs(other.value))


def _steps_to_go(decrement: float, rate: float) -> float:
    """To `_LAST_DECREMENT`, if each leaves `rate` of the decrement."""
    return np.log(_LAST_DECREMENT / decrement) / np.log(rate) if 0 < rate < 1 else 0.0


def _by_conjugate_gradients(
    function: Function, point: _Point, preconditioner: Preconditioner, n_steps: int, enough: float
) -> tuple[Certificate, Float64Array]:
    """An estimate by lambda^2 = g^T H^-1 g at `point`, from conjugate gradients on H d = g; and the Newton step -d.

    g^T d grows with every step towards lambda^2, and a good preconditioner needs two or three. What is left is
    r^T H^-1 r, with r = g - H d, and at most ||r||^2 over the smallest eigenvalue of H in the preconditioner's
    coordinates. The smallest Ritz value stands for that, or 1 where it is larger: first steps that a bad preconditioner
    wastes on directions of far too much curvature tell nothing of the others.
    """
    residual = preconditioner.backward(point.gradient)
    direction, square, decrement = residual, float(np.dot(residual, residual)), 0.0
    newton, upper = np.zeros_like(residual), square
    diagonal, beside, ratio, last_curvature = [], [], 0.0, 0.0  # of the tridiagonal matrix of the Lanczos vectors
    for step in range(n_steps):
        product = preconditioner.backward(function.hessian_product(point.theta, preconditioner.forward(direction)))
        curvature = float(np.dot(direction, product)) / square if square > 0 else 0.0
        if not 0 < curvature < np.inf:
            break
        diagonal.append(curvature + ratio * last_curvature)
        decrement += square / curvature
        newton = newton + direction / curvature
        residual = residual - product / curvature
        last, square = square, float(np.dot(residual, residual))
        smallest = linalg.eigvalsh_tridiagonal(diagonal, beside, select="i", select_range=(0, 0))[0]
        upper = decrement + square / min(1.0, max(smallest, np.finfo(float).tiny))
        if decrement / 2 > enough or (step and upper <= _GAP_SLACK * decrement):
            break
        ratio, last_curvature = square / last, curvature
        beside.append(curvature * np.sqrt(ratio))
        direction = residual + ratio * direction
    step = -preconditioner.forward(newton)
    return certificate(np.sqrt(upper), function.largest_change(step), is_bound=False), step


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
