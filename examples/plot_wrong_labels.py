"""
Finding wrong labels
====================

Some labels of any collection are wrong, and a model that was fitted to them has learned from them too. What would the
model say of each row, had the row not been there? That takes a fit for each row, or one Newton step for each from a
single fit: :func:`skmax.inference.leave_one_out`. No folds are needed.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from skmax import SoftmaxRegression, SoftmaxRegressionCV
from skmax.inference import influence_on, leave_one_out

# %%
# 3 % of the labels of the digits are replaced by another digit. The weight decay is chosen by approximate
# leave-one-out, on the labels as they are. The rows come in the order of their loss without themselves.

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
print(f"among the {n_shown} rows (5 %) of the largest loss without themselves: {found:.0%} of them")
print(f"among those of the largest loss with themselves in the fit: {with_themselves:.0%}")

# %%
# The weight decay is so strong here that no row can teach the model its own label, and the plain loss ranks the rows
# as well. Without the row it does so for any weight decay, and the probabilities are those of a row never seen.
#
# The first sixteen rows, with the label that they have and what the model without them says, and the first eight whose
# labels came with the data: digits that are hard to read.

figure = plt.figure(figsize=(7.5, 6.5), layout="constrained")
upper, lower = figure.subfigures(2, 1, height_ratios=[1.5, 1])
as_they_came = [i for i in suspects if noisy[i] == y[i]]
for axes, i in zip(upper.subplots(3, 8).flat, [*suspects[:16], *as_they_came[:8]], strict=True):
    axes.imshow(X[i].reshape(8, 8), cmap="gray_r")
    color = "C3" if noisy[i] != y[i] else "C0"
    axes.set_title(f"{noisy[i]}, not {rows.probability[i].argmax()}?", fontsize=9, color=color)
    axes.set_axis_off()
upper.suptitle("label, and what the others say (red: planted, blue: as the data came)", fontsize=10)

axes = lower.subplots()
share = np.arange(1, len(y) + 1) / len(y)
axes.plot(100 * share, 100 * np.cumsum(np.isin(suspects, wrong)) / len(wrong))
axes.axvline(5, color="0.6", linewidth=1)
axes.set(xlabel="rows looked at, largest loss first (%)", ylabel="wrong labels found (%)", xlim=(0, 15))
plt.show()

# %%
# Does it pay to look at them? Of a training half with wrong labels, the mean loss on the other half, whose labels are
# right, with all rows and without the twenty whose absence would lower it most, by
# :func:`skmax.inference.influence_on`, which looks at no label but those of the test rows.

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
