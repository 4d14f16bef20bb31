"""Newton steps to the last digits, and a bound of the gap where they end."""

import dataclasses

import numpy as np

from skmax._certificate.base import SMALL, Attempt, Certificate, Function, LinearChange, Point, Steps
from skmax._certificate.bound import bound
from skmax._hessian.factored import FactoredHessian
from skmax._hessian.whole import WholeHessian
from skmax._samples import Float64Array

# Newton steps end at this decrement, which limits the distance of the logits from those at the minimum, in units of the
# spread of the rows. The second number of Hessians may be built whatever they cost. More of them, up to the third
# number, may be built if together they cost no more than that number of evaluations.
_LAST_DECREMENT, _LEAST_HESSIANS, _MOST_HESSIANS = 1e-10, 4, 20
# Below this decrement f no longer changes in its last digit, and a last step is taken without an evaluation.
_BLIND = 1e-8
# A step must reduce the decrement to less than this fraction. (Along a direction in which f falls without end, as
# exp(-tau), each step leaves the fraction 1/e.)
_CONTRACTS = 0.3
# If a Newton step does not reduce the decrement and is `SMALL`, rounding prevents further progress. A longer one is
# shortened, unless it changes a logit by more than the first number, or the Hessian costs more evaluations than the
# second: L-BFGS is faster in both cases.
_FARTHEST, _CHEAP = 20.0, 3.0
_AWAY = 2.0  # A bound requires a new Hessian if a logit has changed by more than this since the last one.


def by_newton(
    function: Function,
    point: Point,
    preconditioner: LinearChange,
    hessian: WholeHessian,
    tol: float,
    steps: Steps,
    final: bool,
) -> tuple[Attempt, Float64Array]:
    """Take Newton steps to the last digits, as long as each reduces the decrement considerably, and bound the gap.

    1. Take Newton steps with the Hessian of the first point. A step that does not contract is shortened by the factor
       log(1 + R) / R, the best by the inequality of `skmax._certificate.base`, which always makes f lower.
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
    too_long = 0.0  # the change R of the Newton step that ended the steps because it was too long
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
                if not SMALL <= spread <= farthest or function.receding(step) is not None:
                    too_long = spread
                    break
                candidate = Point.of(function, point.theta + np.log1p(spread) / spread * step)
                if candidate.is_above(point):
                    break
                v_there, stale = change.backward(candidate.gradient), True
            # The points may be so close that the order of their values is due to rounding.
            point = dataclasses.replace(candidate, value=min(candidate.value, point.value))
            v, decrement = v_there, float(np.linalg.norm(v_there))
            steps.take(point)
            # With a new Hessian, about three steps remain. Replace this one if it needs more, by the cost of a new one.
            stale = stale or _steps_to_go(decrement, rate) > hessian.evaluations + 3
        if not stale or n_hessians == most or steps.left <= 0:
            break
        change = hessian.at(point.theta)
    moved = 0.0 if point is base else function.largest_change(point.theta - base.theta)
    if moved > _AWAY:
        change, moved = hessian.at(point.theta), 0.0
        v = change.backward(point.gradient)
        decrement = float(np.linalg.norm(v))
    step = -change.forward(v)
    if too_long >= 1 and decrement**2 / 2 > tol and not (final or moved):
        # No bound holds, as t >= R. Leaving rows out takes several passes, and seldom reduces so large a gap to `tol`.
        proof = Certificate.of(decrement, too_long, is_bound=False)
    else:
        proof = bound(hessian, change, point.theta, np.exp(moved / 2), decrement)
        if proof.holds and decrement > _LAST_DECREMENT and rate * decrement <= _LAST_DECREMENT and steps.left > 0:
            point = dataclasses.replace(point, theta=point.theta + step)
            steps.take(point)
        if not proof.holds:
            # The bound is crude: rounding may end the steps before it holds.
            spread = function.largest_change(step)
            sure = spread < SMALL and not change.is_singular()
            proof = Certificate.of(decrement, spread if sure else max(1.0, spread), is_bound=False)
    if change.misses(point.gradient):
        proof = Certificate(np.inf, np.inf, is_bound=False)
    return Attempt(point, proof, change), step


def _steps_to_go(decrement: float, rate: float) -> float:
    """The number of steps to `_LAST_DECREMENT` if each multiplies the decrement by `rate`."""
    if decrement <= _LAST_DECREMENT or not 0 < rate < 1:
        return 0.0
    return float(np.log(_LAST_DECREMENT / decrement) / np.log(rate))
