"""
Numeric and categorical columns in a pipeline
=============================================

A data frame with numbers in very different units, categories and string labels goes through a ``ColumnTransformer``:
categories are one-hot encoded, and numbers are passed on unscaled, because the fit converges with any units. The data
are simulated, so that the estimated coefficients can be compared with true ones: how 3000 invented people travel to
work.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from skmax import SoftmaxRegression, softmax

try:
    import pandas as pd
except ImportError:
    raise SystemExit("This example needs pandas: pip install pandas") from None

# %%
# The simulation: each person draws a means of travel from the softmax of linear logits. The true effects sum to zero
# over the three means of travel, and those of a category also sum to zero over its values. The coefficients of a fit
# with weight decay follow the same convention, so that the two can be compared one by one.

true_coef = pd.DataFrame(
    {
        "distance_m": [-0.00030, 0.00010, 0.00020],
        "income_eur": [-0.000010, 0.000030, -0.000020],
        "age": [-0.030, 0.020, 0.010],
        "area_city": [0.4, -0.9, 0.5],
        "area_village": [-0.4, 0.9, -0.5],
        "weather_dry": [0.6, -0.4, -0.2],
        "weather_rain": [-0.1, 0.1, 0.0],
        "weather_snow": [-0.5, 0.3, 0.2],
    },
    index=["bicycle", "car", "train"],
)
rng = np.random.default_rng(0)
n = 3000
people = pd.DataFrame(
    {
        "distance_m": rng.gamma(2, 4000, n).round(),
        "income_eur": rng.normal(40_000, 12_000, n).round(-2),
        "age": rng.integers(18, 66, n),
        "area": rng.choice(["city", "village"], n),
        "weather": rng.choice(["dry", "rain", "snow"], n, p=[0.6, 0.3, 0.1]),
    }
)
encoded = pd.get_dummies(people, dtype=float)[true_coef.columns]
probability = softmax(encoded @ true_coef.T + [4.5, -3.0, -1.5])
travel = (rng.random((n, 1)) > probability.cumsum(axis=1)).sum(axis=1)
people["travel"] = true_coef.index.to_numpy()[travel]
print(people.head(4).to_string(), end="\n\n")

# %%
# The pipeline. Its steps pass data frames, which keep the names of the columns up to the last step. Scaling is not
# needed to reach the minimum, but it would change the model, because the penalty applies to coefficients in the units
# of the columns.

model = make_pipeline(
    ColumnTransformer(
        [
            ("number", "passthrough", ["distance_m", "income_eur", "age"]),
            ("category", OneHotEncoder(sparse_output=False), ["area", "weather"]),
        ],
        verbose_feature_names_out=False,
    ).set_output(transform="pandas"),
    SoftmaxRegression(),
)
X_train, X_test, y_train, y_test = train_test_split(
    people.drop(columns="travel"), people["travel"], test_size=1000, random_state=0
)
model.fit(X_train, y_train)
softmax_regression = model[-1]
prediction = pd.DataFrame(model.predict_proba(X_test), index=X_test.index, columns=model.classes_)
best = log_loss(y_test, probability[X_test.index])
print(f"converged: {softmax_regression.converged_}, after {softmax_regression.n_iter_} iterations")
print(f"test accuracy: {model.score(X_test, y_test):.3f}")
print(f"test log loss: {log_loss(y_test, prediction):.3f} (with the true probabilities: {best:.3f})", end="\n\n")
print(X_test.join(y_test).join(prediction.round(3)).head(6).to_string())

# %%
# Coefficients by name. Those per metre and per euro are small numbers. Multiplied by the standard deviation of their
# column, all have the same unit: the change of the logit for a typical difference between two people.

coef = pd.DataFrame(softmax_regression.coef_, model.classes_, softmax_regression.feature_names_in_)
spread = model[:-1].transform(X_train).std()
figure, axes = plt.subplots(figsize=(5, 6), layout="constrained")
for k, (name, color) in enumerate(zip(model.classes_, ["tab:green", "tab:orange", "tab:blue"], strict=True)):
    position = np.arange(coef.shape[1]) + 0.22 * (k - 1)
    axes.plot(coef.loc[name] * spread, position, "o", color=color, label=f"{name}, fitted")
    axes.plot(true_coef.loc[name] * spread, position, "|", color=color, ms=14, label=f"{name}, true")
for row in range(1, coef.shape[1]):
    axes.axhline(row - 0.5, color="0.9", lw=0.8)
axes.axvline(0, color="0.6", lw=0.8)
axes.set_yticks(np.arange(coef.shape[1]), coef.columns)
axes.invert_yaxis()
axes.set(xlabel="coefficient × standard deviation (logits)", title="How people travel to work (simulated)")
figure.legend(loc="outside lower center", ncols=3, columnspacing=1, frameon=False)

plt.show()
