"""SoftmaxRegressionCV: the weight decay chosen by cross-validation, along one warm path for each fold."""

import copy
import warnings
from collections.abc import Iterable, Mapping
from numbers import Integral, Real
from typing import Any, Literal

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import ArrayLike, NDArray
from sklearn import get_config
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import check_scoring, get_scorer_names
from sklearn.model_selection import check_cv

# Private to scikit-learn, which offers no public way to state constraints; used by many estimators outside it.
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, process_routing

from skmax._callbacks import CALLER, Monitor, with_callbacks
from skmax._columns import Columns
from skmax._estimator import MatrixLike, SoftmaxRegression
from skmax._hessian import whole_hessian_fits
from skmax._leave_one_out import leave_one_out_losses
from skmax._rows import Design, Float64Array, Rows
from skmax._scorer import LEAST_LOG_PROBABILITY, neg_cross_entropy_scorer
from skmax._target import Target, check_sample_weight, naming
from skmax._threads import workers

# At the strong end of the grid no fit can be this share of the entropy of the classes below it; at the weak end the
# penalty on the coefficient of a column of median variance is this share of what one row can weigh.
_STRONG_END, _WEAK_END = 0.01, 0.01


class SoftmaxRegressionCV(SoftmaxRegression):
    """Softmax regression that chooses its own weight decay.

    For each fold the model is fitted along a path of weight decays, from the strongest to the weakest, each fit started
    where the one before ended. The decay with the best mean score on the rows left out is taken, and the model fitted
    with it on all rows.

    Parameters
    ----------
    weight_decays : int or array-like of float >= 0, default=10
        The weight decays to choose from, or how many, evenly spaced in their logarithm. The ends are then taken from
        the data: the strongest such that the model is nearly the class frequencies (no fit with it can gain more than
        1 % of their entropy); the weakest such that the penalty no longer matters: 0.01 v / S, with v the median of the
        columns' variances, so that for such a column it is a hundredth of the curvature that one row can give.
    cv : int, splitter, iterable of (train, test) or "approximate", default=None
        The folds, drawn once; None is 5. An integer is a :class:`~sklearn.model_selection.StratifiedKFold` for labels
        and a :class:`~sklearn.model_selection.KFold` for distributions. ``"approximate"`` estimates what leaving out
        each row in turn would give from a single fit for each decay, by a Newton step for each row [1]_. It needs as
        much work as the Hessian of all rows, and is for up to 2048 coefficients and intercepts in all.
    scoring : str, callable or None, default="neg_log_loss"
        A scikit-learn scorer, called as ``scorer(model, X, y)``. The default takes distributions too, and folds in
        which classes are missing (:data:`skmax.neg_cross_entropy_scorer`). None is the accuracy. With
        ``cv="approximate"`` only the default will do.
    refit : {"best", "one_standard_error"}, default="best"
        Which decay to take: the one with the best mean score, or the strongest whose mean score is within one standard
        error of that. A mean of nan ranks last, with a warning; if all are, `fit` raises a ValueError.
    n_jobs : int, default=None
        Folds to fit at the same time, in processes of joblib's, which share the cores.
    fit_intercept, class_weight, classes, tol, max_iter, verbose
        As for :class:`SoftmaxRegression`.

    Attributes
    ----------
    weight_decay_ : float
        The chosen one.
    weight_decays_ : ndarray of shape (n_weight_decays,)
        From the strongest to the weakest.
    scores_ : ndarray of shape (n_folds, n_weight_decays)
        With ``cv="approximate"`` each row is a fold.
    best_score_ : float
        Mean score of `weight_decay_`.
    cv_results_ : dict of ndarray
        ``param_weight_decay``, ``params``, ``mean_test_score``, ``std_test_score``, ``rank_test_score`` and
        ``split0_test_score`` and so on (these not with ``cv="approximate"``), as of
        :class:`~sklearn.model_selection.GridSearchCV`.
    classes_, coef_, intercept_, n_features_in_, feature_names_in_
        As of :class:`SoftmaxRegression`, of the model with `weight_decay_` fitted on all rows.
    objective_, gap_, gap_is_bound_, converged_, n_iter_, loss_curve_
        As well.

    See Also
    --------
    SoftmaxRegression : The model with a weight decay that you choose.
    PathDisplay : A picture of the scores.

    Notes
    -----
    A decay is the same number for a fold as for all rows, as the loss is a mean. Means over folds weigh each fold the
    same. Each fold's training rows are copied.

    References
    ----------
    .. [1] K. Rahnama Rad and A. Maleki (2020). A scalable estimate of the out-of-sample prediction error via
       approximate leave-one-out cross-validation. Journal of the Royal Statistical Society B 82(4), 965-996.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from skmax import SoftmaxRegressionCV
    >>> X, y = load_wine(return_X_y=True)
    >>> model = SoftmaxRegressionCV().fit(X, y)
    >>> model.scores_.shape
    (5, 10)
    >>> model.best_score_ > -0.2  # minus the log loss
    True
    """

    _parameter_constraints = {
        **SoftmaxRegression._parameter_constraints,
        "weight_decays": [Interval(Integral, 1, None, closed="left"), "array-like"],
        "cv": ["cv_object", StrOptions({"approximate"})],
        "scoring": [StrOptions(set(get_scorer_names())), callable, None],
        "refit": [StrOptions({"best", "one_standard_error"})],
        "n_jobs": [Integral, None],
    }
    del _parameter_constraints["weight_decay"], _parameter_constraints["warm_start"]

    def __init__(
        self,
        weight_decays: int | ArrayLike = 10,
        *,
        cv: Any = None,
        scoring: Any = "neg_log_loss",
        refit: Literal["best", "one_standard_error"] = "best",
        n_jobs: int | None = None,
        fit_intercept: bool = True,
        class_weight: Mapping[Any, float] | Literal["balanced"] | None = None,
        classes: ArrayLike | None = None,
        tol: float = 1e-6,
        max_iter: int = 1000,
        verbose: int = 0,
    ) -> None:
        self.weight_decays = weight_decays
        self.cv = cv
        self.scoring = scoring
        self.refit = refit
        self.n_jobs = n_jobs
        self.fit_intercept = fit_intercept
        self.class_weight = class_weight
        self.classes = classes
        self.tol = tol
        self.max_iter = max_iter
        self.verbose = verbose

    @with_callbacks
    def fit(
        self, X: MatrixLike, y: ArrayLike, sample_weight: ArrayLike | None = None, **params: Any
    ) -> "SoftmaxRegressionCV":
        """Choose the weight decay and fit the model with it.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training data, as for :meth:`SoftmaxRegression.fit`.
        y : array-like of shape (n_samples,) or (n_samples, n_classes)
            Labels, or distributions over the classes.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights, for the fits and for the scores.
        **params : dict
            ``groups`` for the splitter; with metadata routing enabled, what splitter and scorer ask for.

        Returns
        -------
        self : SoftmaxRegressionCV

        Raises
        ------
        ValueError, TypeError
            If an argument breaks a rule; the message names the argument, the rule and the value. An earlier fit
            stays as it was.

        Warns
        -----
        ConvergenceWarning
            If a fit did not converge, on a fold or on all rows.
        UserWarning
            If the mean score of some weight decay is not finite.
        """
        self._validate_params()
        for_split, for_score = self._route(sample_weight, params)
        fitted, as_given = copy.copy(self), (X, y, sample_weight)
        if not isinstance(self.weight_decays, Integral):
            fitted.weight_decays_ = _check_weight_decays(self.weight_decays)
        X, y, weight = fitted._validate(X, y, sample_weight)
        target = self._encode(y, weight)
        if isinstance(self.weight_decays, Integral):
            fitted.weight_decays_ = fitted._grid(X, target, int(self.weight_decays))
        model = fitted._model(target)
        if isinstance(self.cv, str):
            monitor = Monitor.of(self, *as_given, 2)
            scores, gaps = self._score_without_each_row(model, X, target, fitted.weight_decays_)
        else:
            folds = self.cv
            if folds is None or isinstance(folds, Integral) or hasattr(folds, "split"):
                splitter = check_cv(folds, y, classifier=y.ndim == 1 or y.shape[1] == 1)
                folds = splitter.split(X, y, **for_split)
            folds = _check_folds(folds, len(y), self.cv)
            if "sample_weight" in for_score:
                for_score = {**for_score, "sample_weight": weight}
            monitor = Monitor.of(self, *as_given, len(folds) + 1)
            jobs = (
                delayed(_score_fold)(model, X, y, weight, fold, fitted.weight_decays_, self._scorer(), for_score)
                for fold in folds
            )
            # In their order, and each as soon as it is there where somebody is told; joblib before 1.3 knows but lists.
            how = {"return_as": "generator"} if monitor else {}
            results = []
            for result in Parallel(n_jobs=self.n_jobs, **how)(jobs):
                results.append(result)
                if monitor:
                    monitor.step("fold")
            scores, gaps = (np.array(part) for part in zip(*results, strict=True))
        fitted._choose(scores)
        [refitted] = model._models(X, target, [fitted.weight_decay_])
        # What is of the fit, and not of its parameters.
        fitted.__dict__.update({k: v for k, v in refitted.__dict__.items() if k not in model.get_params()})
        self._take(fitted)
        if monitor is not None:
            monitor.step("refit", fitted._fitted_attributes)
            monitor.end(fitted._fitted_attributes())
        mean = self.cv_results_["mean_test_score"]
        if not np.isfinite(mean).all():
            warnings.warn(
                f"The mean scores of the weight_decays should be finite; got {mean}, of which nan ranks last.",
                UserWarning,
                stacklevel=CALLER,
            )
        message = self._not_converged()
        n_far = np.count_nonzero(~(gaps <= self.tol))
        if message is None and n_far:
            message = (
                f"{n_far} of {gaps.size} fits on folds ended further than tol={self.tol:g} from the minimum, up to an "
                f"estimated {np.nanmax(gaps):.1e}: their scores may be off by as much. Raise max_iter, or leave out "
                "the weakest weight_decays."
            )
        if message is not None:
            warnings.warn(message, ConvergenceWarning, stacklevel=CALLER)
        return self

    def _model(self, target: Target) -> SoftmaxRegression:
        """The model to fit on folds: it knows all classes."""
        model = SoftmaxRegression(
            fit_intercept=self.fit_intercept,
            class_weight=self.class_weight,
            classes=target.classes,
            tol=self.tol,
            max_iter=self.max_iter,
            verbose=self.verbose,
        )
        model.n_features_in_ = self.n_features_in_
        return model

    def _path_on_all_rows(
        self, X: MatrixLike, y: ArrayLike, sample_weight: ArrayLike | None
    ) -> tuple[list[SoftmaxRegression], Float64Array]:
        """Models of all `weight_decays_`, and the standard deviations of the columns."""
        X, y, weight = copy.copy(self)._validate(X, y, sample_weight)
        target = self._encode(y, weight)
        with workers() as pool:
            columns = Columns.of(Rows(X, target.sample_weight, pool), centred=True)
        return self._model(target)._models(X, target, self.weight_decays_.tolist()), columns.scale

    def score(self, X: MatrixLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """The score by `scoring`, as of the other searches of scikit-learn: the default is minus the log loss.

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
        """
        if self.scoring is None:
            return super().score(X, y, sample_weight)
        if isinstance(sample_weight, Real):  # scorers take arrays only
            sample_weight = check_sample_weight(sample_weight, np.shape(X)[0])
        weights = {} if sample_weight is None else {"sample_weight": sample_weight}
        return float(self._scorer()(self, X, y, **weights))

    def _scorer(self) -> Any:
        if isinstance(self.scoring, str) and self.scoring == "neg_log_loss":
            return neg_cross_entropy_scorer
        return check_scoring(self, scoring=self.scoring)

    def _route(self, sample_weight: ArrayLike | None, params: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """What goes to the splitter, and to the scorer."""
        if get_config()["enable_metadata_routing"]:
            routed = process_routing(self, "fit", sample_weight=sample_weight, **params)
            return routed.splitter.split, routed.scorer.score
        unknown = set(params) - {"groups"}
        if unknown:
            raise TypeError(
                "fit takes X, y, sample_weight and groups, and more with metadata routing enabled; "
                f"got {sorted(unknown)}."
            )
        return params, {} if sample_weight is None else {"sample_weight": sample_weight}

    def get_metadata_routing(self) -> MetadataRouter:
        """What goes to this estimator's `fit`, to the splitter and to the scorer.

        Returns
        -------
        routing : sklearn.utils.metadata_routing.MetadataRouter
        """
        router = MetadataRouter(owner=self).add_self_request(self)
        if not isinstance(self.cv, str):
            router.add(splitter=self.cv, method_mapping=MethodMapping().add(caller="fit", callee="split"))
        return router.add(scorer=self._scorer(), method_mapping=MethodMapping().add(caller="fit", callee="score"))

    def _grid(self, X: Design, target: Target, n_weight_decays: int) -> Float64Array:
        """Weight decays between the ends that the docstring of the class states.

        As f is convex, loss(W) >= loss(0) + <G, W> with G the gradient at zero coefficients, so that no W gains more
        than max_W -<G, W> - weight_decay / 2 ||W||^2 = ||G||^2 / (2 weight_decay).
        """
        strong = 0.0
        with workers() as pool:
            if len(target.frequency) > 1:  # else there is no entropy, and nothing to gain
                objective, _, coordinates = self._problem(X, target, pool)
                start = SoftmaxRegression(fit_intercept=self.fit_intercept)._start(objective, target, coordinates)
                gradient = objective.split(objective(start.ravel())[1])[0]
                entropy = -np.sum(target.frequency * np.log(target.frequency))
                strong = np.sum(gradient**2) / (2 * _STRONG_END * entropy)
            columns = Columns.of(Rows(X, target.sample_weight, pool), centred=self.fit_intercept)
        weak = _WEAK_END * np.median(columns.scale**2) / target.weight_sum
        # Columns that tell nothing of the classes, or a single one: the ends need not be in order.
        strong = max(strong, 100 * weak)
        return np.geomspace(strong, weak, n_weight_decays)

    def _score_without_each_row(
        self, model: SoftmaxRegression, X: Design, target: Target, weight_decays: Float64Array
    ) -> tuple[Float64Array, Float64Array]:
        """Scores of shape (n_samples, n_weight_decays) and gaps, from one path over all rows."""
        if self.scoring != "neg_log_loss":
            raise ValueError(f"scoring must be 'neg_log_loss' where cv='approximate'; got {self.scoring!r}.")
        if len(target.frequency) == 1:
            return np.zeros((X.shape[0], len(weight_decays))), np.zeros(len(weight_decays))
        with workers() as pool:
            objective = model._problem(X, target, pool)[0]
        if not whole_hessian_fits(objective):
            raise ValueError(
                "cv='approximate' needs the whole Hessian, for at most 2048 coefficients and intercepts; got "
                f"{objective.n_logits} x {objective.n_columns}. Pass cv=5."
            )
        losses, gaps = [], []
        for objective, columns, _, solution in model._solutions(X, target, weight_decays.tolist()):
            losses.append(leave_one_out_losses(objective, columns, solution.theta))
            gaps.append(solution.gap)
        return -np.minimum(np.transpose(losses), -LEAST_LOG_PROBABILITY), np.array(gaps)

    def _choose(self, scores: Float64Array) -> None:
        with np.errstate(invalid="ignore"):  # of infinite scores
            mean, deviation, n_folds = scores.mean(axis=0), scores.std(axis=0), len(scores)
        is_nan = np.isnan(mean)
        if is_nan.all():
            raise ValueError(
                f"scoring must give a number for some weight decay on all folds; got nan for each, by {self.scoring!r}."
            )
        best = int(np.nanargmax(mean))  # the strongest of equals
        if self.refit == "one_standard_error":
            error = np.nan_to_num(deviation[best] / np.sqrt(max(n_folds - 1, 1)))
            best = int(np.flatnonzero(mean >= mean[best] - error)[0])
        self.scores_ = scores
        self.weight_decay_ = float(self.weight_decays_[best])
        self.best_score_ = float(mean[best])
        self.cv_results_ = {
            "param_weight_decay": self.weight_decays_,
            "params": [{"weight_decay": decay} for decay in self.weight_decays_.tolist()],
            "mean_test_score": mean,
            "std_test_score": deviation,
            "rank_test_score": 1 + ((mean[:, None] < mean) | (is_nan[:, None] & ~is_nan)).sum(axis=1),
        }
        if not isinstance(self.cv, str):
            self.cv_results_ |= {f"split{i}_test_score": fold for i, fold in enumerate(scores)}


def _check_weight_decays(weight_decays: ArrayLike) -> Float64Array:
    """Sorted from the strongest."""
    with naming("weight_decays", f"an integer, or finite numbers of at least 0; got {weight_decays!r}"):
        decays = np.asarray(weight_decays, dtype=np.float64)
    if decays.ndim != 1 or not len(decays) or not np.all((decays >= 0) & np.isfinite(decays)):
        raise ValueError(f"weight_decays must be an integer, or finite numbers of at least 0; got {weight_decays!r}.")
    return -np.sort(-decays)


def _check_folds(folds: Iterable[Any], n_samples: int, cv: Any) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """The rows to fit and those to judge, of each fold."""
    checked, rows = [], np.arange(n_samples)
    for number, fold in enumerate(folds):
        try:
            train, test = (rows[np.asarray(part)] for part in fold)
            n_train, n_test = len(train), len(test)
        except (IndexError, TypeError, ValueError) as error:
            raise ValueError(
                f"cv must give two arrays of rows for each fold, to fit and to judge; for fold {number}: {error}."
            ) from error
        if not (n_train and n_test):
            raise ValueError(
                f"cv must leave rows to fit and rows to judge; got {n_train} and {n_test} in fold {number}."
            )
        checked.append((train, test))
    if not checked:
        raise ValueError(
            f"cv must give at least one fold; got none from {cv!r}. One fit uses an iterator up: pass a list."
        )
    return checked


def _score_fold(
    model: SoftmaxRegression,
    X: Design,
    y: NDArray,
    weight: Float64Array | None,
    fold: tuple[NDArray[np.intp], NDArray[np.intp]],
    weight_decays: Float64Array,
    scorer: Any,
    for_score: dict[str, Any],
) -> tuple[list[float], list[float]]:
    """Scores and gaps of the models of one path."""
    train, test = fold
    target = model._encode(y[train], None if weight is None else weight[train])
    path = model._models(X[train], target, weight_decays.tolist())
    of_test = {name: np.asarray(value)[test] if np.ndim(value) else value for name, value in for_score.items()}
    scores = [scorer(fitted, X[test], y[test], **of_test) for fitted in path]
    return scores, [fitted.gap_ for fitted in path]
