"""Linear probes: softmax regression on embeddings, against scikit-learn, cyanure and PyTorch: single fits and sweeps.

Results: processor seconds, one thread of an Intel Xeon with AVX-512 (2 cores, under other work, which may double a
figure; ratios of 1.5 are within that), NumPy 2.4, SciPy 1.17, scikit-learn 1.9.1; `--rows 3000 --limit 30`. skmax at
its defaults; for the others, the excess stands beside the time.

                               skmax         lbfgs default     1000            tight           newton-cg tight
    clinc150 LSA, 1/n           0.8 2e-07     0.5 2e-05     0.5 2e-05     1.1 2e-07     1.0 0        ratio 0.9
    (512 columns, 150)  1e-6    7.7 0         1.2 4e-03     1.1 4e-03     2.7 2e-06     none                > 3.9
                        1e-8   13.7 0         0.6 4e-03     0.6 4e-03     4.8 2e-05     none                > 2.2
    anisotropic, 1/n            0.7 3e-07     1.6 2e-03     1.6 2e-03     6.0 3e-06     3.7 0               5.4
    (512, 100)          1e-6    2.7 0         1.9 9e-01     5.3 4e-02     none         24.2 2e-04         > 11
                        1e-8    3.9 0         1.8 1         3.8 2e-02    11.6 3e-04     8.6 8e-05         > 7.6
    mnist convolutions, 1/n     1.9 2e-07     0.8 2e-05     0.8 2e-05     1.4 5e-08     1.4 0               0.5
    (2304, 10)          1e-6    4.8 2e-09     1.1 4e-03     1.1 4e-03     3.5 4e-07     4.1 0               0.7
                        1e-8    5.6 0         0.8 2e-03     0.9 2e-03     2.6 2e-05     3.9 1e-05         > 5.4
    fashion convolutions, 1/n   4.0 2e-08     0.9 2e-05     1.0 2e-05     1.6 2e-07     1.9 0               0.4
    (2304, 10)          1e-6   17.1 5e-09     1.9 3e-02     4.1 2e-03     9.2 1e-06     8.1 0               0.5
                        1e-8   26.2 0         1.8 6e-02     4.3 9e-03    25.3 7e-06    12.1 8e-06         > 1.1

A ratio with > is that of the limit to skmax: no solver of scikit-learn got as close.

Sweeps, `--sweeps --rows 1500 --limit 150`, on a busy machine: seconds, loss, and single fits that took as long.

                             10 decays, 5 folds        45 decays, 1 split       LogisticRegressionCV
    clinc150 LSA          13.15  0.9964  22.8 fits    5.26  0.9978  9.1 fits     7.25  1.0086  ratio 0.6
    mnist convolutions     4.41  0.2027   7.9 fits    2.22  0.2076  4.0 fits     5.85  0.2127  ratio 1.3
    anisotropic 512        7.30  1.1065  12.7 fits    3.31  1.1813  5.8 fits    33.99  1.3879  ratio 4.7

Conclusion: skmax ends within 3e-7 of the lowest objective in all of these fits. At 1e-8 no other solver does, and lbfgs
as it is stops far above it, without a warning. On the anisotropic rows skmax is many times as fast. On LSA of unit
length it is as fast at 1/n; at 1e-6, lbfgs with tol=1e-6 is 2e-6 short of the minimum in a third of the time. With ten
classes and few rows for 2304 columns, scikit-learn is up to 2.5 times as fast in the table: an evaluation costs little
there, and no preconditioner has much to gain. (Near the minimum of 10,000 fashion convolutions, 20 conjugate gradients
without any leave 2 % of the gap, 20 with the shared form 4 %, and 20 with the diagonal 29 %.) Sweeps find a lower loss
than LogisticRegressionCV at its defaults, whose fits stop early. On LSA with 10 rows for each class it takes half of
the time. Cyanure and PyTorch have not been measured.

Usage: python -m benchmarks.probes [--data FOLDER] [--rows ROWS] [--limit SECONDS] [--sweeps] [--picture FILE]
                                   [NAME ...]

The sets are those .npz files in FOLDER that hold X (float32) and y, such as LSA of texts or convolution features of
images, and two that are made here: rows around class means in anisotropic, turned columns, as deep embeddings are. Of
each, ROWS rows that a seed chooses. Each solver minimises the same objective at the weight decays 1/n, 1e-6 and 1e-8,
with float32 rows; each fit runs in a process of its own, with one thread, so that the processor time, which other work
on the machine hardly changes, is the time. `excess` is the objective at the end, in float64, above the best that any
solver found; `bound` is what that best one lies above the minimum at most, as in `benchmarks.solvers`. `ratio` is the
time of the fastest scikit-learn solver that got as close as skmax, or within tol=1e-6, over skmax's time.

A sweep has the 10 weight decays that SoftmaxRegressionCV takes from the data and 5 stratified folds. `losses` are the
best mean log losses of rows left out. A second one has 45 decays and a single split. `fits` are the times over that of
one default fit on all rows.

The picture shows the excess against the time, for fits with several tolerances or numbers of iterations.
"""

