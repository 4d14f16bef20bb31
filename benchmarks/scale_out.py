"""DaskSoftmaxRegression on one and two workers, and what that says of more.

Results: 2 cores of an AMD EPYC with AVX-512, Python 3.11, NumPy 2.4, Dask 2026.8.

         rows  workers   fit, s  evaluation, ms     kB  client MB  worker MB
      1000000        1     3.93           141.3     32         22        447
      1000000        2     2.54            94.7     48          4        243
      3000000        1    10.40           388.8     51          0       1286
      3000000        2     6.89           236.9     84          0        651
     10000000        1    35.48          1274.5    113          0       4258
     10000000        2    20.11           707.7    220          0       2236

    SoftmaxRegression on 1000000 rows, two threads: 2.03 s; Dask on two workers takes 1.25 times as long, and 1.57 times
    with the memory allocator as Dask sets it (MMAP_THRESHOLD=default)

    an evaluation takes 130 to 140 ns a row and thread, 1 ms a partition (the scheduler), and 25 ms besides

    projected, one thread a worker, a network of 1.25 GB/s: ms of an evaluation
         rows  classes  workers     rows  scheduler  network      sum  bound by
        1e+08       10       16      883        407      0.1     1290  rows
        1e+08       10      256       55        407      0.1      462  scheduler
        1e+08     1000      256     5520        407     10.1     5937  rows
        1e+09       10       16     8832       3829      0.1    12661  rows
        1e+09       10      256      552       3829      0.1     4381  scheduler
        1e+09     1000      256    55203       3829     13.0    59045  rows

Conclusion: few classes on many workers are bound by the scheduler, at a millisecond for each partition: larger
partitions help (1e9 rows in 1000 of them, 400 MB each: 1 s instead of 4). The network matters from some 1e6 parameters
on. Client memory does not grow with the rows; a worker has its rows once.

Usage: python -m benchmarks.scale_out [ROWS ...]

Rows of 50 columns and 10 classes are made on the workers, in partitions of 250 000 (100 MB); a worker is a process of
one thread on this machine. `kB` is what went over the loopback for an evaluation: parameters, results, and the
scheduler's messages. Memory is the most that a process ever had, less what it had before; 424 MB of a worker's are a
million rows.
"""

import argparse
import multiprocessing
import os
import time

import dask
import numpy as np
from dask import array as da
from distributed import Client, LocalCluster, wait

from skmax import SoftmaxRegression
from skmax._objective import Objective
from skmax._threads import Workers
from skmax.dask import DaskSoftmaxRegression
from skmax.dask._samples import RemoteSamples, survey

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
    partitions, _ = DaskSoftmaxRegression()._load(X, y, None)
    shape, encoding = survey(partitions, X.shape[1], None, None)
    return Objective(RemoteSamples.of(partitions, shape, encoding, fit_intercept=True, pool=Workers()))


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
    """Of this process, in bytes, since it was started."""
    with open("/proc/self/status") as file:
        line = next(line for line in file if line.startswith("VmHWM"))
    return 1024 * int(line.split()[1])


def local_fit():
    """Seconds of a plain fit on the rows of four partitions, the shorter of two."""
    X, y = (np.concatenate(part) for part in zip(*(rows(PARTITION, seed) for seed in range(1, 5)), strict=True))
    return min(fit_time(SoftmaxRegression(), X, y) for _ in range(2))


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
    with multiprocessing.get_context("spawn").Pool(1) as pool:  # before Dask sets the environment of processes to come
        local = pool.apply(local_fit)
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
                    fits = [fit, fit_time(DaskSoftmaxRegression(), X, y)]
        if n_rows == 1e6:
            print(f"  SoftmaxRegression on all cores: {local:.2f} s; Dask on two workers {min(fits) / local:.2f} times")

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
        for n_classes in (10, 1000):
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
