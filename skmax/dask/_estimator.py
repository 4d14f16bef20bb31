"""DaskSoftmaxRegression: fits and predictions on Dask collections. Only its samples differ from those of other fits."""

import copy
import functools
from collections.abc import Mapping
from typing import Any, Literal

import dask
import distributed
import numpy as np
from dask import array as da
from dask.utils import is_arraylike, is_dataframe_like
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted, validate_data

from skmax._base import BaseSoftmaxRegression, FeatureNames, OfLogits, Seen
from skmax._estimator import SoftmaxRegression, plain_model
from skmax._path import fit_path
from skmax._problem import Problem, WeightDecay
from skmax._sklearn import Monitor, with_callbacks
from skmax._threads import Workers, workers
from skmax.dask._collections import (
    aligned_partitions,
    aligned_with,
    check_columns,
    check_partition,
    is_dask,
    to_delayed,
)
from skmax.dask._partitions import Partitions
from skmax.dask._samples import RemoteSamples, survey


class DaskSoftmaxRegression(BaseSoftmaxRegression):
    """Softmax regression on Dask arrays and dataframes, with the same results as :class:`SoftmaxRegression`.

    The rows stay in their partitions on the workers. Each evaluation of the objective sends the parameters to the
    workers and brings back one loss and gradient, added up along a tree. The client never holds the whole data. The
    partitions affect the result only by rounding. With the same partitions, threads and versions, fits are bitwise
    reproducible.

    Parameters
    ----------
    weight_decay, fit_intercept, class_weight, classes, penalty_factor, prior_mean, tol, max_iter, warm_start, verbose
        As for :class:`SoftmaxRegression`.
    persist : bool, default=True
        Whether to keep the partitions in the workers' memory during the fit. Otherwise they are recomputed from their
        source for each evaluation of the objective, typically dozens of times.
    client : distributed.Client, default=None
        The client to compute with; None is the current default client. Clones share it, and pickles omit it.

    Attributes
    ----------
    classes_, coef_, intercept_, has_offset_, n_features_in_, feature_names_in_
        As for :class:`SoftmaxRegression`.
    objective_, gap_, gap_is_bound_, converged_, n_iter_, loss_curve_
        As for :class:`SoftmaxRegression`.

    See Also
    --------
    SoftmaxRegression : For data that fits on one machine, in memory or as a memory-mapped file.

    Notes
    -----
    If a worker is lost, Dask recomputes its partitions from their source, and the fit continues.

    One thread works on each partition if there are at least as many partitions as threads; otherwise the threads are
    divided evenly among the partitions. Partitions of 10 to 100 MB work well: the scheduler needs about a millisecond
    for each partition in each evaluation. To build a preconditioner, a sample of the rows is copied to the client, of
    up to a few rows for each parameter.

    Examples
    --------
    >>> import dask.array as da
    >>> from distributed import Client, LocalCluster
    >>> from sklearn.datasets import load_iris
    >>> from skmax.dask import DaskSoftmaxRegression
    >>> X, y = load_iris(return_X_y=True)
    >>> with LocalCluster(n_workers=1, processes=False, dashboard_address=":0") as cluster, Client(cluster):
    ...     model = DaskSoftmaxRegression().fit(da.from_array(X, chunks=(50, 4)), da.from_array(y, chunks=50))
    >>> model.predict(X[:2]).tolist()
    [0, 0]
    """

    _parameter_constraints: dict[str, Any] = {
        **BaseSoftmaxRegression._parameter_constraints,
        **BaseSoftmaxRegression._weight_decay_constraints,
        "persist": ["boolean"],
        "client": "no_validation",
    }

    def __init__(
        self,
        weight_decay: WeightDecay = "1/n_samples",
        *,
        fit_intercept: bool = True,
        class_weight: Mapping[Any, float] | Literal["balanced"] | None = None,
        classes: ArrayLike | None = None,
        penalty_factor: ArrayLike | Mapping[str, float] | None = None,
        prior_mean: Any = None,
        tol: float = 1e-6,
        max_iter: int = 1000,
        warm_start: bool = False,
        verbose: int = 0,
        persist: bool = True,
        client: "distributed.Client | None" = None,
    ) -> None:
        self.weight_decay = weight_decay
        self.fit_intercept = fit_intercept
        self.class_weight = class_weight
        self.classes = classes
        self.penalty_factor = penalty_factor
        self.prior_mean = prior_mean
        self.tol = tol
        self.max_iter = max_iter
        self.warm_start = warm_start
        self.verbose = verbose
        self.persist = persist
        self.client = client

    @with_callbacks
    def fit(self, X: Any, y: Any, sample_weight: Any = None, offset: Any = None) -> "DaskSoftmaxRegression":
        """Fit the model.

        Parameters
        ----------
        X : dask Array or DataFrame of shape (n_samples, n_features)
            Training data. Its rows may be in any chunks, also of unknown sizes; its columns must be in a single chunk.
            Chunks are dense arrays or SciPy sparse arrays.
        y : dask Array, Series or DataFrame of shape (n_samples,) or (n_samples, n_classes)
            Labels or distributions, in the same partitions as `X`. If the sizes are known, `y` may have other
            partitions or be a NumPy array, and is repartitioned.
        sample_weight : dask Array or Series of shape (n_samples,), default=None
            Non-negative weights, not all zero, partitioned as `y`.
        offset : dask Array, Series or DataFrame of shape (n_samples,) or (n_samples, n_classes), default=None
            Added to the logits, as for :meth:`SoftmaxRegression.fit`, partitioned as `y`.

        Returns
        -------
        self : DaskSoftmaxRegression

        Raises
        ------
        ValueError, TypeError
            If an argument breaks a rule. The message names the argument, the partition and the value. An earlier fit is
            not changed.
        RuntimeError
            If the client is closed, or the computation is cancelled, during the fit.

        Warns
        -----
        ConvergenceWarning
            If the objective is estimated to be further than `tol` from its minimum, or its minimum is at infinity.
        """
        self._validate_params()
        partitions, feature_names = self._load(X, y, sample_weight, offset)
        shape, encoding = survey(partitions, int(X.shape[1]), self.classes, self.class_weight, offset is not None)
        prior = self._prior(encoding, shape.n_features, feature_names)
        last = self._last_parameters(encoding, shape.n_features, feature_names) if self.warm_start else None
        monitor = Monitor(self, X, y, {"sample_weight": sample_weight, "offset": offset}, self.max_iter)
        with workers() as pool:
            samples = RemoteSamples.of(partitions, shape, encoding, fit_intercept=self.fit_intercept, pool=pool)
            problem = Problem.of(samples, encoding, prior)
            options = self._options(self._watch(monitor, Seen(feature_names)))
            [fit] = fit_path(problem, [problem.decay(self.weight_decay)], options, last)
        self._finish(fit, Seen(feature_names), monitor)
        return self

    def _problem_again(self, X: Any, y: Any, sample_weight: Any, offset: Any, pool: Workers) -> Problem:
        if not is_dask(X):
            return self.to_local()._problem_again(X, y, sample_weight, offset, pool)
        offset = self._known_offset(offset)
        partitions, feature_names = self._load(X, y, sample_weight, offset)
        names: Any = getattr(self, "feature_names_in_", []), [] if feature_names is None else feature_names
        for name, before, now in [
            ("n_features", self.n_features_in_, X.shape[1]),
            ("feature names", list(names[0]), list(names[1])),
        ]:
            if before != now:
                raise ValueError(f"X must have the {name} of the fit, {before}; got {now}.")
        shape, encoding = survey(partitions, int(X.shape[1]), self.classes, self.class_weight, offset is not None)
        prior = self._prior(encoding, shape.n_features, feature_names)
        samples = RemoteSamples.of(partitions, shape, encoding, fit_intercept=self.fit_intercept, pool=pool)
        return Problem.of(samples, encoding, prior, rotate=False)

    def _load(self, X: Any, y: Any, sample_weight: Any = None, offset: Any = None) -> "tuple[Partitions, FeatureNames]":
        """Check the rows and all that belongs to them on the workers, without a change of the estimator."""
        parts = aligned_partitions(X, y, sample_weight, offset)
        feature_names = None
        if is_dataframe_like(X):
            seen = copy.copy(self)
            validate_data(seen, X._meta, skip_check_array=True)
            feature_names = getattr(seen, "feature_names_in_", None)
        client = self._client()
        if client is None:
            raise ValueError(
                "client=None uses the current client, but there is none. Start one, for example with "
                "distributed.Client(), or pass client=."
            )
        n_features = int(X.shape[1])
        loaded = [
            dask.delayed(check_partition, pure=False)(*part, place, n_features) for place, part in enumerate(parts)
        ]
        return Partitions(client, self.persist, loaded), feature_names

    def _client(self) -> Any:
        """The client to compute with, or None if there is none."""
        client = self.client
        if client is None:
            try:
                client = distributed.default_client()
            except ValueError:
                return None
        if not isinstance(client, distributed.Client) or client.asynchronous:
            raise TypeError(f"client must be a distributed.Client that is not asynchronous; got {client!r}.")
        return client

    def score(self, X: Any, y: Any, sample_weight: Any = None, offset: Any = None) -> float:
        """Accuracy on labels; on distributions, the expected accuracy on labels drawn from them.

        Parameters
        ----------
        X : dask Array or DataFrame, or array-like, of shape (n_samples, n_features)
            The samples.
        y : a collection like `X`, of shape (n_samples,) or (n_samples, n_classes)
            Labels, or distributions with columns in the order of `classes_`.
        sample_weight : a collection like `X`, of shape (n_samples,), default=None
            Weights of the samples.
        offset : a collection like `X`, of shape (n_samples,) or (n_samples, n_classes), default=None
            Added to the logits. Required if the model was fitted with offsets.

        Returns
        -------
        score : float
        """
        if not is_dask(X):
            return super().score(X, y, sample_weight, offset)
        offset = self._known_offset(offset)
        local = self.to_local()
        shared = dask.delayed(local)
        scores = [dask.delayed(_score)(shared, *part) for part in aligned_partitions(X, y, sample_weight, offset)]
        client = self._client()
        results = dask.compute(*scores) if client is None else client.gather(client.compute(scores))
        hits, weight = np.sum(results, axis=0)
        if not weight > 0:
            raise ValueError(f"X must have rows, with weights that are not all zero; got a total weight of {weight:g}.")
        return float(hits / weight)

    def to_local(self) -> SoftmaxRegression:
        """Convert to a fitted :class:`SoftmaxRegression` with the same parameters and attributes.

        Returns
        -------
        model : SoftmaxRegression
        """
        check_is_fitted(self)
        local = plain_model(self)
        local.__dict__.update(copy.deepcopy(self._fitted_attributes()))
        return local

    def _from_logits(self, method: str, X: Any, function: OfLogits, offset: Any = None) -> Any:
        if not is_dask(X):
            return super()._from_logits(method, X, function, offset)
        check_is_fitted(self)
        check_columns(X)
        offset = self._known_offset(offset)
        if is_arraylike(X):
            dtype = X.dtype
        else:
            dtype = np.float32 if all(dtype == np.float32 for dtype in X.dtypes) else np.float64
        local = self.to_local()
        nameless = copy.copy(local)
        nameless.__dict__.pop("feature_names_in_", None)
        n_classes = len(self.classes_)
        zero = None if offset is None else np.zeros(1 if n_classes == 2 else (1, n_classes))
        empty = nameless._from_logits(method, np.zeros((1, self.n_features_in_), dtype=dtype), function, zero)[:0]
        delayed = to_delayed(X)
        offsets = [None] * len(delayed) if offset is None else aligned_with("offset", offset, X, len(delayed))
        sizes = X.chunks[0] if is_arraylike(X) else (np.nan,) * len(delayed)
        shared = dask.delayed(local)
        return da.concatenate(
            [
                da.from_delayed(
                    dask.delayed(_predict)(shared, method, part, function, empty, own),
                    (size, *empty.shape[1:]),
                    dtype=empty.dtype,
                )
                for part, size, own in zip(delayed, sizes, offsets, strict=True)
            ],
            allow_unknown_chunksizes=True,
        )

    def _labels(self, index: Any) -> Any:
        if not isinstance(index, da.Array):
            return super()._labels(index)
        classes = self.classes_.copy()
        return da.map_blocks(functools.partial(np.take, classes), index, dtype=classes.dtype)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.array_api_support = False
        return tags

    def __copy__(self) -> "DaskSoftmaxRegression":
        other = type(self).__new__(type(self))
        other.__dict__.update(self.__dict__)  # including the client, which a pickle omits
        return other

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "client": None}

    def __sklearn_clone__(self) -> "DaskSoftmaxRegression":
        bare = copy.copy(self)
        bare.client = None
        other = super(DaskSoftmaxRegression, bare).__sklearn_clone__()
        other.client = self.client
        return other


def _predict(local: SoftmaxRegression, method: str, X: Any, function: OfLogits, empty: NDArray, offset: Any) -> NDArray:
    """The prediction for one partition, in the dtype of `empty`, which Dask expects."""
    return local._from_logits(method, X, function, offset).astype(empty.dtype, copy=False) if X.shape[0] else empty


def _score(local: SoftmaxRegression, X: Any, y: Any, sample_weight: Any, offset: Any) -> tuple[float, float]:
    if X.shape[0] == 0:
        return 0.0, 0.0
    weight = float(X.shape[0] if sample_weight is None else np.sum(sample_weight))
    return (local.score(X, np.asarray(y), sample_weight, offset) * weight if weight else 0.0), weight
