"""skmax beside other packages that fit multinomial logistic regression: time, and distance from the minimum.

Results: one round (--rounds 1) by the clock, on two cores that other programs used too, so that neither the times nor
the ratios are better than a rough guide.

    made, 20000 x 20, 5 classes, no penalty            seconds   ratio   excess
    skmax 0.1.0                                           0.58     1     0
    scikit-learn 1.9.1, newton-cholesky                   2.7      4.6   0
    statsmodels 0.15.0, MNLogit                           6.2     11     0
    Spark ML 3.5.9                                       40       69     5e-10
    glmnet 4.1-6 (R)                                     79      136     1e-9
    cyanure 1.2.2                                        63      109     5e-3
    scikit-learn 1.9.1, lbfgs, 1000 iterations           42       72     5e-2
    scikit-learn 1.9.1, defaults                          3.8      6.5   1e-1

    digits, 1797 x 64, 10 classes, C=1                 seconds   ratio   excess
    skmax 0.1.0                                           0.28     1     5e-7
    scikit-learn 1.9.1, newton-cholesky                   0.89     3.2   0
    glmnet 4.1-6 (R)                                      5.9     21     4e-10
    cyanure 1.2.2                                        12       43     1e-13
    Spark ML 3.5.9                                       78      282     6e-8
    scikit-learn 1.9.1, lbfgs, 1000 iterations            1.3      4.5   2e-5
    scikit-learn 1.9.1, defaults                          0.53     1.9   7e-4

Without a penalty, only skmax and Newton's method (newton-cholesky, statsmodels) are at the minimum within ten seconds.
statsmodels also computes what its tables need. Spark is made for data that do not fit into one machine.

Usage: python -m benchmarks.peers [--rounds N] [NAME ...]

Two problems that anybody can repeat. `digits`: the 1797 x 64 handwritten digits of scikit-learn as they are, 10
classes, C=1. `made`: 20000 rows of 20 columns with units from 0.01 to 1000, 5 classes, drawn from a softmax of linear
logits with a seed, without a penalty, as statsmodels fits no other model. Each package that is installed fits each
problem that it can, with the tolerance set so low that the time is what its best answer takes; and scikit-learn with
its default settings too. `excess` is the objective at the end, by one function for all, above the best that any of
them found. A time is the fastest of the rounds, in which the packages take turns, with as many threads as each takes
by itself; scikit-learn has one for its linear algebra, with which it is faster here.

glmnet runs in R (Rscript and the package glmnet), over a path of 15 weight decays that ends at the one asked for, as
its authors advise; its time is that of the path. (With the last ten of them alone, its fit of digits ends far away,
without a warning.) Spark ML runs in this machine, on rows that are cached before, after a first fit that warms it up.
Both standardize the columns where there is no penalty, which leaves
the minimum where it is. No time includes the conversion of the data.
"""

import argparse
import importlib.metadata
import importlib.util
import os
import shutil
import subprocess
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
from scipy.special import log_softmax
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from skmax import SoftmaxRegression, softmax


def made(n_rows=20_000, n_columns=20, n_classes=5, seed=0):
    """Rows with columns in different units, and labels drawn from a softmax of linear logits."""
    rng = np.random.default_rng(seed)
    units = np.geomspace(0.01, 1000, n_columns)
    X = (rng.normal(size=(n_rows, n_columns)) @ rng.normal(size=(n_columns, n_columns)) / n_columns**0.5 + 1) * units
    logits = X @ (rng.normal(size=(n_columns, n_classes)) / units[:, None] / n_columns**0.5)
    return X, (softmax(logits).cumsum(axis=1) < rng.uniform(size=(n_rows, 1))).sum(axis=1)


def problems():
    """{name: (X, y, weight decay)}."""
    digits = load_digits(return_X_y=True)
    return {"digits": (*digits, 1 / len(digits[1])), "made": (*made(), 0.0)}


def objective(coef, intercept, X, y, weight_decay):
    log_probability = log_softmax(X @ coef.T + intercept, axis=1)
    return -log_probability[np.arange(len(y)), y].mean() + weight_decay / 2 * (coef**2).sum()


# Each peer makes, from a problem, a function that fits and returns (seconds, coef, intercept); None if it cannot.


def timed(make):
    def peer(X, y, weight_decay):
        def fit():
            model = make(weight_decay, len(y))
            begin = time.perf_counter()
            model.fit(X, y)
            return time.perf_counter() - begin, model.coef_, model.intercept_

        return fit

    return peer


def logistic_regression(**options):
    def make(weight_decay, n_rows):
        return LogisticRegression(C=1 / (weight_decay * n_rows) if weight_decay else np.inf, **options)

    peer = timed(make)

    def with_one_thread(*problem):
        fit = peer(*problem)

        def limited():
            with threadpool_limits(1):
                return fit()

        return limited

    return with_one_thread


def statsmodels(X, y, weight_decay):
    if weight_decay:
        return None  # no L2 penalty
    from statsmodels.discrete.discrete_model import MNLogit

    def fit():
        model = MNLogit(y, np.column_stack([np.ones(len(y)), X]))
        begin = time.perf_counter()
        parameters = model.fit(method="newton", maxiter=100, disp=False).params
        seconds = time.perf_counter() - begin
        differences = np.vstack([np.zeros(parameters.shape[0]), np.asarray(parameters).T])
        return seconds, differences[:, 1:], differences[:, 0]

    return fit


