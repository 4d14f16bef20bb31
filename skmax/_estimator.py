"""SoftmaxRegression: validate, encode, minimise, store."""

import contextlib
import copy
import dataclasses
import functools
import time
import warnings
from collections.abc import Callable, Generator, Mapping, Sequence
from numbers import Integral, Real
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score
from sklearn.utils import check_array

# Private to scikit-learn, which offers no public way to state constraints; used by many estimators outside it.
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_consistent_length, check_is_fitted, validate_data

from skmax._callbacks import CALLER, CallbackSupportMixin, Monitor, with_callbacks
from skmax._certificate import INFINITY, Certificate, Point, approach_infinity
from skmax._columns import Columns, Coordinates, work_coordinates
from skmax._hessian import WholeHessian
from skmax._objective import Objective
from skmax._preconditioner import choose_preconditioner
from skmax._rows import LOGIT_COST, Design, Float64Array, Rows, raw_prediction, take_rows
from skmax._separation import separation
from skmax._softmax import FloatArray, log_softmax, normalize_in_place
from skmax._solver import Preconditioner, Solution, minimize
from skmax._target import (
    LABELS_OR_DISTRIBUTIONS,
    Target,
    as_distributions,
    check_sample_weight,
    encode_target,
    naming,
)
from skmax._threads import Workers, workers

# An array-like, a sparse matrix or array, or a data frame, of shape (n_samples, n_features).
MatrixLike: TypeAlias = Any
WeightDecay: TypeAlias = float | Literal["1/n_samples"]

# The share of `tol` that it may cost to store float32 coefficients.
_ROUNDING_SHARE = 0.1


