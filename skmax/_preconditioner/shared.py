"""One second-moment matrix of the columns for all classes.

The Hessian's block for class k is, with c_ik = s_i p_ik (1 - p_ik) / S and the penalty P on the diagonal,

    B_k + P    with    B_k = sum_i c_ik x~_i x~_i^T.

All blocks together hold K p^2 numbers. What they have in common is their mean over the classes,

    B = sum_i c_i x~_i x~_i^T    with    c_i = mean_k c_ik,

which has the correlations of the columns among the rows of which the model is not certain. With a_k = tr B_k / tr B,
the share of a class in the curvature, a_k B approximates B_k. One Cholesky factorisation B + P = L L^T then serves all
classes:

    L^-1 (a_k B + P) L^-T = a_k (I - M) + M    with    M = L^-1 P L^-T

has the mean eigenvalue r_k = a_k (1 - m) + m, with m the mean of the diagonal of M, and r_k L L^T approximates the
block.

If the samples are on a device, the factorisation and products with L^-1 take place there. An iteration has two such
products of K p^2 / 2 multiplications each, which take 0.09 s each on one core for 1000 classes and 2049 columns.

Measured, iterations and seconds without this form and with it: 20000 rows of 512 turned, anisotropic columns and 100
classes, at weight decay 1/n, 74 and 17 (11.0 and 4.0 s); 10000 of them at 1e-6, 78 and 37 (7.1 and 2.8 s); LSA of
clinc150, 150 classes, 15000 rows at 1/n, 23 and 30 (4.2 and 4.3 s, as this form costs less to build); 8000 rows at
1e-6, 74 and 62 (4.7 and 3.8 s).

Tried and rejected, on the second of these sets: the eigenvectors of B and P together, in which a_k B + P is diagonal,
take 35 iterations, where a_k alone takes 41 to 52 and r_k 36, but an eigendecomposition of p columns; a curvature of
each class measured in that basis 36; the diagonal of each class with the shared correlations 60.
"""

from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np
from scipy import linalg

from skmax._arrays import DeviceMatrix
from skmax._columns import ColumnStats, squared_deviations
from skmax._hessian.factored import LEAST_CURVATURE, factorise
from skmax._hessian.measure import weighted_curvature
from skmax._objective import Objective
from skmax._preconditioner.base import BasePreconditioner
from skmax._preconditioner.sampling import (
    Candidates,
    Largest,
    chances,
    complete,
    describe_sample,
    largest_of,
    row_numbers,
    sample_size,
)
from skmax._samples import LOGIT_COST, DeviceSamples, Float64Array, LocalSamples

# The rows of a sample for each column: fewer than for a block, because all classes share the errors, and the penalty
# and L-BFGS reduce them. (5000 x 2304 convolutions of images: 54 iterations with all rows, 63 with 0.8 rows for each.)
_SAMPLE = 1
# In the cost: the number of multiplications that take as long as the other operations on an element of X, and the
# number of logits at which products with X are half as fast as those of large square matrices. (Measured with 4 to 100
# logits.)
_COLUMN_COST, _FEW_LOGITS = 10, 30
# A search begins with this form only if there are so many rows for each column. With fewer, the diagonal and then the
# rows of most curvature do better (cnae9, 1.3 rows: 1.8 times as fast; isolet1560, 2.5 rows: 1.6 times).
_ROWS_TO_BEGIN = 3
# The rows of each product for the second moments: many, since the sum has n_columns^2 elements.
_GRAM_ROWS = 1024
# The number of random vectors that estimate the mean diagonal element of M.
_PROBES = 8


