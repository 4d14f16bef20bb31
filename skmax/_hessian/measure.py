"""Measurements of the Hessian of the loss in standardized columns: sums over rows.

As diag(p) - p p^T = sum_{k<l} p_k p_l (e_k - e_l) (e_k - e_l)^T, the Hessian of the loss is made of one matrix for each
pair of classes, G_kl = (1/S) sum_i s_i p_ik p_il x~_i x~_i^T, which takes n_rows d^2 / 2 multiplications for d
parameters, a quarter of those of a Gram matrix of d columns.

A sum of squares keeps half of the digits: rows are lost beside the square of an outlier that is 1e8 times as long. As
diag(p) - p p^T = sum_k p_k (e_k - p) (e_k - p)^T, the Hessian is also R^T R with R from a QR factorisation of the rows
(s_i p_ik / S)^(1/2) (e_k - p_i) (x) x~_i, one for each row of X and each class, which keeps all digits.
"""

import numpy as np
from numpy.typing import NDArray

from skmax._columns import ColumnStats, Triangle, squared_deviations
from skmax._objective import Objective
from skmax._samples import Block, Float64Array, LocalSamples
from skmax._softmax import FloatArray, normalize_in_place

# Up to this many columns for each pair of classes, all pairs are computed together, from the products of this many
# pairs of columns at a time (17 columns, 26 classes: a fifth of the time that pair by pair takes). With more columns,
# each pair has a matrix product of its own, a symmetric one from the third number of columns on: it is up to three
# times as fast there (129 columns, 6 classes), and slower below.
_TOGETHER, _PRODUCTS, _SYMMETRIC = 3, 64, 40
# A block has room for at least this many numbers for each row, so that what is computed for its rows stays in cache.
_WIDTH = 64


def measure(objective: Objective, columns: ColumnStats, theta: Float64Array) -> Float64Array:
    """The Hessian of the loss without the penalty, of shape (d, d), with the classes varying slowest."""
    n_logits, n_columns = objective.n_logits, objective.n_columns
    size = n_logits * n_columns
    every = np.arange(n_logits)
    first, second = np.nonzero(np.less.outer(every, every))
    gram = objective.samples.sum(_pairs, theta, columns, cost=max(len(first), 1) * n_columns**2)
    hessian = np.zeros((n_logits, n_columns, n_logits, n_columns))
    if n_logits == 1:
        hessian[0, :, 0] = gram[0]
    else:
        hessian[first, :, second] = hessian[second, :, first] = -gram
        hessian[every, :, every] = -hessian.sum(axis=2)
    hessian /= objective.samples.weight_sum
    return hessian.reshape(size, size)


def measure_root(objective: Objective, columns: ColumnStats, theta: Float64Array) -> Float64Array:
    """The R of the module's docstring."""
    root = objective.samples.sum(_square_roots, theta, columns, cost=objective.n_logits * theta.size**2).matrix
    root /= np.sqrt(objective.samples.weight_sum)
    return root


def measure_diagonal(objective: Objective, columns: ColumnStats, theta: Float64Array) -> Float64Array:
    """The diagonal of the Hessian of the loss, of shape (n_logits, n_columns)."""
    diagonal = objective.samples.sum(_diagonal, theta, columns, cost=objective.cost) / objective.samples.weight_sum
    diagonal[:, : objective.n_features] /= columns.unit
    return diagonal


def measure_second_moment(objective: Objective, columns: ColumnStats) -> Float64Array:
    """The weighted mean of x~_i x~_i^T."""
    samples = objective.samples
    return samples.sum(_second_moment, columns, cost=samples.n_columns**2) / samples.weight_sum


def logit_curvature(probability: FloatArray) -> FloatArray:
    """The second derivative of each row's loss in each of its logits, p_i (1 - p_i), class-major."""
    return probability * (1 - probability)


def weighted_curvature(block: Block, coef: FloatArray, intercept: FloatArray) -> FloatArray:
    """s_i p_i (1 - p_i) of the rows of a block, class-major."""
    curvature = logit_curvature(block.probability(coef, intercept))
    if block.weight is not None:
        curvature *= block.weight
    return curvature


