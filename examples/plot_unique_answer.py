"""
Why weight decay makes the answer unique
========================================

Softmax regression has a row of coefficients for each class, which is one row too many: if the same vector is added to
all rows, the same number is added to all logits of a sample, and the probabilities do not change. The loss alone
therefore has no single minimum. Its minima form a flat valley floor, with one dimension for each column and one for the
intercept, along which the curvature is zero. Weight decay adds curvature, and makes one point of the valley the only
minimum.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_iris
from sklearn.metrics import log_loss
from sklearn.preprocessing import scale

from skmax import SoftmaxRegression, softmax

X, y = load_iris(return_X_y=True)
X = scale(X[:, 2:])  # petal length and width: two columns, three classes, so that all of it can be printed
weight_decay = 0.01
model = SoftmaxRegression(weight_decay, tol=1e-12).fit(X, y)

# %%
# Add one vector to all rows of the coefficients: the probabilities stay, the loss stays, the penalty grows.

shift = np.array([3.0, -5.0])
print(f"{'':26}{'log loss':>10}{'penalty':>10}{'largest change of a probability':>34}")
for name, coef in [("the fit", model.coef_), ("(3, -5) added to each row", model.coef_ + shift)]:
    probability = softmax(X @ coef.T + model.intercept_)
    change = np.abs(probability - model.predict_proba(X)).max()
    print(f"{name:26}{log_loss(y, probability):10.6f}{weight_decay / 2 * (coef**2).sum():10.3f}{change:34.1e}")
print(f"\ncoefficients of the fit, which sum to {np.abs(model.coef_.sum(axis=0)).max():.0e} over the classes:")
print(model.coef_.round(3))

# %%
# The Hessian of the loss, of 3 classes x 2 columns, written out: it has two directions without curvature, one for each
# column. Weight decay adds the same number to all six eigenvalues.


def hessian_of_the_loss(probability, X):
    blocks = [np.kron(np.diag(p) - np.outer(p, p), np.outer(x, x)) for p, x in zip(probability, X, strict=True)]
    return np.mean(blocks, axis=0)


hessian = hessian_of_the_loss(model.predict_proba(X), X)
without = np.linalg.eigvalsh(hessian)
lifted = np.linalg.eigvalsh(hessian + weight_decay * np.eye(6))
print("\neigenvalues of the Hessian  " + " ".join(f"{value:8.5f}" for value in np.abs(without)))
print(f"with weight decay of {weight_decay}   " + " ".join(f"{value:8.5f}" for value in lifted))

# %%
# The valley: the objective over a redundant direction (the same shift of the first column's coefficient in all rows)
# and one that matters (the last class's coefficient of that column alone).

along = np.linspace(-12, 12, 61)
across = np.linspace(-4, 8, 61)


def objective(shared, own, weight_decay):
    coef = model.coef_.copy()
    coef[:, 0] += shared
    coef[2, 0] += own
    probability = softmax(X @ coef.T + model.intercept_)
    return log_loss(y, probability) + weight_decay / 2 * (coef**2).sum()


figure, panels = plt.subplots(2, 1, figsize=(5, 7), sharex=True, layout="constrained")
for axes, decay in zip(panels, (0.0, weight_decay), strict=True):
    surface = np.array([[objective(a, b, decay) for a in along] for b in across])
    levels = surface.min() + np.geomspace(0.002, 2, 12)
    axes.contour(along, across, surface, levels=levels, cmap="viridis")
    row, column = np.unravel_index(surface.argmin(), surface.shape)
    if decay:
        axes.plot(along[column], across[row], "C3o", label="the minimum")
    else:
        axes.axhline(across[row], color="C3", label="all of these are minima")
    axes.set(ylabel="added to the last class", title=f"weight decay {decay:g}")
    axes.legend(loc="upper right")
panels[-1].set_xlabel("added to all three classes")
plt.show()
