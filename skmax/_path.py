"""Minima along a path of weight decays. Each search starts where the last one ended."""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from skmax._columns import ColumnStats
from skmax._fit import Fit, certain_fit, fit_at, fit_so_far
from skmax._hessian.whole import WholeHessian
from skmax._infinity import with_separation
from skmax._objective import Objective
from skmax._preconditioner import choose_preconditioner
from skmax._problem import Problem, initial_parameters
from skmax._progress import StagePrinter
from skmax._samples import Float64Array
from skmax._softmax import FloatArray
from skmax._solver import Preconditioner, Solution, minimize

# A rough search keeps the preconditioner of the one before until it has served for this many iterations, the length of
# the solver's first stage, or the weight decay has fallen by this factor. Kept for longer, it hides more and more of
# the gap: on 192 columns of unit rows, scores drifted by 0.4 of a standard error.
_OLD, _FAR_ON = 15, 2.0

# Called after each iteration with a function that returns the fit as if it ended there; returns True to stop.
Watch: TypeAlias = Callable[[Callable[[], Fit]], bool]


# Called with the weight decay, the number of iterations and the latest estimate of the gap, which may be nan.
Progress: TypeAlias = Callable[[float, int, float], None]


@dataclass(frozen=True)
class Options:
    """How to search for a minimum. The first three are the parameters of the estimators.

    Attributes
    ----------
    progress : Progress, or None
        Is told of each iteration, in place of what `verbose` prints.
    rough_tol : callable, or None
        Is asked for a tolerance before each search. Where the whole Hessian would cost much, the search then ends
        without a certificate, where its preconditioner estimates that the gap is within that tolerance, or `tol`.
    """

    tol: float
    max_iter: int
    verbose: int = 0
    watch: Watch | None = None
    progress: Progress | None = None
    rough_tol: Callable[[], float] | None = None


@dataclass(frozen=True)
class Minimum:
    """Where the search for one weight decay ended, in the coordinates of its problem.

    Attributes
    ----------
    objective : Objective
        The objective with its weight decay, in float64 products whatever the dtype of X.
    columns : ColumnStats
        Those of the problem, or, where coefficients are not penalised, columns that are independent.
    solution : Solution
    rough_tol : float, or None
        The tolerance of a search that was to end without a certificate.
    """

    objective: Objective
    columns: ColumnStats
    solution: Solution
    rough_tol: float | None = None


def fit_path(
    problem: Problem,
    weight_decays: Sequence[float],
    options: Options,
    last: tuple[FloatArray, FloatArray] | None = None,
) -> list[Fit]:
    """A fit for each of `weight_decays`, in their order.

    `last` holds the coefficients and intercepts of an earlier fit to start from.
    """
    return list(fits_along(problem, weight_decays, options, last))


def fits_along(
    problem: Problem,
    weight_decays: Sequence[float],
    options: Options,
    last: tuple[FloatArray, FloatArray] | None = None,
) -> Iterator[Fit]:
    """The fits of `fit_path`, each when it is asked for."""
    if problem.encoding.is_certain:
        yield from (certain_fit(problem) for _ in weight_decays)
        return
    for minimum in minima(problem, weight_decays, initial_parameters(problem, last), options):
        if minimum.rough_tol is None:
            yield fit_at(problem, minimum.objective, minimum.solution, options.tol)
        else:
            solution = minimum.solution
            fit = fit_so_far(problem, solution.theta, solution.loss_curve)
            yield dataclasses.replace(fit, certificate=solution.certificate, converged=solution.converged)


def minima(
    problem: Problem, weight_decays: Sequence[float], theta: Float64Array, options: Options
) -> Iterator[Minimum]:
    """The minimum for each of `weight_decays`: the first search starts at `theta`, each other where the last ended."""
    objective, exact = problem.objective, problem.objective.exactly()
    columns, change, watch, progress = problem.columns, None, options.watch, options.progress
    visited: list[tuple[float, Float64Array]] = []
    age, built_for, gap = 0, np.inf, np.nan
    turned: bool | None = None  # whether `columns` are independent where all of them are free, or where some are

    def after_iteration(theta: Float64Array, loss_curve: list[float]) -> bool:
        if progress is not None:
            progress(objective.weight_decay, len(loss_curve) - 1, gap)
        return watch is not None and watch(functools.partial(fit_so_far, problem, theta, list(loss_curve)))

    def report(n_iter: int, value: float, estimate: float, preconditioner: Preconditioner | None) -> None:
        nonlocal gap
        gap = estimate
        if progress is not None:
            progress(objective.weight_decay, n_iter, gap)

    for weight_decay in weight_decays:
        objective, exact = objective.penalised(weight_decay), exact.penalised(weight_decay)
        gap = np.nan
        penalty = exact.penalty
        if penalty.has_free and turned is not penalty.is_none:
            columns, change, turned = problem.independent_columns(exact), None, penalty.is_none
        hessian, rough_tol = WholeHessian(exact, columns), None
        if options.rough_tol is not None and not penalty.has_free and not hessian.pays(0):
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
            watch=after_iteration if watch or progress else None,
            report=report if progress is not None else StagePrinter() if options.verbose else None,
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
            solution = dataclasses.replace(solution, theta=theta)
        yield Minimum(exact, columns, solution, rough_tol)


def _extrapolated(objective: Objective, theta: Float64Array, visited: list[tuple[float, Float64Array]]) -> Float64Array:
    """The point on the line through the last two minima, linear in the logarithm of the weight decay, or `theta`.

    Along a path of many weight decays this saves a third of the iterations. It is taken if it is lower than `theta`.
    """
    if len(visited) < 2 or visited[0][0] == visited[1][0]:
        return theta
    (first, there), (second, here) = visited
    further = here + np.log(objective.weight_decay / second) / np.log(second / first) * (here - there)
    return further if objective(further)[0] < objective(theta)[0] else theta
