"""The numerical part of a fit, from the objective to the numbers that an estimator stores.

1. `Problem.of` measures the columns of a data set and chooses the coordinates in which to minimise. It is done once
   for each data set: a fit, a grid of weight decays, a path and approximate leave-one-out share the result.
2. `initial_parameters` gives the point to start from.
3. `minima` minimises the objective for one weight decay after the other, starting each search where the last one ended.
4. `fit_path` brings each minimum back to the user's columns and dtype, and returns it as a `Fit`.

The functions here know nothing of estimators.
"""

import dataclasses
import functools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from skmax._certificate import INFINITY, Certificate, Point, approach_infinity
from skmax._columns import ColumnStats, Coordinates, work_coordinates
from skmax._hessian import WholeHessian
from skmax._objective import Objective
from skmax._preconditioner import choose_preconditioner
from skmax._samples import Design, Float64Array, LocalSamples
from skmax._separation import separation
from skmax._softmax import FloatArray
from skmax._solver import Preconditioner, Solution, minimize
from skmax._target import Encoding, Target
from skmax._threads import Workers

WeightDecay: TypeAlias = float | Literal["1/n_samples"]

# A rough search keeps the preconditioner of the one before until it has served for this many iterations, the length of
# the solver's first stage, or the weight decay has fallen by this factor. Kept for longer, it hides more and more of
# the gap: on 192 columns of unit rows, scores drifted by 0.4 of a standard error.
_OLD, _FAR_ON = 15, 2.0
# Coefficients for a float32 X stay float64 if rounding them would raise the objective by more than this share of `tol`.
_ROUNDING_SHARE = 0.1
_UNKNOWN = Certificate(np.nan, np.inf, is_bound=False)


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


