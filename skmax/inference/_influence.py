"""What each row does to the fit and to a test loss: by a Newton step for each row, and a fit for a few of them."""

import functools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import linalg
from sklearn.utils.validation import check_consistent_length

from skmax._arrays import to_numpy
from skmax._base import MatrixLike
from skmax._hessian.measure import measure
from skmax._hessian.whole import WholeHessian
from skmax._leave_one_out import AllRows, logit_covariances, losses_and_probabilities
from skmax._objective import Objective, logit_spread
from skmax._preconditioner import choose_preconditioner
from skmax._samples import Float64Array, LocalSamples
from skmax._softmax import FloatArray, of_all_classes
from skmax._solver import minimize
from skmax._target import Part, all_labels, class_totals
from skmax.inference._fitted import Fitted, fitted, score_sum

# A row without which its own logits differ by more than this is fitted again, as its Newton step is too short: on
# twenty problems of nearly separable, unscaled or rare classes, that took the correlation with fits without each row
# from 0.71 at worst to 0.999 at worst. Rows come in the order of that difference, as many as take no more than these
# operations, some seconds, and this number.
_LONG_STEP, _REFIT_OPERATIONS, _MOST_REFITS = 0.5, 2e10, 100
# The Newton step that such a fit may leave, in standard errors.
_REFIT_STEP = 0.01
# The share of a class's weight that is none.
_ALONE = 1e-9


@dataclass(frozen=True, eq=False)
class LeaveOneOut:
    """What each row of the training data does to the fit, and what the fit without the row would say of it.

    Attributes
    ----------
    leverage : ndarray of shape (n_samples,)
        The part of the degrees of freedom that the row takes, s_i tr(M_i A_i), with M_i the covariance of its logits
        and A_i the curvature of its loss. They sum to the effective degrees of freedom of :func:`goodness_of_fit`.
    cooks_distance : ndarray of shape (n_samples,)
        The squared distance d^T (S H) d by which the parameters would move, divided by the effective degrees of
        freedom.
    probability : ndarray of shape (n_samples, n_classes)
        The probabilities of the row without itself in the fit, with columns in the order of `classes_`.
    loss : ndarray of shape (n_samples,)
        The cross-entropy of the row without itself in the fit, in nats: large where a label surprises.
    refitted : ndarray of bool, shape (n_samples,)
        The rows that a Newton step does not leave out well, and that were left out by a fit.
    """

    leverage: Float64Array
    cooks_distance: Float64Array
    probability: Float64Array
    loss: Float64Array
    refitted: NDArray[np.bool_]


def leave_one_out(
    model: Any,
    X: MatrixLike,
    y: ArrayLike,
    sample_weight: ArrayLike | None = None,
    *,
    offset: ArrayLike | None = None,
) -> LeaveOneOut:
    """What each row does to the fit, and what the fit without the row would say of it.

    Parameters
    ----------
    model, X, y, sample_weight, offset
        As for :func:`covariance_matrix`.

    Returns
    -------
    rows : LeaveOneOut

    Raises
    ------
    ValueError, TypeError
        As :func:`covariance_matrix` does.

    See Also
    --------
    influence_on : What each row does to the loss on other data.
    skmax.SoftmaxRegressionCV : Chooses the weight decay by the same losses with ``cv="approximate"``.

    Notes
    -----
    Each row is left out by a single Newton step from the fit with all rows [1]_, which takes one Hessian for all of
    them. The step is too short for rows that decide alone, on nearly separable data or in classes of a few rows.
    Therefore the rows whose own logits it changes by more than 0.5, against one another, are left out by fits that
    start from there: those of the largest changes, at most 100, and as many as take some seconds. (On Dask collections
    there are no such fits.)

    A weight decay of ``"1/n_samples"`` becomes 1 / (S - s_i), as in a fit without the row; a number stays as it is. The
    factors of ``class_weight="balanced"`` stay those of all rows, and a pipeline's earlier steps are not fitted again.

    For two classes without penalty, leverage and Cook's distance are those of D. Pregibon (1981), Logistic regression
    diagnostics, Annals of Statistics 9(4), 705-724. For more, see [2]_.

    References
    ----------
    .. [1] K. Rahnama Rad and A. Maleki (2020). A scalable estimate of the out-of-sample prediction error via
       approximate leave-one-out cross-validation. Journal of the Royal Statistical Society B 82(4), 965-996.
    .. [2] E. Lesaffre and A. Albert (1989). Multiple-group logistic regression diagnostics. Journal of the Royal
       Statistical Society C 38(3), 425-440.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skmax import SoftmaxRegression
    >>> from skmax.inference import leave_one_out
    >>> X, y = load_iris(return_X_y=True)
    >>> rows = leave_one_out(SoftmaxRegression().fit(X, y), X, y)
    >>> most = int(rows.loss.argmax())
    >>> most, int(y[most]), rows.probability[most].round(2).tolist()
    (83, 1, [0.0, 0.32, 0.68])
    """
    with fitted(model, X, y, sample_weight, offset, errors=False) as fit:
        decay = _decay_gradient(fit)
        own = float(np.vdot(decay, fit.inverse_product(decay)) / fit.objective.samples.weight_sum)
        shift, leverage, distance, probability, loss = _sum_over_rows(fit, _diagnostics, decay, own)
        distance, refitted = distance * fit.unit, np.zeros(len(loss), dtype=bool)
        for row, theta in _refits(fit, shift):
            refitted[row] = True
            away = fit.standardize(theta - fit.theta)
            reduced = (fit.basis.T @ away).ravel()  # of which the curvature is R^-1 R^-T
            distance[row] = (
                fit.weight_sum * np.square(linalg.solve_triangular(fit.root, reduced, trans="T", lower=True)).sum()
            )
            block = fit.objective.samples.rows(slice(row, row + 1))
            [loss[row]], own_probability = losses_and_probabilities(
                block, block.raw_prediction(*fit.objective.split(theta))
            )
            probability[row] = of_all_classes(own_probability)[:, 0]
        probability = fit.for_all_classes(probability)
        return LeaveOneOut(leverage, distance / fit.effective_df, probability, loss, refitted)


