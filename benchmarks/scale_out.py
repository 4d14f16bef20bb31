"""DaskSoftmaxRegression on one and two workers, and what that says of more.

RESULTS

Usage: python -m benchmarks.scale_out [ROWS ...]

Rows of 50 columns and 10 classes are made on the workers, in partitions of 250 000 (100 MB); a worker is a process of
one thread on this machine. `bytes` is what went over the loopback for an evaluation: parameters, results, and the
scheduler's messages. Memory is the most that a process ever had, less what it had before.
"""

import argparse
import os
import resource
import time

import dask
import numpy as np
from dask import array as da
from distributed import Client, LocalCluster, wait

from skmax import SoftmaxRegression
from skmax._threads import Workers
from skmax.dask import DaskSoftmaxRegression

N_FEATURES, N_CLASSES, PARTITION = 50, 10, 250_000


def rows(n_rows, seed):
    """(X, y) of a softmax model."""
    rng = np.random.default_rng(seed)
    coef = np.random.default_rng(0).normal(size=(N_FEATURES, N_CLASSES))
    X = rng.normal(size=(n_rows, N_FEATURES))
    return X, (X @ coef + 3 * rng.gumbel(size=(n_rows, N_CLASSES))).argmax(axis=1)


def collections(sizes):
    parts = [dask.delayed(rows, nout=2)(size, seed) for seed, size in enumerate(sizes, 1)]
    X = [da.from_delayed(part[0], (size, N_FEATURES), dtype=float) for part, size in zip(parts, sizes, strict=True)]
    y = [da.from_delayed(part[1], (size,), dtype=int) for part, size in zip(parts, sizes, strict=True)]
    return da.concatenate(X), da.concatenate(y)


def objective(X, y):
    """The objective of a fit."""
    model = DaskSoftmaxRegression()
    partitions, *_ = model._validate(X, y, None)
    return model._objective(partitions, model._encode(partitions, None), Workers())


def loopback_bytes():
    with open("/proc/net/dev") as file:
        line = next(line for line in file if line.strip().startswith("lo:"))
    return int(line.split(":")[1].split()[0])


def evaluation(function, repeats=10):
    """Seconds and bytes of one evaluation, the median of some."""
    theta = np.zeros(function.n_logits * function.n_columns)
    function(theta)
    seconds, before = [], loopback_bytes()
    for _ in range(repeats):
        begin = time.perf_counter()
        function(theta)
        seconds.append(time.perf_counter() - begin)
    return float(np.median(seconds)), (loopback_bytes() - before) / repeats


def most_memory():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def fit_time(model, X, y):
    begin = time.perf_counter()
    model.fit(X, y)
    return time.perf_counter() - begin


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rows", nargs="*", type=float, default=[1e6, 3e6, 1e7])
    arguments = parser.parse_args()
    # Dask has glibc give back memory at once, and so ask for it anew for each block of rows; this spares arrays of up
    # to 16 MB that.
    if os.environ.get("MMAP_THRESHOLD") != "default":
        dask.config.set({"distributed.nanny.pre-spawn-environ.MALLOC_MMAP_THRESHOLD_": 2**24})

    print(
        f"{'rows':>9} {'workers':>8} {'fit, s':>8} {'evaluation, ms':>15} {'kB':>6} {'client MB':>10} {'worker MB':>10}"
    )
    per_row = {}
    for n_rows in arguments.rows:
        for n_workers in (1, 2):
            cluster = LocalCluster(n_workers=n_workers, threads_per_worker=1, dashboard_address=":0", memory_limit=0)
            with cluster, Client(cluster) as client:
                before, own = client.run(most_memory), most_memory()
                X, y = client.persist(collections([PARTITION] * int(n_rows / PARTITION)))
                wait([X, y])
                fit_time(DaskSoftmaxRegression(max_iter=1000), X, y)  # workers import, and fault in their memory
                fit = fit_time(DaskSoftmaxRegression(), X, y)
                function = objective(X, y)
                seconds, moved = evaluation(function)
                per_row[n_rows, n_workers] = seconds / n_rows * n_workers
                worker = max(after - before[name] for name, after in client.run(most_memory).items())
                print(
                    f"{n_rows:9.0f} {n_workers:8d} {fit:8.2f} {1000 * seconds:15.1f} {moved / 1000:6.0f}"
                    f" {(most_memory() - own) / 1e6:10.0f} {worker / 1e6:10.0f}",
                    flush=True,
                )
                if n_rows == 1e6 and n_workers == 2:
                    local_X, local_y = dask.compute(X, y)
                    local = min(fit_time(SoftmaxRegression(), local_X, local_y) for _ in range(2))
                    fits = [fit_time(DaskSoftmaxRegression(), X, y) for _ in range(2)]
                    print(f"  SoftmaxRegression with two threads: {local:.2f} s; Dask {min(fits) / local:.2f} times")
                    del local_X, local_y

    print("\npartitions of 100 rows, two workers: ms of an evaluation")
    times = {}
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster, Client(cluster):
        for n_partitions in (2, 16, 64, 256):
            times[n_partitions], moved = evaluation(objective(*collections([100] * n_partitions)))
            print(f"{n_partitions:6d} partitions {1000 * times[n_partitions]:8.1f} ms {moved / 1000:8.0f} kB")
    per_task = (times[256] - times[16]) / 240
    latency = times[16] - 16 * per_task
    row = min(per_row.values())
    print(f"{1e9 * row:.1f} ns a row and thread, {1e3 * per_task:.2f} ms a partition, {1e3 * latency:.0f} ms besides")

    print("\nprojected, partitions of 250 000 rows, one thread a worker, a network of 1.25 GB/s: ms of an evaluation")
    print(
        f"{'rows':>9} {'classes':>8} {'workers':>8} {'rows':>8} {'scheduler':>10} {'network':>8} {'sum':>8}  bound by"
    )
    for n_rows in (1e8, 1e9):
        for n_classes in (10, 10_000):
            for n_workers in (16, 256):
                n_partitions = n_rows / PARTITION
                parameters = 8 * n_classes * (N_FEATURES + 1)
                parts = {
                    "rows": row * n_rows / n_workers * n_classes / N_CLASSES,
                    "scheduler": latency + per_task * n_partitions,
                    # Parameters to each worker in turns of two, eight results to each node of the tree and on.
                    "network": (np.log2(n_workers) + 8 * np.log(n_partitions) / np.log(8)) * parameters / 1.25e9,
                }
                print(
                    f"{n_rows:9.0e} {n_classes:8d} {n_workers:8d} {1000 * parts['rows']:8.0f}"
                    f" {1000 * parts['scheduler']:10.0f} {1000 * parts['network']:8.1f}"
                    f" {1000 * sum(parts.values()):8.0f}  {max(parts, key=parts.get)}"
                )


if __name__ == "__main__":
    main()
