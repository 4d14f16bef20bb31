"""
Two classes are logistic regression
===================================

For two classes, the softmax of two logits is the logistic function of their difference. One logit is therefore enough:
that of the second class, while the logit of the first class is 0. With two classes, `SoftmaxRegression` fits this one
logit, and its coefficients equal those of scikit-learn's logistic regression, at the weight decay that corresponds to
``C``.
"""

import matplotlib.pyplot as plt
import numpy as np
from scipy.special import expit
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression

from skmax import SoftmaxRegression, softmax

# %%
# The identity: softmax([0, z])[1] = 1 / (1 + exp(-z)).

z = np.linspace(-6, 6, 200)
pair = softmax(np.column_stack([np.zeros_like(z), z]))
print(f"largest difference of softmax([0, z])[1] from the logistic function: {np.abs(pair[:, 1] - expit(z)).max():.0e}")

# %%
# The model is fitted to a data set of two classes, without scaling. ``weight_decay = 1 / (C * n)`` is the same penalty.
# scikit-learn's solver needs a small ``tol`` to reach the same minimum.

X, y = load_breast_cancer(return_X_y=True)
n, C = len(y), 10.0
ours = SoftmaxRegression(1 / (C * n), tol=1e-13).fit(X, y)
theirs = LogisticRegression(C=C, solver="newton-cholesky", tol=1e-13).fit(X, y)
print(f"coefficients: shape {ours.coef_.shape}, largest difference {np.abs(ours.coef_ - theirs.coef_).max():.0e}")
print(f"intercepts:   {ours.intercept_[0]:.6f} and {theirs.intercept_[0]:.6f}")
print(f"largest difference of a probability: {np.abs(ours.predict_proba(X) - theirs.predict_proba(X)).max():.0e}")

# %%
# With a logit for each class instead of one, the same data would get half of the logit's coefficients for one class and
# minus half for the other. The penalty is then half as large: 2 (w/2)^2 = w^2 / 2. So that is the model with twice the
# weight decay. Three classes, of which one has no rows, show it.

both = SoftmaxRegression(2 / (C * n), tol=1e-13, classes=[0, 1, 2]).fit(X, y)
difference = both.coef_[1] - both.coef_[0]
print(f"a logit for each class, twice the weight decay: largest difference {np.abs(difference - ours.coef_).max():.0e}")

# %%
# The figure shows, by logit, the rows of each class and the probability of the second class.

logit = ours.decision_function(X)
figure, (top, bottom) = plt.subplots(2, 1, figsize=(5, 5.5), sharex=True, height_ratios=[2, 1], layout="constrained")
order = np.argsort(logit)
top.plot(logit[order], ours.predict_proba(X)[order, 1], "k", label="logistic function of the logit")
edges = np.linspace(-12, 12, 25)
middle = (edges[1:] + edges[:-1]) / 2
inside = np.digitize(np.clip(logit, -11.99, 11.99), edges) - 1
share = [y[inside == k].mean() if (inside == k).any() else np.nan for k in range(len(middle))]
top.plot(middle, share, "C1o", label="share of benign among the rows near")
top.set(ylabel="probability of benign", xlim=(-12, 12))
top.legend(loc="lower center", bbox_to_anchor=(0.5, 1))
for k, name in enumerate(["malignant", "benign"]):
    bottom.hist(np.clip(logit[y == k], -12, 12), edges, alpha=0.7, label=name)
bottom.set(xlabel="logit", ylabel="rows")
bottom.legend()
plt.show()
