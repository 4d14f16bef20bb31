"""The base class of the estimators: it validates X and y, stores a fit, predicts, and exports to scikit-learn.

`SoftmaxRegression`, `SoftmaxRegressionCV` and `DaskSoftmaxRegression` are siblings. Each of them declares its
parameters and its `fit`; everything that depends only on the fitted attributes is here.
"""

import abc
import copy
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, Literal, Self, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score
from sklearn.utils import check_array
from sklearn.utils.validation import check_consistent_length, check_is_fitted, validate_data

from skmax import _kernels, _sklearn
from skmax._arrays import Device, as_numpy, check_foreign_X, is_foreign, is_in_memory, to_numpy
from skmax._fit import Fit
from skmax._path import Options, Watch
from skmax._prior import Prior, check_offset
from skmax._problem import Problem
from skmax._progress import StagePrinter
from skmax._samples import (
    LOGIT_COST,
    Block,
    Design,
    DeviceSamples,
    Float64Array,
    dtypes_of,
    explained_memory,
    local_samples,
)
from skmax._sklearn import (
    CALLER,
    HAS_ARRAY_API,
    CallbackSupportMixin,
    Interval,
    Monitor,
    StrOptions,
    doc_link_template,
)
from skmax._softmax import FloatArray, log_softmax, normalize_in_place
from skmax._target import (
    LABELS_OR_DISTRIBUTIONS,
    Encoding,
    Target,
    as_distributions,
    check_sample_weight,
    encode_target,
    naming,
)
from skmax._threads import Workers, workers

# An array-like, a sparse matrix or array, or a data frame, of shape (n_samples, n_features).
MatrixLike: TypeAlias = Any
# Feature names seen in a fit; None if X had none.
FeatureNames: TypeAlias = NDArray[np.object_] | None
# What a prediction makes of the class-major logits of all classes, given their namespace (NumPy, for example) and them.
OfLogits: TypeAlias = Callable[[Any, Any], Any]


@dataclass(frozen=True)
class Seen:
    """What the fitted attributes need to know of the X that the user passed.

    Attributes
    ----------
    names : ndarray of shape (n_features,), or None
        The feature names, if X has any.
    device : Device, or None
        Where X is, if it is an array of another library, and so where the attributes will be.
    """

    names: FeatureNames = None
    device: Device | None = None


