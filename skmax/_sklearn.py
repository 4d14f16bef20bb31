"""The only imports from scikit-learn beyond its stable public interface.

`Interval` and `StrOptions` declare the constraints on parameters. They are private, but scikit-learn has no public
equivalent, and many estimators outside scikit-learn use them.

Callbacks are public, and experimental, since scikit-learn 1.9. For earlier versions, there are substitutes that do
nothing.

The helpers for arrays of other libraries are private: `array_namespace` and `is_..._array` are those of
array-api-compat, which scikit-learn brings with it, and the others follow its configuration and give its messages. They
have this form since scikit-learn 1.9. Before, `HAS_ARRAY_API` is False, and such arrays are converted to NumPy.
"""

import copy
import functools
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, metadata
from typing import Any

from sklearn.utils._param_validation import Interval, StrOptions

try:
    from sklearn.externals.array_api_compat import (
        array_namespace,
        is_cupy_array,
        is_numpy_namespace,
        is_torch_array,
    )
    from sklearn.utils._array_api import _convert_to_numpy, check_same_namespace, get_namespace_and_device

    HAS_ARRAY_API = True
except ImportError:
    HAS_ARRAY_API = False

try:
    from sklearn.callback import CallbackSupportMixin, with_callbacks

    # The `stacklevel` with which a warning names the line that called a method under `with_callbacks`.
    CALLER = 3
except ImportError:  # scikit-learn before 1.9
    CALLER = 2

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """A base class that adds nothing."""

    def with_callbacks(method: Callable[..., Any]) -> Callable[..., Any]:
        """Return `method` unchanged."""
        return method


__all__ = [
    "CALLER",
    "HAS_ARRAY_API",
    "CallbackSupportMixin",
    "Interval",
    "Monitor",
    "StrOptions",
    "_convert_to_numpy",
    "array_namespace",
    "check_same_namespace",
    "doc_link_template",
    "get_namespace_and_device",
    "is_cupy_array",
    "is_numpy_namespace",
    "is_torch_array",
    "with_callbacks",
]


@functools.cache
def doc_link_template() -> str:
    """The pages that scikit-learn's HTML representation links to, from the project's metadata; "" is no link."""
    try:
        addresses = dict(entry.split(", ", 1) for entry in metadata("skmax").get_all("Project-URL") or [])
    except PackageNotFoundError:  # used from a folder, without being installed
        return ""
    site = addresses.get("Documentation")
    return f"{site.rstrip('/')}/api/{{estimator_module}}.{{estimator_name}}.html" if site else ""


class Monitor:
    """Reports a fit and its steps to the callbacks of an estimator. Without callbacks, it does nothing.

    Parameters
    ----------
    estimator : estimator
        An estimator with `CallbackSupportMixin`, inside a method decorated with `with_callbacks`.
    X, y, metadata
        The data of the fit, as the user passed it; None stands for metadata that was not passed.
    n_steps : int
        The maximum number of steps.
    """

    def __init__(self, estimator: Any, X: Any, y: Any, metadata: dict[str, Any], n_steps: int) -> None:
        self.has_callbacks = bool(getattr(estimator, "_skl_callbacks", None))
        if self.has_callbacks:
            passed = {name: value for name, value in metadata.items() if value is not None}
            self._what = {"estimator": estimator, "X": X, "y": y, "metadata": passed or None}
            self._root = estimator._init_callback_context(max_subtasks=n_steps)
            self._root.call_on_fit_task_begin(**self._what)

    def step(self, name: str, attributes: Callable[[], dict[str, Any]] | None = None) -> bool:
        """Report the end of a step, with the fitted `attributes`. Return True if a callback stops the fit."""
        if not self.has_callbacks:
            return False
        context = self._root.subcontext(task_name=name)
        context.call_on_fit_task_begin(**self._what)
        return bool(context.call_on_fit_task_end(**self._what, reconstruction_attributes=attributes))

    def part(self, name: str, n_steps: int) -> "Monitor":
        """Report the beginning of a step that has its own steps, and return the monitor for these and for its end."""
        part = copy.copy(self)
        if self.has_callbacks:
            part._root = self._root.subcontext(task_name=name, max_subtasks=n_steps)
            part._root.call_on_fit_task_begin(**self._what)
        return part

    def end(self, attributes: dict[str, Any] | None = None) -> None:
        """Report the end of the fit, with the fitted `attributes`, or of a part of it."""
        if self.has_callbacks:
            self._root.call_on_fit_task_end(**self._what, reconstruction_attributes=attributes)
