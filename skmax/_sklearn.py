"""What this package takes from scikit-learn beyond its public, stable interface; nothing else reaches for it.

`Interval` and `StrOptions` state the constraints on parameters. They are private, but scikit-learn offers no public
way to state them, and many estimators outside scikit-learn use them.

Callbacks are public from scikit-learn 1.9 on, and experimental. Earlier versions get stand-ins that do nothing.
"""

import copy
from collections.abc import Callable
from typing import Any

from sklearn.utils._param_validation import Interval, StrOptions

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


__all__ = ["CALLER", "CallbackSupportMixin", "Interval", "Monitor", "StrOptions", "with_callbacks"]


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
        """Report the end of a step, with the fitted `attributes`. True if a callback asks the fit to stop."""
        if not self.has_callbacks:
            return False
        context = self._root.subcontext(task_name=name)
        context.call_on_fit_task_begin(**self._what)
        return bool(context.call_on_fit_task_end(**self._what, reconstruction_attributes=attributes))

    def part(self, name: str, n_steps: int) -> "Monitor":
        """Report the begin of a step that has steps of its own; its `end` is that of the monitor that is returned."""
        part = copy.copy(self)
        if self.has_callbacks:
            part._root = self._root.subcontext(task_name=name, max_subtasks=n_steps)
            part._root.call_on_fit_task_begin(**self._what)
        return part

    def end(self, attributes: dict[str, Any] | None = None) -> None:
        """Report the end of the fit, with the fitted `attributes`, or of a part of it."""
        if self.has_callbacks:
            self._root.call_on_fit_task_end(**self._what, reconstruction_attributes=attributes)