@dataclass(frozen=True, eq=False)
class SharedPreconditioner(BasePreconditioner):
    """The mean block for all classes, with a factor for each: p^2 numbers and one Cholesky factorisation.

    It accounts for the correlations of the columns if there are too many classes and columns for a block each. It is
    worse than the low-rank form if each class has its curvature in other rows. It is built from a sample of the rows if
    there are more than twice as many as needed.
    """

    name = "shared"
    most_evaluations, evaluations_per_iteration = 10, 1.0
    stages_grow = True

    moment: Float64Array
    share: Float64Array
    inverse_root: Float64Array = field(default_factory=lambda: np.empty(0))
    factor: Float64Array = field(default_factory=lambda: np.empty((0, 0)))
    on_device: DeviceMatrix | None = None  # L^-1, where the samples are on a device

    @staticmethod
    def cost(objective: Objective) -> float:
        n_columns, n_logits, n_samples = objective.n_columns, objective.n_logits, objective.samples.n_samples
        survey = 2 * n_samples * (n_logits * (n_columns + LOGIT_COST) + _COLUMN_COST * n_columns)
        square = sample_size(n_columns, n_samples, _SAMPLE) * n_columns**2 + n_columns**3 / 3
        return survey + square * n_logits / (n_logits + _FEW_LOGITS)

    @staticmethod
    def numbers(objective: Objective) -> int:
        """A quarter of the size of its matrix, since a fit with so many columns has memory for a few of these."""
        return objective.n_columns**2 // 4

    @staticmethod
    def suits(objective: Objective, theta: Float64Array, damping: float) -> bool:
        samples, has_begun = objective.samples, bool(objective.split(theta)[0].any())
        enough = has_begun or samples.n_samples >= _ROWS_TO_BEGIN * samples.n_columns
        return enough and not samples.is_sparse and samples.n_logits > 1

    @classmethod
    def at(cls, objective: Objective, columns: ColumnStats, theta: Float64Array, damping: float = 0.0) -> Self:
        n_samples, n_columns = objective.samples.n_samples, objective.n_columns
        n_rows = sample_size(n_columns, n_samples, _SAMPLE)
        survey = objective.samples.sum(_survey, theta, columns, n_rows, cost=objective.cost)
        index, curvature, factor = largest_of(survey.largest.tables[0], n_rows)
        part = objective.samples.gather(index, np.ones(len(index)))
        moment = part.sum(_moment, np.sqrt(curvature * factor), columns, cost=n_columns**2)
        if n_rows < n_samples:
            complete(moment, survey.diagonal)
        moment /= objective.samples.weight_sum
        mean = survey.trace.mean()
        share = survey.trace / mean if mean > 0 else np.ones_like(survey.trace)
        rows_used = describe_sample(n_rows, n_samples)
        return cls._of(objective, columns, damping, moment, share, rows_used=rows_used)

    def penalised(self, objective: Objective) -> Self:
        penalty = self._penalty(objective)
        if penalty.ndim == 2:  # one for all classes
            penalty = penalty.mean(axis=0)
        samples = objective.samples
        device = samples.where if isinstance(samples, DeviceSamples) and samples.where.has_float64 else None
        inverse_root, factor, _ = factorise(self.moment, penalty, device)
        # m, the mean of |z|^2 / p over z = L^-1 P^(1/2) e with random signs e (M. F. Hutchinson, 1989).
        signs = np.random.default_rng(0).choice([-1.0, 1.0], size=(len(penalty), _PROBES))
        probes = linalg.blas.dtrsm(1.0, factor, (inverse_root * np.sqrt(penalty))[:, None] * signs, lower=1)
        m = min(1.0, float(np.square(probes).mean()))
        ratio = np.maximum((1 - m) * self.share + m, LEAST_CURVATURE)
        inverse_root = inverse_root / np.sqrt(ratio)[:, None]
        on_device = None if device is None else DeviceMatrix.inverse_of(device, factor)
        return replace(self, inverse_root=inverse_root, factor=factor, on_device=on_device)

    def _from_v(self, v: Float64Array) -> Float64Array:
        table = v.reshape(self.n_logits, -1)
        if self.on_device is not None:
            solved = self.on_device.times(table)
        else:
            solved = linalg.blas.dtrsm(1.0, self.factor, table.T, lower=1, trans_a=1).T
        return (solved * self.inverse_root).ravel()

    def _to_v(self, gradient: Float64Array) -> Float64Array:
        scaled = gradient.reshape(self.n_logits, -1) * self.inverse_root
        if self.on_device is not None:
            return self.on_device.times_transposed(scaled).ravel()
        return linalg.blas.dtrsm(1.0, self.factor, scaled.T, lower=1).T.ravel()


@dataclass(frozen=True)
class _Survey:
    """The measurements of one pass over some rows. The sum of two objects has those of all their rows.

    Attributes
    ----------
    largest : Largest
        The rows of largest priority.
    diagonal : ndarray of shape (n_columns,)
        That of S B.
    trace : ndarray of shape (n_logits,)
        S tr B_k of each class.
    """

    largest: Largest
    diagonal: Float64Array
    trace: Float64Array

    def __add__(self, other: "_Survey") -> "_Survey":
        return _Survey(self.largest + other.largest, self.diagonal + other.diagonal, self.trace + other.trace)


def _survey(samples: LocalSamples, within: slice, theta: Float64Array, columns: ColumnStats, n_rows: int) -> _Survey:
    """Here the leverage of a row is c_i |x~_i|^2, since all columns of B have similar curvature."""
    parameters, chance = samples.parameters(theta), chances(within, samples.row_offset)
    candidates = Candidates(1, n_rows + 1)
    diagonal, trace = np.zeros(samples.n_columns), np.zeros(samples.n_logits)
    for block, _, square in squared_deviations(samples, within, columns, samples.n_logits):
        curvature = weighted_curvature(block, *parameters)
        mean = curvature.mean(axis=0, dtype=np.float64)
        length = square @ (1 / columns.unit) + samples.fit_intercept
        trace += curvature @ length.astype(curvature.dtype, copy=False)
        diagonal[: samples.n_features] += mean @ square / columns.unit
        diagonal[samples.n_features :] += mean.sum()
        start, stop = block.index.start - within.start, block.index.stop - within.start
        leverage = (mean * length)[None]
        candidates.add(leverage / chance[start:stop], row_numbers(samples, block), mean[None], leverage)
    return _Survey(candidates.largest(), diagonal, trace)


def _moment(samples: LocalSamples, within: slice, root: Float64Array, columns: ColumnStats) -> Float64Array:
    """The sum of root_i^2 x~_i x~_i^T, by products in the dtype of the samples. `root` has all rows of the data."""
    total = np.zeros((samples.n_columns, samples.n_columns))
    for start in range(within.start, within.stop, _GRAM_ROWS):
        rows = slice(start, min(start + _GRAM_ROWS, within.stop))
        own = root[samples.row_offset + rows.start : samples.row_offset + rows.stop, None]
        standardized = columns.standardized(samples.rows(rows), samples.fit_intercept) * own
        standardized = standardized.astype(samples.dtype, copy=False)
        total += standardized.T @ standardized
    return total
