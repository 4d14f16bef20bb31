"""
Some columns penalised, some free
=================================

A trial asks whether a treatment works. The other columns are thirty measurements of each patient. For 300 patients
these are many, so weight decay improves the predictions. But it also shrinks the effect of the treatment, which the
trial is meant to estimate. ``penalty_factor`` leaves that column without a penalty. The column is given by its name,
which works after a ``ColumnTransformer`` whose output is a data frame.

The trial is simulated, so that the effect is known: it adds 1 to the log odds of "better" against "same", and takes 1
from those of "worse".
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmax import SoftmaxRegression, neg_cross_entropy_scorer

try:
    import pandas as pd
except ImportError:
    raise SystemExit("This example needs pandas: pip install pandas") from None

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
# Twenty trials of 300 patients. With too little weight decay the model overfits the thirty measurements, so that all
# effects are overestimated and vary a lot. The weight decay with the lowest log loss removes nearly half of the effect
# if it applies to all columns, and next to nothing if the treatment is not penalised. With a very strong weight decay,
# the unpenalised coefficient is the effect on a patient whose measurements are unknown. This effect is smaller, because
# averages of log odds are not log odds of averages.

DECAYS = np.geomspace(1e-3, 1, 7)
others = trial(5000)
trials = [trial(300) for _ in range(20)]
found = {}
print(f"{'':28}{'weight decay':>14}{'effect':>9}{'std. dev.':>12}{'log loss':>10}")
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
figure, axes = plt.subplots(figsize=(5, 4), layout="constrained")
for name, (mean, spread) in ((name, values.T) for name, values in found.items()):
    [line] = axes.plot(DECAYS, mean, "o-", label=name)
    axes.fill_between(DECAYS, mean - spread, mean + spread, color=line.get_color(), alpha=0.2)
axes.axhline(1, color="0.4", linestyle="--", linewidth=1, label="true effect")
axes.set(xscale="log", xlabel="weight decay", ylabel="estimated effect ± standard deviation", ylim=(0, None))
axes.legend()
plt.show()
