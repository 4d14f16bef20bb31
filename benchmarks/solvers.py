"""skmax against scikit-learn's solvers, on the data as they are: time, and distance from the minimum.

Results: 2 cores of an AMD EPYC with AVX-512, Python 3.11, NumPy 2.4, SciPy 1.17, scikit-learn 1.9.1, limit 6 s, 44 sets
of 63 to 58000 rows, 6 to 6830 columns and 3 to 99 classes (all of the folder but the five below):

    ratio to the fastest scikit-learn solver that gets as close: 5.3 in the geometric mean
    time of LogisticRegression() as it is, over skmax's: 1.8; at least 0.19
    within 1e-5 of the best objective found: 44 of 44
    letter 102 ms (ratio 20), covtype20k 142 (8.6), dry_bean 34 (scikit-learn: none, 2e-3 short), phoneme 220 (14),
    gas_drift8 1039 (scikit-learn: none in 6 s), flavia32 296 (none), arrhythmia 214 (none), usps 241 (22), avila 44
    (15), shuttle 285 (7.2), isolet1560 298 (7.4), mfeat 134 (8.7), wine_quality 12 (3.4), nci60 23 (91), khan 8 (23),
    lymphoma 19 (13), warppie10p 35 (6.0), sdss_sky 17 (none)

    nsl_kdd20 3.0 s (scikit-learn: none in 10 s), omniglot_small1 5.0 s, mnist 33 s, kddcup99_10pct 52 s: converged,
    within tol (the last three one run each, of skmax alone)
    fashion_mnist30k: not converged after 1000 iterations and 73 s, a gap of 3e-3 at least (some commits earlier)

    text as TF-IDF, limit 10 s: ratio to lbfgs at tol=1e-6, which ends as close; to the fastest as close
    banking77 404 ms (3.6; 1.4), clinc150 1452 (2.0; 2.0), newsgroups20 4096 (3.5; 0.7; some commits earlier)

These are times of the clock, of a version whose fits ended without a certificate. Processor time with one thread
(--processor-time --limit 5), of skmax 0.1.0 with certificates, on 46 sets: the four that come with scikit-learn, and
those of the folder but coef_*, fashion_mnist30k, glmnet_multinomial_example, kddcup99_10pct, mnist, mnist1d, nsl_kdd20
and omniglot_small1; 2 cores of an Intel Xeon without other work, whose processor clock has ticks of about 4 ms, so
that the ratios of the smallest tables are rough:

    ratio to the fastest scikit-learn solver that gets as close: 3.8 in the geometric mean
    none gets as close in 5 s on arrhythmia, flavia32, sdss_sky, dry_bean, usps, mfeat, gas_drift8
    time of LogisticRegression() as it is, over skmax's: 1.4; it ends more than 1e-3 above the minimum on 25 sets
    within 1e-5 of the best objective found: 46 of 46
    letter 140 ms (ratio 33), avila 102 (14), covtype20k 163 (8.6), optdigits 104 (8.3), digits 63 (7.3), phoneme 338
    (7.3), shuttle 608 (7.0)
    slower: breast_cancer (0.5), coil20 (0.2), glass and wine (0.5), symptoms41 (0.7), iris (0.8), ecoli (0.9);
    cnae9, yeast and palm100: 1.0

Since then, fits take 0.94 of the time in the mean of 44 of these sets, by a faster Hessian and its factors.

Where skmax loses by the clock: coil20 (0.4), nearly separable images with 20500 parameters, whose curvature changes
faster than it can be measured; glass (0.9), glmnet_multinomial_example (0.8) and cnae9 (0.9), which plain lbfgs or
Newton steps do in as few milliseconds; newsgroups20 (0.7 to newton-cg), where SciPy's bookkeeping on two million
parameters is half of the time. LogisticRegression() as it is stops 1e-4 and more above the minimum on palm100,
flavia32, gas_drift8, symptoms41 and arrhythmia, and takes as little as a fifth of the time.

Conclusion: a preconditioned L-BFGS is faster than scikit-learn's Newton solvers from some 80 parameters on, and gets to
the minimum where those do not; below, both take milliseconds. A block of the Hessian for each class does for most sets
what the whole one does, for a fraction of its cost. fashion_mnist30k is hard in another way: with the whole Hessian
(tried at 14 x 14 pixels) it takes hundreds of iterations too, as the Hessian changes all the way.

Usage: python -m benchmarks.solvers [--data FOLDER] [--limit SECONDS] [--picture FILE] [--processor-time] [NAME ...]

Each solver minimises the same objective at C=1, that is weight_decay = 1 / n_samples, with raw features; each fit runs
in a process of its own, forked before any is fitted, and counts with the fastest of up to four runs, in turn with one
thread for the linear algebra and with as many as there are. (scikit-learn's solvers are often faster with one.)
`excess` is the objective at the end above the best that any solver found; `bound` is what that best one lies above the
minimum at most: as the penalty makes f strongly convex, ||df/dW||^2 / (2 weight_decay) where the gradient in the
intercepts is zero. A ratio is the time of the fastest scikit-learn solver that got as close as skmax, or within
tol=1e-6, over skmax's time.

With --processor-time, seconds are those that the processor spends on a fit with one thread, of two runs, which differ
little however busy the machine is; the limit is in these seconds too.

Behind a StandardScaler the penalty is on other coefficients, so that the minimum is another one: such a fit has a time
but no excess here.
"""