import argparse
import importlib.util
import multiprocessing
import resource
import time
import warnings
from functools import partial
from pathlib import Path

import numpy as np
from scipy.special import log_softmax
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV
from sklearn.model_selection import StratifiedKFold, train_test_split
from threadpoolctl import threadpool_limits

from skmax import SoftmaxRegression, SoftmaxRegressionCV


def of_classes(n_samples, n_features, n_classes, *, power, separation, unit, seed):
    """Rows around class means, in columns whose spread falls with a power of their number, turned."""
    rng = np.random.default_rng(seed)
    spectrum = np.arange(1, n_features + 1) ** -power
    turn = np.linalg.qr(rng.standard_normal((n_features, n_features)))[0]
    means = rng.standard_normal((n_classes, n_features)) * spectrum * separation
    y = rng.integers(0, n_classes, n_samples)
    X = (means[y] + rng.standard_normal((n_samples, n_features)) * spectrum) @ turn
    X = X / np.linalg.norm(X, axis=1, keepdims=True) if unit else X + 0.3 * rng.standard_normal(n_features)
    return X.astype(np.float32), y


MADE = {
    "anisotropic 512": partial(of_classes, 40_000, 512, 100, power=1.0, separation=0.5, unit=False, seed=2),
    "anisotropic 768": partial(of_classes, 30_000, 768, 1000, power=0.5, separation=0.55, unit=True, seed=1),
}


def load(folder, names, n_rows):
    """(name, X, y) of the sets, with at most `n_rows` rows."""
    paths = sorted(Path(folder).glob("*.npz")) if folder else []
    sets = {path.stem: partial(_read, path) for path in paths} | MADE
    for name in names or sets:
        X, y = sets[name]()
        rows = np.sort(np.random.default_rng(0).permutation(len(X))[:n_rows])
        yield name, np.ascontiguousarray(X[rows], dtype=np.float32), np.unique(y[rows], return_inverse=True)[1]


def _read(path):
    with np.load(path, allow_pickle=False) as archive:
        return archive["X"], archive["y"]


class TorchLBFGS:
    """L-BFGS of PyTorch on the whole data, as written by hand where scikit-learn takes too long."""

    def __init__(self, weight_decay, max_iter):
        self.weight_decay, self.max_iter = weight_decay, max_iter

    def fit(self, X, y):
        import torch

        torch.set_num_threads(1)
        X, y = torch.from_numpy(X), torch.from_numpy(y)
        coef = torch.zeros((int(y.max()) + 1, X.shape[1]), requires_grad=True)
        intercept = torch.zeros(len(coef), requires_grad=True)
        solver = torch.optim.LBFGS([coef, intercept], max_iter=self.max_iter, line_search_fn="strong_wolfe")

        def closure():
            solver.zero_grad()
            loss = torch.nn.functional.cross_entropy(X @ coef.T + intercept, y)
            loss = loss + self.weight_decay / 2 * (coef**2).sum()
            loss.backward()
            return loss

        solver.step(closure)
        self.coef_, self.intercept_ = coef.detach().numpy(), intercept.detach().numpy()
        return self


class Cyanure:
    """Cyanure's multinomial logistic regression, whose penalty is weight_decay / 2 ||W||^2 beside a mean loss too."""

    def __init__(self, weight_decay, tol):
        self.weight_decay, self.tol = weight_decay, tol

    def fit(self, X, y):
        from cyanure.estimators import Classifier

        model = Classifier(
            loss="multiclass-logistic", penalty="l2", lambda_1=self.weight_decay, fit_intercept=True, tol=self.tol,
            max_iter=1000, n_threads=1, verbose=False,
        )  # fmt: skip
        model.fit(X, y)
        self.coef_, self.intercept_ = np.asarray(model.coef_), np.ravel(model.intercept_)
        if self.coef_.shape[0] == X.shape[1]:
            self.coef_ = self.coef_.T
        return self


