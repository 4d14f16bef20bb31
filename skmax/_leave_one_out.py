"""The loss of each row under a fit without that row, approximated by one Newton step.

With F(theta) = sum_i s_i l_i + S Q(W) = S f, and Q the penalty, the fit without row i minimises

    F_i = F - s_i l_i - s_i Q(W)        (the total weight is S - s_i),

whose gradient at the minimum of F is -s_i (V_i r_i + Q'(W)) and whose Hessian is S H - s_i V_i A_i V_i^T,
except for the penalty's share of s_i / S, which is neglected. Here r_i = p_i - y_i, A_i = diag(p_i) - p_i p_i^T, and
V_i takes a row's logits to the parameters, V_i q = q (x) x_i. One Newton step from theta changes the row's own logits
by

    (I - s_i M_i A_i)^-1 s_i (M_i r_i + q_i)    with M_i = V_i^T (S H)^-1 V_i,  q_i = V_i^T (S H)^-1 Q'(W),

by the formula of Sherman, Morrison and Woodbury. (K. Rahnama Rad and A. Maleki, 2020, A scalable estimate of the
out-of-sample prediction error via approximate leave-one-out cross-validation, Journal of the Royal Statistical Society
B 82(4), 965-996.)
"""

import numpy as np

from skmax._columns import ColumnStats
from skmax._hessian.whole import WholeHessian
from skmax._objective import Objective
from skmax._samples import Float64Array, LocalSamples
from skmax._softmax import normalize_in_place


def leave_one_out_losses(objective: Objective, columns: ColumnStats, theta: Float64Array) -> Float64Array:
    """The cross-entropy of each row, of shape (n_samples,), without the row in the fit that ended at `theta`."""
    hessian = WholeHessian(objective, columns).roughly_at(theta)
    n_logits, n_columns = objective.n_logits, objective.n_columns
    coef, _ = objective.split(theta)
    decay = objective.join(objective.penalty.gradient(coef), np.zeros(n_logits)).ravel()
    inverse = hessian.inverse().reshape(n_logits, n_columns, n_logits, n_columns) / objective.samples.weight_sum
    cost = objective.cost + theta.size**2
    return np.concatenate(
        objective.samples.sum(_losses_without, theta, columns, inverse, hessian.inverse_product(decay), cost=cost)
    )


def _losses_without(
    samples: LocalSamples,
    within: slice,
    theta: Float64Array,
    columns: ColumnStats,
    inverse: Float64Array,
    inverse_decay: Float64Array,
) -> list[Float64Array]:
    """The losses of the rows `within`, block by block.

    `inverse` holds the blocks of (S H)^-1 in standardized columns, and `inverse_decay` is H^-1 Q'(W).
    """
    n_logits, losses = samples.n_logits, []
    parameters, decay = samples.parameters(theta), samples.parameters(inverse_decay)
    for block in samples.blocks(samples.n_columns + n_logits**2, within):
        standardized, weight = columns.standardized(block, samples.fit_intercept), block.weights()
        logits = block.raw_prediction(*parameters).astype(np.float64)
        probability = logits.copy()
        normalize_in_place(probability)
        residual = block.residual(probability)
        spread = np.empty((len(standardized), n_logits, n_logits))  # M_i
        for k in range(n_logits):
            for m in range(k + 1):
                product = np.einsum("ij,ij->i", standardized @ inverse[k, :, m], standardized)
                spread[:, k, m] = spread[:, m, k] = product
        shift = np.einsum("ikl,li->ik", spread, residual)
        shift += block.change(*decay).T / samples.weight_sum
        shift *= weight[:, None]
        # M_i A_i, with A_i = diag(p) - p p^T, or p (1 - p) for a single logit
        product = spread * probability.T[:, None, :]
        if n_logits == 1:
            product *= 1 - probability.T[:, None, :]
        else:
            product -= (spread @ probability.T[:, :, None]) * probability.T[:, None, :]
        matrix = np.eye(n_logits) - weight[:, None, None] * product
        logits += np.linalg.solve(matrix, shift[:, :, None])[:, :, 0].T
        target = probability - residual
        own = (target * logits).sum(axis=0)
        losses.append(normalize_in_place(logits) - own)
    return losses