@dataclass(frozen=True)
class Fit:
    """The result of a fit, in the user's columns, with a row for each class (or a single one for two classes).

    `attributes` names the attributes that an estimator stores.

    Attributes
    ----------
    stopped : bool
        Whether a callback ended the search.
    separates : bool
        Whether, without weight decay, every row with weight is on the right side, so that the minimum is at infinity.
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
    separates: bool = False
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
        }

    def warning(self, options: "Options") -> str | None:
        """The text of a ConvergenceWarning, or None if there is nothing to warn of."""
        if self.separates:
            return (
                "The model separates the classes without error, which with weight_decay=0 puts the minimum at infinity:"
                f" the coefficients, now up to {np.abs(self.coef).max():.1e}, would grow for ever."
                " Pass weight_decay > 0."
            )
        if self.receding is not None:
            return (
                f"Some rows of the classes {self.receding} are separated from others without error, which with "
                "weight_decay=0 puts the minimum at infinity: the coefficients, now up to "
                f"{np.abs(self.coef).max():.1e}, would grow for ever. Pass weight_decay > 0, or leave out the columns "
                "that separate them."
                + (f" The objective is {self.gap:.1e} above its infimum, or less." if self.gap > options.tol else "")
            )
        if self.converged or self.stopped:
            return None
        far = f"an estimated {self.gap:.1e} above its minimum"
        if self.gap <= options.tol:
            far += ", which is not certain"
            if not self.certificate.holds:
                far += ", as another step would still change the logits of some rows by 1 or more"
        else:
            far += f", further than tol={options.tol:g}"
        if self.n_iter >= options.max_iter:
            advice = "Raise max_iter."
        else:
            advice = (
                "No step from here makes it smaller, at the limit of float precision or between outliers: raise tol or "
                "weight_decay, pass float64, or look for values far from the others of their column."
            )
        return f"The objective is {self.objective:.6g}, {far}, after {self.n_iter} iterations. {advice}"


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
        Those of the problem, or, without weight decay, columns that are independent.
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
        yield from (_certain_fit(problem) for _ in weight_decays)
        return
    for minimum in minima(problem, weight_decays, initial_parameters(problem, last), options):
        if minimum.rough_tol is None:
            yield _fit_at(problem, minimum, options.tol)
        else:
            solution = minimum.solution
            fit = _fit_so_far(problem, solution.theta, solution.loss_curve)
            yield dataclasses.replace(fit, certificate=solution.certificate, converged=solution.converged)


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


def minima(
    problem: Problem, weight_decays: Sequence[float], theta: Float64Array, options: Options
) -> Iterator[Minimum]:
    """The minimum for each of `weight_decays`: the first search starts at `theta`, each other where the last ended."""
    objective, exact = problem.objective, problem.objective.exactly()
    columns, change, watch, progress = problem.columns, None, options.watch, options.progress
    visited: list[tuple[float, Float64Array]] = []
    age, built_for, gap = 0, np.inf, np.nan

    def after_iteration(theta: Float64Array, loss_curve: list[float]) -> bool:
        if progress is not None:
            progress(objective.weight_decay, len(loss_curve) - 1, gap)
        return watch is not None and watch(functools.partial(_fit_so_far, problem, theta, list(loss_curve)))

    def report(n_iter: int, value: float, estimate: float, preconditioner: Preconditioner | None) -> None:
        nonlocal gap
        gap = estimate
        if progress is not None:
            progress(objective.weight_decay, n_iter, gap)

    for weight_decay in weight_decays:
        objective, exact = objective.penalised(weight_decay), exact.penalised(weight_decay)
        gap = np.nan
        if weight_decay == 0 and columns.turn is None:
            columns, change = independent_columns(problem, exact), None
        hessian, rough_tol = WholeHessian(exact, columns), None
        if options.rough_tol is not None and weight_decay > 0 and not hessian.pays(0):
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
            report=report if progress is not None else _Printer() if options.verbose else None,
        )
        if solution.preconditioner is old:
            age += solution.n_iter
        else:
            age, built_for = solution.n_iter, weight_decay
        if weight_decay == 0 and not solution.stopped and solution.n_iter < options.max_iter:
            solution = _with_separation(solution, exact, columns, options.tol)
        theta, change = solution.theta, solution.preconditioner
        visited = [*visited[-1:], (weight_decay, theta)]
        if weight_decay == 0:
            theta = exact.join(*columns.shortest(*exact.split(theta))).ravel()
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


def independent_columns(problem: Problem, exact: Objective) -> ColumnStats:
    """The columns for a fit without weight decay, turned where they depend on one another."""
    dtype, coordinates = problem.given.samples.dtype, problem.coordinates
    # Subtracting an origin is exact, but leaves float64 numbers.
    precision = np.finfo(dtype if coordinates.are_the_users else np.float64).eps
    return problem.columns.independent(
        exact.samples,
        centred=exact.fit_intercept,
        precision=float(precision),
        digits=coordinates.digits(problem.columns, dtype),
    )


def _fit_at(problem: Problem, minimum: Minimum, tol: float) -> Fit:
    """The fit at `minimum`, with the objective and gap of the coefficients that are stored.

    Coefficients are stored in the dtype of X. Rounding them usually changes the objective by its square, which is
    negligible; but float32 coefficients of columns far from zero would lose what their intercept makes up for. Where
    that would cost a tenth of `tol`, they are stored as float64.
    """
    objective, solution, coordinates = minimum.objective, minimum.solution, problem.coordinates
    coef, intercept = coordinates.outward(*objective.split(solution.theta))
    in_user_columns = objective
    if coordinates.basis is not None:
        samples = problem.given.samples
        samples = samples if coordinates.origin is None else samples.with_origin(coordinates.origin)
        in_user_columns = problem.given.with_samples(samples).exactly().penalised(objective.weight_decay)

    def value(dtype: Any) -> float:
        rounded = coef.astype(dtype).astype(np.float64), intercept.astype(dtype).astype(np.float64)
        return in_user_columns.value(in_user_columns.join(*coordinates.from_origin(*rounded)).ravel())

    reached = solution.value
    stored = reached if coordinates.are_the_users and objective.weight_decay > 0 else value(np.float64)
    if problem.given.samples.dtype == np.float32:
        rounded = value(np.float32)
        if rounded - reached <= _ROUNDING_SHARE * tol:
            stored, coef, intercept = rounded, coef.astype(np.float32), intercept.astype(np.float32)
    certificate = dataclasses.replace(solution.certificate, gap=solution.certificate.gap + max(0.0, stored - reached))
    return Fit(
        problem.encoding.classes,
        *_for_all_classes(problem.encoding, coef, intercept),
        objective=stored,
        certificate=certificate,
        converged=certificate.within(tol),
        loss_curve=np.array([*solution.loss_curve[:-1], stored]),
        stopped=solution.stopped,
        separates=objective.weight_decay == 0 and not n_unseparated(objective, solution.theta),
        receding=_receding_classes(problem.encoding, minimum),
    )


def _fit_so_far(problem: Problem, theta: Float64Array, loss_curve: list[float]) -> Fit:
    """The fit at `theta`, of whose distance from the minimum nothing is known."""
    parts = problem.coordinates.outward(*problem.objective.split(theta))
    coef, intercept = (part.astype(problem.given.samples.dtype, copy=False) for part in parts)
    return Fit(
        problem.encoding.classes,
        *_for_all_classes(problem.encoding, coef, intercept),
        objective=loss_curve[-1],
        certificate=_UNKNOWN,
        converged=False,
        loss_curve=np.array(loss_curve),
    )


def _certain_fit(problem: Problem) -> Fit:
    """The fit where one class has all of the weight: its probability is 1 everywhere, at an infinite intercept."""
    encoding, dtype = problem.encoding, problem.given.samples.dtype
    if len(encoding.classes) == 2:
        intercept = np.where(encoding.present[1:], np.inf, -np.inf)
    else:
        intercept = np.where(encoding.present, 0.0, -np.inf)
    return Fit(
        encoding.classes,
        np.zeros((len(intercept), problem.given.n_features), dtype=dtype),
        intercept.astype(dtype, copy=False),
        objective=0.0,
        certificate=Certificate(0.0, 0.0, is_bound=True),
        converged=True,
        loss_curve=np.zeros(1),
    )


def _for_all_classes(encoding: Encoding, coef: FloatArray, intercept: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Coefficients and intercepts with a row for the absent classes too, whose intercept is -inf."""
    if encoding.n_logits == 1:
        return coef, intercept
    n_classes = len(encoding.classes)
    all_coef = np.zeros((n_classes, coef.shape[1]), dtype=coef.dtype)
    all_intercept = np.full(n_classes, -np.inf, dtype=coef.dtype)
    all_coef[encoding.present], all_intercept[encoding.present] = coef, intercept
    return all_coef, all_intercept


