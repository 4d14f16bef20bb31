"""PathDisplay: the scores of a search, and the coefficients along its path."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.pipeline import Pipeline

from skmax._base import MatrixLike
from skmax._cv import SoftmaxRegressionCV
from skmax._display.axes import Axes, axes_for
from skmax._pipeline import last_step
from skmax._samples import Float64Array
from skmax._scorer import neg_cross_entropy_scorer


@dataclass(kw_only=True, eq=False, repr=False)
class PathDisplay:
    """The mean score of :class:`SoftmaxRegressionCV` against the weight decay, with its standard error.

    Parameters
    ----------
    weight_decays : ndarray of shape (n_weight_decays,)
        The weight decays.
    scores : ndarray of shape (n_folds, n_weight_decays)
        The score of each fold.
    weight_decay : float
        The chosen weight decay.
    score_name : str, default="score"
        The label of the vertical axis. For "log loss", the sign of the scores is reversed, so that less is better.
    coefficients : ndarray of shape (n_weight_decays, n_lines, n_features), default=None
        The coefficients along the path, in logits per standard deviation of their column.
    classes : sequence of length n_lines, default=None
        The classes of the coefficients.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The axes of the scores.
    coefficient_ax_ : matplotlib Axes
        The axes of the coefficients, if they are drawn.
    figure_ : matplotlib Figure
        The figure of `ax_`.
    line_ : matplotlib Line2D
        The mean scores.
    band_ : matplotlib PolyCollection
        The band of one standard error on either side of the mean.
    chosen_ : matplotlib Line2D
        The line that marks the chosen weight decay.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skmax import PathDisplay, SoftmaxRegressionCV
    >>> X, y = load_iris(return_X_y=True)
    >>> display = PathDisplay.from_estimator(SoftmaxRegressionCV().fit(X, y))
    >>> display.ax_.get_xscale()
    'log'
    """

    weight_decays: Float64Array
    scores: Float64Array
    weight_decay: float
    score_name: str = "score"
    coefficients: Float64Array | None = None
    classes: Sequence[Any] | None = None

    @classmethod
    def from_estimator(
        cls,
        estimator: SoftmaxRegressionCV | Pipeline,
        X: MatrixLike = None,
        y: ArrayLike | None = None,
        *,
        sample_weight: ArrayLike | None = None,
        offset: ArrayLike | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> "PathDisplay":
        """Draw the path of a fitted estimator.

        Parameters
        ----------
        estimator : SoftmaxRegressionCV or Pipeline
            A fitted estimator, or a pipeline that ends in one.
        X : {array-like, sparse matrix} of shape (n_samples, n_features), default=None
            The training data, of the pipeline if `estimator` is one. If they are passed, the coefficients along the
            path are fitted again, and drawn below the scores.
        y : array-like of shape (n_samples,) or (n_samples, n_classes), default=None
            Labels or distributions, with `X`.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights, with `X`.
        offset : array-like of shape (n_samples,) or (n_samples, n_classes), default=None
            Offsets, with `X`.
        ax : matplotlib Axes, or two of them with `X`, default=None
            The axes to draw on; None is a new figure.
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
        estimator, X, _ = last_step(estimator, X, SoftmaxRegressionCV)
        scoring, coefficients, classes = estimator.scoring, None, None
        is_log_loss = scoring in ("neg_log_loss", neg_cross_entropy_scorer)
        name = "log loss" if is_log_loss else "accuracy" if scoring is None else str(scoring)
        if X is not None and y is not None:
            path, scale = estimator._path_on_all_rows(X, y, sample_weight, offset)
            coefficients = np.array([fit.coef * scale for fit in path])
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
            The axes to draw on; None is a new figure.
        **kwargs : dict
            Passed to :meth:`matplotlib.axes.Axes.plot` for the line of the scores.

        Returns
        -------
        self : PathDisplay
        """
        axes = axes_for(ax, 1 if self.coefficients is None else 2)
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
        # To show a decay of 0, the scale is linear below the smallest positive one.
        positive = self.weight_decays[self.weight_decays > 0]
        for each in axes:
            if len(positive) == len(self.weight_decays):
                each.set_xscale("log")
            else:
                each.set_xscale("symlog", linthresh=positive.min() if len(positive) else 1.0)
        axes[-1].set_xlabel("weight decay")
        self.ax_.legend()
        return self

    def _plot_coefficients(self, ax: Axes, lines: Float64Array) -> None:
        from matplotlib.lines import Line2D

        self.coefficient_ax_ = ax
        colors = [f"C{k % 10}" for k in range(len(lines))]
        for of_class, color in zip(lines, colors, strict=True):
            ax.plot(self.weight_decays, of_class, color=color, linewidth=0.8, alpha=0.7)
        ax.set_ylabel("coefficient x standard deviation")
        if self.classes is not None and len(lines) <= 10:
            handles = [Line2D([], [], color=color) for color in colors]
            ax.legend(handles, self.classes, title="class", ncols=1 + (len(lines) > 5))