def _pairs(samples: LocalSamples, within: slice, theta: Float64Array, columns: ColumnStats) -> Float64Array:
    """S G_kl of the module's docstring, of shape (n_pairs, n_columns, n_columns).

    A single logit makes a pair with the 0 of the other class.
    """
    n_logits, n_columns, parameters = samples.n_logits, samples.n_columns, samples.parameters(theta)
    n_pairs = max(n_logits * (n_logits - 1) // 2, 1)
    together = n_columns <= _TOGETHER * n_pairs
    place = _places_of_products(n_columns if together else 0)
    total = np.zeros((n_pairs, place.max() + 1) if together else (n_pairs, n_columns, n_columns))
    scratch = np.empty((max(_PRODUCTS, n_columns), 0))
    for block in samples.blocks(max(n_pairs + n_columns, _WIDTH), within):
        probability = block.probability(*parameters)
        standardized = np.ascontiguousarray(columns.standardized(block, samples.fit_intercept).T)
        weights = logit_curvature(probability) if n_logits == 1 else _products(probability, range(n_logits - 1), 1)
        if block.weight is not None:
            weights *= block.weight
        if together:
            if scratch.shape[1] != block.n_rows:
                scratch = np.empty((len(scratch), block.n_rows))
            for group in _groups_of_columns(n_columns):
                products, begin = _products(standardized, group, 0, scratch), place[group.start, group.start]
                total[:, begin : begin + len(products)] += weights @ products.T
        elif n_columns < _SYMMETRIC:
            for pair, weight in zip(total, weights, strict=True):
                pair += (standardized * weight) @ standardized.T
        else:
            for pair, root in zip(total, np.sqrt(weights), strict=True):
                scaled = standardized * root
                pair += scaled @ scaled.T
    return total[:, place] if together else total


def _groups_of_columns(n_columns: int) -> list[range]:
    """Consecutive columns whose products with themselves and later ones make up one matrix product."""
    groups, start = [], 0
    while start < n_columns:
        stop = min(n_columns, start + max(1, _PRODUCTS // (n_columns - start)))
        groups.append(range(start, stop))
        start = stop
    return groups


def _places_of_products(n_columns: int) -> NDArray[np.intp]:
    """The place of the product of two columns, in either order, if each is multiplied by itself and by later ones."""
    column = np.arange(n_columns)
    first, second = np.minimum.outer(column, column), np.maximum.outer(column, column)
    return first * (2 * n_columns - first - 1) // 2 + second


def _products(table: FloatArray, chosen: range, offset: int, scratch: FloatArray | None = None) -> FloatArray:
    """The products of each `chosen` row of `table` with all rows from the one `offset` rows further on, in order."""
    length = len(chosen) * (len(table) - offset) - sum(chosen)
    products = np.empty((length, table.shape[1]), dtype=table.dtype) if scratch is None else scratch[:length]
    begin = 0
    for k in chosen:
        others = table[k + offset :]
        np.multiply(others, table[k], out=products[begin : begin + len(others)])
        begin += len(others)
    return products


def _square_roots(samples: LocalSamples, within: slice, theta: Float64Array, columns: ColumnStats) -> Triangle:
    """S^(1/2) R of the module's docstring."""
    n_logits, size, parameters = samples.n_logits, theta.size, samples.parameters(theta)
    total = Triangle(np.empty((0, size)))
    for block in samples.blocks(n_logits * size, within):
        standardized, weight = columns.standardized(block, samples.fit_intercept), block.weight
        logits = block.raw_prediction(*parameters)
        probability = logits.copy()
        normalize_in_place(probability)
        if n_logits == 1:
            normalize_in_place(np.negative(logits, out=logits))
            root = np.sqrt(probability * logits).T
            rows = (root if weight is None else root * np.sqrt(weight)[:, None]) * standardized
        else:
            # e_k - p, where 1 - p_k is computed as the sum of the others, since the difference would cancel.
            away = np.tile(-probability, (n_logits, 1, 1))
            for k in range(n_logits):
                away[k, k] = np.delete(probability, k, axis=0).sum(axis=0)
            away *= np.sqrt(probability if weight is None else probability * weight)[:, None]
            rows = np.einsum("kli,ij->kilj", away, standardized).reshape(-1, size)
        total += Triangle.of(rows)
    return total


def _diagonal(samples: LocalSamples, within: slice, theta: Float64Array, columns: ColumnStats) -> Float64Array:
    """The sum of s_i p_i (1 - p_i) (x_i - mean, 1)^2, of shape (n_logits, n_columns), or of the turned columns."""
    mean, parameters = columns.mean, samples.parameters(theta)
    total = np.zeros((samples.n_logits, samples.n_columns))

    def weighted(block: Block) -> FloatArray:
        curvature = weighted_curvature(block, *parameters)
        if samples.fit_intercept:
            total[:, -1] += curvature.sum(axis=1)
        return curvature

    if samples.is_sparse and columns.turn is None:  # without a dense copy of x
        for block in samples.blocks(samples.n_columns + samples.n_logits, within):
            curvature = weighted(block)
            moment, square = block.moments(curvature)
            total[:, : len(mean)] += square + mean**2 * curvature.sum(axis=1)[:, None] - 2 * mean * moment
    else:
        for block, _, square in squared_deviations(samples, within, columns, samples.n_logits):
            total[:, : len(mean)] += weighted(block) @ square
    return total


def _second_moment(samples: LocalSamples, within: slice, columns: ColumnStats) -> Float64Array:
    """The sum of s_i x~_i x~_i^T."""
    total = np.zeros((samples.n_columns, samples.n_columns))
    for block in samples.blocks(samples.n_columns, within):
        standardized, weight = columns.standardized(block, samples.fit_intercept), block.weight
        total += standardized.T @ standardized if weight is None else (standardized.T * weight) @ standardized
    return total
