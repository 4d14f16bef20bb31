"""Fits where the data is: PyTorch tensors on a GPU, or on the CPU, against other solvers on the same device.

Results: one thread of an Intel Xeon, PyTorch 2.15, scikit-learn 1.9.1, float32, `--limit 30 --sweep`. Seconds and
excess; the ratio is the time of the default fit to tensors over that to NumPy arrays.

                                5000 x 128 x 10     20000 x 256 x 50
    skmax, tol=1e-5               0.10 4.3e-06        1.10 5.7e-06
    skmax, tol=1e-6               0.10 8.1e-07        1.78 3.7e-08
    ratio to NumPy                1.01                1.00
    LogisticRegression, 1e-4      0.90 1.3e-04        5.49 2.3e-03
    LogisticRegression, 1e-6      1.23 2.1e-06       12.05 1.1e-05
    torch L-BFGS, 100             2.29 2.0e-03        1.90 2.2e-02
    torch L-BFGS, 1000            0.73 1.1e-06        8.57 4.8e-06
    sweep, 45 weight decays       1.31               15.41

On a GPU: not measured, as there was none.

                                60000 x 784 x 10    100000 x 768 x 100    1281167 x 2048 x 1000
    skmax, tol=1e-5               -                   -                     -

There, about 0.14 s of each iteration at 2 million parameters are SciPy's L-BFGS-B, on one core (memory of 6 pairs; 0.10
with 3, 0.16 with 10), whatever the number of rows.

Usage: SCIPY_ARRAY_API=1 python -m benchmarks.device [--device DEVICE] [--half] [--tf32] [--sweep] [--limit SECONDS]
                                                     [--threads N] [--mnist FILE] [ROWSxCOLUMNSxCLASSES ...]

PyTorch is required. DEVICE is cuda, where PyTorch finds a GPU, or cpu. The rows are made on the device, around class
means in anisotropic, turned columns, as deep embeddings are, in float32 or, with --half, in float16. The default shapes
are those of probes up to that of ImageNet on a GPU, and smaller ones on a CPU. --mnist adds an .npz file with X and y.

Each solver minimises the same objective at weight decay 1/n. `excess` is the objective, computed in float64, above the
lower bound that skmax's own gap gives; `gap` is that gap. skmax runs with tol=1e-5 and with its default, 1e-6.
`outside` is the share of the time outside of the sums over rows on the device: SciPy's bookkeeping, the preconditioner,
and what crosses. On a CPU there is also the same fit with NumPy arrays, and its ratio. scikit-learn's lbfgs gets the
same tensors; L-BFGS of PyTorch is the one of `benchmarks.probes`, on the device; cuML runs where it is installed.
A sweep has 45 weight decays from 1e-2 to 1e-8 and one validation split. PyTorch's products in float32 are exact unless
--tf32 is given.
"""

import argparse
import os
import time
import warnings

import numpy as np
import sklearn
import torch
from sklearn.linear_model import LogisticRegression

from skmax import SoftmaxRegression, SoftmaxRegressionCV
from skmax._samples import DeviceSamples

SHAPES = {
    "cuda": ["60000x784x10", "100000x768x100", "1281167x2048x1000"],
    "cpu": ["5000x128x10", "20000x256x50"],
}
_CHUNK = 2**16  # rows


def made(n_samples, n_features, n_classes, device, dtype):
    """Rows around class means, in columns whose spread falls with their number, turned; made chunk by chunk."""
    random = torch.Generator(device=device).manual_seed(0)

    def normal(*shape):
        return torch.randn(*shape, generator=random, device=device)

    spectrum = 1 / torch.arange(1, n_features + 1, device=device, dtype=torch.float32)
    turn = torch.linalg.qr(normal(n_features, n_features))[0]
    means = normal(n_classes, n_features) * spectrum * 0.5
    shift = 0.3 * normal(n_features)
    y = torch.randint(0, n_classes, (n_samples,), generator=random, device=device)
    X = torch.empty((n_samples, n_features), dtype=dtype, device=device)
    for start in range(0, n_samples, _CHUNK):
        own = y[start : start + _CHUNK]
        X[start : start + _CHUNK] = (means[own] + normal(len(own), n_features) * spectrum) @ turn + shift
    return X, y


