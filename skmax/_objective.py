"""The objective that a fit minimises, and its gradient, as sums over blocks of rows.

For rows x_i of X, target distributions y_i, sample weights s_i with sum S, and logits z_i = W x_i + b::

    f(W, b)      = (1/S) sum_i s_i [ logsumexp(z_i) - <y_i, z_i> ]  +  (weight_decay / 2) ||W||_F^2
    df / dz_i    = (s_i / S) (softmax(z_i) - y_i)
    df / dW      = sum_i (df / dz_i) x_i^T  +  weight_decay W
    df / db      = sum_i (df / dz_i)

The target enters linearly, so that it is needed once and never inside the loop::

    sum_i s_i <y_i, z_i> = <W, A> + <b, a>    with A = sum_i s_i y_i x_i^T,  a = sum_i s_i y_i

Three or more classes have a logit each. Two have one, that of the second class; the first one's is 0.

Conventions: parameters are one float64 array `theta` of shape (n_logits, n_features + 1), the intercept b in its last
column (absent without intercept); logits of a block are class-major, of shape (n_logits, n_rows), so that NumPy's
reductions over classes run along the long axis. Products are taken in the dtype of X, sums over blocks in float64.
"""

import copy
import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import special

from skmax._rows import LOGIT_COST, Design, Float64Array, Maximum, Rows, raw_prediction
from skmax._softmax import FloatArray, losses_in_place, normalize_in_place

T = TypeVar("T")

# What a row's loss may grow by, where the largest change is 1 or more, along a direction in which f falls for ever.
_NO_GROWTH = 1e-4


