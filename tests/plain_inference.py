"""What `skmax.inference` computes by sums over blocks of standardized columns, by dense matrices of any size.

It shares no code with the package: the Hessian is a sum of Kronecker products over the rows, and its inverse on the
parameters that sum to 0 is a pseudo-inverse.
"""

from types import SimpleNamespace

import numpy as np
from scipy.special import softmax


def random_problem(seed, *, n_classes=3, n_samples=150, n_features=3, scales=(1.0, 1.0, 1.0), soft=False):
    """X, y (labels, or distributions if `soft`), and weights; no class is separated from others."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_samples, n_features)) @ (
        np.eye(n_features) + 0.5 * rng.normal(size=(n_features, n_features))
    )
    X = (X + rng.normal(size=n_features)) * np.asarray(scales)[:n_features]
    counts = np.zeros(1)
    while counts.min() < 5:  # a class of a few rows is separated from others
        logits = (X / X.std(axis=0)) @ rng.normal(size=(n_features, n_classes)) * 0.7
        y = np.array([rng.choice(n_classes, p=p) for p in softmax(logits, axis=1)])
        counts = np.bincount(y, minlength=n_classes)
    if soft:
        y = 0.7 * np.eye(n_classes)[y] + 0.3 * rng.dirichlet(np.ones(n_classes), size=n_samples)
    return X, y, rng.uniform(0.2, 3, size=n_samples)


def plain(model, X, y, weight=None, weight_decay=0.0):
    """The pieces of all formulas, of a fitted model with integer labels or distributions."""
    n, n_classes = len(X), len(model.classes_)
    s = np.ones(n) if weight is None else np.asarray(weight, dtype=float)
    target = np.eye(n_classes)[y] if np.ndim(y) == 1 else np.asarray(y)
    n_logits = len(model.coef_)
    rows = np.column_stack([X, np.ones(n)]) if model.fit_intercept else np.asarray(X)
    parts = [model.coef_, model.intercept_[:, None]] if model.fit_intercept else [model.coef_]
    table = np.concatenate(parts, axis=1).astype(float)
    every = table if n_logits > 1 else np.vstack([np.zeros_like(table), table])
    probability = softmax(rows @ every.T, axis=1)
    size = rows.shape[1]
    penalty = np.full(size, float(weight_decay))
    penalty[model.n_features_in_ :] = 0
    curvature = np.einsum("ik,kl->ikl", probability, np.eye(n_classes)) - np.einsum(
        "ik,il->ikl", probability, probability
    )
    curvature = curvature[:, n_classes - n_logits :, n_classes - n_logits :]
    loss_hessian = np.einsum("i,ikl,im,in->kmln", s, curvature, rows, rows).reshape(n_logits * size, -1)
    hessian = loss_hessian + s.sum() * np.diag(np.tile(penalty, n_logits))
    # The rows of a basis of the parameters that sum to 0, by a singular value decomposition of what they are.
    centre = np.eye(n_logits) - (1 / n_logits if n_logits > 1 else 0)
    basis = np.kron(np.linalg.svd(centre)[0][:, : max(1, n_logits - 1)], np.eye(size))
    reduced = basis.T @ hessian @ basis
    scale = 1 / np.sqrt(np.diag(reduced))  # else the inverse would lose digits to the scales of the columns
    inverse = basis @ (scale[:, None] * np.linalg.inv(scale[:, None] * reduced * scale) * scale) @ basis.T
    residual = (probability - target)[:, n_classes - n_logits :]
    scores = (s[:, None, None] * residual[:, :, None] * rows[:, None, :]).reshape(n, -1)
    return SimpleNamespace(
        table=table,
        rows=rows,
        s=s,
        target=target,
        probability=probability,
        curvature=curvature,
        hessian=hessian,
        inverse=inverse,
        scores=scores,
        effective_df=np.trace(inverse @ loss_hessian),
        log_likelihood=np.sum(s[:, None] * target * np.log(probability)),
    )
