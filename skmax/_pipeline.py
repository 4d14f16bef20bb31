"""Pipelines that end in an estimator of this package: the estimator, and the data as it sees them."""

from typing import Any

from numpy.typing import NDArray
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from skmax._base import BaseSoftmaxRegression, MatrixLike


def last_step(model: Any, X: MatrixLike = None, kind: Any = BaseSoftmaxRegression) -> tuple[Any, Any, NDArray | None]:
    """The fitted estimator that `model` is or ends in, X after the steps before it, and the names of its columns."""
    last, names = model, None
    while isinstance(last, Pipeline):
        before, last = last[:-1], last.steps[-1][1]
        if len(before):
            X = X if X is None else before.transform(X)
            try:
                names = before.get_feature_names_out()
            except (AttributeError, ValueError):  # a step without names
                names = None
    if not isinstance(last, kind):
        advice = ": pass its best_estimator_" if hasattr(last, "best_estimator_") else ""
        raise TypeError(
            f"The model must be a fitted {kind.__name__.removeprefix('Base')}, or a pipeline that ends in one; got "
            f"{type(last).__name__}{advice}."
        )
    check_is_fitted(last)
    last = last._in_numpy()
    return last, X, getattr(last, "feature_names_in_", names)
