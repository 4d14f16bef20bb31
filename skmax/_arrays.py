"""Arrays of other libraries, such as PyTorch and CuPy: where they are, and their way from and to NumPy.

With ``sklearn.config_context(array_api_dispatch=True)``, a fit takes place on the device of X, and returns arrays of
the same library there (the array API standard, https://data-apis.org/array-api). Everything else follows X.

An array in the memory of this process is used as a NumPy array, without a copy, so that a fit takes as long as with
NumPy. An array on another device is a `skmax._samples.DeviceSamples`.
"""

import functools
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn import get_config

from skmax import _sklearn

# The number of elements that are checked to be finite at a time.
_CHECKED = 2**26


@dataclass(frozen=True)
class Device:
    """The library of an array and its device.

    Attributes
    ----------
    xp : module
        The namespace of the library, as the array API standard defines it.
    device : object
        The library's own name of the device.
    """

    xp: Any
    device: Any

    @classmethod
    def of(cls, array: Any) -> Self | None:
        """Where `array` is, if scikit-learn's configuration dispatches on it; None if it is used as a NumPy array."""
        if not (get_config()["array_api_dispatch"] and is_foreign(array)):
            return None
        xp, _, device = _sklearn.get_namespace_and_device(array)
        return cls(xp, device)

    @classmethod
    def holding(cls, array: Any) -> Self:
        """Where `array` is, an array of another library, whatever the configuration."""
        return cls(_sklearn.array_namespace(array), array.device)

    @functools.cached_property
    def has_float64(self) -> bool:
        """Whether the device computes in float64."""
        info = self.xp.__array_namespace_info__()
        return "float64" in info.dtypes(device=self.device, kind="real floating")

    def dtype(self, dtype: Any) -> Any:
        """The library's name of a NumPy dtype; float32 for float64 where the device has none."""
        name = np.dtype(dtype).name
        return getattr(self.xp, "float32" if name == "float64" and not self.has_float64 else name)

    def put(self, array: NDArray, dtype: Any = None) -> Any:
        """A NumPy array on the device, of the NumPy dtype `dtype` or its own; perhaps with the same memory."""
        dtype = self.dtype(array.dtype if dtype is None else dtype)
        # PyTorch has no arrays with negative strides, and warns of arrays that cannot be written.
        array = np.require(array, requirements=["C", "W"])
        if array.dtype == np.float64 and not self.has_float64:
            array = array.astype(np.float32)
        return self.xp.asarray(array, dtype=dtype, device=self.device)

    def cholesky(self, matrix: NDArray) -> NDArray | None:
        """The lower Cholesky factor of a NumPy array, computed on the device; None if it is not positive definite."""
        try:
            factor = as_numpy(self.xp.linalg.cholesky(self.put(matrix)))
        except Exception as error:
            if "LinAlg" not in type(error).__name__:  # each library has an error of its own
                raise
            return None
        return factor if np.isfinite(factor).all() else None  # CuPy has no error

    def take(self, array: Any, index: NDArray[np.intp]) -> Any:
        """The rows of `array` at `index`, a NumPy array."""
        return self.xp.take(array, self.put(index, np.int64), axis=0)

    def wrap(self, value: Any) -> Any:
        """A NumPy array of numbers that the library knows, on the device, perhaps with the same memory.

        Anything else, such as an array of text, is returned unchanged.
        """
        is_known = isinstance(value, np.ndarray) and hasattr(self.xp, value.dtype.name)
        return self.put(value) if is_known and value.dtype.kind in "biuf" else value


@dataclass(frozen=True)
class DeviceMatrix:
    """A matrix on a device, for products with NumPy arrays there."""

    where: Device
    matrix: Any

    @classmethod
    def inverse_of(cls, where: Device, triangle: NDArray) -> Self:
        """The inverse of a lower `triangle`."""
        return cls(where, where.xp.tril(where.xp.linalg.inv(where.put(triangle))))

    def times(self, table: NDArray) -> NDArray:
        """`table` times the matrix."""
        return as_numpy(self.where.put(table) @ self.matrix)

    def times_transposed(self, table: NDArray) -> NDArray:
        """`table` times the transposed matrix."""
        return as_numpy(self.where.put(table) @ self.matrix.T)


