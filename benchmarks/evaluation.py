"""One evaluation of loss and gradient against its two bare matrix products, and against scikit-learn's.

Results: 2 cores of an AMD EPYC with AVX-512, NumPy 2.4, scikit-learn 1.9.1; times in ms.

             n x p x K   skmax  products  ratio   whole  scikit-learn
       20000 x 16 x 26     1.9       0.9   2.02     1.5           7.9
       100000 x 54 x 7     7.1       6.2   1.15    15.6          17.2
      60000 x 784 x 10    54.4      53.0   1.03    64.5          67.9
     20000 x 100 x 100     9.8       7.7   1.28    10.6          24.7
     5000 x 300 x 1000    60.1      51.3   1.17    53.1          86.4

Usage: python -m benchmarks.evaluation

The products are those of NumPy over the same blocks of rows and threads; `whole` are the same two over all rows at
once, with the linear algebra's own threads. The fastest of several runs, in turn.
"""

import time

import numpy as np
from sklearn._loss import HalfMultinomialLoss  # private: there is no public way to evaluate scikit-learn's loss
from sklearn.linear_model._linear_loss import LinearModelLoss

from skmax._objective import Objective
from skmax._samples import samples_of
from skmax._threads import workers

SHAPES = [(20_000, 16, 26), (100_000, 54, 7), (60_000, 784, 10), (20_000, 100, 100), (5_000, 300, 1000)]


def fastest(functions, n_runs=15):
    """Seconds of the fastest of `n_runs` calls of each, in turn."""
    seconds = np.full((n_runs, len(functions)), np.inf)
    for run in seconds:
        for i, function in enumerate(functions):
            begin = time.perf_counter()
            function()
            run[i] = time.perf_counter() - begin
    return seconds.min(axis=0)


def measure(n_samples, n_features, n_classes):
    """Seconds of ours, of the bare products over our blocks, of those over all rows at once, and of scikit-learn's."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(n_samples, n_features)), rng.integers(0, n_classes, n_samples)
    theta = rng.normal(size=(n_classes, n_features + 1)) / 10
    coef = np.ascontiguousarray(theta[:, :-1])
    loss = LinearModelLoss(base_loss=HalfMultinomialLoss(n_classes=n_classes), fit_intercept=True)
    table, labels = np.asfortranarray(theta), y.astype(np.float64)
    whole, sklearns = fastest(
        [lambda: (X @ coef.T).T @ X, lambda: loss.loss_gradient(table, X, labels, l2_reg_strength=0.1)]
    )
    with workers() as pool:
        samples = samples_of(X, y, n_classes=n_classes, n_logits=n_classes, workers=pool)
        objective = Objective(samples).penalised(0.1)

        def products(samples, within):
            return sum((coef @ block.x.T) @ block.x for block in samples.blocks(n_classes, within))

        ours, bare = fastest([lambda: objective(theta.ravel()), lambda: samples.sum(products, cost=objective.cost)])
    return ours, bare, whole, sklearns


def main():
    print(f"{'n x p x K':>20s} {'skmax, ms':>10s} {'products':>9s} {'ratio':>6s} {'whole':>8s} {'scikit-learn':>13s}")
    for shape in SHAPES:
        ours, bare, whole, sklearns = 1e3 * np.array(measure(*shape))
        name = " x ".join(map(str, shape))
        print(f"{name:>20s} {ours:10.1f} {bare:9.1f} {ours / bare:6.2f} {whole:8.1f} {sklearns:13.1f}")


if __name__ == "__main__":
    main()
