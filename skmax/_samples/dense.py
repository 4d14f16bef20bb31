"""Samples of a NumPy array."""

from dataclasses import dataclass

import numpy as np

from skmax._samples.base import LocalSamples
from skmax._samples.block import Block, Design
from skmax._softmax import FloatArray

# Up to this many logits, with many columns, x W^T in float32 takes OpenBLAS 0.6 to 0.9 times as long as W x^T.
_FEW_LOGITS = 100
# The numbers in a block that is a copy of rows, converted or less an origin. (10000 x 2304 float32 as float64, 10
# logits: two products take 56 ms, and 90 ms with blocks of twice as many numbers or more, which leave the cache.)
_COPY = 2**21


class DenseBlock(Block):
    """Rows of a NumPy array."""

    def dense(self) -> FloatArray:
        return self.x

    def product(self, coef: FloatArray, out: FloatArray | None = None) -> FloatArray:
        if coef.dtype == np.float32 and len(coef) <= min(_FEW_LOGITS, coef.shape[1] // 4):
            return np.ascontiguousarray((self.x @ coef.T).T)
        return np.matmul(coef, self.x.T, out=out)

    def transpose_product(self, factor: FloatArray) -> FloatArray:
        return factor @ self.x


@dataclass(frozen=True, eq=False, kw_only=True)
class DenseSamples(LocalSamples):
    """Samples of a NumPy array."""

    _block_type = DenseBlock

    def _block_length(self, width: int) -> int:
        length = super()._block_length(width)
        if self.X.dtype == self.dtype and self.origin is None:
            return length
        return min(length, max(1, _COPY // self.n_features))

    def _view(self, rows: slice) -> Design:
        return self.X[rows]