def solvers(weight_decay, n_samples):
    """{name: {setting: a function that makes an estimator}}; the settings of a solver are its points in the picture."""

    def logistic(solver, **options):
        return partial(LogisticRegression, C=1 / (weight_decay * n_samples), solver=solver, **options)

    table = {
        "skmax": {"default": partial(SoftmaxRegression, weight_decay)}
        | {f"tol={tol:g}": partial(SoftmaxRegression, weight_decay, tol=tol) for tol in (1e-2, 1e-3, 1e-4, 1e-5)},
        "lbfgs": {"default": logistic("lbfgs"), "1000": logistic("lbfgs", max_iter=1000)}
        | {"tight": logistic("lbfgs", max_iter=10_000, tol=1e-6)}
        | {f"max_iter={n}": logistic("lbfgs", max_iter=n, tol=1e-9) for n in (20, 50, 200, 500)},
        "newton-cg": {"default": logistic("newton-cg"), "tight": logistic("newton-cg", tol=1e-6)}
        | {f"tol={tol:g}": logistic("newton-cg", tol=tol) for tol in (1e-2, 1e-3)},
    }
    if importlib.util.find_spec("cyanure"):
        table["cyanure"] = {
            "default": partial(Cyanure, weight_decay, 1e-3),
            "tight": partial(Cyanure, weight_decay, 1e-6),
        }
    if importlib.util.find_spec("torch"):
        table["torch L-BFGS"] = {f"{n}": partial(TorchLBFGS, weight_decay, n) for n in (100, 1000)}
    return table


# The settings in the table; the others are for the picture.
SHOWN = ("default", "1000", "tight", "100")


def objective(model, X, y, weight_decay):
    """f and the bound on its distance from the minimum, straight from the definition, in float64."""
    X, coef = X.astype(np.float64), model.coef_.astype(np.float64)
    log_probability = log_softmax(X @ coef.T + model.intercept_, axis=1)
    value = -log_probability[np.arange(len(y)), y].mean() + weight_decay / 2 * (coef**2).sum()
    residual = np.exp(log_probability)
    residual[np.arange(len(y)), y] -= 1
    gradient = residual.T @ X / len(y) + weight_decay * coef
    return float(value), float((gradient**2).sum() / 2 / weight_decay)


def fit_alone(make, X, y, judge, limit, connection):
    """Send (processor seconds, growth of the peak in MB, *judge(model))."""
    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_CPU, (limit, limit))
    with threadpool_limits(1):
        before, begin = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
        model = make().fit(X, y)
        seconds = time.process_time() - begin
        growth = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        connection.send((seconds, growth, *judge(model)))


