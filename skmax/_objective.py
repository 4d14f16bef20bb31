"""The objective that a fit minimises, and its gradient, as sums over blocks of rows.

For rows x_i of X, target distributions y_i, sample weights s_i with sum S, and logits z_i = W x_i + b::

    f(W, b)      = (1/S) sum_i s_i [ logsumexp(z_i) - <y_i, z_i> ]  +  (weight_decay / 2) ||W||_F^2
    df / dz_i    = (s_i / S) (softmax(z_i) - y_i)
    df / dW      = sum_i (df / dz_i) x_i^T  +  weight_decay W
    df / db      = sum_i (df / dz_i)

The target enters linearly, so that it is needed once and never inside the loop::

    sum_i s_i <y_i, z_i> = <W, A> + <b, a>    with A = sum_i s_i y_i x_i^T,  a = sum_i s_i y_i

Three or more classes have a logit each. Two have one, that of the second class; the first one's is 0.

Conventions: parameters are one float64 array `theta` of shape (n_logits, n_features + 1), the intercept b in its last
column (absent without intercept); logits of a block are class-major, of shape (n_logits, n_rows), so that NumPy's
reductions over classes run along the long axis. Products are taken in the dtype of X, sums over blocks in float64.
"""

from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from skmax._softmax import FloatArray, normalize_in_place

Float64Array: TypeAlias = NDArray[np.float64]
Design: TypeAlias = Any  # a NumPy array or a SciPy CSR array or matrix, of shape (n_samples, n_features)

# Numbers in a block: enough to spend the time in the matrix products, few enough for the block to stay in the cache;
# more for rows so wide that a product over so few of them would be slow.
_BLOCK_SIZE = 2**16
_WIDE_BLOCK = (256, 2**22)  # rows at most, numbers at most


