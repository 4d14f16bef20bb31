"""SoftmaxRegressionCV: chooses the weight decay by cross-validation, along one warm-started path for each fold."""

import copy
import dataclasses
import functools
import time
import warnings
from collections.abc import Callable, Iterable, Mapping
from numbers import Integral, Real
from typing import Any, Literal, TypeAlias

import numpy as np
from joblib import Parallel, delayed, effective_n_jobs
from numpy.typing import ArrayLike, NDArray
from sklearn import get_config
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import check_scoring, get_scorer_names
from sklearn.model_selection import check_cv
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, process_routing

from skmax._base import BaseSoftmaxRegression, MatrixLike
from skmax._columns import ColumnStats
from skmax._estimator import SoftmaxRegression
from skmax._hessian import whole_hessian_fits
from skmax._leave_one_out import leave_one_out_losses
from skmax._path import Fit, Problem, fit_path, fits_along, initial_parameters, minima
from skmax._samples import Design, Float64Array
from skmax._scorer import LEAST_LOG_PROBABILITY, mean_score, neg_cross_entropy_scorer, own_log_probability
from skmax._sklearn import CALLER, Interval, Monitor, StrOptions, with_callbacks
from skmax._target import check_sample_weight, naming
from skmax._threads import Workers, workers

# At the strong end of the grid, no fit is better than the class frequencies by more than this share of their entropy.
# At the weak end, the prior distribution that the penalty stands for gives the logits of a typical row a variance of
# one over this number.
_STRONG_END, _WEAK_END = 0.01, 0.001
# The tolerance of a fit on a fold, in standard errors of the mean log loss on the rows left out. In 5 folds, the mean
# score of the best weight decay of usps, optdigits and movement_libras then differs from that of certified fits by at
# most 1 % of a standard error, and that of weight decays 10 to 100 times as weak by 10 to 40 %, which are much worse. A
# thousandth saves another fifth of the evaluations, and scores there move by a whole standard error.
_ROUGH = 1e-4
# A fold's path ends where its log loss was higher than its least by this number of standard errors of the difference,
# for as many weight decays in a row.
_TURNED_BY, _TURNED_FOR = 3.0, 2
# Whether the scores still rise at an end of the grid is told over this factor of weight decay.
_DECADE = 9.99

Fold: TypeAlias = tuple[NDArray[np.intp], NDArray[np.intp]]  # the training and the test rows


