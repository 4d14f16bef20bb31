"""SoftmaxDisplay: the logits of one sample and their softmax."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils.validation import check_is_fitted

from skmax._arrays import as_numpy
from skmax._base import MatrixLike
from skmax._display.axes import axes_for
from skmax._samples import Float64Array
from skmax._softmax import softmax

# The number of bars that can still be read.
_MOST_BARS = 30


@dataclass(kw_only=True, eq=False, repr=False)
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

    raw_prediction: Float64Array
    classes: Sequence[Any] | None = None

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
        logits = as_numpy(estimator.decision_function(X, **({} if offset is None else {"offset": offset})))
        if len(logits) != 1:
            raise ValueError(f"X must be a single sample, of shape (1, n_features); got {len(logits)} samples.")
        # Of two classes, the first has logit 0; if the second one is certain, the second has.
        logits = logits[0] if logits.ndim == 2 else np.array([-np.inf, 0] if logits[0] == np.inf else [0, logits[0]])
        return cls(raw_prediction=logits, classes=as_numpy(estimator.classes_).tolist()).plot(ax=ax)

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
        self.ax_ = np.array(axes_for(ax, 2, across=True, figsize=(6.0, height)))
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
