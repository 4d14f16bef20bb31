"""Softmax regression on Dask collections."""

try:
    import dask  # noqa: F401
    import distributed  # noqa: F401
except ImportError as error:
    raise ImportError("skmax.dask requires Dask: pip install 'skmax[dask]'.") from error

from skmax.dask._estimator import DaskSoftmaxRegression

__all__ = ["DaskSoftmaxRegression"]
