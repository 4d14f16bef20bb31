"""Samples of a NumPy array."""

from dataclasses import dataclass

from skmax._samples.base import LocalSamples
from skmax._samples.block import Block, Design
from skmax._softmax import FloatArray


class DenseBlock(Block):
    """Rows of a NumPy array."""

    def dense(self) -> FloatArray:
        return self.x

    def product(self, coef: FloatArray) -> FloatArray:
        return coef @ self.x.T

    def transpose_product(self, factor: FloatArray) -> FloatArray:
        return factor @ self.x


@dataclass(frozen=True, eq=False, kw_only=True)
class DenseSamples(LocalSamples):
    """Samples of a NumPy array."""

    _block_type = DenseBlock

    def _view(self, rows: slice) -> Design:
        return self.X[rows]
