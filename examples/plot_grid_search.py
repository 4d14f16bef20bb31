"""
In a grid search
================

``weight_decay`` is the parameter to tune. ``GridSearchCV`` chooses it as it chooses any other, here by the log loss of
the handwritten digits in the held-out fold. ``C`` of ``LogisticRegression`` multiplies the sum of the losses, whereas
``weight_decay`` is relative to their mean: ``weight_decay = 1 / (C * S)``, with S the sum of the weights, or the number
of rows if there are none.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, StratifiedKFold, train_test_split
from threadpoolctl import threadpool_limits  # comes with scikit-learn

from skmax import SoftmaxRegression

# %%
# The grid has nine values, which are a factor of about 3 apart, and there are five folds of shuffled rows.

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.5, stratify=y, random_state=0)
n = len(X_train)

n_folds = 5
weight_decays = np.logspace(-4, 0, 9)
search = GridSearchCV(
    SoftmaxRegression(),
    {"weight_decay": weight_decays},
    scoring="neg_log_loss",
    cv=StratifiedKFold(n_folds, shuffle=True, random_state=0),
)
search.fit(X_train, y_train)

results = search.cv_results_
loss = -results["mean_test_score"]
standard_error = results["std_test_score"] / np.sqrt(n_folds - 1)  # std_test_score divides by n_folds
print(f"{n} digits to choose and fit, {len(X_test)} to test")
print("weight_decay   C at S = n   log loss   standard error")
for i, weight_decay in enumerate(weight_decays):
    chosen = "   <- chosen" if i == search.best_index_ else ""
    print(f"{weight_decay:12.1e}{1 / (weight_decay * n):13.1e}{loss[i]:11.3f}{standard_error[i]:17.3f}{chosen}")

# %%
# The chosen model and the default, ``1 / n``, on the test digits:

default = SoftmaxRegression().fit(X_train, y_train)
print()
for name, model in ("chosen", search.best_estimator_), ("default, 1/n", default):
    test_loss = log_loss(y_test, model.predict_proba(X_test))
    print(f"{name:13} test log loss {test_loss:.3f}, accuracy {model.score(X_test, y_test):.3f}")

# %%
# ``LogisticRegression`` with the C that corresponds to the chosen value gives the same probabilities. The two
# parameters differ when a choice is transferred from the folds to all rows: ``weight_decay`` keeps the balance of mean
# loss and penalty that it had in the folds. With a fixed C, the penalty counts a fifth less on all rows, because S
# grows from 4/5 of the rows to all of them.

best = search.best_params_["weight_decay"]
logistic_regression = LogisticRegression(C=1 / (best * n), solver="newton-cholesky", tol=1e-10)
with threadpool_limits(1):  # on some machines two threads slow this solver down many times on data of this size
    logistic_regression.fit(X_train, y_train)
softmax_regression = SoftmaxRegression(best, tol=1e-12).fit(X_train, y_train)
difference = logistic_regression.predict_proba(X_test) - softmax_regression.predict_proba(X_test)
print(f"\nLogisticRegression(C={1 / (best * n):.2e}): probabilities differ by at most {abs(difference).max():.0e}")

# %%
# With too little weight decay the model overfits; with ever more, it only predicts the frequencies of the classes.

figure, axes = plt.subplots(figsize=(5, 4.8), layout="constrained")
axes.fill_between(weight_decays, loss - standard_error, loss + standard_error, alpha=0.3, label="± 1 standard error")
axes.plot(weight_decays, loss, ".-", label=f"mean of {n_folds} folds")
axes.plot(best, loss[search.best_index_], "o", color="tab:red", label=f"chosen: {best:.0e}")
axes.axvline(1 / n, color="0.4", ls="--", label=f"default: 1/n = {1 / n:.1e}")
axes.set(xscale="log", xlabel="weight_decay", ylabel="log loss of the fold left out")
axes.legend(loc="upper center")
low, high = axes.get_xlim()
axes.twiny().set(xscale="log", xlim=(1 / (low * n), 1 / (high * n)), xlabel=f"C = 1 / (weight_decay × {n})")

plt.show()
