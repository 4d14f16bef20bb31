"""Tests of hypotheses, and how well a model fits."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from skmax._arrays import to_numpy
from skmax._base import MatrixLike
from skmax._samples import Float64Array
from skmax.inference._covariance import in_user_columns
from skmax.inference._fitted import Fitted, Kind, fitted

# The share of the largest below which a singular value of the contrasts, each of unit variance, counts as zero.
_DEPENDENT = 1e-8
# What rounding may leave of a number that is 0, relative to what it is a difference of.
_ROUNDING = 1e-9


@dataclass(frozen=True)
class HypothesisTest:
    """A statistic that has a chi-squared distribution under the hypothesis, in large samples.

    Attributes
    ----------
    statistic : float
    df : int
        The degrees of freedom: the number of independent restrictions.
    p_value : float
        The probability of a statistic as large, or larger, under the hypothesis.
    """

    statistic: float
    df: int
    p_value: float

    @classmethod
    def of(cls, statistic: float, df: int) -> "HypothesisTest":
        """The test of a statistic that is chi-squared with `df` degrees of freedom."""
        return cls(float(statistic), int(df), float(special.chdtrc(df, statistic)))


@dataclass(frozen=True)
class GoodnessOfFit:
    """How well a model fits the data that it was fitted to, and what its parameters cost.

    Attributes
    ----------
    log_likelihood : float
        The sum of s_i <y_i, log p_i>, in nats, with the sample weights as frequencies and without the penalty.
    null_log_likelihood : float
        The same for the class frequencies, the model of intercepts alone, without offsets.
    n_observations : float
        The sum of the weights; the number of rows if there are none.
    effective_df : float
        The trace of H^-1 H_loss on the parameters that are not redundant, where H is the Hessian of the objective and
        H_loss that of the loss alone. Without penalty, the number of these parameters, (n_classes - 1) times those of a
        logit.
    aic, bic : float
        Akaike's and Schwarz's criteria, -2 log_likelihood + 2 effective_df, and with log(n_observations) in place of 2:
        less is better.
    pseudo_r2 : float
        McFadden's 1 - log_likelihood / null_log_likelihood.
    """

    log_likelihood: float
    null_log_likelihood: float
    n_observations: float
    effective_df: float
    aic: float
    bic: float
    pseudo_r2: float


def log_likelihood(
    model: Any,
    X: MatrixLike,
    y: ArrayLike,
    sample_weight: ArrayLike | None = None,
    *,
    offset: ArrayLike | None = None,
) -> float:
    """Log likelihood of a fitted model on the data of its fit.

    Parameters
    ----------
    model, X, y, sample_weight, offset
        As for :func:`covariance_matrix`.

    Returns
    -------
    log_likelihood : float
        The sum of s_i <y_i, log p_i>, in nats, with the sample weights as frequencies and without the penalty.

    Raises
    ------
    ValueError, TypeError
        As :func:`covariance_matrix` does.

    Examples
    --------
    >>> import numpy as np
    >>> from skmax import SoftmaxRegression
    >>> from skmax.inference import log_likelihood
    >>> X, y = np.repeat([[0.0], [1.0]], 50, axis=0), np.repeat([0, 1, 0, 1], [40, 10, 20, 30])
    >>> round(log_likelihood(SoftmaxRegression(weight_decay=0).fit(X, y), X, y), 3)
    -58.671
    """
    return goodness_of_fit(model, X, y, sample_weight, offset=offset).log_likelihood


def goodness_of_fit(
    model: Any,
    X: MatrixLike,
    y: ArrayLike,
    sample_weight: ArrayLike | None = None,
    *,
    offset: ArrayLike | None = None,
) -> GoodnessOfFit:
    """Log likelihood, effective degrees of freedom, AIC, BIC and McFadden's pseudo R^2 of a fitted model.

    Parameters
    ----------
    model, X, y, sample_weight, offset
        As for :func:`covariance_matrix`.

    Returns
    -------
    fit : GoodnessOfFit

    Raises
    ------
    ValueError, TypeError
        As :func:`covariance_matrix` does.

    Warns
    -----
    UserWarning
        If `class_weight` makes weights that are no frequencies, as they then have no likelihood.

    References
    ----------
    T. Hastie, R. Tibshirani and J. Friedman (2009). The Elements of Statistical Learning, 2nd edition. Springer.
    Sections 7.5 to 7.7. D. McFadden (1974). Conditional logit analysis of qualitative choice behavior. In: P. Zarembka
    (ed.), Frontiers in Econometrics. Academic Press.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skmax import SoftmaxRegression
    >>> from skmax.inference import goodness_of_fit
    >>> X, y = load_iris(return_X_y=True)
    >>> fit = goodness_of_fit(SoftmaxRegression().fit(X, y), X, y)
    >>> round(fit.log_likelihood, 2), round(fit.effective_df, 2)  # of 10 that are not redundant
    (-17.95, 5.84)
    """
    with fitted(model, X, y, sample_weight, offset, errors=False) as fit:
        fit.warn_of_class_weight("a likelihood")
        value = _log_likelihood(fit)
        null, df, total = _null_log_likelihood(fit), fit.effective_df, fit.weight_sum
        return GoodnessOfFit(
            value, null, total, df, -2 * value + 2 * df, float(-2 * value + np.log(total) * df), 1 - value / null
        )


def wald_test(
    model: Any,
    X: MatrixLike,
    y: ArrayLike,
    sample_weight: ArrayLike | None = None,
    *,
    offset: ArrayLike | None = None,
    features: Any = None,
    contrast: ArrayLike | None = None,
    value: ArrayLike = 0.0,
    kind: Kind = "model",
    groups: ArrayLike | None = None,
) -> HypothesisTest:
    """Wald test of linear restrictions on the parameters.

    Parameters
    ----------
    model, X, y, sample_weight, offset, kind, groups
        As for :func:`covariance_matrix`.
    features : str, int or list of them, default=None
        The hypothesis that these features, given by name or index, have no effect: their coefficients are the same for
        all classes.
    contrast : array-like of shape ([n_contrasts,] n_logits, n_features + 1), default=None
        The hypothesis that the sum of each contrast times the parameters, the coefficients with the intercept as the
        last column, is `value`. The parameters are those of `coef_` and `intercept_`; without intercept, that column is
        absent. Pass either `contrast` or `features`.
    value : float or array-like of shape (n_contrasts,), default=0.0
        The values of the contrasts under the hypothesis.

    Returns
    -------
    test : HypothesisTest
        Restrictions that follow from others, as one class's coefficient does from those of all others, do not count
        towards the degrees of freedom.

    Raises
    ------
    ValueError
        If a weight decay that is not negligible moves the coefficients towards zero, so that there is no test; if the
        contrasts contradict one another, or say nothing; if there are fewer groups than restrictions; and where
        :func:`covariance_matrix` does.
    TypeError
        As :func:`covariance_matrix` does.

    References
    ----------
    A. Agresti (2013). Categorical Data Analysis, 3rd edition. Wiley. Section 1.3.3.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from skmax import SoftmaxRegression
    >>> from skmax.inference import wald_test
    >>> X, y = load_wine(return_X_y=True, as_frame=True)
    >>> X = X[["malic_acid", "ash", "magnesium"]]
    >>> test = wald_test(SoftmaxRegression(weight_decay=0).fit(X, y), X, y, features="ash")
    >>> round(test.statistic, 2), test.df, round(test.p_value, 4)
    (12.06, 2, 0.0024)
    """
    with fitted(model, X, y, sample_weight, offset) as fit:
        _check_no_penalty(fit)
        table = _contrasts(fit, features, contrast)
        expected = np.asarray(to_numpy(value, "value"), dtype=np.float64)
        if expected.shape not in ((), (len(table),)):
            raise ValueError(f"value must be a number, or one for each of {len(table)} contrasts; got {value!r}.")
        # The contrast of parameters in the user's columns, as one of those in the basis Q.
        reduced = np.einsum("rkm,im,ka->rai", table, fit.to_user, fit.basis).reshape(len(table), -1)
        root = reduced @ fit.root.T / np.sqrt(fit.weight_sum)
        scale = np.linalg.norm(root, axis=1)
        differences = table - table.mean(axis=1, keepdims=True) if fit.n_logits > 1 else table
        empty = ~(np.abs(differences) > _ROUNDING * np.abs(table).max(axis=1, keepdims=True)).any(axis=(1, 2))
        if empty.any():
            raise ValueError(
                "Each contrast must say something of differences between classes; got one that is the same for all "
                f"classes, at position {int(empty.argmax())}."
            )
        left, singular, _ = np.linalg.svd(root / scale[:, None], full_matrices=False)
        kept = singular > _DEPENDENT * singular[0]
        away = (np.einsum("rkm,km->r", table, fit.table) - expected) / scale
        inside = left[:, kept].T @ away
        if np.abs(away - left[:, kept] @ inside).max() > 1e-6 * max(1.0, np.abs(away).max()):
            raise ValueError("The contrasts must not contradict one another; got dependent ones with other values.")
        if kind == "model":
            fit.covariance(kind, groups)  # for its checks
            return HypothesisTest.of(np.square(inside / singular[kept]).sum(), kept.sum())
        covariance = in_user_columns(fit, fit.covariance(kind, groups), np.eye(fit.n_logits))
        rows = left[:, kept].T @ (table.reshape(len(table), -1) / scale[:, None])
        middle = rows @ covariance @ rows.T
        if np.linalg.matrix_rank(middle, hermitian=True) < len(middle):
            raise ValueError(
                f"There must be more groups, or rows, than restrictions, {len(middle)}: the covariance of "
                f"kind={kind!r} is singular."
            )
        return HypothesisTest.of(inside @ np.linalg.solve(middle, inside), len(middle))


def likelihood_ratio_test(
    model: Any,
    restricted: Any,
    X: MatrixLike,
    y: ArrayLike,
    sample_weight: ArrayLike | None = None,
    *,
    offset: ArrayLike | None = None,
    X_restricted: MatrixLike = None,
) -> HypothesisTest:
    """Likelihood-ratio test of a restricted model against a model that contains it.

    Parameters
    ----------
    model : SoftmaxRegression, SoftmaxRegressionCV or DaskSoftmaxRegression, or a Pipeline that ends in one
        The model of the alternative.
    restricted : as `model`, or None
        The model of the hypothesis, of columns that those of `model` determine linearly. None is the model of
        intercepts alone: the class frequencies.
    X, y, sample_weight, offset
        The training data of `model`. The weights are taken as frequencies; the offsets are those of both models.
    X_restricted : {array-like, sparse matrix} of shape (n_samples, n_features_restricted), default=None
        The training data of `restricted`, for the same `y` and weights; None is `X`.

    Returns
    -------
    test : HypothesisTest
        Its statistic is twice the difference of the log likelihoods, its degrees of freedom are the difference of the
        numbers of parameters that are not redundant.

    Raises
    ------
    ValueError
        If the models are not nested, by their numbers of parameters or likelihoods; if the weight decay of one is not
        negligible; and where :func:`covariance_matrix` does.
    TypeError
        As :func:`covariance_matrix` does.

    Warns
    -----
    UserWarning
        If `class_weight` makes weights that are no frequencies.

    References
    ----------
    A. Agresti (2013). Categorical Data Analysis, 3rd edition. Wiley. Section 1.3.3.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from skmax import SoftmaxRegression
    >>> from skmax.inference import likelihood_ratio_test
    >>> X, y = load_wine(return_X_y=True, as_frame=True)
    >>> X, X0 = X[["malic_acid", "ash", "magnesium"]], X[["malic_acid", "magnesium"]]
    >>> model, restricted = (SoftmaxRegression(weight_decay=0).fit(columns, y) for columns in (X, X0))
    >>> test = likelihood_ratio_test(model, restricted, X, y, X_restricted=X0)
    >>> round(test.statistic, 2), test.df, round(test.p_value, 4)
    (13.52, 2, 0.0012)
    """
    with fitted(model, X, y, sample_weight, offset) as fit:
        _check_no_penalty(fit)
        fit.warn_of_class_weight("a likelihood")
        value, df, total, classes = _log_likelihood(fit), fit.n_free, fit.weight_sum, fit.classes.tolist()
        null, null_df = _null_log_likelihood(fit), len(classes) - 1
        if restricted is None and not fit.objective.fit_intercept:
            raise ValueError("A model without intercept does not contain that of intercepts alone: pass restricted.")
        if restricted is None and fit.objective.samples.has_offset:
            raise ValueError(
                "With offsets, the model of intercepts alone is not the class frequencies: pass restricted."
            )
    if restricted is not None:
        with fitted(restricted, X if X_restricted is None else X_restricted, y, sample_weight, offset) as fit:
            _check_no_penalty(fit)
            null, null_df = _log_likelihood(fit), fit.n_free
            if fit.classes.tolist() != classes or abs(fit.weight_sum - total) > _ROUNDING * total:
                raise ValueError("Both models must have the same classes and class_weight.")
    if null_df >= df or null > value + _ROUNDING * total:
        raise ValueError(
            "The model must contain the restricted one, with more parameters and a likelihood that is no smaller; got "
            f"{df} and {null_df} parameters, and log likelihoods of {value:.6g} and {null:.6g}."
        )
    return HypothesisTest.of(max(0.0, 2 * (value - null)), df - null_df)


def _log_likelihood(fit: Fitted) -> float:
    return -fit.weight_sum * fit.objective.penalised(0.0).value(fit.theta)


def _null_log_likelihood(fit: Fitted) -> float:
    frequency = fit.encoding.frequency
    return float(fit.weight_sum * (frequency @ np.log(frequency)))


def _check_no_penalty(fit: Fitted) -> None:
    if not fit.penalty_is_negligible:
        raise ValueError(
            f"A weight decay of {fit.objective.weight_decay:.3g} moves these coefficients by more than is negligible, "
            "towards zero or the prior mean, so that there is no test of their values. Fit with weight_decay=0."
        )


def _contrasts(fit: Fitted, features: Any, contrast: ArrayLike | None) -> Float64Array:
    """The contrasts, of shape (n_contrasts, n_logits, n_columns)."""
    shape = fit.n_logits, fit.n_columns
    if (features is None) == (contrast is None):
        raise ValueError(
            "Either features or contrast must be given: the features whose effect is tested, or contrasts."
        )
    if contrast is not None:
        table = np.asarray(to_numpy(contrast, "contrast"), dtype=np.float64)
        table = table[None] if table.ndim == 2 else table
        if table.shape[1:] != shape or not len(table) or not np.isfinite(table).all():
            raise ValueError(
                f"contrast must be finite numbers, of shape ([n_contrasts,] {shape[0]}, {shape[1]}): coefficients and "
                f"then the intercept; got shape {np.shape(contrast)}."
            )
        return table
    single = isinstance(features, str) or not isinstance(features, Sequence | np.ndarray)
    columns = [fit.column(feature) for feature in ([features] if single else features)]
    if not columns:
        raise ValueError("features must be one or more features; got none.")
    table = np.zeros((len(columns), fit.n_logits, *shape))
    for place, column in enumerate(columns):
        table[place, range(fit.n_logits), range(fit.n_logits), column] = 1
    return table.reshape(-1, *shape)
