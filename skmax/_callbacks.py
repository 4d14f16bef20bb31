"""scikit-learn's callbacks: what a fit tells them. Where none are set, nothing is done."""

from collections.abc import Callable
from typing import Any

try:
    from sklearn.callback import CallbackSupportMixin, with_callbacks

    # The `stacklevel` with which a warning names the line that called a method under `with_callbacks`.
    CALLER = 3
except ImportError:  # scikit-learn before 1.9 has no callbacks
    CALLER = 2

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Nothing to support."""

    def with_callbacks(method: Callable[..., Any]) -> Callable[..., Any]:
        """`method` as it is."""
        return method


__all__ = ["CALLER", "CallbackSupportMixin", "Monitor", "with_callbacks"]


class Monitor:
    """Tells the callbacks of an estimator of a fit and its steps.

    Parameters
    ----------
    estimator : estimator
        With the mixin, in a method decorated by `with_callbacks`.
    X, y, sample_weight
        What it is fitted to.
    n_steps : int
        At most so many.
    """

    def __init__(self, estimator: Any, X: Any, y: Any, sample_weight: Any, n_steps: int) -> None:
        metadata = None if sample_weight is None else {"sample_weight": sample_weight}
        self._what = {"estimator": estimator, "X": X, "y": y, "metadata": metadata}
        self._root = estimator._init_callback_context(max_subtasks=n_steps)
        self._root.call_on_fit_task_begin(**self._what)

    @classmethod
    def of(cls, estimator: Any, X: Any, y: Any, sample_weight: Any, n_steps: int) -> "Monitor | None":
        """None where there is nobody to tell."""
        return cls(estimator, X, y, sample_weight, n_steps) if getattr(estimator, "_skl_callbacks", None) else None

    def step(self, name: str, attributes: Callable[[], dict[str, Any]] | None = None) -> bool:
        """A step has ended, with these fitted `attributes`. True if a callback wants the fit to stop."""
        context = self._root.subcontext(task_name=name)
        context.call_on_fit_task_begin(**self._what)
        return bool(context.call_on_fit_task_end(**self._what, reconstruction_attributes=attributes))

    def end(self, attributes: dict[str, Any]) -> None:
        """The fit has ended."""
        self._root.call_on_fit_task_end(**self._what, reconstruction_attributes=attributes)