import argparse
import gzip
import importlib.util
import json
import multiprocessing
import os
import resource
import time
import warnings
from pathlib import Path

import numpy as np
from scipy.special import log_softmax
from sklearn import datasets
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from skmax import SoftmaxRegression

SOLVERS = {
    "skmax": SoftmaxRegression,
    "lbfgs": LogisticRegression,
    "lbfgs 1000": lambda: LogisticRegression(max_iter=1000),
    "lbfgs tight": lambda: LogisticRegression(max_iter=10_000, tol=1e-6),
    "newton-cholesky": lambda: LogisticRegression(solver="newton-cholesky"),
    "newton-chol. tight": lambda: LogisticRegression(solver="newton-cholesky", tol=1e-7),
    "newton-cg": lambda: LogisticRegression(solver="newton-cg"),
    "scaled lbfgs": lambda: make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)),
}
if importlib.util.find_spec("sklearnex"):

    def _sklearnex():
        from sklearnex.linear_model import LogisticRegression as Intel

        return Intel(max_iter=10_000, tol=1e-6)

    SOLVERS["sklearnex lbfgs"] = _sklearnex
if importlib.util.find_spec("torch"):
    SOLVERS["torch L-BFGS"] = lambda: TorchLBFGS()
# Those that count as scikit-learn's in the ratios.
OTHERS = ("skmax", "scaled lbfgs", "sklearnex lbfgs", "torch L-BFGS")


class TorchLBFGS:
    """The same objective in PyTorch, float64 and the whole data in each step, as its tutorials have it."""

    def fit(self, X, y):
        import torch

        X, y = torch.from_numpy(X), torch.from_numpy(y)
        coef = torch.zeros((int(y.max()) + 1, X.shape[1]), dtype=torch.float64, requires_grad=True)
        intercept = torch.zeros(len(coef), dtype=torch.float64, requires_grad=True)
        solver = torch.optim.LBFGS(
            [coef, intercept], max_iter=1000, tolerance_grad=1e-7, tolerance_change=1e-12, line_search_fn="strong_wolfe"
        )

        def closure():
            solver.zero_grad()
            loss = torch.nn.functional.cross_entropy(X @ coef.T + intercept, y) + (coef**2).sum() / 2 / len(y)
            loss.backward()
            return loss

        solver.step(closure)
        self.coef_, self.intercept_ = coef.detach().numpy(), intercept.detach().numpy()
        return self


BUNDLED = {
    "iris": datasets.load_iris,
    "wine": datasets.load_wine,
    "breast_cancer": datasets.load_breast_cancer,
    "digits": datasets.load_digits,
}


