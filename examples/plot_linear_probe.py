"""
A linear probe
==============

How good is an embedding? A common answer is a linear probe: the embedding stays as it is, and a softmax regression on
top of it is evaluated on held-out rows. The answer depends on the weight decay, so a probe needs a sweep over weight
decays, and a fair comparison needs a sweep for each embedding.

Here the embedding is a convolution with random filters, which are not fitted to digits: each picture is cut into
patches of 5 x 5, each patch is multiplied by 48 random filters, negative values are set to zero, and the values are
averaged over each quarter of the picture.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from skmax import PathDisplay, SoftmaxRegressionCV

digits, y = load_digits(return_X_y=True)
pictures = digits.reshape(-1, 8, 8) / 16


def embed(pictures, n_filters=48, seed=0):
    filters = np.random.default_rng(seed).normal(size=(n_filters, 25)) / 5
    patches = np.lib.stride_tricks.sliding_window_view(pictures, (5, 5), axis=(1, 2)).reshape(len(pictures), 4, 4, 25)
    response = np.maximum((patches - patches.mean(axis=-1, keepdims=True)) @ filters.T, 0)
    pooled = response.reshape(len(pictures), 2, 2, 2, 2, n_filters).mean(axis=(2, 4)).reshape(len(pictures), -1)
    return (pooled / np.linalg.norm(pooled, axis=1, keepdims=True)).astype(np.float32)  # rows of unit length


# %%
# A sweep over 15 weight decays and five folds, for the pixels and for the embedding. The ends of the grid are derived
# from the data, so it suits the pixels as well as rows of unit length, whose best decay is 60 times as weak.
X = {"pixels": pictures.reshape(-1, 64), "embedding": embed(pictures)}
train, test = train_test_split(np.arange(len(y)), test_size=0.5, stratify=y, random_state=0)

print(f"{'':10}{'columns':>8}{'weight decay':>14}{'log loss: left out':>20}{'test':>7}{'accuracy':>10}")
figure, panels = plt.subplots(2, 1, figsize=(5, 7.5), sharey=True, layout="constrained")
for axes, (name, rows) in zip(panels, X.items(), strict=True):
    probe = SoftmaxRegressionCV(15).fit(rows[train], y[train])
    accuracy = np.mean(probe.predict(rows[test]) == y[test])
    print(
        f"{name:10}{rows.shape[1]:8d}{probe.weight_decay_:14.1e}{-probe.best_score_:20.3f}"
        f"{-probe.score(rows[test], y[test]):7.3f}{accuracy:10.3f}"
    )
    PathDisplay.from_estimator(probe, ax=axes)
    axes.set_title(f"{name}: {100 * accuracy:.1f} % of the test rows right")
    axes.set_yscale("log")
plt.show()
