"""Softmax regression on Dask collections: the sums over rows are computed where the rows are.

The objective, its gradient, the products with its Hessian, the statistics of the columns and the parts of a
preconditioner are sums over rows of kernels, functions that depend only on their samples, range and arguments
(`Samples.sum`). Here the rows are in the partitions of a Dask collection, and each partition is a `LocalSamples` on the
worker that holds it. A sum sends the kernel and its arguments, mostly the parameters, to the workers and brings back
one result, added up by a tree in the order of the partitions. Everything else (the objective, the solver, the
preconditioners, `tol`, `gap_`) is the code that :class:`SoftmaxRegression` uses.
"""

import copy
import dataclasses
import functools
import itertools
import operator
import uuid
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from sklearn.utils import check_array
from sklearn.utils.validation import check_is_fitted, validate_data

from skmax._base import BaseSoftmaxRegression, FeatureNames
from skmax._estimator import SoftmaxRegression
from skmax._objective import Objective
from skmax._path import Problem, WeightDecay, fit_path
from skmax._samples import Block, Design, Float64Array, LocalSamples, Samples, samples_of
from skmax._sklearn import Monitor, with_callbacks
from skmax._softmax import FloatArray
from skmax._target import Encoding, Part, all_labels, check_sample_weight, class_indices, class_totals
from skmax._threads import Workers, workers

try:
    import dask
    import distributed
    from dask import array as da
    from dask.sizeof import sizeof
    from dask.utils import is_arraylike, is_dataframe_like
except ImportError as error:
    raise ImportError("skmax.dask needs Dask: pip install 'skmax[dask]'.") from error

__all__ = ["DaskSoftmaxRegression"]

T = TypeVar("T")

# The number of results that are added at a node of the tree.
_BRANCHES = 8
_WEIGHT_SUM = operator.attrgetter("weight_sum")


