"""The estimator that a display draws, which may be the last step of a pipeline."""

from typing import Any

from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from skmax._base import MatrixLike


def last_step(estimator: Any, kind: Any, X: MatrixLike = None) -> tuple[Any, MatrixLike]:
    """The fitted estimator of the given `kind` that `estimator` is or, as a pipeline, ends in; and X as it sees it."""
    last: Any = estimator[-1] if isinstance(estimator, Pipeline) else estimator
    if not isinstance(last, kind):
        rule = f"a fitted {kind.__name__.removeprefix('Base')}, or a pipeline that ends in one"
        raise TypeError(f"estimator must be {rule}; got {type(last).__name__}.")
    check_is_fitted(last)
    if X is not None and last is not estimator and len(estimator) > 1:
        X = estimator[:-1].transform(X)
    return last._in_numpy(), X
