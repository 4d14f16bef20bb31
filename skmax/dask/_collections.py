"""What users pass to `skmax.dask`: checks of the collections, on the client, and of each partition, on its worker."""

import warnings
from typing import Any, TypeAlias

import dask
import numpy as np
from dask import array as da
from dask.utils import is_arraylike, is_dataframe_like
from scipy import sparse
from sklearn.utils import check_array

from skmax._samples import Design, Float64Array, dtypes_of
from skmax._target import Part, check_sample_weight

# The X, the part of y, the weights and the offsets of a partition.
Checked: TypeAlias = tuple[Design, Part, Float64Array | None, Any]


def is_dask(X: Any) -> bool:
    return dask.is_dask_collection(X)


def check_columns(X: Any) -> None:
    if not is_dask(X) or not (is_arraylike(X) or is_dataframe_like(X)):
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


def to_delayed(collection: Any) -> list[Any]:
    """The partitions as delayed values, in order."""
    parts = np.ravel(np.array(collection.to_delayed(), dtype=object))
    # If few columns of a file are read, Dask merges partitions. X and y must have the same partitions, however.
    if is_arraylike(collection) or len(parts) == collection.npartitions:
        return list(parts)
    return list(collection.to_delayed(optimize_graph=False))


def aligned_partitions(X: Any, y: Any, sample_weight: Any, offset: Any) -> list[tuple[Any, Any, Any, Any]]:
    """The delayed (X, y, sample_weight, offset) of each partition."""
    check_columns(X)
    parts = to_delayed(X)
    aligned = [parts]
    for name, value in (("y", y), ("sample_weight", sample_weight), ("offset", offset)):
        absent = value is None and name != "y"
        aligned.append([None] * len(parts) if absent else aligned_with(name, value, X, len(parts)))
    return list(zip(*aligned, strict=True))


def aligned_with(name: str, value: Any, X: Any, n_parts: int) -> list[Any]:
    """The parts of `value` in the partitions of X."""
    known = is_arraylike(X) and not np.isnan(X.chunks[0]).any()
    if not is_dask(value):
        if not known:
            raise TypeError(
                f"{name} must be a Dask collection in the partitions of X, because X has chunks of unknown sizes; got "
                f"{type(value).__name__}."
            )
        if name == "sample_weight":
            value = check_sample_weight(value, X.shape[0])
        elif value is None or sparse.issparse(value) or np.ndim(value) == 0:
            rule = "labels or dense distributions" if name == "y" else "a number for each logit"
            raise TypeError(f"{name} must hold {rule}, for each row of X; got {value!r}.")
        value = da.from_array(np.asarray(value), chunks=-1)
    if is_arraylike(value) and known and not np.isnan(value.shape[0]):
        if value.shape[0] != X.shape[0]:
            raise ValueError(f"X and {name} must have the same rows; got {X.shape[0]} and {value.shape[0]}.")
        value = value.rechunk({0: X.chunks[0], **({1: -1} if value.ndim == 2 else {})})
    own = to_delayed(value)
    if len(own) != n_parts:
        raise ValueError(
            f"{name} must have as many partitions as X, {n_parts}; got {len(own)}. Repartition one of them."
        )
    return own


def check_partition(X: Any, y: Any, sample_weight: Any, offset: Any, place: int, n_features: int) -> Checked:
    """Check a partition, on its worker. An error names its `place` among the partitions.

    The width of the offsets is checked later, once the number of classes is known.
    """
    try:
        n_rows = X.shape[0]
        for name, value in (("y", y), ("sample_weight", sample_weight), ("offset", offset)):
            if value is not None and np.shape(value)[0] != n_rows:
                raise ValueError(f"X and {name} must have the same rows; got {n_rows} and {np.shape(value)[0]}.")
        X = check_array(
            X,
            accept_sparse="csr",
            dtype=dtypes_of(X),
            ensure_min_samples=0,
            ensure_min_features=0,
            input_name="X",
        )
        if X.shape[1] != n_features:
            raise ValueError(f"X must have the same columns in all partitions, {n_features}; got {X.shape[1]}.")
        if n_rows == 0:
            weight = None if sample_weight is None else np.empty(0)
            return X, Part(np.empty(0), np.empty(0, dtype=np.intp)), weight, offset
        y = check_array(y, accept_sparse="csr", ensure_2d=False, dtype=None, input_name="y")
        with warnings.catch_warnings():
            # A warning of many classes for few rows need not apply to all partitions together.
            warnings.simplefilter("ignore")
            part = Part.of(y)
        return X, part, check_sample_weight(sample_weight, n_rows, may_be_zero=True), offset
    except (TypeError, ValueError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"Partition {place}: {error}") from error
