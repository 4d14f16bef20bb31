"""A scorer that judges probabilities against labels or against distributions."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils.metadata_routing import MetadataRequest

from skmax._target import as_distributions, check_sample_weight

# Probabilities count as at least this, as in sklearn.metrics.log_loss.
LEAST_LOG_PROBABILITY = float(np.log(np.finfo(np.float64).eps))


class _NegCrossEntropyScorer:
    """Minus the mean cross-entropy of a classifier's probabilities, in nats: for `scoring` and for direct calls.

    Called as ``neg_cross_entropy_scorer(estimator, X, y, sample_weight=None, offset=None)`` with a fitted classifier
    that has `predict_log_proba` (a pipeline too), `y` being labels of shape (n_samples,) or distributions of shape
    (n_samples, n_classes), with columns in the order of `classes_`. For labels it equals scikit-learn's
    ``"neg_log_loss"``, but needs no label to be in `y`, and takes a label that the classifier does not know as one of
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
        metadata = {} if offset is None else {"offset": offset}
        log_probability = np.maximum(estimator.predict_log_proba(X, **metadata), LEAST_LOG_PROBABILITY)
        distribution = as_distributions(y, n_classes=log_probability.shape[1])
        if distribution is not None:
            score = (distribution * log_probability).sum(axis=1)
        else:
            labels = np.asarray(y).ravel()
            position = np.minimum(np.searchsorted(estimator.classes_, labels), len(estimator.classes_) - 1)
            score = np.where(
                estimator.classes_[position] == labels,
                np.take_along_axis(log_probability, position[:, None], axis=1)[:, 0],
                LEAST_LOG_PROBABILITY,
            )
        return float(np.average(score, weights=check_sample_weight(sample_weight, len(score))))

    def set_score_request(self, **requests: bool | str | None) -> "_NegCrossEntropyScorer":
        """A scorer that asks for `sample_weight` or `offset`, or both, where metadata routing is enabled."""
        return _NegCrossEntropyScorer(**{**self._requests, **requests})

    def get_metadata_routing(self) -> MetadataRequest:
        request = MetadataRequest(owner=self)
        for param, alias in self._requests.items():
            request.score.add_request(param=param, alias=alias)
        return request

    def __repr__(self) -> str:
        return "neg_cross_entropy_scorer"


neg_cross_entropy_scorer = _NegCrossEntropyScorer()
