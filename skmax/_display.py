"""Pictures, to scikit-learn's contract for displays. Matplotlib is imported where something is drawn."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils.validation import check_is_fitted

from skmax._cv import SoftmaxRegressionCV
from skmax._estimator import MatrixLike
from skmax._rows import Float64Array
from skmax._scorer import neg_cross_entropy_scorer

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def _axes(ax: Any, n_axes: int = 1) -> list["Axes"]:
    """The axes given, or those of a new figure, one below the other."""
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError("To draw, skmax needs Matplotlib: pip install matplotlib.") from error
    if ax is None:
        size = plt.rcParams["figure.figsize"]
        _, ax = plt.subplots(n_axes, sharex=True, figsize=(size[0], size[1] * (n_axes + 1) / 2), layout="constrained")
    axes = list(np.atleast_1d(ax).ravel())
    if len(axes) != n_axes:
        raise ValueError(f"ax must be {n_axes} axes for what there is to draw; got {len(axes)}.")
    return axes


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
        What the vertical axis is called. The sign of "log loss" is turned: less is better.
    coefficients : ndarray of shape (n_weight_decays, n_lines, n_features), default=None
        The coefficients along the path, in logits for a standard deviation of their column.
    classes : sequence of length n_lines, default=None
        The classes of the coefficients.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Where the scores are drawn.
    coefficient_ax_ : matplotlib Axes
        Where the coefficients are drawn, if they are.
    figure_ : matplotlib Figure
        The figure of `ax_`.
    line_ : matplotlib Line2D
        The mean scores.
    band_ : matplotlib PolyCollection
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
        self,
        *,
        weight_decays: Float64Array,
        scores: Float64Array,
        weight_decay: float,
        score_name: str = "score",
        coefficients: Float64Array | None = None,
        classes: Sequence[Any] | None = None,
    ) -> None:
        self.weight_decays = weight_decays
        self.scores = scores
        self.weight_decay = weight_decay
        self.score_name = score_name
        self.coefficients = coefficients
        self.classes = classes

    @classmethod
    def from_estimator(
        cls,
        estimator: SoftmaxRegressionCV,
        X: MatrixLike = None,
        y: ArrayLike | None = None,
        *,
        sample_weight: ArrayLike | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> "PathDisplay":
        """Draw the path of a fitted estimator.

        Parameters
        ----------
        estimator : SoftmaxRegressionCV
            Fitted.
        X : {array-like, sparse matrix} of shape (n_samples, n_features), default=None
            The data that it was fitted to: its coefficients along the path are then fitted and drawn too, below.
        y : array-like of shape (n_samples,) or (n_samples, n_classes), default=None
            Labels or distributions, with `X`.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights, with `X`.
        ax : matplotlib Axes, or two of them with `X`, default=None
            Where to draw; None is a new figure.
        **kwargs : dict
            Passed to :meth:`matplotlib.axes.Axes.plot` for the line of the scores.

        Returns
        -------
        display : PathDisplay

        Raises
        ------
        TypeError
            If `estimator` has no path of scores.
        """
        if not isinstance(estimator, SoftmaxRegressionCV):
            raise TypeError(f"estimator must be a fitted SoftmaxRegressionCV; got {type(estimator).__name__}.")
        check_is_fitted(estimator)
        scoring, coefficients, classes = estimator.scoring, None, None
        is_log_loss = scoring in ("neg_log_loss", neg_cross_entropy_scorer)
        name = "log loss" if is_log_loss else "accuracy" if scoring is None else str(scoring)
        if X is not None and y is not None:
            path, scale = estimator._path_on_all_rows(X, y, sample_weight)
            coefficients = np.array([model.coef_ * scale for model in path])
            classes = estimator.classes_[-coefficients.shape[1] :].tolist()
        display = cls(
            weight_decays=estimator.weight_decays_,
            scores=estimator.scores_,
            weight_decay=estimator.weight_decay_,
            score_name=name,
            coefficients=coefficients,
            classes=classes,
        )
        return display.plot(ax=ax, **kwargs)

    def plot(self, ax: Any = None, **kwargs: Any) -> "PathDisplay":
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, or two of them with coefficients, default=None
            Where to draw; None is a new figure.
        **kwargs : dict
            Passed to :meth:`matplotlib.axes.Axes.plot` for the line of the scores.

        Returns
        -------
        self : PathDisplay
        """
        axes = _axes(ax, 1 if self.coefficients is None else 2)
        self.ax_ = axes[0]
        self.figure_ = self.ax_.figure
        scores = -self.scores if self.score_name == "log loss" else self.scores
        mean = scores.mean(axis=0)
        error = scores.std(axis=0) / np.sqrt(max(len(scores) - 1, 1))
        [self.line_] = self.ax_.plot(self.weight_decays, mean, **{"marker": "o", "markersize": 4, **kwargs})
        self.band_ = self.ax_.fill_between(
            self.weight_decays,
            mean - error,
            mean + error,
            color=self.line_.get_color(),
            alpha=0.2,
            linewidth=0,
            label="standard error",
        )
        self.ax_.set_ylabel(f"{self.score_name}, rows left out")
        if self.coefficients is not None:
            self._plot_coefficients(axes[1], np.moveaxis(self.coefficients, 0, 1))
        marks = [each.axvline(self.weight_decay, color="0.4", linestyle="--", linewidth=1) for each in axes]
        self.chosen_ = marks[0]
        self.chosen_.set_label(f"chosen: {self.weight_decay:.2g}")
        # A decay of 0 stands at the left end of a scale that is linear below the others.
        positive = self.weight_decays[self.weight_decays > 0]
        for each in axes:
            if len(positive) == len(self.weight_decays):
                each.set_xscale("log")
            else:
                each.set_xscale("symlog", linthresh=positive.min() if len(positive) else 1.0)
        axes[-1].set_xlabel("weight decay")
        self.ax_.legend()
        return self

    def _plot_coefficients(self, ax: "Axes", lines: Float64Array) -> None:
        from matplotlib.lines import Line2D

        self.coefficient_ax_ = ax
        colors = [f"C{k % 10}" for k in range(len(lines))]
        for of_class, color in zip(lines, colors, strict=True):
            ax.plot(self.weight_decays, of_class, color=color, linewidth=0.8, alpha=0.7)
        ax.set_ylabel("coefficient x standard deviation")
        if self.classes is not None and len(lines) <= 10:
            handles = [Line2D([], [], color=color) for color in colors]
            ax.legend(handles, self.classes, title="class", ncols=1 + (len(lines) > 5))
