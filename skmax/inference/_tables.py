"""The tables that are returned: pandas frames where pandas is installed, structured arrays elsewhere."""

from collections.abc import Mapping
from numbers import Real
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import special

from skmax._samples import Float64Array
from skmax.inference._fitted import Fitted, Kind

# A pandas.DataFrame, or a structured array.
Table: TypeAlias = Any


def estimate_table(
    fitted: Fitted,
    kind: Kind,
    index: Mapping[str, Any],
    name: str,
    estimate: Float64Array,
    error: Float64Array,
    level: float,
) -> Table:
    """A row for each estimate: it, its error and what may be said with these.

    - Without penalty, or with one that is negligible: standard error, z, p-value and confidence interval.
    - Under a penalty, with the curvature of the posterior: posterior standard deviation and credible interval.
    - Under a penalty, with a sandwich: the standard error about the mean of the penalised estimate, and no interval, as
      one of unknown bias covers nothing.
    """
    columns = {name: estimate.ravel()}
    error = error.ravel()
    if fitted.penalty_is_negligible:
        with np.errstate(divide="ignore", invalid="ignore"):
            z = columns[name] / error
        columns |= {"std_error": error, "z": z, "p_value": 2 * special.ndtr(-np.abs(z))}
    else:
        columns["posterior_standard_deviation" if kind == "model" else "std_error"] = error
    if fitted.penalty_is_negligible or kind == "model":
        reach = quantile(level) * error
        columns |= {"lower": columns[name] - reach, "upper": columns[name] + reach}
    return table(index, columns)


def quantile(level: float) -> float:
    """The number of standard errors to either side of an interval of this level."""
    check_level(level)
    return float(special.ndtri((1 + level) / 2))


def check_level(level: float) -> None:
    """Raise a ValueError unless the level is a probability."""
    if not (isinstance(level, Real) and 0 < level < 1):
        raise ValueError(f"level must be a number between 0 and 1, such as 0.95; got {level!r}.")


def table(index: Mapping[str, Any], columns: Mapping[str, NDArray]) -> Table:
    """A frame with the `index`, or a structured array in which the index comes first."""
    try:
        import pandas as pd
    except ImportError:
        parts = {name: _as_text_or_numbers(values) for name, values in {**index, **columns}.items()}
        dtype = np.dtype([(name, values.dtype) for name, values in parts.items()])
        return np.rec.fromarrays(list(parts.values()), dtype=dtype).view(dtype, np.ndarray)
    return pd.DataFrame(dict(columns), index=pd.MultiIndex.from_arrays(list(index.values()), names=list(index)))


def _as_text_or_numbers(values: Any) -> NDArray:
    array = np.asarray(values)
    return array.astype(str) if array.dtype.kind == "O" else array
