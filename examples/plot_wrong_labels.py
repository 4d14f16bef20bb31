"""
Finding wrong labels
====================

Most data sets have some wrong labels, and a model that was fitted to them has learned from these too. A label is
suspicious if the model would not predict it without that row. An exact answer takes a fit for each row;
:func:`skmax.inference.leave_one_out` instead takes one Newton step for each row, from a single fit and without folds.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from skmax import SoftmaxRegression, SoftmaxRegressionCV
from skmax.inference import influence_on, leave_one_out

# %%
# 3 % of the labels of the digits are replaced by another digit. The weight decay is chosen by approximate
# leave-one-out, on the labels as they are. The rows are sorted by their leave-one-out loss.

X, y = load_digits(return_X_y=True)
rng = np.random.default_rng(0)
wrong = rng.choice(len(y), size=round(0.03 * len(y)), replace=False)
noisy = y.copy()
noisy[wrong] = (y[wrong] + rng.integers(1, 10, size=len(wrong))) % 10

search = SoftmaxRegressionCV(cv="approximate").fit(X, noisy)
model = SoftmaxRegression(search.weight_decay_).fit(X, noisy)
rows = leave_one_out(model, X, noisy)
with_row = -np.log(model.predict_proba(X)[np.arange(len(y)), noisy])
suspects = np.argsort(-rows.loss)

n_shown = round(0.05 * len(y))
found = np.isin(wrong, suspects[:n_shown]).mean()
with_themselves = np.isin(wrong, np.argsort(-with_row)[:n_shown]).mean()
print(f"{len(wrong)} of {len(y)} labels are wrong; weight decay {search.weight_decay_:.2g}")
print(f"among the {n_shown} rows (5 %) with the largest leave-one-out loss: {found:.0%} of the wrong labels")
print(f"among as many with the largest training loss: {with_themselves:.0%}")

# %%
# Here the weight decay is so strong that no single row has much influence on its own prediction, so the training loss
# ranks the rows as well as the leave-one-out loss. The leave-one-out loss works for any weight decay, and its
# probabilities are those for a row that the model has not seen.
#
# The figure shows the first sixteen rows, with their label and the prediction of the model without them, and the first
# eight whose labels were not replaced: digits that are hard to read.

figure = plt.figure(figsize=(5, 9), layout="constrained")
upper, lower = figure.subfigures(2, 1, height_ratios=[2, 1])
as_they_came = [i for i in suspects if noisy[i] == y[i]]
for axes, i in zip(upper.subplots(6, 4).flat, [*suspects[:16], *as_they_came[:8]], strict=True):
    axes.imshow(X[i].reshape(8, 8), cmap="gray_r")
    color = "C3" if noisy[i] != y[i] else "C0"
    axes.set_title(f"{noisy[i]}, not {rows.probability[i].argmax()}?", fontsize=10, color=color)
    axes.set_axis_off()
upper.suptitle("label, and prediction without the row\n(red: label replaced, blue: original label)")

axes = lower.subplots()
share = np.arange(1, len(y) + 1) / len(y)
axes.plot(100 * share, 100 * np.cumsum(np.isin(suspects, wrong)) / len(wrong))
axes.axvline(5, color="0.6", linewidth=1)
axes.set(xlabel="rows inspected, largest loss first (%)", ylabel="wrong labels found (%)", xlim=(0, 15))
plt.show()

# %%
# Does removing such rows help? A model is fitted to one half of the rows, with the wrong labels, and its mean loss is
# measured on the other half, with the right labels. :func:`skmax.inference.influence_on` then finds the twenty training
# rows whose absence would lower this loss most, and the model is fitted without them. Of the right labels, it uses only
# those of the test rows.

train, test = train_test_split(np.arange(len(y)), test_size=0.5, stratify=y, random_state=0)


def test_loss(kept):
    fit = SoftmaxRegression(search.weight_decay_).fit(X[kept], noisy[kept])
    return fit, -np.log(fit.predict_proba(X[test])[np.arange(len(test)), y[test]]).mean()


fit, before = test_loss(train)
change = influence_on(fit, X[train], noisy[train], X[test], y[test])
harmful = np.argsort(change)[:20]
_, after = test_loss(np.delete(train, harmful))
n_wrong = np.isin(train[harmful], wrong).sum()
print(f"test loss {before:.3f}; without the 20 most harmful rows, {n_wrong} of them mislabelled: {after:.3f}")
