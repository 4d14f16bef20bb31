"""The rows that a model is fitted to or predicts for, in one form for dense, sparse and remote data."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse

from skmax._samples.base import LOGIT_COST, LocalSamples, Maximum, Samples
from skmax._samples.block import Block, Design, Float64Array
from skmax._samples.dense import DenseBlock, DenseSamples
from skmax._samples.device import DeviceBlock, DeviceSamples, explained_memory, twin_of
from skmax._samples.sparse import SparseSamples
from skmax._threads import Workers

__all__ = [
    "LOGIT_COST",
    "Block",
    "DenseBlock",
    "DenseSamples",
    "Design",
    "DeviceBlock",
    "DeviceSamples",
    "Float64Array",
    "LocalSamples",
    "Maximum",
    "Samples",
    "dtypes_of",
    "explained_memory",
    "local_samples",
    "product_dtype",
    "samples_of",
    "storage_dtypes",
    "twin_of",
]


def storage_dtypes(*, is_sparse: bool) -> list[Any]:
    """The dtypes of X that are used without conversion; others become the first. No sparse array is of float16."""
    dtypes = [np.float64, np.float32, np.uint8, np.int8, np.bool_]
    return dtypes if is_sparse else [*dtypes, np.float16]


def dtypes_of(X: object) -> list[Any]:
    """The `storage_dtypes` of an X."""
    return storage_dtypes(is_sparse=issparse(X))


def product_dtype(dtype: Any) -> Any:
    """The dtype of the products with an X of `dtype`: float32 if X is float32, otherwise float64."""
    return np.dtype(np.float32 if dtype == np.float32 else np.float64)


def samples_of(X: Design, *args: Any, **kwargs: Any) -> Samples:
    """The samples of an X in memory or on a device, with the arguments of `local_samples`."""
    is_local = isinstance(X, np.ndarray) or issparse(X)
    return (local_samples if is_local else DeviceSamples.of)(X, *args, **kwargs)


def local_samples(
    X: Design,
    target: NDArray | None = None,
    sample_weight: Float64Array | None = None,
    *,
    n_classes: int = 0,
    n_logits: int = 0,
    fit_intercept: bool = True,
    workers: Workers | None = None,
    offset: NDArray | None = None,
    row_offset: int = 0,
) -> LocalSamples:
    """The samples of an X in memory, dense or sparse. For predictions, they have no targets and no classes."""
    is_sparse = issparse(X)
    return (SparseSamples if is_sparse else DenseSamples)(
        X=X,
        target=target,
        sample_weight=sample_weight,
        n_classes=n_classes,
        n_logits=n_logits,
        fit_intercept=fit_intercept,
        n_samples=X.shape[0],
        n_features=X.shape[1],
        dtype=product_dtype(X.dtype),
        is_sparse=is_sparse,
        offset=offset,
        has_offset=offset is not None,
        weight_sum=float(X.shape[0] if sample_weight is None else sample_weight.sum()),
        workers=workers or Workers(),
        row_offset=row_offset,
    )
