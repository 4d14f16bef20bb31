"""Penalty factors, prior means and offsets: their validation, and their form for the classes of a fit."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_array

from skmax._arrays import as_numpy, to_numpy
from skmax._penalty import Penalty
from skmax._samples import Float64Array
from skmax._softmax import FloatArray, Parameters
from skmax._target import Encoding, naming

_FACTOR_RULE = (
    "None, numbers of at least 0 of shape (n_features,) or that of coef_, or a dict of feature names to such numbers"
)
_MEAN_RULE = "None, finite numbers of the shape of coef_, or a fitted linear classifier"
_OFFSET_RULE = (
    "None, or finite numbers of shape (n_samples,) for two classes and (n_samples, n_classes) for more; for a class "
    "that a row cannot have, a large negative number such as -1000"
)


@dataclass(frozen=True, eq=False)
class Prior:
    """The penalty factors and prior means of all classes.

    Attributes
    ----------
    factor : ndarray of shape (n_features,) or that of `coef_`, or None
    mean : ndarray of the shape of `coef_`, or None
    intercept : ndarray of the shape of `intercept_`, or None
        Intercepts to start from.
    """

    factor: Float64Array | None = None
    mean: Float64Array | None = None
    intercept: Float64Array | None = None

    @classmethod
    def of(
        cls,
        penalty_factor: ArrayLike | Mapping[str, float] | None,
        prior_mean: Any,
        encoding: Encoding,
        n_features: int,
        feature_names: NDArray[np.object_] | None,
    ) -> "Prior":
        """Validate the parameters of an estimator for these classes and features."""
        n_rows = 1 if len(encoding.classes) == 2 else len(encoding.classes)
        factor = _check_factor(penalty_factor, (n_rows, n_features), feature_names)
        if factor is not None and n_rows == 1:
            factor = factor.reshape(n_features)
        if not hasattr(prior_mean, "coef_"):
            return cls(factor, _check_mean(prior_mean, (n_rows, n_features)))
        return cls(factor, *_of_model(prior_mean, encoding, n_features, feature_names))

    def penalty(self, encoding: Encoding) -> Penalty:
        """The penalty of weight decay 0 on the coefficients of the classes with weight."""
        factor = self.factor if self.factor is None or self.factor.ndim == 1 else self.factor[encoding.rows]
        return Penalty.of(factor, None if self.mean is None else self.mean[encoding.rows])

    def start(self, encoding: Encoding) -> Parameters | None:
        """The prior means and intercepts of the classes with weight, or None. Unknown intercepts are nan."""
        if self.mean is None:
            return None
        mean = self.mean[encoding.rows]
        return mean, np.full(len(mean), np.nan) if self.intercept is None else self.intercept[encoding.rows]


def check_offset(offset: ArrayLike | None, n_samples: int, n_classes: int) -> FloatArray | None:
    """Validate the offsets of rows. float32 and float64 are not converted."""
    if offset is None:
        return None
    offset = to_numpy(offset, "offset")
    with naming("offset", _OFFSET_RULE):
        table = check_array(offset, ensure_2d=False, dtype=[np.float64, np.float32], input_name="offset")
    shape = (n_samples,) if n_classes == 2 else (n_samples, n_classes)
    if table.shape != shape:
        raise ValueError(
            f"offset must have a number for each logit of each row, shape {shape} for {n_samples} rows and {n_classes} "
            f"classes; got shape {table.shape}."
        )
    return table


def _check_factor(
    penalty_factor: ArrayLike | Mapping[str, float] | None,
    shape: tuple[int, int],
    feature_names: NDArray[np.object_] | None,
) -> Float64Array | None:
    if penalty_factor is None:
        return None
    if isinstance(penalty_factor, Mapping):
        penalty_factor = _by_name(penalty_factor, shape[1], feature_names)
    penalty_factor = to_numpy(penalty_factor, "penalty_factor")
    with naming("penalty_factor", _FACTOR_RULE):
        factor = check_array(penalty_factor, ensure_2d=False, dtype=np.float64, input_name="penalty_factor")
    if factor.shape not in (shape[1:], shape):
        raise ValueError(
            f"penalty_factor must have shape {shape[1:]}, a factor for each feature, or {shape}, that of coef_; got "
            f"shape {factor.shape}."
        )
    if factor.min() < 0:
        where = np.unravel_index(int(factor.argmin()), factor.shape)
        place = ", ".join(map(str, where))
        raise ValueError(f"penalty_factor must be non-negative; got {factor[where]:g} at position {place}.")
    return factor


def _by_name(
    penalty_factor: Mapping[str, float], n_features: int, feature_names: NDArray[np.object_] | None
) -> Float64Array:
    if feature_names is None:
        raise ValueError(
            "penalty_factor must be an array where X has no feature names, which a dict refers to; got "
            f"{penalty_factor!r}. Pass X as a data frame, or set_output(transform='pandas') on what makes it."
        )
    names = {name: place for place, name in enumerate(feature_names.tolist())}
    unknown = [name for name in penalty_factor if name not in names]
    if unknown:
        raise ValueError(
            f"penalty_factor must have feature names of X as its keys; got {unknown[:10]}, which are not among "
            f"{list(names)[:10]}{', ...' if len(names) > 10 else ''}."
        )
    factor = np.ones(n_features)
    for name, value in penalty_factor.items():
        with naming("penalty_factor", _FACTOR_RULE):
            factor[names[name]] = value
    return factor


def _check_mean(prior_mean: ArrayLike | None, shape: tuple[int, int]) -> Float64Array | None:
    if prior_mean is None:
        return None
    if hasattr(prior_mean, "fit"):
        raise ValueError(f"prior_mean must be {_MEAN_RULE}; got {prior_mean!r}, which has no coef_.")
    prior_mean = to_numpy(prior_mean, "prior_mean")
    with naming("prior_mean", _MEAN_RULE):
        mean = check_array(prior_mean, ensure_2d=False, dtype=np.float64, input_name="prior_mean")
    if mean.shape != shape:
        raise ValueError(f"prior_mean must have the shape of coef_, {shape}; got shape {mean.shape}.")
    return mean


def _of_model(
    model: Any, encoding: Encoding, n_features: int, feature_names: NDArray[np.object_] | None
) -> tuple[Float64Array, Float64Array]:
    """The coefficients and intercepts of a fitted model of the same classes and features."""
    coef, intercept, classes = (as_numpy(getattr(model, name, [])) for name in ("coef_", "intercept_", "classes_"))
    if classes.tolist() != encoding.classes.tolist():
        raise ValueError(
            f"prior_mean must be a model of the same classes, {encoding.classes.tolist()}; got one of "
            f"{classes.tolist()}. If y lacks some of them, pass classes=."
        )
    known = getattr(model, "feature_names_in_", None)
    if known is not None and feature_names is not None and known.tolist() != feature_names.tolist():
        raise ValueError(
            f"prior_mean must be a model of the same features, {feature_names.tolist()}; got one of {known.tolist()}."
        )
    n_rows = 1 if len(classes) == 2 else len(classes)
    mean = _check_mean(coef, (n_rows, n_features))
    return np.asarray(mean), np.broadcast_to(intercept.astype(np.float64), n_rows)
