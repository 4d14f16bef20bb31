"""An oracle for penalty factors, prior means and offsets: Newton's method on the objective as it is stated."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse, special


@dataclass
class Task:
    """What `SoftmaxRegression` is given, with arrays for everything."""

    X: Any
    y: np.ndarray  # distributions, of shape (n_samples, n_classes)
    weight: np.ndarray
    weight_decay: float
    factor: np.ndarray | None
    mean: np.ndarray | None
    offset: np.ndarray | None
    fit_intercept: bool

    @property
    def n_logits(self):
        return 1 if self.y.shape[1] == 2 else self.y.shape[1]

    @property
    def options(self):
        """The parameters of the estimator."""
        return {
            "weight_decay": self.weight_decay,
            "penalty_factor": self.factor,
            "prior_mean": self.mean,
            "fit_intercept": self.fit_intercept,
        }

    def objective(self, coef, intercept):
        """f, its gradient and its Hessian in (W, b), of all numbers of them, none of which is profiled."""
        X = (self.X.toarray() if sparse.issparse(self.X) else self.X).astype(np.float64)
        n, p = X.shape
        share = self.weight / self.weight.sum()
        rows = np.column_stack([X, np.ones(n)]) if self.fit_intercept else X
        table = np.column_stack([coef, intercept]) if self.fit_intercept else coef
        logits = rows @ table.T
        if self.offset is not None:
            logits = logits + (self.offset if self.n_logits > 1 else self.offset[:, None])
        if self.n_logits == 1:
            logits = np.column_stack([np.zeros(n), logits])
        log_probability = special.log_softmax(logits, axis=1)
        first = logits.shape[1] - self.n_logits
        probability, y = np.exp(log_probability)[:, first:], self.y[:, first:]
        factor = np.broadcast_to(1.0 if self.factor is None else self.factor, coef.shape)
        rest = coef - (0 if self.mean is None else self.mean)
        value = -share @ (self.y * log_probability).sum(axis=1) + self.weight_decay / 2 * np.sum(factor * rest**2)
        gradient = (share[:, None] * (probability - y)).T @ rows
        gradient[:, :p] += self.weight_decay * factor * rest
        K, q = table.shape
        hessian = np.zeros((K, q, K, q))
        for k in range(K):
            for m in range(K):
                curvature = share * probability[:, k] * ((k == m) - probability[:, m])
                hessian[k, :, m] = (rows.T * curvature) @ rows
            hessian[k, range(p), k, range(p)] += self.weight_decay * factor[k]
        return value, gradient.ravel(), hessian.reshape(K * q, K * q)

    def minimum(self):
        """The least value of f, and W and b, by Newton's method with halved steps and the pseudo-inverse."""
        q = self.X.shape[1] + self.fit_intercept
        theta = np.zeros((self.n_logits, q))
        theta[:, : self.X.shape[1]] = 0 if self.mean is None else self.mean
        theta = theta.ravel()

        def parts(theta):
            table = theta.reshape(self.n_logits, q)
            p = self.X.shape[1]
            return table[:, :p], table[:, p] if self.fit_intercept else np.zeros(self.n_logits)

        value, gradient, hessian = self.objective(*parts(theta))
        for _ in range(200):
            # Scaled to a unit diagonal, so that the cut of the pseudo-inverse is the same for all columns.
            root = np.sqrt(np.maximum(hessian.diagonal(), 1e-300))
            step = np.linalg.lstsq(hessian / root / root[:, None], gradient / root, rcond=1e-13)[0] / root
            share = 1.0
            while share > 1e-60:  # where all rows are sure and wrong, the intercepts have next to no curvature
                candidate = self.objective(*parts(theta - share * step))
                if candidate[0] <= value + 1e-15 * (1 + abs(value)):
                    break
                share /= 2
            else:
                break
            theta = theta - share * step
            done = abs(gradient @ step) < 1e-18 and share == 1
            value, gradient, hessian = candidate
            if done:
                break
        return value, *parts(theta)


def random_task(seed, *, factor=None, wide=False, layout=np.asarray, n_classes=None, dtype=np.float64):
    """A small task with some or all of the three options: `factor` is None, "feature" or "class", or drawn."""
    rng = np.random.default_rng([seed, 16])
    K = int(n_classes or rng.choice([2, 3, 4, 6]))
    n, p = (int(rng.integers(6, 12)), int(rng.integers(13, 20))) if wide else (int(rng.integers(15, 60)), 4)
    scale = 10 ** rng.uniform(-1, 1, size=p)
    X = rng.normal(size=(n, p)) * scale + (rng.normal(size=p) * scale if rng.random() < 0.5 else 0)
    if layout is not np.asarray:
        X[rng.random(X.shape) < 0.5] = 0
    rows = 1 if K == 2 else K
    labels = np.concatenate([np.arange(K), rng.integers(0, K, size=max(0, n - K))])[:n]
    y = np.eye(K)[labels]
    if rng.random() < 0.2:
        y = rng.dirichlet(np.ones(K), size=n)
    kind = factor if factor is not None else rng.choice(["none", "feature", "class"])
    phi = None
    if kind == "feature":
        phi = 10 ** rng.uniform(-1, 1, size=p)
    elif kind == "class":
        phi = 10 ** rng.uniform(-1, 1, size=(rows, p))
    if phi is not None and rng.random() < 0.4 and not wide:  # a few free coefficients, of which few rows are separated
        phi[..., 0] = 0
        if kind == "class" and K > 2 and rng.random() < 0.5:
            phi[: K // 2, 1] = 0
            phi[1:, 2] = 0
    mean = rng.normal(size=(rows, p)) * 2 / scale if rng.random() < 0.7 else None
    offset = None
    if rng.random() < 0.7:
        offset = rng.normal(size=n if K == 2 else (n, K)) * 10 ** rng.uniform(-1, 1)
        if rng.random() < 0.3 and K > 2:  # classes that rows cannot have
            offset[(rng.random(offset.shape) < 0.2) & (y == 0)] = -1000
    weight = rng.uniform(0.1, 3, size=n) if rng.random() < 0.5 else np.ones(n)
    decay = float(10 ** rng.uniform(-3, 0))
    return Task(layout(X.astype(dtype)), y, weight, decay, phi, mean, offset, bool(rng.random() < 0.8))
