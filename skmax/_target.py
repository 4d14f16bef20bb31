"""Encodes the `y` and the weights of the user as the classes, targets and weights of the objective."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from sklearn.utils import check_array
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import column_or_1d

from skmax._arrays import to_numpy
from skmax._samples import Design, Float64Array, Samples, samples_of
from skmax._softmax import check_distributions
from skmax._threads import Workers

_NOT_ONE_DISTRIBUTION = (
    " The classes of a softmax exclude one another. For counts or votes, divide each row by its sum and pass the sums"
    " as sample_weight. For several labels a row (a multi-label indicator), fit a sigmoid a label with"
    " sklearn.multiclass.OneVsRestClassifier."
)
LABELS_OR_DISTRIBUTIONS = "labels of one type that can be sorted, or distributions over the classes, for each row of X"
_NOT_ONE_TYPE = "y must hold labels that can be sorted, of one type: {}."


@contextmanager
def naming(argument: str, rule: str) -> Iterator[None]:
    """Add the name and the rule of `argument` to errors that do not name it, such as those of NumPy."""
    try:
        yield
    except (TypeError, ValueError, OverflowError) as error:
        if re.search(rf"(^|Input |of |for ){argument}\b|feature names", str(error)):
            raise
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"{argument} must be {rule}: {error}") from error


@dataclass(frozen=True)
class Part:
    """The labels or distributions in a part of `y`, or in all of it.

    Attributes
    ----------
    labels : ndarray of shape (n_labels,), or None
        The sorted labels; None for distributions.
    values : ndarray of int, shape (n_samples,), or of numbers, shape (n_samples, n_classes)
        Indices into `labels`; distributions; or, if each distribution is one-hot, indices of their columns.
    n_columns : int
        The number of columns of the distributions; 0 for labels.
    """

    labels: NDArray | None
    values: NDArray
    n_columns: int = 0

    @classmethod
    def of(cls, y: NDArray) -> "Part":
        """Read `y`. Raises a TypeError or ValueError if it holds neither labels nor distributions."""
        with naming("y", LABELS_OR_DISTRIBUTIONS):
            distributions = as_distributions(y)
            if distributions is None:
                return cls(*_unique_labels(y if y.ndim == 1 else column_or_1d(y, warn=True)))
        one_hot = bool(np.all((distributions == 0) | (distributions == 1)))
        return cls(None, distributions.argmax(axis=1) if one_hot else distributions, distributions.shape[1])


@dataclass(frozen=True)
class Encoding:
    """The classes and their total weights. All parts of `y` together determine it, and each is encoded by it.

    Attributes
    ----------
    classes : ndarray of shape (n_classes,)
        All labels, sorted.
    present : ndarray of bool, shape (n_classes,)
        The classes with positive total weight.
    frequency : ndarray of shape (n_present,)
        Share of each present class in the total weight.
    weight_sum : float
        The total weight.
    factor : ndarray of shape (n_classes,), or None
        Factors on the sample weights, by class.
    """

    classes: NDArray
    present: NDArray[np.bool_]
    frequency: Float64Array
    weight_sum: float
    factor: Float64Array | None

    @property
    def n_logits(self) -> int:
        """One for two classes, else one for each present class."""
        return 1 if len(self.classes) == 2 else len(self.frequency)

    @property
    def present_classes(self) -> NDArray:
        """The labels of the present classes."""
        return self.classes[self.present]

    @property
    def rows(self) -> Any:
        """The rows of `coef_` and `intercept_` that belong to the present classes. Two classes share a single row."""
        return self.present if len(self.classes) > 2 else slice(None)

    @property
    def is_certain(self) -> bool:
        """Whether one class has all of the weight, so that its probability is 1."""
        return len(self.frequency) == 1

    @classmethod
    def of(cls, labels: NDArray, total: Float64Array, class_weight: Mapping[Any, float] | str | None) -> "Encoding":
        """The encoding of all `labels`, given the `total` weight of each."""
        factor = None
        if class_weight is not None:
            factor = _class_factors(class_weight, labels, total)
            with np.errstate(over="ignore"):
                total = total * factor
                if not np.isfinite(total.sum()):
                    raise ValueError(f"class_weight must leave a finite sum of the weights; got {class_weight!r}.")
        present = total > 0
        if len(labels) < 2:
            raise ValueError(
                f"y must hold at least 2 classes, or classes= name them; got one class, {labels.tolist()[0]!r}."
            )
        if not present.any():
            raise ValueError("y must hold a class with positive weight; got none: see sample_weight and class_weight.")
        weight_sum = float(total.sum())
        return cls(labels, present, total[present] / weight_sum, weight_sum, factor)

    def apply(self, part: Part, weight: Float64Array | None) -> "Target":
        """Encode the rows of one part, with their sample weights."""
        values = class_indices(part, self.classes)
        if self.factor is not None:
            values, weight = _apply_class_weight(values, weight, self.factor)
        if not self.present.all():
            # Rows of an absent class have weight zero, so their index is arbitrary.
            present = self.present
            values = values[:, present] if values.ndim == 2 else np.maximum(np.cumsum(present) - 1, 0)[values]
        if weight is not None:
            # Large weights would overflow float32, and f depends only on their ratios.
            weight = np.ldexp(weight, -math.frexp(self.weight_sum)[1])
        return Target(self, values, weight)


@dataclass(frozen=True)
class Target:
    """The `y` and the weights of some rows, encoded for the objective.

    Attributes
    ----------
    encoding : Encoding
    values : ndarray of int, shape (n_samples,), or of numbers, shape (n_samples, n_present)
        The index of each row's class among the present ones; or, if some rows have several classes, each row's
        distribution over the present ones. None for predictions.
    sample_weight : ndarray of float64, shape (n_samples,), or None
        The weights times the class weights, in units of a power of two that is close to their sum.
    """

    encoding: Encoding
    values: NDArray | None
    sample_weight: Float64Array | None

    def samples(
        self,
        X: Design,
        *,
        fit_intercept: bool,
        pool: Workers | None = None,
        offset: NDArray | None = None,
        row_offset: int = 0,
    ) -> Samples:
        """The samples of these rows, given their X and the offsets of all classes."""
        if offset is not None and offset.ndim == 2 and not self.encoding.present.all():
            offset = offset[:, self.encoding.present]
        return samples_of(
            X,
            self.values,
            self.sample_weight,
            n_classes=len(self.encoding.frequency),
            n_logits=self.encoding.n_logits,
            fit_intercept=fit_intercept,
            workers=pool,
            offset=offset,
            **({"row_offset": row_offset} if row_offset else {}),
        )


def all_labels(parts: Sequence[tuple[NDArray | None, int]], classes: ArrayLike | None) -> NDArray:
    """The sorted labels of all parts, given the `labels` and `n_columns` of each. The user's `classes`, if not None."""
    known = None if classes is None else _check_classes(classes)
    labels = [part for part, _ in parts if part is not None]
    widths = sorted({width for part, width in parts if part is None})
    if len(widths) > 1 or (labels and widths):
        raise ValueError(
            f"y must hold labels, or distributions over the same classes, in all of its parts; got {widths} columns"
            + (" in some, labels in others." if labels else ".")
        )
    if widths:
        return _label_columns(widths[0], known, classes)
    found = labels[0]
    if len(labels) > 1:
        of_text = {part.dtype.kind in "OSTU" for part in labels}
        # As objects, since NumPy would convert numbers to text if some labels are text.
        found = _unique(np.concatenate(labels if len(of_text) == 1 else [part.astype(object) for part in labels]))[0]
    if known is None:
        return found
    outside = found[~np.isin(found, known)]
    if len(outside):
        shown = ", ".join(map(repr, outside[:10].tolist())) + (", ..." if len(outside) > 10 else "")
        raise ValueError(f"y must hold only labels in classes; got {len(outside)} other: {shown}.")
    return known


