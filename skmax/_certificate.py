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
from scipy import linalg

from skmax._hessian import FactoredHessian, WholeHessian
from skmax._samples import Float64Array

# Below this t, psi equals 1/2 + t/6 to the digits that its own formula would lose.
_FLAT = 1e-4
# Newton steps end at this decrement: logits are then within this distance, times the spread of the rows, of those at
# the minimum. The second number of Hessians may be built whatever they cost, up to the third if they cost no more than
# as many evaluations.
_LAST_DECREMENT, _LEAST_HESSIANS, _MOST_HESSIANS = 1e-10, 4, 20
# From this decrement, where f has no digits left, a last step is taken without an evaluation.
_BLIND = 1e-8
# A step must reduce the decrement to less than this share of it. (Along a direction in which f falls for ever, as
# exp(-tau), each step leaves 1/e of it.)
_CONTRACTS = 0.3
# A Newton step that does not reduce the decrement has reached the limit of rounding if it changes every logit by less
# than the first number. Otherwise it is shortened, unless it changes a logit by more than the second number, or the
# Hessian costs more evaluations than the third: L-BFGS does better in both cases.
_SMALL, _FARTHEST, _CHEAP = 0.1, 20.0, 3.0
_AWAY = 2.0  # the change of a logit since the Hessian was measured, beyond which a bound requires a new one
_ROUNDING = 1e-12  # of f, relative to 1 + |f|
INFINITY = 800.0  # a change of logits tau for which exp(-tau) underflows
# How often rows are left out of a bound, and the change that a step as long as the decrement makes in the logits of a
# row, beyond which the row is left out.
_DROPS, _NEAR = 3, 0.1
# Conjugate gradients end where the residual adds no more than a fifth to the squared decrement, or after this number of
# steps or this share of the iterations, whichever is more: a fifth of a fit, as a step takes as long as two iterations.
_GAP_SLACK, _GAP_STEPS, _GAP_STEPS_SHARE = 1.2, 10, 0.1
# How many times as large as the estimate the gap may be if they end before that, as they have not seen directions of
# next to no curvature.
_UNSETTLED = 30
_NO_CURVATURE, _NOTHING = 1e-100, 1e-20  # the latter of the squared gradient, which rounding leaves
_HOPELESS = 3.0  # times `tol`: the estimate of a gap that is known to be larger is not refined


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
        t. The gap is meaningful only if this is below 1.
    is_bound : bool
        Whether the gap is an upper bound and not just an estimate.
    least : float
        A lower bound of the gap.
    doubt : float
        How many times as large the gap may be.
    """

    gap: float
    change: float
    is_bound: bool
    least: float = 0.0
    doubt: float = 1.0

    @classmethod
    def of(cls, decrement: float, change: float, *, is_bound: bool) -> "Certificate":
        """The certificate that follows from the Newton decrement lambda and the `change` t."""
        return cls(float(decrement) ** 2 * _psi(change), float(change), is_bound)

    @property
    def holds(self) -> bool:
        return self.change < 1

    def within(self, tol: float) -> bool:
        return bool(self.holds and self.doubt * self.gap <= tol)


def _psi(t: float) -> float:
    if t < _FLAT:
        return 1 / 2 + t / 6
    return float((t + (1 - t) * np.log1p(-t)) / t**2) if t < 1 else 1.0


def _least(square: float, change: float) -> float:
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


def certify(
    function: Function,
    point: Point,
    preconditioner: LinearChange,
    hessian: WholeHessian | None,
    tol: float,
    *,
    n_iter: int,
    steps: Steps,
    final: bool,
) -> Attempt:
    """Bound or estimate the gap at `point`, or at a lower point that `steps` lead to on the way.

    `hessian` is None where measuring the whole Hessian would take too long. The `final` attempt estimates the gap even
    if it is far above `tol`, and takes steps that are normally left to L-BFGS, which is better at them.
    """
    floor = Certificate(max(0.0, point.value - function.floor), 0.0, is_bound=True)
    if hessian is not None:
        attempt, step = _by_newton(function, point, preconditioner, hessian, steps, final)
        if not attempt.proof.holds and attempt.preconditioner.is_singular():
            # Products of the Hessian with vectors have more digits than its factor.
            proof, _ = _by_conjugate_gradients(function, attempt.point, attempt.preconditioner, _GAP_STEPS, np.inf)
            if proof.change < _SMALL:
                attempt = dataclasses.replace(attempt, proof=proof)
        floor = dataclasses.replace(floor, gap=max(0.0, attempt.point.value - function.floor))
    elif floor.within(tol):
        return Attempt(point, floor, preconditioner)
    else:
        n_products = max(2, min(_GAP_STEPS, n_iter), int(_GAP_STEPS_SHARE * n_iter))
        enough = np.inf if final else _HOPELESS * tol
        proof, step = _by_conjugate_gradients(function, point, preconditioner, n_products, enough)
        attempt = Attempt(point, proof, preconditioner)
    if attempt.proof.within(tol):
        return attempt
    if floor.within(tol) or not attempt.proof.gap <= floor.gap:
        return dataclasses.replace(attempt, proof=floor)
    if attempt.proof.gap <= tol and (receding := function.receding(step)) is not None:
        return _to_infinity(function, attempt, receding, hessian, tol, steps)
    if hessian is None and steps.left > 0:  # otherwise they have been taken already
        further = Point.of(function, point.theta + step / max(1.0, attempt.proof.change))
        if further.value < point.value:
            steps.take(further)
            return dataclasses.replace(attempt, point=further)
    return attempt


def _by_newton(
    function: Function,
    point: Point,
    preconditioner: LinearChange,
    hessian: WholeHessian,
    steps: Steps,
    final: bool,
) -> tuple[Attempt, Float64Array]:
    """Newton steps to the last digits, as long as each reduces the decrement a lot, and a bound of the gap.

    1. Take Newton steps with the Hessian of the first point. A step that does not contract is shortened by the factor
       log(1 + R) / R, the best by the inequality of the module's docstring, which always makes f lower.
    2. If the steps ended because the Hessian is out of date, go to 1 with a new one at the point where they ended.
    3. Bound the gap. The bound accounts for the change of the Hessian since it was built, a factor of at most exp(R).

    The second value is the next Newton step.
    """
    if isinstance(preconditioner, FactoredHessian) and preconditioner.exact_at is point.theta:
        change = preconditioner
    else:
        change = hessian.at(point.theta)
    most = max(_LEAST_HESSIANS, min(_MOST_HESSIANS, int(_MOST_HESSIANS / hessian.evaluations)))
    farthest = np.inf if final else _FARTHEST if hessian.evaluations <= _CHEAP else 0.0
    for n_hessians in range(1, most + 1):
        base, v = point, change.backward(point.gradient)
        decrement, rate, stale = float(np.linalg.norm(v)), _CONTRACTS, False
        while not (decrement <= _BLIND and rate * decrement <= _LAST_DECREMENT) and not stale and steps.left > 0:
            step = -change.forward(v)
            candidate = Point.of(function, point.theta + step)
            v_there = change.backward(candidate.gradient)
            rate = float(np.linalg.norm(v_there)) / decrement
            if not rate < _CONTRACTS or candidate.is_above(point):
                spread = function.largest_change(step)
                if not _SMALL <= spread <= farthest or function.receding(step) is not None:
                    break
                candidate = Point.of(function, point.theta + np.log1p(spread) / spread * step)
                if candidate.is_above(point):
                    break
                v_there, stale = change.backward(candidate.gradient), True
            # The points are so close that only rounding decides at which one f is lower.
            point = dataclasses.replace(candidate, value=min(candidate.value, point.value))
            v, decrement = v_there, float(np.linalg.norm(v_there))
            steps.take(point)
            # A new Hessian needs three steps. It pays if this one needs more than these and the cost of a new one.
            stale = stale or _steps_to_go(decrement, rate) > hessian.evaluations + 3
        if not stale or n_hessians == most or steps.left <= 0:
            break
        change = hessian.at(point.theta)
    moved = 0.0 if point is base else function.largest_change(point.theta - base.theta)
    if moved > _AWAY:
        change, moved = hessian.at(point.theta), 0.0
        v = change.backward(point.gradient)
        decrement = float(np.linalg.norm(v))
    proof = _bound(hessian, change, point.theta, np.exp(moved / 2), decrement)
    step = -change.forward(v)
    if proof.holds and decrement > _LAST_DECREMENT and rate * decrement <= _LAST_DECREMENT and steps.left > 0:
        point = dataclasses.replace(point, theta=point.theta + step)
        steps.take(point)
    if not proof.holds:
        # Rounding may end the steps before the bound, which is crude, holds.
        spread = function.largest_change(step)
        sure = spread < _SMALL and not change.is_singular()
        proof = Certificate.of(decrement, spread if sure else max(1.0, spread), is_bound=False)
    return Attempt(point, proof, change), step


def _steps_to_go(decrement: float, rate: float) -> float:
    """The number of steps to `_LAST_DECREMENT`, if each reduces the decrement by the factor `rate`."""
    if decrement <= _LAST_DECREMENT or not 0 < rate < 1:
        return 0.0
    return float(np.log(_LAST_DECREMENT / decrement) / np.log(rate))


def _bound(
    hessian: WholeHessian, change: FactoredHessian, theta: Float64Array, stretch: float, decrement: float
) -> Certificate:
    """A bound of the gap at `theta` from the Hessian of a nearby point in `change`, without some rows if necessary.

    A step of unit length in the Hessian at `theta` has at most the length `stretch` in that of `change`, which is also
    what `decrement` is measured in.
    """
    first = proof = Certificate.of(stretch * decrement, stretch**2 * hessian.reach(change) * decrement, is_bound=True)
    dropped, share = 0.0, 1.0
    for _ in range(_DROPS):
        if proof.holds:
            return dataclasses.replace(proof, gap=float(share * proof.gap + dropped))
        rest = hessian.without_far_rows(theta, change, _NEAR / (stretch**2 * decrement)) if decrement > 0 else None
        if rest is None:
            break
        hessian, loss, factor = rest
        dropped, share = dropped + share * loss, share * factor
        change = hessian.at(theta)
        stretch, decrement = 1.0, float(np.linalg.norm(change.backward(hessian.objective(theta)[1])))
        proof = Certificate.of(decrement, hessian.reach(change) * decrement, is_bound=True)
    return first


def _by_conjugate_gradients(
    function: Function, point: Point, preconditioner: LinearChange, n_steps: int, enough: float
) -> tuple[Certificate, Float64Array]:
    """An estimate from lambda^2 = g^T H^-1 g at `point`, by conjugate gradients on H d = g, and the Newton step -d.

    g^T d grows with every step towards lambda^2; with a good preconditioner, two or three steps are enough. The rest is
    r^T H^-1 r, with r = g - H d, which is at most ||r||^2 over the smallest eigenvalue of H in the preconditioner's
    coordinates. That is estimated by the smallest Ritz value, or by 1 if the Ritz value is larger: the first steps,
    which a bad preconditioner wastes on directions of far too much curvature, say nothing about the others. With a weak
    penalty, and unless the preconditioner stands for the whole Hessian, two or three steps do not see directions of
    next to no curvature.
    """
    in_doubt = function.has_weak_penalty and not isinstance(preconditioner, FactoredHessian)
    least_steps = _GAP_STEPS if in_doubt else 2
    residual = preconditioner.backward(point.gradient)
    direction, square, decrement = residual, float(np.dot(residual, residual)), 0.0
    newton, upper, settled, nothing = np.zeros_like(residual), square, square == 0, _NOTHING * square
    # The tridiagonal matrix of the Lanczos vectors: its diagonal and the numbers beside it.
    diagonal: list[float] = []
    beside: list[float] = []
    ratio, last = 0.0, 0.0
    for n in range(n_steps):
        product = preconditioner.backward(function.hessian_product(point.theta, preconditioner.forward(direction)))
        curvature = float(np.dot(direction, product)) / square if square > 0 else 0.0
        if not 0 < curvature < np.inf:
            upper = upper if square == 0 else np.inf  # only rounding is left
            break
        diagonal.append(curvature + ratio * last)
        decrement += square / curvature
        newton = newton + direction / curvature
        residual = residual - product / curvature
        ratio, last = 1 / square, curvature
        square = float(np.dot(residual, residual))
        ratio *= square
        smallest = diagonal[0]
        if n:  # older LAPACK wrappers refuse a matrix of one number
            smallest = float(linalg.eigvalsh_tridiagonal(diagonal, beside, select="i", select_range=(0, 0))[0])
        upper = decrement + square / min(1.0, smallest) if smallest > _NO_CURVATURE else np.inf
        settled = square <= nothing or (n + 1 >= least_steps and upper <= _GAP_SLACK * decrement)
        if settled or decrement / 2 > enough:
            break
        beside.append(curvature * np.sqrt(ratio))
        direction = residual + ratio * direction
    step = -preconditioner.forward(newton)
    change = function.largest_change(step) if np.isfinite(upper) else np.inf
    proof = Certificate.of(np.sqrt(upper), change, is_bound=False)
    doubt = _UNSETTLED if in_doubt and not settled else 1.0
    return dataclasses.replace(proof, least=_least(decrement, change), doubt=doubt), step


def _to_infinity(
    function: Function,
    attempt: Attempt,
    step: Float64Array,
    hessian: WholeHessian | None,
    tol: float,
    steps: Steps,
) -> Attempt:
    """`attempt` where f falls for ever along `step`, if the remaining gain in other directions can be estimated."""
    whole = INFINITY / function.largest_change(step) * step
    far, proof = approach_infinity(function, attempt.point, whole, hessian, attempt.proof, tol)
    if proof.holds and proof.gap <= tol:
        # This is never a certificate: there is no minimum that the point could be near.
        return dataclasses.replace(attempt, proof=dataclasses.replace(proof, change=np.inf), recession=step)
    if far.value < attempt.point.value and steps.left > 0:
        steps.take(far)
        return dataclasses.replace(attempt, point=far)
    return attempt


def approach_infinity(
    function: Function,
    point: Point,
    step: Float64Array,
    hessian: WholeHessian | None,
    proof: Certificate,
    tol: float,
) -> tuple[Point, Certificate]:
    """A point beyond `step`, and what is known of the gap at `point` by it.

    At a point so far along a direction that its own gain is exhausted, except for what underflows, f has a minimum in
    the other directions, or falls for ever along one of them as well. Newton steps lead there. If they do not, what
    looked like a direction to infinity may be the effect of outliers, and the search continues from the point far
    along. Without a `hessian`, `proof` stands for the gap in the other directions.
    """
    far = Point.of(function, point.theta + step)
    proof = dataclasses.replace(proof, change=0.0)
    for _ in range(_MOST_HESSIANS if hessian is not None else 0):
        change = hessian.roughly_at(far.theta)  # type: ignore[union-attr]
        v = change.backward(far.gradient)
        onwards = -change.forward(v)
        spread = function.largest_change(onwards)
        proof = Certificate.of(float(np.linalg.norm(v)), spread, is_bound=False)
        if spread < _SMALL and proof.gap <= tol / 10:
            break
        receding = function.receding(onwards)
        if receding is not None:
            onwards, spread = receding, function.largest_change(receding)
        share = INFINITY / spread if receding is not None else np.log1p(spread) / spread
        candidate = Point.of(function, far.theta + share * onwards)
        if candidate.is_above(far):
            break
        far = candidate
    return far, dataclasses.replace(proof, gap=proof.gap + max(0.0, point.value - far.value), is_bound=False)
