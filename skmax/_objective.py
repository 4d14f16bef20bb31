"""The objective that a fit minimises, and its gradient, as sums over blocks of rows.

For rows x_i of X, target distributions y_i, sample weights s_i with sum S, logits z_i = W x_i + b + o_i with given
offsets o_i, which are mostly none, and the penalty Q of `skmax._penalty`, which is (weight_decay / 2) ||W||_F^2 unless
it has factors or prior means::

    f(W, b)      = (1/S) sum_i s_i [ logsumexp(z_i) - <y_i, z_i> ]  +  Q(W)
    df / dz_i    = (s_i / S) (softmax(z_i) - y_i)
    df / dW      = sum_i (df / dz_i) x_i^T  +  dQ / dW
    df / db      = sum_i (df / dz_i)

The target enters linearly, so it is needed only once, and never inside the loop::

    sum_i s_i <y_i, z_i> = <W, A> + <b, a> + sum_i s_i <y_i, o_i>    with A = sum_i s_i y_i x_i^T,  a = sum_i s_i y_i

Three or more classes have a logit each. Two have one, that of the second class; the first one's is 0.

Conventions: parameters are one float64 array `theta` of shape (n_logits, n_features + 1), the intercept b in its last
column (absent without intercept); logits of a block are class-major, of shape (n_logits, n_rows), so that NumPy's
reductions over classes run along the long axis. Products are taken in the dtype of X, sums over blocks in float64.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from skmax._penalty import NO_PENALTY, Penalty
from skmax._samples import Block, Float64Array, LocalSamples, Maximum, Samples
from skmax._softmax import FloatArray, losses_in_place, normalize_in_place

# The largest growth of a row's loss along a direction of recession, where the largest change of a logit is 1 or more.
_NO_GROWTH = 1e-4
# A weight decay is weak if it is less than this share of the default, 1/S.
_WEAK = 0.01


@dataclass(frozen=True, eq=False)
class Objective:
    """The function f of the module's docstring: flat theta -> (value, flat gradient).

    Attributes
    ----------
    samples : Samples
        X, the targets and the sample weights. The intercepts in `theta` are those at the origin of the samples.
    penalty : Penalty
    by_rows : bool
        Whether to subtract the target from the probabilities of each row; see `exactly`.
    """

    samples: Samples
    penalty: Penalty = NO_PENALTY
    by_rows: bool = False

    @property
    def weight_decay(self) -> float:
        return self.penalty.weight_decay

    @property
    def n_classes(self) -> int:
        return self.samples.n_classes

    @property
    def n_logits(self) -> int:
        return self.samples.n_logits

    @property
    def n_features(self) -> int:
        return self.samples.n_features

    @property
    def n_columns(self) -> int:
        return self.samples.n_columns

    @property
    def fit_intercept(self) -> bool:
        return self.samples.fit_intercept

    @property
    def cost(self) -> int:
        return self.samples.cost

    def with_samples(self, samples: Samples) -> Self:
        """The same function of other samples, or of the same ones in other columns."""
        return replace(self, samples=samples)

    def penalised(self, weight_decay: float) -> Self:
        """The same function with another weight decay. Cached properties of the samples are shared."""
        return replace(self, penalty=self.penalty.decayed(weight_decay))

    def exactly(self) -> Self:
        """The same function, as accurate as possible: with products in float64, whatever the dtype of X, and by rows.

        A float32 X is converted block by block. The target is subtracted from the probabilities of each row,
        softmax(z_i) - y_i. The difference of two sums would lose the residuals of rows whose class is almost certain,
        which matter if the rows are long.
        """
        return replace(self, samples=self.samples.in_float64(), by_rows=True)

    def without(
        self, theta: Float64Array, which: Callable[..., NDArray[np.bool_]], *args: Any
    ) -> tuple[Self, float] | None:
        """Leave out the rows for which `which(block, *args)` is true.

        The results are the objective of the other rows, and the part of f at `theta` that the left-out rows account
        for. They are None if no weight would be left, or if no weight would be removed.
        """
        samples = self.samples.without(which, *args, cost=self.cost)
        if not 0 < samples.weight_sum < self.samples.weight_sum:
            return None
        kept, penalty = self.with_samples(samples), self.penalty.value(self.split(theta)[0])
        rest = (kept.value(theta) - penalty) * samples.weight_sum / self.samples.weight_sum
        return kept, max(0.0, self.value(theta) - penalty - rest)

    def __call__(self, theta: Float64Array) -> tuple[float, Float64Array]:
        table = theta.reshape(self.n_logits, self.n_columns)
        sums = self.samples.sum(_loss_and_gradient, table, self.by_rows, cost=self.cost)
        loss_sum, gradient_sum = sums[-1], sums[:-1].reshape(table.shape)
        if not self.by_rows:
            target_sum = self.samples.target_sum
            loss_sum, gradient_sum = loss_sum - np.vdot(table, target_sum), gradient_sum - target_sum
            if self.samples.has_offset:
                loss_sum -= self.samples.target_offset
        coef = table[:, : self.n_features]
        value = loss_sum / self.samples.weight_sum + self.penalty.value(coef)
        gradient = gradient_sum / self.samples.weight_sum
        gradient[:, : self.n_features] += self.penalty.gradient(coef)
        return float(value), gradient.ravel()

    def value(self, theta: Float64Array) -> float:
        """f alone, from the loss of each row."""
        loss = self.samples.sum(_loss, theta, cost=self.cost) / self.samples.weight_sum
        return float(loss + self.penalty.value(self.split(theta)[0]))

    @property
    def floor(self) -> float:
        """A lower bound of f: the mean entropy of the targets, which is 0 for labels."""
        return self.samples.mean_entropy

    @property
    def has_weak_penalty(self) -> bool:
        """Whether the penalty adds almost no curvature to directions in which the loss has none."""
        return self.penalty.least * self.samples.weight_sum < _WEAK

    def largest_change(self, step: Float64Array) -> float:
        """The largest change that `step` makes in the difference of two logits of a row with weight."""
        return float(self.samples.sum(_largest_change, step, cost=self.cost))

    def mean_change(self, step: Float64Array) -> float:
        """The mean, over the rows with weight, of the largest change that `step` makes in a difference of two logits.

        With weights, it is the smaller of the means with and without them.
        """
        total = self.samples.sum(_changes, step, cost=self.cost)
        return float(min(total[0] / total[1], total[2] / self.samples.weight_sum))

    def penalty_curvature(self, step: Float64Array) -> float:
        """The second derivative of the penalty along `step`."""
        coef = self.split(step)[0]
        return float(np.vdot(coef, self.penalty.product(coef)))

    def receding(self, step: Float64Array) -> Float64Array | None:
        """The part of `step` that is a direction of recession, or None.

        The minimum may be at infinity along coefficients without a penalty.
        """
        if not self.penalty.has_free:
            return None
        free = self.free_part(step)
        return free if self.recession(free).is_one() else None

    def free_part(self, step: Float64Array) -> Float64Array:
        """The part of `step` along which the penalty does not change."""
        if self.penalty.is_none:
            return step
        coef, intercept = self.split(step)
        return self.join(self.penalty.free_part(coef), intercept).ravel()

    def recession(self, step: Float64Array) -> "Recession":
        """The change of the losses in the limit of many times `step`."""
        return self.samples.sum(_recession, step, cost=self.cost)

    def mean_probability(self, theta: Float64Array) -> Float64Array:
        """The weighted mean of the rows' probabilities, of shape (n_logits,)."""
        return self.samples.sum(_probability_sum, theta, cost=self.cost // 2) / self.samples.weight_sum

    def probability_at_intercepts(self, theta: Float64Array) -> Float64Array:
        """Probabilities of shape (n_logits,) of a row at the origin."""
        logits = self.split(theta)[1][:, None]
        normalize_in_place(logits)
        return logits[:, 0]

    def hessian_product(self, theta: Float64Array, direction: Float64Array) -> Float64Array:
        """The product of the Hessian of f at `theta` with `direction`, both flat.

        With q_i the logits of `direction`, it is the sum of s_i p_i (q_i - <p_i, q_i>) (x_i, 1)^T over the rows, as
        (diag(p) - p p^T) q = p (q - <p, q>).
        """
        total = self.samples.sum(_hessian_product, theta, direction, cost=2 * self.cost) / self.samples.weight_sum
        total[:, : self.n_features] += self.penalty.product(self.split(direction)[0])
        return total.ravel()

    def split(self, theta: Float64Array) -> tuple[Float64Array, Float64Array]:
        """Coefficients and intercepts in flat `theta`; without intercept, zeros."""
        return self.samples.split(theta)

    def join(self, coef: Float64Array, intercept: Float64Array) -> Float64Array:
        """The table `theta`, of shape (n_logits, n_columns), of coefficients and intercepts."""
        return np.column_stack([coef, intercept]) if self.fit_intercept else coef


def _loss_and_gradient(samples: LocalSamples, within: slice, theta: Float64Array, by_rows: bool) -> Float64Array:
    """The flat gradient of sum_i s_i logsumexp(z_i), followed by that sum; not normalised, not penalised.

    With `by_rows`, they include the target.
    """
    parameters = samples.parameters(theta)
    total = np.zeros(theta.size + 1)
    gradient_sum = total[:-1].reshape(theta.shape)
    scratch = None
    for block in samples.blocks(samples.n_logits, within):
        if scratch is None:
            # For all blocks, as memory that is given back after each, as on Dask's workers, has to be cleared anew.
            scratch = np.empty(samples.n_logits * block.n_rows, dtype=samples.dtype)
        logits = block.raw_prediction(*parameters, scratch)
        # In place, the logits become residuals, or probabilities.
        loss = losses_in_place(logits, block.class_major_target()) if by_rows else normalize_in_place(logits)
        total[-1] += block.weighted_sum(loss)
        block.add_weighted_rows(gradient_sum, logits)
    return total


def _loss(samples: LocalSamples, within: slice, theta: Float64Array) -> float:
    """The sum of s_i [ logsumexp(z_i) - <y_i, z_i> ]."""
    parameters = samples.parameters(theta)
    total = 0.0
    for block in samples.blocks(samples.n_logits, within):
        total += block.weighted_sum(losses_in_place(block.raw_prediction(*parameters), block.class_major_target()))
    return total


def _probability_sum(samples: LocalSamples, within: slice, theta: Float64Array) -> Float64Array:
    """The weighted sum of the probabilities."""
    parameters, total = samples.parameters(theta), np.zeros(samples.n_logits)
    for block in samples.blocks(samples.n_logits, within):
        total += block.probability(*parameters).astype(np.float64, copy=False) @ block.weights()
    return total


@dataclass(frozen=True)
class Recession:
    """The limit of the losses along a step, which tells whether the step is a direction of recession.

    Along a direction with changes q of a row's logits, its loss finally grows as max_k q_k - <y, q>, which is at least
    0. If it is 0 for all rows, no loss grows, and the loss of any row falls if two of its logits change by different
    amounts. The sum of the objects of two sets of rows is that of all their rows.

    Attributes
    ----------
    growth : float
        The largest max_k q_k - <y, q> of a row with weight.
    change : ndarray of shape (n_classes,)
        For each class, the largest difference of two q of a row in whose target that class is the most probable.
    """

    growth: float
    change: Float64Array

    def __add__(self, other: "Recession") -> "Recession":
        return Recession(max(self.growth, other.growth), np.maximum(self.change, other.change))

    def is_one(self) -> bool:
        """Whether the step is a direction of recession, up to the growth that an inexact minimum leaves."""
        change = self.change.max()
        return bool(change > 0 and self.growth <= _NO_GROWTH * min(1.0, change))


def _recession(samples: LocalSamples, within: slice, step: Float64Array) -> Recession:
    """`Objective.recession` of the rows `within`."""
    parameters = samples.parameters(step)
    total = Recession(0.0, np.zeros(samples.n_classes))
    for block in samples.blocks(samples.n_logits, within):
        change = block.change(*parameters)
        own = np.einsum("ij,ij->j", block.distribution(), change)
        if len(change) == 1:
            change = np.vstack([np.zeros_like(change), change])
        label = block.target if block.target.ndim == 1 else block.target.argmax(axis=1)
        by_class = np.zeros(samples.n_classes)
        np.maximum.at(by_class, block.with_positive_weight(label), block.with_positive_weight(np.ptp(change, axis=0)))
        growth = block.with_positive_weight(change.max(axis=0) - own)
        total += Recession(float(growth.max(initial=0)), by_class)
    return total


def logit_spread(change: FloatArray) -> FloatArray:
    """The largest difference of two class-major changes of logits of each row; a single logit changes against 0."""
    return np.abs(change[0]) if len(change) == 1 else change.max(axis=0) - change.min(axis=0)


def _spreads(samples: LocalSamples, within: slice, step: Float64Array) -> Iterator[tuple[Block, FloatArray]]:
    """Blocks with the largest change that `step` makes in the difference of two logits of each row."""
    parameters = samples.parameters(step)
    for block in samples.blocks(samples.n_logits, within):
        change = block.change(*parameters)
        yield block, logit_spread(change)


def _largest_change(samples: LocalSamples, within: slice, step: Float64Array) -> Maximum:
    """`Objective.largest_change` among the rows `within`."""
    spreads = (block.with_positive_weight(spread) for block, spread in _spreads(samples, within, step))
    return Maximum(max((float(spread.max(initial=0)) for spread in spreads), default=0.0))


def _changes(samples: LocalSamples, within: slice, step: Float64Array) -> Float64Array:
    """The sum of the changes of the rows with weight, their number, and the weighted sum."""
    total = np.zeros(3)
    for block, spread in _spreads(samples, within, step):
        counted = block.with_positive_weight(spread)
        total += counted.sum(dtype=np.float64), len(counted), block.weighted_sum(spread)
    return total


def _hessian_product(
    samples: LocalSamples, within: slice, theta: Float64Array, direction: Float64Array
) -> Float64Array:
    """`Objective.hessian_product`, not normalised, not penalised.

    One product with X gives the logits of both tables. With few classes it takes as long as that of one alone, and in
    float64 the rows are converted once. (10000 x 2304 and 10 classes, float32: 38 ms, and 47 ms with two products.)
    """
    n_logits = samples.n_logits
    both = zip(samples.parameters(theta), samples.parameters(direction), strict=True)
    coef, intercept = (np.concatenate(pair) for pair in both)
    total = np.zeros((n_logits, samples.n_columns))
    for block in samples.blocks(2 * n_logits, within):
        logits = block.change(coef, intercept)
        probability, change = logits[:n_logits], logits[n_logits:]
        if block.offset is not None:
            probability += block.offset
        normalize_in_place(probability)
        change -= np.einsum("ij,ij->j", probability, change)
        change *= probability
        block.add_weighted_rows(total, change)
    return total
