"""Samples of a SciPy CSR array or matrix, of which no dense copy is ever made."""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from skmax._samples.base import LocalSamples
from skmax._samples.block import Block, Design
from skmax._softmax import FloatArray


class SparseBlock(Block):
    """Rows of a CSR array or matrix."""

    def dense(self) -> FloatArray:
        return self.x.toarray()

    def product(self, coef: FloatArray, out: FloatArray | None = None) -> FloatArray:
        return np.ascontiguousarray((self.x @ coef.T).T)

    def transpose_product(self, factor: FloatArray) -> FloatArray:
        return (self.x.T @ factor.T).T


@dataclass(frozen=True, eq=False, kw_only=True)
class SparseSamples(LocalSamples):
    """Samples of a CSR array or matrix."""

    _block_type = SparseBlock

    def _block_length(self, width: int) -> int:
        # Each sparse product returns a new array of shape (n_features, width), so the block may be of the same size.
        return max(super()._block_length(width), self.n_features)

    def _view(self, rows: slice) -> Design:
        start, stop = self.X.indptr[rows.start], self.X.indptr[rows.stop]
        # In an array, unlike a matrix, `*` multiplies element by element. The attributes are set here because the
        # constructor would copy 64-bit indices to 32 bits, and `astype` would copy the indices with the data.
        view = sparse.csr_array((rows.stop - rows.start, self.n_features), dtype=self.dtype)
        view.data, view.indices = self.X.data[start:stop].astype(self.dtype, copy=False), self.X.indices[start:stop]
        view.indptr = self.X.indptr[rows.start : rows.stop + 1] - start
        return view
