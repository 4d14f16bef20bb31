"""
Overconfident or calibrated
===========================

A model is calibrated if 80 % of the predictions that it makes with a probability of 80 % are right. With little weight
decay and few rows, a linear model fits its training rows too closely and is overconfident on other rows. There are two
remedies. One is a larger weight decay, chosen by the log loss on rows left out. The other is a temperature, learnt from
rows left out, by which all logits are divided (``CalibratedClassifierCV(method="temperature")`` of scikit-learn 1.8 or
later).
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import make_classification
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split

from skmax import SoftmaxRegression, SoftmaxRegressionCV

X, y = make_classification(
    n_samples=12_000, n_features=60, n_informative=12, n_classes=4, class_sep=0.8, flip_y=0.1, random_state=0
)
X_train, X_test, y_train, y_test = train_test_split(X, y, train_size=400, stratify=y, random_state=0)

models = {"weight decay 1e-6": SoftmaxRegression(1e-6)}
try:
    models["and a temperature"] = CalibratedClassifierCV(SoftmaxRegression(1e-6), method="temperature", cv=5)
    models["and a temperature"].fit(X_train, y_train)
except ValueError:  # an older scikit-learn
    del models["and a temperature"]
models["weight decay by SoftmaxRegressionCV"] = SoftmaxRegressionCV(20)

# %%
# The rows are divided into ten groups by the probability of the predicted class. For each group, the diagram shows the
# mean probability and the share of rows that are right, and the calibration error is the mean distance between the two.
# A temperature does not change which class is the most probable. The accuracy changes slightly because
# ``CalibratedClassifierCV`` averages the models of its five folds.


def reliability(model):
    probability = model.predict_proba(X_test)
    confidence = probability.max(axis=1)
    right = model.classes_[probability.argmax(axis=1)] == y_test
    groups = np.array_split(np.argsort(confidence), 10)
    return np.array([confidence[g].mean() for g in groups]), np.array([right[g].mean() for g in groups])


figure, panels = plt.subplots(len(models), 1, figsize=(5, 3.2 * len(models)), sharex=True, layout="constrained")
print(f"{'':37}{'accuracy':>9}{'confidence':>12}{'calibration error':>19}{'log loss':>10}")
for axes, (name, model) in zip(panels, models.items(), strict=True):
    model.fit(X_train, y_train)
    confidence, right = reliability(model)
    error = np.abs(confidence - right).mean()
    loss = log_loss(y_test, model.predict_proba(X_test))
    print(f"{name:37}{right.mean():9.3f}{confidence.mean():12.3f}{error:19.3f}{loss:10.3f}")
    axes.plot([0, 1], [0, 1], "0.6", linewidth=1)
    axes.plot(confidence, right, "o-")
    axes.fill_between(confidence, confidence, right, alpha=0.2)
    axes.set(ylabel="share that is right", xlim=(0.2, 1.02), ylim=(0.2, 1.02))
    axes.set_title(f"{name}\ncalibration error {error:.3f}", fontsize=10)
panels[-1].set_xlabel("probability given")
plt.show()
