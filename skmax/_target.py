"""From the `y` and weights that a user passes to the classes, targets and weights that the objective takes."""

from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from sklearn.utils import check_array
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import column_or_1d

from skmax._objective import Float64Array
from skmax._softmax import check_distributions

_NOT_ONE_DISTRIBUTION = (
    " The classes of a softmax exclude one another. For counts or votes, divide each row by its sum and pass the sums"
    " as sample_weight. For several labels a row (a multi-label indicator), fit a sigmoid a label with"
    " sklearn.multiclass.OneVsRestClassifier."
)


@dataclass(frozen=True)
class Target:
    """What the objective needs to know of `y`.

    Attributes
    ----------
    classes : ndarray of shape (n_classes,)
        All labels, sorted.
    present : ndarray of bool, shape (n_classes,)
        The classes with positive total weight.
    values : ndarray of int, shape (n_samples,), or of numbers, shape (n_samples, n_present)
        Index of each row's class among those present, or each row's distribution over them where some row has several.
    sample_weight : ndarray of float64, shape (n_samples,), or None
        With the class weights multiplied in.
    frequency : ndarray of shape (n_present,)
        Share of each present class in the total weight.
    weight_sum : float
        The total weight.
    """

    classes: NDArray
    present: NDArray[np.bool_]
    values: NDArray
    sample_weight: Float64Array | None
    frequency: Float64Array
    weight_sum: float


def encode_target(
    y: NDArray,
    *,
    classes: ArrayLike | None,
    class_weight: Mapping[Any, float] | str | None,
    sample_weight: Float64Array | None,
) -> Target:
    """Encode labels of shape (n_samples,) or distributions of shape (n_samples, n_classes).

    Raises
    ------
    TypeError, ValueError
        If `y` is neither, names a label outside `classes`, or has fewer than two classes with positive weight.
    """
    known = None if classes is None else _check_classes(classes)
    distributions = as_distributions(y)
    if distributions is None:
        labels, values = _encode_labels(column_or_1d(y, warn=True), known)
    else:
        labels, values = _label_columns(distributions, known, classes), distributions
        if np.all((distributions == 0) | (distributions == 1)):
            values = distributions.argmax(axis=1)
    weight = sample_weight
    total = _class_totals(values, weight, len(labels))
    if class_weight is not None:
        factor = _class_factors(class_weight, labels, total)
        values, weight = _apply_class_weight(values, weight, factor)
        total = _class_totals(values, weight, len(labels))
    present = total > 0
    if present.sum() < 2:
        raise ValueError(
            "y must hold at least 2 classes with positive weight; got "
            + (f"one class, {labels[present].tolist()[0]!r}." if present.any() else "none of its classes.")
        )
    if not present.all():
        # Rows of an absent class have weight zero: any index will do for them.
        values = values[:, present] if values.ndim == 2 else np.maximum(np.cumsum(present) - 1, 0)[values]
    total = total[present]
    return Target(labels, present, values, weight, total / total.sum(), float(total.sum()))


def check_sample_weight(sample_weight: ArrayLike | None, n_samples: int) -> Float64Array | None:
    """Non-negative finite weights of shape (n_samples,), not all zero. A single number stands for as many."""
    if sample_weight is None:
        return None
    if isinstance(sample_weight, Real):
        sample_weight = np.full(n_samples, sample_weight)
    weight = check_array(sample_weight, ensure_2d=False, dtype=np.float64, input_name="sample_weight")
    if weight.shape != (n_samples,):
        raise ValueError(
            f"sample_weight must be 1D, one number for each of the {n_samples} samples; got shape {weight.shape}."
        )
    if weight.min() < 0:
        where = int(weight.argmin())
        raise ValueError(f"sample_weight must be non-negative; got {weight[where]:g} at position {where}.")
    with np.errstate(over="ignore"):
        total = weight.sum()
    if not 0 < total < np.inf:
        raise ValueError(f"sample_weight must have a finite sum above zero; got {total:g}.")
    return weight


