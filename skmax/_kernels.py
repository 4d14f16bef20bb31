"""The kernels of a fit for arrays on a device, written with the functions of the array API standard.

Each is the twin of a kernel for NumPy, with the same formula and the same result, a NumPy array or number. The latter
has the derivation; it works in place and in scratch memory, which the standard does not offer, and which saves NumPy
half of the time. Products are in the dtype of the samples, and sums over blocks in float64 if the device has it.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from skmax import _columns, _objective
from skmax._arrays import as_numpy
from skmax._certificate import bound
from skmax._columns import ColumnStats
from skmax._hessian import measure
from skmax._preconditioner import sampling, shared
from skmax._samples import DeviceBlock, DeviceSamples, Float64Array, Maximum, base, twin_of


def _host(array: Any) -> Float64Array:
    return as_numpy(array).astype(np.float64)


class _Sum:
    """A table on the device to which blocks are added, in the dtype of sums."""

    def __init__(self, samples: DeviceSamples, *shape: int) -> None:
        self._xp, self._dtype = samples.xp, samples.sum_dtype
        self._total = self._xp.zeros(shape, dtype=self._dtype, device=samples.where.device)

    def add(self, part: Any) -> None:
        self._total = self._total + self._xp.astype(part, self._dtype, copy=False)

    def get(self) -> Float64Array:
        return _host(self._total)


class _RowSum:
    """sum_i s_i factor_i (x_i, 1)^T over the rows of blocks, class-major, as `Block.add_weighted_rows` computes it."""

    def __init__(self, samples: DeviceSamples) -> None:
        self._samples = samples
        self._coef = _Sum(samples, samples.n_logits, samples.n_features)
        self._intercept = _Sum(samples, samples.n_logits)

    def add(self, block: DeviceBlock, factor: Any) -> None:
        factor = _weighted(self._samples, block, factor)
        self._coef.add(factor @ block.x)
        if self._samples.fit_intercept:
            self._intercept.add(self._samples.xp.sum(factor, axis=1, dtype=self._samples.sum_dtype))

    def get(self) -> Float64Array:
        coef = self._coef.get()
        return np.column_stack([coef, self._intercept.get()]) if self._samples.fit_intercept else coef


def _weighted(samples: DeviceSamples, block: DeviceBlock, factor: Any) -> Any:
    """The class-major `factor` times the weights."""
    return factor if block.weight is None else factor * samples.xp.astype(block.weight, factor.dtype, copy=False)


def _weighted_sum(samples: DeviceSamples, block: DeviceBlock, values: Any) -> Any:
    """The weighted sum of one number for each row, on the device."""
    values = samples.xp.astype(values, samples.sum_dtype, copy=False)
    return samples.xp.sum(values if block.weight is None else block.weight * values)


def _of_positive_weight(samples: DeviceSamples, block: DeviceBlock, values: Any) -> Any:
    """The non-negative `values` of rows with positive weight, and 0 for the other rows."""
    return values if block.weight is None else samples.xp.where(block.weight > 0, values, samples.xp.zeros_like(values))


def _parameters(samples: DeviceSamples, theta: Float64Array) -> tuple[Any, Any]:
    """The coefficients and, as a column, the intercepts."""
    coef, intercept = samples.split(np.asarray(theta).ravel())
    return samples.put(coef), samples.put(intercept[:, None])


def _change(parameters: tuple[Any, Any], block: DeviceBlock) -> Any:
    """W x^T + b, class-major."""
    return parameters[0] @ block.x.T + parameters[1]


def raw_prediction(parameters: tuple[Any, Any], block: DeviceBlock) -> Any:
    """Class-major logits, W x^T + b + o."""
    change = _change(parameters, block)
    return change if block.offset is None else change + block.offset


def softmax(xp: Any, logits: Any) -> tuple[Any, Any]:
    """The probabilities of class-major logits, and the log-partition of each row."""
    if logits.shape[0] == 1:
        e, one = xp.exp(-xp.abs(logits)), xp.ones_like(logits)
        log_partition = xp.where(logits > 0, logits, xp.zeros_like(logits)) + xp.log1p(e)
        return xp.where(logits < 0, e, one) / (1 + e), log_partition[0, :]
    shift = xp.max(logits, axis=0)
    e = xp.exp(logits - shift)
    total = xp.sum(e, axis=0)
    return e / total, xp.log(total) + shift


def _probability(samples: DeviceSamples, parameters: tuple[Any, Any], block: DeviceBlock) -> Any:
    return softmax(samples.xp, raw_prediction(parameters, block))[0]


def _class_major_target(samples: DeviceSamples, block: DeviceBlock) -> Any:
    """The distributions over all classes, class-major."""
    xp = samples.xp
    if block.target.ndim == 1:
        classes = xp.arange(samples.n_classes, dtype=block.target.dtype, device=samples.where.device)
        return xp.astype(classes[:, None] == block.target[None, :], samples.product_dtype)
    total = xp.sum(block.target, axis=1, dtype=samples.sum_dtype)
    return xp.astype((block.target / total[:, None]).T, samples.product_dtype, copy=False)


def _distribution(samples: DeviceSamples, block: DeviceBlock) -> Any:
    """The distributions over the classes that have a logit, class-major."""
    return _class_major_target(samples, block)[samples.n_classes - samples.n_logits :, ...]


def _losses(samples: DeviceSamples, block: DeviceBlock, logits: Any) -> tuple[Any, Any]:
    """The cross-entropy of each row, and the residuals softmax(z) - y, as `losses_in_place` computes them."""
    xp, y = samples.xp, _class_major_target(samples, block)
    if logits.shape[0] == 1:
        z, second = logits[0, :], y[1, :]
        e, one = xp.exp(-xp.abs(z)), xp.ones_like(z)
        loss = xp.log1p(e) + xp.where(z > 0, (1 - second) * z, -second * z)
        against = xp.where(z > 0, e, one) / (1 + e)
        residual = xp.where(second > 0.5, (1 - second) - against, xp.where(z > 0, one, e) / (1 + e) - second)
        return loss, residual[None, :]
    shifted = logits - xp.max(logits, axis=0)
    e = xp.exp(shifted)
    total = xp.sum(e, axis=0)
    label = block.target if block.target.ndim == 1 else xp.argmax(y, axis=0)
    own = xp.arange(samples.n_classes, dtype=label.dtype, device=samples.where.device)[:, None] == label[None, :]
    others = e / total - y
    others = xp.where(own, xp.zeros_like(others), others)
    return xp.log(total) - xp.sum(y * shifted, axis=0), xp.where(own, -xp.sum(others, axis=0)[None, :], others)


def log_softmax(xp: Any, logits: Any) -> Any:
    """The logarithms of the probabilities of the classes, class-major."""
    shifted = logits - xp.max(logits, axis=0)
    return shifted - xp.log(xp.sum(xp.exp(shifted), axis=0))


def predictions(samples: DeviceSamples, coef: Any, intercept: Any, function: Callable[[Any, Any], Any]) -> Any:
    """`function(xp, logits)` of the class-major logits of all classes, block by block, in one array."""
    xp = samples.xp
    if str(coef.dtype).endswith("float64"):
        samples = samples.in_float64()
    parameters = xp.astype(coef, samples.product_dtype), xp.astype(intercept, samples.product_dtype)[:, None]
    second_is_certain = bool(intercept[0] == np.inf)
    parts = []
    for block in samples.blocks(max(2, coef.shape[0])):
        logits = raw_prediction(parameters, block)
        if coef.shape[0] == 1:
            zero = xp.zeros_like(logits)
            logits = xp.concat([-logits, zero] if second_is_certain else [zero, logits], axis=0)
        parts.append(function(xp, logits))
    return xp.concat(parts, axis=0)


@twin_of(base._target_sum)
def _target_sum(samples: DeviceSamples) -> Float64Array:
    total = _RowSum(samples)
    for block in samples.blocks(samples.n_classes):
        total.add(block, _distribution(samples, block))
    return total.get()


@twin_of(base._target_offset)
def _target_offset(samples: DeviceSamples) -> float:
    total = _Sum(samples)
    for block in samples.blocks(samples.n_classes):
        total.add(_weighted_sum(samples, block, samples.xp.sum(_distribution(samples, block) * block.offset, axis=0)))
    return float(total.get())


@twin_of(base._entropy)
def _entropy(samples: DeviceSamples) -> float:
    xp, total = samples.xp, _Sum(samples)
    if samples.target is not None and samples.target.ndim == 2:
        for block in samples.blocks(samples.n_classes):
            y = _class_major_target(samples, block)
            logarithm = xp.log(xp.where(y > 0, y, xp.ones_like(y)))
            total.add(_weighted_sum(samples, block, -xp.sum(y * logarithm, axis=0)))
    return float(total.get())


@twin_of(_objective._loss_and_gradient)
def _loss_and_gradient(samples: DeviceSamples, theta: Float64Array, by_rows: bool) -> Float64Array:
    parameters, gradient, loss_sum = _parameters(samples, theta), _RowSum(samples), _Sum(samples)
    for block in samples.blocks(samples.n_logits):
        logits = raw_prediction(parameters, block)
        if by_rows:
            loss, factor = _losses(samples, block, logits)
        else:
            factor, loss = softmax(samples.xp, logits)
        loss_sum.add(_weighted_sum(samples, block, loss))
        gradient.add(block, factor)
    return np.append(gradient.get(), loss_sum.get())


@twin_of(_objective._loss)
def _loss(samples: DeviceSamples, theta: Float64Array) -> float:
    parameters, total = _parameters(samples, theta), _Sum(samples)
    for block in samples.blocks(samples.n_logits):
        total.add(_weighted_sum(samples, block, _losses(samples, block, raw_prediction(parameters, block))[0]))
    return float(total.get())


@twin_of(_objective._probability_sum)
def _probability_sum(samples: DeviceSamples, theta: Float64Array) -> Float64Array:
    xp, parameters, total = samples.xp, _parameters(samples, theta), _Sum(samples, samples.n_logits)
    for block in samples.blocks(samples.n_logits):
        probability = _weighted(samples, block, _probability(samples, parameters, block))
        total.add(xp.sum(probability, axis=1, dtype=samples.sum_dtype))
    return total.get()


@twin_of(_objective._hessian_product)
def _hessian_product(samples: DeviceSamples, theta: Float64Array, direction: Float64Array) -> Float64Array:
    parameters, step, total = _parameters(samples, theta), _parameters(samples, direction), _RowSum(samples)
    for block in samples.blocks(samples.n_logits):
        probability, change = _probability(samples, parameters, block), _change(step, block)
        change = probability * (change - samples.xp.sum(probability * change, axis=0))
        total.add(block, change)
    return total.get()


def _spreads(samples: DeviceSamples, step: Float64Array) -> Iterator[tuple[DeviceBlock, Any]]:
    """Blocks with the largest change that `step` makes in the difference of two logits of each row."""
    xp, parameters = samples.xp, _parameters(samples, step)
    for block in samples.blocks(samples.n_logits):
        change = _change(parameters, block)
        if samples.n_logits == 1:
            yield block, xp.abs(change[0, :])
        else:
            yield block, xp.max(change, axis=0) - xp.min(change, axis=0)


@twin_of(_objective._largest_change)
def _largest_change(samples: DeviceSamples, step: Float64Array) -> Maximum:
    largest = 0.0
    for block, spread in _spreads(samples, step):
        largest = max(largest, float(samples.xp.max(_of_positive_weight(samples, block, spread))))
    return Maximum(largest)


@twin_of(_objective._changes)
def _changes(samples: DeviceSamples, step: Float64Array) -> Float64Array:
    xp, total = samples.xp, np.zeros(3)
    for block, spread in _spreads(samples, step):
        n_rows = block.stop - block.start
        counted = n_rows if block.weight is None else float(xp.sum(xp.astype(block.weight > 0, samples.sum_dtype)))
        own = _of_positive_weight(samples, block, spread)
        total += float(xp.sum(own, dtype=samples.sum_dtype)), counted, float(_weighted_sum(samples, block, spread))
    return total


@twin_of(_columns._moments)
def _moments(samples: DeviceSamples, first: Float64Array) -> Float64Array:
    xp, total = samples.xp, _Sum(samples, 2, samples.n_features)
    first = samples.put(first, np.float64)
    for block in samples.blocks(2 * samples.n_features):
        deviation = xp.astype(block.x, samples.sum_dtype, copy=False) - first
        weight = xp.ones_like(deviation[:, 0]) if block.weight is None else block.weight
        weight = weight[None, :]
        total.add(xp.concat([weight @ deviation, weight @ (deviation * deviation)], axis=0))
    return total.get()


class _Standardized:
    """The rows x~ of blocks, as `ColumnStats.standardized` computes them, in the dtype of sums."""

    def __init__(self, samples: DeviceSamples, columns: ColumnStats) -> None:
        self._samples = samples
        self._mean, self._scale = samples.put(columns.mean, np.float64), samples.put(columns.scale, np.float64)
        self._turn = None if columns.turn is None else samples.put(columns.turn, np.float64)

    def rows(self, block: DeviceBlock) -> Any:
        xp = self._samples.xp
        inner = (xp.astype(block.x, self._samples.sum_dtype, copy=False) - self._mean) / self._scale
        if self._turn is not None:
            inner = inner @ self._turn
        return xp.concat([inner, xp.ones_like(inner[:, :1])], axis=1) if self._samples.fit_intercept else inner


def _weighted_curvature(samples: DeviceSamples, parameters: tuple[Any, Any], block: DeviceBlock) -> Any:
    """s_i p_i (1 - p_i), class-major, in the dtype of sums."""
    probability = _probability(samples, parameters, block)
    curvature = samples.xp.astype(probability * (1 - probability), samples.sum_dtype, copy=False)
    return _weighted(samples, block, curvature)


@twin_of(measure._pairs)
def _pairs(samples: DeviceSamples, theta: Float64Array, columns: ColumnStats) -> Float64Array:
    xp, parameters, standardized = samples.xp, _parameters(samples, theta), _Standardized(samples, columns)
    n_logits, n_columns = samples.n_logits, samples.n_columns
    n_pairs = max(n_logits * (n_logits - 1) // 2, 1)
    total: list[Any] = [_Sum(samples, n_columns, n_columns) for _ in range(n_pairs)]
    if n_pairs > n_columns:
        total = [_Sum(samples, n_pairs, n_columns - j) for j in range(n_columns)]
    for block in samples.blocks(n_pairs + n_columns):
        rows = standardized.rows(block)
        probability = xp.astype(_probability(samples, parameters, block), samples.sum_dtype, copy=False)
        if n_logits == 1:
            weights = probability * (1 - probability)
        else:
            weights = xp.concat([probability[k + 1 :, :] * probability[k, :] for k in range(n_logits - 1)], axis=0)
        weights = _weighted(samples, block, weights)
        if n_pairs > n_columns:
            for j in range(n_columns):
                total[j].add(weights @ (rows[:, j:] * rows[:, j : j + 1]))
        else:
            for pair in range(n_pairs):
                total[pair].add(rows.T @ (rows * weights[pair, :][:, None]))
    if n_pairs <= n_columns:
        return np.array([pair.get() for pair in total])
    gram = np.empty((n_pairs, n_columns, n_columns))
    for j in range(n_columns):
        gram[:, j, j:] = gram[:, j:, j] = total[j].get()
    return gram


@twin_of(measure._diagonal)
def _diagonal(samples: DeviceSamples, theta: Float64Array, columns: ColumnStats) -> Float64Array:
    parameters, standardized = _parameters(samples, theta), _Standardized(samples, columns)
    total = _Sum(samples, samples.n_logits, samples.n_columns)
    for block in samples.blocks(samples.n_columns + samples.n_logits):
        rows = standardized.rows(block)
        total.add(_weighted_curvature(samples, parameters, block) @ (rows * rows))
    result = total.get()
    result[:, : samples.n_features] *= columns.unit
    return result


@twin_of(measure._second_moment)
def _second_moment(samples: DeviceSamples, columns: ColumnStats) -> Float64Array:
    standardized, total = _Standardized(samples, columns), _Sum(samples, samples.n_columns, samples.n_columns)
    for block in samples.blocks(samples.n_columns):
        rows = standardized.rows(block)
        total.add(_weighted(samples, block, rows.T) @ rows)
    return total.get()


@twin_of(bound._largest_reach)
def _largest_reach(samples: DeviceSamples, columns: ColumnStats, norm: Float64Array) -> Maximum:
    xp, standardized, norm = samples.xp, _Standardized(samples, columns), samples.put(norm, np.float64)
    largest = 0.0
    for block in samples.blocks(samples.n_columns):
        reach = xp.abs(standardized.rows(block)) @ norm
        largest = max(largest, float(xp.max(_of_positive_weight(samples, block, reach))))
    return Maximum(largest)


@twin_of(sampling._largest)
def _largest(
    samples: DeviceSamples,
    theta: Float64Array,
    columns: ColumnStats,
    inverse_diagonal: Float64Array,
    n_rows: int,
    together: bool,
    by_chance: bool,
) -> sampling.Largest:
    xp, parameters, standardized = samples.xp, _parameters(samples, theta), _Standardized(samples, columns)
    chance = sampling.chances(slice(0, samples.n_samples)) if by_chance else np.ones(samples.n_samples)
    candidates = sampling.Candidates(1 if together else samples.n_logits, n_rows + 1)
    inverse = samples.put(inverse_diagonal, np.float64)
    for block in samples.blocks(samples.n_columns + samples.n_logits):
        curvature = _weighted_curvature(samples, parameters, block)
        rows = standardized.rows(block)
        leverage = curvature * (inverse @ (rows * rows).T)
        if together:
            leverage = xp.sum(leverage, axis=0)[None, :]
        _consider(samples, candidates, block, chance, curvature, leverage)
    return candidates.largest()


@twin_of(shared._survey)
def _survey(samples: DeviceSamples, theta: Float64Array, columns: ColumnStats, n_rows: int) -> shared._Survey:
    xp, parameters, standardized = samples.xp, _parameters(samples, theta), _Standardized(samples, columns)
    chance, candidates = sampling.chances(slice(0, samples.n_samples)), sampling.Candidates(1, n_rows + 1)
    diagonal, trace = _Sum(samples, samples.n_columns), _Sum(samples, samples.n_logits)
    for block in samples.blocks(samples.n_columns + samples.n_logits):
        curvature = _weighted_curvature(samples, parameters, block)
        mean = xp.mean(curvature, axis=0)
        square = standardized.rows(block)
        square = square * square
        length = xp.sum(square, axis=1)
        trace.add(curvature @ length)
        diagonal.add(mean @ square)
        _consider(samples, candidates, block, chance, mean[None, :], (mean * length)[None, :])
    return shared._Survey(candidates.largest(), diagonal.get(), trace.get())


def _consider(
    samples: DeviceSamples,
    candidates: sampling.Candidates,
    block: DeviceBlock,
    chance: Float64Array,
    curvature: Any,
    leverage: Any,
) -> None:
    """Add the rows of a block to the candidates; only those that may be among the largest leave the device."""
    xp, index = samples.xp, np.arange(block.start, block.stop)
    priority = leverage / samples.put(chance[block.start : block.stop], np.float64)
    if candidates.least.any():
        kept = xp.any(priority > samples.put(candidates.least, np.float64)[:, None], axis=0)
        index = index[as_numpy(kept)]
        where = samples.where.put(index - block.start, np.int64)
        priority, curvature, leverage = (xp.take(table, where, axis=1) for table in (priority, curvature, leverage))
    if len(index):
        candidates.add(_host(priority), index, _host(curvature), _host(leverage))


@twin_of(shared._moment)
def _moment(samples: DeviceSamples, root: Float64Array, columns: ColumnStats) -> Float64Array:
    xp, standardized = samples.xp, _Standardized(samples, columns)
    total = _Sum(samples, samples.n_columns, samples.n_columns)
    for block in samples.blocks(samples.n_columns):
        rows = standardized.rows(block) * samples.put(root[block.start : block.stop, None], np.float64)
        rows = xp.astype(rows, samples.product_dtype, copy=False)
        total.add(rows.T @ rows)
    return total.get()
