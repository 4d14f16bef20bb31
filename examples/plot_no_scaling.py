"""
No scaling needed
=================

Columns in different units make the objective a long narrow valley, in which a solver that sees only gradients makes
small steps. `LogisticRegression` therefore asks for scaled columns. That changes the model, because the penalty then
applies to other coefficients, and it adds a step to each pipeline. `SoftmaxRegression` uses the curvature to rescale
the problem internally, and the model remains that of the unscaled columns.

The figures show the distance from the minimum against the time. Each point is a fit that was allowed a number of
iterations.
"""

import time
import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits, load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from threadpoolctl import threadpool_limits  # comes with scikit-learn

from skmax import SoftmaxRegression

# %%
# Three tables of different sizes, all raw. Wine has columns from 0.1 to 1700 and 42 parameters. The digits have columns
# from 0 to 16 and 650 parameters. For the third table, each digit has the products of horizontally neighbouring pixels
# too, which are up to 256, and 1210 parameters.

digits, digit = load_digits(return_X_y=True)
pictures = digits.reshape(-1, 8, 8)
products = (pictures[:, :, 1:] * pictures[:, :, :-1]).reshape(len(digits), -1)
sets = {
    "wine": load_wine(return_X_y=True),
    "digits": (digits, digit),
    "digits and products": (np.column_stack([digits, products]), digit),
}


def objective(model, X, y):
    return log_loss(y, model.predict_proba(X)) + (model.coef_**2).sum() / (2 * len(y))


def curve(make, iterations, X, y, seconds):
    """(time, objective) of fits of so many iterations, until they take longer than `seconds` of the processor."""
    points = []
    for max_iter in iterations:
        begin = time.process_time()
        model = make(max_iter).fit(X, y)
        points.append((time.process_time() - begin, objective(model, X, y)))
        if points[-1][0] > seconds:
            break
    return np.array(points)


threadpool_limits(1)  # more threads slow scikit-learn's solvers down on data of this size
warnings.simplefilter("ignore")  # most of these fits are stopped early, and say so
doubling = 2 ** np.arange(1, 14)
solvers = {
    "SoftmaxRegression": (lambda n: SoftmaxRegression(max_iter=n, tol=1e-7), doubling[:8]),
    "LogisticRegression, lbfgs": (lambda n: LogisticRegression(max_iter=n, tol=1e-12), doubling),
    "LogisticRegression, newton-cholesky": (
        lambda n: LogisticRegression(solver="newton-cholesky", max_iter=n, tol=1e-9),
        [1, 2, 3, 4, 6, 8, 12, 16],
    ),
}
figure, panels = plt.subplots(3, 1, figsize=(5, 9), sharex=True, sharey=True, layout="constrained")
for axes, (name, (X, y)) in zip(panels, sets.items(), strict=True):
    curves = {label: curve(make, numbers, X, y, seconds=2) for label, (make, numbers) in solvers.items()}
    best = min(points[:, 1].min() for points in curves.values())
    n_parameters = len(np.unique(y)) * (X.shape[1] + 1)
    print(f"{name}, {X.shape[0]} x {X.shape[1]}, {n_parameters} parameters: ms to come within")
    print(f"{'':36}" + "".join(f"{excess:>10.0e}" for excess in (1e-2, 1e-4, 1e-6)))
    for label, points in curves.items():
        first = [points[points[:, 1] <= best + excess, 0] for excess in (1e-2, 1e-4, 1e-6)]
        print(f"{label:36}" + "".join(f"{1000 * t.min():10.1f}" if len(t) else f"{'-':>10}" for t in first))
        axes.loglog(1000 * points[:, 0], np.maximum(points[:, 1] - best, 1e-9), "o-", markersize=4, label=label)
    print()
    axes.set(ylabel="above the best found", title=f"{name}: {n_parameters} parameters")
    axes.axhline(1e-6, color="0.7", linewidth=1, zorder=0)
panels[-1].set_xlabel("time, ms")
figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center")

# %%
# ``lbfgs`` suffers from raw columns: on each table it takes the longest to come within 1e-6 of the minimum, or does not
# get there in time (shown by a dash). ``newton-cholesky`` does not depend on the scale of the columns either, and with
# few parameters, as on wine, it takes as long as `SoftmaxRegression` or less. But each of its steps computes the
# Hessian of all parameters from all rows, and so it falls behind where there are more parameters.
plt.show()
