"""How often 95 % intervals cover the true values, over 2,000 simulated sets for each kind.

Results, each with its standard error over the sets:

    model                         94.93 %  +- 0.18
    model, against a class        95.20 %  +- 0.19
    sandwich of the same          94.82 %  +- 0.18
    effects                       94.76 %  +- 0.19
    probability                   94.72 %  +- 0.18
    sandwich, sampling weights    94.39 %  +- 0.20
    (model, sampling weights)     50.23 %  +- 0.38
    cluster                       94.26 %  +- 0.18
    (model, clustered rows)       90.09 %  +- 0.24
    posterior                     95.05 %  +- 0.18

Usage: python -m benchmarks.coverage [--sets 2000]

Each set has 600 rows, three columns (one of them zeros and ones) and three classes, and a fit without weight decay. The
coverage is the share of all intervals that hold the true value, over the coefficients of the symmetric form, the
average marginal effects, or the probabilities of five fixed rows. Its own standard error is that of the mean over the
sets.

- model: the labels are drawn from the model.
- sandwich: the rows are a sample in which one is kept with a probability that depends on its label and a column, with
  the inverse of that probability as its sampling weight; errors of kind="model" are beside it, to show what they miss.
- cluster: 60 clusters of ten rows share a column, and an effect on the logits that is drawn for each. The truth is the
  best approximation by the model, from 400,000 clusters.
- posterior: the coefficients of each set are drawn from the prior that the weight decay stands for, and the intervals
  are credible ones.
- probability, effects: of the sets of "model".
"""

import argparse

import numpy as np

from skmax import SoftmaxRegression
from skmax.inference import average_marginal_effects, coef_table, predict_proba_interval

N_ROWS, N_CLUSTERS, DECAY = 600, 60, 1 / 600
COEF = np.array([[0.8, -0.5, 0.3], [-0.2, 0.9, -0.6], [-0.6, -0.4, 0.3]])
INTERCEPT = np.array([0.3, -0.1, -0.2])
NEW = np.array([[0.0, 0, 0], [1, 0, 1], [-1, 1, 0], [2, 0, 0], [-1, -1, 1]])
FIT = {"weight_decay": 0, "tol": 1e-8}


def columns(rng, n):
    return np.column_stack([rng.normal(size=n), rng.normal(size=n), rng.random(n) < 0.4])


def labels(rng, logits):
    return (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)


def softmax(logits):
    exponential = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponential / exponential.sum(axis=1, keepdims=True)


def table_of(coef, intercept):
    return np.column_stack([coef, intercept])


def held(table, truth):
    """Which intervals hold the truth."""
    return (table["lower"].to_numpy() <= truth.ravel()) & (truth.ravel() <= table["upper"].to_numpy())


def true_effects(X):
    """Average marginal effects for the rows of a set, at the true parameters."""
    at = softmax(X @ COEF.T + INTERCEPT)
    slopes = at[:, :, None] * (COEF - (at @ COEF)[:, None])
    low, high = X.copy(), X.copy()
    low[:, 2], high[:, 2] = 0, 1
    step = softmax(high @ COEF.T + INTERCEPT) - softmax(low @ COEF.T + INTERCEPT)
    return np.column_stack([slopes[:, :, 0].mean(axis=0), slopes[:, :, 1].mean(axis=0), step.mean(axis=0)])


def of_model(rng):
    X = columns(rng, N_ROWS)
    y = labels(rng, X @ COEF.T + INTERCEPT)
    model = SoftmaxRegression(**FIT).fit(X, y)
    intervals = predict_proba_interval(model, X, y, NEW)
    truth = softmax(NEW @ COEF.T + INTERCEPT)
    return {
        "model": held(coef_table(model, X, y), table_of(COEF, INTERCEPT)),
        "model, against a class": held(
            coef_table(model, X, y, reference=0), table_of(COEF[1:] - COEF[0], INTERCEPT[1:] - INTERCEPT[0])
        ),
        "sandwich of the same": held(coef_table(model, X, y, kind="sandwich"), table_of(COEF, INTERCEPT)),
        "effects": held(average_marginal_effects(model, X, y), true_effects(X)),
        "probability": (intervals.lower <= truth).ravel() & (truth <= intervals.upper).ravel(),
    }


def of_sample(rng):
    X = columns(rng, 4 * N_ROWS)
    y = labels(rng, X @ COEF.T + INTERCEPT)
    kept_with = np.where(y == 0, 0.8, 0.15) * np.where(X[:, 2] > 0, 1, 0.5)
    kept = rng.random(len(y)) < kept_with
    X, y, weight = X[kept], y[kept], 1 / kept_with[kept]
    model = SoftmaxRegression(**FIT).fit(X, y, weight)
    truth = table_of(COEF, INTERCEPT)
    return {
        "sandwich, sampling weights": held(coef_table(model, X, y, weight, kind="sandwich"), truth),
        "(model, sampling weights)": held(coef_table(model, X, y, weight), truth),
    }


def clustered(rng, n_clusters):
    X = columns(rng, 10 * n_clusters)
    X[:, 0] = np.repeat(X[::10, 0], 10)
    own = np.repeat(0.8 * rng.normal(size=(n_clusters, 3)), 10, axis=0)
    return X, labels(rng, X @ COEF.T + INTERCEPT + own), np.repeat(np.arange(n_clusters), 10)


def of_clusters(rng, truth):
    X, y, groups = clustered(rng, N_CLUSTERS)
    model = SoftmaxRegression(**FIT).fit(X, y)
    return {
        "cluster": held(coef_table(model, X, y, kind="cluster", groups=groups), truth),
        "(model, clustered rows)": held(coef_table(model, X, y), truth),
    }


def of_posterior(rng):
    coef, X = rng.normal(size=(3, 3)) / np.sqrt(DECAY * N_ROWS), columns(rng, N_ROWS)
    y = labels(rng, X @ coef.T + INTERCEPT)
    if len(np.unique(y)) < 3:
        return {}
    model = SoftmaxRegression(DECAY, tol=1e-8).fit(X, y)
    return {"posterior": held(coef_table(model, X, y), table_of(coef - coef.mean(axis=0), INTERCEPT))}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", type=int, default=2000)
    n_sets = parser.parse_args().sets
    X, y, _ = clustered(np.random.default_rng(0), 400_000)
    limit = SoftmaxRegression(**FIT).fit(X, y)
    truth = table_of(limit.coef_, limit.intercept_)
    shares = {}
    for seed in range(n_sets):
        rng = np.random.default_rng(seed)
        for one in (of_model(rng), of_sample(rng), of_clusters(rng, truth), of_posterior(rng)):
            for name, inside in one.items():
                shares.setdefault(name, []).append(inside.mean())
    for name, values in shares.items():
        print(f"{name:28}{100 * np.mean(values):7.2f} %  +- {100 * np.std(values) / np.sqrt(len(values)):.2f}")


if __name__ == "__main__":
    main()