def influence_on(
    model: Any,
    X: MatrixLike,
    y: ArrayLike,
    X_test: MatrixLike,
    y_test: ArrayLike,
    sample_weight: ArrayLike | None = None,
    *,
    offset: ArrayLike | None = None,
    offset_test: ArrayLike | None = None,
) -> Float64Array:
    """How much the mean loss on test data would change if each row were left out of the fit.

    Parameters
    ----------
    model, X, y, sample_weight, offset
        As for :func:`covariance_matrix`.
    X_test : {array-like, sparse matrix} of shape (n_test, n_features)
        The test data, as for `predict_proba` of the model or pipeline.
    y_test : array-like of shape (n_test,) or (n_test, n_classes)
        Their labels, or distributions over `classes_`.
    offset_test : array-like of shape (n_test,) or (n_test, n_classes), default=None
        Their offsets, if the fit had offsets.

    Returns
    -------
    change : ndarray of shape (n_samples,)
        For each row of the training data, the change of the mean cross-entropy of the test data, in nats. Where it is
        negative, the row does harm: without it, the test loss would be less.

    Raises
    ------
    ValueError, TypeError
        If `y_test` has a label that the model does not know; and where :func:`covariance_matrix` does.

    Notes
    -----
    The parameters move by one Newton step, as in :func:`leave_one_out`, and the test loss is expanded to second order
    about those of the fit. (The first order alone, with the Hessian of all rows, is the influence function of P. W. Koh
    and P. Liang, 2017, Understanding black-box predictions via influence functions, ICML.)

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skmax import SoftmaxRegression
    >>> from skmax.inference import influence_on
    >>> X, y = load_iris(return_X_y=True)
    >>> change = influence_on(SoftmaxRegression().fit(X[::2], y[::2]), X[::2], y[::2], X[1::2], y[1::2])
    >>> change.shape, bool(change.min() < 0 < change.max())
    ((75,), True)
    """
    with fitted(model, X, y, sample_weight, offset, errors=False) as fit:
        test = _test_objective(fit, X_test, y_test, offset_test)
        gradient = test.samples.sum(score_sum, fit.theta, fit.columns, cost=test.cost) / test.samples.weight_sum
        hessian, size = measure(test, fit.columns, fit.theta), fit.theta.size
        inverse = fit.inverse().reshape(size, size) * fit.unit  # that of the samples' own weights
        decay = _decay_gradient(fit)
        along = (inverse @ gradient.ravel()).reshape(gradient.shape)
        curved = inverse @ hessian @ inverse
        decay_curved = (curved @ decay.ravel()).reshape(decay.shape)
        constants = np.array([np.vdot(along, decay), np.vdot(decay_curved, decay)])
        shape = (*decay.shape, *decay.shape)
        shift, change = _sum_over_rows(fit, _changes, decay, along, curved.reshape(shape), decay_curved, constants)
        before = test.value(fit.theta)
        for row, theta in _refits(fit, shift):
            change[row] = test.value(theta) - before
        return change


