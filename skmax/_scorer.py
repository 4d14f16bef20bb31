"""A scorer that judges probabilities against labels or against distributions."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse
from sklearn.utils import gen_batches
from sklearn.utils.metadata_routing import MetadataRequest

from skmax._arrays import as_numpy, is_foreign
from skmax._samples import Float64Array
from skmax._target import as_distributions, check_sample_weight

# Lower probabilities count as this one, as in sklearn.metrics.log_loss.
LEAST_LOG_PROBABILITY = float(np.log(np.finfo(np.float64).eps))
# The largest number of log probabilities to request of an estimator at a time.
_BATCH = 2**23


def own_log_probability(estimator: Any, X: Any, y: ArrayLike, offset: ArrayLike | None = None) -> Float64Array:
    """The log probability of each row's label, or the mean over its distribution, of shape (n_samples,).

    With many rows and classes, they are predicted in batches of rows: scikit-learn's estimators treat rows separately.
    """
    y = as_numpy(y)
    offset = None if offset is None else as_numpy(offset)
    n_classes, can_be_sliced = estimator.classes_.shape[0], isinstance(X, np.ndarray) or sparse.issparse(X)
    if not (can_be_sliced or is_foreign(X)) or X.shape[0] * n_classes <= _BATCH:
        return _of_batch(estimator, X, y, offset)
    batches = gen_batches(X.shape[0], max(1, _BATCH // n_classes))
    at = (lambda rows: X[rows, ...]) if is_foreign(X) else (lambda rows: X[rows])
    parts = ((at(rows), y[rows], None if offset is None else offset[rows]) for rows in batches)
    return np.concatenate([_of_batch(estimator, *part) for part in parts])


def _of_batch(estimator: Any, X: Any, y: ArrayLike, offset: ArrayLike | None) -> Float64Array:
    log_probability = as_numpy(estimator.predict_log_proba(X, **({} if offset is None else {"offset": offset})))
    distribution = as_distributions(y, n_classes=log_probability.shape[1])
    if distribution is not None:
        return (distribution * np.maximum(log_probability, LEAST_LOG_PROBABILITY)).sum(axis=1, dtype=np.float64)
    labels = np.asarray(y).ravel()
    classes = as_numpy(estimator.classes_)
    position = np.minimum(np.searchsorted(classes, labels), len(classes) - 1)
    own = np.take_along_axis(log_probability, position[:, None], axis=1)[:, 0].astype(np.float64)
    own[classes[position] != labels] = -np.inf
    return np.maximum(own, LEAST_LOG_PROBABILITY)


def mean_score(scores: Float64Array, sample_weight: ArrayLike | None = None) -> float:
    """The weighted mean of the `scores` of rows."""
    return float(np.average(scores, weights=check_sample_weight(sample_weight, len(scores))))


class _NegCrossEntropyScorer:
    """Minus the mean cross-entropy of a classifier's probabilities, in nats: for `scoring` and for direct calls.

    Called as ``neg_cross_entropy_scorer(estimator, X, y, sample_weight=None, offset=None)`` with a fitted classifier
    that has `predict_log_proba` (a pipeline too), `y` being labels of shape (n_samples,) or distributions of shape
    (n_samples, n_classes), with columns in the order of `classes_`. For labels it equals scikit-learn's
    ``"neg_log_loss"``, but `y` need not contain all labels, and a label that is unknown to the classifier has
    probability 0. Probabilities below 2.2e-16 count as 2.2e-16, as in :func:`sklearn.metrics.log_loss`, so that a
    single impossible label does not make the score infinite. Offsets are passed on to `predict_log_proba`.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.model_selection import cross_val_score
    >>> from skmax import SoftmaxRegression, neg_cross_entropy_scorer
    >>> X, y = load_iris(return_X_y=True)
    >>> cross_val_score(SoftmaxRegression(), X, y, scoring=neg_cross_entropy_scorer).mean().round(3).item()
    -0.14
    """

    def __init__(self, sample_weight: bool | str | None = None, offset: bool | str | None = None) -> None:
        self._requests = {"sample_weight": sample_weight, "offset": offset}

    def __call__(
        self,
        estimator: Any,
        X: Any,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        offset: ArrayLike | None = None,
    ) -> float:
        return mean_score(own_log_probability(estimator, X, y, offset), sample_weight)

    def set_score_request(self, **requests: bool | str | None) -> "_NegCrossEntropyScorer":
        """A scorer that requests `sample_weight` or `offset`, or both, if metadata routing is enabled."""
        return _NegCrossEntropyScorer(**{**self._requests, **requests})

    def get_metadata_routing(self) -> MetadataRequest:
        request = MetadataRequest(owner=self)
        for param, alias in self._requests.items():
            request.score.add_request(param=param, alias=alias)
        return request

    def __repr__(self) -> str:
        return "neg_cross_entropy_scorer"


neg_cross_entropy_scorer = _NegCrossEntropyScorer()
