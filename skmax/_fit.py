"""The result of a fit in the user's columns, classes and dtype: the numbers that an estimator stores."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skmax._certificate.base import Certificate
from skmax._infinity import why_infinite
from skmax._objective import Objective
from skmax._problem import Problem
from skmax._samples import Float64Array
from skmax._softmax import FloatArray
from skmax._solver import Solution

# Coefficients for a float32 X stay float64 if rounding them would raise the objective by more than this share of `tol`.
_ROUNDING_SHARE = 0.1
_UNKNOWN = Certificate(np.nan, np.inf, is_bound=False)


@dataclass(frozen=True)
class Fit:
    """The result of a fit, in the user's columns, with a row for each class (or a single row for two classes).

    `attributes` has the names under which an estimator stores it.

    Attributes
    ----------
    stopped : bool
        Whether a callback stopped the search.
    has_offset : bool
        Whether the rows had offsets.
    at_infinity : str, or None
        The warning that is due if the minimum is at infinity, along coefficients without a penalty.
    """

    classes: NDArray
    coef: FloatArray
    intercept: FloatArray
    loss_curve: Float64Array
    certificate: Certificate
    converged: bool
    stopped: bool = False
    has_offset: bool = False
    at_infinity: str | None = None

    @classmethod
    def of(
        cls,
        problem: Problem,
        coef: FloatArray,
        intercept: FloatArray,
        loss_curve: Sequence[float],
        certificate: Certificate,
        converged: bool,
        **others: Any,
    ) -> "Fit":
        """Create a fit that also has rows for the absent classes.

        Their intercepts are -inf, and their coefficients the prior means, as only the penalty depends on them.
        """
        encoding, mean = problem.encoding, problem.prior.mean
        if len(encoding.classes) > 2:
            n_classes = len(encoding.classes)
            present_coef, present_intercept = coef, intercept
            coef = np.zeros((n_classes, coef.shape[1]), dtype=coef.dtype)
            if mean is not None:
                coef[:] = mean
            intercept = np.full(n_classes, -np.inf, dtype=coef.dtype)
            coef[encoding.present], intercept[encoding.present] = present_coef, present_intercept
        others["has_offset"] = problem.given.samples.has_offset
        return cls(encoding.classes, coef, intercept, np.array(loss_curve), certificate, converged, **others)

    @property
    def gap(self) -> float:
        return self.certificate.gap

    @property
    def objective(self) -> float:
        return float(self.loss_curve[-1])

    @property
    def n_iter(self) -> int:
        return len(self.loss_curve) - 1

    def attributes(self) -> dict[str, Any]:
        """The fitted attributes of an estimator."""
        return {
            "classes_": self.classes,
            "coef_": self.coef,
            "intercept_": self.intercept,
            "objective_": self.objective,
            "gap_": self.gap,
            "gap_is_bound_": self.certificate.is_bound,
            "converged_": self.converged,
            "n_iter_": self.n_iter,
            "loss_curve_": self.loss_curve,
            "n_features_in_": self.coef.shape[1],
            "has_offset_": self.has_offset,
        }

    def warning(self, tol: float, max_iter: int) -> str | None:
        """The text of a ConvergenceWarning, or None if no warning is due."""
        if self.at_infinity is not None:
            return self.at_infinity
        if self.converged or self.stopped:
            return None
        far = f"an estimated {self.gap:.1e} above its minimum"
        if self.gap <= tol:
            far += ", which is not certain"
            if not self.certificate.holds:
                far += ", as another step would still change the logits of some rows by 1 or more"
        else:
            far += f", further than tol={tol:g}"
        if self.n_iter >= max_iter:
            advice = "Raise max_iter."
        else:
            advice = (
                "No step from here makes it smaller, at the limit of float precision or between outliers: raise tol or "
                "weight_decay, pass float64, or look for values far from the others of their column."
            )
        return f"The objective is {self.objective:.6g}, {far}, after {self.n_iter} iterations. {advice}"


def fit_at(problem: Problem, objective: Objective, solution: Solution, tol: float) -> Fit:
    """The fit at the minimum of `objective`, with the objective and the gap of the coefficients as stored.

    Coefficients are stored in the dtype of X. Rounding them usually changes the objective by a negligible amount, of
    second order. With columns far from zero, however, float32 coefficients no longer cancel against their intercept. If
    that would raise the objective by a tenth of `tol`, the coefficients are stored as float64. A device without float64
    cannot store them, and the gap includes the rise.
    """
    coordinates = problem.coordinates
    coef, intercept = coordinates.outward(*objective.split(solution.theta))
    coef = problem.given.penalty.centred(coef)
    has_centre = len(coef) > 1 and problem.given.penalty.has_centre
    in_user_columns = objective
    if coordinates.basis is not None:
        samples = problem.given.samples
        samples = samples if coordinates.origin is None else samples.with_origin(coordinates.origin)
        in_user_columns = problem.given.with_samples(samples).exactly().penalised(objective.weight_decay)

    def value(dtype: Any) -> float:
        rounded = coef.astype(dtype).astype(np.float64), intercept.astype(dtype).astype(np.float64)
        if has_centre:  # what all classes have in common changes no probability, but may be so large as to hide it
            rounded = rounded[0] - rounded[0].mean(axis=0), rounded[1]
        return in_user_columns.value(in_user_columns.join(*coordinates.from_origin(*rounded)).ravel())

    reached = solution.value
    unchanged = coordinates.are_the_users and not objective.penalty.has_free and not has_centre
    stored = reached if unchanged else value(np.float64)
    if problem.given.samples.dtype == np.float32:
        rounded = value(np.float32)
        if rounded - reached <= _ROUNDING_SHARE * tol or not problem.given.samples.has_float64:
            stored, coef, intercept = rounded, coef.astype(np.float32), intercept.astype(np.float32)
    certificate = replace(solution.certificate, gap=solution.certificate.gap + max(0.0, stored - reached))
    return Fit.of(
        problem,
        coef,
        intercept,
        [*solution.loss_curve[:-1], stored],
        certificate,
        certificate.within(tol),
        stopped=solution.stopped,
        at_infinity=why_infinite(problem.encoding, objective, solution, coef, certificate.gap, tol),
    )


def fit_so_far(
    problem: Problem,
    theta: Float64Array,
    loss_curve: Sequence[float],
    certificate: Certificate = _UNKNOWN,
    converged: bool = False,
) -> Fit:
    """The fit at `theta`, without a pass over the rows. By default, its gap is unknown."""
    coef, intercept = problem.coordinates.outward(*problem.objective.split(theta))
    parts = problem.given.penalty.centred(coef), intercept
    coef, intercept = (part.astype(problem.given.samples.dtype, copy=False) for part in parts)
    return Fit.of(problem, coef, intercept, loss_curve, certificate, converged)


def certain_fit(problem: Problem) -> Fit:
    """The fit where one class has all of the weight: its probability is 1 everywhere, at an infinite intercept."""
    encoding, dtype = problem.encoding, problem.given.samples.dtype
    intercept = np.zeros(1, dtype=dtype)
    if len(encoding.classes) == 2:
        intercept[0] = np.inf if encoding.present[1] else -np.inf
    start = problem.prior.start(encoding)
    coef = np.zeros((1, problem.given.n_features)) if start is None else start[0]
    return Fit.of(problem, coef.astype(dtype), intercept, [0.0], Certificate(0.0, 0.0, is_bound=True), True)
