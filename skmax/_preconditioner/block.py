"""The blocks on the diagonal of the Hessian."""

from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np
from scipy import linalg

from skmax._columns import ColumnStats
from skmax._hessian.factored import factorise
from skmax._hessian.measure import logit_curvature
from skmax._objective import Objective
from skmax._preconditioner.base import BasePreconditioner
from skmax._preconditioner.diagonal import DiagonalPreconditioner
from skmax._preconditioner.sampling import complete, describe_sample, sample, sample_size
from skmax._samples import Float64Array


@dataclass(frozen=True, eq=False)
class BlockPreconditioner(BasePreconditioner):
    """The Hessian's blocks on the diagonal, one for each logit, weighted by that class's own curvature.

    It accounts for the correlations of the columns in each class, and leaves the coupling of the classes to L-BFGS. For
    a block, a sample of 4 n_columns rows is enough.
    """

    name = "block"
    most_evaluations = 40
    takes_turns = False
    stages_grow = True

    blocks: list[Float64Array]
    factors: list[tuple[Float64Array, Float64Array]] = field(default_factory=list)

    @staticmethod
    def cost(objective: Objective) -> float:
        n_columns = objective.n_columns
        n_rows = sample_size(n_columns, objective.samples.n_samples)
        return objective.n_logits * (n_rows * n_columns**2 + n_columns**3 / 3)

    @staticmethod
    def numbers(objective: Objective) -> int:
        """The size of the blocks or, if it is larger, of the tables of the rows used, with four numbers of a sample."""
        n_rows = sample_size(objective.n_columns, objective.samples.n_samples)
        table = objective.n_logits * n_rows * (4 if n_rows < objective.samples.n_samples else 1)
        return max(objective.n_logits * objective.n_columns**2, table)

    @classmethod
    def at(cls, objective: Objective, columns: ColumnStats, theta: Float64Array, damping: float = 0.0) -> Self:
        samples, n_columns = objective.samples, objective.n_columns
        n_rows = sample_size(n_columns, samples.n_samples)
        if n_rows == samples.n_samples:
            whole = samples.rows(slice(None))
            standardized = columns.standardized(whole, objective.fit_intercept)
            curvature = logit_curvature(whole.probability(*samples.parameters(theta)))
            root = np.sqrt(curvature if whole.weight is None else curvature * whole.weight)

            def block(k: int) -> Float64Array:
                return gram(standardized * root[k][:, None])
        else:
            diagonal = DiagonalPreconditioner.at(objective, columns, theta, damping)
            chosen = sample(objective, columns, theta, diagonal.diagonal, n_rows, together=False)

            def block(k: int) -> Float64Array:
                index, curvature, factor = chosen[k]
                part = columns.standardized(samples.rows(index), objective.fit_intercept)
                part *= np.sqrt(curvature * factor)[:, None]
                result = gram(part)
                complete(result, diagonal.curvature[k])
                return result

        def gram(scaled: Float64Array) -> Float64Array:
            result = scaled.T @ scaled
            result /= samples.weight_sum
            return result

        blocks = samples.workers.map_each(block, objective.n_logits, n_rows * n_columns**2)
        rows_used = describe_sample(n_rows, samples.n_samples)
        return cls._of(objective, columns, damping, blocks, rows_used=rows_used)

    def penalised(self, objective: Objective) -> Self:
        penalty, workers = self._penalty_of_each(objective), objective.samples.workers

        def factor(k: int) -> tuple[Float64Array, Float64Array]:
            return factorise(self.blocks[k], penalty[k])[:2]

        return replace(self, factors=workers.map_each(factor, self.n_logits, objective.n_columns**3))

    def _from_v(self, v: Float64Array) -> Float64Array:
        parts = zip(v.reshape(self.n_logits, -1), self.factors, strict=True)
        return np.concatenate(
            [root * linalg.blas.dtrsv(factor, part, lower=1, trans=1) for part, (root, factor) in parts]
        )

    def _to_v(self, gradient: Float64Array) -> Float64Array:
        parts = zip(gradient.reshape(self.n_logits, -1), self.factors, strict=True)
        return np.concatenate([linalg.blas.dtrsv(factor, root * part, lower=1) for part, (root, factor) in parts])
