"""The upper bound of the gap, by the c of `skmax._certificate.base`; if necessary, some rows are left out."""

import dataclasses

import numpy as np
from numpy.typing import NDArray

from skmax._certificate.base import Certificate
from skmax._columns import ColumnStats
from skmax._hessian.factored import FactoredHessian
from skmax._hessian.whole import WholeHessian
from skmax._samples import Block, Float64Array, LocalSamples, Maximum

# The number of times that rows may be left out. A row is left out if a step as long as the decrement changes its logits
# by more than the second number.
_DROPS, _NEAR = 3, 0.1


def bound(
    hessian: WholeHessian, change: FactoredHessian, theta: Float64Array, stretch: float, decrement: float
) -> Certificate:
    """Bound the gap at `theta` by the Hessian of a nearby point, which `change` factors.

    The `decrement` is a length in the Hessian of `change`. A step of unit length in the Hessian at `theta` is at most
    `stretch` long in the Hessian of `change`.
    """
    first = proof = Certificate.of(stretch * decrement, stretch**2 * reach(hessian, change) * decrement, is_bound=True)
    dropped, share = 0.0, 1.0
    for _ in range(_DROPS):
        if proof.holds:
            return dataclasses.replace(proof, gap=float(share * proof.gap + dropped))
        rest = without_far_rows(hessian, theta, change, _NEAR / (stretch**2 * decrement)) if decrement > 0 else None
        if rest is None:
            break
        hessian, loss, factor = rest
        dropped, share = dropped + share * loss, share * factor
        change = hessian.at(theta)
        stretch, decrement = 1.0, float(np.linalg.norm(change.backward(hessian.objective(theta)[1])))
        proof = Certificate.of(decrement, reach(hessian, change) * decrement, is_bound=True)
    return first


def reach(hessian: WholeHessian, change: FactoredHessian) -> float:
    """An upper bound of the c of `skmax._certificate.base` for the Hessian that `change` factors."""
    steps = change.longest_steps()
    if not np.isfinite(steps).all():
        return np.inf
    samples = hessian.objective.samples
    return float(samples.sum(_largest_reach, hessian.columns, steps, cost=samples.n_columns))


def without_far_rows(
    hessian: WholeHessian, theta: Float64Array, change: FactoredHessian, limit: float
) -> tuple[WholeHessian, float, float] | None:
    """Leave out the rows whose reach is above `limit`.

    The results are the Hessian of the other rows, the part of f that the left-out rows account for, and the fraction of
    the weight that the others have. They are None if all rows would be left out, or none.
    """
    whole, columns, steps = hessian.objective, hessian.columns, change.longest_steps()
    if not np.isfinite(steps).all():
        return None
    rest = whole.without(theta, _is_far, columns, whole.fit_intercept, steps, limit)
    if rest is None:
        return None
    objective, loss = rest
    # The other rows have less weight, of which the same penalty is a larger share.
    share = objective.samples.weight_sum / whole.samples.weight_sum
    return WholeHessian(objective.penalised(objective.weight_decay / share), columns), loss, share


def _reach_of_rows(block: Block, columns: ColumnStats, intercept: bool, norm: Float64Array) -> Float64Array:
    """sum_j |x~_ij| norm_j of each row."""
    if columns.turn is not None:
        return np.abs(columns.standardized(block, intercept)) @ norm
    deviation = np.subtract(block.dense(), columns.mean, dtype=np.float64)
    reach = np.abs(deviation, out=deviation) @ (norm[: len(columns.scale)] / columns.scale)
    return reach + norm[-1] if intercept else reach


def _largest_reach(samples: LocalSamples, within: slice, columns: ColumnStats, norm: Float64Array) -> Maximum:
    """The largest reach of a row with weight."""
    largest = 0.0
    for block in samples.blocks(samples.n_columns, within):
        reached = block.with_positive_weight(_reach_of_rows(block, columns, samples.fit_intercept, norm))
        largest = max(largest, float(reached.max(initial=0)))
    return Maximum(largest)


def _is_far(block: Block, columns: ColumnStats, intercept: bool, norm: Float64Array, limit: float) -> NDArray[np.bool_]:
    """Which rows have a reach above the limit."""
    return _reach_of_rows(block, columns, intercept, norm) > limit
