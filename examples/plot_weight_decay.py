"""
Choosing the weight decay
=========================

Weight decay pulls the coefficients towards zero. With too little the model learns the noise of its training rows; with
too much it learns nothing but how frequent the classes are. `SoftmaxRegressionCV` fits a path of weight decays on each
of five folds, judges each by the log loss on the rows left out, and takes the best; or, asked to, the strongest that
is within one standard error of the best.
"""

import matplotlib.pyplot as plt
from sklearn.datasets import load_wine
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split

from skmax import PathDisplay, SoftmaxRegression, SoftmaxRegressionCV

X, y = load_wine(return_X_y=True)  # columns from 0.1 to 1700, unscaled
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.5, stratify=y, random_state=0)

# %%
# The grid has its ends from the data. Behind it are 100 fits on folds, each started where the last one ended.
best = SoftmaxRegressionCV(20).fit(X_train, y_train)
simple = SoftmaxRegressionCV(20, refit="one_standard_error").fit(X_train, y_train)
approximate = SoftmaxRegressionCV(best.weight_decays_, cv="approximate").fit(X_train, y_train)

print(f"{'':38s} weight decay  log loss: left out  test")
for name, model in [
    ("best of five folds", best),
    ("strongest within one standard error", simple),
    ("best by approximate leave-one-out", approximate),
]:
    loss = log_loss(y_test, model.predict_proba(X_test))
    print(f"{name:38s} {model.weight_decay_:12.2g} {-model.best_score_:19.3f} {loss:5.3f}")
loss = log_loss(y_test, SoftmaxRegression().fit(X_train, y_train).predict_proba(X_test))
print(f"{'default, 1 / n_samples':38s} {1 / len(y_train):12.2g} {'':19s} {loss:5.3f}")

# %%
# Above, the score; below, the coefficients of the models on all training rows. Columns with large values get theirs
# first, as the penalty is on the coefficients of the columns as they are.
PathDisplay.from_estimator(best, X_train, y_train)
plt.show()
