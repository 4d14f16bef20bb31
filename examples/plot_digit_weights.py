"""
What the weights look at
========================

A linear model of images has a weight for each pixel and class. The weights of a class can be shown as a picture: red
where ink is evidence for the digit, blue where it is evidence against it. Weight decay makes the weights smaller and
spreads them: with little, single pixels decide; with much, whole strokes do. Each row of the figure has its own scale,
at its right end.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split

from skmax import SoftmaxRegression

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, stratify=y, random_state=0)

weight_decays = [1e-5, 1e-2, 1.0]
models = [SoftmaxRegression(weight_decay).fit(X_train, y_train) for weight_decay in weight_decays]
print(f"{'weight decay':>12}{'largest weight':>16}{'test accuracy':>15}{'test log loss':>15}")
for model in models:
    loss = log_loss(y_test, model.predict_proba(X_test))
    accuracy = model.score(X_test, y_test)
    print(f"{model.weight_decay:12g}{np.abs(model.coef_).max():16.3f}{accuracy:15.3f}{loss:15.3f}")

figure = plt.figure(figsize=(5, 8.5), layout="constrained")
for part, model in zip(figure.subfigures(3, 1), models, strict=True):
    part.suptitle(f"weight decay {model.weight_decay:g}")
    limit = np.abs(model.coef_).max()
    table = part.subplots(2, 5)
    for axes, digit, weights in zip(table.flat, model.classes_, model.coef_, strict=True):
        colours = axes.imshow(weights.reshape(8, 8), cmap="RdBu_r", vmin=-limit, vmax=limit)
        axes.set(title=digit, xticks=[], yticks=[])
    part.colorbar(colours, ax=table, label="weight", ticks=[-0.9 * limit, 0, 0.9 * limit], format="%.2g")

# %%
# The logit of an image is the sum over its pixels of ink times weight. A prediction can therefore be broken down by
# pixel. The figure shows a digit that the model gets wrong, and how much each pixel favours the predicted class over
# the true one.

model = models[1]
probability = model.predict_proba(X_test)
wrong = np.flatnonzero(model.predict(X_test) != y_test)
i = wrong[probability[wrong].max(axis=1).argmax()]
taken, true = model.predict(X_test[[i]])[0], y_test[i]
evidence = X_test[i] * (model.coef_[taken] - model.coef_[true])
bias = model.intercept_[taken] - model.intercept_[true]
print(f"\nA {true} taken for a {taken}: {probability[i, taken]:.3f} against {probability[i, true]:.3f}.")
print(f"The logits differ by {evidence.sum() + bias:.2f}: {evidence.sum():.2f} from its pixels, {bias:.2f} intercepts.")

figure, (left, right) = plt.subplots(1, 2, figsize=(5, 2.7), layout="constrained")
left.imshow(X_test[i].reshape(8, 8), cmap="Greys")
left.set_title(f"true {true},\ntaken for {taken}")
limit = np.abs(evidence).max()
picture = right.imshow(evidence.reshape(8, 8), cmap="RdBu_r", vmin=-limit, vmax=limit)
right.set_title(f"for {taken} (red)\nor {true} (blue)")
figure.colorbar(picture, ax=right, label="part of the difference", shrink=0.85)
for axes in left, right:
    axes.set(xticks=[], yticks=[])
plt.show()