class BaseSoftmaxRegression(CallbackSupportMixin, ClassifierMixin, BaseEstimator, abc.ABC):
    """Base class of the estimators. Each subclass has the parameters annotated below, among others."""

    # scikit-learn's HTML representation links to this page.
    _doc_link_module = "skmax"
    _offset_of_rows: ArrayLike | None = None  # see `_with_offset`
    _doc_link_template = property(lambda self: doc_link_template())

    _parameter_constraints: dict[str, Any] = {
        "fit_intercept": ["boolean"],
        "class_weight": [dict, StrOptions({"balanced"}), None],
        "classes": ["array-like", None],
        "penalty_factor": ["array-like", Mapping, None],
        "prior_mean": "no_validation",  # `Prior` validates it
        "tol": [Interval(Real, 0, None, closed="neither")],
        "max_iter": [Interval(Integral, 0, None, closed="left")],
        "verbose": ["verbose"],
    }
    # The constraints of the estimators whose weight decay is a parameter.
    _weight_decay_constraints: dict[str, Any] = {
        "weight_decay": [Interval(Real, 0, None, closed="left"), StrOptions({"1/n_samples"})],
        "warm_start": ["boolean"],
    }

    fit_intercept: bool
    class_weight: Mapping[Any, float] | Literal["balanced"] | None
    classes: ArrayLike | None
    penalty_factor: ArrayLike | Mapping[str, float] | None
    prior_mean: Any
    tol: float
    max_iter: int
    verbose: int

    @abc.abstractmethod
    def fit(
        self, X: MatrixLike, y: ArrayLike, sample_weight: ArrayLike | None = None, offset: ArrayLike | None = None
    ) -> Self:
        """Fit the model."""

    def _validate(
        self, X: MatrixLike, y: ArrayLike, sample_weight: ArrayLike | None, *, reset: bool = True
    ) -> tuple[Design, NDArray, Float64Array | None, Seen]:
        """Check X, y and the weights; return them as arrays, with what was seen of X. The estimator does not change.

        Without `reset`, the columns must be those of the fit.
        """
        if y is None:
            raise ValueError(f"{type(self).__name__} requires y to be passed, but the target y is None.")
        # scikit-learn stores attributes of the columns while it checks them, but an error must leave an earlier fit
        # unchanged.
        model, device = copy.copy(self), Device.of(X)
        X = model._validate_X(X, reset=reset)
        y = to_numpy(y, "y")
        with naming("y", LABELS_OR_DISTRIBUTIONS):
            labels = check_array(y, accept_sparse="csr", ensure_2d=False, dtype=None, input_name="y", estimator=self)
        check_consistent_length(X, labels)
        weight = check_sample_weight(sample_weight, X.shape[0])
        return X, labels, weight, Seen(getattr(model, "feature_names_in_", None), device)

    def _validate_X(self, X: MatrixLike, *, reset: bool = True) -> Design:
        """Check X, and return it as a NumPy or SciPy array, or as the array on a device that it is."""
        device = Device.of(X)
        if device is not None and not is_in_memory(X):
            X = check_foreign_X(X, device)
            validate_data(self, X, skip_check_array=True, reset=reset)
            return X
        X = to_numpy(X, "X")
        # scikit-learn sums X to find out whether it is finite, and the sum of large values overflows.
        with (
            naming("X", "finite real numbers, of shape (n_samples, n_features)"),
            np.errstate(over="ignore", invalid="ignore"),
        ):
            return validate_data(self, X, accept_sparse="csr", dtype=dtypes_of(X), reset=reset)

    def _encode(self, y: NDArray, weight: Float64Array | None) -> Target:
        return encode_target(y, classes=self.classes, class_weight=self.class_weight, sample_weight=weight)

    def _prior(self, encoding: Encoding, n_features: int, feature_names: FeatureNames) -> Prior:
        return Prior.of(self.penalty_factor, self.prior_mean, encoding, n_features, feature_names)

    def _problem(
        self, X: Design, target: Target, pool: Workers, prior: Prior, offset: FloatArray | None = None
    ) -> Problem:
        samples = target.samples(X, fit_intercept=self.fit_intercept, pool=pool, offset=offset)
        return Problem.of(samples, target.encoding, prior)

    def _problem_again(
        self, X: MatrixLike, y: ArrayLike, sample_weight: ArrayLike | None, offset: ArrayLike | None, pool: Workers
    ) -> Problem:
        """The problem of a fitted model, given the data of its fit again, in the user's columns."""
        X, labels, weight, seen = self._validate(X, y, sample_weight, reset=False)
        target = self._encode(labels, weight)
        prior = self._prior(target.encoding, X.shape[1], seen.names)
        offset = check_offset(self._known_offset(offset), X.shape[0], len(target.encoding.classes))
        samples = target.samples(X, fit_intercept=self.fit_intercept, pool=pool, offset=offset)
        return Problem.of(samples, target.encoding, prior, rotate=False)

    def _options(self, watch: Watch | None = None) -> Options:
        return Options(self.tol, self.max_iter, StagePrinter() if self.verbose else None, watch)

    def _watch(self, monitor: Monitor, seen: Seen) -> Watch | None:
        """Return a function that reports each iteration to the callbacks, or None if there are no callbacks."""
        if not monitor.has_callbacks:
            return None
        return lambda n_iter, fit_so_far: monitor.step("iteration", lambda: _attributes(fit_so_far(), seen))

    def _last_parameters(
        self, encoding: Encoding, n_features: int, feature_names: FeatureNames
    ) -> tuple[FloatArray, FloatArray] | None:
        """The coefficients and intercepts of the last fit, where a warm start begins; None before the first fit."""
        if not hasattr(self, "coef_"):
            return None
        no_names = np.array([])
        names = getattr(self, "feature_names_in_", no_names), no_names if feature_names is None else feature_names
        for name, before, now in [
            ("classes", as_numpy(self.classes_).tolist(), encoding.classes.tolist()),
            ("n_features", self.n_features_in_, n_features),
            ("feature names", names[0].tolist(), names[1].tolist()),
        ]:
            if before != now:
                raise ValueError(
                    f"warm_start=True continues an earlier fit, whose {name} were {before}; got {now}. Pass the same "
                    "(classes= fixes the labels), or fit a new estimator."
                )
        return as_numpy(self.coef_), as_numpy(self.intercept_)

    def _store(self, fit: Fit, seen: Seen = Seen(), **others: Any) -> Self:
        """Set all fitted attributes: those of `fit` and of the X that was `seen`, and `others`."""
        self.__dict__.pop("feature_names_in_", None)
        # An interrupt cannot divide a single update: either all attributes are those of this fit, or none is.
        self.__dict__.update(_attributes(fit, seen, **others))
        return self

    def _fitted_attributes(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name.endswith("_") and name[0] != "_"}

    def _finish(self, fit: Fit, seen: Seen, monitor: Monitor) -> None:
        """Store `fit`, report it to the callbacks, and warn if it did not converge.

        Only the method `fit` may call this method: the warning points to the caller of `fit`.
        """
        self._store(fit, seen)
        monitor.end(self._fitted_attributes())
        message = fit.warning(self.tol, self.max_iter)
        if message is not None:
            warnings.warn(message, ConvergenceWarning, stacklevel=CALLER + 1)

    def decision_function(self, X: MatrixLike, offset: ArrayLike | None = None) -> FloatArray:
        """Logits W x + b, plus the offset.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The samples.

        Returns
        -------
        raw_prediction : ndarray of shape (n_samples,) or (n_samples, n_classes)
            One-dimensional for two classes: the logit of the second class, where that of the first is 0.
        """
        check_is_fitted(self)
        binary = self.coef_.shape[0] == 1
        return self._from_logits(
            "decision_function", X, lambda xp, logits: logits[1, :] - logits[0, :] if binary else logits.T, offset
        )

    def predict(self, X: MatrixLike, offset: ArrayLike | None = None) -> NDArray:
        """Most probable class of each sample.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The samples.

        Returns
        -------
        label : ndarray of shape (n_samples,)
            The labels, with the dtype of `classes_`.
        """
        return self._labels(self._from_logits("predict", X, lambda xp, logits: xp.argmax(logits, axis=0), offset))

    def predict_top_k(self, X: MatrixLike, k: int, offset: ArrayLike | None = None) -> NDArray:
        """The `k` most probable classes of each sample, the most probable first.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The samples.
        k : int
            The number of classes to return, from 1 to all of them.
        offset : array-like of shape (n_samples,) or (n_samples, n_classes), default=None
            Added to the logits, as for :meth:`fit`. Required if the model was fitted with offsets.

        Returns
        -------
        label : ndarray of shape (n_samples, k)
            The labels, with the dtype of `classes_`. Equally probable classes come in the order of `classes_`.

        Raises
        ------
        ValueError
            If `k` is not an integer from 1 to the number of classes.

        Examples
        --------
        >>> from sklearn.datasets import load_wine
        >>> from skmax import SoftmaxRegression
        >>> X, y = load_wine(return_X_y=True)
        >>> SoftmaxRegression().fit(X, y).predict_top_k(X[:1], k=2).tolist()
        [[0, 2]]
        """
        check_is_fitted(self)
        n_classes = self.classes_.shape[0]
        if not (isinstance(k, Integral) and 1 <= k <= n_classes):
            raise ValueError(f"k must be an integer from 1 to the number of classes, {n_classes}; got {k!r}.")
        return self._labels(self._from_logits("predict_top_k", X, lambda xp, z: _largest(xp, z, int(k)), offset))

    def predict_proba(self, X: MatrixLike, offset: ArrayLike | None = None) -> FloatArray:
        """Probability of each class: the softmax of `decision_function`.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The samples.

        Returns
        -------
        probability : ndarray of shape (n_samples, n_classes)
            Columns in the order of `classes_`.
        """
        return self._from_logits("predict_proba", X, _probability, offset)

    def predict_log_proba(self, X: MatrixLike, offset: ArrayLike | None = None) -> FloatArray:
        """Log-softmax of `decision_function`, accurate even where a probability rounds to 0 or 1.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The samples.

        Returns
        -------
        log_probability : ndarray of shape (n_samples, n_classes)
            Columns in the order of `classes_`; -inf for a class without weight in the training data.
        """
        return self._from_logits("predict_log_proba", X, _log_probability, offset)

    def score(
        self, X: MatrixLike, y: ArrayLike, sample_weight: ArrayLike | None = None, offset: ArrayLike | None = None
    ) -> float:
        """Accuracy on labels; on distributions, the expected accuracy on labels drawn from them.

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
            The fraction of samples whose predicted class is their label; for distributions, the mean probability that
            they assign to the predicted class.
        """
        prediction, y = as_numpy(self.predict(X, offset)), to_numpy(y, "y")
        distribution = as_distributions(y, n_classes=self.classes_.shape[0])
        check_consistent_length(prediction, y)
        weight = check_sample_weight(sample_weight, len(prediction))
        if distribution is None:
            return float(accuracy_score(y, prediction, sample_weight=weight))
        hit = np.take_along_axis(distribution, np.searchsorted(as_numpy(self.classes_), prediction)[:, None], axis=1)
        return float(np.average(hit[:, 0], weights=weight))

    def to_logistic_regression(self) -> LogisticRegression:
        """Convert to a fitted scikit-learn model with the same coefficients, for tools that support only that class.

        Returns
        -------
        model : sklearn.linear_model.LogisticRegression
            A model whose methods return the same values. `fit_intercept` is copied; the other parameters have their
            defaults.

        Raises
        ------
        ValueError
            If the model was fitted with offsets, which that class does not support.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from skmax import SoftmaxRegression
        >>> X, y = load_iris(return_X_y=True)
        >>> model = SoftmaxRegression().fit(X, y)
        >>> bool(abs(model.to_logistic_regression().predict_proba(X) - model.predict_proba(X)).max() < 1e-12)
        True
        """
        check_is_fitted(self)
        if self.has_offset_:
            raise ValueError(
                "A model that was fitted with offsets has no LogisticRegression with the same predictions, as that "
                "class has no offsets."
            )
        model = LogisticRegression(fit_intercept=self.fit_intercept)
        for name in ("classes_", "coef_", "intercept_"):
            setattr(model, name, copy.deepcopy(getattr(self, name)))
        model.n_iter_ = np.array([self.n_iter_], dtype=np.int32)
        model.n_features_in_ = self.n_features_in_
        if hasattr(self, "feature_names_in_"):
            model.feature_names_in_ = self.feature_names_in_
        return model

    def _from_logits(
        self,
        method: str,
        X: MatrixLike,
        function: OfLogits,
        offset: ArrayLike | None = None,
    ) -> Any:
        """Apply `function(xp, logits)` to the class-major logits of all classes, block by block, into one array.

        The logits are NumPy arrays, for which `xp` is NumPy, unless X is an array on a device. The `method` is what the
        user called.
        """
        check_is_fitted(self)
        device = Device.of(X)
        if device is not None or is_foreign(self.coef_):
            _sklearn.check_same_namespace(X, self, attribute="coef_", method=method)
        X = self._validate_X(X, reset=False)
        offset = check_offset(self._known_offset(offset), X.shape[0], self.classes_.shape[0])
        if is_foreign(X):
            with explained_memory(X, self.coef_.shape[0]):
                return _kernels.predictions(DeviceSamples.of(X, offset=offset), self.coef_, self.intercept_, function)
        samples = local_samples(X, offset=offset)
        coef, intercept = as_numpy(self.coef_), as_numpy(self.intercept_)

        def of_block(block: Block) -> NDArray:
            logits = block.raw_prediction(coef, intercept)
            if len(logits) == 1:
                # The larger logit of the two must be finite: the softmax subtracts it.
                zero = np.zeros_like(logits)
                logits = np.concatenate([-logits, zero] if intercept[0] == np.inf else [zero, logits])
            return function(np, logits)

        first = of_block(samples.rows(slice(1)))
        output = np.empty((samples.n_samples, *first.shape[1:]), dtype=first.dtype)

        def fill(within: slice) -> None:
            for block in samples.blocks(len(coef), within):
                output[block.index] = of_block(block)

        with workers() as pool:
            pool.map_ranges(fill, samples.n_samples, coef.size + LOGIT_COST * len(coef))
        return output if device is None else device.wrap(output)

    def _labels(self, index: Any) -> Any:
        """The labels of the classes at `index`, which are NumPy arrays if they are text."""
        if not is_foreign(self.classes_):
            return self.classes_[as_numpy(index)]
        if not is_foreign(index):  # a prediction for NumPy by a model that was fitted to another library's arrays
            return as_numpy(self.classes_)[index]
        xp = Device.holding(index).xp
        return xp.reshape(xp.take(self.classes_, xp.reshape(index, (-1,)), axis=0), index.shape)

    def _in_numpy(self) -> Self:
        """The model with NumPy arrays as its attributes; itself, if they are."""
        foreign = {name: as_numpy(value) for name, value in self.__dict__.items() if is_foreign(value)}
        if not foreign:
            return self
        other = copy.copy(self)
        other.__dict__.update(foreign)
        return other

    def _known_offset(self, offset: ArrayLike | None) -> ArrayLike | None:
        """The `offset` of a prediction, which a model that was fitted with offsets requires."""
        offset = self._offset_of_rows if offset is None else offset
        if offset is None and self.has_offset_:
            raise ValueError(
                f"offset must be passed to the predictions of a {type(self).__name__} that was fitted with offsets; "
                "got None. Pass zeros if they are 0."
            )
        return offset

    def _with_offset(self, offset: ArrayLike | None) -> Self:
        """A copy whose predictions use `offset` by default, for scorers that do not pass offsets on."""
        other = copy.copy(self)
        other._offset_of_rows = offset
        return other

    def __sklearn_clone__(self) -> Self:
        # A clone of a fitted model is not fitted, so the prior means would be lost in a search.
        bare = copy.copy(self)
        bare.prior_mean = None
        other = super(BaseSoftmaxRegression, bare).__sklearn_clone__()
        other.prior_mean = self.prior_mean
        return other

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.array_api_support = HAS_ARRAY_API
        return tags


