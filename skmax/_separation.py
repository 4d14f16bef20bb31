"""Whether classes are separated, so that the minimum without weight decay is at infinity: a linear programme.

The objective falls without end along a direction of recession, which makes the logits z_i of no row i worse,

    z_iy - z_ik >= 0    for a class y of the row and each class k, with equality where k is one of its classes too,

unless the direction changes all logits of each row by the same amount. A sum of such directions is another one.
Therefore one direction separates every pair (i, k) that any direction separates, and it has the largest sum of the
slacks s_ik in

    z_iy - z_ik >= s_ik,    0 <= s_ik <= 1.

If all slacks are 1, the classes are separated without error, and the infimum of the objective is 0. The programme does
not depend on the weights and lengths of the rows. The search for the minimum does: outliers, and weights over many
orders of magnitude, can hide a separation from it. The programme is solved if that search does not settle the question.

Only coefficients without a penalty may change. Offsets do not matter, as they do not grow with the step.

A. Albert and J. A. Anderson (1984). On the existence of maximum likelihood estimates in logistic regression models.
Biometrika 71(1), 1-10. K. Konis (2007). Linear programming algorithms for detecting separated data in binary logistic
regression models. PhD thesis, University of Oxford.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, sparse

from skmax._columns import ColumnStats
from skmax._objective import Objective
from skmax._samples import Float64Array, LocalSamples

# The largest number of elements in the table of constraints, which takes HiGHS a few seconds.
_LARGEST_PROGRAMME = 2**20


@dataclass(frozen=True)
class Separation:
    """A `step` in theta that is a direction of recession.

    The least z_iy - z_ik of the pairs that it separates is 1. It is `complete` if it separates all pairs.
    """

    step: Float64Array
    complete: bool


def separation(objective: Objective, columns: ColumnStats) -> Separation | None:
    """The direction without a penalty that separates most pairs; None if there is none, or too large a programme."""
    n_rows, size = objective.samples.n_samples, objective.n_logits * objective.n_columns
    if n_rows * objective.n_classes * size > _LARGEST_PROGRAMME:
        return None
    parts = objective.samples.sum(_rows_with_weight, columns, cost=objective.cost)
    x, y = (np.concatenate(part) for part in zip(*parts, strict=True))
    median = np.array([np.median(column[column > 0]) if column.any() else 1.0 for column in np.abs(x).T])
    scaled = x / median
    scaled /= np.maximum(np.abs(scaled).max(axis=1, keepdims=True), np.finfo(np.float64).tiny)
    own = y.argmax(axis=1)
    # The logits of the classes from those that there are parameters for.
    logits = np.eye(objective.n_classes)[:, objective.n_classes - objective.n_logits :]
    ahead = logits[own][:, None] - logits
    other, same = y == 0, (y > 0) & (np.arange(objective.n_classes) != own[:, None])
    above, equal = (_products(ahead, scaled, pairs) for pairs in (other, same))
    n_slacks = len(above)
    free = objective.join(
        np.broadcast_to(objective.penalty.free, (objective.n_logits, objective.n_features)),
        np.ones(objective.n_logits, dtype=bool),
    ).ravel()
    result = optimize.linprog(
        np.r_[np.zeros(size), -np.ones(n_slacks)],
        A_ub=sparse.hstack([sparse.csr_array(-above), sparse.eye_array(n_slacks)]) if n_slacks else None,
        b_ub=np.zeros(n_slacks) if n_slacks else None,
        A_eq=sparse.hstack([sparse.csr_array(equal), sparse.csr_array((len(equal), n_slacks))]) if len(equal) else None,
        b_eq=np.zeros(len(equal)) if len(equal) else None,
        bounds=[(None, None) if is_free else (0, 0) for is_free in free] + [(0, 1)] * n_slacks,
    )
    if result.x is None:
        return None
    separated = result.x[size:] > 0.5
    direction = result.x[:size].reshape(objective.n_logits, -1) / median
    margin = (_products(ahead, x, other) @ direction.ravel())[separated].min(initial=np.inf)
    if not 0 < margin < np.inf:
        return None
    step = columns.step(direction / margin, objective.fit_intercept).ravel()
    return Separation(step, complete=bool(separated.all()) and not same.any())


def _rows_with_weight(
    samples: LocalSamples, within: slice, columns: ColumnStats
) -> list[tuple[Float64Array, Float64Array]]:
    """Standardized columns and target distributions, with a row of each for each sample."""
    parts = []
    for block in samples.blocks(samples.n_columns, within):
        target = block.class_major_target()
        if target.ndim == 1:
            target = np.equal.outer(np.arange(samples.n_classes), target).astype(np.float64)
        standardized = columns.standardized(block, samples.fit_intercept)
        parts.append((block.with_positive_weight(standardized), block.with_positive_weight(target.T)))
    return parts


def _products(ahead: Float64Array, x: Float64Array, pairs: NDArray[np.bool_]) -> Float64Array:
    """The coefficients of the parameters in z_iy - z_ik, with a row for each of `pairs` (i, k)."""
    row, other = np.nonzero(pairs)
    return np.einsum("pl,pj->plj", ahead[row, other], x[row]).reshape(len(row), ahead.shape[-1] * x.shape[-1])
