"""Plots that follow scikit-learn's conventions for displays. Matplotlib is imported only where something is drawn."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils.validation import check_is_fitted

from skmax._base import BaseSoftmaxRegression, MatrixLike
from skmax._cv import SoftmaxRegressionCV
from skmax._samples import Float64Array
from skmax._scorer import neg_cross_entropy_scorer
from skmax._softmax import softmax

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# The number of bars that can still be read.
_MOST_BARS = 30


def _axes(ax: Any, n_axes: int = 1, *, across: bool = False, **options: Any) -> list["Axes"]:
    """The given axes, or those of a new figure: one below the other or, with `across`, side by side."""
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError("To draw, skmax needs Matplotlib: pip install matplotlib.") from error
    if ax is None:
        width, height = plt.rcParams["figure.figsize"]
        options.setdefault("figsize", (width, height if across else height * (n_axes + 1) / 2))
        shape = (1, n_axes) if across else (n_axes, 1)
        _, ax = plt.subplots(*shape, sharex=not across, sharey=across, layout="constrained", **options)
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
        offset: ArrayLike | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> "PathDisplay":
        """Draw the path of a fitted estimator.

        Parameters
        ----------
        estimator : SoftmaxRegressionCV
            A fitted estimator.
        X : {array-like, sparse matrix} of shape (n_samples, n_features), default=None
            The training data. If it is passed, the coefficients along the path are fitted again, and drawn below.
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
        if not isinstance(estimator, SoftmaxRegressionCV):
            raise TypeError(f"estimator must be a fitted SoftmaxRegressionCV; got {type(estimator).__name__}.")
        check_is_fitted(estimator)
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

    def __init__(self, *, gap_curve: Float64Array, name: str | None = None) -> None:
        self.gap_curve = gap_curve
        self.name = name

    @classmethod
    def from_estimator(
        cls, estimator: BaseSoftmaxRegression, *, name: str | None = None, ax: "Axes | None" = None, **kwargs: Any
    ) -> "ConvergenceDisplay":
        """Draw the convergence of a fitted estimator.

        Parameters
        ----------
        estimator : SoftmaxRegression, SoftmaxRegressionCV or DaskSoftmaxRegression
            A fitted estimator.
        name : str, default=None
            The name of the fit in the legend; None is the name of the estimator's class.
        ax : matplotlib Axes, default=None
            The axes to draw on; None is a new figure.
        **kwargs : dict
            Passed to :meth:`matplotlib.axes.Axes.plot`.

        Returns
        -------
        display : ConvergenceDisplay
        """
        check_is_fitted(estimator)
        minimum = estimator.objective_ - estimator.gap_
        name = type(estimator).__name__ if name is None else name
        return cls(gap_curve=estimator.loss_curve_ - minimum, name=name).plot(ax=ax, **kwargs)

    def plot(self, ax: "Axes | None" = None, *, name: str | None = None, **kwargs: Any) -> "ConvergenceDisplay":
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
        [self.ax_] = _axes(ax)
        self.figure_ = self.ax_.figure
        name = self.name if name is None else name
        [self.line_] = self.ax_.semilogy(self.gap_curve, **{"label": name, "marker": ".", **kwargs})
        self.ax_.set(xlabel="iteration", ylabel="estimated objective - minimum")
        if name is not None:
            self.ax_.legend()
        return self


