"""Pictures, to scikit-learn's contract for displays. Matplotlib is imported where something is drawn."""

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from skmax._rows import Float64Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from skmax._cv import SoftmaxRegressionCV


def _axes(ax: "Axes | None") -> "Axes":
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError("To draw, skmax needs Matplotlib: pip install matplotlib.") from error
    return ax if ax is not None else plt.subplots(layout="constrained")[1]


class PathDisplay:
    """The mean score of :class:`SoftmaxRegressionCV` against the weight decay, with its standard error.

    Parameters
    ----------
    weight_decays : ndarray of shape (n_weight_decays,)
        The weight decays.
    scores : ndarray of shape (n_folds, n_weight_decays)
        The score of each fold.
    weight_decay : float
        The chosen one.
    score_name : str, default="score"
        What the vertical axis is called.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Where it is drawn.
    figure_ : matplotlib Figure
        The figure of `ax_`.
    line_ : matplotlib Line2D
        The mean scores.
    band_ : matplotlib FillBetweenPolyCollection
        One standard error to each side.
    chosen_ : matplotlib Line2D
        The mark of the chosen weight decay.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skmax import PathDisplay, SoftmaxRegressionCV
    >>> X, y = load_iris(return_X_y=True)
    >>> display = PathDisplay.from_estimator(SoftmaxRegressionCV().fit(X, y))
    >>> display.ax_.get_xscale()
    'log'
    """

    def __init__(
        self, *, weight_decays: Float64Array, scores: Float64Array, weight_decay: float, score_name: str = "score"
    ) -> None:
        self.weight_decays = weight_decays
        self.scores = scores
        self.weight_decay = weight_decay
        self.score_name = score_name

    @classmethod
    def from_estimator(
        cls, estimator: "SoftmaxRegressionCV", *, ax: "Axes | None" = None, **kwargs: Any
    ) -> "PathDisplay":
        """Draw the path of a fitted estimator.

        Parameters
        ----------
        estimator : SoftmaxRegressionCV
            Fitted.
        ax : matplotlib Axes, default=None
            Where to draw; None is a new figure.
        **kwargs : dict
            Passed to :meth:`matplotlib.axes.Axes.plot` for the line.

        Returns
        -------
        display : PathDisplay

        Raises
        ------
        TypeError
            If `estimator` has no path of scores.
        """
        check_is_fitted(estimator)
        if not hasattr(estimator, "weight_decays_"):
            raise TypeError(f"estimator must be a fitted SoftmaxRegressionCV; got {type(estimator).__name__}.")
        scoring = estimator.scoring
        name = "accuracy" if scoring is None else scoring if isinstance(scoring, str) else "score"
        display = cls(
            weight_decays=estimator.weight_decays_,
            scores=estimator.scores_,
            weight_decay=estimator.weight_decay_,
            score_name="log loss" if name == "neg_log_loss" else name,
        )
        return display.plot(ax=ax, **kwargs)

    def plot(self, ax: "Axes | None" = None, **kwargs: Any) -> "PathDisplay":
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None is a new figure.
        **kwargs : dict
            Passed to :meth:`matplotlib.axes.Axes.plot` for the line.

        Returns
        -------
        self : PathDisplay
        """
        self.ax_ = _axes(ax)
        self.figure_ = self.ax_.figure
        # The loss, as people read it, and not minus the loss.
        scores = -self.scores if self.score_name == "log loss" else self.scores
        mean = scores.mean(axis=0)
        error = scores.std(axis=0) / np.sqrt(max(len(scores) - 1, 1))
        [self.line_] = self.ax_.plot(self.weight_decays, mean, **{"marker": "o", "markersize": 4, **kwargs})
        color = self.line_.get_color()
        self.band_ = self.ax_.fill_between(
            self.weight_decays, mean - error, mean + error, color=color, alpha=0.2, linewidth=0, label="standard error"
        )
        self.chosen_ = self.ax_.axvline(
            self.weight_decay, color="0.4", linestyle="--", linewidth=1, label=f"chosen: {self.weight_decay:.2g}"
        )
        # A decay of 0 stands at the left end of a scale that is linear below the others.
        positive = self.weight_decays[self.weight_decays > 0]
        if len(positive) == len(self.weight_decays):
            self.ax_.set_xscale("log")
        else:
            self.ax_.set_xscale("symlog", linthresh=positive.min() if len(positive) else 1.0)
        self.ax_.set(xlabel="weight decay", ylabel=f"{self.score_name} on rows left out")
        self.ax_.legend()
        return self