def _refits(fit: Fitted, shift: Float64Array) -> Iterator[tuple[int, Float64Array]]:
    """The rows that a Newton step does not leave out well, each with the parameters of a fit without it.

    `shift` holds the largest change of a difference of two logits of each row by its own step.
    """
    objective, samples = fit.objective, fit.objective.samples.in_memory()
    if samples is None:
        return
    size = fit.theta.size
    most = min(_MOST_REFITS, int(_REFIT_OPERATIONS / (2 * size**2 * (samples.n_samples + size))))
    follows = isinstance(getattr(fit.estimator, "weight_decay", None), str)
    weight = np.ones(samples.n_samples) if samples.sample_weight is None else samples.sample_weight
    target = np.asarray(samples.target)
    total = class_totals(target, weight, samples.n_classes)
    tol = min(fit.estimator.tol, _REFIT_STEP**2 / (2 * fit.weight_sum))
    for row in np.argsort(-shift, kind="stable")[:most]:
        if shift[row] <= _LONG_STEP:
            return
        own = class_totals(target[row : row + 1], weight[row : row + 1], samples.n_classes)
        if not (total - own > _ALONE * total).all():  # without the row, its class would have no weight
            continue
        without = weight.copy()
        without[row] = 0
        decay = objective.weight_decay * (weight.sum() / without.sum() if follows else 1)
        other = objective.with_samples(samples.reweighted(without)).penalised(decay)
        solution = minimize(
            other,
            fit.theta,
            functools.partial(choose_preconditioner, fit.columns),
            tol=tol,
            max_iter=fit.estimator.max_iter,
            exact=other,
            hessian=WholeHessian(other, fit.columns),
        )
        if solution.converged and solution.recession is None:
            yield int(row), solution.theta


def _decay_gradient(fit: Fitted) -> Float64Array:
    """Q'(W) in standardized columns, or 0 where the weight decay is 1/S."""
    follows = isinstance(getattr(fit.estimator, "weight_decay", None), str)
    gradient = fit.standardize_gradient(fit.penalty_gradient)
    return np.zeros_like(gradient) if follows else gradient


def _sum_over_rows(fit: Fitted, kernel: Any, decay: Float64Array, *args: Any) -> list[Any]:
    """The tables that a kernel computes for rows without themselves, in the order of the rows."""
    inverse_decay = fit.columns.step(fit.inverse_product(decay), fit.objective.fit_intercept).ravel()
    # `unit` makes the inverse that of the samples' own weights.
    all_rows = AllRows(fit.theta, fit.columns, fit.inverse() * fit.unit, inverse_decay)
    cost = fit.objective.cost + 2 * fit.theta.size**2
    parts = fit.objective.samples.sum(kernel, all_rows, *args, cost=cost)
    return [np.concatenate(part) for part in zip(*parts, strict=True)]


def _diagnostics(samples: LocalSamples, within: slice, all_rows: AllRows, own: float) -> list[tuple[FloatArray, ...]]:
    """The `shift` of `_refits`, leverage, d^T (S H) d, probabilities and loss, block by block.

    `own` is w^T (S H)^-1 w, with w = Q'(W).
    """
    results: list[tuple[FloatArray, ...]] = []
    for rows in all_rows.without_each(samples, within):
        weight, pull = rows.block.weights(), rows.pull()
        leverage = weight * np.einsum("ikl,ilk->i", rows.spread, rows.curvature)
        distance = np.einsum("ik,ikl,il->i", pull, rows.spread, pull)
        distance += 2 * weight * np.einsum("ik,ik->i", rows.along_decay, pull) + weight**2 * own
        loss, probability = rows.losses()
        results.append((logit_spread(rows.shift.T), leverage, distance, of_all_classes(probability).T, loss))
    return results


def _changes(
    samples: LocalSamples,
    within: slice,
    all_rows: AllRows,
    along: Float64Array,
    curved: Float64Array,
    decay_curved: Float64Array,
    constants: Float64Array,
) -> list[tuple[FloatArray, Float64Array]]:
    """The `shift` of `_refits`, and <g, d_i> + d_i^T H_test d_i / 2, block by block.

    With B = S H, d_i = B^-1 (V_i u_i + s_i w): `along` is B^-1 g, `curved` is B^-1 H_test B^-1, `decay_curved` is that
    times w, and the `constants` are <along, w> and <decay_curved, w>.
    """
    results = []
    for rows in all_rows.without_each(samples, within):
        weight, pull = rows.block.weights(), rows.pull()
        first = np.einsum("ik,ik->i", rows.standardized @ along.T, pull) + weight * constants[0]
        second = np.einsum("ik,ikl,il->i", pull, logit_covariances(rows.standardized, curved), pull)
        second += 2 * weight * np.einsum("ik,ik->i", rows.standardized @ decay_curved.T, pull)
        second += weight**2 * constants[1]
        results.append((logit_spread(rows.shift.T), first + second / 2))
    return results


def _test_objective(fit: Fitted, X_test: MatrixLike, y_test: ArrayLike, offset_test: ArrayLike | None) -> Objective:
    """The mean loss on test data, in the columns of the fit."""
    encoding, X = fit.encoding, fit.rows(X_test)
    offset = fit.known_offset(offset_test, X.shape[0])
    part = Part.of(np.asarray(to_numpy(y_test, "y_test")))
    all_labels([(part.labels, part.n_columns)], encoding.classes)
    check_consistent_length(X, part.values)
    target = replace(encoding, factor=None).apply(part, None)
    if not encoding.present.all():
        labels = encoding.classes[~encoding.present]
        found = part.labels if part.labels is not None else encoding.classes
        if np.isin(labels, found).any():
            raise ValueError(f"y_test must have classes with weight in the fit, which {labels.tolist()} have not.")
    return Objective(fit.new_samples(X, offset, target.values)).exactly()