def row_blocks(X: Design, width: int) -> Iterator[slice]:
    """Ranges of rows to be worked on at a time, with `width` numbers for each row: no array has n_samples of them."""
    n_samples, n_features = X.shape
    n_rows = max(1, _BLOCK_SIZE // width, min(_WIDE_BLOCK[0], _WIDE_BLOCK[1] // width))
    if sparse.issparse(X):
        # Each product returns a new (n_features, width) array, so the block may be as large.
        n_rows = max(n_rows, n_features)
    for start in range(0, n_samples, n_rows):
        yield slice(start, min(start + n_rows, n_samples))


def take_rows(X: Design, rows: slice) -> Design:
    """`X[rows]` as a view: of a CSR matrix too, sharing its data and indices."""
    if not sparse.issparse(X):
        return X[rows]
    start, stop = X.indptr[rows.start], X.indptr[rows.stop]
    # An array, not a matrix: `*` multiplies element by element. Its constructor would copy 64-bit indices to 32 bits.
    part = sparse.csr_array((rows.stop - rows.start, X.shape[1]), dtype=X.dtype)
    part.data, part.indices = X.data[start:stop], X.indices[start:stop]
    part.indptr = X.indptr[rows.start : rows.stop + 1] - start
    return part


def raw_prediction_of(X: Design, coef: FloatArray, intercept: FloatArray | float) -> FloatArray:
    """Class-major logits W X^T + b of shape (n_logits, n_rows), in a new C-contiguous array."""
    logits = np.ascontiguousarray((X @ coef.T).T) if sparse.issparse(X) else coef @ X.T
    logits += np.reshape(intercept, (-1, 1))
    return logits


def raw_prediction_blocks(X: Design, coef: FloatArray, intercept: FloatArray) -> Iterator[tuple[slice, FloatArray]]:
    """Blocks of rows with their class-major logits."""
    for rows in row_blocks(X, len(coef)):
        yield rows, raw_prediction_of(take_rows(X, rows), coef, intercept)


class Objective:
    """The function f of the module's docstring: flat theta -> (value, flat gradient).

    Parameters
    ----------
    X : {ndarray, CSR array or matrix} of shape (n_samples, n_features), float64 or float32
    target : ndarray of int, shape (n_samples,), or of numbers, shape (n_samples, n_classes)
        Class indices or distributions.
    sample_weight : ndarray of shape (n_samples,), float64, or None
        None is a weight of 1 for each row.
    n_classes, n_logits : int
        As many logits as classes, or a single one for two classes.
    weight_decay : float
    fit_intercept : bool
    """

    def __init__(
        self,
        X: Design,
        target: NDArray,
        sample_weight: Float64Array | None,
        *,
        n_classes: int,
        n_logits: int,
        weight_decay: float,
        fit_intercept: bool,
    ) -> None:
        self.X = X
        self.sample_weight = sample_weight
        self.n_samples, self.n_features = X.shape
        self.n_logits = n_logits
        self.n_columns = self.n_features + fit_intercept
        self.weight_decay = weight_decay
        self.fit_intercept = fit_intercept
        self.weight_sum = float(self.n_samples if sample_weight is None else sample_weight.sum())
        self._target_sum = np.zeros((n_logits, self.n_columns))
        for rows, x, weight in self.blocks(n_logits):
            y = _class_major(target[rows], n_classes, n_logits).astype(X.dtype, copy=False)
            self._add_weighted_rows(self._target_sum, y, x, weight)

    def __call__(self, theta: Float64Array) -> tuple[float, Float64Array]:
        theta = theta.reshape(self.n_logits, self.n_columns)
        loss_sum, gradient_sum = self._sums(theta)
        loss_sum -= float(np.vdot(theta, self._target_sum))
        gradient_sum -= self._target_sum
        coef = theta[:, : self.n_features]
        value = loss_sum / self.weight_sum + self.weight_decay / 2 * np.vdot(coef, coef)
        gradient = gradient_sum / self.weight_sum
        gradient[:, : self.n_features] += self.weight_decay * coef
        return float(value), gradient.ravel()

    def blocks(self, width: int) -> Iterator[tuple[slice, Design, Float64Array | None]]:
        """Ranges of rows with their parts of X and of the weights, `width` numbers being needed for each row."""
        for rows in row_blocks(self.X, width):
            yield rows, take_rows(self.X, rows), None if self.sample_weight is None else self.sample_weight[rows]

    def probability(self, theta: Float64Array, x: Design) -> FloatArray:
        """Class-major probabilities of shape (n_logits, n_rows), for rows `x`."""
        probability = raw_prediction_of(x, *self.split(theta.astype(self.X.dtype, copy=False)))
        normalize_in_place(probability)
        return probability

    def split(self, theta: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Coefficients and intercepts in flat `theta`; without intercept, zeros."""
        theta = theta.reshape(self.n_logits, self.n_columns)
        coef = np.ascontiguousarray(theta[:, : self.n_features])
        return coef, theta[:, -1].copy() if self.fit_intercept else np.zeros(self.n_logits, theta.dtype)

    def _sums(self, theta: Float64Array) -> tuple[float, Float64Array]:
        """sum_i s_i logsumexp(z_i) and its gradient: plain sums, neither normalised nor penalised."""
        coef, intercept = self.split(theta.astype(self.X.dtype, copy=False))
        loss_sum = 0.0
        gradient_sum = np.zeros_like(theta)
        for _, x, weight in self.blocks(self.n_logits):
            logits = raw_prediction_of(x, coef, intercept)
            log_partition = normalize_in_place(logits)  # the logits are probabilities from here on
            loss_sum += float(log_partition.sum(dtype=np.float64) if weight is None else weight @ log_partition)
            self._add_weighted_rows(gradient_sum, logits, x, weight)
        return loss_sum, gradient_sum

    def _add_weighted_rows(
        self, total: Float64Array, factor: FloatArray, x: Design, weight: Float64Array | None
    ) -> None:
        """Add sum_i s_i factor_i (x_i, 1)^T to `total`. The class-major `factor` is overwritten."""
        if weight is not None:
            factor *= weight.astype(factor.dtype, copy=False)
        total[:, : self.n_features] += (x.T @ factor.T).T if sparse.issparse(x) else factor @ x
        if self.fit_intercept:
            total[:, -1] += factor.sum(axis=1, dtype=np.float64)


def _class_major(target: NDArray, n_classes: int, n_logits: int) -> NDArray:
    """Target distributions of some rows, of shape (n_logits, n_rows), in a new array."""
    if target.ndim == 1:
        return np.equal.outer(np.arange(n_classes - n_logits, n_classes), target)
    # Rows that sum to 1 only nearly would tilt f along the redundant direction of the intercepts, without end.
    distribution = target.T / target.sum(axis=1, dtype=np.float64)
    return np.ascontiguousarray(distribution[n_classes - n_logits :])
