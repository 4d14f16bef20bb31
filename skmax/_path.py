"""Minima along a path of weight decays. Each search starts where the last one ended."""

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from skmax._columns import ColumnStats
from skmax._fit import Fit, certain_fit, fit_at, fit_so_far
from skmax._hessian.whole import WholeHessian
from skmax._infinity import with_separation
from skmax._objective import Objective
from skmax._preconditioner import choose_preconditioner
from skmax._problem import Problem, initial_parameters
from skmax._samples import Float64Array
from skmax._softmax import Parameters
from skmax._solver import Report, Solution, minimize

# A rough search keeps the preconditioner of the previous one until it has been used for this many iterations, the
# length of the solver's first stage, or until the weight decay has fallen by this factor. An older preconditioner
# underestimates the gap more and more: on 192 columns of unit rows, scores drifted by 0.4 of a standard error.
_OLD, _FAR_ON = 15, 2.0

# Called after each iteration with its number and a function that returns the fit as if the search ended there. It
# returns True to stop the search.
Watch: TypeAlias = Callable[[int, Callable[[], Fit]], bool]


@dataclass(frozen=True)
class Options:
    """How to search for a minimum. `tol` and `max_iter` are the parameters of the estimators.

    Attributes
    ----------
    report : Report, or None
        Called before each stage of a search, and after the last one.
    watch : Watch, or None
    rough_tol : callable, or None
        Returns a tolerance for the next search, or `tol` applies if that is larger. Unless the whole Hessian is cheap,
        the search ends without a certificate, as soon as its preconditioner estimates that the gap is within the
        tolerance.
    """

    tol: float
    max_iter: int
    report: Report | None = None
    watch: Watch | None = None
    rough_tol: Callable[[], float] | None = None


@dataclass(frozen=True)
class Minimum:
    """The end of the search for one weight decay, in the coordinates of its problem.

    Attributes
    ----------
    objective : Objective
        The objective with its weight decay, computed in float64 whatever the dtype of X.
    columns : ColumnStats
        The columns of the problem or, if there are coefficients without a penalty, linearly independent columns.
    solution : Solution
    rough_tol : float, or None
        The tolerance of a search that ended without a certificate.
    """

    objective: Objective
    columns: ColumnStats
    solution: Solution
    rough_tol: float | None = None


def fit_path(
    problem: Problem, weight_decays: Sequence[float], options: Options, last: Parameters | None = None
) -> Iterator[Fit]:
    """Yield a fit for each of `weight_decays`, in their order; each is computed when the caller asks for it.

    `last` holds the coefficients and intercepts of an earlier fit to start from.
    """
    if problem.encoding.is_certain:
        yield from (certain_fit(problem) for _ in weight_decays)
        return
    theta = initial_parameters(problem, last, weight_decays[0])
    for minimum in minima(problem, weight_decays, theta, options):
        if minimum.rough_tol is None:
            yield fit_at(problem, minimum.objective, minimum.solution, options.tol)
        else:
            solution = minimum.solution
            yield fit_so_far(problem, solution.theta, solution.loss_curve, solution.certificate, solution.converged)


def minima(
    problem: Problem, weight_decays: Sequence[float], theta: Float64Array, options: Options
) -> Iterator[Minimum]:
    """Yield the minimum for each of `weight_decays`. The first search starts at `theta`."""
    objective, exact = problem.objective, problem.objective.exactly()
    columns, change = problem.columns, None
    visited: list[tuple[float, Float64Array]] = []
    age, built_for = 0, np.inf
    turned: bool | None = None  # whether `columns` are independent where all of them are free, or where some are

    def after_iteration(theta: Float64Array, loss_curve: list[float]) -> bool:
        so_far = functools.partial(fit_so_far, problem, theta, list(loss_curve))
        return options.watch is not None and options.watch(len(loss_curve) - 1, so_far)

    for weight_decay in weight_decays:
        objective, exact = objective.penalised(weight_decay), exact.penalised(weight_decay)
        penalty = exact.penalty
        if penalty.has_free and turned is not penalty.is_none:
            columns, change, turned = problem.independent_columns(exact), None, penalty.is_none
        hessian, rough_tol = WholeHessian(exact, columns), None
        if options.rough_tol is not None and not penalty.has_free and not hessian.is_affordable(0):
            rough_tol = max(options.tol, options.rough_tol())
            theta = _extrapolated(objective, theta, visited)
            if age >= _OLD or weight_decay < built_for / _FAR_ON:
                change = None
        old = change.penalised(objective) if change else None
        solution = minimize(
            objective,
            theta,
            functools.partial(choose_preconditioner, columns),
            tol=options.tol,
            max_iter=options.max_iter,
            exact=exact,
            hessian=hessian if rough_tol is None else None,
            rough_tol=rough_tol,
            initial_preconditioner=old,
            watch=None if options.watch is None else after_iteration,
            report=options.report,
        )
        if solution.preconditioner is old:
            age += solution.n_iter
        else:
            age, built_for = solution.n_iter, weight_decay
        if penalty.has_free and not solution.stopped and solution.n_iter < options.max_iter:
            solution = with_separation(solution, exact, columns, options.tol)
        theta, change = solution.theta, solution.preconditioner
        visited = [*visited[-1:], (weight_decay, theta)]
        if penalty.has_free:
            theta = exact.join(*columns.nearest(*exact.split(theta), penalty.mean)).ravel()
            solution = replace(solution, theta=theta)
        yield Minimum(exact, columns, solution, rough_tol)


def _extrapolated(objective: Objective, theta: Float64Array, visited: list[tuple[float, Float64Array]]) -> Float64Array:
    """Extrapolate linearly from the last two minima, in the logarithm of the weight decay.

    This saves a third of the iterations along a path of many weight decays. If the objective is higher there than at
    `theta`, the result is `theta`.
    """
    if len(visited) < 2 or visited[0][0] == visited[1][0]:
        return theta
    (first, there), (second, here) = visited
    further = here + np.log(objective.weight_decay / second) / np.log(second / first) * (here - there)
    return further if objective(further)[0] < objective(theta)[0] else theta