def _check_classes(classes: ArrayLike) -> NDArray:
    labels = check_array(classes, ensure_2d=False, dtype=None, input_name="classes")
    if labels.ndim != 1:
        raise ValueError(f"classes must be one-dimensional; got shape {labels.shape}.")
    unique = np.unique(labels)
    if len(unique) < max(len(labels), 2):
        raise ValueError(f"classes must be at least 2 different labels; got {labels.tolist()}.")
    return unique


def _encode_labels(y: NDArray, known: NDArray | None) -> tuple[NDArray, NDArray]:
    try:
        check_classification_targets(y)
        found, codes = np.unique(y, return_inverse=True)
        if known is None:
            return found, codes
        outside = found[~np.isin(found, known)]
        if len(outside):
            shown = ", ".join(map(repr, outside[:10].tolist())) + (", ..." if len(outside) > 10 else "")
            raise ValueError(f"y must hold only labels in classes; got {len(outside)} other: {shown}.")
        return known, np.searchsorted(known, found)[codes]
    except TypeError as error:
        raise TypeError(f"y must hold labels that can be sorted, of one type: {error}.") from error


def as_distributions(y: ArrayLike, *, n_classes: int | None = None) -> NDArray | None:
    """`y` checked as one distribution per row, or None if it is one-dimensional or a single column: labels."""
    if sparse.issparse(y):
        raise TypeError("y must be dense; got a sparse array: pass distributions over the classes as y.toarray().")
    rows = np.asarray(y)
    if rows.ndim != 2 or rows.shape[1] == 1:
        return None
    if rows.dtype.kind == "O":
        rows = check_array(rows, dtype=np.float64, input_name="y")
    check_distributions(rows, name="y", advice=_NOT_ONE_DISTRIBUTION)
    if n_classes is not None and rows.shape[1] != n_classes:
        raise ValueError(f"y must have one column for each of the {n_classes} classes; got {rows.shape[1]} columns.")
    return rows


def _label_columns(y: NDArray, known: NDArray | None, classes: ArrayLike | None) -> NDArray:
    """Labels of the columns of distributions `y`."""
    if known is None:
        return np.arange(y.shape[1])
    if len(known) != y.shape[1]:
        raise ValueError(
            f"classes must name each column where y holds distributions: {y.shape[1]} columns; got {len(known)} labels."
        )
    if np.any(known != np.asarray(classes)):
        raise ValueError(
            "classes must be sorted where y holds distributions, as classes_ and the columns of predict_proba are; got "
            f"{np.asarray(classes).tolist()}. Sort both: order = np.argsort(classes), then y[:, order]."
        )
    return known


def _class_totals(values: NDArray, weight: Float64Array | None, n_classes: int) -> Float64Array:
    if values.ndim == 1:
        return np.bincount(values, weights=weight, minlength=n_classes).astype(np.float64, copy=False)
    return values.sum(axis=0, dtype=np.float64) if weight is None else weight @ values


def _class_factors(class_weight: Mapping[Any, float] | str, labels: NDArray, total: Float64Array) -> Float64Array:
    if isinstance(class_weight, str):
        # "balanced": all present classes get the same total weight, and the sum of all stays as it is.
        return np.divide(total.sum(), np.count_nonzero(total) * total, out=np.zeros_like(total), where=total > 0)
    factor = np.ones(len(labels))
    position = {label: k for k, label in enumerate(labels.tolist())}
    for label, weight in class_weight.items():
        if label not in position:
            raise ValueError(f"class_weight must have labels in y or classes as its keys; got {label!r}.")
        if not (np.isreal(weight) and 0 <= weight < np.inf):
            raise ValueError(f"class_weight must be non-negative and finite; got {weight!r} for class {label!r}.")
        factor[position[label]] = weight
    return factor


def _apply_class_weight(
    values: NDArray, weight: Float64Array | None, factor: Float64Array
) -> tuple[NDArray, Float64Array]:
    """As though each row stood once for each class, with weight s_i y_ik c_k for class k."""
    if values.ndim == 1:
        share = factor[values]
    else:
        values = values * factor
        share = values.sum(axis=1)
        # A row with no weight left keeps some distribution, which then counts for nothing.
        values = np.divide(values, share[:, None], out=np.full_like(values, 1 / len(factor)), where=share[:, None] > 0)
    return values, share if weight is None else weight * share
