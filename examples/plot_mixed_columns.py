"""
Some columns penalised, some free
=================================

A trial asks whether a treatment works. The other columns, thirty measurements of each patient, are many for 300
patients, so that weight decay pays. But it shrinks the effect of the treatment, too, which is what the trial is for.
``penalty_factor`` leaves that column without a penalty. It finds the column by its name, behind a ``ColumnTransformer``
whose output is a data frame.

The trial is simulated, so that the effect is known: it adds 1 to the log odds of "better" against "same", and takes 1
from those of "worse".
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmax import SoftmaxRegression, neg_cross_entropy_scorer

CLASSES, EFFECT = np.array(["better", "same", "worse"]), np.array([1.0, 0.0, -1.0])
rng = np.random.default_rng(0)
slopes = 0.3 * rng.normal(size=(30, 3))


def trial(n):
    frame = pd.DataFrame(rng.normal(100, 15, size=(n, 30)), columns=[f"measurement {j}" for j in range(30)])
    frame["treated"] = rng.permutation(n) % 2
    logits = (frame.iloc[:, :30].to_numpy() - 100) / 15 @ slopes + np.outer(frame["treated"], EFFECT)
    return frame, CLASSES[(logits + rng.gumbel(size=(n, 3))).argmax(axis=1)]


numbers = [f"measurement {j}" for j in range(30)]
columns = ColumnTransformer(
    [("scaled", StandardScaler(), numbers)], remainder="passthrough", verbose_feature_names_out=False
).set_output(transform="pandas")

# %%
# Twenty trials of 300 patients. With too little weight decay the thirty measurements are learnt by heart, which makes
# all effects look large and vary a lot. The weight decay of the lowest log loss takes nearly half of the effect away if
# it acts on all columns, and next to nothing if the treatment is free. With a very strong one, a free treatment still
# has the effect that it has on a patient of whom no measurement is known. That one is smaller, as averages of log odds
# are not log odds of averages.

DECAYS = np.geomspace(1e-3, 1, 7)
others = trial(5000)
trials = [trial(300) for _ in range(20)]
found = {}
print(f"{'':28}{'weight decay':>14}{'effect':>9}{'its spread':>12}{'log loss':>10}")
for name, factor in {"all penalised": None, "the treatment free": {"treated": 0.0}}.items():
    found[name] = np.empty((len(DECAYS), 2))
    for place, decay in enumerate(DECAYS):
        effects, losses = [], []
        for patients, outcome in trials:
            model = make_pipeline(columns, SoftmaxRegression(decay, penalty_factor=factor)).fit(patients, outcome)
            coef = model[-1].coef_[:, -1]
            effects.append((coef[0] - coef[2]) / 2)
            losses.append(-neg_cross_entropy_scorer(model, *others))
        found[name][place] = np.mean(effects), np.std(effects)
        print(f"{name:28}{decay:14.4f}{np.mean(effects):9.2f}{np.std(effects):12.2f}{np.mean(losses):10.3f}")

# %%
figure, axes = plt.subplots(figsize=(6.4, 3.8), layout="constrained")
for name, (mean, spread) in ((name, values.T) for name, values in found.items()):
    [line] = axes.plot(DECAYS, mean, "o-", label=name)
    axes.fill_between(DECAYS, mean - spread, mean + spread, color=line.get_color(), alpha=0.2)
axes.axhline(1, color="0.4", linestyle="--", linewidth=1, label="the effect")
axes.set(xscale="log", xlabel="weight decay", ylabel="estimated effect, with its spread", ylim=(0, None))
axes.legend()
plt.show()
