"""CoefficientDisplay: the coefficients of a model with their intervals."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from skmax._base import MatrixLike
from skmax._columns import ColumnStats
from skmax._display.axes import Axes, axes_for
from skmax._samples import Float64Array
from skmax.inference._covariance import contrasts, errors_of
from skmax.inference._fitted import Kind, fitted
from skmax.inference._tables import quantile

# The number of features that are drawn if none are chosen.
_MOST_FEATURES = 10


@dataclass(kw_only=True, eq=False, repr=False)
class CoefficientDisplay:
    """The coefficients of each class with their intervals, in logits per standard deviation of their feature.

    An interval that contains 0 is drawn paler: the data do not tell the sign.

    Parameters
    ----------
    coef, lower, upper : ndarray of shape (n_lines, n_features)
        The coefficients of each class, times the standard deviation of the feature, and the ends of their intervals.
    features : sequence of length n_features
        The names of the features.
    classes : sequence of length n_lines
        The names of the classes.
    interval : str, default="interval"
        What kind of interval it is, for the label of the axis.
    reference : label, default=None
        The class that the coefficients are differences from, if any.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The axes of the plot.
    figure_ : matplotlib Figure
        The figure of `ax_`.
    bars_ : list of matplotlib ErrorbarContainer
        The coefficients and intervals of each class.

    See Also
    --------
    skmax.inference.coef_table : The same as a table.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skmax import CoefficientDisplay, SoftmaxRegression
    >>> X, y = load_iris(return_X_y=True, as_frame=True)
    >>> display = CoefficientDisplay.from_estimator(SoftmaxRegression().fit(X, y), X, y)
    >>> display.interval
    '95 % credible interval'
    """

    coef: Float64Array
    lower: Float64Array
    upper: Float64Array
    features: Sequence[Any]
    classes: Sequence[Any]
    interval: str = "interval"
    reference: Any = None

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: MatrixLike,
        y: ArrayLike,
        *,
        sample_weight: ArrayLike | None = None,
        offset: ArrayLike | None = None,
        features: Sequence[Any] | None = None,
        kind: Kind = "model",
        groups: ArrayLike | None = None,
        reference: Any = None,
        level: float = 0.95,
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> "CoefficientDisplay":
        """Draw the coefficients of a fitted model.

        Parameters
        ----------
        estimator, X, y, sample_weight, offset, kind, groups, reference
            The fitted model and the data of its fit, as for :func:`skmax.inference.covariance_matrix`.
        features : sequence of str or int, default=None
            The features to draw, by name or index; None is all of them or, of more than 10, those with the
            largest coefficients in the picture.
        level : float, default=0.95
            The level of the intervals, between 0 and 1.
        ax : matplotlib Axes, default=None
            The axes to draw on; None is a new figure.
        **kwargs : dict
            Passed to :meth:`matplotlib.axes.Axes.errorbar`.

        Returns
        -------
        display : CoefficientDisplay

        Raises
        ------
        ValueError, TypeError
            As :func:`skmax.inference.covariance_matrix` does; and if there are no intervals, with a `kind` other than
            "model" under a weight decay that is not negligible.
        """
        reach = quantile(level)
        with fitted(estimator, X, y, sample_weight, offset) as fit:
            fit.check_intervals(kind)
            difference, labels = contrasts(fit, reference)
            n_features = fit.objective.n_features
            scale = ColumnStats.of(fit.objective.samples, centred=True).scale
            coef = (difference @ fit.table)[:, :n_features] * scale
            error = errors_of(fit, fit.covariance(kind, groups), difference)[:, :n_features] * scale
            if features is None:
                chosen = np.sort(np.argsort(-np.abs(coef).max(axis=0), kind="stable")[:_MOST_FEATURES])
            else:
                chosen = np.array([fit.column(feature) for feature in features], dtype=np.intp)
            if fit.n_logits == 1 and reference is None:
                reference = fit.classes[0]
            word, names = "confidence" if fit.penalty_is_negligible else "credible", fit.names[chosen].tolist()
        coef, error = coef[:, chosen], error[:, chosen]
        display = cls(
            coef=coef,
            lower=coef - reach * error,
            upper=coef + reach * error,
            features=names,
            classes=labels.tolist(),
            interval=f"{100 * level:g} % {word} interval",
            reference=reference,
        )
        return display.plot(ax=ax, **kwargs)

    def plot(self, ax: Axes | None = None, **kwargs: Any) -> "CoefficientDisplay":
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            The axes to draw on; None is a new figure.
        **kwargs : dict
            Passed to :meth:`matplotlib.axes.Axes.errorbar`.

        Returns
        -------
        self : CoefficientDisplay
        """
        n_classes, n_features = self.coef.shape
        # A band for each feature has room for a line of each class.
        height = 1.2 + n_features * (0.25 + 0.13 * n_classes)
        [self.ax_] = axes_for(ax, across=True, figsize=(6.0, height))
        self.figure_ = self.ax_.figure
        for j in range(0, n_features, 2):
            self.ax_.axhspan(j - 0.5, j + 0.5, color="0.95", linewidth=0, zorder=0)
        self.ax_.axvline(0, color="0.3", linewidth=0.8, zorder=1)
        place = np.arange(n_features)
        self.bars_ = []
        for k in range(n_classes):
            offset = 0.8 * (k - (n_classes - 1) / 2) / n_classes
            reach = np.maximum([self.coef[k] - self.lower[k], self.upper[k] - self.coef[k]], 0)
            style = {
                "linestyle": "none",
                "marker": "o",
                "markersize": 4,
                "elinewidth": 1.5,
                "color": f"C{k % 10}",
                "label": str(self.classes[k]),
            }
            self.bars_.append(self.ax_.errorbar(self.coef[k], place + offset, xerr=reach, **{**style, **kwargs}))
            _, _, [lines] = self.bars_[-1].lines
            lines.set_alpha(
                [0.35 if low <= 0 <= up else 1.0 for low, up in zip(self.lower[k], self.upper[k], strict=True)]
            )
        self.ax_.set_yticks(place, [str(name) for name in self.features])
        self.ax_.set_ylim(n_features - 0.5, -0.5)
        self.ax_.set_xlabel(f"coefficient x standard deviation\nwith {self.interval}")
        title = "class" if self.reference is None else f"class,\nagainst {self.reference}"
        self.ax_.legend(title=title, loc="upper left", bbox_to_anchor=(1.01, 1))
        return self
