"""An estimate of the gap by conjugate gradients, for problems whose whole Hessian would take too long to measure."""

import dataclasses

import numpy as np
from scipy import linalg

from skmax._certificate.base import Certificate, Function, LinearChange, Point, lower_bound
from skmax._hessian.factored import FactoredHessian
from skmax._samples import Float64Array

# Conjugate gradients end when the residual adds no more than a fifth to the squared decrement, or after this number of
# steps or this fraction of the iterations, whichever is more. A step takes as long as two iterations, so that the
# fraction amounts to a fifth of a fit.
_GAP_SLACK, _GAP_STEPS, _GAP_STEPS_SHARE = 1.2, 10, 0.1
# If they end before the residual is small, the gap may be larger than the estimate by this factor, because of
# directions of almost no curvature.
_UNSETTLED = 30
# The least rho, and the least mean change relative to R, for which the gap follows from the penalty alone.
_LEAST_SHARE, _EVEN = 0.15, 0.2
_NO_CURVATURE = 1e-100
_NOTHING = 1e-20  # of the squared gradient: a residual that is due to rounding


def affordable_steps(n_iter: int) -> int:
    """The number of steps that a fit of `n_iter` iterations can afford."""
    return max(2, min(_GAP_STEPS, n_iter), int(_GAP_STEPS_SHARE * n_iter))


def by_conjugate_gradients(
    function: Function, point: Point, preconditioner: LinearChange, n_steps: int = _GAP_STEPS, enough: float = np.inf
) -> tuple[Certificate, Float64Array]:
    """An estimate from lambda^2 = g^T H^-1 g at `point`, by conjugate gradients on H d = g, and the Newton step -d.

    g^T d grows with every step towards lambda^2; with a good preconditioner, two or three steps are enough. The rest is
    r^T H^-1 r, with r = g - H d, which is at most ||r||^2 over the smallest eigenvalue of H in the preconditioner's
    coordinates. The smallest Ritz value estimates this eigenvalue, or 1 does if the Ritz value is larger: with a bad
    preconditioner, the first steps only explore directions of far too much curvature and carry no information on the
    others. With a weak penalty, two or three steps also miss directions of almost no curvature, unless the
    preconditioner is the whole Hessian.
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
            upper = upper if square == 0 else np.inf  # the rest is rounding
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
    if 1 <= change < np.inf:
        rho = min(1.0, function.penalty_curvature(step) / decrement)
        if rho >= _LEAST_SHARE and function.mean_change(step) >= _EVEN * change:
            proof = Certificate(upper / (2 * rho), change, is_bound=False, by_penalty=True)
    doubt = _UNSETTLED if in_doubt and not settled else 1.0
    return dataclasses.replace(proof, least=lower_bound(decrement, change), doubt=doubt), step
