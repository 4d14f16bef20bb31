"""Covariances, standard errors and the table of the coefficients."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skmax._base import MatrixLike
from skmax._samples import Float64Array
from skmax.inference._fitted import Fitted, Kind, fitted
from skmax.inference._tables import Table, check_level, estimate_table


def covariance_matrix(
    model: Any,
    X: MatrixLike,
    y: ArrayLike,
    sample_weight: ArrayLike | None = None,
    *,
    offset: ArrayLike | None = None,
    kind: Kind = "model",
    groups: ArrayLike | None = None,
    reference: Any = None,
) -> Float64Array:
    """Covariance matrix of the coefficients and intercepts of a fitted model.

    With the Hessian H of the objective, the total weight S, and the gradient g_i of the loss of row i with weight s_i,
    it is

    - ``kind="model"``: (S H)^-1, the inverse of the observed information;
    - ``kind="sandwich"``: (S H)^-1 [sum_i s_i^2 g_i g_i^T] (S H)^-1 [1]_, which holds for independent rows whatever
      their distribution, if the logits are the ones that fit best;
    - ``kind="cluster"``: the same with the sums of s_i g_i over the rows of each group in place of s_i g_i, times
      G / (G - 1) * (n - 1) / (n - k) for G groups, n rows with weight and k parameters for each logit [2]_.

    Parameters
    ----------
    model : SoftmaxRegression, SoftmaxRegressionCV or DaskSoftmaxRegression, or a Pipeline that ends in one
        A fitted model.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        The training data, as they were passed to `fit` of the model or pipeline. Dask collections for a
        DaskSoftmaxRegression.
    y : array-like of shape (n_samples,) or (n_samples, n_classes)
        The labels or distributions of the fit.
    sample_weight : array-like of shape (n_samples,), default=None
        The weights of the fit. ``kind="model"`` takes them as frequencies: a row of weight 2 is two rows. The other
        kinds take them as sampling weights, whose scale is of no account.
    offset : array-like of shape (n_samples,) or (n_samples, n_classes), default=None
        The offsets of the fit, if it had any.
    kind : {"model", "sandwich", "cluster"}, default="model"
        The kind of covariance, as above.
    groups : array-like of shape (n_samples,), default=None
        The cluster of each row, for ``kind="cluster"``: labels of any type that sorts.
    reference : label, default=None
        A class. The parameters are then the differences of those of each other class from those of this one. None is
        the form of `coef_` and `intercept_`, whose sum over the classes is zero; or, with two classes, those of the
        second one, which are differences from the first.

    Returns
    -------
    covariance : ndarray of shape (n_parameters, n_parameters), float64
        The parameters are in the order of the rows of :func:`coef_table`: class by class, the features and then the
        intercept. Without `reference`, and with three or more classes, the matrix is singular: each feature's sum over
        the classes has variance 0.

    Raises
    ------
    ValueError
        If there are no standard errors: classes are separated or columns linearly dependent without weight decay (the
        message names them), the model is not at its minimum for these data, to a tenth of a standard error, or has more
        than 4096 coefficients and intercepts.
    TypeError
        If `model` is none of the above.

    Warns
    -----
    UserWarning
        If the weight decay was chosen on the same data, or if `class_weight` makes weights that are no frequencies,
        with ``kind="model"``.

    See Also
    --------
    coef_table : The coefficients with their standard errors, p-values and intervals.

    Notes
    -----
    With weight decay, (S H)^-1 is the covariance of the Gaussian approximation to the posterior distribution
    (Laplace's), with independent normal coefficients of variance 1 / (S weight_decay penalty_factor) beforehand; and
    the sandwich is the covariance of the penalised estimate about its mean, not about the true coefficients.

    For two classes, "sandwich" is statsmodels' ``Logit.fit(cov_type="HC0")``, without a small-sample correction (Stata
    multiplies by n / (n - 1)), and "cluster" is its ``cov_type="cluster"`` with its default correction (Stata has
    G / (G - 1) alone). The correction counts the parameters of one logit, as in a linear regression; under a penalty,
    their effective number.

    The matrix is computed in float64, whatever the dtype of `X`, on standardized columns, and so keeps its digits where
    the columns are of very different scales. The memory does not depend on the number of rows.

    References
    ----------
    .. [1] H. White (1982). Maximum likelihood estimation of misspecified models. Econometrica 50(1), 1-25.
    .. [2] A. C. Cameron and D. L. Miller (2015). A practitioner's guide to cluster-robust inference. Journal of Human
       Resources 50(2), 317-372.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skmax import SoftmaxRegression
    >>> from skmax.inference import covariance_matrix
    >>> X, y = load_iris(return_X_y=True)
    >>> covariance_matrix(SoftmaxRegression().fit(X, y), X, y).shape
    (15, 15)
    """
    with fitted(model, X, y, sample_weight, offset) as fit:
        difference, _ = contrasts(fit, reference)
        return in_user_columns(fit, fit.covariance(kind, groups), difference)


def std_errors(
    model: Any,
    X: MatrixLike,
    y: ArrayLike,
    sample_weight: ArrayLike | None = None,
    *,
    offset: ArrayLike | None = None,
    kind: Kind = "model",
    groups: ArrayLike | None = None,
    reference: Any = None,
) -> Float64Array:
    """Standard errors of the coefficients and intercepts; under a penalty, standard deviations of the posterior.

    They are the roots of the diagonal of :func:`covariance_matrix`.

    Parameters
    ----------
    model, X, y, sample_weight, offset, kind, groups, reference
        As for :func:`covariance_matrix`.

    Returns
    -------
    std_error : ndarray of shape (n_logits, n_features + 1), float64
        With a row for each class that has one in `coef_` and weight, or, with `reference`, for each class but that; the
        last column is that of the intercept, and is absent without one.

    Raises
    ------
    ValueError, TypeError
        As :func:`covariance_matrix` does.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skmax import SoftmaxRegression
    >>> from skmax.inference import std_errors
    >>> X, y = load_iris(return_X_y=True)
    >>> std_errors(SoftmaxRegression().fit(X, y), X, y)[:, 0].round(2).tolist()
    [0.7, 0.48, 0.51]
    """
    with fitted(model, X, y, sample_weight, offset) as fit:
        difference, _ = contrasts(fit, reference)
        return errors_of(fit, fit.covariance(kind, groups), difference)


def coef_table(
    model: Any,
    X: MatrixLike,
    y: ArrayLike,
    sample_weight: ArrayLike | None = None,
    *,
    offset: ArrayLike | None = None,
    kind: Kind = "model",
    groups: ArrayLike | None = None,
    reference: Any = None,
    level: float = 0.95,
) -> Table:
    """Table of the coefficients with their standard errors, z, p-values and confidence intervals.

    Parameters
    ----------
    model, X, y, sample_weight, offset, kind, groups, reference
        As for :func:`covariance_matrix`.
    level : float, default=0.95
        The level of the intervals, between 0 and 1.

    Returns
    -------
    table : pandas.DataFrame, or structured ndarray where pandas is not installed
        A row for each class and feature, with the intercept as the last one, indexed by them (or with fields ``class``
        and ``feature``). What its columns are depends on the penalty:

        - without weight decay, or with a negligible one: ``coef``, ``std_error``, ``z`` (their ratio), ``p_value`` of
          Wald's two-sided test that the coefficient is 0, and the confidence interval from ``lower`` to ``upper``;
        - with weight decay and ``kind="model"``: ``coef``, ``posterior_standard_deviation`` and the credible interval
          from ``lower`` to ``upper``, by Laplace's approximation;
        - with weight decay and another kind: ``coef`` and ``std_error``, that of the penalised estimate about its mean,
          which is nearer to zero than the true coefficient.

    Raises
    ------
    ValueError, TypeError
        As :func:`covariance_matrix` does.

    Notes
    -----
    A penalty is negligible if it moves no linear combination of the parameters by more than a tenth of its standard
    error, which leaves a 95 % interval a coverage of 94.9 %, and takes no more than 0.02 of the degrees of freedom, so
    that no interval is shorter by more than 1 %.

    The hypothesis of a p-value depends on the form: without `reference`, that a feature affects the logit of a class as
    much as those of all classes on average. Whether a feature matters at all is asked of all its coefficients together,
    by :func:`wald_test`.

    References
    ----------
    A. Agresti (2013). Categorical Data Analysis, 3rd edition. Wiley. Section 8.1.

    Examples
    --------
    >>> import numpy as np
    >>> from skmax import SoftmaxRegression
    >>> from skmax.inference import coef_table
    >>> X, y = np.repeat([[0.0], [1.0]], 50, axis=0), np.repeat(["no", "yes", "no", "yes"], [40, 10, 20, 30])
    >>> model = SoftmaxRegression(weight_decay=0).fit(X, y)
    >>> table = coef_table(model, X, y)
    >>> table["coef"].round(3).tolist()  # the logarithm of the odds ratio (40 * 30) / (10 * 20), and log(10 / 40)
    [1.792, -1.386]
    >>> table["std_error"].round(3).tolist()  # (1/40 + 1/10 + 1/20 + 1/30) ** 0.5
    [0.456, 0.354]
    """
    check_level(level)
    with fitted(model, X, y, sample_weight, offset) as fit:
        difference, labels = contrasts(fit, reference)
        error = errors_of(fit, fit.covariance(kind, groups), difference)
        index = {"class": np.repeat(labels, fit.n_columns), "feature": np.tile(fit.names, len(labels))}
        return estimate_table(fit, kind, index, "coef", difference @ fit.table, error, level)


def contrasts(fit: Fitted, reference: Any) -> tuple[Float64Array, NDArray]:
    """What the rows of `fit.table` are multiplied by, of shape (n_reported, n_logits), and the class of each result."""
    if reference is None:
        return np.eye(fit.n_logits), fit.labels
    classes = fit.classes.tolist()
    if reference not in classes:
        raise ValueError(f"reference must be a class with weight, one of {classes}; got {reference!r}.")
    place = classes.index(reference)
    logits = np.eye(len(classes))[:, -fit.n_logits :]  # of all classes, from those that there are parameters for
    return np.delete(logits - logits[place], place, axis=0), np.delete(fit.classes, place)


def in_user_columns(fit: Fitted, covariance: Float64Array, difference: Float64Array) -> Float64Array:
    """The covariance of the `difference` of parameters in the user's columns, of shape (n_parameters, n_parameters)."""
    size = len(difference) * fit.n_columns
    blocks = np.einsum("ak,kilj,bl->aibj", difference, covariance, difference, optimize=True)
    return np.einsum("aibj,im,jn->ambn", blocks, fit.to_user, fit.to_user, optimize=True).reshape(size, size)


def errors_of(fit: Fitted, covariance: Float64Array, difference: Float64Array) -> Float64Array:
    """The standard errors of the `difference` of parameters in the user's columns, of shape (n_reported, n_columns)."""
    blocks = np.einsum("ak,kilj,al->aij", difference, covariance, difference, optimize=True)
    return np.sqrt(np.maximum(fit.variances(blocks), 0))
