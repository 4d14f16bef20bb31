"""Marginal effects: what a change of a feature does to the probabilities, with errors by the delta method.

With p_i the probabilities of row i, W the coefficients in the user's columns and w_ij = sum_l p_il W_lj their mean
under p_i, the slope of the probability of class k in feature j is

    dp_ik / dx_ij = p_ik (W_kj - w_ij),

and its derivative in the parameters (W~_lm, b~_l) of standardized columns, of which W = (W~, b~) U, is

    p_ik (d_kl - p_il) [ (W_kj - w_ij) x~_im + U_mj ] - p_ik p_il (W_lj - w_ij) x~_im,        d_kl = 1 if k = l, else 0,

as dp_k/dz_l = p_k (d_kl - p_l) and dw_j/dz_l = p_l (W_lj - w_j). Averages over rows thus need three sums for each pair
of classes k <= l, of p_ik p_il times 1, x~_i, and w_ij x~_i, and memory that does not depend on the number of rows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skmax._base import MatrixLike
from skmax._columns import ColumnStats
from skmax._samples import Block, DenseBlock, Float64Array, LocalSamples
from skmax._softmax import of_all_classes
from skmax.inference._fitted import Fitted, Kind, fitted
from skmax.inference._tables import Table, check_level, estimate_table

# A number that differs from 0 or 1 by no more than this is that number, less and plus an origin.
_SAME = 1e-9


@dataclass(frozen=True)
class Change:
    """A change of a feature, or of several that stand for one thing, such as the dummies of a factor.

    Attributes
    ----------
    name, contrast : str
        How the table names the feature and the change.
    columns : ndarray of int, shape (n_columns,)
        The columns that change. One column with no `values` has its slope.
    values : ndarray of shape (2, n_columns), or None
        Their values before and after.
    """

    name: str
    contrast: str
    columns: NDArray[np.intp]
    values: Float64Array | None = None


def average_marginal_effects(
    model: Any,
    X: MatrixLike,
    y: ArrayLike,
    sample_weight: ArrayLike | None = None,
    *,
    offset: ArrayLike | None = None,
    features: Sequence[Any] | None = None,
    contrasts: Mapping[Any, Any] | Literal["binary"] | None = "binary",
    kind: Kind = "model",
    groups: ArrayLike | None = None,
    level: float = 0.95,
) -> Table:
    """Average effect of each feature on the probability of each class, over the rows of the training data.

    Parameters
    ----------
    model, X, y, sample_weight, offset, kind, groups
        As for :func:`covariance_matrix`. The weights are also those of the average.
    features : sequence of str or int, default=None
        The features, by name or index, of a pipeline those that its last step sees. None is all of them, except those
        that a contrast of several columns sets.
    contrasts : mapping, "binary" or None, default="binary"
        The features whose effect is a difference of probabilities, not a slope. ``"binary"`` compares 1 with 0 for
        features that have no other values. A mapping gives ``(before, after)`` for a feature, two numbers; or, for any
        other name, such as that of a factor with several dummy columns, two mappings of features to numbers. None, or a
        feature that the mapping lacks, has slopes.
    level : float, default=0.95
        The level of the intervals, between 0 and 1.

    Returns
    -------
    table : pandas.DataFrame, or structured ndarray where pandas is not installed
        A row for each class, feature and contrast (``"slope"``, or ``"after - before"``), with the columns of
        :func:`coef_table`, where ``effect`` takes the place of ``coef``: in units of probability, for a slope per unit
        of the feature. The effects of a feature sum to 0 over the classes.

    Raises
    ------
    ValueError, TypeError
        If `features` or `contrasts` name a feature that does not exist, or not two values; and where
        :func:`covariance_matrix` does.

    See Also
    --------
    marginal_effects : The effects at given points.

    Notes
    -----
    The errors are those of the delta method for the given rows: what other rows would have been drawn is not in them.
    Memory does not depend on the number of rows.

    A slope is for a small change. Columns that a pipeline has scaled or expanded have effects per unit of what they are
    in its last step, and a change of one column leaves all others as they are, its own square among them.

    References
    ----------
    W. H. Greene (2012). Econometric Analysis, 7th edition. Pearson. Sections 17.3.2 and 18.2.2.

    Examples
    --------
    >>> import numpy as np
    >>> from skmax import SoftmaxRegression
    >>> from skmax.inference import average_marginal_effects
    >>> X, y = np.repeat([[0.0], [1.0]], 50, axis=0), np.repeat(["no", "yes", "no", "yes"], [40, 10, 20, 30])
    >>> table = average_marginal_effects(SoftmaxRegression(weight_decay=0).fit(X, y), X, y)
    >>> table["effect"].round(3).tolist(), table["std_error"].round(3).tolist()  # of 30/50 - 10/50
    ([-0.4, 0.4], [0.089, 0.089])
    """
    check_level(level)
    with fitted(model, X, y, sample_weight, offset) as fit:
        changes = _changes(fit, features, contrasts)
        arguments = fit.theta, fit.columns, fit.to_user, changes
        cost = fit.objective.cost + fit.theta.size * fit.n_logits * sum(len(change.columns) for change in changes)
        sums = fit.objective.samples.sum(_sums, *arguments, cost=cost)
        covariance = fit.covariance(kind, groups)
        effect, error = _effects(fit, covariance, sums / fit.objective.samples.weight_sum, changes)
        return estimate_table(fit, kind, _index(fit, changes), "effect", effect, error, level)


def marginal_effects(
    model: Any,
    X: MatrixLike,
    y: ArrayLike,
    sample_weight: ArrayLike | None = None,
    *,
    offset: ArrayLike | None = None,
    at: Any = "mean",
    features: Sequence[Any] | None = None,
    contrasts: Mapping[Any, Any] | Literal["binary"] | None = "binary",
    kind: Kind = "model",
    groups: ArrayLike | None = None,
    level: float = 0.95,
) -> Table:
    """Effect of each feature on the probability of each class, at given points.

    Parameters
    ----------
    model, X, y, sample_weight, offset, kind, groups
        As for :func:`covariance_matrix`.
    at : "mean", mapping, or {array-like, sparse matrix} of shape (n_points, n_features), default="mean"
        The point at the weighted mean of each column; the same with the values of some features, by name or index, in a
        mapping; or points as rows like those of `X`, before a pipeline's first step. Their offsets are 0.
    features, contrasts, level
        As for :func:`average_marginal_effects`.

    Returns
    -------
    table : pandas.DataFrame, or structured ndarray where pandas is not installed
        As that of :func:`average_marginal_effects`. If `at` has rows, their numbers are the first part of the index.

    Raises
    ------
    ValueError, TypeError
        As :func:`average_marginal_effects` does.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from skmax import SoftmaxRegression
    >>> from skmax.inference import marginal_effects
    >>> X, y = load_wine(return_X_y=True, as_frame=True)
    >>> X = X[["malic_acid", "ash", "magnesium"]]
    >>> table = marginal_effects(SoftmaxRegression(weight_decay=0).fit(X, y), X, y, at={"ash": 2.0}, features=["ash"])
    >>> table["effect"].round(2).tolist(), table["std_error"].round(2).tolist()
    ([0.37, -0.61, 0.25], [0.09, 0.13, 0.06])
    """
    check_level(level)
    with fitted(model, X, y, sample_weight, offset) as fit:
        changes = _changes(fit, features, contrasts)
        covariance = fit.covariance(kind, groups)
        points = _points(fit, at)
        results = [
            _effects(
                fit, covariance, _sums(points, slice(i, i + 1), fit.theta, fit.columns, fit.to_user, changes), changes
            )
            for i in range(points.n_samples)
        ]
        effect, error = (np.concatenate([part.ravel() for part in parts]) for parts in zip(*results, strict=True))
        index = _index(fit, changes)
        if not isinstance(at, str | Mapping):
            n_each = len(index["class"])
            index = {name: np.tile(values, points.n_samples) for name, values in index.items()}
            index = {"row": np.repeat(np.arange(points.n_samples), n_each), **index}
        return estimate_table(fit, kind, index, "effect", effect, error, level)


def _changes(fit: Fitted, features: Sequence[Any] | None, contrasts: Any) -> list[Change]:
    """The changes that are asked for, in the order of the columns, and then those of several columns."""
    names = fit.names[: fit.objective.n_features].tolist()
    of_columns = [Change(name, "slope", np.array([j])) for j, name in enumerate(names)]
    of_groups: list[Change] = []
    if isinstance(contrasts, str):
        if contrasts != "binary":
            raise ValueError(f"contrasts must be 'binary', None, or a mapping; got {contrasts!r}.")
        n_others = fit.objective.samples.sum(_are_binary, cost=4 * len(names))
        contrasts = {j: (0, 1) for j in np.flatnonzero(n_others == 0)}
    for feature, pair in ({} if contrasts is None else contrasts).items():
        if not isinstance(pair, Sequence) or len(pair) != 2:
            raise ValueError(f"contrasts must have (before, after) for {feature!r}; got {pair!r}.")
        if all(isinstance(value, Mapping) for value in pair):
            of_groups.append(_change_of_several(fit, str(feature), *pair))
        elif all(isinstance(value, Real) for value in pair):
            j, (before, after) = fit.column(feature), pair
            values = np.array([[before], [after]], dtype=np.float64)
            of_columns[j] = Change(names[j], f"{after:g} - {before:g}", np.array([j]), values)
        else:
            raise ValueError(
                "contrasts must have two numbers, or two mappings of features to numbers, for "
                f"{feature!r}; got {pair!r}."
            )
    if features is None:
        taken = {int(j) for change in of_groups for j in change.columns}
        chosen = [j for j in range(len(names)) if j not in taken]
    else:
        single = isinstance(features, str) or not isinstance(features, Sequence | np.ndarray)
        wanted = [features] if single else features
        of_groups = [change for change in of_groups if change.name in wanted]
        own = [change.name for change in of_groups]
        chosen = [fit.column(feature) for feature in wanted if feature not in own]
    changes = [of_columns[j] for j in chosen] + of_groups
    if not changes:
        raise ValueError(f"features must be one or more features; got {features!r}.")
    return changes


def _change_of_several(fit: Fitted, name: str, *pair: Mapping[Any, Any]) -> Change:
    """The change of the features that both mappings of a `pair` set."""
    before, after = ({fit.column(key): float(value) for key, value in part.items()} for part in pair)
    if not before or before.keys() != after.keys():
        raise ValueError(f"contrasts must set the same features before and after, for {name!r}; got {pair!r}.")
    columns = np.array(sorted(before))
    return Change(name, "after - before", columns, np.array([[part[j] for j in columns] for part in (before, after)]))


def _points(fit: Fitted, at: Any) -> LocalSamples:
    """The points, in the columns of the fit."""
    if isinstance(at, str | Mapping):
        if isinstance(at, str) and at != "mean":
            raise ValueError(
                f"at must be 'mean', a mapping of features to numbers, or rows like those of X; got {at!r}."
            )
        point = ColumnStats.of(fit.objective.samples, centred=True).mean + fit.origin
        for feature, value in {} if isinstance(at, str) else at.items():
            point[fit.column(feature)] = value
        X = point[None]
    else:
        X = fit.rows(at)
    return fit.new_samples(X)


def _index(fit: Fitted, changes: list[Change]) -> dict[str, NDArray]:
    """The class, feature and contrast of each effect."""
    n = len(changes)
    return {
        "class": np.repeat(fit.classes, n),
        "feature": np.tile(np.array([change.name for change in changes], dtype=object), len(fit.classes)),
        "contrast": np.tile(np.array([change.contrast for change in changes], dtype=object), len(fit.classes)),
    }


def _are_binary(samples: LocalSamples, within: slice) -> NDArray[np.int64]:
    """The number of values of each column other than 0 and 1."""
    total = np.zeros(samples.n_features, dtype=np.int64)
    for block in samples.blocks(samples.n_features, within):
        x = block.dense() if samples.origin is None else block.dense() + samples.origin
        total += np.count_nonzero((np.abs(x) > _SAME) & (np.abs(x - 1) > _SAME), axis=0)
    return total


def _effects(
    fit: Fitted, covariance: Float64Array, sums: Float64Array, changes: list[Change]
) -> tuple[Float64Array, Float64Array]:
    """The effects and their errors, of shape (n_classes, n_changes), from means of `_sums`."""
    effect = sums[..., 0]
    gradient = sums[..., 1:].reshape(*effect.shape, fit.n_logits * fit.n_columns)
    size = gradient.shape[-1]
    variance = np.einsum("kcr,kcr->kc", gradient @ covariance.reshape(size, size), gradient)
    return effect, np.sqrt(np.maximum(variance, 0))


def _sums(
    samples: LocalSamples,
    within: slice,
    theta: Float64Array,
    columns: ColumnStats,
    to_user: Float64Array,
    changes: list[Change],
) -> Float64Array:
    """The sums over rows of the effects and of their gradients, of shape (n_classes, n_changes, 1 + n_parameters)."""
    n_classes, n_logits, size = samples.n_classes, samples.n_logits, samples.n_columns
    parameters = samples.parameters(theta)
    coef = np.vstack([np.zeros((n_classes - n_logits, samples.n_features)), parameters[0]])  # of each class
    pairs = np.triu_indices(n_classes)
    slopes = [place for place, change in enumerate(changes) if change.values is None]
    features = np.array([changes[place].columns[0] for place in slopes], dtype=np.intp)
    others = [place for place in range(len(changes)) if place not in slopes]
    result = np.zeros((n_classes, len(changes), n_classes, 1 + size))
    effect, gradient = result[:, :, 0, 0], result[..., 1:]
    ones, first = np.zeros(len(pairs[0])), np.zeros((len(pairs[0]), size))
    second = np.zeros((len(features), len(pairs[0]), size))
    for block in samples.blocks(len(pairs[0]) + size + len(features), within):
        if slopes:
            probability = _probabilities(block, parameters)
            standardized = columns.standardized(block, samples.fit_intercept)
            product = probability[pairs[0]] * probability[pairs[1]] * block.weights()
            ones += product.sum(axis=1)
            first += product @ standardized
            for place, own in enumerate(coef[:, features].T @ probability):
                second[place] += product @ (standardized * own[:, None])
        for place in others:
            change = changes[place]
            for sign, values in zip((-1, 1), np.asarray(change.values), strict=True):
                moved = _with_values(samples, block, change.columns, values)
                probability = _probabilities(moved, parameters)
                standardized = columns.standardized(moved, samples.fit_intercept)
                weighted = probability * block.weights()
                effect[:, place] += sign * weighted.sum(axis=1)
                each = np.arange(n_classes)
                gradient[each, place, each] += sign * (weighted @ standardized)
                outer = (probability[pairs[0]] * weighted[pairs[1]]) @ standardized
                gradient[:, place] -= sign * _of_pairs(outer, pairs, n_classes)
    if slopes:
        a, c = _of_pairs(first, pairs, n_classes), np.array([_of_pairs(each, pairs, n_classes) for each in second])
        m = _of_pairs(ones, pairs, n_classes)
        for place, j, c_j in zip(slopes, features, c, strict=True):
            w = coef[:, j]
            effect[:, place] = (m * (w[:, None] - w)).sum(axis=1)  # as w_ij is a sum over l of p_il W_lj
            own = w[:, None] * a.sum(axis=1) - c_j.sum(axis=1) + m.sum(axis=1)[:, None] * to_user[:, j]
            part = 2 * c_j - (w[:, None] + w)[:, :, None] * a - m[:, :, None] * to_user[:, j]
            part[np.arange(n_classes), np.arange(n_classes)] += own
            gradient[:, place] += part
    return np.concatenate(
        [effect[:, :, None], gradient[:, :, n_classes - n_logits :].reshape(n_classes, len(changes), -1)], axis=2
    )


def _of_pairs(sums: Float64Array, pairs: Any, n_classes: int) -> Float64Array:
    """The symmetric table, of shape (n_classes, n_classes, ...), of sums for the pairs k <= l."""
    table = np.empty((n_classes, n_classes, *sums.shape[1:]))
    table[pairs] = sums
    table[pairs[::-1]] = sums
    return table


def _probabilities(block: Block, parameters: Any) -> Float64Array:
    """The probabilities of all classes, class-major."""
    return of_all_classes(block.probability(*parameters)).astype(np.float64, copy=False)


def _with_values(samples: LocalSamples, block: Block, columns: NDArray[np.intp], values: Float64Array) -> Block:
    """The rows of a block with other values in some columns."""
    x = block.dense().copy()
    x[:, columns] = values if samples.origin is None else values - samples.origin[columns]
    return DenseBlock(block.index, x, block.weight, block.target, block.offset, block.n_classes, block.n_logits)