def objective(coef, intercept, X, y, weight_decay):
    """f in float64, chunk by chunk."""
    coef, intercept = (torch.as_tensor(part, device=X.device, dtype=torch.float64) for part in (coef, intercept))
    total = 0.0
    for start in range(0, len(X), _CHUNK):
        logits = X[start : start + _CHUNK].double() @ coef.T + intercept
        total += float(torch.nn.functional.cross_entropy(logits, y[start : start + _CHUNK], reduction="sum"))
    return total / len(X) + weight_decay / 2 * float((coef**2).sum())


def torch_lbfgs(X, y, n_classes, weight_decay, max_iter):
    """L-BFGS of PyTorch on all rows, on their device."""
    coef = torch.zeros((n_classes, X.shape[1]), requires_grad=True, device=X.device)
    intercept = torch.zeros(n_classes, requires_grad=True, device=X.device)
    solver = torch.optim.LBFGS([coef, intercept], max_iter=max_iter, line_search_fn="strong_wolfe")

    def closure():
        solver.zero_grad()
        total = 0.0
        for start in range(0, len(X), _CHUNK):
            logits = X[start : start + _CHUNK].float() @ coef.T + intercept
            loss = torch.nn.functional.cross_entropy(logits, y[start : start + _CHUNK], reduction="sum") / len(X)
            loss.backward()
            total += loss.detach()
        penalty = weight_decay / 2 * (coef**2).sum()
        penalty.backward()
        return total + penalty.detach()

    solver.step(closure)
    return coef.detach(), intercept.detach()


class Stopwatch:
    """The time in sums over rows on the device, by way of `DeviceSamples.sum`."""

    def __enter__(self):
        self.seconds, self._sum, self._depth = 0.0, DeviceSamples.sum, 0

        def timed(samples, *args, **kwargs):
            start, self._depth = time.perf_counter(), self._depth + 1
            try:
                return self._sum(samples, *args, **kwargs)
            finally:
                self._depth -= 1
                if not self._depth:
                    self.seconds += time.perf_counter() - start

        DeviceSamples.sum = timed
        return self

    def __exit__(self, *_):
        DeviceSamples.sum = self._sum


def timed(function, device):
    """The result of a call, and its time; the device is idle before and after."""
    if device.type == "cuda":
        torch.cuda.synchronize()
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = function()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return result, time.perf_counter() - start


