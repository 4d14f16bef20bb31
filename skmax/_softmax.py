"""The softmax and its cross-entropy, for one raw prediction or a whole array of them.

For logits ``z`` (one per class) and a target distribution ``y`` over the classes::

    softmax(z)_k        = exp(z_k) / sum_l exp(z_l)
    log_softmax(z)_k    = z_k - logsumexp(z)
    cross_entropy(z, y) = - <y, log_softmax(z)> = logsumexp(z) - <y, z>      as sum_k y_k = 1
    its gradient in z   = softmax(z) - y

The row maximum is subtracted before exponentials, ``logsumexp(z) = m + logsumexp(z - m)``, so that the largest
term is exp(0) = 1: nothing overflows, and the sum is at least 1.

The public functions have the classes on the last axis. `normalize_in_place`, in which a fit spends most of its time,
has them on the first axis.
"""

from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

FloatArray: TypeAlias = NDArray[np.floating]
Parameters: TypeAlias = tuple[NDArray, NDArray]  # coefficients and intercepts

# If the largest logit of each row is no further from zero than this, exponentials are accurate without the shift. The
# check pays in tables of more than the second number of logits.
_NO_SHIFT: dict[type, float] = {np.float64: 600.0, np.float32: 60.0}
_LARGE = 2**13


def _as_float(raw_prediction: ArrayLike) -> FloatArray:
    logits = np.asarray(raw_prediction)
    if logits.dtype.kind not in "fiub":
        raise TypeError(f"raw_prediction must be an array of real numbers; got dtype {logits.dtype}.")
    if logits.ndim == 0 or logits.shape[-1] == 0:
        raise ValueError(f"raw_prediction must have at least one class on its last axis; got shape {logits.shape}.")
    return logits if logits.dtype.kind == "f" else logits.astype(np.float64)


def softmax(raw_prediction: ArrayLike) -> FloatArray:
    """Probabilities of the classes, from their logits.

    Parameters
    ----------
    raw_prediction : array-like of shape (..., n_classes)
        Logits. Adding the same number to all logits of a row changes nothing.

    Returns
    -------
    probability : ndarray of shape (..., n_classes), float
        Non-negative, summing to 1 along the last axis. float32 stays float32.

    Raises
    ------
    TypeError
        If `raw_prediction` does not hold real numbers.
    ValueError
        If it has no class axis.

    References
    ----------
    C. M. Bishop (2006). Pattern Recognition and Machine Learning. Springer. Section 4.3.4.

    Examples
    --------
    >>> from skmax import softmax
    >>> softmax([2.0, 3.0, 4.0]).round(4).tolist()
    [0.09, 0.2447, 0.6652]
    """
    return special.softmax(_as_float(raw_prediction), axis=-1)


def log_softmax(raw_prediction: ArrayLike) -> FloatArray:
    """Logarithms of `softmax`, finite even if the probability itself underflows to zero.

    Parameters
    ----------
    raw_prediction : array-like of shape (..., n_classes)
        Logits.

    Returns
    -------
    log_probability : ndarray of shape (..., n_classes), float
        At most 0. float32 stays float32.

    Raises
    ------
    TypeError, ValueError
        As `softmax` does.

    Examples
    --------
    >>> from skmax import log_softmax
    >>> log_softmax([0.0, 1e4]).tolist()
    [-10000.0, 0.0]
    """
    return special.log_softmax(_as_float(raw_prediction), axis=-1)


