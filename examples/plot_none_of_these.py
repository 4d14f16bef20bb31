"""
A "none of these" class
=======================

Softmax probabilities sum to one over the classes that the model knows. For an input that belongs to none of these
classes, the model still has to choose one of them, and it may do so with a high probability, which grows with the
distance from the boundaries. If such inputs are expected, the training data should include examples of them, labelled
as a class of their own.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.kernel_approximation import Nystroem
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline

from skmax import SoftmaxRegression

# %%
# The model knows the digits 0 to 4, and meets 5 to 9 too. The examples of "none" are the digits 5, 6 and 7, and images
# of noise, in which each pixel is drawn independently from the values that it has in the data; 8 and 9 are kept for the
# test. The features are kernel similarities to 300 training images, because "none" surrounds the other classes and no
# hyperplane separates it from them.

X, y = load_digits(return_X_y=True)
known, near, new = y <= 4, (y >= 5) & (y <= 7), y >= 8
X_train, X_test, y_train, y_test = train_test_split(X[known], y[known], stratify=y[known], random_state=0)
rng = np.random.default_rng(0)
noise = np.column_stack([rng.choice(column, size=200) for column in X.T])
near_train, near_test = train_test_split(X[near], random_state=0)


def fit(X, y):
    likeness = Nystroem(gamma=1e-3, n_components=300, random_state=0)
    return make_pipeline(likeness, SoftmaxRegression(1e-5)).fit(X, y)


without = fit(X_train, y_train)
others = np.concatenate([near_train, noise])
labels = np.concatenate([y_train.astype(str), np.full(len(others), "none")])
with_none = fit(np.concatenate([X_train, others]), labels)

# %%
# A threshold on the highest probability is the other way to say "none". Here it is set so that 2 % of the known digits
# are rejected, for both models. For the second model, it is the highest probability of a known digit.


def confidence(model, X):
    return model.predict_proba(X)[:, model.classes_.astype(str) != "none"].max(axis=1)


tests = {
    "known digits 0 to 4": X_test,
    "5 to 7, as in training": near_test,
    "8 and 9, never seen": X[new],
    "noise": np.column_stack([rng.choice(column, size=200) for column in X.T]),
}
models = {"digits alone": without, 'with "none of these"': with_none}
thresholds = {name: np.quantile(confidence(model, X_test), 0.02) for name, model in models.items()}
print("share rejected as none of these, at thresholds that reject 2 % of the known digits")
print(f"{'':26}" + "".join(f"{name:>22}" for name in models))
for what, rows in tests.items():
    shares = [(confidence(model, rows) < thresholds[name]).mean() for name, model in models.items()]
    print(f"{what:26}" + "".join(f"{share:22.3f}" for share in shares))
right = [(model.predict(X_test).astype(str) == y_test.astype(str)).mean() for model in models.values()]
print(f"\n{'accuracy on known digits':26}" + "".join(f"{share:22.3f}" for share in right))

figure, panels = plt.subplots(2, 1, figsize=(5, 6.5), sharex=True, layout="constrained")
for axes, (name, model) in zip(panels, models.items(), strict=True):
    for what, rows in tests.items():
        value = np.sort(confidence(model, rows))
        axes.plot(value, np.linspace(0, 1, len(value)), label=what)
    axes.axvline(thresholds[name], color="0.3", linestyle="--", linewidth=1)
    axes.set(ylabel="share of images below", title=name, xlim=(0, 1))
panels[1].set_xlabel("highest probability of a known digit\n(dashed: the threshold)")
panels[0].legend(loc="upper left")
plt.show()