class Objective:
    """The function f of the module's docstring: flat theta -> (value, flat gradient).

    Parameters
    ----------
    rows : Rows
        X and the sample weights. The intercepts in `theta` are those at their origin.
    target : ndarray of int, shape (n_samples,), or of numbers, shape (n_samples, n_classes)
        Class indices or distributions.
    n_classes, n_logits : int
        As many logits as classes, or a single one for two classes.
    weight_decay : float
    fit_intercept : bool
    """

    def __init__(
        self,
        rows: Rows,
        target: NDArray,
        *,
        n_classes: int,
        n_logits: int,
        weight_decay: float,
        fit_intercept: bool,
    ) -> None:
        self.target = target
        self.n_classes = n_classes
        self.n_logits = n_logits
        self.weight_decay = weight_decay
        self.fit_intercept = fit_intercept
        self.by_rows = False
        self._see(rows)

    def _see(self, rows: Rows) -> None:
        self.rows = rows
        self.n_features = rows.n_features
        self.n_columns = rows.n_features + self.fit_intercept
        self.cost = self.n_logits * (2 * self.n_columns + LOGIT_COST)

    def __call__(self, theta: Float64Array) -> tuple[float, Float64Array]:
        theta = theta.reshape(self.n_logits, self.n_columns)
        sums = self.sum(_loss_and_gradient, theta, self.by_rows, cost=self.cost)
        loss_sum, gradient_sum = sums[-1], sums[:-1].reshape(theta.shape)
        if not self.by_rows:
            loss_sum, gradient_sum = loss_sum - np.vdot(theta, self._target_sum), gradient_sum - self._target_sum
        coef = theta[:, : self.n_features]
        value = loss_sum / self.rows.weight_sum + self._penalty(coef)
        gradient = gradient_sum / self.rows.weight_sum
        gradient[:, : self.n_features] += self.weight_decay * coef
        return float(value), gradient.ravel()

    def value(self, theta: Float64Array) -> float:
        """f alone, from the loss of each row."""
        loss = self.sum(_loss, theta, cost=self.cost) / self.rows.weight_sum
        coef, _ = self.split(theta)
        return float(loss + self._penalty(coef))

    def _penalty(self, coef: Float64Array) -> float:
        # Without it, coefficients may be too large to be squared.
        return self.weight_decay / 2 * float(np.vdot(coef, coef)) if self.weight_decay else 0.0

    @functools.cached_property
    def floor(self) -> float:
        """What f is nowhere below: the mean entropy of the targets, which is 0 for labels."""
        return float(self.sum(_entropy, cost=self.cost)) / self.rows.weight_sum

    def largest_change(self, step: Float64Array) -> float:
        """The largest change, over the rows with weight, that `step` makes in the difference of two logits."""
        return float(self.sum(_largest_change, step, cost=self.cost))

    def recedes(self, step: Float64Array) -> bool:
        """Whether f falls for ever along `step`: without weight decay, it may have its minimum at infinity."""
        return self.weight_decay == 0 and self.recession(step).is_one()

    def recession(self, step: Float64Array) -> "Recession":
        """What `step` does to each row, in the limit of many such steps."""
        return self.sum(_recession, step, cost=self.cost)

    def exactly(self) -> "Objective":
        """The same to as many digits as there are: with products in float64, whatever X is, and differences by rows.

        An X of float32 is converted block by block. The target enters in each row's residual, softmax(z_i) - y_i, as
        the difference of the sums would hide the residuals of sure rows, which count if the rows are long.
        """
        other = self.over(self.rows.in_float64())
        other.by_rows = True
        return other

    def penalised(self, weight_decay: float) -> "Objective":
        """The same with another weight decay. What is known of the data is shared."""
        other = copy.copy(self)
        other.weight_decay = weight_decay
        return other

    def probability(self, theta: Float64Array, x: Design) -> FloatArray:
        """Class-major probabilities of shape (n_logits, n_rows), for rows `x`."""
        probability = self.raw_prediction(x, *self.split(theta))
        normalize_in_place(probability)
        return probability

    def residual(self, probability: FloatArray, block: slice) -> FloatArray:
        """softmax(z_i) - y_i, class-major, for the rows of `block` with their probabilities."""
        return probability - self.distribution(block)

    def of_rows(self, index: NDArray[np.intp], factor: Float64Array) -> "Objective":
        """The objective over some rows, their weights multiplied by `factor`."""
        return Objective(
            self.rows.take(index, factor),
            self.target[index],
            n_classes=self.n_classes,
            n_logits=self.n_logits,
            weight_decay=self.weight_decay,
            fit_intercept=self.fit_intercept,
        )

    def over(self, rows: Rows) -> "Objective":
        """The same, of the same rows in the columns that they have in `rows`."""
        other = copy.copy(self)
        other.__dict__.pop("_target_sum", None)  # of the columns as they were
        other._see(rows)
        return other

    def without(
        self, which: Callable[..., NDArray[np.bool_]], theta: Float64Array, *args: Any
    ) -> "tuple[Objective, float] | None":
        """The objective without the rows for which `which(self, block, x, *args)`, and their share of f at `theta`.

        None if nothing would be left, or is.
        """
        given = self.rows.sample_weight
        weight = np.ones(self.rows.n_samples) if given is None else given.copy()

        def drop(within: slice) -> int:
            for block, x, _ in self.rows.blocks(self.n_columns, within):
                weight[block][which(self, block, x, *args)] = 0
            return 0

        self.rows.over(drop, n=self.rows.n_samples, cost=self.cost)
        total = weight.sum()
        if not 0 < total < self.rows.weight_sum:
            return None
        kept = self.over(self.rows.weighted(weight))
        coef, _ = self.split(theta)
        penalty = self._penalty(coef)
        loss = (self.value(theta) - penalty) - (kept.value(theta) - penalty) * total / self.rows.weight_sum
        return kept, max(0.0, float(loss))

    def here(self) -> "Objective":
        """The same with its rows at hand."""
        return self

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
        total = self.sum(_hessian_product, theta, direction, cost=2 * self.cost) / self.rows.weight_sum
        total[:, : self.n_features] += self.weight_decay * self.split(direction)[0]
        return total.ravel()

    def sum(self, function: Callable[..., T], *args: Any, cost: int) -> T:
        """The sum of `function(self, range, *args)` over ranges of rows that make up all of them; see `Rows.sum`."""
        return self.rows.over(functools.partial(function, self), *args, n=self.rows.n_samples, cost=cost)

    def split(self, theta: Float64Array) -> tuple[Float64Array, Float64Array]:
        """Coefficients and intercepts in flat `theta`; without intercept, zeros."""
        table = theta.reshape(self.n_logits, self.n_columns)
        intercept = table[:, -1].copy() if self.fit_intercept else np.zeros(self.n_logits)
        return np.ascontiguousarray(table[:, : self.n_features]), intercept

    def join(self, coef: Float64Array, intercept: Float64Array) -> Float64Array:
        """`theta`, of shape (n_logits, n_columns), of coefficients and intercepts."""
        return np.column_stack([coef, intercept]) if self.fit_intercept else coef

    @functools.cached_property
    def _target_sum(self) -> Float64Array:
        """(A, a) of the module's docstring: measured with the first evaluation, as a sample of rows has none."""
        return self.sum(_target_sum, cost=self.cost)

    def distribution(self, block: slice) -> FloatArray:
        """Target distributions of the rows of `block`, class-major, of shape (n_logits, n_rows), in a new array."""
        target, first = self.class_major(block), self.n_classes - self.n_logits
        if target.ndim == 1:
            return np.equal.outer(np.arange(first, self.n_classes), target).astype(self.rows.dtype)
        return target[first:]

    def class_major(self, block: slice) -> NDArray:
        """Class indices of the rows of `block`, or their distributions, of shape (n_classes, n_rows)."""
        target = self.target[block]
        if target.ndim == 1:
            return target
        # Rows that sum to 1 only nearly would tilt f along the redundant direction of the intercepts, without end.
        return np.ascontiguousarray(target.T / target.sum(axis=1, dtype=np.float64), dtype=self.rows.dtype)

    def raw_prediction(self, x: Design, coef: Float64Array, intercept: Float64Array) -> FloatArray:
        """Logits of rows `x`, class-major, in the dtype of X."""
        dtype = self.rows.dtype
        return raw_prediction(x, coef.astype(dtype, copy=False), intercept.astype(dtype, copy=False))

    def add_weighted_rows(
        self, total: Float64Array, factor: FloatArray, x: Design, weight: Float64Array | None
    ) -> None:
        """Add sum_i s_i factor_i (x_i, 1)^T to `total`. The class-major `factor` is overwritten."""
        if weight is not None:
            factor *= weight.astype(factor.dtype, copy=False)
        total[:, : self.n_features] += (x.T @ factor.T).T if self.rows.is_sparse else factor @ x
        if self.fit_intercept:
            total[:, -1] += factor.sum(axis=1, dtype=np.float64)