def compare(name, X, y, args):
    device, n_classes, weight_decay = X.device, int(y.max()) + 1, 1 / len(X)
    print(f"{name}, {X.dtype} on {device}")
    timed(lambda: SoftmaxRegression(max_iter=1).fit(X[:1000], y[:1000]), device)  # start the device's libraries
    least, single = -np.inf, np.inf
    fits = []
    for tol in (1e-5, 1e-6):
        with Stopwatch() as watch:
            model, seconds = timed(lambda tol=tol: SoftmaxRegression(tol=tol).fit(X, y), device)
        least, single = max(least, model.objective_ - model.gap_), seconds
        outside = f"{1 - watch.seconds / seconds:.0%} outside" if watch.seconds else ""
        note = (
            f"{model.n_iter_} iterations, gap {model.gap_:.1e}{'' if model.converged_ else ', not converged'} {outside}"
        )
        fits.append((f"skmax tol={tol:g}", seconds, model.coef_, model.intercept_, note))
    if device.type == "cpu":
        on_numpy = X.numpy(), y.numpy()
        model, seconds = timed(lambda: SoftmaxRegression().fit(*on_numpy), device)
        fits.append(("skmax on NumPy", seconds, model.coef_, model.intercept_, f"ratio {single / seconds:.2f}"))
    if X.dtype != torch.float16:
        for tol in (1e-4, 1e-6):
            model = LogisticRegression(C=1.0, tol=tol, max_iter=int(args.limit * 20))
            _, seconds = timed(lambda model=model: model.fit(X, y), device)
            fits.append(
                (
                    f"LogisticRegression tol={tol:g}",
                    seconds,
                    model.coef_,
                    model.intercept_,
                    f"{int(model.n_iter_[0])} iterations",
                )
            )
    for max_iter in (100, 1000):
        (coef, intercept), seconds = timed(lambda m=max_iter: torch_lbfgs(X, y, n_classes, weight_decay, m), device)
        fits.append((f"torch L-BFGS {max_iter}", seconds, coef, intercept, ""))
        if seconds > args.limit / 5:
            break
    if device.type == "cuda":
        try:
            from cuml.linear_model import LogisticRegression as Cuml
        except ImportError:
            print("  cuML is not installed")
        else:
            for tol in (1e-4, 1e-8):
                model = Cuml(C=1.0, tol=tol, max_iter=10_000, output_type="numpy")
                _, seconds = timed(lambda model=model: model.fit(X.float(), y.float()), device)
                fits.append((f"cuML tol={tol:g}", seconds, model.coef_, model.intercept_, ""))
    for solver, seconds, coef, intercept, note in fits:
        coef, intercept = (
            torch.as_tensor(part).reshape(shape) for part, shape in ((coef, (-1, X.shape[1])), (intercept, (-1,)))
        )
        if len(coef) == 1:
            coef, intercept = (torch.cat([torch.zeros_like(part), part]) for part in (coef, intercept))
        excess = objective(coef, intercept, X, y, weight_decay) - least
        print(f"  {solver:28s} {seconds:8.2f} s   excess {excess:8.1e}   {note}", flush=True)
    if args.sweep:
        split = [np.split(np.random.default_rng(0).permutation(len(X)), [int(0.9 * len(X))])]
        search = SoftmaxRegressionCV(np.geomspace(1e-2, 1e-8, 45), cv=split)
        _, seconds = timed(lambda: search.fit(X, y), device)
        note = f"{seconds / single:.1f} single fits, best {search.weight_decay_:.1e}"
        print(f"  {'sweep of 45 weight decays':28s} {seconds:8.2f} s   {note}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("shapes", nargs="*", help="ROWSxCOLUMNSxCLASSES")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--half", action="store_true", help="rows in float16")
    parser.add_argument("--tf32", action="store_true", help="allow products of float32 in TF32")
    parser.add_argument("--sweep", action="store_true", help="also 45 weight decays on one split")
    parser.add_argument("--limit", type=float, default=60, help="about the seconds for each of the other solvers")
    parser.add_argument("--threads", type=int, default=1, help="PyTorch's threads on a CPU")
    parser.add_argument("--mnist", help="an .npz file with X and y")
    args = parser.parse_args()
    if os.environ.get("SCIPY_ARRAY_API") != "1":
        parser.error("set the environment variable SCIPY_ARRAY_API=1, which scikit-learn requires for tensors")
    torch.backends.cuda.matmul.allow_tf32 = args.tf32
    torch.set_num_threads(args.threads)
    device, dtype = torch.device(args.device), torch.float16 if args.half else torch.float32
    print(
        torch.cuda.get_device_name(device) if device.type == "cuda" else f"{torch.get_num_threads()} threads",
        sklearn.__version__,
    )
    with sklearn.config_context(array_api_dispatch=True):
        if args.mnist:
            with np.load(args.mnist) as archive:
                X, y = torch.as_tensor(archive["X"]), torch.as_tensor(archive["y"].astype(np.int64))
            compare(args.mnist, X.to(device, dtype), y.to(device), args)
        for shape in args.shapes or SHAPES[device.type]:
            sizes = [int(size) for size in shape.split("x")]
            compare(shape, *made(*sizes, device, dtype), args)


if __name__ == "__main__":
    main()
