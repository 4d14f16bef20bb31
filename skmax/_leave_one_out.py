"""The fit without each of its rows, approximated by one Newton step.

With F(theta) = sum_i s_i l_i + S Q(W) = S f, and Q the penalty, the fit without row i minimises

    F_i = F - s_i l_i - s_i Q(W)        (the total weight is S - s_i),

whose gradient at the minimum of F is -s_i (V_i r_i + Q'(W)) and whose Hessian is S H - s_i V_i A_i V_i^T,
except for the penalty's share of s_i / S, which is neglected. Here r_i = p_i - y_i, A_i = diag(p_i) - p_i p_i^T, and
V_i takes a row's logits to the parameters, V_i q = q (x) x_i. One Newton step d_i from theta changes the row's own
logits by

    t_i = V_i^T d_i = (I - s_i M_i A_i)^-1 s_i (M_i r_i + q_i)    with M_i = V_i^T (S H)^-1 V_i,
                                                                       q_i = V_i^T (S H)^-1 Q'(W),

by the formula of Sherman, Morrison and Woodbury, which also gives the step itself,

    d_i = (S H)^-1 (V_i u_i + s_i Q'(W))                          with u_i = s_i (r_i + A_i t_i),

the residual after the step, to first order. A weight decay of 1/S goes with the sum: then there is no q_i, and d_i has
no second term. (K. Rahnama Rad and A. Maleki, 2020, A scalable estimate of the out-of-sample prediction error via
approximate leave-one-out cross-validation, Journal of the Royal Statistical Society B 82(4), 965-996.)
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from skmax._columns import ColumnStats
from skmax._hessian.whole import WholeHessian
from skmax._objective import Objective
from skmax._samples import Block, Float64Array, LocalSamples
from skmax._softmax import FloatArray, normalize_in_place


@dataclass(frozen=True, eq=False)
class RowsWithout:
    """The rows of a block, each without itself in the fit.

    Attributes
    ----------
    block : Block
    standardized : ndarray of shape (n_rows, n_columns)
        The x~ of the rows.
    residual : ndarray of shape (n_rows, n_logits)
        The r_i.
    curvature, spread : ndarray of shape (n_rows, n_logits, n_logits)
        The A_i and M_i.
    along_decay : ndarray of shape (n_rows, n_logits)
        The q_i.
    logits, shift : ndarray of shape (n_rows, n_logits)
        The logits with the row in the fit, and the t_i.
    """

    block: Block
    standardized: Float64Array
    residual: FloatArray
    curvature: Float64Array
    spread: Float64Array
    along_decay: FloatArray
    logits: Float64Array
    shift: Float64Array

    def losses(self) -> tuple[FloatArray, FloatArray]:
        """The loss of each row without itself in the fit, and its probabilities, of shape (n_logits, n_rows)."""
        return losses_and_probabilities(self.block, (self.logits + self.shift).T.copy())

    def pull(self) -> Float64Array:
        """The u_i, of shape (n_rows, n_logits)."""
        after = self.residual + (self.curvature @ self.shift[:, :, None])[:, :, 0]
        return after * self.block.weights()[:, None]


@dataclass(frozen=True, eq=False)
class AllRows:
    """The fit with all rows, from which each of them is left out.

    Attributes
    ----------
    theta : ndarray of shape (n_parameters,)
    columns : ColumnStats
    inverse : ndarray of shape (n_logits, n_columns, n_logits, n_columns)
        The blocks of (S H)^-1 in standardized columns.
    inverse_decay : ndarray of shape (n_parameters,)
        H^-1 Q'(W), in the coordinates of theta.
    """

    theta: Float64Array
    columns: ColumnStats
    inverse: Float64Array
    inverse_decay: Float64Array

    def without_each(self, samples: LocalSamples, within: slice) -> Iterator[RowsWithout]:
        """The rows `within`, block by block."""
        n_logits = samples.n_logits
        parameters, decay = samples.parameters(self.theta), samples.parameters(self.inverse_decay)
        for block in samples.blocks(samples.n_columns + n_logits**2, within):
            standardized, weight = self.columns.standardized(block, samples.fit_intercept), block.weights()
            logits = block.raw_prediction(*parameters).astype(np.float64)
            probability = logits.copy()
            normalize_in_place(probability)
            residual = np.ascontiguousarray(block.residual(probability).T)
            spread = logit_covariances(standardized, self.inverse)
            along_decay = block.change(*decay).T / samples.weight_sum
            if n_logits == 1:
                curvature = (probability * (1 - probability)).T[:, :, None]
            else:
                curvature = -probability.T[:, :, None] * probability.T[:, None, :]
                each = np.arange(n_logits)
                curvature[:, each, each] += probability.T
            shift = np.einsum("ikl,il->ik", spread, residual)
            shift += along_decay
            shift *= weight[:, None]
            matrix = np.eye(n_logits) - weight[:, None, None] * (spread @ curvature)
            shift = np.linalg.solve(matrix, shift[:, :, None])[:, :, 0]
            yield RowsWithout(block, standardized, residual, curvature, spread, along_decay, logits.T, shift)


def leave_one_out_losses(objective: Objective, columns: ColumnStats, theta: Float64Array) -> Float64Array:
    """The cross-entropy of each row, of shape (n_samples,), without the row in the fit that ended at `theta`."""
    hessian = WholeHessian(objective, columns).roughly_at(theta)
    n_logits, n_columns = objective.n_logits, objective.n_columns
    coef, _ = objective.split(theta)
    decay = objective.join(objective.penalty.gradient(coef), np.zeros(n_logits)).ravel()
    inverse = hessian.inverse().reshape(n_logits, n_columns, n_logits, n_columns) / objective.samples.weight_sum
    fit, cost = AllRows(theta, columns, inverse, hessian.inverse_product(decay)), objective.cost + theta.size**2
    return np.concatenate(objective.samples.sum(_losses_without, fit, cost=cost))


def _losses_without(samples: LocalSamples, within: slice, fit: AllRows) -> list[FloatArray]:
    """The losses of the rows `within`, block by block."""
    return [rows.losses()[0] for rows in fit.without_each(samples, within)]


def losses_and_probabilities(block: Block, logits: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The loss of each row of a block with these `logits`, in whose place its probabilities are."""
    own = (block.distribution() * logits).sum(axis=0)
    return normalize_in_place(logits) - own, logits


def logit_covariances(standardized: Float64Array, covariance: Float64Array) -> Float64Array:
    """x~_i^T C_kl x~_i of each row and pair of logits, of shape (n_rows, n_logits, n_logits).

    `covariance` holds the blocks C_kl of a covariance of the parameters, and has shape (n_logits, n_columns, n_logits,
    n_columns).
    """
    n_logits = len(covariance)
    result = np.empty((len(standardized), n_logits, n_logits))
    for k in range(n_logits):
        for m in range(k + 1):
            product = np.einsum("ij,ij->i", standardized @ covariance[k, :, m], standardized)
            result[:, k, m] = result[:, m, k] = product
    return result