class SoftmaxDisplay:
    """The logits of one sample and, beside them, their softmax, with a bar for each class.

    Parameters
    ----------
    raw_prediction : ndarray of shape (n_classes,)
        The logits.
    classes : sequence of length n_classes, default=None
        The names of the classes; None numbers them.

    Attributes
    ----------
    ax_ : ndarray of two matplotlib Axes
        The axes of the logits and of the probabilities.
    figure_ : matplotlib Figure
        The figure of `ax_`.
    bars_ : tuple of two matplotlib BarContainer
        The bars of the logits and of the probabilities.

    Notes
    -----
    Of more than 30 classes, only the 30 most probable are drawn, the most probable first.

    Examples
    --------
    >>> from skmax import SoftmaxDisplay
    >>> display = SoftmaxDisplay.from_predictions([2.0, 3.0, 4.0], classes=["cat", "dog", "horse"])
    >>> [round(float(bar.get_width()), 2) for bar in display.bars_[1]]
    [0.09, 0.24, 0.67]
    """

    def __init__(self, *, raw_prediction: Float64Array, classes: Sequence[Any] | None = None) -> None:
        self.raw_prediction = raw_prediction
        self.classes = classes

    @classmethod
    def from_estimator(
        cls, estimator: Any, X: MatrixLike, *, offset: ArrayLike | None = None, ax: Any = None
    ) -> "SoftmaxDisplay":
        """Draw the prediction of a fitted classifier for one sample.

        Parameters
        ----------
        estimator : classifier
            A fitted classifier with `decision_function`, which may be a pipeline.
        X : {array-like, sparse matrix} of shape (1, n_features)
            The sample.
        offset : array-like of shape (1,) or (1, n_classes), default=None
            Its offset, if the classifier was fitted with offsets.
        ax : sequence of two matplotlib Axes, default=None
            The axes to draw on; None is a new figure.

        Returns
        -------
        display : SoftmaxDisplay

        Raises
        ------
        ValueError
            If `X` is not a single sample.
        """
        check_is_fitted(estimator)
        logits = np.asarray(estimator.decision_function(X, **({} if offset is None else {"offset": offset})))
        if len(logits) != 1:
            raise ValueError(f"X must be a single sample, of shape (1, n_features); got {len(logits)} samples.")
        # Of two classes, the first has logit 0; if the second one is certain, the second has.
        logits = logits[0] if logits.ndim == 2 else np.array([-np.inf, 0] if logits[0] == np.inf else [0, logits[0]])
        return cls(raw_prediction=logits, classes=estimator.classes_.tolist()).plot(ax=ax)

    @classmethod
    def from_predictions(
        cls, raw_prediction: ArrayLike, *, classes: Sequence[Any] | None = None, ax: Any = None
    ) -> "SoftmaxDisplay":
        """Draw logits.

        Parameters
        ----------
        raw_prediction : array-like of shape (n_classes,)
            The logits.
        classes : sequence of length n_classes, default=None
            Names of the classes; None numbers them.
        ax : sequence of two matplotlib Axes, default=None
            The axes to draw on; None is a new figure.

        Returns
        -------
        display : SoftmaxDisplay

        Raises
        ------
        ValueError
            If there are not as many `classes` as logits, or the logits are not one-dimensional.
        """
        logits = np.asarray(raw_prediction, dtype=np.float64)
        if logits.ndim != 1 or (classes is not None and len(classes) != len(logits)):
            raise ValueError(
                "raw_prediction must be one-dimensional, with a logit for each of the classes; got shape "
                f"{logits.shape}" + ("." if classes is None else f" for {len(classes)} classes.")
            )
        return cls(raw_prediction=logits, classes=classes).plot(ax=ax)

    def plot(self, ax: Any = None) -> "SoftmaxDisplay":
        """Draw.

        Parameters
        ----------
        ax : sequence of two matplotlib Axes, default=None
            The axes to draw on; None is a new figure.

        Returns
        -------
        self : SoftmaxDisplay
        """
        logits, probability = self.raw_prediction, softmax(self.raw_prediction)
        names = [str(name) for name in (range(len(logits)) if self.classes is None else self.classes)]
        shown = np.arange(len(logits))
        if len(logits) > _MOST_BARS:
            shown = np.argsort(-probability, kind="stable")[:_MOST_BARS]
        height = 1.2 + 0.28 * max(len(shown), 6)
        self.ax_ = np.array(_axes(ax, 2, across=True, figsize=(7.5, height)))
        self.figure_ = self.ax_[0].figure
        place = np.arange(len(shown))
        # A class without weight in the training data has a logit of minus infinity, and gets no bar.
        finite = np.where(np.isfinite(logits), logits, 0)
        self.bars_ = tuple(
            each.barh(place, values[shown], color=color)
            for each, values, color in zip(self.ax_, (finite, probability), ("C0", "C1"), strict=True)
        )
        left, right = self.ax_
        left.axvline(0, color="0.3", linewidth=0.8)
        left.set_yticks(place, [names[k] for k in shown])
        left.invert_yaxis()
        if not right.get_shared_y_axes().joined(left, right):
            right.set_yticks(place, [])
            right.invert_yaxis()
        left.set(
            xlabel="logit", ylabel="class" if len(shown) == len(logits) else f"{len(shown)} of {len(logits)} classes"
        )
        right.set(xlabel="probability", xlim=(0, 1.12))
        for k, p in zip(place, probability[shown], strict=True):
            right.text(p + 0.015, k, f"{p:.2f}" if p >= 0.005 else "0.00", va="center", fontsize="small")
        return self