def _probability(xp: Any, logits: Any) -> Any:
    """The probabilities, of shape (n_rows, n_classes)."""
    if xp is not np:
        return _kernels.softmax(xp, logits)[0].T
    normalize_in_place(logits)
    return logits.T


def _log_probability(xp: Any, logits: Any) -> Any:
    """The logarithms of the probabilities, of shape (n_rows, n_classes)."""
    return log_softmax(logits.T) if xp is np else _kernels.log_softmax(xp, logits).T


def _largest(xp: Any, logits: Any, k: int) -> Any:
    """The indices of the `k` largest logits of each row, the largest first, of shape (n_rows, k).

    Equal logits are in the order of the classes. Selecting takes a tenth of the time of sorting thousands of logits.
    """
    if xp is not np:
        return xp.argsort(-logits, axis=0, stable=True)[:k, :].T
    negative = np.ascontiguousarray(-logits.T)
    n_rows, n_classes = negative.shape
    if k < n_classes:
        chosen = np.sort(np.argpartition(negative, k - 1, axis=1)[:, :k], axis=1)
        # Among logits equal to the last one, the selection is arbitrary.
        least = np.take_along_axis(negative, chosen, axis=1).max(axis=1, keepdims=True)
        tied = np.flatnonzero((negative <= least).sum(axis=1) > k)
        chosen[tied] = np.sort(np.argsort(negative[tied], axis=1, kind="stable")[:, :k], axis=1)
    else:
        chosen = np.broadcast_to(np.arange(n_classes), (n_rows, n_classes))
    order = np.argsort(np.take_along_axis(negative, chosen, axis=1), axis=1, kind="stable")
    return np.take_along_axis(chosen, order, axis=1)


def _attributes(fit: Fit, seen: Seen, **others: Any) -> dict[str, Any]:
    """The fitted attributes, and `others`, where X is; `feature_names_in_` is one only if X had names."""
    names = {} if seen.names is None else {"feature_names_in_": seen.names}
    attributes = {**fit.attributes(), **names, **others}
    if seen.device is None:
        return attributes
    return {name: seen.device.wrap(value) for name, value in attributes.items()}
