"""ConvergenceDisplay: the gap over the iterations of a fit."""

from dataclasses import dataclass
from typing import Any

from sklearn.pipeline import Pipeline

from skmax._base import BaseSoftmaxRegression
from skmax._display.axes import Axes, axes_for
from skmax._pipeline import last_step
from skmax._samples import Float64Array


@dataclass(kw_only=True, eq=False, repr=False)
class ConvergenceDisplay:
    """The estimated distance of the objective from its minimum, over the iterations of a fit.

    Several fits may share one picture: pass the `ax_` of the first to the others.

    Parameters
    ----------
    gap_curve : ndarray of shape (n_iter + 1,)
        The objective at the start and after each iteration, less its estimated minimum.
    name : str, default=None
        The name of the fit in the legend.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The axes of the plot.
    figure_ : matplotlib Figure
        The figure of `ax_`.
    line_ : matplotlib Line2D
        The distances.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skmax import ConvergenceDisplay, SoftmaxRegression
    >>> X, y = load_iris(return_X_y=True)
    >>> display = ConvergenceDisplay.from_estimator(SoftmaxRegression().fit(X, y))
    >>> display = ConvergenceDisplay.from_estimator(SoftmaxRegression(1e-4).fit(X, y), ax=display.ax_, name="1e-4")
    """

    gap_curve: Float64Array
    name: str | None = None

    @classmethod
    def from_estimator(
        cls,
        estimator: BaseSoftmaxRegression | Pipeline,
        *,
        name: str | None = None,
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> "ConvergenceDisplay":
        """Draw the convergence of a fitted estimator.

        Parameters
        ----------
        estimator : SoftmaxRegression, SoftmaxRegressionCV, DaskSoftmaxRegression or Pipeline
            A fitted estimator, or a pipeline that ends in one.
        name : str, default=None
            The name of the fit in the legend; None is the name of the estimator's class.
        ax : matplotlib Axes, default=None
            The axes to draw on; None is a new figure.
        **kwargs : dict
            Passed to :meth:`matplotlib.axes.Axes.plot`.

        Returns
        -------
        display : ConvergenceDisplay

        Raises
        ------
        TypeError
            If `estimator` is another one.
        """
        estimator, _, _ = last_step(estimator)
        minimum = estimator.objective_ - estimator.gap_
        name = type(estimator).__name__ if name is None else name
        return cls(gap_curve=estimator.loss_curve_ - minimum, name=name).plot(ax=ax, **kwargs)

    def plot(self, ax: Axes | None = None, *, name: str | None = None, **kwargs: Any) -> "ConvergenceDisplay":
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            The axes to draw on; None is a new figure.
        name : str, default=None
            A name to use instead of the display's own.
        **kwargs : dict
            Passed to :meth:`matplotlib.axes.Axes.plot`.

        Returns
        -------
        self : ConvergenceDisplay
        """
        [self.ax_] = axes_for(ax)
        self.figure_ = self.ax_.figure
        name = self.name if name is None else name
        [self.line_] = self.ax_.semilogy(self.gap_curve, **{"label": name, "marker": ".", **kwargs})
        self.ax_.set(xlabel="iteration", ylabel="estimated objective - minimum")
        if name is not None:
            self.ax_.legend()
        return self