def _with_separation(solution: Solution, objective: Objective, columns: ColumnStats, tol: float) -> Solution:
    """Correct the `solution` without weight decay if the search did not notice that the minimum is at infinity."""
    gap = solution.value - objective.floor
    if solution.recession is not None or (solution.converged and gap > tol):
        return solution
    if gap <= tol and not n_unseparated(objective, solution.theta):
        return solution
    found = separation(objective, columns)
    if found is None:
        return solution
    if found.complete:
        # The margin of this step is log(10 n_classes / tol), so that no row's loss is more than tol.
        theta = np.log(10 * objective.n_classes / min(tol, 1.0)) * found.step
        value = objective.value(theta)
        proof = Certificate(value, 0.0, is_bound=True)
        curve = [*solution.loss_curve[:-1], value]
        return Solution(theta, value, proof, proof.within(tol), curve, solution.preconditioner)
    if not objective.recession(found.step).is_one():
        return solution
    solution = dataclasses.replace(solution, converged=False, recession=found.step)
    hessian = WholeHessian(objective, columns)
    if hessian.pays(solution.n_iter):
        point = Point.of(objective, solution.theta)
        _, proof = approach_infinity(objective, point, INFINITY * found.step, hessian, solution.certificate, tol)
        if proof.holds:
            solution = dataclasses.replace(solution, certificate=dataclasses.replace(proof, change=np.inf))
    return solution


def n_unseparated(objective: Objective, theta: Float64Array) -> int:
    """The number of rows whose class has no more than half of the probability.

    If there are none, larger logits fit ever better. A target that is spread over classes keeps its logits finite.
    """
    return objective.samples.sum(_unseparated, theta, cost=objective.cost)


def _unseparated(samples: LocalSamples, within: slice, theta: Float64Array) -> int:
    """`n_unseparated` among the rows `within`."""
    parameters, count = samples.parameters(theta), 0
    for block in samples.blocks(samples.n_logits, within):
        off = np.abs(block.residual(block.probability(*parameters))).max(axis=0) >= 0.5
        if block.target.ndim == 2:
            off |= block.target.max(axis=1) < 1
        count += int(np.count_nonzero(block.with_positive_weight(off)))
    return count


def _receding_classes(encoding: Encoding, minimum: Minimum) -> list[Any] | None:
    """The classes whose rows change most along the step along which the objective falls for ever, if there is one."""
    if minimum.solution.recession is None:
        return None
    change = minimum.objective.recession(minimum.solution.recession).change
    return encoding.classes[encoding.present][change > change.max() / 2].tolist()


class _Printer:
    """Prints a line for each stage of the solver."""

    def __init__(self) -> None:
        self._begin = time.perf_counter()

    def __call__(self, n_iter: int, value: float, gap: float, preconditioner: Preconditioner | None) -> None:
        seconds = time.perf_counter() - self._begin
        stage = "" if preconditioner is None else f"   preconditioner: {preconditioner}"
        print(f"iteration {n_iter:4d}   objective {value:.8f}   estimated gap {gap:.1e}   {seconds:.2f} s{stage}")
