"""
A model carried to a new site
=============================

A model was fitted to rows of many sites, and a new site has 50 labelled rows. A fit to these alone ignores what is
known from the other sites; in a fit to all rows together, they hardly count. ``prior_mean=model`` shrinks the
coefficients to those of the model instead of zero, and the weight decay, chosen by cross-validation on the 50 rows,
reflects how similar the new site is to the others.

The real data are those of the WISDM lab: six activities from the accelerometer of a phone, in 40 features, where a
"site" is the person who carries it. They are used if the folder named by the environment variable ``SKMAX_DATA`` has
them. Otherwise sites are simulated, each with its own coefficients, which scatter around common ones.
"""

import os
import warnings
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.preprocessing import StandardScaler

from skmax import SoftmaxRegression, SoftmaxRegressionCV, neg_cross_entropy_scorer

path = Path(os.environ.get("SKMAX_DATA", ".")) / "wisdm_har.npz"
rng = np.random.default_rng(0)
if path.exists():
    with np.load(path) as content:
        X, y, site = content["X"].astype(float), content["y"], content["user"]
else:
    site = np.repeat(np.arange(12), 170)
    X, common = rng.normal(size=(len(site), 40)), rng.normal(size=(40, 6))
    own = common + 0.6 * rng.normal(size=(12, 40, 6))
    y = (np.einsum("ij,ijk->ik", X, own[site]) + 2 * rng.gumbel(size=(len(site), 6))).argmax(axis=1)

# %%
# For each of up to ten sites, a model is fitted to all the other sites, and 50 rows of the site are drawn, in which all
# classes occur. The other rows of the site are for the test.

DECAYS = np.geomspace(10, 1e-3, 9)
losses = []
for new in np.unique(site):
    rows = rng.permutation(np.flatnonzero(site == new))
    train, test, others = rows[:50], rows[50:], site != new
    if len(test) < 50 or len(np.unique(y[train])) < 6 or len(losses) == 10:
        continue
    scaled = StandardScaler().fit(X[others]).transform(X)
    elsewhere = SoftmaxRegression(1e-3).fit(scaled[others], y[others])
    everywhere = others | np.isin(np.arange(len(y)), train)
    models = {
        "the others' model": elsewhere,
        "50 rows alone": SoftmaxRegressionCV(DECAYS),
        "all rows pooled": SoftmaxRegression(1e-3).fit(scaled[everywhere], y[everywhere]),
        "50 rows, others as prior": SoftmaxRegressionCV(DECAYS, prior_mean=elsewhere),
    }
    with warnings.catch_warnings():
        # Few rows may call for the end of the grid, and folds may lack a class.
        warnings.simplefilter("ignore", UserWarning)
        for name in ("50 rows alone", "50 rows, others as prior"):
            models[name].fit(scaled[train], y[train])
    losses.append([-neg_cross_entropy_scorer(model, scaled[test], y[test]) for model in models.values()])

# %%
losses = np.array(losses)
print(f"log loss on the other rows of {len(losses)} sites{'':12}mean{'':4}best on")
for name, column in zip(models, losses.T, strict=True):
    print(f"{name:44}{column.mean():8.3f}{np.sum(column == losses.min(axis=1)):6} sites")

# %%
figure, axes = plt.subplots(figsize=(5, 4), layout="constrained")
order = losses[:, 0].argsort()
for name, column, marker in zip(models, losses.T, "os^D", strict=True):
    axes.plot(column[order], marker, label=name)
axes.set(xlabel="site, by the loss of the others' model", ylabel="log loss on its other rows", xticks=[])
figure.legend(loc="outside upper center", ncols=2)
plt.show()
