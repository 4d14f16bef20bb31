"""Samples of rows that contain, with high probability, the rows that matter most to the Hessian.

The probability of a row is proportional to an estimate of its leverage, its share of the curvature along its own
direction (D. P. Woodruff, 2014, Sketching as a tool for numerical linear algebra, section 2.4); a uniform sample would
miss rare classes and outliers. Each row has a random u, uniform over (0, 1], and the sample consists of the rows of
largest leverage / u. With tau the largest of these numbers that is left out, a row of leverage l represents
max(1, tau / l) rows (N. Duffield, C. Lund and M. Thorup, 2007, Priority sampling for estimation of arbitrary subset
sums).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skmax._columns import ColumnStats, squared_deviations
from skmax._hessian.measure import weighted_curvature
from skmax._objective import Objective
from skmax._samples import Block, Float64Array, LocalSamples
from skmax._softmax import FloatArray

# A sample has this many rows for each row of the matrix that it is for, and at least the second number of them.
_SAMPLE = (4, 2000)


def sample_size(size: int, n_samples: int, for_each: int | None = None) -> int:
    """The number of rows for a matrix of `size`: all of them, unless there are more than twice as many as needed.

    Needed are `for_each` rows for each row of the matrix.
    """
    n_rows = max((for_each or _SAMPLE[0]) * size, _SAMPLE[1])
    return n_rows if n_samples > 2 * n_rows else n_samples


def describe_sample(n_rows: int, n_samples: int) -> str:
    return f", {n_rows} of {n_samples} rows" if n_rows < n_samples else ""


def sample(
    objective: Objective,
    columns: ColumnStats,
    theta: Float64Array,
    diagonal: Float64Array,
    n_rows: int,
    *,
    together: bool,
    by_chance: bool = True,
) -> list[tuple[NDArray[np.intp], Float64Array, Float64Array]]:
    """(index, curvature, factor) of `n_rows` rows, for each logit or for all `together`.

    If not `by_chance`, u is 1: the sample consists of the rows of largest leverage, and each represents only itself.
    """
    arguments = theta, columns, 1 / diagonal, n_rows, together, by_chance
    largest = objective.samples.sum(_largest, *arguments, cost=objective.cost)
    return [largest_of(table, n_rows) for table in largest.tables]


def largest_of(table: Float64Array, n_rows: int) -> tuple[NDArray[np.intp], Float64Array, Float64Array]:
    """(index, curvature, factor) of the rows in a sample from a table of `Largest`, in ascending order."""
    priority, index, curvature, leverage = table
    tau = 0.0
    if len(priority) > n_rows:
        tau = priority.min()
        kept = np.flatnonzero(priority > tau)
        index, curvature, leverage = index[kept], curvature[kept], leverage[kept]
    order = np.argsort(index)
    factor = np.maximum(1, tau / leverage)
    return index[order].astype(np.intp), curvature[order], factor[order]


def chances(within: slice, row_offset: int = 0) -> Float64Array:
    """The u of each row `within`, which does not depend on the range or partition that the row is in."""
    generator = np.random.PCG64(0)
    generator.advance(row_offset + within.start)
    return 1 - np.random.Generator(generator).uniform(size=within.stop - within.start)


def complete(hessian: Float64Array, diagonal: Float64Array) -> None:
    """Correct a sampled `hessian` for parameters most of whose curvature lies in rows outside the sample.

    Other parameters are left unchanged, since an addition to the diagonal reduces the correlations of the columns.
    """
    missing = diagonal - hessian.diagonal()
    hessian[np.diag_indices(len(hessian))] += np.where(missing > diagonal / 2, missing, 0)


@dataclass(frozen=True)
class Largest:
    """The priority, index, curvature and leverage of up to `size` rows of largest priority, for each of some groups.

    The sum of two objects has the rows of largest priority in both.
    """

    tables: list[Float64Array]
    size: int

    def __add__(self, other: "Largest") -> "Largest":
        tables = [np.concatenate(pair, axis=1) for pair in zip(self.tables, other.tables, strict=True)]
        return Largest([_first(table, self.size) for table in tables], self.size)


class Candidates:
    """Rows of largest priority, as blocks of rows come in.

    Rows of no more than the least priority in a full table are left out at once, and a table is cut to `size` rows only
    when it has twice as many: 25000 rows of 100 columns and
    100 classes take 185 ms, and 423 ms with a cut for each block.

    Attributes
    ----------
    least : ndarray of shape (n_groups,)
        A row of no more than this priority is not among the largest of its group.
    """

    def __init__(self, n_groups: int, size: int) -> None:
        self._tables = [np.empty((4, 0))] * n_groups
        self.least = np.zeros(n_groups)
        self._size = size

    def add(self, priority: Float64Array, index: Any, curvature: FloatArray, leverage: Float64Array) -> None:
        """Consider the rows at `index`, given tables with a row for each group."""
        for g in np.flatnonzero(priority.max(axis=1) > self.least):
            chosen = np.flatnonzero(priority[g] > self.least[g])
            new = np.array([priority[g, chosen], index[chosen], curvature[g, chosen], leverage[g, chosen]])
            self._tables[g] = np.concatenate([self._tables[g], new], axis=1)
            if self._tables[g].shape[1] > 2 * self._size:
                self._tables[g] = _first(self._tables[g], self._size)
                self.least[g] = self._tables[g][0].min()

    def largest(self) -> Largest:
        """The rows of largest priority so far."""
        return Largest([_first(table, self._size) for table in self._tables], self._size)


def row_numbers(samples: LocalSamples, block: Block) -> NDArray[np.intp]:
    """The numbers of the rows of a block in the whole data."""
    return np.arange(samples.row_offset + block.index.start, samples.row_offset + block.index.stop)


def _first(table: Float64Array, size: int) -> Float64Array:
    """The `size` columns of `table` that are largest in its first row."""
    return table if table.shape[1] <= size else table[:, np.argpartition(-table[0], size - 1)[:size]]


def _largest(
    samples: LocalSamples,
    within: slice,
    theta: Float64Array,
    columns: ColumnStats,
    inverse_diagonal: Float64Array,
    n_rows: int,
    together: bool,
    by_chance: bool,
) -> Largest:
    """The candidates of `sample`: one more than the sample has, for tau."""
    n_groups, parameters = 1 if together else samples.n_logits, samples.parameters(theta)
    chance = chances(within, samples.row_offset) if by_chance else np.ones(within.stop - within.start)
    candidates = Candidates(n_groups, n_rows + 1)
    # The squares of x~ are those of x - mean over those of the scale, and 1.
    of_columns = inverse_diagonal[:, : samples.n_features] / columns.unit
    of_intercept = inverse_diagonal[:, samples.n_features :].sum(axis=1, keepdims=True)
    for block, _, square in squared_deviations(samples, within, columns, samples.n_logits):
        start, stop = block.index.start - within.start, block.index.stop - within.start
        curvature = weighted_curvature(block, *parameters)
        leverage = curvature * (of_columns @ square.T + of_intercept)
        if together:
            leverage = leverage.sum(axis=0, keepdims=True)
        candidates.add(leverage / chance[start:stop], row_numbers(samples, block), curvature, leverage)
    return candidates.largest()
