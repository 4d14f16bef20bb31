"""Certify that a point is near the minimum: by Newton steps and a bound, or by an estimate."""

import dataclasses

import numpy as np

from skmax._certificate.base import SMALL, Attempt, Certificate, Function, LinearChange, Point, Steps
from skmax._certificate.conjugate_gradients import affordable_steps, by_conjugate_gradients
from skmax._certificate.infinity import to_infinity
from skmax._certificate.newton import by_newton
from skmax._hessian.whole import WholeHessian

_HOPELESS = 3.0  # An estimate is not refined once the gap is known to exceed `tol` by this factor.


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
    """Bound or estimate the gap at `point`, or at a lower point to which the attempt takes some of the `steps`.

    `hessian` is None if measuring the whole Hessian would take too long. The `final` attempt estimates the gap even if
    it is far above `tol`, and takes long steps, which are otherwise left to L-BFGS.
    """
    floor = Certificate(max(0.0, point.value - function.floor), 0.0, is_bound=True)
    if hessian is not None:
        attempt, step = by_newton(function, point, preconditioner, hessian, tol, steps, final)
        if not attempt.proof.holds and attempt.preconditioner.is_singular():
            # Products of the Hessian with vectors are more accurate than its factor.
            proof, _ = by_conjugate_gradients(function, attempt.point, attempt.preconditioner)
            if proof.change < SMALL:
                attempt = dataclasses.replace(attempt, proof=proof)
        floor = dataclasses.replace(floor, gap=max(0.0, attempt.point.value - function.floor))
    elif floor.within(tol):
        return Attempt(point, floor, preconditioner)
    else:
        enough = np.inf if final else _HOPELESS * tol
        proof, step = by_conjugate_gradients(function, point, preconditioner, affordable_steps(n_iter), enough)
        attempt = Attempt(point, proof, preconditioner)
    if attempt.proof.within(tol):
        return attempt
    if floor.within(tol) or not attempt.proof.gap <= floor.gap:
        return dataclasses.replace(attempt, proof=floor)
    if attempt.proof.gap <= tol and (receding := function.receding(step)) is not None:
        return to_infinity(function, attempt, receding, hessian, tol, steps)
    if hessian is None and steps.left > 0:  # otherwise they have been taken already
        # The whole step first: large changes of rows that are almost certain do no harm.
        change = attempt.proof.change
        for share in (1.0, 1 / change) if change > 1 else (1.0,):
            further = Point.of(function, point.theta + share * step)
            if further.value < point.value:
                steps.take(further)
                return dataclasses.replace(attempt, point=further)
    return attempt