def cross_entropy(raw_prediction: ArrayLike, target: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Cross-entropy of each row's softmax against its target, and the gradient in the logits.

    Parameters
    ----------
    raw_prediction : array-like of shape (..., n_classes)
        Logits.
    target : array-like of int, shape (...), or of float, shape (..., n_classes)
        Either the index of the true class of each row, in ``0 .. n_classes - 1``, or a distribution over the classes.

    Returns
    -------
    loss : ndarray of shape (...), float
        ``logsumexp(z) - <y, z>`` for each row, in nats. Not averaged.
    gradient : ndarray of shape (..., n_classes), float
        ``softmax(z) - y``: row by row the derivative of `loss`.

    Raises
    ------
    TypeError
        If `raw_prediction` does not hold real numbers, or class indices are not integers.
    ValueError
        If the shapes do not match, an index is out of range, or a row of `target` is not a distribution.

    Examples
    --------
    >>> from skmax import cross_entropy
    >>> loss, gradient = cross_entropy([2.0, 3.0, 4.0], 1)
    >>> round(float(loss), 4), gradient.round(4).tolist()
    (1.4076, [0.09, -0.7553, 0.6652])
    """
    logits = _as_float(raw_prediction)
    distribution = _as_distribution(np.asarray(target), logits)
    log_probability = special.log_softmax(logits, axis=-1)
    # A class of probability zero (logit -inf) may have target zero: xlogy's rule, 0 * -inf = 0.
    terms = np.multiply(distribution, log_probability, out=np.zeros_like(logits), where=distribution > 0)
    return -terms.sum(axis=-1), np.exp(log_probability) - distribution


def _as_distribution(target: NDArray, logits: FloatArray) -> FloatArray:
    n_classes = logits.shape[-1]
    if target.shape == logits.shape:
        check_distributions(target, name="target")
        return target.astype(logits.dtype, copy=False)
    if target.shape != logits.shape[:-1]:
        raise ValueError(
            f"target must have shape {logits.shape[:-1]} (class indices) or {logits.shape} (distributions) "
            f"for raw_prediction of shape {logits.shape}; got shape {target.shape}."
        )
    if target.dtype.kind not in "iu":
        raise TypeError(f"target of shape {target.shape} must hold integer class indices; got dtype {target.dtype}.")
    if target.size and not (target.min() >= 0 and target.max() < n_classes):
        outside = target[(target < 0) | (target >= n_classes)].flat[0]
        raise ValueError(f"target must hold class indices in 0..{n_classes - 1}; got {outside}.")
    return np.equal(np.arange(n_classes), target[..., None]).astype(logits.dtype)


def check_distributions(target: NDArray, *, name: str, advice: str = "") -> None:
    """Raise a ValueError unless each row of `target` is non-negative and sums to 1."""
    tolerance = 1e-4 if target.dtype.itemsize < 8 and target.dtype.kind == "f" else 1e-6
    if target.dtype.kind not in "fiub":
        raise TypeError(f"{name} must hold real numbers where it holds distributions; got dtype {target.dtype}.")
    if target.size and not target.min() >= 0:  # also true of NaN
        raise ValueError(f"{name} must be non-negative where it holds distributions; got {target.min()}.")
    total = target.sum(axis=-1, dtype=np.float64)
    wrong = np.flatnonzero(~(np.abs(total - 1) <= tolerance))
    if len(wrong):
        others = f" ({len(wrong)} rows in all do not sum to 1)" if len(wrong) > 1 else ""
        raise ValueError(
            f"Each row of {name} must sum to 1, within {tolerance:g}; row {wrong[0]} sums to "
            f"{np.ravel(total)[wrong[0]]:.6g}{others}.{advice}"
        )


def normalize_in_place(logits: FloatArray) -> FloatArray:
    """Turn class-major logits into probabilities in place; return each column's log-partition.

    Parameters
    ----------
    logits : ndarray of shape (n_logits, n_rows)
        Overwritten with probabilities. A single row is the logit of the second of two classes, where that of the first
        is 0, and becomes the probability of the second.

    Returns
    -------
    log_partition : ndarray of shape (n_rows,)
        logsumexp over the classes.
    """
    if len(logits) == 1:
        z = logits[0]
        # logsumexp(0, z) = max(0, z) + log(1 + e) and expit(z) = (1 if z >= 0 else e) / (1 + e), with e = exp(-|z|).
        e = np.exp(-np.abs(z))
        log_partition = np.maximum(z, 0)
        log_partition += np.log1p(e)
        np.divide(np.where(z < 0, e, 1), 1 + e, out=z)
        return log_partition
    shift = logits.max(axis=0)
    # Without the shift, and with a product with the inverse of the sum, a large table takes half of the time.
    safe = logits.size > _LARGE and shift.max() < (limit := _NO_SHIFT[logits.dtype.type]) and shift.min() > -limit
    if not safe:
        logits -= shift
    np.exp(logits, out=logits)
    total = logits.sum(axis=0)
    logits *= 1 / total
    np.log(total, out=total)
    if not safe:
        total += shift
    return total


def losses_in_place(logits: FloatArray, target: NDArray) -> FloatArray:
    """Turn class-major logits into residuals, softmax(z) - y, in place; return each column's cross-entropy.

    Both keep a small relative error even if the softmax rounds to 1. With m the largest logit and k the most probable
    class of y,

        logsumexp(z) - <y, z> = log sum_l exp(z_l - m) + sum_l y_l (m - z_l),     with terms of one sign,
        softmax(z)_k - y_k = - sum_{l != k} (softmax(z)_l - y_l),                 as both sum to 1.

    Parameters
    ----------
    logits : ndarray of shape (n_logits, n_rows), C-contiguous
        Overwritten with residuals. A single row is the logit of the second of two classes.
    target : ndarray of int, shape (n_rows,), or of float, shape (n_classes, n_rows)
        Class indices, or distributions y.

    Returns
    -------
    loss : ndarray of shape (n_rows,)
    """
    if len(logits) == 1:
        z, y = logits[0], target if target.ndim == 1 else target[1]
        e = np.exp(-np.abs(z))
        first, second = np.where(z > 0, e, 1), np.where(z > 0, 1, e)
        loss = np.log1p(e)
        loss += np.where(z > 0, (1 - y) * z, -y * z)
        e += 1
        z[:] = np.where(y > 0.5, (1 - y) - first / e, second / e - y)
        return loss
    logits -= logits.max(axis=0)
    label = target if target.ndim == 1 else target.argmax(axis=0)
    # Indices of one dimension take half as long as those of two.
    flat, own = logits.reshape(-1), label * logits.shape[1] + np.arange(logits.shape[1])
    loss = -flat[own] if target.ndim == 1 else -np.einsum("ij,ij->j", target, logits)
    np.exp(logits, out=logits)
    total = logits.sum(axis=0)
    logits *= 1 / total
    if target.ndim == 2:
        logits -= target
    flat[own] = 0
    flat[own] = -logits.sum(axis=0)
    loss += np.log(total, out=total)
    return loss


def of_all_classes(probability: FloatArray) -> FloatArray:
    """The class-major probabilities of all classes, from those of the classes that have a logit."""
    return np.concatenate([1 - probability, probability]) if len(probability) == 1 else probability