def load(folder, names):
    """(name, X, y) of each .npz in `folder`, small ones first, or of the sets that come with scikit-learn.

    A named .tsv.gz, with columns label, text and perhaps split, is its training rows as TF-IDF.
    """
    paths = sorted(Path(folder).glob("*.npz"), key=lambda path: path.stat().st_size)
    for path in sorted(Path(folder).glob("*.tsv.gz")):
        if (name := path.name.removesuffix(".tsv.gz")) in names:
            with gzip.open(path, "rt", encoding="utf-8", newline="\n") as file:
                header, *rows = (line.rstrip("\n").split("\t") for line in file)
            rows = [dict(zip(header, row, strict=True)) for row in rows]
            rows = [row for row in rows if row.get("split", "train") == "train"]
            X = TfidfVectorizer().fit_transform([row["text"] for row in rows])
            yield name, X, np.unique([row["label"] for row in rows], return_inverse=True)[1]
    for path in paths:
        if path.stem in names if names else not path.stem.startswith("coef_"):
            with np.load(path, allow_pickle=False) as archive:
                yield path.stem, archive["X"].astype(np.float64), np.unique(archive["y"], return_inverse=True)[1]
    for name, loader in BUNDLED.items():
        if name in names or not (names or paths):
            yield name, *loader(return_X_y=True)


def objective(model, X, y):
    """f and the bound on its distance from the minimum, straight from the definition, at weight_decay = 1 / n."""
    z = X @ model.coef_.T + model.intercept_
    if z.shape[1] == 1:
        z = np.column_stack([np.zeros(len(z)), z])
    log_probability = log_softmax(z, axis=1)
    residual = np.exp(log_probability)
    residual[np.arange(len(y)), y] -= 1
    gradient = (X.T @ residual[:, -len(model.coef_) :]).T / len(y) + model.coef_ / len(y)
    value = -log_probability[np.arange(len(y)), y].mean() + (model.coef_**2).sum() / 2 / len(y)
    return float(value), float((gradient**2).sum() * len(y) / 2)


def measure(make, X, y, connection, runs, processor_seconds):
    """Send (seconds of the fastest so far, objective, bound, peak growth in MB) after each of several fits.

    With `processor_seconds`, the process ends once it has used so many, and these are what is counted.
    """
    warnings.simplefilter("ignore")
    clock, threads = time.perf_counter, [1, None, 1, None][:runs]
    if processor_seconds is not None:
        clock, threads = time.process_time, [1, 1]
        resource.setrlimit(resource.RLIMIT_CPU, (int(np.ceil(processor_seconds)),) * 2)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    fastest = np.inf
    for n_threads in threads:
        with threadpool_limits(n_threads):
            begin = clock()
            try:
                model = make().fit(X, y)
            except (
                MemoryError,
                TypeError,
                ValueError,
            ):  # newton-cholesky on many parameters; torch, scaler on sparse X
                return
            fastest = min(fastest, clock() - begin)
        growth = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        connection.send((fastest, *((np.nan, np.nan) if hasattr(model, "steps") else objective(model, X, y)), growth))