class DaskSoftmaxRegression(BaseSoftmaxRegression):
    """Softmax regression on Dask arrays and dataframes, with the same results as :class:`SoftmaxRegression`.

    The rows stay in their partitions on the workers. Each evaluation of the objective sends the parameters to the
    workers and brings back one loss and gradient, added up by a tree; the client never holds the data. The partitions
    affect the result only by rounding. With the same partitions, threads and versions, it is bitwise reproducible.

    Parameters
    ----------
    weight_decay, fit_intercept, class_weight, classes, tol, max_iter, warm_start, verbose
        As for :class:`SoftmaxRegression`.
    persist : bool, default=True
        Whether to keep the partitions in the workers' memory during the fit. If not, they are recomputed from their
        source for each evaluation, of which a fit needs about 20 to 200.
    client : distributed.Client, default=None
        The client to compute with; None is the current default client. It is not pickled, and clones share it.

    Attributes
    ----------
    classes_, coef_, intercept_, n_features_in_, feature_names_in_
        As for :class:`SoftmaxRegression`.
    objective_, gap_, gap_is_bound_, converged_, n_iter_, loss_curve_
        As for :class:`SoftmaxRegression`.

    See Also
    --------
    SoftmaxRegression : For data that fits on one machine, in memory or as a memory-mapped file.

    Notes
    -----
    If a worker is lost, Dask recomputes its partitions from their source, and the fit goes on.

    If there are at least as many partitions as the workers have threads, one thread sums each partition; if there are
    fewer, the threads are shared out evenly. Partitions of 10 to 100 MB are a good size, as the scheduler takes about a
    millisecond per partition in each evaluation. Preconditioners fetch rows to the client: at most 4 per parameter, and
    about 8200 in all, for the whole Hessian; at most 4 n_features per class, one class at a time, for its blocks.

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
        self.tol = tol
        self.max_iter = max_iter
        self.warm_start = warm_start
        self.verbose = verbose
        self.persist = persist
        self.client = client

    @with_callbacks
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> "DaskSoftmaxRegression":
        """Fit the model.

        Parameters
        ----------
        X : dask Array or DataFrame of shape (n_samples, n_features)
            Training data. Its rows may be in any chunks, even of unknown sizes; its columns must be in a single chunk.
            Chunks are dense or SciPy sparse.
        y : dask Array, Series or DataFrame of shape (n_samples,) or (n_samples, n_classes)
            Labels or distributions, in the same partitions as `X`. If the sizes are known, `y` may have other
            partitions, or be a NumPy array: it is repartitioned.
        sample_weight : dask Array or Series of shape (n_samples,), default=None
            Non-negative weights, not all zero, partitioned as `y`.

        Returns
        -------
        self : DaskSoftmaxRegression

        Raises
        ------
        ValueError, TypeError
            If an argument breaks a rule. The message names the argument, the partition and the value. An earlier fit is
            not changed.
        RuntimeError
            If the client is closed or the computation cancelled during the fit.

        Warns
        -----
        ConvergenceWarning
            If the objective is estimated to be further than `tol` from its minimum, or its minimum is at infinity.
        """
        self._validate_params()
        partitions, feature_names = self._load(X, y, sample_weight)
        shape, encoding = _survey(partitions, int(X.shape[1]), self.classes, self.class_weight)
        last = self._last_parameters(encoding, shape.n_features, feature_names) if self.warm_start else None
        monitor = Monitor(self, X, y, sample_weight, self.max_iter)
        with workers() as pool:
            samples = _RemoteSamples.of(partitions, shape, encoding, fit_intercept=self.fit_intercept, pool=pool)
            problem = Problem.of(Objective(samples), encoding)
            options = self._options(self._watch(monitor, feature_names))
            [fit] = fit_path(problem, [problem.decay(self.weight_decay)], options, last)
        self._finish(fit, feature_names, monitor)
        return self

    def _objective_again(self, X: Any, y: Any, sample_weight: Any, pool: Workers) -> tuple[Objective, Encoding]:
        if not _is_dask(X):
            return self.to_local()._objective_again(X, y, sample_weight, pool)
        if X.shape[1] != self.n_features_in_:
            raise ValueError(f"X must have the {self.n_features_in_} columns of the fit; got {X.shape[1]}.")
        partitions, feature_names = self._load(X, y, sample_weight)
        fitted_names = getattr(self, "feature_names_in_", None)
        if feature_names is not None and fitted_names is not None and feature_names.tolist() != fitted_names.tolist():
            raise ValueError(
                f"X must have the feature names of the fit, {fitted_names.tolist()}; got {feature_names.tolist()}."
            )
        shape, encoding = _survey(partitions, int(X.shape[1]), self.classes, self.class_weight)
        samples = _RemoteSamples.of(partitions, shape, encoding, fit_intercept=self.fit_intercept, pool=pool)
        return Objective(samples), encoding

    def _load(self, X: Any, y: Any, sample_weight: Any) -> "tuple[_Partitions, FeatureNames]":
        """The checked rows, labels and weights on the workers, and the feature names. The estimator is not changed."""
        parts = _partitions(X, y, sample_weight)
        feature_names = None
        if is_dataframe_like(X):
            seen = copy.copy(self)
            validate_data(seen, X._meta, skip_check_array=True)
            feature_names = getattr(seen, "feature_names_in_", None)
        client = self._client()
        if client is None:
            raise ValueError(
                "client=None takes the current client, and there is none. Start one, as with distributed.Client(), or "
                "pass client=."
            )
        n_features = int(X.shape[1])
        loaded = [
            dask.delayed(_check_partition, pure=False)(*part, place, n_features) for place, part in enumerate(parts)
        ]
        return _Partitions(client, self.persist, loaded), feature_names

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

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Accuracy on labels; on distributions, the expected accuracy on labels drawn from them.

        Parameters
        ----------
        X : dask Array or DataFrame, or array-like, of shape (n_samples, n_features)
            The samples.
        y : a collection like `X`, of shape (n_samples,) or (n_samples, n_classes)
            Labels, or distributions with columns in the order of `classes_`.
        sample_weight : a collection like `X`, of shape (n_samples,), default=None
            Weights of the samples.

        Returns
        -------
        score : float
        """
        if not _is_dask(X):
            return super().score(X, y, sample_weight)
        local = self.to_local()
        shared = dask.delayed(local)
        scores = [dask.delayed(_score)(shared, *part) for part in _partitions(X, y, sample_weight)]
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
        names = SoftmaxRegression._get_param_names()
        local = SoftmaxRegression(**{name: value for name, value in self.get_params().items() if name in names})
        local.__dict__.update(copy.deepcopy(self._fitted_attributes()))
        return local

    def _from_logits(self, X: Any, function: Callable[[BaseSoftmaxRegression, FloatArray], NDArray]) -> Any:
        if not _is_dask(X):
            return super()._from_logits(X, function)
        check_is_fitted(self)
        _check_columns(X)
        if is_arraylike(X):
            dtype = X.dtype
        else:
            dtype = np.float32 if all(dtype == np.float32 for dtype in X.dtypes) else np.float64
        local = self.to_local()
        nameless = copy.copy(local)
        nameless.__dict__.pop("feature_names_in_", None)
        empty = nameless._from_logits(np.zeros((1, self.n_features_in_), dtype=dtype), function)[:0]
        delayed = _to_delayed(X)
        sizes = X.chunks[0] if is_arraylike(X) else (np.nan,) * len(delayed)
        shared = dask.delayed(local)
        return da.concatenate(
            [
                da.from_delayed(
                    dask.delayed(_predict)(shared, part, function, empty), (size, *empty.shape[1:]), dtype=empty.dtype
                )
                for part, size in zip(delayed, sizes, strict=True)
            ],
            allow_unknown_chunksizes=True,
        )

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


