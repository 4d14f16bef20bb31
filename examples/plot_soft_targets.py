"""
Soft targets from several annotators
====================================

Where annotators disagree about a row, a majority vote throws the disagreement away. ``SoftmaxRegression`` can be fitted
to the votes themselves: ``fit(X, votes / total, sample_weight=total)`` with a row's total number of votes as its
weight, which is the same objective as a row with a label for each single vote. The digits are real, the annotators
simulated.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.metrics import accuracy_score, log_loss
from sklearn.metrics.pairwise import euclidean_distances
from sklearn.model_selection import GridSearchCV, KFold

from skmax import SoftmaxRegression, neg_cross_entropy_scorer

# %%
# Normal noise on the pixels makes the pictures hard to read, for annotators and model alike. Of the 1797 digits, 600 are
# the annotators' experience, 300 train and 897 test. Each of ten annotators remembers another random half of the 600,
# with their true labels, and calls a picture what the most similar one that they remember is. So an annotator errs
# more on some rows than on others, and takes a digit for one that looks like it. A training row has the votes of 1 to 5
# annotators, drawn at random.

digits, y = load_digits(return_X_y=True)
n_classes, n_known, n_train, n_annotators = 10, 600, 300, 10


def noisy_digits_and_labels(noise, rng):
    """The pictures of the training and the test digits, their true labels, and the label that each annotator gives."""
    known, new = np.split(rng.permutation(len(y)), [n_known])
    X = digits + noise * rng.standard_normal(digits.shape)  # pixels are from 0 to 16
    distance = euclidean_distances(X[new], X[known])
    memories = [rng.choice(n_known, n_known // 2, replace=False) for _ in range(n_annotators)]
    labels = [y[known][memory[distance[:, memory].argmin(axis=1)]] for memory in memories]
    return X[new], y[new], np.transpose(labels)


def count_votes(labels, n_votes, rng):
    """How many of `n_votes` random annotators (for each row its own number) voted for each class."""
    voter = rng.permuted(np.tile(np.arange(n_annotators) < n_votes[:, None], 1), axis=1)
    return np.stack([((labels == k) & voter).sum(axis=1) for k in range(n_classes)], axis=1)


# %%
# Majority vote (ties broken at random) and soft targets have the same rows, the same weights and the same search for
# the weight decay, each judged on its own kind of targets in the folds left out: clean labels are there for the test
# only. The scorer takes labels and distributions. The last columns judge against the votes of all ten annotators on
# the test digits.

methods = "majority", "soft"
noises, n_repeats = np.array([0, 3, 5, 7]), 5
error = np.empty((len(noises), n_repeats))
result = np.empty((3, len(methods), len(noises), n_repeats))  # log loss, accuracy, cross-entropy to the votes
for i, j in np.ndindex(error.shape):
    rng = np.random.default_rng(j)
    X, truth, labels = noisy_digits_and_labels(noises[i], rng)
    train, test = slice(n_train), slice(n_train, None)
    error[i, j] = (labels[train] != truth[train, None]).mean()
    votes = count_votes(labels[train], rng.integers(1, 6, size=n_train), rng)
    test_votes = count_votes(labels[test], np.full(len(X) - n_train, n_annotators), rng)
    total = votes.sum(axis=1)
    majority = (votes + 0.5 * rng.random(votes.shape)).argmax(axis=1)
    for m, targets in enumerate([majority, votes / total[:, None]]):
        search = GridSearchCV(
            SoftmaxRegression(classes=range(n_classes), tol=1e-4),
            {"weight_decay": [0.1, 1, 10]},
            scoring=neg_cross_entropy_scorer,
            cv=KFold(2),
        )
        search.fit(X[train], targets, sample_weight=total)
        result[0, m, i, j] = log_loss(truth[test], search.predict_proba(X[test]))
        result[1, m, i, j] = accuracy_score(truth[test], search.predict(X[test]))
        result[2, m, i, j] = -search.score(X[test], test_votes / n_annotators)
    if i == 0 and j == 0:
        print("votes in a row:", np.bincount(total)[1:])
print(
    error.mean(1),
    (result[:, 0] - result[:, 1]).mean(-1).round(3),
    (result[:, 0] - result[:, 1]).std(-1, ddof=1).round(3) / 5**0.5,
)
print(result.mean(-1).round(3))
