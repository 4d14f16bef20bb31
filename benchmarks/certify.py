"""skmax against a reference that proves its own minimum: is `converged_` True only within `tol` of the minimum?

Results: seeds 40000 to 59999, none of which had been seen before, 30 s for 1000 problems on one core, two thirds of it
in fits (the worst of "bound" are estimates, of fits that did not converge and said so):

                         problems unproven    conv   false   10tol     gap   bound    1e-6  warned  runtime  error
    all                     20000       45   19429       -       -      96      24       2     120        -      -
    decay 0                  1321       18     861       -       -      31       7       2       7        -      -
    decay > 0               18679       27   18568       -       -      65      17       -     113        -      -
    float32                  3892        5    3768       -       -      18       6       -      27        -      -
    float64                 16108       40   15661       -       -      78      18       2      93        -      -

Without weight decay, the warning about separation was missing or unfounded on two problems, and all separable ones end
with a model that separates. Seeds 0 to 39999 were used while the certificate was built; the last runs over them had no
false certificate either. The version before (L-BFGS to half the squared Newton decrement in float32 for float32, seeds
0 to 2999): 307 false, 134 by more than 10 tol, `objective_` wrong by 1e-6 on 140.

With penalty factors, prior means and offsets (see below), seeds 1007000 to 1007999, unseen before: 1000 problems, 56
unproven, 934 converged, no false certificate, 5 `objective_` wrong by 1e-6 (of fits that did not converge and said so),
26 other warnings. Seeds 1000000 to 1006499 were used while these options were built. They showed three false
certificates, of two kinds: a gradient in an intercept that had no curvature at all, and digits of coefficients lost to
a prior mean that all classes had in common.

Conclusion: no false certificate, in float32 and without weight decay too. Six fits in a thousand warn that they did not
converge; most of these have outliers. Two `objective_` are wrong by 1e-6 and more, both at decay 0 and not converged.

Usage: python -m benchmarks.certify [--problems N] [--first SEED] [--jobs J] [--show]

A seed determines a small problem of one or more hostile families: outliers, far means, duplicate columns, rare classes,
separable ones and so on. skmax fits it, from zero, along a warm path, or within SoftmaxRegressionCV, and is judged by:

    objective   f from its definition, in extended precision (longdouble, 64 bits of mantissa), on the floats of X
    reference   the minimum by Newton's method in extended precision, and a bound of its error that is a theorem's:
                with H the Hessian at the last point, lambda = ||g||_(H^-1) the Newton decrement, c the largest
                ||(e_k - e_l) (x) (x_i, 1)||_(H^-1) of all rows i and classes k and l, and t = c lambda < 1,
                f - min f <= (t + (1 - t) log(1 - t)) / c^2
                (F. Bach, 2010, Self-concordant analysis for logistic regression, with |f'''| <= c f'' along each line;
                what rounding can do to g is part of lambda).

With weight decay 0 the columns are first reduced to their numerical rank. A linear programme then looks for the classes
that a direction to infinity rules out, row by row. If those are all but the row's own, the problem is separable, its
infimum 0, and the margins of that direction are checked. If they are some, it is quasi-separated, and its infimum is
the minimum without those classes in those rows: never above the infimum of f, as it has fewer terms, and not below, as
f is evaluated far out on that direction. If there are none, the theorem proves that there is a minimum.

Seeds from 1,000,000 on have penalty factors, prior means and offsets on top of the problem of seed - 1,000,000. The
reference takes the logits of the prior means for offsets, so that the penalty is one of the differences, and minimises
it over what all classes have in common. Coefficients of factor 0 are treated as all are with weight decay 0: reduced to
their rank, and the directions to infinity are those that change nothing else.

A reference that is not sure to tol / 100 is counted as unproven. For that problem, only errors, warnings, and what is
wrong whatever the infimum be are counted: a false certificate is one still where f has been seen to be lower.

Columns of the table:

    conv       converged_ is True
    false      converged_ is True, and f of the stored coefficients is more than tol above the minimum
    10tol      the same, more than 10 tol
    gap        gap_ is more than 10 times the distance from the minimum, or less than a tenth
    bound      gap_ is less than that distance (no failure where gap_ is an estimate)
    1e-6       objective_ is further than 1e-6 (1 + f) from f of the stored coefficients
    1e-10      further than 1e-10 (1 + f)
    warned     a ConvergenceWarning other than that about separation
    runtime    a RuntimeWarning, or another that is not a ConvergenceWarning
    error      an exception, or coefficients that are not finite
    message    weight decay 0: the warning about separation is missing, or unfounded (quasi-separated: either is right)
    wrong      separable at weight decay 0: some rows are not classified right
    norm       rank-deficient X: coefficients longer than the shortest with the same logits, by more than 0.1 %
    beaten     f of the stored coefficients is below the proven minimum, or that is not f of the reference's own
               coefficients: the reference is wrong
"""

import argparse
import dataclasses
import itertools
import multiprocessing
import re
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import optimize, sparse
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

from skmax import SoftmaxRegression, SoftmaxRegressionCV

LONG = np.longdouble
_FIRST_WITH_KNOWLEDGE = 1_000_000
_NOTHING = 1e-30  # a minimum so small is at infinity
FAMILIES = (
    "outlying entries",
    "outlying rows",
    "wide scales",
    "far means",
    "constant columns",
    "duplicate columns",
    "collinear columns",
    "rare classes",
    "separable",
    "nearly separable",
    "quasi-separated",
    "decades of weights",
    "zero weights",
    "integer weights",
    "soft targets",
    "sparse",
    "wide",
    "many classes",
    "saturated rows",
    "heavy tails",
    "no intercept",
    "plain",
)


# ----------------------------------------------------------------------------------------------------------- problems


@dataclass(frozen=True, eq=False)
class Problem:
    """What `fit` is given. `path` holds the weight decays before the last, or those of the cross-validation."""

    seed: int
    families: tuple[str, ...]
    X: Any
    y: np.ndarray
    sample_weight: np.ndarray | None
    weight_decay: float | str
    tol: float
    fit_intercept: bool
    how: str  # "fit", "warm" or "cv"
    path: tuple[float, ...] = ()
    factor: np.ndarray | None = None
    mean: np.ndarray | None = None
    offset: np.ndarray | None = None

    @property
    def n_classes(self) -> int:
        return self.y.shape[1] if self.y.ndim == 2 else len(np.unique(self.y))

    @property
    def weight(self) -> np.ndarray:
        return np.ones(self.X.shape[0]) if self.sample_weight is None else self.sample_weight

    @property
    def decay(self) -> float:
        return 1 / float(self.weight.sum()) if isinstance(self.weight_decay, str) else self.weight_decay

    @property
    def groups(self) -> tuple[str, ...]:
        decay = self.weight_decay
        if isinstance(decay, str):
            decay_group = "decay 1/n_samples"
        else:
            decay_group = "decay 0" if decay == 0 else "decay < 1e-5" if decay < 1e-5 else "decay >= 1e-5"
        known = []
        if self.factor is not None:
            known = ["factors by class" if self.factor.ndim == 2 else "factors by feature"]
            known += ["factors of 0"] * bool((self.factor == 0).any())
        known += ["prior means"] * (self.mean is not None) + ["offsets"] * (self.offset is not None)
        return ("all", str(self.X.dtype), decay_group, f"how: {self.how}", *known, *self.families)

    def __str__(self) -> str:
        n, p = self.X.shape
        return (
            f"seed {self.seed}: {', '.join(self.families)}; {n} x {p} {self.X.dtype}, {self.n_classes} classes, "
            f"weight_decay={self.weight_decay}, tol={self.tol:.1e}, fit_intercept={self.fit_intercept}, {self.how}"
        )


