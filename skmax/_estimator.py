"""SoftmaxRegression: validate, encode, minimise, store."""

import copy
import warnings
from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import ConvergenceWarning

# Private to scikit-learn, which offers no public way to state constraints; used by many estimators outside it.
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted, validate_data

from skmax._objective import Design, Float64Array, Objective, raw_prediction_blocks
from skmax._preconditioner import Columns, preconditioner
from skmax._softmax import FloatArray, log_softmax, normalize_in_place
from skmax._solver import Solution, minimize
from skmax._target import Target, check_sample_weight, encode_target


class SoftmaxRegression(ClassifierMixin, BaseEstimator):
    """Softmax (multinomial logistic) regression, fitted to a stated accuracy on data as it is.

    With logits z_i = W x_i + b, target distributions y_i (one-hot for labels) and sample weights s_i of sum S, `fit`
    minimises::

        f(W, b) = (1/S) sum_i s_i [ logsumexp(z_i) - <y_i, z_i> ]  +  (weight_decay / 2) ||W||_F^2

    This is the model of :class:`sklearn.linear_model.LogisticRegression` at ``C = 1 / (weight_decay * S)``, for any
    number of classes. Two classes share one logit, which makes it binary logistic regression.

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
        The fit stops where the objective, in nats per unit of weight, is estimated to lie within `tol` of its minimum.
    max_iter : int, default=1000
        Most L-BFGS iterations.
    verbose : int, default=0
        Print a line for each stage of the solver.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels, sorted.
    coef_ : ndarray of shape (1, n_features) or (n_classes, n_features)
        W: one row, for the second class, if there are two classes.
    intercept_ : ndarray of shape (1,) or (n_classes,)
        b. A class without weight in `y` has intercept -inf, and so probability 0.
    objective_ : float
        f at the end.
    gap_ : float
        Estimated distance of `objective_` from the minimum of f.
    converged_ : bool
        Whether `gap_` is within `tol`.
    n_iter_ : int
        L-BFGS iterations.
    loss_curve_ : ndarray of shape (n_iter_ + 1,)
        f at the start and after each iteration.
    n_features_in_ : int
        Number of features seen during `fit`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, where `X` had names that are all strings.

    See Also
    --------
    sklearn.linear_model.LogisticRegression : The same model with other solvers, and L1 penalties.
    sklearn.multiclass.OneVsRestClassifier : For labels that do not exclude one another.

    References
    ----------
    .. [1] C. M. Bishop (2006). Pattern Recognition and Machine Learning. Springer. Section 4.3.4.
    .. [2] R. H. Byrd, P. Lu, J. Nocedal and C. Zhu (1995). A limited memory algorithm for bound constrained
       optimization. SIAM Journal on Scientific Computing 16(5), 1190-1208.

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

    _parameter_constraints = {
        "weight_decay": [Interval(Real, 0, None, closed="left"), StrOptions({"1/n_samples"})],
        "fit_intercept": ["boolean"],
        "class_weight": [dict, StrOptions({"balanced"}), None],
        "classes": ["array-like", None],
        "tol": [Interval(Real, 0, None, closed="neither")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        weight_decay: float | Literal["1/n_samples"] = "1/n_samples",
        *,
        fit_intercept: bool = True,
        class_weight: Mapping[Any, float] | Literal["balanced"] | None = None,
        classes: ArrayLike | None = None,
        tol: float = 1e-6,
        max_iter: int = 1000,
        verbose: int = 0,
    ) -> None:
        self.weight_decay = weight_decay
        self.fit_intercept = fit_intercept
        self.class_weight = class_weight
        self.classes = classes
        self.tol = tol
        self.max_iter = max_iter
        self.verbose = verbose

    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> "SoftmaxRegression":
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
            If the objective is estimated to be further than `tol` from its minimum, or its minimum is at infinity.
        """
        self._validate_params()
        # All is written to a copy first: an error, or an interrupt, leaves an earlier fit whole.
        fitted = copy.copy(self)
        X, y = validate_data(
            fitted, X, y, accept_sparse="csr", dtype=[np.float64, np.float32], multi_output=True
        )
        target = encode_target(
            y,
            classes=self.classes,
            class_weight=self.class_weight,
            sample_weight=check_sample_weight(sample_weight, X.shape[0]),
        )
        n_present = len(target.frequency)
        objective = Objective(
            X,
            target.values,
            target.sample_weight,
            n_classes=n_present,
            n_logits=1 if len(target.classes) == 2 else n_present,
            weight_decay=1 / target.weight_sum if isinstance(self.weight_decay, str) else float(self.weight_decay),
            fit_intercept=self.fit_intercept,
        )
        columns = Columns.of(objective)
        solution = minimize(
            objective,
            self._start(objective, target),
            lambda theta: preconditioner(objective, columns, theta),
            tol=self.tol,
            max_iter=self.max_iter,
        )
        fitted._store(solution, objective, target)
        vars(self).pop("feature_names_in_", None)
        vars(self).update(vars(fitted))
        if not self.converged_:
            warnings.warn(self._not_converged(), ConvergenceWarning, stacklevel=2)
        return self

    def _start(self, objective: Objective, target: Target) -> Float64Array:
        """Zero coefficients, and with intercepts the class frequencies: the minimum under strong weight decay."""
        theta = np.zeros((objective.n_logits, objective.n_columns))
        if self.fit_intercept:
            log_frequency = np.log(target.frequency)
            theta[:, -1] = (log_frequency - log_frequency.mean())[-objective.n_logits :]
            if objective.n_logits == 1:
                theta[:, -1] -= log_frequency[0] - log_frequency.mean()
        return theta.ravel()

    def _store(self, solution: Solution, objective: Objective, target: Target) -> None:
        coef, intercept = objective.split(solution.theta)
        self.classes_ = target.classes
        if objective.n_logits == 1:
            self.coef_, self.intercept_ = coef, intercept
        else:
            n_classes = len(target.classes)
            self.coef_ = np.zeros((n_classes, objective.n_features))
            self.intercept_ = np.full(n_classes, -np.inf)
            self.coef_[target.present] = coef
            self.intercept_[target.present] = intercept
        self.coef_ = self.coef_.astype(objective.X.dtype, copy=False)
        self.intercept_ = self.intercept_.astype(objective.X.dtype, copy=False)
        self.objective_ = solution.value
        self.gap_ = solution.gap
        self.converged_ = solution.converged
        self.n_iter_ = solution.n_iter
        self.loss_curve_ = np.array(solution.loss_curve)

    def _not_converged(self) -> str:
        return (
            f"The objective is {self.objective_:.6g}, an estimated {self.gap_:.1e} above its minimum, further than "
            f"tol={self.tol:g}, after {self.n_iter_} iterations. "
            + (
                "Raise max_iter."
                if self.n_iter_ >= self.max_iter
                else "Float precision allows no further progress: raise tol or weight_decay, or pass float64."
            )
        )

    def decision_function(self, X: ArrayLike) -> FloatArray:
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
        return self._by_blocks(X, lambda logits: logits[0] if len(logits) == 1 else logits.T)

    def predict(self, X: ArrayLike) -> NDArray:
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
        index = self._by_blocks(X, lambda z: z[0] > 0 if len(z) == 1 else z.argmax(axis=0), dtype=np.intp)
        return self.classes_[index]

    def predict_proba(self, X: ArrayLike) -> FloatArray:
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

        def probability(logits: FloatArray) -> FloatArray:
            if len(logits) == 1:
                logits = np.concatenate([-logits, logits])
                normalize_in_place(logits[:1])
                normalize_in_place(logits[1:])
            else:
                normalize_in_place(logits)
            return logits.T

        return self._by_blocks(X, probability)

    def predict_log_proba(self, X: ArrayLike) -> FloatArray:
        """Log-softmax of `decision_function`: accurate where a probability rounds to 0 or 1.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The samples.

        Returns
        -------
        log_probability : ndarray of shape (n_samples, n_classes)
            Columns in the order of `classes_`.
        """

        def log_probability(logits: FloatArray) -> FloatArray:
            if len(logits) == 1:
                logits = np.concatenate([np.zeros_like(logits), logits])
            return log_softmax(logits.T)

        return self._by_blocks(X, log_probability)

    def _by_blocks(self, X: ArrayLike, function: Any, dtype: Any = None) -> NDArray:
        """Rows of `function(class-major logits)`, gathered without a second array of their size."""
        check_is_fitted(self)
        X: Design = validate_data(self, X, accept_sparse="csr", dtype=[np.float64, np.float32], reset=False)
        output: NDArray | None = None
        for rows, logits in raw_prediction_blocks(X, self.coef_, self.intercept_):
            part = function(logits)
            if output is None:
                output = np.empty((X.shape[0], *part.shape[1:]), dtype=dtype or part.dtype)
            output[rows] = part
        assert output is not None  # validate_data refuses X without rows
        return output

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags
