"""A data set, measured once: a fit, a grid of weight decays, a path and approximate leave-one-out share the result."""

import dataclasses
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from skmax._columns import ColumnStats
from skmax._coordinates import Coordinates, work_coordinates
from skmax._objective import Objective
from skmax._samples import Design, Float64Array, Samples
from skmax._softmax import FloatArray
from skmax._target import Encoding, Target
from skmax._threads import Workers

WeightDecay: TypeAlias = float | Literal["1/n_samples"]


def local_objective(X: Design, target: Target, *, fit_intercept: bool, pool: Workers | None = None) -> Objective:
    """The objective of an X in memory, without weight decay."""
    return Objective(target.samples(X, fit_intercept=fit_intercept, pool=pool))


@dataclass(frozen=True)
class Problem:
    """One data set, measured and ready to be fitted with any weight decay.

    Attributes
    ----------
    encoding : Encoding
        The classes, their frequencies and the total weight.
    given : Objective
        The objective of the columns that the user passed, without weight decay.
    objective : Objective
        The same objective in `coordinates`.
    columns : ColumnStats
        The means and scales of the columns of `objective`.
    coordinates : Coordinates
        The change from the user's columns to those of `objective`.
    """

    encoding: Encoding
    given: Objective
    objective: Objective
    columns: ColumnStats
    coordinates: Coordinates

    @classmethod
    def of(cls, given: Objective, encoding: Encoding, *, rotate: bool = True) -> "Problem":
        """Measure the columns of `given` and choose the coordinates, with a basis of the rows only if `rotate`."""
        if encoding.is_certain:  # the minimum is known, so no column needs to be measured
            n_features = given.n_features
            return cls(encoding, given, given, ColumnStats(np.zeros(n_features), np.ones(n_features)), Coordinates())
        coordinates, samples, columns = work_coordinates(given.samples, centred=given.fit_intercept, rotate=rotate)
        return cls(encoding, given, given.with_samples(samples), columns, coordinates)

    def on(self, pool: Workers) -> "Problem":
        """The same problem on other threads: those it was built on end with their `workers()` block."""
        given, objective = (each.with_samples(each.samples.on(pool)) for each in (self.given, self.objective))
        return dataclasses.replace(self, given=given, objective=objective)

    def decay(self, weight_decay: WeightDecay) -> float:
        """The number that the parameter `weight_decay` stands for."""
        return 1 / self.encoding.weight_sum if isinstance(weight_decay, str) else float(weight_decay)

    def independent_columns(self, samples: Samples) -> ColumnStats:
        """The columns for a fit without weight decay to `samples` in float64, turned where they are dependent."""
        dtype = self.given.samples.dtype
        # Subtracting an origin is exact, but leaves float64 numbers.
        precision = float(np.finfo(dtype if self.coordinates.are_the_users else np.float64).eps)
        digits = self.coordinates.digits(self.columns, dtype)
        return self.columns.independent(samples, centred=samples.fit_intercept, precision=precision, digits=digits)


def initial_parameters(problem: Problem, last: tuple[FloatArray, FloatArray] | None = None) -> Float64Array:
    """The flat parameters at which a search starts.

    By default these are the minimum under infinite weight decay: coefficients of zero, and as intercepts the logarithms
    of the class frequencies. With the coefficients and intercepts of the `last` fit, they are those, for all classes
    that had weight in it.
    """
    objective, encoding = problem.objective, problem.encoding
    coef = np.zeros((objective.n_logits, objective.n_features))
    log_frequency = np.log(encoding.frequency)
    intercept = log_frequency[1:] - log_frequency[0] if objective.n_logits == 1 else log_frequency
    if last is not None:
        rows = encoding.present if objective.n_logits > 1 else [True]
        known = np.isfinite(last[1][rows])  # a class without weight in the last fit has an intercept of -inf
        coef[known], intercept[known] = problem.coordinates.inward(
            *(part[rows][known].astype(np.float64) for part in last)
        )
    theta = objective.join(coef, intercept)
    return (theta - theta.mean(axis=0) if objective.n_logits > 1 else theta).ravel()