def problem(seed: int) -> Problem:
    """The problem of `seed`."""
    return _with_knowledge(seed) if seed >= _FIRST_WITH_KNOWLEDGE else _problem(seed)


def _with_knowledge(seed: int) -> Problem:
    """A problem with penalty factors, prior means or offsets."""
    task = _problem(seed - _FIRST_WITH_KNOWLEDGE)
    rng = np.random.default_rng([seed, 8])
    (n, p), K = task.X.shape, task.n_classes
    kind = rng.choice(["none", "feature", "class"], p=[0.25, 0.4, 0.35])
    factor = None
    if kind != "none":
        shape = (p,) if kind == "feature" or K == 2 else (K, p)
        factor = 10 ** rng.uniform(-3, 3, size=shape)
        if rng.random() < 0.5:
            factor[..., rng.random(p) < rng.choice([0.1, 0.4, 1.0], p=[0.5, 0.4, 0.1])] = 0
        if len(shape) == 2 and rng.random() < 0.4:
            factor[rng.random(shape) < 0.2] = 0
    mean = None
    if rng.random() < 0.5:
        X = task.X.toarray() if sparse.issparse(task.X) else task.X
        scale = np.maximum(np.median(np.abs(X - np.median(X, axis=0)), axis=0).astype(float), 1e-6)
        mean = rng.normal(size=(1 if K == 2 else K, p)) * 10 ** rng.uniform(-1, 1) / scale
        if rng.random() < 0.2:  # which all classes have in common
            mean += rng.normal(size=p) * 10 ** rng.uniform(0, 4) / scale
    offset = None
    if mean is None or rng.random() < 0.5:
        offset = rng.normal(size=n if K == 2 else (n, K)) * 10 ** rng.uniform(-1, 1.5)
        if K > 2 and rng.random() < 0.3:  # classes that some rows cannot have
            y = task.y if task.y.ndim == 2 else np.eye(K)[task.y]
            offset[(rng.random((n, K)) < 0.3) & (y == 0)] = -1000
    return dataclasses.replace(task, seed=seed, factor=factor, mean=mean, offset=offset)