def class_indices(part: Part, classes: NDArray) -> NDArray:
    """The values of `part` as indices into `classes`, or as distributions over them."""
    if part.labels is None or part.labels is classes:
        return part.values
    return np.searchsorted(classes, part.labels)[part.values]


def class_totals(values: NDArray, weight: Float64Array | None, n_classes: int) -> Float64Array:
    """The total weight of each class."""
    if values.ndim == 1:
        return np.bincount(values, weights=weight, minlength=n_classes).astype(np.float64, copy=False)
    return values.sum(axis=0, dtype=np.float64) if weight is None else weight @ values


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
        If `y` is neither, names a label outside `classes`, or has a single label and no `classes`, or no weight.
    """
    part = Part.of(y)
    labels = all_labels([(part.labels, part.n_columns)], classes)
    total = class_totals(class_indices(part, labels), sample_weight, len(labels))
    return Encoding.of(labels, total, class_weight).apply(part, sample_weight)


def check_sample_weight(
    sample_weight: ArrayLike | None, n_samples: int, *, may_be_zero: bool = False
) -> Float64Array | None:
    """Check that the weights are non-negative, finite and not all zero. A single number applies to every row."""
    if sample_weight is None:
        return None
    sample_weight = to_numpy(sample_weight, "sample_weight")
    with naming("sample_weight", "finite numbers of at least 0, one for each row of X, or one for all"):
        if isinstance(sample_weight, Real) or (isinstance(sample_weight, np.ndarray) and sample_weight.ndim == 0):
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
    # The default weight decay, "1/n_samples", is the inverse of the sum.
    if not (0 < total < np.inf and 1 / float(total) < np.inf) and not (may_be_zero and total == 0):
        raise ValueError(f"sample_weight must have a finite sum above zero; got {total:g}.")
    return weight


def _check_classes(classes: ArrayLike) -> NDArray:
    classes = to_numpy(classes, "classes")
    with naming("classes", f"at least 2 different labels of one type; got {classes!r}"):
        labels = check_array(classes, ensure_2d=False, dtype=None, input_name="classes")
        if labels.ndim != 1:
            raise ValueError(f"classes must be one-dimensional; got shape {labels.shape}.")
        unique = np.unique(labels)
    if labels.dtype.kind == "U" and isinstance(classes, list | tuple) and not all(isinstance(k, str) for k in classes):
        raise TypeError(f"classes must be labels of one type; got {classes!r}.")  # NumPy has converted them to text
    if len(unique) < max(len(labels), 2):
        raise ValueError(f"classes must be at least 2 different labels; got {labels.tolist()}.")
    return unique


def _unique_labels(y: NDArray) -> tuple[NDArray, NDArray]:
    if y.dtype.kind in "biuU":
        found = _unique(y)
        if 2 * len(found[0]) <= len(y):
            return found  # without scikit-learn's check, which passes, and takes a tenth of the fit of a small table
    try:
        check_classification_targets(y)
    except TypeError as error:
        raise TypeError(_NOT_ONE_TYPE.format(error)) from error
    return _unique(y)


def _unique(labels: NDArray) -> tuple[NDArray, NDArray]:
    try:
        return np.unique(labels, return_inverse=True)
    except TypeError as error:
        raise TypeError(_NOT_ONE_TYPE.format(error)) from error


def as_distributions(y: ArrayLike, *, n_classes: int | None = None) -> NDArray | None:
    """`y`, checked to hold one distribution per row; None if it holds labels, in one dimension or a single column."""
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


def _label_columns(n_columns: int, known: NDArray | None, classes: ArrayLike | None) -> NDArray:
    """The labels of the columns of distributions."""
    if known is None:
        return np.arange(n_columns)
    if len(known) != n_columns:
        raise ValueError(
            f"classes must name each column where y holds distributions: {n_columns} columns; got {len(known)} labels."
        )
    if np.any(known != np.asarray(classes)):
        raise ValueError(
            "classes must be sorted where y holds distributions, as classes_ and the columns of predict_proba are; got "
            f"{np.asarray(classes).tolist()}. Sort both: order = np.argsort(classes), then y[:, order]."
        )
    return known


def _class_factors(class_weight: Mapping[Any, float] | str, labels: NDArray, total: Float64Array) -> Float64Array:
    if isinstance(class_weight, str):
        # "balanced": all present classes get the same total weight, and the sum of all weights stays the same.
        return np.divide(total.sum(), np.count_nonzero(total) * total, out=np.zeros_like(total), where=total > 0)
    factor = np.ones(len(labels))
    position = {label: k for k, label in enumerate(labels.tolist())}
    for label, weight in class_weight.items():
        if label not in position:
            raise ValueError(f"class_weight must have labels in y or classes as its keys; got {label!r}.")
        factor[position[label]] = _as_number(weight)
        if not 0 <= factor[position[label]] < np.inf:
            raise ValueError(
                f"class_weight must be non-negative and finite numbers; got {weight!r} for class {label!r}."
            )
    return factor


def _as_number(value: Any) -> float:
    """`value` as a float, or NaN if it is not a real number."""
    if isinstance(value, str | bytes) or np.iscomplexobj(value):
        return np.nan
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return np.nan


def _apply_class_weight(
    values: NDArray, weight: Float64Array | None, factor: Float64Array
) -> tuple[NDArray, Float64Array]:
    """Apply class weights c as if each row were repeated for each class k, with weight s_i y_ik c_k."""
    if values.ndim == 1:
        share = factor[values]
    else:
        values = values * factor
        share = values.sum(axis=1)
        # A row without any weight gets a uniform distribution, which has no effect.
        values = np.divide(values, share[:, None], out=np.full_like(values, 1 / len(factor)), where=share[:, None] > 0)
    return values, share if weight is None else weight * share
