"""
No scaling needed
=================

Columns in different units make the objective a long narrow valley, in which a solver that looks at gradients alone
crawls. So `LogisticRegression` wants its columns scaled, which is another model (the penalty then falls on other
coefficients) and one more step to carry along. `SoftmaxRegression` measures the curvature and changes its own
coordinates; the model stays that of the columns as they are.

The distance from the minimum, against the time: each point is a fit that was allowed so many iterations.
"""

import os
import time
import warnings
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_breast_cancer, load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from threadpoolctl import threadpool_limits  # comes with scikit-learn

from skmax import SoftmaxRegression

# %%
# Wine has columns from 0.1 to 1700. The second set is forest cover types, 20000 x 54, columns from 0 to 7000, if the
# folder that ``SKMAX_DATA`` names has it, else breast cancer, columns from 0.001 to 4000.

sets = {"wine": load_wine(return_X_y=True)}
covtype = Path(os.environ.get("SKMAX_DATA", ".")) / "covtype20k.npz"
if covtype.exists():
    with np.load(covtype) as archive:
        sets["covtype"] = archive["X"].astype(float), archive["y"]
else:
    sets["breast cancer"] = load_breast_cancer(return_X_y=True)


def objective(model, X, y):
    return log_loss(y, model.predict_proba(X)) + (model.coef_**2).sum() / (2 * len(y))


def curve(make, iterations, X, y, seconds):
    """(time, objective) of fits of so many iterations, the faster of two, until they take longer than `seconds`."""
    points = []
    for max_iter in iterations:
        times = []
        for _ in range(2):
            begin = time.perf_counter()
            model = make(max_iter).fit(X, y)
            times.append(time.perf_counter() - begin)
        points.append((min(times), objective(model, X, y)))
        if min(times) > seconds:
            break
    return np.array(points)


threadpool_limits(1)  # more BLAS threads slow scikit-learn's solvers down on data of this size
warnings.simplefilter("ignore")  # most of these fits are stopped early, and say so
doubling = 2 ** np.arange(1, 14)
solvers = {
    "SoftmaxRegression": (lambda n: SoftmaxRegression(max_iter=n, tol=1e-9), doubling[:7]),
    "LogisticRegression, lbfgs": (lambda n: LogisticRegression(max_iter=n, tol=1e-12), doubling),
    "LogisticRegression, newton-cholesky": (
        lambda n: LogisticRegression(solver="newton-cholesky", max_iter=n, tol=1e-10),
        [1, 2, 3, 4, 6, 8, 12, 16],
    ),
}
figure, panels = plt.subplots(1, 2, figsize=(10, 4.3), sharey=True, layout="constrained")
for axes, (name, (X, y)) in zip(panels, sets.items(), strict=True):
    curves = {label: curve(make, numbers, X, y, seconds=1.0) for label, (make, numbers) in solvers.items()}
    best = min(points[:, 1].min() for points in curves.values())
    print(f"{name}, {X.shape[0]} x {X.shape[1]}, {len(np.unique(y))} classes: ms to come within")
    print(f"{'':36}" + "".join(f"{excess:>10.0e}" for excess in (1e-2, 1e-4, 1e-6)))
    for label, points in curves.items():
        first = [points[points[:, 1] <= best + excess, 0] for excess in (1e-2, 1e-4, 1e-6)]
        print(f"{label:36}" + "".join(f"{1000 * t.min():10.1f}" if len(t) else f"{'-':>10}" for t in first))
        axes.loglog(1000 * points[:, 0], np.maximum(points[:, 1] - best, 1e-10), "o-", markersize=4, label=label)
    print()
    axes.set(xlabel="time, ms", title=f"{name}, raw")
    axes.axhline(1e-6, color="0.7", linewidth=1, zorder=0)
panels[0].set_ylabel("objective above the best found")
figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
plt.show()
