"""SoftmaxRegressionCV: chooses the weight decay by cross-validation, along one warm-started path for each fold."""

import dataclasses
import functools
import warnings
from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn import get_config
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import check_scoring, get_scorer_names
from sklearn.model_selection import check_cv
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, process_routing

from skmax._arrays import as_numpy, is_foreign
from skmax._base import BaseSoftmaxRegression, MatrixLike
from skmax._columns import ColumnStats
from skmax._estimator import plain_model
from skmax._fit import Fit
from skmax._folds import Fold, Rows, check_folds, gap_beyond, score_fold, score_folds
from skmax._grid import check_weight_decays, end_of_grid, grid
from skmax._hessian.cost import whole_hessian_fits
from skmax._leave_one_out import leave_one_out_losses
from skmax._path import fit_path, minima
from skmax._prior import check_offset
from skmax._problem import Problem, initial_parameters
from skmax._progress import PathProgress
from skmax._samples import Design, Float64Array, explained_memory
from skmax._scorer import LEAST_LOG_PROBABILITY, neg_cross_entropy_scorer
from skmax._sklearn import CALLER, Interval, Monitor, StrOptions, with_callbacks
from skmax._target import check_sample_weight
from skmax._threads import workers


class SoftmaxRegressionCV(BaseSoftmaxRegression):
    """Softmax regression that chooses its weight decay by cross-validation.

    For each fold, the model is fitted along a path of weight decays, from the strongest to the weakest, and each fit
    starts where the last one ended. A path ends early once its score is clearly past its best. The weight decay with
    the best mean score on the held-out rows is chosen, and the model is fitted with it to all rows.

    Parameters
    ----------
    weight_decays : int or array-like of float >= 0, default=10
        The weight decays to choose from, or their number. If it is a number, they are evenly spaced on a logarithmic
        scale between two ends that depend on the data. At the strongest, the model predicts little more than the class
        frequencies. At the weakest, the penalty hardly matters: as a prior distribution of the coefficients, it would
        allow the logits of a typical row a standard deviation of about 30. Variances are divided by `penalty_factor`,
        and columns without a penalty do not count.
    cv : int, splitter, iterable of (train, test) or "approximate", default=None
        The folds, drawn once; None is 5. An integer is a :class:`~sklearn.model_selection.StratifiedKFold` for labels
        and a :class:`~sklearn.model_selection.KFold` for distributions. ``"approximate"`` estimates the scores of
        leave-one-out from a single fit for each weight decay, by one Newton step for each row [1]_. It computes the
        whole Hessian, and so is limited to 2048 coefficients and intercepts in all.
    scoring : str, callable or None, default="neg_log_loss"
        A scikit-learn scorer, called as ``scorer(model, X, y)``. The default also accepts distributions, and folds
        that lack some classes (:data:`skmax.neg_cross_entropy_scorer`). None is the accuracy. ``cv="approximate"``
        requires the default.
    refit : {"best", "one_standard_error"}, default="best"
        Which weight decay to choose: the one with the best mean score, or the strongest whose mean score is within one
        standard error of the best. A mean of nan ranks last, with a warning; if all are nan, `fit` raises a ValueError.
    n_jobs : int, default=None
        The number of parallel joblib processes, which fit one fold each and share the cores. Folds of an `X` on another
        device are fitted one after the other.
    verbose : int, default=0
        If positive, print a line for each fold and weight decay, and a line every second during longer fits. Parallel
        processes print to their own terminal, if they have one.
    fit_intercept, class_weight, classes, penalty_factor, prior_mean, tol, max_iter
        As for :class:`SoftmaxRegression`. If the whole Hessian is too expensive to compute, the fits on folds are less
        accurate: they stop at an estimated gap of a very small part of the standard error of their log loss, or of
        `tol` if that is larger.

    Attributes
    ----------
    weight_decay_ : float
        The chosen weight decay.
    weight_decays_ : ndarray of shape (n_weight_decays,)
        The weight decays, from the strongest to the weakest.
    scores_ : ndarray of shape (n_folds, n_weight_decays)
        The scores of each fold, and nan for the weight decays after the end of its path. With ``cv="approximate"``,
        each row is a fold.
    best_score_ : float
        The mean score of `weight_decay_`.
    cv_results_ : dict of ndarray
        ``param_weight_decay``, ``params``, ``mean_test_score``, ``std_test_score``, ``rank_test_score`` and
        ``split0_test_score`` and so on, as for :class:`~sklearn.model_selection.GridSearchCV`. With
        ``cv="approximate"`` there are no scores of single splits. Weight decays that were not fitted on all folds have
        a mean of nan and rank last.
    classes_, coef_, intercept_, has_offset_, n_features_in_, feature_names_in_
        As for :class:`SoftmaxRegression`: the model with `weight_decay_`, fitted on all rows.
    objective_, gap_, gap_is_bound_, converged_, n_iter_, loss_curve_
        As for :class:`SoftmaxRegression`, for the same model.

    See Also
    --------
    SoftmaxRegression : The model with a weight decay that you choose.
    PathDisplay : A plot of the scores.

    Notes
    -----
    The loss is a mean, so a weight decay means the same for a fold as for all rows. All folds have the same weight in
    the mean scores. The training rows of each fold are copied.

    With the default score, the path of a fold ends once the log loss of its test rows is higher than its lowest value
    by several standard errors of the difference, for more than one weight decay in a row. A weight decay at which some
    folds have ended might still be the best, because other folds continued and improved. If it would be the best with
    the last scores of the ended folds in place of those not computed, these folds are fitted again, to the end of their
    paths. With any other score no path ends early, as an accuracy, for example, may still improve where the log loss
    gets worse.

    With scikit-learn 1.9 or later, callbacks receive a task for each fold, with a task for each weight decay in it.
    Folds that joblib fits in other processes are reported when they are complete.

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
        penalty_factor: ArrayLike | Mapping[str, float] | None = None,
        prior_mean: Any = None,
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
        self.penalty_factor = penalty_factor
        self.prior_mean = prior_mean
        self.tol = tol
        self.max_iter = max_iter
        self.verbose = verbose

    @with_callbacks
    def fit(
        self,
        X: MatrixLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        offset: ArrayLike | None = None,
        **params: Any,
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
        offset : array-like of shape (n_samples,) or (n_samples, n_classes), default=None
            Added to the logits, as for :meth:`SoftmaxRegression.fit`, in the fits and in the scores.
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
            If the mean score of some weight decay is not finite. If the scores still rise at an end of the grid, so
            that a weight decay beyond it may be better: the best weight decay is the first or last one, and its mean
            score is more than one standard error above that of a weight decay ten times as strong or weak (or of the
            other end of a shorter grid). There is no warning at the strong end of a grid chosen from the data, beyond
            which the model is that of the class frequencies.
        """
        self._validate_params()
        for_split, for_score = self._route(sample_weight, params)
        weight_decays = None if isinstance(self.weight_decays, Integral) else check_weight_decays(self.weight_decays)
        monitored = X, y, {"sample_weight": sample_weight, "offset": offset}
        X, y, weight, seen = self._validate(X, y, sample_weight)
        target = self._encode(y, weight)
        prior = self._prior(target.encoding, X.shape[1], seen.names)
        offset = check_offset(offset, X.shape[0], len(target.encoding.classes))
        folds = None if isinstance(self.cv, str) else self._folds(X, y, for_split)
        n_weight_decays = int(self.weight_decays) if weight_decays is None else len(weight_decays)
        n_paths = 1 if folds is None else len(folds)
        if self.verbose:
            print(f"{n_paths} path{'s' * (n_paths > 1)} of {n_weight_decays} weight decays", flush=True)
        monitor = Monitor(self, *monitored, n_paths + 1)
        with explained_memory(X, target.encoding.n_logits), workers() as pool:
            problem = self._problem(X, target, pool, prior, offset)
            if weight_decays is None:
                weight_decays = grid(problem, n_weight_decays)
            if folds is None:
                scores, far = self._leave_one_out_scores(problem, weight_decays, monitor)
            else:
                if "sample_weight" in for_score:
                    for_score = {**for_score, "sample_weight": weight}
                model, scorer = plain_model(self, classes=target.encoding.classes), self._scorer()
                rows = Rows(X, y, weight, offset)
                search_fold = functools.partial(score_fold, model, rows, prior, weight_decays, scorer, for_score)
                with pool.paused():
                    scores, far = score_folds(search_fold, folds, 1 if is_foreign(X) else self.n_jobs, monitor)
            search = self._choose(weight_decays, scores)
            [fit] = fit_path(problem, [search["weight_decay_"]], self._options())
        self._store(fit, seen, **search)
        monitor.step("refit", self._fitted_attributes)
        monitor.end(self._fitted_attributes())
        self._warn(fit, far)
        return self

    def _folds(self, X: Design, y: NDArray, for_split: dict[str, Any]) -> list[Fold]:
        folds = self.cv
        if folds is None or isinstance(folds, Integral) or hasattr(folds, "split"):
            splitter = check_cv(folds, y, classifier=y.ndim == 1 or y.shape[1] == 1)
            folds = splitter.split(X, y, **for_split)
        return check_folds(folds, len(y), self.cv)

    def _warn(self, fit: Fit, far: Float64Array) -> None:
        """Warn of scores that are not finite, of a grid that is too short, and of fits that did not converge.

        `far` holds the gap of each fit on a fold that did not converge, 0 for one that did, and -1 where there is none.
        Only `fit` may call this method: the warnings point to the caller of `fit`.
        """
        mean = self.cv_results_["mean_test_score"]
        if not np.isfinite(mean[(far >= 0).all(axis=0) if far.ndim == 2 else slice(None)]).all():
            warnings.warn(
                f"The mean scores of the weight_decays should be finite; got {mean}, of which nan ranks last.",
                UserWarning,
                stacklevel=CALLER + 1,
            )
        decays, scores = as_numpy(self.weight_decays_), as_numpy(self.scores_)
        end = end_of_grid(decays, scores, from_data=isinstance(self.weight_decays, Integral))
        if end is not None:
            warnings.warn(end, UserWarning, stacklevel=CALLER + 1)
        message = fit.warning(self.tol, self.max_iter)
        n_far = np.count_nonzero(~(far <= 0))
        if message is None and n_far:
            message = (
                f"{n_far} of {np.count_nonzero(~(far < 0))} fits on folds ended further than tol={self.tol:g} from "
                f"the minimum, up to an estimated {np.nanmax(far):.1e}: their scores may be wrong by as much. Raise "
                "max_iter, or leave out the weakest weight_decays."
            )
        if message is not None:
            warnings.warn(message, ConvergenceWarning, stacklevel=CALLER + 1)

    def _path_on_all_rows(
        self, X: MatrixLike, y: ArrayLike, sample_weight: ArrayLike | None, offset: ArrayLike | None
    ) -> tuple[list[Fit], Float64Array]:
        """The fits with all of `weight_decays_`, and the standard deviations of the columns."""
        X, y, weight, seen = self._validate(X, y, sample_weight)
        target = self._encode(y, weight)
        prior = self._prior(target.encoding, X.shape[1], seen.names)
        offset = check_offset(self._known_offset(offset), X.shape[0], len(target.encoding.classes))
        with workers() as pool:
            problem = self._problem(X, target, pool, prior, offset)
            scale = ColumnStats.of(problem.given.samples, centred=True).scale
            return list(fit_path(problem, as_numpy(self.weight_decays_).tolist(), self._options())), scale

    def score(
        self, X: MatrixLike, y: ArrayLike, sample_weight: ArrayLike | None = None, offset: ArrayLike | None = None
    ) -> float:
        """Score as `scoring` says, like scikit-learn's searches; by default, minus the log loss.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The samples.
        y : array-like of shape (n_samples,) or (n_samples, n_classes)
            Labels, or distributions with columns in the order of `classes_`.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples.
        offset : array-like of shape (n_samples,) or (n_samples, n_classes), default=None
            Added to the logits, as for :meth:`fit`. Required if the model was fitted with offsets.

        Returns
        -------
        score : float
        """
        if self.scoring is None:
            return super().score(X, y, sample_weight, offset)
        if isinstance(sample_weight, Real):  # scorers accept only arrays
            sample_weight = check_sample_weight(sample_weight, np.shape(X)[0])
        weights = {} if sample_weight is None else {"sample_weight": sample_weight}
        return float(self._scorer()(self if offset is None else self._with_offset(offset), X, y, **weights))

    def _scorer(self) -> Any:
        if isinstance(self.scoring, str) and self.scoring == "neg_log_loss":
            return neg_cross_entropy_scorer
        return check_scoring(self, scoring=self.scoring)

    def _route(self, sample_weight: ArrayLike | None, params: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Divide the metadata into arguments of the splitter and arguments of the scorer."""
        if get_config()["enable_metadata_routing"]:
            # Scorers need no offset: the model that they receive has it.
            routed = process_routing(self, "fit", sample_weight=sample_weight, **params)
            return routed.splitter.split, routed.scorer.score
        unknown = set(params) - {"groups"}
        if unknown:
            raise TypeError(
                "fit takes X, y, sample_weight, offset and groups, and more with metadata routing enabled; "
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
        progress = PathProgress(weight_decays, "all rows", self.verbose, monitor)
        options = dataclasses.replace(self._options(), report=progress.stage, watch=progress.iteration)
        for minimum in minima(problem, weight_decays.tolist(), initial_parameters(problem), options):
            losses.append(leave_one_out_losses(minimum.objective, minimum.columns, minimum.solution.theta))
            far.append(gap_beyond(minimum.solution.gap, self.tol))
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