def cyanure(X, y, weight_decay):
    from cyanure.estimators import Classifier

    X = np.asfortranarray(X)

    def fit():
        model = Classifier(
            loss="multiclass-logistic",
            penalty="l2" if weight_decay else "none",
            lambda_1=weight_decay,
            fit_intercept=True,
            tol=1e-9,
            max_iter=2000,
            verbose=False,
        )
        begin = time.perf_counter()
        model.fit(X, y)
        seconds = time.perf_counter() - begin
        coef, intercept = np.asarray(model.coef_), np.asarray(model.intercept_).ravel()
        return seconds, coef if len(coef) == len(intercept) else coef.T, intercept

    return fit


def spark(X, y, weight_decay):
    from pyspark.ml.classification import LogisticRegression as Spark
    from pyspark.ml.linalg import Vectors
    from pyspark.sql import SparkSession

    session = (
        SparkSession.builder.master(f"local[{os.cpu_count()}]")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.ui.enabled", "false")
        .getOrCreate()
    )
    session.sparkContext.setLogLevel("OFF")
    rows = [(float(label), Vectors.dense(row)) for label, row in zip(y, X.tolist(), strict=True)]
    frame = session.createDataFrame(rows, ["label", "features"]).repartition(os.cpu_count()).cache()
    frame.count()
    model = Spark(family="multinomial", regParam=weight_decay, standardization=not weight_decay, tol=1e-9, maxIter=1000)
    model.copy({model.maxIter: 2}).fit(frame)

    def fit():
        begin = time.perf_counter()
        fitted = model.fit(frame)
        return time.perf_counter() - begin, fitted.coefficientMatrix.toArray(), fitted.interceptVector.toArray()

    return fit


GLMNET = """
library(glmnet)
X <- as.matrix(read.csv("X.csv", header = FALSE)); y <- scan("y.csv", quiet = TRUE)
decay <- scan("decay", quiet = TRUE)
path <- if (decay > 0) decay * 2^(14:0) else c(2^(-(0:14)), 0)
seconds <- system.time(
  model <- glmnet(X, factor(y), family = "multinomial", alpha = 0, lambda = path, standardize = decay == 0,
                  thresh = 1e-12, maxit = 1e6)
)[["elapsed"]]
last <- length(model$lambda)
coef <- t(sapply(model$beta, function(each) as.matrix(each)[, last]))
write(format(c(seconds, model$a0[, last], t(coef)), digits = 17), "result", ncolumns = 1)
"""


def glmnet(X, y, weight_decay):
    folder = tempfile.TemporaryDirectory()
    here = Path(folder.name)
    np.savetxt(here / "X.csv", X, delimiter=",")
    np.savetxt(here / "y.csv", y)
    (here / "decay").write_text(repr(weight_decay))
    (here / "fit.R").write_text(GLMNET)

    def fit():
        assert folder  # which keeps the files
        subprocess.run(["Rscript", "fit.R"], cwd=here, check=True, capture_output=True, timeout=600)
        seconds, *numbers = np.loadtxt(here / "result")
        intercept, coef = np.split(np.array(numbers), [y.max() + 1])
        return seconds, coef.reshape(len(intercept), -1), intercept

    return fit


def _has_glmnet():
    command = ["Rscript", "-e", 'stopifnot(requireNamespace("glmnet"))']
    return shutil.which("Rscript") and subprocess.run(command, capture_output=True).returncode == 0


def peers():
    """{name: peer} of those that are installed."""

    def has(module):
        return importlib.util.find_spec(module) is not None

    version = importlib.metadata.version
    known = {f"skmax {version('skmax')}": timed(lambda weight_decay, n_rows: SoftmaxRegression(weight_decay))}
    ours = f"scikit-learn {version('scikit-learn')}"
    known[f"{ours}, defaults"] = logistic_regression()
    known[f"{ours}, newton-cholesky"] = logistic_regression(solver="newton-cholesky", tol=1e-7)
    known[f"{ours}, lbfgs, 1000 iterations"] = logistic_regression(max_iter=1000, tol=1e-8)
    if _has_glmnet():
        known["glmnet (R)"] = glmnet
    if has("statsmodels"):
        known[f"statsmodels {version('statsmodels')}, MNLogit"] = statsmodels
    if has("pyspark") and shutil.which("java"):
        known[f"Spark ML {version('pyspark')}"] = spark
    if has("cyanure"):
        known[f"cyanure {version('cyanure')}"] = cyanure
    return known


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="the problems, of digits and made; default: both")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    installed = peers()
    for problem, (X, y, weight_decay) in problems().items():
        if arguments.names and problem not in arguments.names:
            continue
        made_ready = {name: peer(X, y, weight_decay) for name, peer in installed.items()}
        fits = {name: fit for name, fit in made_ready.items() if fit is not None}
        best_time, value = dict.fromkeys(fits, np.inf), dict.fromkeys(fits, np.nan)
        for _ in range(arguments.rounds):
            for name, fit in fits.items():
                try:
                    seconds, coef, intercept = fit()
                except (ValueError, RuntimeError, subprocess.SubprocessError, np.linalg.LinAlgError) as error:
                    print(f"{name}: {type(error).__name__}: {str(error)[:200]}")
                    continue
                best_time[name] = min(best_time[name], seconds)
                value[name] = objective(coef, intercept, X, y, weight_decay)
        best = np.nanmin(list(value.values()))
        print(f"\n{problem}, {X.shape[0]} x {X.shape[1]}, {y.max() + 1} classes, weight decay {weight_decay:.3g}")
        for name in fits:
            print(f"    {name:36s} {1e3 * best_time[name]:9.0f} ms   excess {value[name] - best:8.1e}", flush=True)


if __name__ == "__main__":
    main()