def _loss_and_gradient(objective: Objective, within: slice, theta: Float64Array, by_rows: bool) -> Float64Array:
    """The gradient of sum_i s_i logsumexp(z_i), flat, and that sum itself: not normalised, not penalised.

    With `by_rows`, of the sum of s_i times the losses, the target included.
    """
    coef, intercept = objective.split(theta)
    total = np.zeros(theta.size + 1)
    gradient_sum = total[:-1].reshape(objective.n_logits, -1)
    for block, x, weight in objective.rows.blocks(objective.n_logits, within):
        logits = objective.raw_prediction(x, coef, intercept)
        # The logits are residuals, or probabilities, from here on.
        loss = losses_in_place(logits, objective.class_major(block)) if by_rows else normalize_in_place(logits)
        total[-1] += loss.sum(dtype=np.float64) if weight is None else weight @ loss
        objective.add_weighted_rows(gradient_sum, logits, x, weight)
    return total


def _loss(objective: Objective, within: slice, theta: Float64Array) -> float:
    """The sum of s_i [ logsumexp(z_i) - <y_i, z_i> ]."""
    coef, intercept = objective.split(theta)
    total = 0.0
    for block, x, weight in objective.rows.blocks(objective.n_logits, within):
        loss = losses_in_place(objective.raw_prediction(x, coef, intercept), objective.class_major(block))
        total += float(loss.sum(dtype=np.float64) if weight is None else weight @ loss)
    return total