class _Partitions:
    """Values on the workers, one for each partition of the rows."""

    def __init__(self, client: Any, persist: bool, parts: list[Any]) -> None:
        self.client = client
        self.persist = persist
        self.parts = self._run(client.persist, parts) if persist else parts
        n_threads = sum(client.nthreads().values())
        self.n_threads = max(1, n_threads // len(parts))

    def map(self, function: Callable[..., Any], *args: Any, each: Mapping[int, Any] | None = None) -> "_Partitions":
        """`function(value, *args)` for each partition; with `each`, `function(value, each[place], *args)`."""
        other = copy.copy(self)
        tasks = self._tasks(function, args, each)
        other.parts = self._run(self.client.persist, tasks) if self.persist else tasks
        return other

    def gather(self, function: Callable[..., T], each: Mapping[int, Any] | None = None) -> list[T]:
        """`function(value)` of each partition; with `each`, `function(value, each[place])` of those in it."""
        return self._run(self.client.compute, self._tasks(function, (), each), wait=True)

    def _tasks(self, function: Callable[..., Any], args: tuple[Any, ...], each: Mapping[int, Any] | None) -> list[Any]:
        lazy = dask.delayed(function, pure=False)
        if each is None:
            return [lazy(part, *args) for part in self.parts]
        return [lazy(self.parts[place], own, *args) for place, own in each.items()]

    def sum(self, function: Callable[..., T], *args: Any) -> T:
        """The sum of `function(value, *args)`, in the order of the partitions."""
        # The arguments, mostly the parameters, are a task of their own, so that all sums share one copy, and Dask makes
        # another if it is lost.
        shared = dask.delayed(args, name=f"arguments-{uuid.uuid4().hex}", traverse=False)
        level = [dask.delayed(_apply, pure=False)(function, part, shared) for part in self.parts]
        while len(level) > 1:
            level = [
                dask.delayed(functools.reduce, pure=False)(operator.add, level[start : start + _BRANCHES])
                for start in range(0, len(level), _BRANCHES)
            ]
        return self._run(self.client.compute, level, wait=True)[0]

    def _run(self, method: Callable[..., Any], values: list[Any], *, wait: bool = False) -> Any:
        """`method(values)` of the client; with `wait`, its results. An interrupt also cancels the tasks."""
        futures = None
        try:
            futures = method(values)
            return self.client.gather(futures) if wait else futures
        except BaseException as error:
            runs = self.client.status == "running"
            if isinstance(error, distributed.CancelledError) or (isinstance(error, Exception) and not runs):
                raise RuntimeError(
                    "The Dask client was closed, or the computation cancelled, during the fit. An earlier fit is kept; "
                    "fit again with a client that stays open."
                ) from error
            if futures is not None and runs:
                self.client.cancel(futures)
            raise


@dataclass(frozen=True)
class _Shape:
    """What the client knows about the rows.

    Attributes
    ----------
    n_samples : list of int
        The number of rows of each partition.
    n_features : int
    dtype : dtype
    is_sparse : bool
        Whether some partition is sparse, so that all are treated as sparse.
    """

    n_samples: list[int]
    n_features: int
    dtype: Any
    is_sparse: bool

    @property
    def edges(self) -> list[int]:
        """The number of rows before each partition, and of all rows."""
        return np.cumsum([0, *self.n_samples]).tolist()


@dataclass(frozen=True, eq=False, kw_only=True)
class _RemoteSamples(Samples):
    """Samples in partitions: the workers compute sums over rows, the client computes loops over classes."""

    partitions: _Partitions  # of a LocalSamples each
    edges: list[int]

    @classmethod
    def of(cls, loaded: _Partitions, shape: _Shape, encoding: Encoding, *, fit_intercept: bool, pool: Workers) -> Self:
        """The samples of loaded partitions, with encoded targets."""
        local = loaded.map(_local_samples, encoding, shape, fit_intercept, each=dict(enumerate(shape.edges[:-1])))
        return cls(
            partitions=local,
            edges=shape.edges,
            n_samples=shape.edges[-1],
            n_features=shape.n_features,
            n_classes=len(encoding.frequency),
            n_logits=encoding.n_logits,
            fit_intercept=fit_intercept,
            dtype=shape.dtype,
            is_sparse=shape.is_sparse,
            weight_sum=sum(local.gather(_WEIGHT_SUM)),
            workers=pool,
        )

    def sum(self, kernel: Callable[..., T], *args: Any, cost: int) -> T:
        total = self.partitions.sum(_sum_of_partition, self.partitions.n_threads, kernel, args, cost)
        # An array that has travelled may begin at any byte, and NumPy before version 2 crashes on its dot product.
        return np.require(total, requirements="A") if isinstance(total, np.ndarray) else total  # type: ignore[return-value]

    def with_origin(self, origin: Float64Array) -> Self:
        return dataclasses.replace(self, partitions=self.partitions.map(LocalSamples.with_origin, origin))

    def in_float64(self) -> Self:
        if self.dtype == np.float64:
            return self
        partitions = self.partitions.map(LocalSamples.in_float64)
        return dataclasses.replace(self, partitions=partitions, dtype=np.dtype(np.float64))

    def without(self, which: Callable[..., NDArray[np.bool_]], *args: Any, cost: int) -> Self:
        partitions = self.partitions.map(functools.partial(LocalSamples.without, cost=cost), which, *args)
        return dataclasses.replace(self, partitions=partitions, weight_sum=sum(partitions.gather(_WEIGHT_SUM)))

    def rows(self, index: NDArray[np.intp] | slice) -> Block:
        return self._fetch(index).rows(slice(None))

    def gather(self, index: NDArray[np.intp], factor: Float64Array) -> LocalSamples:
        fetched = self._fetch(index)
        return fetched.reweighted(factor if fetched.sample_weight is None else factor * fetched.sample_weight)

    def _fetch(self, index: NDArray[np.intp] | slice) -> LocalSamples:
        """The rows at `index`, in ascending order, in the memory of the client."""
        index = np.arange(self.n_samples)[index] if isinstance(index, slice) else index
        bounds = np.searchsorted(index, self.edges)
        places = zip(self.edges[:-1], itertools.pairwise(bounds), strict=True)
        parts = [index[start:stop] - edge for edge, (start, stop) in places]
        own = {place: part for place, part in enumerate(parts) if len(part)}
        blocks = self.partitions.gather(LocalSamples.rows, own)
        x, target, weight = zip(*((block.x, block.target, block.weight) for block in blocks), strict=True)
        if any(values.ndim == 2 for values in target):  # in other partitions, each row may have one class
            identity = np.eye(self.n_classes)
            target = tuple(values if values.ndim == 2 else identity[values] for values in target)
        return samples_of(
            sparse.vstack(x, format="csr") if self.is_sparse else np.concatenate(x),
            np.concatenate(target),
            None if weight[0] is None else np.concatenate(weight),
            n_classes=self.n_classes,
            n_logits=self.n_logits,
            fit_intercept=self.fit_intercept,
            workers=self.workers,
        )


def _survey(
    loaded: _Partitions,
    n_features: int,
    classes: ArrayLike | None,
    class_weight: Mapping[Any, float] | Literal["balanced"] | None,
) -> tuple[_Shape, Encoding]:
    """What the client needs to know of all partitions."""
    n_samples, dtypes, are_sparse, found = zip(*loaded.gather(_found), strict=True)
    filled = [labels for n, labels in zip(n_samples, found, strict=True) if n]
    if not filled:
        raise ValueError("X must have at least one row; got none in all of its partitions.")
    labels = all_labels(filled, classes)
    total = loaded.sum(_totals, labels)
    with np.errstate(over="ignore"):
        weight_sum = total.sum()
    if not np.isfinite(weight_sum):
        raise ValueError(f"sample_weight must have a finite sum above zero; got {weight_sum:g}.")
    shape = _Shape(list(n_samples), n_features, np.result_type(*dtypes), any(are_sparse))
    return shape, Encoding.of(labels, total, class_weight)


@sizeof.register(LocalSamples)
def _size_of_samples(samples: LocalSamples) -> int:
    """The size, by which the scheduler decides whether to move data or send tasks to it."""
    values = (samples.X, samples.target, samples.sample_weight)
    return sum(sizeof(value) for value in values if value is not None)


# These functions run on the workers.


def _check_partition(
    X: Any, y: Any, sample_weight: Any, place: int, n_features: int
) -> tuple[Design, Part, Float64Array | None]:
    """Check a partition."""
    try:
        n_rows = X.shape[0]
        for name, value in (("y", y), ("sample_weight", sample_weight)):
            if value is not None and np.shape(value)[0] != n_rows:
                raise ValueError(f"X and {name} must have the same rows; got {n_rows} and {np.shape(value)[0]}.")
        X = check_array(
            X,
            accept_sparse="csr",
            dtype=[np.float64, np.float32],
            ensure_min_samples=0,
            ensure_min_features=0,
            input_name="X",
        )
        if X.shape[1] != n_features:
            raise ValueError(f"X must have the same columns in all partitions, {n_features}; got {X.shape[1]}.")
        if n_rows == 0:
            return X, Part(np.empty(0), np.empty(0, dtype=np.intp)), None if sample_weight is None else np.empty(0)
        y = check_array(y, accept_sparse="csr", ensure_2d=False, dtype=None, input_name="y")
        with warnings.catch_warnings():
            # A warning that there are many classes for few rows may not hold for all partitions together.
            warnings.simplefilter("ignore")
            part = Part.of(y)
        return X, part, check_sample_weight(sample_weight, n_rows, may_be_zero=True)
    except (TypeError, ValueError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"Partition {place}: {error}") from error


def _found(loaded: tuple[Design, Part, Float64Array | None]) -> tuple[int, Any, bool, tuple[NDArray | None, int]]:
    X, part, _ = loaded
    return X.shape[0], X.dtype, sparse.issparse(X), (part.labels, part.n_columns)


def _totals(loaded: tuple[Design, Part, Float64Array | None], labels: NDArray) -> Float64Array:
    X, part, weight = loaded
    if X.shape[0] == 0:
        return np.zeros(len(labels))
    return class_totals(class_indices(part, labels), weight, len(labels))


def _local_samples(
    loaded: tuple[Design, Part, Float64Array | None],
    row_offset: int,
    encoding: Encoding,
    shape: _Shape,
    fit_intercept: bool,
) -> LocalSamples:
    X, part, weight = loaded
    X = X.astype(shape.dtype, copy=False)
    if shape.is_sparse:
        X = sparse.csr_array(X)
    if X.shape[0] == 0:
        part = Part(encoding.classes, part.values)
    return encoding.apply(part, weight).samples(X, fit_intercept=fit_intercept, row_offset=row_offset)


def _apply(function: Callable[..., T], value: Any, args: tuple[Any, ...]) -> T:
    return function(value, *args)


def _sum_of_partition(
    samples: LocalSamples, n_threads: int, kernel: Callable[..., T], args: tuple[Any, ...], cost: int
) -> T:
    with workers(n_threads) as pool:
        return samples.on(pool).sum(kernel, *args, cost=cost)


def _predict(
    local: SoftmaxRegression, X: Any, function: Callable[[BaseSoftmaxRegression, FloatArray], NDArray], empty: NDArray
) -> NDArray:
    """A prediction for one partition, in the dtype of `empty`, which was declared for it."""
    return local._from_logits(X, function).astype(empty.dtype, copy=False) if X.shape[0] else empty


def _score(local: SoftmaxRegression, X: Any, y: Any, sample_weight: Any) -> tuple[float, float]:
    if X.shape[0] == 0:
        return 0.0, 0.0
    weight = float(X.shape[0] if sample_weight is None else np.sum(sample_weight))
    return (local.score(X, np.asarray(y), sample_weight) * weight if weight else 0.0), weight


# Checks of what a user passes.


def _is_dask(X: Any) -> bool:
    return dask.is_dask_collection(X)


def _check_columns(X: Any) -> None:
    if not _is_dask(X) or not (is_arraylike(X) or is_dataframe_like(X)):
        raise TypeError(f"X must be a dask Array or DataFrame; got {type(X).__module__}.{type(X).__name__}.")
    if is_arraylike(X):
        if X.ndim != 2 or np.isnan(X.shape[1]):
            raise ValueError(f"X must be two-dimensional, with a known number of columns; got shape {X.shape}.")
        if X.shape[1] == 0:
            raise ValueError(f"X must have at least one column; got shape {X.shape}.")
        if X.numblocks[1] > 1:
            raise ValueError(
                f"X must have its columns in one chunk; got chunks of {X.chunks[1]} columns. X.rechunk({{1: -1}}) puts "
                "them together."
            )


def _to_delayed(collection: Any) -> list[Any]:
    """The partitions as delayed values, in order."""
    parts = np.ravel(np.array(collection.to_delayed(), dtype=object))
    # Dask merges partitions of a file of which few columns are read; but X and y must have the same partitions.
    if is_arraylike(collection) or len(parts) == collection.npartitions:
        return list(parts)
    return list(collection.to_delayed(optimize_graph=False))


def _partitions(X: Any, y: Any, sample_weight: Any) -> list[tuple[Any, Any, Any]]:
    """The parts (X, y, sample_weight) of each partition."""
    _check_columns(X)
    parts = _to_delayed(X)
    known = is_arraylike(X) and not np.isnan(X.chunks[0]).any()
    aligned = [parts]
    for name, value in (("y", y), ("sample_weight", sample_weight)):
        if value is None and name == "sample_weight":
            aligned.append([None] * len(parts))
            continue
        if not _is_dask(value):
            if not known:
                raise TypeError(
                    f"{name} must be a Dask collection in the partitions of X, as X has chunks of unknown sizes; got "
                    f"{type(value).__name__}."
                )
            if name == "sample_weight":
                value = check_sample_weight(value, X.shape[0])
            elif value is None or sparse.issparse(value) or np.ndim(value) == 0:
                raise TypeError(f"y must be labels or distributions, dense, for each row of X; got {value!r}.")
            value = da.from_array(np.asarray(value), chunks=-1)
        if is_arraylike(value) and known and not np.isnan(value.shape[0]):
            if value.shape[0] != X.shape[0]:
                raise ValueError(f"X and {name} must have the same rows; got {X.shape[0]} and {value.shape[0]}.")
            value = value.rechunk({0: X.chunks[0], **({1: -1} if value.ndim == 2 else {})})
        own = _to_delayed(value)
        if len(own) != len(parts):
            raise ValueError(
                f"{name} must be in the partitions of X, {len(parts)}; got {len(own)}. Repartition one of them."
            )
        aligned.append(own)
    return list(zip(*aligned, strict=True))