def measured(make, X, y, judge, limit):
    """What `fit_alone` sends within `limit` processor seconds, or None."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=fit_alone, args=(make, X, y, judge, int(time.process_time() + limit) + 1, sender))
    process.start()
    sender.close()
    try:
        return receiver.recv()
    except EOFError:  # out of time or memory
        return None
    finally:
        process.kill()
        process.join()


def compare_fits(name, X, y, limit, axes):
    """Print a table of each weight decay; return the ratios."""
    ratios = []
    for column, (label, weight_decay) in enumerate([("1/n", 1 / len(y)), ("1e-6", 1e-6), ("1e-8", 1e-8)]):
        judge = partial(objective, X=X, y=y, weight_decay=weight_decay)
        results = {}
        for solver, settings in solvers(weight_decay, len(y)).items():
            for setting, make in settings.items():
                if axes is not None or setting in SHOWN:
                    results[solver, setting] = measured(make, X, y, judge, limit)
        best, bound = min((result[2:] for result in results.values() if result), default=(np.nan, np.nan))
        print(f"\n{name}  {X.shape[0]} x {X.shape[1]} x {y.max() + 1}, decay {label}: {best:.8f}, bound {bound:.0e}")
        for (solver, setting), result in results.items():
            if setting in SHOWN:
                text = f"none in {limit:g} s"
                if result:
                    text = f"{result[0]:8.2f} s   excess {result[2] - best:8.1e}   {result[1]:6.0f} MB"
                print(f"  {solver + ' ' + setting:22s}{text}", flush=True)
        ours = results["skmax", "default"]
        near = [
            result[0]
            for (solver, _), result in results.items()
            if ours and result and solver in ("lbfgs", "newton-cg") and result[2] <= max(ours[2], best + 1e-6)
        ]
        if ours:
            ratios.append(min(near, default=limit) / ours[0])
            print(f"  ratio {'' if near else '> '}{ratios[-1]:.1f}", flush=True)
        if axes is not None:
            for solver in solvers(weight_decay, len(y)):
                points = sorted((r[0], max(r[2] - best, 1e-9)) for (s, _), r in results.items() if s == solver and r)
                axes[column].loglog(*zip(*points, strict=True), "o-", label=solver) if points else None
            axes[column].set(title=f"{name}, {label}", xlabel="processor seconds", ylabel="excess")
    return ratios


def compare_sweeps(name, X, y, limit):
    """Print the times and log losses of sweeps."""
    folds = list(StratifiedKFold(5).split(X, y))
    split = [tuple(train_test_split(np.arange(len(y)), test_size=0.2, random_state=0))]
    one = measured(SoftmaxRegression, X, y, lambda model: (), limit)
    ours = measured(
        partial(SoftmaxRegressionCV, cv=folds),
        X,
        y,
        lambda m: (-m.best_score_, m.weight_decays_, m.weight_decay_),
        limit,
    )
    fine = measured(partial(SoftmaxRegressionCV, 45, cv=split), X, y, lambda m: (-m.best_score_,), limit)
    print(f"\n{name}  {X.shape[0]} x {X.shape[1]} x {y.max() + 1}, sweeps")
    if not (one and ours and fine):
        print(f"  none in {limit:g} s")
        return
    print(
        f"  skmax, 10 decays, 5 folds  {ours[0]:8.2f} s   loss {ours[2]:.4f}   {ours[0] / one[0]:5.1f} fits", flush=True
    )
    print(
        f"  skmax, 45 decays, 1 split  {fine[0]:8.2f} s   loss {fine[2]:.4f}   {fine[0] / one[0]:5.1f} fits", flush=True
    )
    Cs = np.sort(1 / (ours[3] * np.mean([len(train) for train, _ in folds])))
    theirs = measured(
        partial(
            LogisticRegressionCV, Cs=Cs, cv=folds, scoring="neg_log_loss", l1_ratios=(0,), use_legacy_attributes=False
        ),
        X, y, lambda m: (-m.scores_.mean(axis=0).max(),), limit,
    )  # fmt: skip
    text = (
        f"{theirs[0]:8.2f} s   loss {theirs[2]:.4f}   ratio {theirs[0] / ours[0]:.1f}"
        if theirs
        else f"none in {limit:g} s"
    )
    print(f"  LogisticRegressionCV       {text}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="sets")
    parser.add_argument("--data", help="folder of .npz files with X and y")
    parser.add_argument("--rows", type=int, default=10_000, help="at most so many rows of each set")
    parser.add_argument("--limit", type=float, default=60, help="processor seconds that a fit may take")
    parser.add_argument("--sweeps", action="store_true", help="sweeps in place of single fits")
    parser.add_argument("--picture", help="file for a picture of excess against time")
    arguments = parser.parse_args()
    sets = list(load(arguments.data, arguments.names, arguments.rows))
    if arguments.sweeps:
        for name, X, y in sets:
            compare_sweeps(name, X, y, arguments.limit)
        return
    panels = [None] * len(sets)
    if arguments.picture:
        import matplotlib.pyplot as plt

        figure, panels = plt.subplots(len(sets), 3, figsize=(12, 3 * len(sets)), squeeze=False, layout="constrained")
    ratios = [
        ratio
        for (name, X, y), axes in zip(sets, panels, strict=True)
        for ratio in compare_fits(name, X, y, arguments.limit, axes)
    ]
    print(f"\nratio: geometric mean {np.exp(np.mean(np.log(ratios))):.1f}, least {min(ratios):.2f}, of {len(ratios)}")
    if arguments.picture:
        panels[0, 0].legend()
        figure.savefig(arguments.picture)


if __name__ == "__main__":
    main()
