"""SoftmaxRegressionCV against a search over the plain model and LogisticRegressionCV; approximate leave-one-out.

Results: 2 cores of an AMD EPYC with AVX-512, NumPy 2.4, scikit-learn 1.9.1; seconds and log loss.

                   SoftmaxRegressionCV    GridSearchCV   LogisticRegressionCV
    vowel                0.12  1.59506   0.33  1.59507          0.42  1.59518
    satimage             0.51  0.48206   1.17  0.48202          2.21  0.53179
    letter               1.62  0.84918   3.41  0.84919         22.96  0.86729
    covtype20k           2.23  0.84280   4.95  0.84282         16.40  1.11658
    digits               0.52  0.23041   0.92  0.23053          1.19  0.22801
    geometric mean of the ratios          2.2                    5.1

LogisticRegressionCV's lbfgs stops short of the minimum, which on digits is 1 % better on the rows left out, and
elsewhere worse by up to a third.

    log loss        approximate      true    error   time / that of 5 folds
    glass               0.96885   0.97815   -0.95 %   0.28
    glmnet example      0.71785   0.71823   -0.05 %   0.38
    vowel               0.85186   0.85755   -0.66 %   0.58
    wine                0.10032   0.10020   +0.12 %   0.25
    yeast               1.07825   1.08251   -0.39 %   0.65
    vehicle             0.39928   0.40392   -1.15 %   0.41
    iris                0.06682   0.06802   -1.77 %   0.26
    breast_cancer       0.09489   0.09675   -1.92 %   0.28
    ecoli               0.43062   0.45242   -4.82 %   0.33

One Newton step is too short where a row left out leaves its class with a single row (ecoli has classes of two), or
where some rows decide alone on nearly separable data: the approximation is optimistic there.

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
