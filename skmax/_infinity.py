"""Fits whose minimum is at infinity, along coefficients without a penalty: how they are noticed and described."""

import dataclasses

import numpy as np

from skmax._certificate.base import Certificate, Point
from skmax._certificate.infinity import INFINITY, approach_infinity
from skmax._columns import ColumnStats
from skmax._hessian.whole import WholeHessian
from skmax._objective import Objective
from skmax._samples import Float64Array, LocalSamples
from skmax._separation import separation
from skmax._softmax import FloatArray, normalize_in_place
from skmax._solver import Solution
from skmax._target import Encoding

_MOST_DOUBLINGS = 40  # of a step to infinity, which outweigh offsets of 1e12


def with_separation(solution: Solution, objective: Objective, columns: ColumnStats, tol: float) -> Solution:
    """Correct the `solution` if the search has missed that free coefficients put the minimum at infinity."""
    gap = solution.value - objective.floor
    if solution.recession is not None or (solution.converged and gap > tol):
        return solution
    if gap <= tol and not n_unseparated(objective, solution.theta):
        return solution
    found = separation(objective, columns)
    if found is None:
        return solution
    if found.complete:
        # The margin of this step is log(10 n_classes / tol), so that no row's loss is more than tol. Offsets and prior
        # means may make up for that.
        start, step = _unpenalised(objective), np.log(10 * objective.n_classes / min(tol, 1.0)) * found.step
        for _ in range(_MOST_DOUBLINGS):
            theta = step if start is None else start + step
            value = objective.value(theta)
            if value <= min(tol, 1.0):
                break
            step = 2 * step
        proof = Certificate(value, 0.0, is_bound=True)
        curve = [*solution.loss_curve[:-1], value]
        return Solution(theta, value, proof, proof.within(tol), curve, solution.preconditioner)
    if not objective.recession(found.step).is_one():
        return solution
    solution = dataclasses.replace(solution, converged=False, recession=found.step)
    hessian = WholeHessian(objective, columns)
    if hessian.is_affordable(solution.n_iter):
        point = Point.of(objective, solution.theta)
        _, proof = approach_infinity(objective, point, INFINITY * found.step, hessian, solution.certificate, tol)
        if proof.holds:
            solution = dataclasses.replace(solution, certificate=proof.at_infinity())
    return solution


def _unpenalised(objective: Objective) -> Float64Array | None:
    """Parameters at which the penalty is 0 and all free coefficients are 0; None if all parameters are 0."""
    mean = objective.penalty.mean
    if mean is None or objective.penalty.is_none:
        return None
    return objective.join(mean - objective.penalty.free_part(mean), np.zeros(objective.n_logits)).ravel()


def n_unseparated(objective: Objective, theta: Float64Array) -> int:
    """The number of rows whose class has a probability of at most one half under the free part of `theta`.

    If there are none, the loss falls as the logits grow. A row whose target is spread over classes counts too, since
    its optimal logits are finite.
    """
    return objective.samples.sum(_unseparated, objective.free_part(theta), cost=objective.cost)


def _unseparated(samples: LocalSamples, within: slice, theta: Float64Array) -> int:
    """`n_unseparated` among the rows `within`."""
    parameters, count = samples.parameters(theta), 0
    for block in samples.blocks(samples.n_logits, within):
        probability = block.change(*parameters)  # offsets help no finite step, and end with larger ones
        normalize_in_place(probability)
        off = np.abs(block.residual(probability)).max(axis=0) >= 0.5
        if block.target.ndim == 2:
            off |= block.target.max(axis=1) < 1
        count += int(np.count_nonzero(block.with_positive_weight(off)))
    return count


def why_infinite(
    encoding: Encoding, objective: Objective, solution: Solution, coef: FloatArray, gap: float, tol: float
) -> str | None:
    """The text of a warning if the minimum is at infinity, else None, for a fit with this `coef` and `gap`."""
    parameter = "weight_decay" if objective.penalty.is_none else "penalty_factor"
    growth = (
        f"without error, which with {parameter}=0 puts the minimum at infinity: the coefficients, now up to "
        f"{np.abs(coef).max():.1e}, would grow without bound. Pass {parameter} > 0"
    )
    if objective.penalty.has_free and not n_unseparated(objective, solution.theta):
        return f"The model separates the classes {growth}."
    if solution.recession is None:
        return None
    change = objective.recession(solution.recession).change
    classes = encoding.present_classes[change > change.max() / 2].tolist()  # whose rows change most on the way there
    far = f" The objective is at most {gap:.1e} above its infimum." if gap > tol else ""
    return (
        f"Some rows of the classes {classes} are separated from others {growth}, or leave out the columns that "
        f"separate them.{far}"
    )