class SoftmaxRegression(CallbackSupportMixin, ClassifierMixin, BaseEstimator):
    """Softmax (multinomial logistic) regression, fitted to a stated accuracy on data as it is.

    With logits z_i = W x_i + b, target distributions y_i (one-hot for labels) and sample weights s_i of sum S, `fit`
    minimises::

        f(W, b) = (1/S) sum_i s_i [ logsumexp(z_i) - <y_i, z_i> ]
                  + (weight_decay / 2) ||W||_F^2

    This is the model of :class:`sklearn.linear_model.LogisticRegression` at ``C = 1 / (weight_decay * S)``, for any
    number of classes [1]_. Two classes share one logit, which makes it binary logistic regression.

    Parameters
    ----------
    weight_decay : float or "1/n_samples", default="1/n_samples"
        Strength of the penalty on the coefficients, non-negative; intercepts are not penalised. ``"1/n_samples"`` is
        1/S, and so ``LogisticRegression(C=1)``. With 0, and three or more classes, the coefficients of each feature
        sum to zero over the classes, as they do with any other value.
    fit_intercept : bool, default=True
        Whether to fit the intercepts b or leave them at zero.
    class_weight : dict, "balanced" or None, default=None
        Factors on the sample weights by class. ``"balanced"`` gives all classes the same total weight. A dict maps
        labels to non-negative factors; labels that it lacks have 1.
    classes : array-like of shape (n_classes,), default=None
        All labels that there are, so that `predict_proba` has the same columns whichever of them `y` holds. Kept
        sorted, as scikit-learn's scorers expect. None takes the labels in `y`.
    tol : float, default=1e-6
        The fit stops where the objective, in nats per unit of weight, is shown to lie within `tol` of its minimum.
    max_iter : int, default=1000
        Most iterations. With 0 the model is that of the start: the class frequencies, or the last fit if warm.
    warm_start : bool, default=False
        Begin at the coefficients of the last fit. The classes and features must be the same as then.
    verbose : int, default=0
        If positive, print a line for each stage of the solver, with the form of its preconditioner.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels, sorted.
    coef_ : ndarray of shape (1, n_features) or (n_classes, n_features)
        The rows of W: a single one, for the second class, if there are two classes.
    intercept_ : ndarray of shape (1,) or (n_classes,)
        The b of each logit. A class without weight in `y` has intercept -inf, and so probability 0. Where one class has
        all of the weight, its probability is 1: with two classes, the single intercept is -inf or inf.
    objective_ : float
        f at the end.
    gap_ : float
        Distance of `objective_` from the minimum of f: an upper bound of it, but for rounding, or an estimate.
    gap_is_bound_ : bool
        Whether `gap_` is the bound. It is where the whole Hessian could be had for a small part of the fit.
    converged_ : bool
        Whether `gap_` is within `tol`, and its formula holds: no Newton step from here changes a difference of logits
        by 1 or more.
    n_iter_ : int
        Iterations: of L-BFGS, and Newton steps at the end.
    loss_curve_ : ndarray of shape (`n_iter_` + 1,)
        f at the start and after each iteration.
    n_features_in_ : int
        Number of features seen during `fit`.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, where `X` had names that are all strings.

    See Also
    --------
    sklearn.linear_model.LogisticRegression : The same model with other solvers, and L1 penalties.
    sklearn.multiclass.OneVsRestClassifier : For labels that do not exclude one another.

    Notes
    -----
    The solver is SciPy's L-BFGS-B, in coordinates in which the Hessian is close to the identity, so that the columns of
    `X` need no scaling [2]_. They come from the whole Hessian, of a sample of the rows where there are many, if that
    costs no more than 20 evaluations of the objective (and has no more than 2048 parameters); from its block of each
    class, if those cost no more than 40 (and hold no more than 2^23 numbers); and otherwise from its diagonal, to which
    a fit that takes long adds the rows, up to 64 for each class, that have most of the curvature. They are built anew
    after 8 iterations or more. A dense `X` with fewer rows than columns is turned to as many columns as
    rows, if these are no more than 200 times the classes.

    At the end, everything is taken in float64, whatever `X` is. Where the whole Hessian costs no more than some ten
    evaluations, Newton steps go on to the last digits, and the self-concordance of the loss bounds the gap [3]_.
    Elsewhere the gap is estimated by conjugate gradients. Coefficients are stored in the dtype of `X`, but for float32
    where that would cost a tenth of `tol`: then in float64. `objective_`, `gap_` and `converged_` are those of the
    coefficients as stored.

    With ``weight_decay=0`` the coefficients of columns that depend on one another are the shortest ones, the limit of
    small weight decay; constant columns have zeros. Where the minimum is at infinity, a warning says so.

    From scikit-learn 1.9 on, `set_callbacks` sets scikit-learn's callbacks: they see each iteration as a task, with a
    fitted estimator equal to a fit stopped there, and stop the fit by returning True.

    Fits and predictions use as many threads as the limits in force allow to the linear algebra (threadpoolctl,
    ``OMP_NUM_THREADS``, joblib's workers). The answer depends on their number in its rounding only. Besides `X`, a fit
    needs memory for a few blocks of rows and, with d parameters, for up to four d x d matrices (d <= 2048), one of
    n_features x n_features for each class (130 MB at most, with its factor), or some 60 vectors of length d.

    References
    ----------
    .. [1] C. M. Bishop (2006). Pattern Recognition and Machine Learning. Springer. Section 4.3.4.
    .. [2] R. H. Byrd, P. Lu, J. Nocedal and C. Zhu (1995). A limited memory algorithm for bound constrained
       optimization. SIAM Journal on Scientific Computing 16(5), 1190-1208.
    .. [3] F. Bach (2010). Self-concordant analysis for logistic regression. Electronic Journal of Statistics 4,
       384-414.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skmax import SoftmaxRegression
    >>> X, y = load_iris(return_X_y=True)
    >>> model = SoftmaxRegression().fit(X, y)
    >>> model.predict(X[:2]).tolist()
    [0, 0]
    >>> model.predict_proba(X[:1]).round(3).tolist()
    [[0.982, 0.018, 0.0]]
    >>> round(model.score(X, y), 3)
    0.973
    """

    # Where scikit-learn's HTML representation links to.
    _doc_link_module = "skmax"
    _doc_link_template = "https://skmax.readthedocs.io/en/latest/api/{estimator_module}.{estimator_name}.html"

    _caller = CALLER  # the `stacklevel` of a warning in `fit`

    _parameter_constraints = {
        "weight_decay": [Interval(Real, 0, None, closed="left"), StrOptions({"1/n_samples"})],
        "fit_intercept": ["boolean"],
        "class_weight": [dict, StrOptions({"balanced"}), None],
        "classes": ["array-like", None],
        "tol": [Interval(Real, 0, None, closed="neither")],
        "max_iter": [Interval(Integral, 0, None, closed="left")],
        "warm_start": ["boolean"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        weight_decay: WeightDecay = "1/n_samples",
        *,
        fit_intercept: bool = True,
        class_weight: Mapping[Any, float] | Literal["balanced"] | None = None,
        classes: ArrayLike | None = None,
        tol: float = 1e-6,
        max_iter: int = 1000,
        warm_start: bool = False,
        verbose: int = 0,
    ) -> None:
        self.weight_decay = weight_decay
        self.fit_intercept = fit_intercept
        self.class_weight = class_weight
        self.classes = classes
        self.tol = tol
        self.max_iter = max_iter
        self.warm_start = warm_start
        self.verbose = verbose

    @with_callbacks
    def fit(self, X: MatrixLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> "SoftmaxRegression":
        """Fit the model.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training data, finite. float64 and float32 are used as they are, other types converted to float64;
            sparse input is converted to CSR.
        y : array-like of shape (n_samples,) or (n_samples, n_classes)
            Labels of any one type that sorts, or a distribution over the classes for each row: non-negative, summing
            to 1.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights, not all zero. None weighs all rows the same.

        Returns
        -------
        self : SoftmaxRegression

        Raises
        ------
        ValueError, TypeError
            If an argument breaks a rule; the message names the argument, the rule and the value. An earlier fit
            stays as it was.

        Warns
        -----
        ConvergenceWarning
            If the objective cannot be shown to lie within `tol` of its minimum, or its minimum is at infinity.
        """
        self._validate_params()
        # All is written to a copy first: an error, or an interrupt, leaves an earlier fit whole.
        fitted = copy.copy(self)
        as_given = X, y, sample_weight
        X, y, weight = fitted._validate(X, y, sample_weight)
        target = self._encode(y, weight)
        if self.warm_start and hasattr(self, "coef_"):
            self._check_same_problem(fitted, target.classes)
        monitor = Monitor.of(self, *as_given, self.max_iter)
        [fitted] = fitted._models(X, target, [self.weight_decay], monitor=monitor)
        self._take(fitted)
        if monitor is not None:
            monitor.end(fitted._fitted_attributes())
        message = self._not_converged()
        if message is not None:
            warnings.warn(message, ConvergenceWarning, stacklevel=self._caller)
        return self

    def _validate(
        self, X: MatrixLike, y: ArrayLike, sample_weight: ArrayLike | None
    ) -> tuple[Design, NDArray, Float64Array | None]:
        if y is None:
            raise ValueError(f"{type(self).__name__} requires y to be passed, but the target y is None.")
        X = self._validate_X(X)
        with naming("y", LABELS_OR_DISTRIBUTIONS):
            labels = check_array(y, accept_sparse="csr", ensure_2d=False, dtype=None, input_name="y", estimator=self)
        check_consistent_length(X, labels)
        return X, labels, check_sample_weight(sample_weight, X.shape[0])

    def _validate_X(self, X: MatrixLike, **how: Any) -> Design:
        # scikit-learn sums X to see whether it is finite; of large values the sum is not.
        with (
            naming("X", "finite real numbers, of shape (n_samples, n_features)"),
            np.errstate(over="ignore", invalid="ignore"),
        ):
            return validate_data(self, X, accept_sparse="csr", dtype=[np.float64, np.float32], **how)

    def _encode(self, y: NDArray, sample_weight: Float64Array | None) -> Target:
        return encode_target(y, classes=self.classes, class_weight=self.class_weight, sample_weight=sample_weight)

    def _objective(self, X: Design, target: Target, pool: Workers) -> Objective:
        """The objective without weight decay, of the columns as they are."""
        return Objective(
            Rows(X, target.sample_weight, pool),
            target.values,
            n_classes=len(target.frequency),
            n_logits=target.n_logits,
            weight_decay=0.0,
            fit_intercept=self.fit_intercept,
        )

    def _problem(self, X: Design, target: Target, pool: Workers) -> tuple[Objective, Columns, Coordinates]:
        """The objective without weight decay, in the coordinates to work in."""
        objective = self._objective(X, target, pool)
        coordinates, rows, columns = work_coordinates(
            objective.rows, centred=self.fit_intercept, n_logits=target.n_logits
        )
        return objective.over(rows), columns, coordinates

    def _solutions(
        self,
        X: Design,
        target: Target,
        weight_decays: Sequence[WeightDecay],
        *,
        monitor: Monitor | None = None,
    ) -> Generator[tuple[Objective, Columns, Coordinates, Solution], None, None]:
        """The minimum for each of `weight_decays`, each search started where the one before ended.

        The objective is that of float64 products, whatever X is.
        """
        with workers() as pool:
            objective, columns, coordinates = self._problem(X, target, pool)
            exact = objective.exactly()
            theta, change = self._start(objective, target, coordinates).ravel(), None

            def watch(theta: Float64Array, loss_curve: list[float]) -> bool:
                def attributes() -> dict[str, Any]:
                    so_far = copy.copy(self)
                    coef, intercept = coordinates.outward(*objective.split(theta))
                    unknown = Certificate(np.nan, np.inf, is_bound=False)
                    so_far._store(
                        Solution(theta, loss_curve[-1], unknown, False, loss_curve),
                        coef.astype(X.dtype, copy=False),
                        intercept.astype(X.dtype, copy=False),
                        target,
                    )
                    return so_far._fitted_attributes()

                return monitor is not None and monitor.step("iteration", attributes)

            for weight_decay in weight_decays:
                decay = 1 / target.weight_sum if isinstance(weight_decay, str) else float(weight_decay)
                objective, exact = objective.penalised(decay), exact.penalised(decay)
                if decay == 0 and columns.turn is None:
                    columns, change = self._independent(columns, exact, coordinates, X.dtype), None
                solution = minimize(
                    objective,
                    theta,
                    functools.partial(choose_preconditioner, columns),
                    tol=self.tol,
                    max_iter=self.max_iter,
                    exact=exact,
                    hessian=WholeHessian(exact, columns),
                    initial_preconditioner=change.penalised(objective) if change else None,
                    watch=watch if monitor else None,
                    report=_Printer() if self.verbose else None,
                )
                if decay == 0 and not solution.stopped and solution.n_iter < self.max_iter:
                    solution = _with_separation(solution, exact, columns, self.tol)
                theta, change = solution.theta, solution.preconditioner
                if decay == 0:
                    theta = exact.join(*columns.shortest(*exact.split(theta))).ravel()
                    solution = dataclasses.replace(solution, theta=theta)
                yield exact, columns, coordinates, solution

    def _independent(self, columns: Columns, exact: Objective, coordinates: Coordinates, dtype: Any) -> Columns:
        """The columns of a fit without weight decay. An origin is subtracted without rounding."""
        digits = coordinates.digits(columns, dtype)
        precision = float(np.finfo(dtype).eps) if coordinates.are_the_users else float(np.finfo(np.float64).eps)
        return columns.independent(exact.rows, centred=self.fit_intercept, precision=precision, digits=digits)

    def _path(
        self, X: Design, target: Target, weight_decays: Sequence[WeightDecay], **options: Any
    ) -> "list[SoftmaxRegression]":
        """A fitted copy for each of `weight_decays`, with the options of `_solutions`."""
        path = []
        with contextlib.closing(self._solutions(X, target, weight_decays, **options)) as solutions:
            for weight_decay, (objective, _, coordinates, solution) in zip(weight_decays, solutions, strict=True):
                fitted = copy.copy(self)
                fitted.weight_decay = weight_decay
                fitted._store(*self._as_stored(X, target, objective, coordinates, solution), target)
                fitted._separates = objective.weight_decay == 0 and not objective.sum(
                    _unseparated, solution.theta, cost=objective.cost
                )
                fitted._receding = None
                if solution.recession is not None:
                    change = objective.recession(solution.recession).change
                    fitted._receding = target.classes[target.present][change > change.max() / 2].tolist()
                path.append(fitted)
        return path

    def _as_stored(
        self, X: Design, target: Target, objective: Objective, coordinates: Coordinates, solution: Solution
    ) -> tuple[Solution, FloatArray, FloatArray]:
        """Coefficients and intercepts in the user's columns and dtype, and the solution with their objective and gap.

        Rounding moves the objective by its square, which is nothing, but for float32 coefficients of columns far from
        zero, which the intercept makes up for. Where float32 would cost a tenth of `tol`, they stay float64.
        """
        coef, intercept = coordinates.outward(*objective.split(solution.theta))
        in_user_columns = objective
        if coordinates.basis is not None:
            original = self._objective(X, target, objective.rows.workers)
            seen = original.rows if coordinates.origin is None else original.rows.seen_from(coordinates.origin)
            in_user_columns = original.over(seen).exactly().penalised(objective.weight_decay)

        def value(dtype: Any) -> float:
            rounded = coef.astype(dtype).astype(np.float64), intercept.astype(dtype).astype(np.float64)
            return in_user_columns.value(in_user_columns.join(*coordinates.from_origin(*rounded)).ravel())

        here = solution.value
        stored = here if coordinates.are_the_users and objective.weight_decay > 0 else value(np.float64)
        if X.dtype == np.float32:
            rounded = value(np.float32)
            if rounded - here <= _ROUNDING_SHARE * self.tol:
                stored, coef, intercept = rounded, coef.astype(np.float32), intercept.astype(np.float32)
        proof = dataclasses.replace(solution.certificate, gap=solution.certificate.gap + max(0.0, stored - here))
        solution = dataclasses.replace(
            solution,
            value=stored,
            certificate=proof,
            converged=proof.within(self.tol),
            loss_curve=[*solution.loss_curve[:-1], stored],
        )
        return solution, coef, intercept

    def _models(
        self, X: Design, target: Target, weight_decays: Sequence[WeightDecay], **options: Any
    ) -> "list[SoftmaxRegression]":
        """What `_path` returns, also where one class has all of the weight: its minimum, at infinity, is known."""
        if len(target.frequency) > 1:
            return self._path(X, target, weight_decays, **options)
        path = []
        for weight_decay in weight_decays:
            fitted = copy.copy(self)
            fitted.weight_decay = weight_decay
            fitted._store_certainty(X.dtype, target)
            path.append(fitted)
        return path

    def _store_certainty(self, dtype: Any, target: Target) -> None:
        """The class that is present has probability 1 everywhere."""
        self.classes_ = target.classes
        if len(target.classes) == 2:
            intercept = np.where(target.present[1:], np.inf, -np.inf)
        else:
            intercept = np.where(target.present, 0.0, -np.inf)
        self.coef_ = np.zeros((len(intercept), self.n_features_in_), dtype=dtype)
        self.intercept_ = intercept.astype(dtype, copy=False)
        self.objective_ = self.gap_ = 0.0
        self.gap_is_bound_ = self.converged_ = True
        self.n_iter_, self.loss_curve_ = 0, np.zeros(1)
        self._stopped, self._separates, self._receding = False, False, None

    def _fitted_attributes(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name.endswith("_") and name[0] != "_"}

    def _take(self, fitted: "SoftmaxRegression") -> None:
        """Become `fitted`, at one go."""
        self.__dict__.pop("feature_names_in_", None)
        self.__dict__.update(fitted.__dict__)

    def _check_same_problem(self, fitted: "SoftmaxRegression", classes: NDArray) -> None:
        names, new_names = (getattr(model, "feature_names_in_", np.array([])).tolist() for model in (self, fitted))
        for name, before, now in [
            ("classes", self.classes_.tolist(), classes.tolist()),
            ("n_features", self.n_features_in_, fitted.n_features_in_),
            ("feature names", names, new_names),
        ]:
            if before != now:
                raise ValueError(
                    f"warm_start=True continues an earlier fit, whose {name} were {before}; got {now}. Pass the same "
                    "(classes= fixes the labels), or fit a new estimator."
                )

    def _start(self, objective: Objective, target: Target, coordinates: Coordinates) -> Float64Array:
        """The last fit's parameters if warm, else those of the minimum under strong weight decay.

        These are zero coefficients and, as intercepts, the logarithms of the class frequencies.
        """
        coef = np.zeros((objective.n_logits, objective.n_features))
        log_frequency = np.log(target.frequency)
        intercept = log_frequency[1:] - log_frequency[0] if objective.n_logits == 1 else log_frequency
        if self.warm_start and hasattr(self, "coef_"):
            rows = target.present if objective.n_logits > 1 else [True]
            known = np.isfinite(self.intercept_[rows])  # else without weight in the last fit
            last = (part[rows][known].astype(np.float64) for part in (self.coef_, self.intercept_))
            coef[known], intercept[known] = coordinates.inward(*last)
        theta = objective.join(coef, intercept)
        return theta - theta.mean(axis=0) if objective.n_logits > 1 else theta

    def _store(self, solution: Solution, coef: FloatArray, intercept: FloatArray, target: Target) -> None:
        self.classes_ = target.classes
        if target.n_logits == 1:
            self.coef_, self.intercept_ = coef, intercept
        else:
            n_classes = len(target.classes)
            self.coef_ = np.zeros((n_classes, coef.shape[1]), dtype=coef.dtype)
            self.intercept_ = np.full(n_classes, -np.inf, dtype=coef.dtype)
            self.coef_[target.present] = coef
            self.intercept_[target.present] = intercept
        self.objective_ = solution.value
        self.gap_ = solution.gap
        self.gap_is_bound_ = solution.certificate.is_bound
        self.converged_ = solution.converged
        self.n_iter_ = solution.n_iter
        self.loss_curve_ = np.array(solution.loss_curve)
        self._stopped = solution.stopped

    def _not_converged(self) -> str | None:
        """What to warn of after a fit, if anything."""
        if self._separates:
            return (
                "The model separates the classes without error, which with weight_decay=0 puts the minimum at infinity:"
                f" the coefficients, now up to {np.abs(self.coef_).max():.1e}, would grow for ever."
                " Pass weight_decay > 0."
            )
        if self._receding is not None:
            return (
                f"Some rows of the classes {self._receding} are separated from others without error, which with "
                "weight_decay=0 puts the minimum at infinity: the coefficients, now up to "
                f"{np.abs(self.coef_).max():.1e}, would grow for ever. Pass weight_decay > 0, or leave out the columns "
                "that separate them."
                + (f" The objective is {self.gap_:.1e} above its infimum, or less." if self.gap_ > self.tol else "")
            )
        if self.converged_ or self._stopped:
            return None
        far = f"an estimated {self.gap_:.1e} above its minimum"
        if self.gap_ <= self.tol:
            far += ", which is not certain, as another step would still change the logits of some rows by 1 or more"
        else:
            far += f", further than tol={self.tol:g}"
        if self.n_iter_ >= self.max_iter:
            advice = "Raise max_iter."
        else:
            advice = (
                "No step from here makes it smaller, at the limit of float precision or between outliers: raise tol or "
                "weight_decay, pass float64, or look for values far from the others of their column."
            )
        return f"The objective is {self.objective_:.6g}, {far}, after {self.n_iter_} iterations. {advice}"

    def decision_function(self, X: MatrixLike) -> FloatArray:
        """Logits W x + b.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The samples.

        Returns
        -------
        raw_prediction : ndarray of shape (n_samples,) or (n_samples, n_classes)
            One-dimensional for two classes: the logit of the second, the first one's being 0.
        """
        return self._by_blocks(X, lambda model, logits: logits[1] - logits[0] if len(model.coef_) == 1 else logits.T)

    def predict(self, X: MatrixLike) -> NDArray:
        """Most probable class of each sample.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The samples.

        Returns
        -------
        label : ndarray of shape (n_samples,)
            Of the type of `classes_`.
        """
        return self._by_blocks(X, lambda model, logits: model.classes_[logits.argmax(axis=0)])

    def predict_top_k(self, X: MatrixLike, k: int) -> NDArray:
        """The `k` most probable classes of each sample, the most probable first.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The samples.
        k : int
            How many, from 1 to the number of classes.

        Returns
        -------
        label : ndarray of shape (n_samples, k)
            Of the type of `classes_`; of equally probable classes, the one that is first in `classes_` first.

        Raises
        ------
        ValueError
            If `k` is not an integer from 1 to the number of classes.

        Examples
        --------
        >>> from sklearn.datasets import load_wine
        >>> from skmax import SoftmaxRegression
        >>> X, y = load_wine(return_X_y=True)
        >>> SoftmaxRegression().fit(X, y).predict_top_k(X[:1], k=2).tolist()
        [[0, 2]]
        """
        check_is_fitted(self)
        if not (isinstance(k, Integral) and 1 <= k <= len(self.classes_)):
            raise ValueError(f"k must be an integer from 1 to the number of classes, {len(self.classes_)}; got {k!r}.")
        return self._by_blocks(X, lambda model, z: model.classes_[np.argsort(-z, axis=0, kind="stable")[:k].T])

    def predict_proba(self, X: MatrixLike) -> FloatArray:
        """Probability of each class: the softmax of `decision_function`.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The samples.

        Returns
        -------
        probability : ndarray of shape (n_samples, n_classes)
            Columns in the order of `classes_`.
        """

        def probability(model: SoftmaxRegression, logits: FloatArray) -> FloatArray:
            normalize_in_place(logits)
            return logits.T

        return self._by_blocks(X, probability)

    def predict_log_proba(self, X: MatrixLike) -> FloatArray:
        """Log-softmax of `decision_function`: accurate where a probability rounds to 0 or 1.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The samples.

        Returns
        -------
        log_probability : ndarray of shape (n_samples, n_classes)
            Columns in the order of `classes_`; -inf for a class without weight in the data that was fitted.
        """
        return self._by_blocks(X, lambda model, logits: log_softmax(logits.T))

    def score(self, X: MatrixLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Accuracy; for distributions, the accuracy to be expected of labels drawn from them.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The samples.
        y : array-like of shape (n_samples,) or (n_samples, n_classes)
            Labels, or distributions with columns in the order of `classes_`.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples.

        Returns
        -------
        score : float
            Share of the samples whose predicted class is the label; for distributions, the mean probability that they
            give to the predicted class.
        """
        prediction = self.predict(X)
        distribution = as_distributions(y, n_classes=len(self.classes_))
        check_consistent_length(prediction, y)
        weight = check_sample_weight(sample_weight, len(prediction))
        if distribution is None:
            return float(accuracy_score(y, prediction, sample_weight=weight))
        hit = np.take_along_axis(distribution, np.searchsorted(self.classes_, prediction)[:, None], axis=1)
        return float(np.average(hit[:, 0], weights=weight))

    def to_logistic_regression(self) -> LogisticRegression:
        """A fitted scikit-learn model with the same coefficients, for tools that know only that one.

        Returns
        -------
        model : sklearn.linear_model.LogisticRegression
            Its methods return what this model's do. Of its parameters only `fit_intercept` is set.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from skmax import SoftmaxRegression
        >>> X, y = load_iris(return_X_y=True)
        >>> model = SoftmaxRegression().fit(X, y)
        >>> bool(abs(model.to_logistic_regression().predict_proba(X) - model.predict_proba(X)).max() < 1e-12)
        True
        """
        check_is_fitted(self)
        model = LogisticRegression(fit_intercept=self.fit_intercept)
        for name in ("classes_", "coef_", "intercept_"):
            setattr(model, name, getattr(self, name).copy())
        model.n_iter_ = np.array([self.n_iter_], dtype=np.int32)
        model.n_features_in_ = self.n_features_in_
        if hasattr(self, "feature_names_in_"):
            model.feature_names_in_ = self.feature_names_in_
        return model

    def _by_blocks(self, X: MatrixLike, function: "Callable[[SoftmaxRegression, FloatArray], NDArray]") -> NDArray:
        """`function(self, logits)` of class-major logits of all classes, its rows gathered in the one array returned.

        What it needs of the model it gets as an argument: a lazy prediction is that of the model as it is now.
        """
        check_is_fitted(self)
        X = self._validate_X(X, reset=False)

        def of_rows(x: Design) -> NDArray:
            logits = raw_prediction(x, self.coef_, self.intercept_)
            if len(logits) == 1:
                # Of a pair the larger one must be finite: no softmax can subtract an infinite one.
                zero = np.zeros_like(logits)
                logits = np.concatenate([-logits, zero] if self.intercept_[0] == np.inf else [zero, logits])
            return function(self, logits)

        first = of_rows(take_rows(X, slice(0, 1)))
        output = np.empty((X.shape[0], *first.shape[1:]), dtype=first.dtype)
        with workers() as pool:
            rows = Rows(X, None, pool)

            def fill(within: slice) -> int:
                for block, x, _ in rows.blocks(len(self.coef_), within):
                    output[block] = of_rows(x)
                return 0

            rows.over(fill, n=rows.n_samples, cost=self.coef_.size + LOGIT_COST * len(self.coef_))
        return output

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


def _with_separation(solution: Solution, objective: Objective, columns: Columns, tol: float) -> Solution:
    """`solution` of a fit without weight decay, mended where the search missed that the minimum is at infinity."""
    gap = solution.value - objective.floor
    if solution.recession is not None or (solution.converged and gap > tol):
        return solution
    if gap <= tol and not objective.sum(_unseparated, solution.theta, cost=objective.cost):
        return solution
    found = separation(objective, columns)
    if found is None:
        return solution
    if found.complete:
        # Of a margin of log(n_classes / tol), so that the loss of no row is more than tol.
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


def _unseparated(objective: Objective, within: slice, theta: Float64Array) -> int:
    """In how many rows a class that is theirs has no more than half of the probability.

    Where it is none, larger logits fit ever better. A target that is spread over classes holds its row's logits.
    """
    count = 0
    for block, x, weight in objective.rows.blocks(objective.n_logits, within):
        off = np.abs(objective.residual(objective.probability(theta, x), block)).max(axis=0) >= 0.5
        if objective.target.ndim == 2:
            off |= objective.target[block].max(axis=1) < 1
        count += int(np.count_nonzero(off if weight is None else off & (weight > 0)))
    return count


class _Printer:
    """Prints a line for each stage of the solver."""

    def __init__(self) -> None:
        self._begin = time.perf_counter()

    def __call__(self, n_iter: int, value: float, gap: float, preconditioner: Preconditioner | None) -> None:
        seconds = time.perf_counter() - self._begin
        stage = "" if preconditioner is None else f"   preconditioner: {preconditioner}"
        print(f"iteration {n_iter:4d}   objective {value:.8f}   estimated gap {gap:.1e}   {seconds:.2f} s{stage}")