@dataclass(frozen=True)
class Recession:
    """A step along which f falls for ever, if it is one; those of two sets of rows add up to that of both.

    Along a direction with changes q of a row's logits, its loss grows in the end as max_k q_k - <y, q>, which is never
    below 0. If that is 0 for all rows, no loss ever grows; one falls wherever two logits change by different amounts.

    Attributes
    ----------
    growth : float
        The largest max_k q_k - <y, q> of a row with weight.
    change : ndarray of shape (n_classes,)
        The largest difference of two q of the rows of each class, if that is the most probable one in their targets.
    """

    growth: float
    change: Float64Array

    def __add__(self, other: "Recession") -> "Recession":
        return Recession(max(self.growth, other.growth), np.maximum(self.change, other.change))

    def is_one(self) -> bool:
        """Whether there is no more growth than there may be from what is not yet at its minimum."""
        return self.growth <= _NO_GROWTH * min(1.0, self.change.max())


def _recession(objective: Objective, within: slice, step: Float64Array) -> Recession:
    """`Objective.recession` of the rows `within`."""
    total = Recession(0.0, np.zeros(objective.n_classes))
    for block, x, weight in objective.rows.blocks(objective.n_logits, within):
        change = objective.raw_prediction(x, *objective.split(step))
        own = np.einsum("ij,ij->j", objective.distribution(block), change)
        if len(change) == 1:
            change = np.vstack([np.zeros_like(change), change])
        growth, spread = change.max(axis=0) - own, np.ptp(change, axis=0)
        target = objective.target[block]
        label = target if target.ndim == 1 else target.argmax(axis=1)
        if weight is not None:
            growth, spread, label = growth[weight > 0], spread[weight > 0], label[weight > 0]
        by_class = np.zeros(objective.n_classes)
        np.maximum.at(by_class, label, spread)
        total += Recession(float(growth.max(initial=0)), by_class)
    return total


def _entropy(objective: Objective, within: slice) -> float:
    """The sum of s_i times the entropy of y_i."""
    total = 0.0
    if objective.target.ndim == 1:
        return total
    for block, _, weight in objective.rows.blocks(objective.n_classes, within):
        entropy = special.entr(objective.class_major(block)).sum(axis=0, dtype=np.float64)
        total += float(entropy.sum() if weight is None else weight @ entropy)
    return total


def _largest_change(objective: Objective, within: slice, step: Float64Array) -> Maximum:
    """`Objective.largest_change` among the rows `within`."""
    coef, intercept = objective.split(step)
    largest = 0.0
    for _, x, weight in objective.rows.blocks(objective.n_logits, within):
        change = objective.raw_prediction(x, coef, intercept)
        spread = np.abs(change[0]) if len(change) == 1 else change.max(axis=0) - change.min(axis=0)
        largest = max(largest, float((spread if weight is None else spread[weight > 0]).max(initial=0)))
    return Maximum(largest)


def _target_sum(objective: Objective, within: slice) -> Float64Array:
    """(A, a) of the module's docstring."""
    total = np.zeros((objective.n_logits, objective.n_columns))
    for block, x, weight in objective.rows.blocks(objective.n_logits, within):
        objective.add_weighted_rows(total, objective.distribution(block), x, weight)
    return total


def _hessian_product(objective: Objective, within: slice, theta: Float64Array, direction: Float64Array) -> Float64Array:
    """`Objective.hessian_product`, not normalised, not penalised."""
    coef, intercept = objective.split(direction)
    total = np.zeros((objective.n_logits, objective.n_columns))
    for _, x, weight in objective.rows.blocks(objective.n_logits, within):
        probability = objective.probability(theta, x)
        change = objective.raw_prediction(x, coef, intercept)
        change -= np.einsum("ij,ij->j", probability, change)
        change *= probability
        objective.add_weighted_rows(total, change, x, weight)
    return total
