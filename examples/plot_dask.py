"""
From a folder of Parquet files to a model
=========================================

Data that do not fit into one machine are stored in many files, and each of Dask's workers reads some of them. The loss
and its gradient are sums over rows: each worker adds up its own rows, and only the sums are sent. The algorithm is that
of `SoftmaxRegression`, and so is the result.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from skmax import ConvergenceDisplay, SoftmaxRegression

try:
    import pandas as pd
    from dask import dataframe as dd
    from distributed import Client, LocalCluster

    from skmax.dask import DaskSoftmaxRegression
except ImportError:
    raise SystemExit('This example needs Dask, with its data frames: pip install "skmax[dask]"') from None

# %%
# The folder has eight files of 10000 rows each. They hold simulated records of what the visitors of a shop did, with
# columns in various units.

folder = tempfile.TemporaryDirectory()
rng = np.random.default_rng(0)
effect = rng.normal(size=(4, 3)) / [[1], [60], [2000], [0.2]]
for part in range(8):
    X = np.abs(rng.normal(size=(10_000, 4))) * [1, 60, 2000, 0.2]
    choice = (X @ effect + rng.gumbel(size=(10_000, 3))).argmax(axis=1)
    frame = pd.DataFrame(X, columns=["visits", "minutes", "spent", "clicks per s"])
    frame["outcome"] = np.array(["bought", "left", "returns"])[choice]
    frame.to_parquet(Path(folder.name) / f"{part}.parquet")

# %%
# The cluster consists of two workers in this process, so that the example runs anywhere. A real one has processes on
# this machine or on several (``LocalCluster()``, dask-jobqueue, dask-kubernetes). With scikit-learn 1.9 or later, a
# progress bar shows the iterations.

cluster = LocalCluster(n_workers=2, threads_per_worker=1, processes=False, dashboard_address=":0")
client = Client(cluster)
data = dd.read_parquet(folder.name)
columns = ["visits", "minutes", "spent", "clicks per s"]
model = DaskSoftmaxRegression(tol=1e-9)
try:
    from sklearn.callback import ProgressBar

    model.set_callbacks(ProgressBar())
except ImportError:
    pass
model.fit(data[columns], data["outcome"])
print(f"{data.npartitions} files, {len(data)} rows: converged {model.converged_} after {model.n_iter_} iterations")

# %%
# Predictions are lazy, file by file. `to_local` returns a `SoftmaxRegression`, which can be stored and used without
# Dask. A fit of `SoftmaxRegression` on all rows gives the same model.

shares = model.predict_proba(data[columns]).mean(axis=0)
print("mean probability: ", dict(zip(model.classes_.tolist(), shares.compute().round(3).tolist(), strict=True)))
print(f"accuracy:          {model.score(data[columns], data['outcome']):.3f}")
everything = data.compute()
plain = SoftmaxRegression(tol=1e-9).fit(everything[columns], everything["outcome"])
difference = np.abs(plain.predict_proba(everything[columns]) - model.to_local().predict_proba(everything[columns]))
print(f"largest difference from the plain fit: {difference.max():.0e}")

figure, (upper, lower) = plt.subplots(2, 1, figsize=(5, 7), layout="constrained")
ConvergenceDisplay.from_estimator(model.to_local(), name="Dask, 8 files", ax=upper)
ConvergenceDisplay.from_estimator(plain, name="one machine", ax=upper, linestyle="--", alpha=0.6)
scale = everything[columns].std().to_numpy()
place = np.arange(4)
for k, (name, coef) in enumerate(zip(model.classes_, model.coef_ * scale, strict=True)):
    lower.barh(place + 0.25 * (k - 1), coef, height=0.22, label=name)
lower.set_yticks(place, columns)
lower.axvline(0, color="0.3", linewidth=0.8)
lower.set_xlabel("logit for a standard deviation")
lower.legend()
plt.show()
client.close()
cluster.close()
folder.cleanup()