class SoftmaxRegressionCV(BaseSoftmaxRegression):
    """Softmax regression that chooses its own weight decay.

    For each fold, the model is fitted along a path of weight decays, from the strongest to the weakest, each fit
    starting where the last one ended. The decay with the best mean score on the rows left out is chosen, and the model
    is fitted with it on all rows. A path ends early where its score has clearly turned.

    Parameters
    ----------
    weight_decays : int or array-like of float >= 0, default=10
        The weight decays to choose from, or their number. A number of them are evenly spaced on a logarithmic scale
        between ends that depend on the data. The strongest is such that the model is nearly that of the class
        frequencies: no fit with it can gain more than 1 % of their entropy. The weakest is such that the penalty hardly
        matters: 0.001 p v / S, with p columns of median variance v. As a prior distribution of the coefficients, it
        then gives the logits of a row whose squared distance from the mean is p v a standard deviation of 32.
    cv : int, splitter, iterable of (train, test) or "approximate", default=None
        The folds, drawn once; None is 5. An integer is a :class:`~sklearn.model_selection.StratifiedKFold` for labels
        and a :class:`~sklearn.model_selection.KFold` for distributions. ``"approximate"`` estimates the scores of
        leave-one-out from a single fit for each decay, by a Newton step for each row [1]_. It takes as much work as the
        Hessian of all rows, and is limited to 2048 coefficients and intercepts in all.
    scoring : str, callable or None, default="neg_log_loss"
        A scikit-learn scorer, called as ``scorer(model, X, y)``. The default also accepts distributions, and folds
        that lack some classes (:data:`skmax.neg_cross_entropy_scorer`). None is the accuracy. ``cv="approximate"``
        requires the default.
    refit : {"best", "one_standard_error"}, default="best"
        Which decay to choose: the one with the best mean score, or the strongest whose mean score is within one
        standard error of the best. A mean of nan ranks last, with a warning; if all are nan, `fit` raises a ValueError.
    n_jobs : int, default=None
        The number of folds to fit at the same time, in joblib processes that share the cores.
    verbose : int, default=0
        If positive, prints a line for each fold and weight decay, and one a second where a fit takes longer. Processes
        print for themselves, where they have a terminal.
    fit_intercept, class_weight, classes, tol, max_iter
        As for :class:`SoftmaxRegression`. Where the whole Hessian takes more than a small part of a fit, the fits on
        folds end where their gap is estimated to be 0.0001 standard errors of their log loss, or `tol` if that is more,
        without a certificate.

    Attributes
    ----------
    weight_decay_ : float
        The chosen weight decay.
    weight_decays_ : ndarray of shape (n_weight_decays,)
        The weight decays, from the strongest to the weakest.
    scores_ : ndarray of shape (n_folds, n_weight_decays)
        The scores of each fold, nan for the weight decays after the end of its path. With ``cv="approximate"``, each
        row is a fold.
    best_score_ : float
        The mean score of `weight_decay_`.
    cv_results_ : dict of ndarray
        ``param_weight_decay``, ``params``, ``mean_test_score``, ``std_test_score``, ``rank_test_score`` and
        ``split0_test_score`` and so on, as for :class:`~sklearn.model_selection.GridSearchCV`. There are no scores of
        single splits with ``cv="approximate"``. Weight decays that some fold did not fit have a mean of nan and rank
        last.
    classes_, coef_, intercept_, n_features_in_, feature_names_in_
        As for :class:`SoftmaxRegression`: the model with `weight_decay_`, fitted on all rows.
    objective_, gap_, gap_is_bound_, converged_, n_iter_, loss_curve_
        As for :class:`SoftmaxRegression`, for the same model.

    See Also
    --------
    SoftmaxRegression : The model with a weight decay that you choose.
    PathDisplay : A plot of the scores.

    Notes
    -----
    The loss is a mean, so that a weight decay means the same for a fold as for all rows. Mean scores give all folds the
    same weight. The training rows of each fold are copied.

    If the score is the default one, the path of a fold ends where the log loss of its test rows has been higher than
    its least by three standard errors, for two weight decays in a row; the standard error is that of the mean
    difference over the rows. A weight decay that some folds did not fit could still be the best if others went on and
    got better. If so, assuming that the scores of the folds that ended would have stayed as they were, these folds are
    fitted again, to the end. Other scores, such as the accuracy, may rise where the log loss falls: no path ends.

    From scikit-learn 1.9 on, callbacks see a task for each fold, with a task for each weight decay. Folds that joblib
    fits in other processes are seen once they are done.

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
        **BaseSoftmaxRegression._parameter_constraints,
        "weight_decays": [Interval(Integral, 1, None, closed="left"), "array-like"],
        "cv": ["cv_object", StrOptions({"approximate"})],
        "scoring": [StrOptions(set(get_scorer_names())), callable, None],
        "refit": [StrOptions({"best", "one_standard_error"})],
        "n_jobs": [Integral, None],
    }

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
            ``groups`` for the splitter; with metadata routing enabled, whatever the splitter and the scorer request.

        Returns
        -------
        self : SoftmaxRegressionCV

        Raises
        ------
        ValueError, TypeError
            If an argument breaks a rule. The message names the argument, the rule and the value. An earlier fit is
            not changed.

        Warns
        -----
        ConvergenceWarning
            If a fit did not converge, on a fold or on all rows.
        UserWarning
            If the mean score of some weight decay is not finite. If the best weight decay is the first or last of two
            or more, and its mean score is more than one standard error above that of one ten times away (or as far as
            the grid goes), so that another beyond it may be better. There is no warning at the first of a grid that
            comes from the data, beyond which there is only the model of the class frequencies.
        """
        self._validate_params()
        for_split, for_score = self._route(sample_weight, params)
        weight_decays = None if isinstance(self.weight_decays, Integral) else _check_weight_decays(self.weight_decays)
        monitored = X, y, sample_weight
        X, y, weight, feature_names = self._validate(X, y, sample_weight)
        target = self._encode(y, weight)
        folds = None if isinstance(self.cv, str) else self._folds(X, y, for_split)
        n_weight_decays = int(self.weight_decays) if weight_decays is None else len(weight_decays)
        n_paths = 1 if folds is None else len(folds)
        if self.verbose:
            print(f"{n_paths} path{'s' * (n_paths > 1)} of {n_weight_decays} weight decays", flush=True)
        monitor = Monitor(self, *monitored, n_paths + 1)
        with workers() as pool:
            problem = self._problem(X, target, pool)
            if weight_decays is None:
                weight_decays = _grid(problem, n_weight_decays)
            if folds is None:
                scores, far = self._leave_one_out_scores(problem, weight_decays, monitor)
        if folds is not None:  # outside the block above, which holds the linear algebra to one thread
            if "sample_weight" in for_score:
                for_score = {**for_score, "sample_weight": weight}
            model, scorer = self._model_for_folds(target.encoding.classes), self._scorer()
            search_fold = functools.partial(_score_fold, model, X, y, weight, weight_decays, scorer, for_score)
            scores, far = _run(search_fold, folds, self.n_jobs, monitor)
        search = self._choose(weight_decays, scores)
        with workers() as pool:
            [fit] = fit_path(problem.on(pool), [search["weight_decay_"]], self._options())
        self._store(fit, feature_names, **search)
        monitor.step("refit", self._fitted_attributes)
        monitor.end(self._fitted_attributes())
        self._warn(fit, far)
        return self

    def _model_for_folds(self, classes: NDArray) -> SoftmaxRegression:
        """The unfitted model of the folds, which knows all classes."""
        return SoftmaxRegression(
            fit_intercept=self.fit_intercept,
            class_weight=self.class_weight,
            classes=classes,
            tol=self.tol,
            max_iter=self.max_iter,
            verbose=self.verbose,
        )

    def _folds(self, X: Design, y: NDArray, for_split: dict[str, Any]) -> list[Fold]:
        folds = self.cv
        if folds is None or isinstance(folds, Integral) or hasattr(folds, "split"):
            splitter = check_cv(folds, y, classifier=y.ndim == 1 or y.shape[1] == 1)
            folds = splitter.split(X, y, **for_split)
        return _check_folds(folds, len(y), self.cv)

    def _warn(self, fit: Fit, far: Float64Array) -> None:
        """Warn of scores and fits that fall short. To be called by `fit` itself.

        `far` has the gap of each fit on a fold that did not converge, 0 for one that did, and -1 for one not made.
        """
        mean = self.cv_results_["mean_test_score"]
        if not np.isfinite(mean[(far >= 0).all(axis=0) if far.ndim == 2 else slice(None)]).all():
            warnings.warn(
                f"The mean scores of the weight_decays should be finite; got {mean}, of which nan ranks last.",
                UserWarning,
                stacklevel=CALLER + 1,
            )
        end = _end_of_grid(self.weight_decays_, self.scores_, from_data=isinstance(self.weight_decays, Integral))
        if end is not None:
            warnings.warn(end, UserWarning, stacklevel=CALLER + 1)
        message = fit.warning(self._options())
        n_far = np.count_nonzero(~(far <= 0))
        if message is None and n_far:
            message = (
                f"{n_far} of {np.count_nonzero(~(far < 0))} fits on folds ended further than tol={self.tol:g} from "
                f"the minimum, up to an estimated {np.nanmax(far):.1e}: their scores may be off by as much. Raise "
                "max_iter, or leave out the weakest weight_decays."
            )
        if message is not None:
            warnings.warn(message, ConvergenceWarning, stacklevel=CALLER + 1)

    def _path_on_all_rows(
        self, X: MatrixLike, y: ArrayLike, sample_weight: ArrayLike | None
    ) -> tuple[list[Fit], Float64Array]:
        """The fits with all of `weight_decays_`, and the standard deviations of the columns."""
        X, y, weight, _ = self._validate(X, y, sample_weight)
        target = self._encode(y, weight)
        with workers() as pool:
            problem = self._problem(X, target, pool)
            scale = ColumnStats.of(problem.given.samples, centred=True).scale
            return fit_path(problem, self.weight_decays_.tolist(), self._options()), scale

    def score(self, X: MatrixLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """The score according to `scoring`, as in scikit-learn's searches; by default, minus the log loss.

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
        if isinstance(sample_weight, Real):  # scorers accept only arrays
            sample_weight = check_sample_weight(sample_weight, np.shape(X)[0])
        weights = {} if sample_weight is None else {"sample_weight": sample_weight}
        return float(self._scorer()(self, X, y, **weights))

    def _scorer(self) -> Any:
        if isinstance(self.scoring, str) and self.scoring == "neg_log_loss":
            return neg_cross_entropy_scorer
        return check_scoring(self, scoring=self.scoring)

    def _route(self, sample_weight: ArrayLike | None, params: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """The arguments for the splitter and those for the scorer."""
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
        """The metadata that this estimator's `fit`, the splitter and the scorer request.

        Returns
        -------
        routing : sklearn.utils.metadata_routing.MetadataRouter
        """
        router = MetadataRouter(owner=self).add_self_request(self)
        if not isinstance(self.cv, str):
            router.add(splitter=self.cv, method_mapping=MethodMapping().add(caller="fit", callee="split"))
        return router.add(scorer=self._scorer(), method_mapping=MethodMapping().add(caller="fit", callee="score"))

    def _leave_one_out_scores(
        self, problem: Problem, weight_decays: Float64Array, monitor: Monitor
    ) -> tuple[Float64Array, Float64Array]:
        """Scores of shape (n_samples, n_weight_decays), and what `_warn` needs, from one path over all rows."""
        if self.scoring != "neg_log_loss":
            raise ValueError(f"scoring must be 'neg_log_loss' where cv='approximate'; got {self.scoring!r}.")
        objective = problem.objective
        if problem.encoding.is_certain:
            return np.zeros((objective.samples.n_samples, len(weight_decays))), np.zeros(len(weight_decays))
        if not whole_hessian_fits(objective):
            raise ValueError(
                "cv='approximate' needs the whole Hessian, for at most 2048 coefficients and intercepts; got "
                f"{objective.n_logits} x {objective.n_columns}. Pass cv=5."
            )
        losses, far = [], []
        progress = _Progress(weight_decays, "all rows", self.verbose, monitor)
        options = dataclasses.replace(self._options(), progress=progress.iteration)
        for minimum in minima(problem, weight_decays.tolist(), initial_parameters(problem), options):
            losses.append(leave_one_out_losses(minimum.objective, minimum.columns, minimum.solution.theta))
            far.append(_far(minimum.solution.gap, self.tol))
            progress.end_of_decay(-float(np.mean(losses[-1])))
        progress.end()
        return -np.minimum(np.transpose(losses), -LEAST_LOG_PROBABILITY), np.array(far)

    def _choose(self, weight_decays: Float64Array, scores: Float64Array) -> dict[str, Any]:
        """The fitted attributes of the search: the chosen weight decay, and the scores of all."""
        with np.errstate(invalid="ignore"):  # scores may be infinite
            mean, deviation, n_folds = scores.mean(axis=0), scores.std(axis=0), len(scores)
        is_nan = np.isnan(mean)
        if is_nan.all():
            raise ValueError(
                f"scoring must give a number for some weight decay on all folds; got nan for each, by {self.scoring!r}."
            )
        best = int(np.nanargmax(mean))  # among equals, the strongest
        if self.refit == "one_standard_error":
            error = np.nan_to_num(deviation[best] / np.sqrt(max(n_folds - 1, 1)))
            best = int(np.flatnonzero(mean >= mean[best] - error)[0])
        cv_results = {
            "param_weight_decay": weight_decays,
            "params": [{"weight_decay": decay} for decay in weight_decays.tolist()],
            "mean_test_score": mean,
            "std_test_score": deviation,
            "rank_test_score": 1 + ((mean[:, None] < mean) | (is_nan[:, None] & ~is_nan)).sum(axis=1),
        }
        if not isinstance(self.cv, str):
            cv_results |= {f"split{i}_test_score": fold for i, fold in enumerate(scores)}
        return {
            "weight_decays_": weight_decays,
            "scores_": scores,
            "weight_decay_": float(weight_decays[best]),
            "best_score_": float(mean[best]),
            "cv_results_": cv_results,
        }


def _grid(problem: Problem, n_weight_decays: int) -> Float64Array:
    """Weight decays between the ends that the docstring of `SoftmaxRegressionCV` states.

    As f is convex, loss(W) >= loss(0) + <G, W> with G the gradient at zero coefficients, so that no W gains more
    than max_W -<G, W> - weight_decay / 2 ||W||^2 = ||G||^2 / (2 weight_decay).

    S f is minus the logarithm of a posterior density in which the coefficients have independent normal distributions of
    variance 1 / (S weight_decay) before the data are seen. The logit of a row x less the mean then has the variance
    ||x - mean||^2 / (S weight_decay). The squared length of a typical row is the sum of the columns' variances v_j. A
    few long columns would make nearly all of that sum, and hide what a grid for the others has to be, so that p times
    their median stands for it.
    """
    encoding, objective, given = problem.encoding, problem.objective, problem.given
    strong = 0.0
    if not encoding.is_certain:  # else the entropy is 0 and there is nothing to gain
        gradient = objective.split(objective(initial_parameters(problem))[1])[0]
        entropy = -np.sum(encoding.frequency * np.log(encoding.frequency))
        strong = np.sum(gradient**2) / (2 * _STRONG_END * entropy)
    columns = ColumnStats.of(given.samples, centred=given.fit_intercept)
    weak = _WEAK_END * given.n_features * np.median(columns.scale**2) / encoding.weight_sum
    # Without this, the ends could be out of order where the columns carry no information on the classes.
    strong = max(strong, 100 * weak)
    return np.geomspace(strong, weak, n_weight_decays)


def _check_weight_decays(weight_decays: ArrayLike) -> Float64Array:
    """Check the weight decays, and sort them from the strongest to the weakest."""
    with naming("weight_decays", f"an integer, or finite numbers of at least 0; got {weight_decays!r}"):
        decays = np.asarray(weight_decays, dtype=np.float64)
    if decays.ndim != 1 or not len(decays) or not np.all((decays >= 0) & np.isfinite(decays)):
        raise ValueError(f"weight_decays must be an integer, or finite numbers of at least 0; got {weight_decays!r}.")
    return -np.sort(-decays)


def _check_folds(folds: Iterable[Any], n_samples: int, cv: Any) -> list[Fold]:
    """The training and test rows of each fold, as indices."""
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


def _end_of_grid(weight_decays: Float64Array, scores: Float64Array, *, from_data: bool) -> str | None:
    """The text of a warning if the scores still rise at an end of the grid, or None.

    They do if the best mean score is more than one standard error above that of a weight decay ten times away.
    Beyond the first of a grid `from_data`, there is only the model of the class frequencies.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = scores.mean(axis=0)
        best, last = int(np.nanargmax(mean)), len(mean) - 1
        if last == 0 or best not in (0, last) or weight_decays[best] == 0 or (from_data and best == 0):
            return None
        # Neighbours of a fine grid differ by next to nothing, wherever they are.
        ratio = np.maximum(weight_decays, weight_decays[best]) / np.minimum(weight_decays, weight_decays[best])
        far = np.flatnonzero(ratio >= _DECADE)
        away = far[ratio[far].argmin()] if len(far) else ratio.argmax()
        error = scores[:, best].std() / np.sqrt(max(len(scores) - 1, 1))
        if not mean[best] - mean[away] > error:
            return None
    place, what = ("first", "stronger") if best == 0 else ("last", "weaker")
    return (
        f"The best of the weight_decays, {weight_decays[best]:.2g}, is the {place} of the grid, and the scores still "
        f"rise towards it: the best of all may be {what}. Pass weight_decays that include {what} ones."
    )


def _far(gap: float, tol: float) -> float:
    """The `gap`, or 0 if it is within `tol`."""
    return 0.0 if gap <= tol else gap


def _run(
    search_fold: Callable[..., tuple[list[float], list[float]]], folds: list[Fold], n_jobs: int | None, monitor: Monitor
) -> tuple[Float64Array, Float64Array]:
    """The scores of all folds and what `_warn` needs, both of shape (n_folds, n_weight_decays).

    An end that a fold did not fit has scores of nan. If a weight decay there could still have won, because other folds
    went on and got better, the folds that lack it are fitted once more, to the end of the path.
    """
    names = [f"fold {number}/{len(folds)}" for number in range(1, len(folds) + 1)]
    results: list[Any] = []
    if effective_n_jobs(n_jobs) == 1:
        results = [search_fold(fold, name, monitor=monitor) for fold, name in zip(folds, names, strict=True)]
    else:
        # With callbacks, the results come in order, each once it is ready. joblib before 1.3 can only return a list.
        how = {"return_as": "generator"} if monitor.has_callbacks else {}
        jobs = (delayed(search_fold)(fold, name) for fold, name in zip(folds, names, strict=True))
        for result, name in zip(Parallel(n_jobs=n_jobs, **how)(jobs), names, strict=True):
            results.append(result)
            monitor.step(name)
    again = _short_of_the_best(*(np.array(part) for part in zip(*results, strict=True)))
    if again:
        jobs = (delayed(search_fold)(folds[i], names[i], whole=True) for i in again)
        for i, result in zip(again, Parallel(n_jobs=n_jobs)(jobs), strict=True):
            results[i] = result
    scores, far = (np.array(part) for part in zip(*results, strict=True))
    return scores, far


def _short_of_the_best(scores: Float64Array, far: Float64Array) -> list[int]:
    """The folds whose path ended before a weight decay that could have won, if their scores had stayed as they were."""
    fitted = far >= 0
    if fitted.all():
        return []
    last = fitted.sum(axis=1) - 1
    assumed = np.where(fitted, scores, scores[np.arange(len(scores)), last][:, None])
    whole = fitted.all(axis=0)
    with np.errstate(invalid="ignore"):
        could = ~whole & (assumed.mean(axis=0) > assumed[:, whole].mean(axis=0).max())
    return np.flatnonzero(could.any() & ~fitted.all(axis=1)).tolist()


class _Progress:
    """Tells of a path: prints lines if `verbose`, and reports each weight decay to the `monitor`."""

    def __init__(self, weight_decays: Float64Array, name: str, verbose: int, monitor: Monitor | None) -> None:
        self._weight_decays, self._name, self._verbose = weight_decays.tolist(), name, verbose
        self._part = None if monitor is None else monitor.part(name, len(weight_decays))
        self._begin = self._printed = time.perf_counter()
        self._number, self._last = 0, ", iteration 0"
        if verbose:
            print(f"{name} begins", flush=True)

    @property
    def _decay(self) -> str:
        return f"weight decay {self._number + 1}/{len(self._weight_decays)} ({self._weight_decays[self._number]:.1e})"

    def iteration(self, weight_decay: float, n_iter: int, gap: float) -> None:
        """Print a line, unless the last one is less than a second old."""
        if self._verbose:
            self._last = f", iteration {n_iter}" + (f", gap {gap:.0e}" if np.isfinite(gap) else "")
            if time.perf_counter() - self._printed >= 1:
                self._print("")

    def end_of_decay(self, score: float) -> None:
        """Print a line and report the step."""
        if self._verbose:
            self._print(f", score {score:.6g}")
        if self._part is not None:
            self._part.step(self._decay)
        self._number, self._last = self._number + 1, ", iteration 0"

    def end(self) -> None:
        if self._verbose and self._number < len(self._weight_decays):
            print(f"{self._name} ends: the score has turned", flush=True)
        if self._part is not None:
            self._part.end()

    def _print(self, rest: str) -> None:
        self._printed = time.perf_counter()
        print(f"{self._name}, {self._decay}{self._last}{rest}, {self._printed - self._begin:.1f} s", flush=True)


def _score_fold(
    model: SoftmaxRegression,
    X: Design,
    y: NDArray,
    weight: Float64Array | None,
    weight_decays: Float64Array,
    scorer: Any,
    for_score: dict[str, Any],
    fold: Fold,
    name: str,
    *,
    whole: bool = False,
    monitor: Monitor | None = None,
) -> tuple[list[float], list[float]]:
    """The scores of `model` with each of the weight decays, on one fold, and what `_warn` needs.

    The path ends where the log loss has clearly turned, if that is the score, unless the `whole` path is asked for.
    """
    train, test = fold
    progress = _Progress(weight_decays, name, model.verbose, monitor)
    for_test = {key: np.asarray(value)[test] if np.ndim(value) else value for key, value in for_score.items()}
    is_log_loss = isinstance(scorer, type(neg_cross_entropy_scorer))
    X_test, losses = X[test], _Losses(len(test), for_test.get("sample_weight"))
    decays = weight_decays.tolist()
    scores, far = [], []
    target = model._encode(y[train], None if weight is None else weight[train])
    options = dataclasses.replace(
        model._options(), progress=progress.iteration, rough_tol=lambda: _ROUGH * losses.error
    )
    lent = _LentWorkers()
    with workers() as lent.workers:
        path = fits_along(model._problem(X[train], target, lent), decays, options)
    for weight_decay in decays:
        with workers() as lent.workers:
            fit = next(path)
        fitted = copy.copy(model)
        fitted.weight_decay = weight_decay
        own = own_log_probability(fitted._store(fit), X_test, y[test])
        score = mean_score(own, **for_test) if is_log_loss else scorer(fitted, X_test, y[test], **for_test)
        scores.append(score)
        far.append(0.0 if fit.converged else _far(fit.gap, model.tol))
        progress.end_of_decay(scores[-1])
        losses.add(-own)
        if is_log_loss and losses.have_turned and not whole:
            break
    progress.end()
    n_unfitted = len(decays) - len(scores)
    return scores + n_unfitted * [np.nan], far + n_unfitted * [-1.0]


class _LentWorkers(Workers):
    """Those of the latest `workers()` block: scorers run outside of it, where the linear algebra has its threads."""

    workers: Workers

    def __init__(self) -> None: ...

    @property
    def n_threads(self) -> int:  # type: ignore[override]
        return self.workers.n_threads

    def map(self, function: Callable[[Any], Any], ranges: list[Any]) -> list[Any]:
        return self.workers.map(function, ranges)


class _Losses:
    """The log losses of the test rows along a path.

    Attributes
    ----------
    error : float
        The standard error of their mean, with the latest fit.
    have_turned : bool
        Whether the last few means were clearly higher than the least one.
    """

    def __init__(self, n_rows: int, weight: ArrayLike | None) -> None:
        weight = np.broadcast_to(1.0 if weight is None else np.asarray(weight), n_rows)
        self._weight = weight / max(weight.sum(), np.finfo(float).tiny)
        self._least: Float64Array | None = None
        self._n_higher, self.error = 0, 0.0

    @property
    def have_turned(self) -> bool:
        return self._n_higher >= _TURNED_FOR

    def add(self, losses: Float64Array) -> None:
        """Take in the losses by the next fit."""
        _, self.error = self._mean_and_error(losses)
        if self._least is None:
            self._least = losses
            return
        rise, error = self._mean_and_error(losses - self._least)
        if rise <= 0:
            self._least = losses
        self._n_higher = self._n_higher + 1 if rise > _TURNED_BY * error else 0

    def _mean_and_error(self, numbers: Float64Array) -> tuple[float, float]:
        mean = float(np.dot(self._weight, numbers))
        return mean, float(np.sqrt(np.dot(self._weight**2, (numbers - mean) ** 2)))
