"""Standard errors, effects and influence: time and memory, beside the fit and statsmodels' MNLogit.

Results: 2 cores of an AMD EPYC with AVX-512 that other work used at the same time, so that the seconds are upper bounds
and only what stands in one line may be compared; NumPy 2.4.

              rows x features x classes     call               fit   seconds   memory
    wide      20,000 x 127 x 16             coef_table       18.58     14.60      172
                                            sandwich         16.05     34.67      257
                                            cluster          13.01     32.65      297
                                            effects          15.12     36.57      301
                                            leave_one_out    25.42     49.05      171
    medium    100,000 x 14 x 14             coef_table        1.72      1.21        6
                                            sandwich          1.23      1.65       14
                                            cluster           2.17      2.25       29
                                            effects           1.18      1.57       13
                                            leave_one_out     3.09     11.88       38
                                            MNLogit          85.82                 65
                                            its effects              > 300
    large     1,000,000 x 14 x 14           coef_table       17.49      7.32       50
                                            sandwich         10.76     15.03       51
                                            cluster           9.78     12.92      193
                                            effects          23.86     29.46       50
                                            leave_one_out    14.98     57.88      409

Standard errors cost less than the fit, also of 2048 parameters ("wide"), and the other kinds and effects one to three
fits. The memory beside X and the results does not depend on the rows; 50,000 clusters take 67 MB a thread.

Usage: python -m benchmarks.inference [TABLE ...]

Each line is a process of its own. `seconds` are of the call alone, `fit` those of the fit before it, and `memory` is
the largest growth of the resident memory during the call, in MB. Data are drawn from the model, with columns on scales
from 0.001 to 1000.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from pathlib import Path

import numpy as np

# rows, features, classes
TABLES = {"wide": (20_000, 127, 16), "medium": (100_000, 14, 14), "large": (1_000_000, 14, 14)}
CALLS = ["coef_table", "sandwich", "cluster", "effects", "leave_one_out"]
# MNLogit's Newton steps and Hessian for a million rows take longer than anyone waits, and 30 GB.
STATSMODELS = ["medium"]
# As R's nnet, whose Hessian takes time with the square of the parameters for each row.
R_ROWS = 5_000


def draw(n_rows, n_features, n_classes):
    """Unscaled columns and labels from a model with ordinary coefficients."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_rows, n_features))
    logits = X @ (rng.normal(size=(n_features, n_classes)) / np.sqrt(n_features))
    y = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
    X *= 10.0 ** rng.uniform(-3, 3, size=n_features)
    return X, y


def resident():
    """MB."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS")) / 1024


def measured(call):
    """Seconds, and the most that the memory grew meanwhile."""
    before, peak, stop = resident(), [0.0], threading.Event()

    def watch():
        while not stop.wait(0.01):
            peak[0] = max(peak[0], resident() - before)

    watcher = threading.Thread(target=watch)
    watcher.start()
    begin = time.perf_counter()
    result = call()
    seconds = time.perf_counter() - begin
    stop.set()
    watcher.join()
    return seconds, peak[0], result


def ours(name, call):
    """A dict of figures for one call of `skmax.inference`."""
    from skmax import SoftmaxRegression, inference

    X, y = draw(*TABLES[name])
    SoftmaxRegression().fit(X[:500], y[:500])
    begin = time.perf_counter()
    model = SoftmaxRegression(weight_decay=0, tol=0.005 / len(y)).fit(X, y)
    fit = time.perf_counter() - begin
    groups = np.arange(len(y)) // 20
    calls = {
        "coef_table": lambda: inference.coef_table(model, X, y),
        "sandwich": lambda: inference.coef_table(model, X, y, kind="sandwich"),
        "cluster": lambda: inference.coef_table(model, X, y, kind="cluster", groups=groups),
        "effects": lambda: inference.average_marginal_effects(model, X, y),
        "leave_one_out": lambda: inference.leave_one_out(model, X, y),
    }
    seconds, memory, _ = measured(calls[call])
    return {"fit": fit, "seconds": seconds, "memory": memory}


def statsmodels(name, call):
    """The same by statsmodels, which computes the covariance in its fit; columns are standardized for it."""
    import statsmodels.api as sm

    X, y = draw(*TABLES[name])
    X = sm.add_constant((X - X.mean(axis=0)) / X.std(axis=0))
    seconds, memory, result = measured(lambda: sm.MNLogit(y, X).fit(method="newton", disp=False))
    if call == "effects":
        seconds, memory, _ = measured(lambda: result.get_margeff().summary_frame())
    return {"fit": 0.0, "seconds": seconds, "memory": memory}


def nnet():
    """Seconds of R's nnet::multinom with its Hessian on the first rows of "medium", or None without R and nnet."""
    script = """
        suppressPackageStartupMessages(library(nnet))
        data <- read.csv(commandArgs(TRUE)[1]); data$y <- factor(data$y)
        cat(system.time(multinom(y ~ ., data, Hess = TRUE, trace = FALSE, maxit = 1000))["elapsed"])
    """
    if shutil.which("Rscript") is None:
        return None
    X, y = draw(*TABLES["medium"])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "data.csv"
        columns = (X / X.std(axis=0))[:R_ROWS]
        header = ",".join([*(f"x{j}" for j in range(columns.shape[1])), "y"])
        np.savetxt(path, np.column_stack([columns, y[:R_ROWS]]), delimiter=",", header=header, comments="")
        run = subprocess.run(["Rscript", "-e", textwrap.dedent(script), str(path)], capture_output=True, text=True)
    return float(run.stdout) if run.returncode == 0 else None


def in_a_process(*arguments):
    command = [sys.executable, "-m", "benchmarks.inference", "--run", *arguments]
    run = subprocess.run(command, capture_output=True, text=True)
    return json.loads(run.stdout) if run.returncode == 0 else None


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tables", nargs="*", default=list(TABLES), metavar="TABLE")
    parser.add_argument("--run", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.run:
        who, name, call = arguments.run
        print(json.dumps({"ours": ours, "statsmodels": statsmodels}[who](name, call)))
        return
    print(f"{'':10}{'rows x features x classes':28}{'call':16}{'fit':>9}{'seconds':>10}{'memory':>9}")
    for name in arguments.tables:
        for who in ("ours", "statsmodels") if name in STATSMODELS else ("ours",):
            for call in CALLS if who == "ours" else ["coef_table", "effects"]:
                result = in_a_process(who, name, call)
                shape = " x ".join(f"{number:,}" for number in TABLES[name])
                figures = (
                    f"{result['fit']:9.2f}{result['seconds']:10.2f}{result['memory']:9.0f}" if result else "   not run"
                )
                print(f"{name:10}{shape:28}{call if who == 'ours' else who + ', ' + call:16}{figures}", flush=True)
    seconds = nnet() if "medium" in arguments.tables else None
    if seconds is not None:
        print(f"R's nnet::multinom(Hess = TRUE) on {R_ROWS:,} rows of medium: {seconds:.1f} s")


if __name__ == "__main__":
    main()