def _problem(seed: int) -> Problem:
    rng = np.random.default_rng([seed, 7])
    families = tuple(sorted(rng.choice(FAMILIES, size=rng.choice([1, 2, 3], p=[0.35, 0.4, 0.25]), replace=False)))
    if "plain" in families:
        families = ("plain",)
    has = set(families).__contains__
    single = rng.random() < 0.2
    weight_decay: float | str = "1/n_samples"
    if rng.random() < (0.4 if has("quasi-separated") else 0.04):
        weight_decay = 0.0
    elif rng.random() < 0.8:
        weight_decay = float(10 ** rng.uniform(-9, 1))
    tol = float(10 ** rng.uniform(-9, -4))
    fit_intercept = not has("no intercept")

    n_classes = (
        int(rng.integers(6, 13)) if has("many classes") else int(rng.choice([2, 3, 4, 5], p=[0.4, 0.3, 0.2, 0.1]))
    )
    n, p = int(rng.integers(max(12, 2 * n_classes), 121)), int(rng.integers(1, 13 if n_classes < 6 else 6))
    if has("wide"):
        n = int(rng.integers(max(8, 2 * n_classes), 26))
        p = int(rng.integers(n + 1, min(60, max(n + 2, 160 // n_classes)) + 1))
    base = rng.standard_cauchy((n, p)) if has("heavy tails") else rng.standard_normal((n, p))
    if has("sparse"):
        base *= rng.random((n, p)) < rng.choice([0.1, 0.3, 0.6])
    if has("collinear columns") or has("duplicate columns"):
        base = np.round(base * 256) / 256  # so that sums of columns are exact
    slope = rng.standard_normal((n_classes, p)) * 10 ** rng.uniform(-1, 1) / np.sqrt(p)
    logits = base @ slope.T + rng.standard_normal(n_classes)
    if has("separable"):
        labels = logits.argmax(axis=1)
    elif has("nearly separable"):
        labels = logits.argmax(axis=1)
        wrong = rng.choice(n, size=int(rng.integers(1, 4)), replace=False)
        labels[wrong] = rng.integers(n_classes, size=len(wrong))
    else:
        labels = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
    if not has("separable"):
        labels[rng.permutation(n)[:n_classes]] = np.arange(n_classes)
    if has("rare classes"):
        rare = rng.choice(n_classes, size=int(rng.integers(1, n_classes)), replace=False)
        common = np.setdiff1d(np.arange(n_classes), rare)
        labels = (
            rng.choice(common, size=n)[labels * 0]
            if len(common) == 1
            else np.where(np.isin(labels, rare), rng.choice(common, size=n), labels)
        )
        rows = rng.permutation(n)
        for k in rare:
            n_rows = int(rng.integers(1, 3))
            labels[rows[:n_rows]], rows = k, rows[n_rows:]
        for k in common:
            if k not in labels:
                labels[rows[0]], rows = k, rows[1:]
    if len(np.unique(labels)) < 2:
        labels[0] = (labels[0] + 1) % n_classes
    labels = np.unique(labels, return_inverse=True)[1]
    n_classes = int(labels.max()) + 1

    X = base.copy()
    if has("quasi-separated"):
        # A column that is positive in rows of one class only, and zero in the others, also in some of that class.
        k = int(rng.integers(n_classes))
        X[:, int(rng.integers(p))] = (labels == k) * (rng.random(n) < 0.6) * rng.choice([1.0, 2.5], size=n)
    if has("saturated rows"):
        rows = rng.choice(n, size=int(rng.integers(1, max(2, n // 4))), replace=False)
        X[rows] *= 10 ** rng.uniform(1, 3, size=(len(rows), 1))
    if has("outlying entries"):
        for _ in range(int(rng.integers(1, 6))):
            X[rng.integers(n), rng.integers(p)] *= 10 ** rng.uniform(1, 8)
    if has("outlying rows"):
        rows = rng.choice(n, size=int(rng.integers(1, 4)), replace=False)
        X[rows] *= 10 ** rng.uniform(1, 8, size=(len(rows), 1))
    if has("far means") and not has("sparse"):
        far = rng.random(p) < 0.6
        far[rng.integers(p)] = True
        X = X + far * rng.choice([-1, 1], size=p) * 10 ** rng.uniform(1, 8, size=p)
    if has("constant columns"):
        for j in rng.choice(p, size=int(rng.integers(1, max(2, p // 3 + 1))), replace=False):
            X[:, j] = rng.choice([0.0, 1.0, -0.1, 1e-6, 12345.678, 1e8 / 3])
    if has("collinear columns"):
        X = np.round(X * 256) / 256
        for _ in range(int(rng.integers(1, 4))):
            X = np.column_stack([X, X @ rng.integers(-2, 3, size=X.shape[1])])
    if has("duplicate columns"):
        X = np.column_stack([X, X[:, rng.choice(X.shape[1], size=int(rng.integers(1, 4)))]])
    if has("wide scales"):
        # Powers of two keep sums of columns what they are.
        X = X * 2.0 ** np.round(rng.uniform(-20, 20, size=X.shape[1]))
    X = np.clip(X, -1e25, 1e25).astype(np.float32 if single else np.float64)
    if has("sparse"):
        X = sparse.csr_matrix(X)

    weight = None
    if has("decades of weights"):
        weight = 10 ** rng.uniform(-12, 0, size=n) * 10.0 ** rng.integers(-3, 4)
    if has("integer weights"):
        weight = rng.integers(1, 6, size=n).astype(float) * (1 if weight is None else weight)
    if has("zero weights"):
        weight = (rng.random(n) < rng.choice([0.4, 0.8])) * (np.ones(n) if weight is None else weight)
        for k in rng.permutation(n_classes)[: int(rng.integers(2, n_classes + 1))]:
            weight[np.flatnonzero(labels == k)[0]] = 1.0
        if n_classes == 2:
            weight[[np.flatnonzero(labels == k)[0] for k in (0, 1)]] = 1.0

    y = labels
    if has("soft targets"):
        # Multiples of 1/16, so that the sums are one to the last digit.
        y = np.zeros((n, n_classes))
        y[np.arange(n), labels] = 1.0
        for i in np.flatnonzero(rng.random(n) < rng.choice([0.2, 1.0])):
            y[i] = rng.multinomial(16, rng.dirichlet(np.full(n_classes, rng.choice([0.1, 1.0])))) / 16

    how, path = "fit", ()
    draw = rng.random()
    if draw < 0.15:
        how = "warm"
        end = float(weight_decay) if not isinstance(weight_decay, str) else 1 / n
        path = tuple(float(d) for d in np.geomspace(max(10.0 * end, 1.0), max(end, 1e-9), int(rng.integers(3, 8)))[:-1])
    elif draw < 0.25 and y.ndim == 1 and weight is None and np.bincount(labels).min() >= 3:
        how = "cv"
        path = tuple(float(d) for d in 10 ** rng.uniform(-9, 1, size=int(rng.integers(2, 5))))
        path = (*path, 0.0) if weight_decay == 0 else path
    return Problem(seed, families, X, y, weight, weight_decay, tol, fit_intercept, how, path)


# ---------------------------------------------------------------------------------------------------------- objective


def _dense(X: Any) -> np.ndarray:
    return (X.toarray() if sparse.issparse(X) else X).astype(LONG)


def _targets(task: Problem) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Rows with weight, their weights of sum 1, their distributions over classes with weight, and which those are."""
    rows = task.weight > 0
    weight = task.weight[rows].astype(LONG)
    y = task.y[rows].astype(LONG) if task.y.ndim == 2 else np.eye(task.n_classes, dtype=LONG)[task.y[rows]]
    present = weight @ y > 0
    return rows, weight / weight.sum(), y[:, present], present


def _losses(logits: np.ndarray, y: np.ndarray) -> np.ndarray:
    """logsumexp(z) - <y, z> of each row; -inf rules a class out."""
    z = logits - logits.max(axis=1, keepdims=True)
    return np.log(np.exp(z).sum(axis=1)) - np.where(y > 0, y * np.where(y > 0, z, 0), 0).sum(axis=1)


def objective(task: Problem, coef: np.ndarray, intercept: np.ndarray) -> tuple[LONG, LONG]:
    """f of these coefficients, and what rounding may have done to it."""
    rows, weight, y, present = _targets(task)
    X = _dense(task.X)[rows]
    coef, intercept = coef.astype(LONG), intercept.astype(LONG)
    penalty = (coef if task.mean is None else coef - task.mean) ** 2
    penalty = (penalty if task.factor is None else penalty * task.factor).sum()
    if len(coef) > 1:
        coef, intercept = coef[present], intercept[present]
    # What all classes have in common is left out, for its digits.
    own = coef - coef.mean(axis=0) if len(coef) > 1 else coef
    logits = X @ own.T + intercept
    size = np.abs(X) @ np.abs(own).T + np.abs(intercept)
    if len(coef) == 1:
        logits = np.column_stack([np.zeros(len(X), dtype=LONG), logits])
    if task.offset is not None:
        offset = _offsets(task, rows, present)
        logits, size = logits + offset, size + np.abs(offset).max(axis=1, keepdims=True)
    value = weight @ _losses(logits, y) + LONG(task.decay) / 2 * penalty
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    size = np.finfo(LONG).eps * (X.shape[1] + 1) * size.max(axis=1)
    rounding = weight @ (size * (np.abs(p - y).sum(axis=1) + size)) + 8 * np.finfo(LONG).eps * (1 + value)
    return value, rounding


def _offsets(task: Problem, rows: np.ndarray, present: np.ndarray) -> np.ndarray:
    """The offsets of all classes with weight."""
    offset = task.offset[rows].astype(LONG)
    return np.column_stack([np.zeros(len(offset), dtype=LONG), offset]) if offset.ndim == 1 else offset[:, present]


# ---------------------------------------------------------------------------------------------------------- reference


@dataclass(frozen=True)
class Reference:
    """The infimum lies in [minimum - error, minimum]; kind is "minimum", "separable" or "quasi-separated"."""

    minimum: LONG
    error: float
    kind: str
    n_iter: int = 0
    rank_doubtful: bool = False
    at: tuple[np.ndarray, np.ndarray] | None = None  # coefficients and intercepts, in extended precision

    def proves(self, tol: float) -> bool:
        return self.error <= tol / 100 and not self.rank_doubtful


def _cholesky(H: np.ndarray) -> np.ndarray:
    if H.dtype != LONG:
        return np.linalg.cholesky(H)
    L = H.copy()
    for j in range(len(L)):
        if not L[j, j] > 0:
            raise np.linalg.LinAlgError("not positive definite")
        L[j:, j] /= np.sqrt(L[j, j])
        L[j + 1 :, j + 1 :] -= np.multiply.outer(L[j + 1 :, j], L[j + 1 :, j])
    return np.tril(L)


def _forward(L: np.ndarray, b: np.ndarray) -> np.ndarray:
    """L^-1 b."""
    x = b.astype(L.dtype)
    for j in range(len(L)):
        x[j] /= L[j, j]
        x[j + 1 :] -= np.multiply.outer(L[j + 1 :, j], x[j])
    return x


def _backward(L: np.ndarray, b: np.ndarray) -> np.ndarray:
    """L^-T b."""
    return _forward(np.ascontiguousarray(L.T[::-1, ::-1]), b[::-1])[::-1]


class _Smooth:
    """f in some linear coordinates theta (m x q): logits = X theta^T A^T, with a penalty 1/2 tr(theta P theta^T).

    `allowed` rules classes out of rows. `basis` (m q x r), if any, restricts theta to its span. `size_of_X` are the
    sums of absolute values that X came from, for its rounding. `offset` (n x K) is added to the logits, and `T`
    (p x q) and `matrices` (p x m x m) make a penalty in place of P, the sum of D_j^T Q_j D_j / 2 with D = theta T^T.
    """

    def __init__(
        self,
        X,
        A,
        y,
        weight,
        P,
        allowed,
        basis=None,
        size_of_X=None,
        dtype=LONG,
        *,
        offset=None,
        size_of_offset=0,
        T=None,
        matrices=None,
    ):
        self.offset = 0 if offset is None else offset.astype(dtype)
        self.size_of_offset = size_of_offset
        self.T, self.matrices = (None if part is None else part.astype(dtype) for part in (T, matrices))
        self.B = None
        if T is not None:
            B = np.einsum("jab,jr,js->arbs", self.matrices, self.T, self.T)
            more = X.shape[1] - T.shape[1]
            B = np.pad(B, ((0, 0), (0, more), (0, 0), (0, more))).reshape(A.shape[1] * X.shape[1], -1)
            self.B = (B + B.T) / 2
        self.X, self.A, self.y, self.weight, self.P = (a.astype(dtype) for a in (X, A, y, weight, P))
        self.allowed, self.dtype = allowed, dtype
        self.size_of_X = np.abs(self.X) if size_of_X is None else size_of_X.astype(dtype)
        self.basis = None if basis is None else basis.astype(dtype)
        self.shape = A.shape[1], X.shape[1]
        pairs = list(itertools.combinations(range(len(A)), 2))
        self.first, self.second = np.array(pairs).T
        between = self.A[self.first] - self.A[self.second]
        self.outer = between[:, :, None] * between[:, None, :]
        self.others = 1 - np.eye(len(A), dtype=dtype)

    @property
    def size(self) -> int:
        return self.shape[0] * self.shape[1] if self.basis is None else self.basis.shape[1]

    def theta(self, u: np.ndarray) -> np.ndarray:
        return (u if self.basis is None else self.basis @ u).reshape(self.shape)

    def pull(self, gradient: np.ndarray) -> np.ndarray:
        return gradient.ravel() if self.basis is None else self.basis.T @ gradient.ravel()

    def raw_logits(self, theta: np.ndarray) -> np.ndarray:
        """Without the offsets."""
        return self.X @ (self.A @ theta).T

    def penalty_gradient(self, theta: np.ndarray) -> np.ndarray:
        if self.T is None:
            return theta @ self.P
        gradient = np.zeros_like(theta)
        q = self.T.shape[1]
        gradient[:, :q] = np.einsum("jab,bj->aj", self.matrices, theta[:, :q] @ self.T.T) @ self.T
        return gradient

    def penalty(self, theta: np.ndarray, other: np.ndarray) -> Any:
        """The bilinear form, by way of D, whose squares do not cancel."""
        if self.T is None:
            return ((theta @ self.P) * other).sum()
        q = self.T.shape[1]
        return np.einsum("jab,aj,bj->", self.matrices, theta[:, :q] @ self.T.T, other[:, :q] @ self.T.T)

    def value(self, logits: np.ndarray, theta: np.ndarray) -> Any:
        losses = _losses(np.where(self.allowed, logits, -np.inf), self.y)
        return self.weight @ losses + self.penalty(theta, theta) / 2

    def probability(self, logits: np.ndarray) -> np.ndarray:
        z = np.where(self.allowed, logits, -np.inf)
        e = np.exp(z - z.max(axis=1, keepdims=True))
        return e / e.sum(axis=1, keepdims=True)

    def residual(self, p: np.ndarray) -> np.ndarray:
        """p - y, without cancellation where a row is saturated."""
        return p * (self.y @ self.others) - self.y * (p @ self.others)

    def gradient(self, p: np.ndarray, theta: np.ndarray) -> np.ndarray:
        return self.A.T @ (self.weight[:, None] * self.residual(p)).T @ self.X + self.penalty_gradient(theta)

    def hessian(self, p: np.ndarray, kept: Any = 1) -> np.ndarray:
        """With diag(p) - p p^T = sum over pairs p_k p_l (e_k - e_l)(e_k - e_l)^T, which has no cancellation."""
        m, q = self.shape
        curvature = (kept * self.weight)[:, None] * p[:, self.first] * p[:, self.second]
        of_rows = np.tensordot(curvature, self.outer, axes=1)
        H = np.empty((m, q, m, q), dtype=self.dtype)
        for a in range(m):
            for b in range(a + 1):
                block = (self.X.T * of_rows[:, a, b]) @ self.X
                if a == b and self.B is None:
                    block = block + self.P
                H[a, :, b, :] = block
                H[b, :, a, :] = block
        H = H.reshape(m * q, m * q)
        if self.B is not None:
            H = H + self.B
        return H if self.basis is None else self.basis.T @ H @ self.basis

    def along(self, logits: np.ndarray, theta: np.ndarray, d_logits: np.ndarray, d_theta: np.ndarray) -> Any:
        """A step to about the minimum along a direction."""
        slope0, quadratic = (self.penalty(each, d_theta) for each in (theta, d_theta))
        among = np.where(self.allowed, d_logits, np.nan)
        spread = (np.nanmax(among, axis=1) - np.nanmin(among, axis=1)).max()
        if spread < 0.3:
            return self.dtype(1)
        low, high, t = 0.0, np.inf, np.log1p(spread) / spread
        for _ in range(40):
            p = self.probability(logits + t * d_logits)
            slope = self.weight @ (self.residual(p) * d_logits).sum(axis=1) + slope0 + t * quadratic
            centred = d_logits - (p * d_logits).sum(axis=1, keepdims=True)
            curvature = self.weight @ (p * centred**2).sum(axis=1) + quadratic
            if slope < 0:
                low = t
            else:
                high = t
            step = -slope / curvature if curvature > 0 else np.inf
            if abs(step) <= 0.05 * t:
                break
            after = t + step
            if not low < after < min(high, 8 * t):
                after = min(8 * t, (low + high) / 2)
            t = after
        return self.dtype(low if low > 0 and slope > 0 and high > 1.2 * low else t)

    def bound(self, u: np.ndarray, L: np.ndarray, g: np.ndarray, p: np.ndarray) -> tuple[float, float]:
        """The bound of f - min f of the module's docstring, and the error of f by rounding.

        It holds too with H and c of a part of the rows, as the others are convex. Rows of large c, which are outliers
        that are saturated or have next to no weight, are left out where that makes t smaller.
        """
        theta, eps = self.theta(u), np.finfo(self.dtype).eps
        of_logits = eps * self.shape[1] * (self.size_of_X @ np.abs(theta).T @ np.abs(self.A).T).max(axis=1)
        of_logits = of_logits + 4 * eps * self.size_of_offset
        residual = self.residual(p)
        # A row's error is along that row, whose own curvature holds it; that of the sums is not.
        of_pairs = p[:, self.first] * p[:, self.second] * 2 * of_logits[:, None] + 8 * eps * (
            p[:, self.first] * self.y[:, self.second] + p[:, self.second] * self.y[:, self.first]
        )
        of_pairs = (self.weight[:, None] * of_pairs).astype(float)
        of_sums = 8 * eps * (np.abs(self.A).T @ (self.weight[:, None] * np.abs(residual)).T @ np.abs(self.X))
        P, B = np.abs(self.P), None if self.B is None else np.abs(self.B)
        of_sums = of_sums + 8 * eps * (
            np.abs(theta) @ P if B is None else (B @ np.abs(theta).ravel()).reshape(theta.shape)
        )
        of_sums = (of_sums if self.basis is None else np.abs(self.basis).T @ of_sums.ravel()).ravel()
        losses = _losses(np.where(self.allowed, self.raw_logits(theta) + self.offset, -np.inf), self.y)
        rounding = float(
            self.weight @ (of_logits * (np.abs(residual).sum(axis=1) + of_logits) + 8 * eps * (1 + losses))
        )
        X, kept, best = self.X.astype(float), np.ones(len(p), dtype=bool), np.inf
        for _ in range(6):
            inverse = _forward(L, np.eye(len(L), dtype=self.dtype))
            full = (inverse if self.basis is None else inverse @ self.basis.T).reshape(-1, *self.shape)
            of_classes = np.tensordot(full, self.A, axes=(1, 1)).astype(float)
            between = of_classes[:, :, self.first] - of_classes[:, :, self.second]
            size = np.sqrt((np.einsum("rqp,iq->rip", between, X, optimize=True) ** 2).sum(axis=0))
            decrement = (
                np.linalg.norm((inverse @ g).astype(float))
                + np.linalg.norm((np.abs(inverse) @ of_sums).astype(float))
                + (size * of_pairs).sum()
            )
            of_rows = (size * (self.allowed[:, self.first] & self.allowed[:, self.second])).max(axis=1)
            c = of_rows[kept].max(initial=1e-100)
            t = 1.01 * c * decrement
            if t < 1:
                # t + (1 - t) log(1 - t) <= t^2 / (2 (1 - t)), and loses all digits where t is small
                gain = t**2 / (2 * (1 - t)) if t < 1e-4 else t + (1 - t) * np.log1p(-t)
                best = min(best, gain / c**2)
            if t < 0.1:
                break
            kept &= of_rows < min(0.1 / decrement, c)
            try:
                L = _cholesky(self.hessian(p, kept))
            except np.linalg.LinAlgError:
                break
        return best, rounding

    def minimum(self, u: np.ndarray, max_iter: int, enough: float | None) -> tuple[np.ndarray, Any, float, int]:
        """Newton's method from u: the point, f, the error bound (infinite unless `enough` is given), iterations."""
        theta = self.theta(u)
        logits = self.raw_logits(theta) + self.offset
        value = self.value(logits, theta)
        best = u, value, np.inf
        since, least = 0, np.inf
        for n_iter in range(max_iter):
            p = self.probability(logits)
            g = self.pull(self.gradient(p, theta))
            H = self.hessian(p)
            ridge = 0.0
            while True:
                try:
                    L = _cholesky(H + ridge * np.diag(np.diag(H)) if ridge else H)
                    break
                except np.linalg.LinAlgError:
                    ridge = max(100 * ridge, 10 * float(np.finfo(self.dtype).eps))
                    if ridge > 1e3:
                        return *best, n_iter
            half = _forward(L, g)
            decrement = half @ half
            if enough is not None and not ridge and decrement < 1e-6:
                gain, rounding = self.bound(u, L, g, p)
                if gain + rounding < best[2]:
                    best = u, value, gain + rounding
                    since = 0
                else:
                    since = 0 if decrement < least / 4 else since + 1
                least = min(least, decrement)
                if best[2] <= enough or since >= 3:
                    return *best, n_iter
            elif enough is None and decrement < 1e-13 and not ridge:
                return u, value, np.inf, n_iter
            step = -_backward(L, half)
            d_theta = self.theta(step)
            d_logits = self.raw_logits(d_theta)
            t = self.along(logits, theta, d_logits, d_theta)
            if not np.isfinite(t) or not np.isfinite(step).all():
                return *best, n_iter
            last = value
            u = u + t * step
            theta = self.theta(u)
            logits = self.raw_logits(theta) + self.offset
            value = self.value(logits, theta)
            if best[2] == np.inf and value < best[1]:
                best = u, value, np.inf
            if enough is None:
                since = 0 if value < last else since + 1
                if since >= 3:
                    return *best, n_iter
        return *best, max_iter


def _class_basis(n_classes: int, one_logit: bool) -> np.ndarray:
    """Logits of all classes from those that are free: orthonormal columns of sum zero keep the penalty as it is."""
    if one_logit:
        return np.array([[0], [1]], dtype=LONG)
    A = np.zeros((n_classes, n_classes - 1), dtype=LONG)
    for j in range(n_classes - 1):  # Helmert's contrasts
        A[: j + 1, j] = 1
        A[j + 1, j] = -(j + 1)
        A[:, j] /= np.sqrt(LONG((j + 1) * (j + 2)))
    return A


def _solve(X, A, y, weight, P, allowed, basis, size_of_X, enough, **known):
    """Newton's method in double precision, then in extended."""
    rough = _Smooth(X, A, y, weight, P, allowed, basis, size_of_X, dtype=np.float64, **known)
    with np.errstate(all="ignore"):
        start, _, _, n_rough = rough.minimum(np.zeros(rough.size), 100, None)
        exact = _Smooth(X, A, y, weight, P, allowed, basis, size_of_X, **known)
        if not np.isfinite(start).all():
            start = np.zeros(exact.size)
        u, value, error, n_exact = exact.minimum(start.astype(LONG), 150, enough)
    return exact, u, value, error, n_rough + n_exact


def _origin(task: Problem, rows: np.ndarray) -> np.ndarray:
    """The median of the rows: outliers, which would carry the mean away, leave the other rows their digits."""
    X = _dense(task.X)[rows]
    return np.median(X, axis=0) if task.fit_intercept else np.zeros(X.shape[1], dtype=LONG)


def _centred(task: Problem, rows: np.ndarray) -> np.ndarray:
    return _dense(task.X)[rows] - _origin(task, rows)


def _with_ones(X: np.ndarray, task: Problem) -> np.ndarray:
    return np.column_stack([X, np.ones(len(X), dtype=LONG)]) if task.fit_intercept else X


def reference(task: Problem) -> Reference:
    """The infimum of f, with a bound of its error."""
    rows, weight, y, present = _targets(task)
    X = _centred(task, rows)
    A = _class_basis(int(present.sum()), task.n_classes == 2)
    if task.seed >= _FIRST_WITH_KNOWLEDGE:
        return _with_prior(task, X, A, y, weight, rows, present)
    if task.decay == 0:
        return _without_decay(task, X, A, y, weight)
    lowest = -(weight @ np.where(y > 0, y * np.log(np.where(y > 0, y, 1)), 0).sum(axis=1))  # entropy of the targets
    best = None
    for turned in (True, False):
        # Turned to principal axes, collinear columns leave each other's digits alone; scaled only, small columns do.
        V = np.eye(X.shape[1])
        if turned:
            V = np.linalg.svd(X.astype(float), full_matrices=True)[2].T
        T = V.astype(LONG)
        T = T / np.sqrt(weight @ (X @ T) ** 2 / 4 + task.decay)
        P = LONG(task.decay) * T.T @ T
        P = (P + P.T) / 2
        if task.fit_intercept:
            P = np.pad(P, (0, 1))
        allowed = np.ones(y.shape, dtype=bool)
        turned_X, size = _with_ones(X @ T, task), _with_ones(np.abs(X) @ np.abs(T), task)
        smooth, u, value, error, n_iter = _solve(turned_X, A, y, weight, P, allowed, None, size, 1e-7 * task.tol)
        error = min(error, float(value - lowest))
        if best is None or error < best.error:
            theta = A @ smooth.theta(u)
            coef = theta[:, : T.shape[1]] @ T.T
            intercept = theta[:, T.shape[1]] - coef @ _origin(task, rows) if task.fit_intercept else 0 * coef[:, 0]
            best = Reference(value, error, "minimum", n_iter, at=_all_classes(task, present, coef, intercept))
        if best.proves(task.tol):
            return best
    return best


def _all_classes(task, present, coef, intercept):
    """As a fit stores them."""
    if task.n_classes == 2:
        return coef[1:] - coef[:1], intercept[1:] - intercept[:1]
    of_all = np.zeros((len(present), coef.shape[1]), dtype=LONG), np.full(len(present), -np.inf, dtype=LONG)
    of_all[0][present], of_all[1][present] = coef, intercept
    return of_all


def _without_decay(task: Problem, X: np.ndarray, A: np.ndarray, y: np.ndarray, weight: np.ndarray) -> Reference:
    size = np.abs(X).max(axis=0)
    mean = np.abs(_dense(task.X)).max(axis=0)
    some = size > 1e-14 * mean  # of a constant column rounding may leave something
    X = _with_ones(X[:, some] / size[some], task)
    if X.shape[1] == 0:
        return Reference(np.log(LONG(len(A))), 0.0, "minimum")
    _, singular, Vt = np.linalg.svd(X.astype(float), full_matrices=False)
    ratio = singular / singular.max()
    rank = int((ratio > 1e-11).sum())
    doubtful = bool(((ratio > 1e-14) & (ratio < 1e-9)).any())
    turn = Vt[:rank].T.astype(LONG)
    turn = turn / np.sqrt(weight @ (X @ turn) ** 2)
    X, size_of_X = X @ turn, np.abs(X) @ np.abs(turn)
    m, q = A.shape[1], X.shape[1]
    ruled_out, direction = _ruled_out(X, A, y)
    allowed = ~ruled_out
    if (allowed.sum(axis=1) == 1).all():
        return Reference(LONG(0), 0.0, "separable", rank_doubtful=doubtful)
    # The directions that some logit difference still sees.
    differences = []
    for i in range(len(X)):
        seen = A[allowed[i]]
        differences.append((seen[1:] - seen[0])[:, :, None] * X[i])
    differences = np.concatenate(differences).reshape(-1, m * q).astype(float)
    differences /= np.abs(differences).max(axis=1, keepdims=True) + 1e-300
    _, of_pairs, basis = np.linalg.svd(differences, full_matrices=True)
    n_seen = int((of_pairs > 1e-10 * of_pairs.max(initial=0)).sum())
    basis = basis[:n_seen].T if n_seen < m * q else None
    P = np.zeros((q, q))
    smooth, u, value, error, n_iter = _solve(X, A, y, weight, P, allowed, basis, size_of_X, 1e-7 * task.tol)
    if not ruled_out.any():
        return Reference(value, error if basis is None else np.inf, "minimum", n_iter, doubtful)
    whole = _Smooth(X, A, y, weight, P, np.ones_like(allowed))
    theta, above = smooth.theta(u), np.inf
    if smooth.basis is not None:  # leave what is allowed as it is, to the last digit
        for _ in range(2):
            direction = direction - smooth.theta(smooth.pull(direction))
    for t in 10.0 ** np.arange(0, 12):
        far = theta + LONG(t) * direction
        above = min(above, abs(whole.value(whole.raw_logits(far), far) - value))  # too far out, rounding adds to it
    return Reference(value, error + float(above), "quasi-separated", n_iter, doubtful)


def _with_prior(task, X, A, y, weight, rows, present) -> Reference:
    """The reference for penalty factors, prior means and offsets."""
    K, p = len(A), X.shape[1]
    m = A.shape[1]
    # The penalty of D = W - M; the logits of M are offsets.
    factor = np.ones((K, p)) if task.factor is None else np.broadcast_to(task.factor, (task.n_classes, p))[present]
    factor = LONG(task.decay) * factor.astype(LONG)
    mean = np.zeros((K, p), dtype=LONG)
    if task.mean is not None:
        mean[-len(task.mean) if K == 2 and len(task.mean) == 1 else 0 :] = (
            task.mean if len(task.mean) == 1 else task.mean[present]
        )
        if m > 1:  # which changes no probability
            mean = mean - mean.mean(axis=0)
    origin = _origin(task, rows)
    offset = X @ mean.T
    size_of_offset = (np.abs(_dense(task.X)[rows]) + np.abs(origin)) @ np.abs(mean).T
    if task.offset is not None:
        own = _offsets(task, rows, present)
        offset, size_of_offset = offset + own, size_of_offset + np.abs(own)
    size_of_offset = size_of_offset.max(axis=1)
    one_logit = m == 1 and task.n_classes == 2
    if one_logit:
        factor[0] = factor[1]  # the first logit is 0
    free = factor == 0 if one_logit else (factor == 0) | ((factor > 0).sum(axis=0) <= 1)
    all_free = free.all(axis=0)
    best = None
    for turned in (True, False):
        same = bool((factor == factor[0]).all())
        T, size, doubtful = _columns_of(task, X, weight, factor, all_free, turned=turned and same)
        q = T.shape[1]
        matrices = np.zeros((p, m, m), dtype=LONG)
        for j in range(p):
            phi = factor[:, j]
            if one_logit:
                matrices[j] = phi[1]
            elif (phi > 0).any():
                matrices[j] = A.T @ (np.diag(phi) - np.multiply.outer(phi, phi) / phi.sum()) @ A
        ones = int(task.fit_intercept)
        q += ones
        Z, size_of_Z = _with_ones(X @ T, task), _with_ones(size, task)
        known = {"offset": offset, "size_of_offset": size_of_offset, "T": T, "matrices": matrices}
        allowed, basis, direction = np.ones(y.shape, dtype=bool), None, None
        if free.any():
            ruled_out, direction, seen = _free_directions(Z, A, y, T, free, ones)
            allowed = ~ruled_out
            basis = _basis_of_seen(Z, A, allowed, seen)
        P = np.zeros((q, q))
        smooth, u, value, error, n_iter = _solve(
            Z, A, y, weight, P, allowed, basis, size_of_Z, 1e-7 * task.tol, **known
        )
        kind, at = "minimum", None
        if not allowed.all():
            kind = "quasi-separated"
            whole = _Smooth(Z, A, y, weight, P, np.ones_like(allowed), **known)
            theta, above = smooth.theta(u), np.inf
            if smooth.basis is not None:
                for _ in range(2):
                    direction = direction - smooth.theta(smooth.pull(direction))
            for t in 10.0 ** np.arange(0, 12):
                far = theta + LONG(t) * direction
                above = min(above, abs(whole.value(whole.raw_logits(far) + offset, far) - value))
            error += float(above)
        else:
            if basis is not None:
                error = np.inf  # something is not seen that no direction rules out
            theta = A @ smooth.theta(u)
            D = theta[:, : T.shape[1]] @ T.T
            intercept = theta[:, T.shape[1]] - (D + mean) @ origin if ones else 0 * D[:, 0]
            total = factor.sum(axis=0)
            share = np.where(total > 0, factor / np.where(total > 0, total, 1), LONG(1) / K)
            W = D + mean
            if task.mean is not None and not one_logit:
                W = W + task.mean[present].astype(LONG).mean(axis=0)
            if not one_logit:
                W = W - (share * D).sum(axis=0)
            at = _all_classes(task, present, W, intercept)
            if task.mean is not None and not one_logit:
                at[0][~present] = task.mean[~present]
        lowest = -(weight @ np.where(y > 0, y * np.log(np.where(y > 0, y, 1)), 0).sum(axis=1))
        if free.any() and value < _NOTHING:  # which the linear programme did not see
            kind, at = "quasi-separated", None
        error = min(error, float(value - lowest)) if kind == "minimum" else error
        if best is None or error < best.error:
            best = Reference(value, error, kind, n_iter, doubtful, at)
        if best.proves(task.tol):
            return best
    return best


def _columns_of(task, X, weight, factor, all_free, *, turned):
    """T with D = D' T^T: penalised columns scaled, and turned if they have the same factor for all classes; the others
    reduced to their rank. Also the sums of absolute values that X T comes from, and whether the rank is doubtful.
    """
    p = X.shape[1]
    size = np.abs(_dense(task.X)[_targets(task)[0]]).max(axis=0)
    pen = np.flatnonzero(~all_free)
    V = np.eye(len(pen))
    scale = np.sqrt(weight @ X[:, pen] ** 2 / 4 + factor[:, pen].max(axis=0))
    if turned and len(pen):
        V = np.linalg.svd((X[:, pen] / scale).astype(float), full_matrices=True)[2].T
    block = V.astype(LONG) / scale[:, None]
    root = (
        np.sqrt(weight @ (X[:, pen] @ block) ** 2 / 4 + (factor[0, pen][:, None] * block**2).sum(axis=0))
        if turned
        else 1
    )
    block = block / root
    T = np.zeros((p, len(pen)), dtype=LONG)
    T[pen] = block
    free = np.flatnonzero(all_free & (np.abs(X).max(axis=0) > 1e-14 * size))
    doubtful = False
    if len(free):
        own = np.abs(X[:, free]).max(axis=0)
        centred = X[:, free] / own
        mean = weight @ centred if task.fit_intercept else 0 * own
        _, singular, Vt = np.linalg.svd((centred - mean).astype(float), full_matrices=False)
        ratio = singular / singular.max()
        rank = int((ratio > 1e-11).sum())
        doubtful = bool(((ratio > 1e-14) & (ratio < 1e-9)).any())
        turn = Vt[:rank].T.astype(LONG) / own[:, None]
        turn = turn / np.sqrt(weight @ (X[:, free] @ turn) ** 2)
        more = np.zeros((p, rank), dtype=LONG)
        more[free] = turn
        T = np.column_stack([T, more])
    return T, np.abs(X) @ np.abs(T), doubtful


def _free_directions(Z, A, y, T, free, ones):
    """Which classes are ruled out of which rows by directions of no penalty, one such direction, and the rows of a
    matrix whose products with theta are 0 if and only if its penalty is.
    """
    m, q = A.shape[1], Z.shape[1]
    seen = []
    for r in range(T.shape[1]):
        j = np.flatnonzero(T[:, r])
        kept = ~free[:, j].all(axis=1) if free[:, j].all() else ~free[:, j[0]]
        classes = np.flatnonzero(kept)
        for k in classes[1:]:
            row = np.zeros((m, q))
            row[:, r] = (A[k] - A[classes[0]]).astype(float)
            seen.append(row.ravel())
    seen = np.array(seen).reshape(-1, m * q)
    return *_ruled_out(Z, A, y, fixed=seen), seen


def _basis_of_seen(Z, A, allowed, seen):
    """An orthonormal basis of what some allowed difference of logits sees, or the penalty; None if that is all."""
    differences = [seen]
    for i in range(len(Z)):
        among = A[allowed[i]]
        differences.append(np.multiply.outer(among[1:] - among[0], Z[i]).reshape(-1, seen.shape[1]).astype(float))
    differences = np.concatenate(differences)
    differences = differences / (np.abs(differences).max(axis=1, keepdims=True) + 1e-300)
    _, values, basis = np.linalg.svd(differences, full_matrices=True)
    n_seen = int((values > 1e-10 * values.max(initial=0)).sum())
    return basis[:n_seen].T if n_seen < seen.shape[1] else None


def _ruled_out(
    X: np.ndarray, A: np.ndarray, y: np.ndarray, fixed: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Which classes a direction to infinity, also returned, rules out of which rows, as many as there can be.

    A linear programme: maximise the sum of the slacks s_ik in [0, 1] with z_iy - z_ik >= s_ik for a class y of row i
    and each k that is not; all classes that a row is spread over keep the same logit. Columns are scaled to the same
    size in the median, and then rows, so that outliers do not push the others under the programme's tolerance.
    A class counts as ruled out only if its margin, in extended precision, is positive. The products of `fixed` with
    the direction are 0.
    """
    m, q = A.shape[1], X.shape[1]
    median = np.array([np.median(np.abs(x[x != 0])) if x.any() else LONG(1) for x in X.T])
    X = X / median
    above, equal, where = [], [], []
    for i in range(len(X)):
        own = np.flatnonzero(y[i] > 0)
        scale = np.abs(X[i]).max() or 1
        for k in range(len(A)):
            if k == own[0]:
                continue
            row = np.multiply.outer(A[own[0]] - A[k], X[i] / scale).ravel().astype(float)
            if y[i, k] > 0:
                equal.append(row)
            else:
                above.append(row)
                where.append((i, k))
    ruled_out = np.zeros(y.shape, dtype=bool)
    if not above:
        return ruled_out, np.zeros((m, q), dtype=LONG)
    n = len(above)
    constraints = sparse.hstack([sparse.csr_array(-np.array(above)), sparse.eye_array(n)])
    equalities = None
    if fixed is not None:
        equal = [*equal, *(fixed.reshape(-1, m, q) / median.astype(float)).reshape(-1, m * q)]
    if equal:
        equalities = sparse.hstack([sparse.csr_array(np.array(equal)), sparse.csr_array((len(equal), n))])
    solution = optimize.linprog(
        np.r_[np.zeros(m * q), -np.ones(n)],
        A_ub=constraints,
        b_ub=np.zeros(n),
        A_eq=equalities,
        b_eq=None if equalities is None else np.zeros(len(equal)),
        bounds=[(None, None)] * (m * q) + [(0, 1)] * n,
    )
    if solution.x is None:
        return ruled_out, np.zeros((m, q), dtype=LONG)
    direction = solution.x[: m * q].astype(LONG)
    for (i, k), slack, row in zip(where, solution.x[m * q :], above, strict=True):
        ruled_out[i, k] = slack > 0.5 and row.astype(LONG) @ direction > 0
    return ruled_out, direction.reshape(m, q) / median


# -------------------------------------------------------------------------------------------------------------- check

# What is counted, in the order of the table.
_COUNTS = """
    unproven conv false 10tol gap bound 1e-6 1e-10 warned runtime error message wrong norm beaten
"""
COUNTS = tuple(_COUNTS.split())


def fit(task: Problem) -> tuple[Any, list[warnings.WarningMessage]]:
    """The fitted model, and the warnings of the last fit."""
    options = {
        "fit_intercept": task.fit_intercept,
        "tol": task.tol,
        "penalty_factor": task.factor,
        "prior_mean": task.mean,
    }
    caught: list[warnings.WarningMessage] = []
    if task.how == "cv":
        model = SoftmaxRegressionCV(weight_decays=list(task.path), cv=2 + task.seed % 2, **options)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            # The grid is as it is, and says nothing of how well a fit converges.
            warnings.filterwarnings("ignore", "The best of the weight_decays", UserWarning)
            model.fit(task.X, task.y, offset=task.offset)
        return model, caught
    model = SoftmaxRegression(warm_start=task.how == "warm", **options)
    for weight_decay in (*task.path, task.weight_decay):
        model.set_params(weight_decay=weight_decay)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            model.fit(task.X, task.y, task.sample_weight, task.offset)
    return model, caught


def check(task: Problem, model: Any, caught: list[warnings.WarningMessage]) -> dict[str, Any]:
    """What is wrong with a fit: how bad it is by kind, and the numbers behind it."""
    if task.how == "cv":
        task = dataclasses.replace(task, weight_decay=float(model.weight_decay_))
    bad: dict[str, float] = {}
    found: dict[str, Any] = {"bad": bad, "excess": np.nan, "task": task}
    messages = [str(w.message) for w in caught if issubclass(w.category, ConvergenceWarning)]
    says_infinite = any(re.search("separat|infinity", message) for message in messages)
    if not says_infinite and messages:
        bad["warned"] = float(model.gap_ / task.tol)
    if len(messages) < len(caught):
        bad["runtime"] = 1.0
        found["warnings"] = sorted({f"{w.category.__name__}: {w.message}" for w in caught})
    if model.converged_:
        bad["conv"] = 0.0
    if not (np.isfinite(model.coef_).all() and np.isfinite(model.intercept_[_stored(task)]).all()):
        bad["error"] = 1.0
        return found
    known = reference(task)
    value, rounding = objective(task, model.coef_, model.intercept_)
    excess = float(value - known.minimum)
    slack = 1e-15 * (1 + abs(float(value))) + float(rounding)
    found |= {"excess": excess, "reference": known, "value": float(value), "slack": slack}
    off = abs(float(model.objective_ - value)) / (1 + float(value))
    if off > 1e-10:
        bad["1e-10"] = off
    if off > 1e-6:
        bad["1e-6"] = off
    # The reference is reached, or approached to its error, whether or not it is proven to be the infimum.
    least = excess - slack - (known.error if known.kind == "quasi-separated" else 0.0)
    if model.converged_ and least > task.tol:
        bad["false"] = excess / task.tol
        if least > 10 * task.tol:
            bad["10tol"] = excess / task.tol
    if not known.proves(task.tol) or rounding > max(task.tol, excess) / 30:
        bad["unproven"] = max(known.error, float(rounding)) / task.tol
        return found
    gap, floor = float(model.gap_), 1e-12 * (1 + float(value))
    # What is known of the excess: it lies in this range.
    low, high = max(excess - slack, 0.0), max(excess + slack + known.error, 0.0)
    if not (gap <= max(floor, 10 * high) and low <= max(floor, 10 * gap)):
        bad["gap"] = max(gap / max(high, 1e-300), low / max(gap, 1e-300))
    if low > max(gap, floor) or np.isnan(gap):
        bad["bound"] = low / max(gap, 1e-300)
    if excess < -known.error - slack:
        bad["beaten"] = -excess / task.tol
    if known.at is not None:
        again, rounding = objective(task, *known.at)
        if abs(again - known.minimum) > 1e-13 * (1 + abs(again)) + rounding + known.error:
            bad["beaten"] = float(abs(again - known.minimum)) / task.tol
    if task.decay == 0 or (task.factor is not None and (task.factor == 0).any()):
        if (says_infinite and known.kind == "minimum") or (not says_infinite and known.kind == "separable"):
            bad["message"] = 1.0
        if known.kind == "separable" and task.y.ndim == 1:
            rows = task.weight > 0
            share = float((model.predict(task.X, task.offset)[rows] != task.y[rows]).mean())
            if share:
                bad["wrong"] = share
    length = _length_ratio(task, model.coef_)
    if length > 1.001:
        bad["norm"] = length
    return found


def _stored(task: Problem) -> Any:
    """The entries of `intercept_` that must be finite."""
    return slice(None) if task.n_classes == 2 else _targets(task)[3]


def _length_ratio(task: Problem, coef: np.ndarray) -> float:
    """||W|| over that of the shortest with the same logit differences on all rows."""
    X = _centred(task, _targets(task)[0])
    size = np.abs(X).max(axis=0)
    size[size == 0] = 1
    _, singular, Vt = np.linalg.svd((X / size).astype(float), full_matrices=True)
    rank = int((singular > 1e-9 * singular.max(initial=0)).sum())
    if rank == Vt.shape[0] or task.decay > 0 or task.seed >= _FIRST_WITH_KNOWLEDGE:
        return 1.0
    null = np.linalg.qr(Vt[rank:].T / size[:, None].astype(float))[0]
    coef = coef.astype(float)
    short = coef - coef @ null @ null.T
    return float(np.linalg.norm(coef) / max(np.linalg.norm(short), 1e-300)) if coef.any() else 1.0


def record(seed: int) -> dict[str, Any]:
    """Fit and check the problem of a seed; an error is a finding, too."""
    task = problem(seed)
    try:
        start = time.perf_counter()
        model, caught = fit(task)
        seconds = time.perf_counter() - start
    except Exception as error:
        return {"seed": seed, "groups": task.groups, "bad": {"error": 1.0}, "text": f"{type(error).__name__}: {error}"}
    try:
        found = check(task, model, caught)
    except Exception as error:  # of the reference
        text = f"the reference failed: {type(error).__name__}: {error}"
        return {"seed": seed, "groups": task.groups, "bad": {"unproven": np.inf}, "text": text}
    known = found.get("reference")
    text = (
        f"excess {found['excess']:.2e}, gap_ {model.gap_:.2e}, tol {task.tol:.1e}, objective_ {model.objective_:.6g}, "
        f"converged_ {model.converged_}, {model.n_iter_} iterations"
    )
    if known is not None:
        text += f"; reference {float(known.minimum):.12g} +- {known.error:.1e}, {known.kind}, {known.n_iter} iterations"
    for warning in found.get("warnings", []):
        text += f"; {warning}"
    return {
        "seed": seed,
        "groups": found["task"].groups,
        "bad": found["bad"],
        "text": text,
        "kind": known.kind if known is not None and found["task"].decay == 0 else None,
        "seconds": seconds,
    }


def records(seeds: range, jobs: int = 1) -> Iterator[dict[str, Any]]:
    """Of all `seeds`, in order, each with one thread for the linear algebra."""
    if jobs == 1:
        with threadpool_limits(1):
            yield from map(record, seeds)
        return
    with multiprocessing.get_context("fork").Pool(jobs, initializer=threadpool_limits, initargs=(1,)) as pool:
        yield from pool.imap(record, seeds, chunksize=10)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", type=int, default=1000, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--worst", type=int, default=6, help="how many seeds of each kind of failure to list")
    parser.add_argument("--show", action="store_true", help="print each problem, and what was found")
    arguments = parser.parse_args()

    start = time.perf_counter()
    groups: dict[str, dict[str, int]] = {}
    worst: dict[str, list[tuple[float, int, str]]] = {}
    kinds: dict[str, int] = {}
    in_fits = 0.0
    for found in records(range(arguments.first, arguments.first + arguments.problems), arguments.jobs):
        if arguments.show:
            print(problem(found["seed"]))
            print(f"    {found['text']}")
            print(f"    {found['bad']}")
        for group in found["groups"]:
            counts = groups.setdefault(group, dict.fromkeys(("problems", *COUNTS), 0))
            counts["problems"] += 1
            for name in found["bad"]:
                counts[name] += 1
        for name, badness in found["bad"].items():
            if name != "conv":
                worst.setdefault(name, []).append((badness, found["seed"], found["text"]))
        if found.get("kind"):
            kinds[found["kind"]] = kinds.get(found["kind"], 0) + 1
        in_fits += found.get("seconds", 0.0)
    seconds = time.perf_counter() - start

    print(f"{'':20}{'problems':>9}" + "".join(f"{name:>9}" for name in COUNTS))
    order = {family: i for i, family in enumerate(FAMILIES)}
    for group in sorted(groups, key=lambda group: (group != "all", group in order, order.get(group, 0), group)):
        counts = groups[group]
        print(f"{group:20}{counts['problems']:9}" + "".join(f"{counts[name] or '.':>9}" for name in COUNTS))
    for name in COUNTS:
        if name in worst:
            print(f"\n{name}: {len(worst[name])}; the worst:")
            for badness, seed, text in sorted(worst[name], reverse=True)[: arguments.worst]:
                print(f"    {seed:6} {badness:9.2g}  {text}")
    print(f"\nweight decay 0: {kinds}")
    print(
        f"{seconds:.1f} s, {in_fits:.1f} s of processes in fits; {1000 * seconds / arguments.problems:.0f} s for 1000"
    )


if __name__ == "__main__":
    main()
