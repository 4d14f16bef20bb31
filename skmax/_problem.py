"""A data set, measured once: a fit, the grid of weight decays, a path and approximate leave-one-out share it."""

from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np

from skmax._columns import ColumnStats
from skmax._coordinates import Coordinates, work_coordinates
from skmax._objective import Objective
from skmax._prior import Prior
from skmax._samples import Float64Array, Samples
from skmax._softmax import Parameters, of_all_classes
from skmax._target import Encoding

# The most steps in the intercepts alone before a search with offsets or prior means, and one that is the last.
_MOST_INTERCEPT_STEPS, _SMALL_INTERCEPT_STEP = 5, 0.3

WeightDecay: TypeAlias = float | Literal["1/n_samples"]


@dataclass(frozen=True)
class Problem:
    """One data set, ready for fits with any weight decay.

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
    prior : Prior
        The penalty factors and prior means of all classes, in the user's columns.
    """

    encoding: Encoding
    given: Objective
    objective: Objective
    columns: ColumnStats
    coordinates: Coordinates
    prior: Prior

    @classmethod
    def of(cls, samples: Samples, encoding: Encoding, prior: Prior | None = None, *, rotate: bool = True) -> "Problem":
        """Measure the columns of `samples` and choose the coordinates.

        Only if `rotate` may a basis of the rows take the place of the columns.
        """
        prior, given = prior or Prior(), Objective(samples)
        if encoding.is_certain:  # the minimum is known without the columns
            unit = ColumnStats(np.zeros(given.n_features), np.ones(given.n_features))
            return cls(encoding, given, given, unit, Coordinates(), prior)
        penalty = prior.penalty(encoding)
        coordinates, samples, columns, own = work_coordinates(
            samples, centred=given.fit_intercept, penalty=penalty, rotate=rotate
        )
        given = replace(given, penalty=penalty)
        objective = replace(given, samples=samples, penalty=own)
        return cls(encoding, given, objective, columns, coordinates, prior)

    def decay(self, weight_decay: WeightDecay) -> float:
        """The number that the parameter `weight_decay` stands for."""
        return 1 / self.encoding.weight_sum if isinstance(weight_decay, str) else float(weight_decay)

    def independent_columns(self, exact: Objective) -> ColumnStats:
        """Linearly independent columns for the minimum of `exact`, which is in float64.

        Only columns without a penalty are rotated. Columns that have no penalty in some classes only stay unchanged.
        """
        free = np.all(np.atleast_2d(exact.penalty.free), axis=0)
        dtype = self.given.samples.dtype
        # Subtracting an origin is exact; the differences have the precision of float64.
        precision = float(np.finfo(dtype if self.coordinates.are_the_users else np.float64).eps)
        digits = self.coordinates.digits(self.columns, dtype)
        return self.columns.independent(
            exact.samples,
            centred=exact.fit_intercept,
            precision=precision,
            digits=digits,
            free=None if free.all() else free,
        )


def initial_parameters(problem: Problem, last: Parameters | None = None, weight_decay: float = np.inf) -> Float64Array:
    """The flat parameters at which a search for this weight decay starts.

    By default they are the minimum at infinite weight decay: coefficients at their prior means or at zero, with the
    logarithms of the class frequencies as intercepts, or approximately the best intercepts if there are prior means or
    offsets. If f is lower without the prior means, which may not fit these rows at all, the coefficients are zero. If
    the coefficients and intercepts of the `last` fit are given, they are used for all classes that had weight in that
    fit.
    """
    objective, encoding = problem.objective, problem.encoding
    start = problem.prior.start(encoding)
    if last is not None or start is None:
        return _initial(problem, None, last)
    at_means = _initial(problem, start, None)
    if weight_decay == np.inf:
        return at_means
    at_zero, penalised = _initial(problem, None, None), objective.penalised(weight_decay)
    return at_means if penalised(at_means)[0] <= penalised(at_zero)[0] else at_zero


def _initial(problem: Problem, start: Parameters | None, last: Parameters | None) -> Float64Array:
    """The parameters that begin at `start`, the prior means and intercepts of the classes with weight, or at `last`."""
    objective, encoding = problem.objective, problem.encoding
    coef = np.zeros((objective.n_logits, objective.n_features))
    log_frequency = np.log(encoding.frequency)
    intercept = log_frequency[1:] - log_frequency[0] if objective.n_logits == 1 else log_frequency
    if start is not None:
        coef, begin = problem.coordinates.inward(start[0], np.where(np.isfinite(start[1]), start[1], 0.0))
        intercept = np.where(np.isfinite(start[1]), begin, intercept)
    if last is not None:
        rows = encoding.rows
        known = np.isfinite(last[1][rows])  # a class without weight in the last fit has an intercept of -inf
        coef[known], intercept[known] = problem.coordinates.inward(
            *(part[rows][known].astype(np.float64) for part in last)
        )
    theta = objective.join(coef, intercept)
    theta = (theta - theta.mean(axis=0) if objective.n_logits > 1 else theta).ravel()
    if last is None and objective.fit_intercept and (start is not None or objective.samples.has_offset):
        theta = _with_better_intercepts(objective, encoding, theta)
    return theta


def _with_better_intercepts(objective: Objective, encoding: Encoding, theta: Float64Array) -> Float64Array:
    """`theta` with better intercepts, which are nearly optimal if they differ much from those given.

    With the mean probabilities P_k of the classes at theta, and their frequencies y_k, steps d in the intercepts have

        f(b + d) - f(b) = (1/S) sum_i s_i log sum_k p_ik exp(d_k) - <y, d>  <=  log sum_k P_k exp(d_k) - <y, d>,

    as the logarithm is concave, and the right-hand side is lowest, and at most 0, at d_k = log(y_k / P_k).
    """
    for _ in range(_MOST_INTERCEPT_STEPS):
        mean = of_all_classes(objective.mean_probability(theta))
        step = np.log(encoding.frequency) - np.log(np.maximum(mean, np.finfo(np.float64).tiny))
        step = step[1:] - step[0] if objective.n_logits == 1 else step - step.mean()
        coef, intercept = objective.split(theta)
        theta = objective.join(coef, intercept + step).ravel()
        if np.abs(step).max() < _SMALL_INTERCEPT_STEP:
            break
    return theta
