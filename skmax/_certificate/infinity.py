"""The gap if f falls without end along some direction, so that its minimum is at infinity."""

import dataclasses

import numpy as np

from skmax._certificate.base import SMALL, Attempt, Certificate, Function, Point, Steps
from skmax._hessian.whole import WholeHessian
from skmax._samples import Float64Array

INFINITY = 800.0  # a change of logits tau for which exp(-tau) underflows
_MOST_STEPS = 20  # of Newton's, far along the direction


def to_infinity(
    function: Function, attempt: Attempt, step: Float64Array, hessian: WholeHessian | None, tol: float, steps: Steps
) -> Attempt:
    """Continue an `attempt` that found the direction of recession `step`: estimate the gap in the other directions."""
    whole = INFINITY / function.largest_change(step) * step
    far, proof = approach_infinity(function, attempt.point, whole, hessian, attempt.proof, tol)
    if proof.holds and proof.gap <= tol:
        return dataclasses.replace(attempt, proof=proof.at_infinity(), recession=step)
    if far.value < attempt.point.value and steps.left > 0:
        steps.take(far)
        return dataclasses.replace(attempt, point=far)
    return attempt


def approach_infinity(
    function: Function, point: Point, step: Float64Array, hessian: WholeHessian | None, proof: Certificate, tol: float
) -> tuple[Point, Certificate]:
    """A point far along `step`, and the certificate of `point` that it implies.

    Far enough along a direction of recession, f has fallen along it by all but what underflows. There f has a minimum
    in the other directions, to which Newton steps lead, or another direction of recession. If Newton steps do not lead
    there, the apparent direction of recession may be due to outliers, and the search continues from the point far
    along. Without a `hessian`, `proof` stands for the gap in the other directions.
    """
    far = Point.of(function, point.theta + step)
    proof = dataclasses.replace(proof, change=0.0)
    for _ in range(_MOST_STEPS if hessian is not None else 0):
        change = hessian.roughly_at(far.theta)  # type: ignore[union-attr]
        v = change.backward(far.gradient)
        onwards = -change.forward(v)
        spread = function.largest_change(onwards)
        proof = Certificate.of(float(np.linalg.norm(v)), spread, is_bound=False)
        if spread < SMALL and proof.gap <= tol / 10:
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
