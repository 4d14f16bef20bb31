"""Probabilities of new rows with what the data leave open about the parameters.

Where theta has the covariance C, the logits of a row have the covariance V with V_kl = x~^T C_kl x~, and a difference
of two, z_k - z_l, has the variance v_kl = V_kk + V_ll - 2 V_kl.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from skmax._base import MatrixLike
from skmax._leave_one_out import logit_covariances
from skmax._samples import Float64Array, LocalSamples
from skmax.inference._fitted import Fitted, Kind, fitted
from skmax.inference._tables import quantile


@dataclass(frozen=True, eq=False)
class ProbabilityIntervals:
    """Probabilities with errors, as ndarrays of shape (n_samples, n_classes), columns in the order of `classes_`.

    Attributes
    ----------
    probability
        Those of `predict_proba`.
    std_error
        Their standard errors by the delta method.
    lower, upper
        The ends of the intervals.
    """

    probability: Float64Array
    std_error: Float64Array
    lower: Float64Array
    upper: Float64Array


def predict_proba_interval(
    model: Any,
    X: MatrixLike,
    y: ArrayLike,
    X_new: MatrixLike,
    sample_weight: ArrayLike | None = None,
    *,
    offset: ArrayLike | None = None,
    offset_new: ArrayLike | None = None,
    kind: Kind = "model",
    groups: ArrayLike | None = None,
    level: float = 0.95,
) -> ProbabilityIntervals:
    """Probabilities of new samples, with confidence intervals; under a penalty, with credible intervals.

    Parameters
    ----------
    model, X, y, sample_weight, offset, kind, groups
        As for :func:`covariance_matrix`.
    X_new : {array-like, sparse matrix} of shape (n_samples_new, n_features)
        The new samples, as for `predict_proba` of the model or pipeline.
    offset_new : array-like of shape (n_samples_new,) or (n_samples_new, n_classes), default=None
        Their offsets, if the fit had offsets.
    level : float, default=0.95
        The level of the intervals, between 0 and 1.

    Returns
    -------
    intervals : ProbabilityIntervals

    Raises
    ------
    ValueError, TypeError
        As :func:`covariance_matrix` does, and if a weight decay that is not negligible is combined with a `kind` other
        than "model".

    See Also
    --------
    posterior_predict_proba : Probabilities that are averaged over what the data leave open.

    Notes
    -----
    An interval is that of the log odds of its class against all others, log p / (1 - p), by the delta method, turned to
    probabilities; it stays within 0 and 1. It is for one class of one sample, not for all of them together, and it is
    for the probability, not for the label.

    Examples
    --------
    >>> import numpy as np
    >>> from skmax import SoftmaxRegression
    >>> from skmax.inference import predict_proba_interval
    >>> X, y = np.repeat([[0.0], [1.0]], 50, axis=0), np.repeat(["no", "yes", "no", "yes"], [40, 10, 20, 30])
    >>> result = predict_proba_interval(SoftmaxRegression(weight_decay=0).fit(X, y), X, y, [[1.0]])
    >>> [round(float(part[0, 1]), 3) for part in (result.probability, result.lower, result.upper)]
    [0.6, 0.46, 0.725]
    """
    reach = quantile(level)
    with fitted(model, X, y, sample_weight, offset) as fit:
        fit.check_intervals(kind)
        covariance = fit.covariance(kind, groups)
        parts = _by_blocks(fit, X_new, offset_new, covariance, _log_odds_and_errors)
        log_odds, error = parts[..., 0], parts[..., 1]
        probability = special.expit(log_odds)
        ends = [special.expit(log_odds + sign * reach * error) for sign in (-1, 1)]
        spread = probability * special.expit(-log_odds) * error
        return ProbabilityIntervals(*(fit.for_all_classes(each) for each in (probability, spread, *ends)))


def posterior_predict_proba(
    model: Any,
    X: MatrixLike,
    y: ArrayLike,
    X_new: MatrixLike,
    sample_weight: ArrayLike | None = None,
    *,
    offset: ArrayLike | None = None,
    offset_new: ArrayLike | None = None,
) -> Float64Array:
    """Probabilities of new samples, averaged over the posterior distribution of the parameters.

    Far from the training data, where the parameters are uncertain, they are less sure than `predict_proba`.

    Parameters
    ----------
    model, X, y, sample_weight, offset
        As for :func:`covariance_matrix`.
    X_new : {array-like, sparse matrix} of shape (n_samples_new, n_features)
        The new samples, as for `predict_proba` of the model or pipeline.
    offset_new : array-like of shape (n_samples_new,) or (n_samples_new, n_classes), default=None
        Their offsets, if the fit had offsets.

    Returns
    -------
    probability : ndarray of shape (n_samples_new, n_classes), float64
        Columns in the order of `classes_`.

    Raises
    ------
    ValueError, TypeError
        As :func:`covariance_matrix` does.

    Notes
    -----
    With the Gaussian approximation to the posterior, a difference of two logits is normal, with mean z_k - z_l and
    variance v_kl. For two classes, its average logistic function is about that of (z_k - z_l) / (1 + pi v_kl / 8)^(1/2)
    [1]_. For more, the average of p_k = 1 / (1 + sum_l exp(z_l - z_k)) over the other classes l is taken for each pair
    alone,

        p_k  is proportional to  1 / (1 + sum_l exp((z_l - z_k) / (1 + pi v_kl / 8)^(1/2))),

    normalised to sum to 1 [2]_, which is the former for two classes. The approximation of the average is within 0.01
    for two classes, 0.05 for three and 0.12 for ten, at the worst of samples up to ten standard deviations away, where
    `predict_proba` is off by up to 0.5; on average over these samples it is within 0.02. Without weight decay, the
    prior distribution is flat.

    References
    ----------
    .. [1] D. J. C. MacKay (1992). The evidence framework applied to classification networks. Neural Computation 4(5),
       720-736.
    .. [2] Z. Lu, E. Ie and F. Sha (2020). Mean-field approximation to Gaussian-softmax integral with application to
       uncertainty estimation. arXiv:2006.07584.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skmax import SoftmaxRegression
    >>> from skmax.inference import posterior_predict_proba
    >>> X, y = load_iris(return_X_y=True)
    >>> model = SoftmaxRegression().fit(X, y)
    >>> far = [[9.0, 1.0, 9.0, 1.0]]
    >>> model.predict_proba(far).round(3).tolist(), posterior_predict_proba(model, X, y, far).round(3).tolist()
    ([[0.0, 0.0, 1.0]], [[0.0, 0.033, 0.967]])
    """
    with fitted(model, X, y, sample_weight, offset) as fit:
        probability = _by_blocks(fit, X_new, offset_new, fit.covariance(), _averaged)
        return fit.for_all_classes(probability / probability.sum(axis=1, keepdims=True))


def _by_blocks(
    fit: Fitted, X_new: MatrixLike, offset_new: ArrayLike | None, covariance: Float64Array, function: Any
) -> Float64Array:
    """`function(logits, covariances of the logits)` of new rows, with columns for the classes with weight."""
    X, cost = fit.rows(X_new), fit.objective.cost + fit.theta.size**2
    new = fit.new_samples(X, fit.known_offset(offset_new, X.shape[0]))
    return np.concatenate(new.sum(_predictions, fit.theta, fit.columns, covariance, function, cost=cost))


def _predictions(
    samples: LocalSamples, within: slice, theta: Float64Array, columns: Any, covariance: Float64Array, function: Any
) -> list[Float64Array]:
    parameters, n_logits = samples.parameters(theta), samples.n_logits
    results = []
    for block in samples.blocks(samples.n_columns + n_logits**2, within):
        logits = block.raw_prediction(*parameters).T
        spread = logit_covariances(columns.standardized(block, samples.fit_intercept), covariance)
        if n_logits == 1:  # of two classes, the first has logit 0
            logits = np.column_stack([np.zeros(len(logits)), logits])
            spread = np.pad(spread, ((0, 0), (1, 0), (1, 0)))
        results.append(function(logits, spread))
    return results


def _log_odds_and_errors(logits: Float64Array, spread: Float64Array) -> Float64Array:
    """log p_k / (1 - p_k), and its standard error, of shape (n_rows, n_classes, 2).

    The log odds are z_k less the log-partition of the others, whose derivatives are minus their probabilities q_l among
    themselves.
    """
    n_classes = logits.shape[1]
    result = np.empty((*logits.shape, 2))
    for k in range(n_classes):
        others = np.delete(np.arange(n_classes), k)
        result[:, k, 0] = logits[:, k] - special.logsumexp(logits[:, others], axis=1)
        derivative = np.ones_like(logits)
        derivative[:, others] = -special.softmax(logits[:, others], axis=1)
        variance = np.einsum("ik,ikl,il->i", derivative, spread, derivative)
        result[:, k, 1] = np.sqrt(np.maximum(variance, 0))
    return result


def _averaged(logits: Float64Array, spread: Float64Array) -> Float64Array:
    """The averages in the notes of `posterior_predict_proba`, not normalised."""
    own = np.einsum("ikk->ik", spread)
    variance = np.maximum(own[:, :, None] + own[:, None, :] - 2 * spread, 0)
    ahead = (logits[:, :, None] - logits[:, None, :]) / np.sqrt(1 + np.pi / 8 * variance)
    return np.exp(-special.logsumexp(-ahead, axis=2))  # the term of l = k is the 1
