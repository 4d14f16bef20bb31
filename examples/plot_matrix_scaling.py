"""
Calibrating many classes: matrix scaling
========================================

The probabilities of a neural network are often overconfident. The usual remedy divides its logits z by one number, a
temperature. Matrix scaling replaces them by W z + b, which can also correct single classes, and pairs of classes that
are confused. With 26 classes these are 702 parameters, which two thousand rows hardly determine. They have to be
shrunk, not towards zero but towards the identity matrix divided by the temperature. That is a softmax regression on the
logits, with ``prior_mean=np.eye(26) / t``: a convex problem, whose distance from the minimum is reported, with a weight
decay chosen by cross-validation.

The data are the UCI letters if the folder named by the environment variable ``SKMAX_DATA`` has them, and simulated
otherwise.
"""

import os
import time
import warnings
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from scipy.optimize import minimize_scalar
from sklearn.datasets import make_classification
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmax import SoftmaxRegressionCV, cross_entropy, softmax

path = Path(os.environ.get("SKMAX_DATA", ".")) / "letter.npz"
if path.exists():
    with np.load(path) as content:
        X, y = content["X"].astype(float), np.unique(content["y"], return_inverse=True)[1]
else:
    X, y = make_classification(
        16_000, 16, n_informative=12, n_classes=26, n_clusters_per_class=2, class_sep=1.5, random_state=0
    )
rows = np.random.default_rng(0).permutation(len(y))
train, calibration, test = rows[:2500], rows[2500:4500], rows[4500:]

network = make_pipeline(
    StandardScaler(), MLPClassifier(100, max_iter=200, n_iter_no_change=200, alpha=0, random_state=0)
)
with warnings.catch_warnings():
    warnings.simplefilter("ignore", ConvergenceWarning)  # it is trained for long, to be too sure
    network.fit(X[train], y[train])
logits = network.predict_log_proba(X).clip(-50)  # a softmax of these is the network's

# %%
# Each remedy is fitted to 2000 rows that the network has not seen.


def loss(z):
    return cross_entropy(z, y[test])[0].mean()


def calibration_error(z):
    """The mean distance of confidence and accuracy in twenty groups of rows of like confidence."""
    probability = softmax(z)
    right = probability.argmax(axis=1) == y[test]
    confidence = probability.max(axis=1)
    groups = np.array_split(np.argsort(confidence), 20)
    return np.mean([abs(confidence[g].mean() - right[g].mean()) for g in groups])


temperature = np.exp(
    minimize_scalar(
        lambda t: cross_entropy(logits[calibration] / np.exp(t), y[calibration])[0].mean(), bounds=(-3, 5)
    ).x
)
begin = time.perf_counter()
scaling = SoftmaxRegressionCV(np.geomspace(10, 1e-4, 11), prior_mean=np.eye(26) / temperature).fit(
    logits[calibration], y[calibration]
)
seconds = time.perf_counter() - begin
zero = SoftmaxRegressionCV(np.geomspace(10, 1e-4, 11)).fit(logits[calibration], y[calibration])
after = {
    "the network": logits[test],
    f"temperature {temperature:.2f}": logits[test] / temperature,
    "matrix scaling, shrunk to zero": zero.decision_function(logits[test]),
    "matrix scaling, to the identity": scaling.decision_function(logits[test]),
}
print(f"{'on ' + str(len(test)) + ' other rows':34}{'log loss':>10}{'accuracy':>10}{'calibration error':>19}")
for name, z in after.items():
    print(f"{name:34}{loss(z):10.4f}{np.mean(z.argmax(axis=1) == y[test]):10.4f}{calibration_error(z):19.4f}")
print(f"\nweight decay {scaling.weight_decay_:.2g}, best of {len(scaling.weight_decays_)} in 5 folds: {seconds:.1f} s")

# %%
# The figure shows what the fit adds to the identity divided by the temperature t. Off the diagonal are the pairs of
# classes that the network confuses.

figure, axes = plt.subplots(figsize=(5, 4.2), layout="constrained")
change = scaling.coef_ - np.eye(26) / temperature
image = axes.imshow(change, cmap="RdBu_r", vmin=-np.abs(change).max(), vmax=np.abs(change).max())
axes.set(xlabel="logit of the network", ylabel="logit after matrix scaling")
axes.set_title("what is added to the identity over t", fontsize="medium")
figure.colorbar(image)
plt.show()