def is_foreign(array: Any) -> bool:
    """Whether `array` belongs to a library other than NumPy that follows the array API standard."""
    if not _sklearn.HAS_ARRAY_API or isinstance(array, np.ndarray | np.generic):
        return False
    # PyTorch's arrays, and CuPy's before version 14, lack the method of the standard.
    known = _sklearn.is_torch_array(array) or _sklearn.is_cupy_array(array)
    return known or hasattr(type(array), "__array_namespace__")


def is_in_memory(array: Any) -> bool:
    """Whether NumPy can use the memory of `array`, of another library."""
    return "cpu" in str(array.device).lower() and "bfloat16" not in str(array.dtype)


def to_numpy(array: Any, name: str) -> Any:
    """An array of another library as a NumPy array, without a copy if it is in the memory of this process.

    Anything else is returned unchanged. `name` is the argument that the array was passed as.

    Raises
    ------
    TypeError
        If the array is on another device and scikit-learn's configuration does not dispatch on arrays; or if it is
        sparse, or part of a graph of derivatives.
    """
    if not is_foreign(array):
        return array
    check_foreign(array, name)
    if not (get_config()["array_api_dispatch"] or is_in_memory(array)) and "bfloat16" not in str(array.dtype):
        raise TypeError(
            f"{name} must be in the memory of this process unless scikit-learn dispatches on arrays; got an array on "
            f"{array.device}. To fit there, set the environment variable SCIPY_ARRAY_API=1 before SciPy is imported, "
            "and use sklearn.config_context(array_api_dispatch=True)."
        )
    return as_numpy(array)


def as_numpy(array: Any) -> NDArray:
    """`array` as a NumPy array, whatever its library and the configuration."""
    if not is_foreign(array):
        return np.asarray(array)
    xp = _sklearn.array_namespace(array)
    if "bfloat16" in str(array.dtype):  # unknown to NumPy
        array = xp.astype(array, xp.float32)
    return _sklearn._convert_to_numpy(array, xp)


def check_foreign(array: Any, name: str) -> None:
    """Raise a TypeError for arrays of other libraries that are not plain numbers."""
    if getattr(array, "requires_grad", False):
        raise TypeError(f"{name} must not require a gradient, as a fit has none; got one: pass {name}.detach().")
    layout = str(getattr(array, "layout", "torch.strided"))
    if layout != "torch.strided":
        raise TypeError(
            f"{name} must be dense, or a SciPy sparse array; got an array of layout {layout}: pass {name}.to_dense()."
        )


def check_foreign_X(X: Any, device: Device) -> Any:
    """Validate an X of another library on its own device: finite real numbers, of a dtype that samples can store."""
    xp = device.xp
    check_foreign(X, "X")
    if X.ndim != 2:
        raise ValueError(f"X must be of shape (n_samples, n_features); got an array of shape {tuple(X.shape)}.")
    for size, what in zip(X.shape, ("sample", "feature"), strict=True):
        if size == 0:
            raise ValueError(f"Found array with 0 {what}(s) (shape={tuple(X.shape)}) while a minimum of 1 is required.")
    if "complex" in str(X.dtype):
        raise ValueError(f"X must hold real numbers; got complex data, of dtype {X.dtype}.")
    kept = {"float64", "float32", "float16", "bfloat16", "uint8", "int8", "bool"}
    if str(X.dtype).rpartition(".")[2] not in kept:
        X = xp.astype(X, device.dtype(np.float64))
    n_rows = max(1, _CHECKED // X.shape[1])
    for start in range(0, X.shape[0], n_rows) if "float" in str(X.dtype) else ():
        part = X[start : min(start + n_rows, X.shape[0]), :]
        if not bool(xp.all(xp.isfinite(part))):
            what = "NaN" if bool(xp.any(xp.isnan(part))) else "infinity"
            raise ValueError(f"X must hold finite numbers. Input X contains {what}.")
    return X
