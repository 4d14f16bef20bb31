"""
Soft targets from several annotators
====================================

Where annotators disagree about a row, a majority vote throws the disagreement away. ``SoftmaxRegression`` can be fitted
to the votes themselves: ``fit(X, votes / total, sample_weight=total)`` with a row's total number of votes as its
weight, which is the same objective as a row with a label for each single vote. Whether that is better depends on what
the disagreement is about. The digits here are real, the annotators simulated.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.metrics import accuracy_score, log_loss
from sklearn.metrics.pairwise import euclidean_distances
from sklearn.model_selection import GridSearchCV, KFold

from skmax import SoftmaxRegression, neg_cross_entropy_scorer

# %%
# Normal noise on the pixels makes the pictures hard to read, for annotators and model alike. Of the 1797 digits, 600
# are for the annotators to remember, 300 for training and 897 for the test. Each of ten annotators remembers a
# different random 300 of the 600, equally noisy, with their true labels, and gives a picture the label of the most
# similar remembered one. Annotators therefore make more errors on some rows than on others, and confuse digits that
# look alike. A training row has the votes of 1 to 5 annotators, drawn at random. In the last setting the pictures have
# no noise, and the annotators remember only 30: they disagree because they lack experience.

digits, y = load_digits(return_X_y=True)
n_classes, n_known, n_train, n_annotators = 10, 600, 300, 10


def noisy_digits_and_labels(noise, n_remembered, rng):
    """The pictures of the training and the test digits, their true labels, and the label that each annotator gives."""
    known, new = np.split(rng.permutation(len(y)), [n_known])
    X = digits + noise * rng.standard_normal(digits.shape)  # pixels are from 0 to 16
    distance = euclidean_distances(X[new], X[known])
    memories = [rng.choice(n_known, n_remembered, replace=False) for _ in range(n_annotators)]
    labels = [y[known][memory[distance[:, memory].argmin(axis=1)]] for memory in memories]
    return X[new], y[new], np.transpose(labels)


def count_votes(labels, n_votes, rng):
    """How many of `n_votes` random annotators (for each row its own number) voted for each class."""
    voter = rng.permuted(np.arange(n_annotators) < n_votes[:, None], axis=1)
    return np.stack([((labels == k) & voter).sum(axis=1) for k in range(n_classes)], axis=1)


# %%
# Majority vote (ties broken at random) and soft targets use the same rows, the same weights and the same search for the
# weight decay. In the search, each is scored on its own kind of targets in the held-out folds, because true labels are
# used for the test only. The scorer accepts labels and distributions; on the test digits, the distributions are the
# votes of all ten annotators.

settings, n_repeats = [(0, 300), (3, 300), (5, 300), (0, 30)], 4  # noise, pictures remembered
weight_decays = {"weight_decay": [0.1, 1, 10]}
error = np.empty((len(settings), n_repeats))
result = np.empty((3, 2, len(settings), n_repeats))  # 3 measures; majority vote, soft targets
for i, j in np.ndindex(error.shape):
    rng = np.random.default_rng(j)
    X, truth, labels = noisy_digits_and_labels(*settings[i], rng)
    train, test = slice(n_train), slice(n_train, None)
    all_votes = (labels[test, :, None] == np.arange(n_classes)).mean(axis=1)
    error[i, j] = (labels[train] != truth[train, None]).mean()
    votes = count_votes(labels[train], rng.integers(1, 6, size=n_train), rng)
    total = votes.sum(axis=1)
    majority = (votes + 0.5 * rng.random(votes.shape)).argmax(axis=1)
    for m, targets in enumerate([majority, votes / total[:, None]]):
        model = SoftmaxRegression(classes=range(n_classes), tol=1e-4)
        search = GridSearchCV(model, weight_decays, scoring=neg_cross_entropy_scorer, cv=KFold(2))
        search.fit(X[train], targets, sample_weight=total)  # the weights go to fit, not to the scorer
        result[0, m, i, j] = log_loss(truth[test], search.predict_proba(X[test]))
        result[1, m, i, j] = accuracy_score(truth[test], search.predict(X[test]))
        result[2, m, i, j] = -neg_cross_entropy_scorer(search, X[test], all_votes)

mean = result.mean(axis=-1)
gain = (result[:, 0] - result[:, 1]) * np.array([1, -1, 1])[:, None, None]  # of soft targets, on the same rows
mean_gain, se_gain = gain.mean(axis=-1), gain.std(axis=-1, ddof=1) / np.sqrt(n_repeats)
print(f"Means of {n_repeats} repetitions; gain: of soft targets over the majority vote, ± its standard error\n")
for k, title in enumerate(["log loss, true labels", "accuracy, true labels", "cross-entropy to votes"]):
    print(f"{title:23}noise  remembered  wrong votes  majority   soft   gain")
    for i, (noise, n_remembered) in enumerate(settings):
        row = f"{noise:28}{n_remembered:12}{error[i].mean():13.2f}{mean[k, 0, i]:10.3f}{mean[k, 1, i]:7.3f}"
        print(f"{row}   {mean_gain[k, i]:+.3f} ± {se_gain[k, i]:.3f}")

# %%
# Where the pictures themselves are hard to read, soft targets win in log loss: the annotators disagree where the truth
# is uncertain. On clear pictures they seldom disagree, and little is gained, if anything. Inexperienced annotators
# disagree even about clear pictures. A majority vote corrects their errors, while soft targets make the model as
# uncertain as they are: its log loss on the true labels is worse, though its accuracy is not. It still predicts better
# how the annotators vote, if that is the question.

figure, axes = plt.subplots(figsize=(5, 4.8), layout="constrained")
position = -np.arange(len(settings))
for k, shift, marker, label in (0, 0.1, "o", "the true labels"), (2, -0.1, "s", "how annotators vote"):
    axes.errorbar(mean_gain[k], position + shift, xerr=se_gain[k], fmt=marker, capsize=4, label=label)
axes.axvline(0, color="0.4", ls="--")
names = ["clear pictures", "noisy pictures", "very noisy pictures", "clear pictures,\ninexperienced annotators"]
axes.set_yticks(position, [f"{name}\n({e:.0%} of votes wrong)" for name, e in zip(names, error.mean(1), strict=True)])
axes.set(title="Gain of soft targets over majority vote", xlabel="log loss saved ± standard error", ymargin=0.12)
figure.legend(title="in predicting", loc="outside lower center", ncols=2)

plt.show()
