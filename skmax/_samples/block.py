"""A block: consecutive rows, few enough for their logits to stay in the cache, and the products with them.

Tables of logits, probabilities and targets are class-major, of shape (n_logits, n_rows), so that NumPy's reductions
over classes run along the long axis.
"""

import abc
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from skmax._softmax import FloatArray, normalize_in_place

Float64Array: TypeAlias = NDArray[np.float64]
Design: TypeAlias = Any  # a NumPy array or a SciPy CSR array or matrix, of shape (n_samples, n_features)


@dataclass(eq=False, slots=True)  # not frozen: small fits create many blocks, and freezing takes 2 us for each
class Block(abc.ABC):
    """Some rows of X with their weights and targets."""

    index: Any  # the places of the rows among the samples: a slice, or an array of indices
    x: Design  # the rows less the origin, in the dtype of the products
    weight: Float64Array | None
    target: Any  # class indices, or distributions of shape (n_rows, n_classes); None for a prediction
    offset: Any  # class-major, of shape (n_logits, n_rows), or None
    n_classes: int
    n_logits: int

    @property
    def n_rows(self) -> int:
        return self.x.shape[0]

    @abc.abstractmethod
    def dense(self) -> FloatArray:
        """x as a NumPy array."""

    @abc.abstractmethod
    def product(self, coef: FloatArray, out: FloatArray | None = None) -> FloatArray:
        """`coef` x^T, in a C-contiguous array, which may be `out`."""

    @abc.abstractmethod
    def transpose_product(self, factor: FloatArray) -> FloatArray:
        """`factor` x."""

    def moments(self, factor: FloatArray) -> tuple[FloatArray, FloatArray]:
        """`factor` x and `factor` x^2, in the dtype of `factor`."""
        x = self.x.astype(factor.dtype, copy=False)
        return factor @ x, factor @ (x * x)

    def raw_prediction(self, coef: FloatArray, intercept: FloatArray, scratch: FloatArray | None = None) -> FloatArray:
        """Class-major logits W x^T + b + o, in a new array, or in a part of `scratch`."""
        logits = self.change(coef, intercept, scratch)
        if self.offset is not None:
            logits += self.offset
        return logits

    def change(self, coef: FloatArray, intercept: FloatArray, scratch: FloatArray | None = None) -> FloatArray:
        """The change W x^T + b of the logits by a step (W, b), which has no offset."""
        shape = len(coef), self.n_rows
        logits = self.product(coef, None if scratch is None else scratch[: shape[0] * shape[1]].reshape(shape))
        logits += intercept[:, None]
        return logits

    def probability(self, coef: FloatArray, intercept: FloatArray) -> FloatArray:
        """Class-major probabilities, in a new array."""
        probability = self.raw_prediction(coef, intercept)
        normalize_in_place(probability)
        return probability

    def class_major_target(self) -> NDArray:
        """Class indices, or distributions of shape (n_classes, n_rows)."""
        if self.target.ndim == 1:
            return self.target
        # If a sum were not exactly 1, f would fall without end along the redundant direction of the intercepts.
        distribution = self.target.T / self.target.sum(axis=1, dtype=np.float64)
        return np.ascontiguousarray(distribution, dtype=self.x.dtype)

    def distribution(self) -> FloatArray:
        """Target distributions over the classes that have a logit, class-major, in a new array."""
        target, first = self.class_major_target(), self.n_classes - self.n_logits
        if target.ndim == 1:
            return np.equal.outer(np.arange(first, self.n_classes), target).astype(self.x.dtype)
        return target[first:]

    def residual(self, probability: FloatArray) -> FloatArray:
        """softmax(z_i) - y_i, class-major, given the probabilities."""
        return probability - self.distribution()

    def weights(self) -> Float64Array:
        """The weights, with 1 for each row if none were given."""
        return np.ones(self.n_rows) if self.weight is None else self.weight

    def weighted_sum(self, values: FloatArray) -> float:
        """The weighted sum of one number for each row."""
        return float(values.sum(dtype=np.float64) if self.weight is None else self.weight @ values)

    def with_positive_weight(self, values: NDArray) -> NDArray:
        """The `values` of the rows with positive weight."""
        return values if self.weight is None else values[self.weight > 0]

    def add_weighted_rows(self, total: Float64Array, factor: FloatArray) -> None:
        """Add sum_i s_i factor_i x_i^T to `total`, or with (x_i, 1) where it has one more column.

        The class-major `factor` is overwritten.
        """
        if self.weight is not None:
            factor *= self.weight.astype(factor.dtype, copy=False)
        n_features = self.x.shape[1]
        total[:, :n_features] += self.transpose_product(factor)
        if total.shape[1] > n_features:
            total[:, -1] += factor.sum(axis=1, dtype=np.float64)
