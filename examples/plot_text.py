"""
Text: the strongest words of each class
=======================================

TF-IDF turns each word into a sparse column. With thousands of such columns and a handful of classes, a linear model is
hard to beat and easy to interpret. The texts are the docstrings of SciPy and scikit-learn, which need no download. From
the prose of a function's documentation, the model predicts which part of the library the function belongs to.
"""

import importlib
import inspect
import re
import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import accuracy_score, log_loss
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline

from skmax import SoftmaxRegression, SoftmaxRegressionCV

PARTS = [
    "scipy.linalg",
    "scipy.ndimage",
    "scipy.optimize",
    "scipy.signal",
    "scipy.sparse",
    "scipy.spatial",
    "scipy.special",
    "scipy.stats",
    "sklearn.cluster",
    "sklearn.linear_model",
    "sklearn.metrics",
    "sklearn.preprocessing",
]


def paragraphs(part):
    """The first words of what is documented in a part: its summary and description, up to the list of parameters."""
    module = importlib.import_module(part)
    for name in sorted(getattr(module, "__all__", dir(module))):
        text = inspect.getdoc(getattr(module, name, None)) or ""
        prose = re.split(r"\n(?:Parameters|Methods|Attributes|Returns)\n-|Read more in the", text)[0]
        if len(prose.split()) >= 12 and not inspect.ismodule(getattr(module, name)):
            yield prose


with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of names that the libraries are about to drop
    texts = {prose: part for part in PARTS for prose in paragraphs(part)}  # each text once
X, y = list(texts), list(texts.values())
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.3, stratify=y, random_state=0)

# %%
# A pipeline from text to classes. X remains sparse, and the weight decay is chosen on five folds. So many of the texts
# are alike (hundreds of distributions "as an instance of the rv_continuous class") that next to no decay is best, which
# is why the grid goes down to 1e-10.

to_words = TfidfVectorizer(sublinear_tf=True, stop_words="english", token_pattern=r"[a-z]{3,}")
search = make_pipeline(to_words, SoftmaxRegressionCV(np.geomspace(1e-2, 1e-10, 17))).fit(X_train, y_train)
default = make_pipeline(to_words, SoftmaxRegression()).fit(X_train, y_train)
words = to_words.get_feature_names_out()
print(f"{len(X_train)} texts to fit, {len(X_test)} to test, {len(words)} words, {len(PARTS)} classes")
for name, model in [("chosen", search), ("default, 1 / n_samples", default)]:
    decay = getattr(model[-1], "weight_decay_", 1 / len(X_train))
    accuracy = accuracy_score(y_test, model.predict(X_test))  # the score of a search is by its scorer, the log loss
    loss = log_loss(y_test, model.predict_proba(X_test))
    print(f"weight decay {decay:.1e} ({name}): test accuracy {accuracy:.3f}, log loss {loss:.3f}")

# %%
# The words with the largest coefficients of each class. The default model is easier to interpret: with more weight
# decay, a coefficient reflects how often a word occurs in its class; with less, it depends more on the few texts that
# are hardest to tell apart.

print()
model = default[-1]
for part, coef in zip(model.classes_, model.coef_, strict=True):
    print(f"{part:24}" + " ".join(words[np.argsort(-coef)[:7]]))

figure, table = plt.subplots(6, 2, figsize=(5, 11), sharex=True, layout="constrained")
for axes, part, coef in zip(table.ravel(), model.classes_, model.coef_, strict=True):
    strongest = np.argsort(coef)[-7:]
    axes.barh(words[strongest], coef[strongest], color="C0")
    axes.set_title(part, fontsize=11, loc="right")
for axes in table[-1]:
    axes.set_xlabel("coefficient")
plt.show()