def timed(make, X, y, limit, runs=4, processor_time=False):
    """The last that `measure` sends within `limit` seconds, or None."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=measure, args=(make, X, y, sender, runs, limit if processor_time else None))
    process.start()
    sender.close()
    result, deadline = None, time.monotonic() + limit * (20 if processor_time else 1)
    try:
        while receiver.poll(max(0, deadline - time.monotonic())):
            result = receiver.recv()
    except EOFError:
        pass
    process.kill()
    process.join()
    return result


def compare(folder, names, limit, processor_time):
    """Print a row for each set and solver; return {set: {solver: (seconds, excess)}}."""
    table = {}
    for name, X, y in load(folder, names):
        results = {solver: timed(make, X, y, limit, processor_time=processor_time) for solver, make in SOLVERS.items()}
        finished = [result for result in results.values() if result and np.isfinite(result[1])]
        best, bound = min((result[1:3] for result in finished), default=(np.nan, np.nan))
        print(f"\n{name}  {X.shape[0]} x {X.shape[1]} x {y.max() + 1}   minimum {best:.9g}, bound {bound:.0e}")
        table[name] = {}
        for solver, result in results.items():
            if result is None:
                print(f"  {solver:20s}   none in {limit:g} s, or out of memory")
            else:
                table[name][solver] = result[0], result[1] - best
                print(
                    f"  {solver:20s} {1e3 * result[0]:10.1f} ms   excess {result[1] - best:8.1e} {result[3]:8.0f} MB",
                    flush=True,
                )
    return table


def summarize(table, limit):
    """Print the ratios, set by set and their geometric means."""
    print(
        f"\n{'set':28s} {'skmax, ms':>10s} {'excess':>8s} {'ratio':>7s}  to the fastest as close;  ratio to the default"
    )
    ratios, defaults, lost, close = [], [], [], 0
    for name, results in table.items():
        if "skmax" not in results:
            print(f"{name:28s} more than {limit} s")
            continue
        seconds, excess = results.pop("skmax")
        close += excess <= 1e-5
        close_enough = [solver for solver in results if results[solver][1] <= max(excess, 1e-6)]
        rivals = {solver: results[solver][0] for solver in close_enough if solver not in OTHERS}
        rival = min(rivals, key=rivals.get, default="none, at least")
        ratios.append(rivals.get(rival, limit) / seconds)
        defaults.append((results["lbfgs"][0] if "lbfgs" in results else limit) / seconds)
        lost += [name] if ratios[-1] < 1 else []
        figures = f"{1e3 * seconds:10.1f} {excess:8.1e} {ratios[-1]:7.1f}"
        print(f"{name:28s} {figures}  {rival:22s} {defaults[-1]:5.1f}")
    mean, default = np.exp(np.mean(np.log(ratios))), np.exp(np.mean(np.log(defaults)))
    print(f"\n{close} of {len(table)} sets within 1e-5 of the best objective.")
    print(f"Geometric mean of the ratios: {mean:.1f}; slower on {len(lost)}: {', '.join(lost)}.")
    print(f"To LogisticRegression() as it is: {default:.1f}, at least {min(defaults):.2f}.")


def draw(folder, names, limit, file):
    """Excess against time: fits stopped after 1, 2, 4, ... iterations."""
    import matplotlib.pyplot as plt

    solvers = {
        "skmax": lambda n: SoftmaxRegression(max_iter=n, tol=1e-9),
        "lbfgs": lambda n: LogisticRegression(max_iter=n, tol=1e-9),
        "newton-cholesky": lambda n: LogisticRegression(max_iter=n, tol=1e-9, solver="newton-cholesky"),
        "newton-cg": lambda n: LogisticRegression(max_iter=n, tol=1e-9, solver="newton-cg"),
    }
    figure, axes = plt.subplots(2, 2, figsize=(10, 7), layout="constrained")
    for ax, (name, X, y) in zip(axes.flat, load(folder, names), strict=False):
        paths = {}
        for solver, make in solvers.items():
            paths[solver] = []
            for n in 2 ** np.arange(13):
                result = timed(lambda n=n, make=make: make(int(n)), X, y, limit, runs=2)
                if result is None or (len(paths[solver]) > 1 and result[1] == paths[solver][-1][1]):
                    break
                paths[solver].append(result[:2])
        best = min(value for path in paths.values() for _, value in path)
        for solver, path in paths.items():
            seconds, values = np.array(path).T
            ax.loglog(seconds, np.maximum(values - best, 1e-10), marker="o", markersize=3, label=solver)
        ax.axhline(1e-6, color="0.7", linewidth=1, zorder=0)
        ax.set(title=f"{name}: {X.shape[0]} x {X.shape[1]}, {y.max() + 1} classes", xlabel="seconds", ylabel="excess")
    axes[0, 0].legend()
    figure.savefig(file, dpi=120)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="sets; default: all")
    parser.add_argument("--data", default="../shared/data", help="folder of .npz files with X and y")
    parser.add_argument("--limit", type=float, default=60, help="seconds for a solver on a set")
    parser.add_argument(
        "--picture", help="file for a picture of excess against time, for four sets, instead of the table"
    )
    parser.add_argument("--processor-time", action="store_true", help="count processor time, with one thread")
    parser.add_argument("--json", help="file for the raw figures")
    arguments = parser.parse_args()
    if arguments.picture:
        draw(arguments.data, arguments.names, arguments.limit, arguments.picture)
        return
    print(f"{os.cpu_count()} cores; limit {arguments.limit:g} s")
    table = compare(arguments.data, arguments.names, arguments.limit, arguments.processor_time)
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(table))
    summarize(table, arguments.limit)


if __name__ == "__main__":
    main()
