"""SoftmaxRegressionCV against a search over the plain model and LogisticRegressionCV; approximate leave-one-out.

Usage: python -m benchmarks.cross_validation [--data FOLDER] [NAME ...]

All three have the same 10 weight decays, those that SoftmaxRegressionCV takes from the data, the same 5 stratified
folds, log loss as the score, raw features and the default tolerances. `log loss` is the best mean over the folds. The
fastest of two runs each, in turn, with one thread for the linear algebra of LogisticRegressionCV, which is its fastest.

The second table is for small sets: mean log loss of the chosen weight decay by approximate and
by true leave-one-out, and the time of the former over that of five folds.
"""

import argparse
import time
import warnings

import numpy as np
from sklearn.linear_model import LogisticRegressionCV
from sklearn.model_selection import GridSearchCV, LeaveOneOut, StratifiedKFold
from threadpoolctl import threadpool_limits

from benchmarks.solvers import load
from skmax import SoftmaxRegression, SoftmaxRegressionCV, neg_cross_entropy_scorer

PATHS = ["digits", "satimage", "vowel", "letter", "covtype20k"]
LEFT_OUT = [
    "glass",
    "ecoli",
    "glmnet_multinomial_example",
    "vowel",
    "vehicle",
    "yeast",
    "iris",
    "wine",
    "breast_cancer",
]


def timed(fit):
    begin = time.perf_counter()
    model = fit()
    return time.perf_counter() - begin, model


def compare_paths(name, X, y):
    """Print a row; return the ratios of the times of the others to ours."""
    decays = SoftmaxRegressionCV().fit(X, y).weight_decays_
    folds = list(StratifiedKFold(5).split(X, y))
    Cs = 1 / (decays * np.mean([len(train) for train, _ in folds]))

    def logistic():
        with threadpool_limits(1):
            return LogisticRegressionCV(
                Cs=np.sort(Cs), cv=folds, scoring="neg_log_loss", l1_ratios=(0,), use_legacy_attributes=False
            ).fit(X, y)

    search = GridSearchCV(
        SoftmaxRegression(classes=np.unique(y)),
        {"weight_decay": decays},
        cv=folds,
        scoring=neg_cross_entropy_scorer,
    )
    fits = [lambda: SoftmaxRegressionCV(decays, cv=folds).fit(X, y), lambda: search.fit(X, y), logistic]
    runs = [[timed(fit) for fit in fits] for _ in range(2)]
    seconds = np.min([[second for second, _ in run] for run in runs], axis=0)
    ours, grid, theirs = (model for _, model in runs[0])
    losses = [-ours.best_score_, -grid.best_score_, -theirs.scores_.mean(axis=0).max()]
    print(f"{name:28s}", *(f"{s:9.2f} s  {loss:8.5f}" for s, loss in zip(seconds, losses, strict=True)), flush=True)
    return seconds[1:] / seconds[0]


def compare_left_out(name, X, y):
    """Print a row."""
    approximate_seconds, approximate = timed(lambda: SoftmaxRegressionCV(cv="approximate").fit(X, y))
    fold_seconds, _ = timed(lambda: SoftmaxRegressionCV(approximate.weight_decays_).fit(X, y))
    true_seconds, true = timed(lambda: SoftmaxRegressionCV([approximate.weight_decay_], cv=LeaveOneOut()).fit(X, y))
    error = approximate.best_score_ / true.best_score_ - 1
    print(
        f"{name:28s} {-approximate.best_score_:8.5f} {-true.best_score_:8.5f} {100 * error:+6.2f} % "
        f"{approximate_seconds / fold_seconds:6.2f}   ({true_seconds / approximate_seconds:.0f} for one weight decay)",
        flush=True,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", default=PATHS, help="sets for the first table")
    parser.add_argument("--data", default="../shared/data", help="folder of .npz files with X and y")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    print(f"{'set':28s} {'SoftmaxRegressionCV':>21s} {'GridSearchCV':>21s} {'LogisticRegressionCV':>21s}")
    ratios = [compare_paths(*data) for data in load(arguments.data, arguments.names)]
    grid, logistic = np.exp(np.mean(np.log(ratios), axis=0))
    print(f"Geometric means of the ratios: GridSearchCV {grid:.1f}, LogisticRegressionCV {logistic:.1f}.")
    print(f"\n{'set':28s} {'approx.':>8s} {'true':>8s} {'error':>8s} {'/ 5 folds':>8s}   (true over approximate)")
    for data in load(arguments.data, LEFT_OUT):
        compare_left_out(*data)


if __name__ == "__main__":
    main()
