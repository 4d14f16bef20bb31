"""The result of a fit in the user's columns, classes and dtype: the numbers that an estimator stores."""

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skmax._certificate import Certificate
from skmax._infinity import n_unseparated, receding_classes
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
    """The result of a fit, in the user's columns, with a row for each class (or a single one for two classes).

    `attributes` names the attributes that an estimator stores.

    Attributes
    ----------
    stopped : bool
        Whether a callback ended the search.
    has_offset : bool
        Whether the rows had offsets.
    separates : bool
        Whether, by coefficients without a penalty, every row with weight is on the right side, so that the minimum is
        at infinity.
    without_penalty : str
        Which parameter leaves coefficients without a penalty.
    receding : list, or None
        The classes whose rows recede for ever from those of others, which also puts the minimum at infinity.
    """

    classes: NDArray
    coef: FloatArray
    intercept: FloatArray
    objective: float
    certificate: Certificate
    converged: bool
    loss_curve: Float64Array
    stopped: bool = False
    has_offset: bool = False
    separates: bool = False
    without_penalty: str = "weight_decay=0"
    receding: list[Any] | None = None

    @property
    def gap(self) -> float:
        return self.certificate.gap

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
        """The text of a ConvergenceWarning, or None if there is nothing to warn of."""
        penalise = f"Pass {self.without_penalty.replace('=0', ' > 0')}"
        if self.separates:
            return (
                f"The model separates the classes without error, which with {self.without_penalty} puts the minimum at "
                f"infinity: the coefficients, now up to {np.abs(self.coef).max():.1e}, would grow for ever."
                f" {penalise}."
            )
        if self.receding is not None:
            return (
                f"Some rows of the classes {self.receding} are separated from others without error, which with "
                f"{self.without_penalty} puts the minimum at infinity: the coefficients, now up to "
                f"{np.abs(self.coef).max():.1e}, would grow for ever. {penalise}, or leave out the columns that "
                "separate them."
                + (f" The objective is {self.gap:.1e} above its infimum, or less." if self.gap > tol else "")
            )
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
    """The fit at the minimum of `objective`, with the objective and gap of the coefficients that are stored.

    Coefficients are stored in the dtype of X. Rounding them usually changes the objective by its square, which is
    negligible; but float32 coefficients of columns far from zero would lose what their intercept makes up for. Where
    that would cost a tenth of `tol`, they are stored as float64.
    """
    coordinates = problem.coordinates
    coef, intercept = coordinates.outward(*objective.split(solution.theta))
    coef = problem.given.penalty.centred(coef)
    in_user_columns = objective
    if coordinates.basis is not None:
        samples = problem.given.samples
        samples = samples if coordinates.origin is None else samples.with_origin(coordinates.origin)
        in_user_columns = problem.given.with_samples(samples).exactly().penalised(objective.weight_decay)

    def value(dtype: Any) -> float:
        rounded = coef.astype(dtype).astype(np.float64), intercept.astype(dtype).astype(np.float64)
        return in_user_columns.value(in_user_columns.join(*coordinates.from_origin(*rounded)).ravel())

    reached = solution.value
    stored = reached if coordinates.are_the_users and not objective.penalty.has_free else value(np.float64)
    if problem.given.samples.dtype == np.float32:
        rounded = value(np.float32)
        if rounded - reached <= _ROUNDING_SHARE * tol:
            stored, coef, intercept = rounded, coef.astype(np.float32), intercept.astype(np.float32)
    certificate = dataclasses.replace(solution.certificate, gap=solution.certificate.gap + max(0.0, stored - reached))
    return Fit(
        problem.encoding.classes,
        *_for_all_classes(problem, coef, intercept),
        objective=stored,
        certificate=certificate,
        converged=certificate.within(tol),
        loss_curve=np.array([*solution.loss_curve[:-1], stored]),
        stopped=solution.stopped,
        has_offset=problem.given.samples.has_offset,
        separates=objective.penalty.has_free and not n_unseparated(objective, solution.theta),
        without_penalty="weight_decay=0" if objective.penalty.is_none else "penalty_factor=0",
        receding=receding_classes(problem.encoding, objective, solution),
    )


def fit_so_far(problem: Problem, theta: Float64Array, loss_curve: list[float]) -> Fit:
    """The fit at `theta`, of whose distance from the minimum nothing is known."""
    coef, intercept = problem.coordinates.outward(*problem.objective.split(theta))
    parts = problem.given.penalty.centred(coef), intercept
    coef, intercept = (part.astype(problem.given.samples.dtype, copy=False) for part in parts)
    return Fit(
        problem.encoding.classes,
        *_for_all_classes(problem, coef, intercept),
        objective=loss_curve[-1],
        certificate=_UNKNOWN,
        converged=False,
        loss_curve=np.array(loss_curve),
        has_offset=problem.given.samples.has_offset,
    )


def certain_fit(problem: Problem) -> Fit:
    """The fit where one class has all of the weight: its probability is 1 everywhere, at an infinite intercept."""
    encoding, dtype = problem.encoding, problem.given.samples.dtype
    if len(encoding.classes) == 2:
        intercept = np.where(encoding.present[1:], np.inf, -np.inf)
    else:
        intercept = np.where(encoding.present, 0.0, -np.inf)
    coef = np.zeros((len(intercept), problem.given.n_features)) if problem.prior.mean is None else problem.prior.mean
    return Fit(
        encoding.classes,
        coef.astype(dtype),
        intercept.astype(dtype, copy=False),
        objective=0.0,
        certificate=Certificate(0.0, 0.0, is_bound=True),
        converged=True,
        loss_curve=np.zeros(1),
        has_offset=problem.given.samples.has_offset,
    )


def _for_all_classes(problem: Problem, coef: FloatArray, intercept: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Coefficients and intercepts with a row for the absent classes too.

    Their intercepts are -inf, and their coefficients the prior means, as nothing but the penalty depends on them.
    """
    encoding, mean = problem.encoding, problem.prior.mean
    if encoding.n_logits == 1:
        return coef, intercept
    n_classes = len(encoding.classes)
    all_coef = np.zeros((n_classes, coef.shape[1]), dtype=coef.dtype)
    if mean is not None:
        all_coef[:] = mean
    all_intercept = np.full(n_classes, -np.inf, dtype=coef.dtype)
    all_coef[encoding.present], all_intercept[encoding.present] = coef, intercept
    return all_coef, all_intercept
