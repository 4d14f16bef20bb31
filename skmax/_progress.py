"""What `verbose` prints."""

import time

import numpy as np

from skmax._samples import Float64Array
from skmax._sklearn import Monitor
from skmax._solver import Preconditioner


class StagePrinter:
    """Prints a line for each stage of the solver."""

    def __init__(self) -> None:
        self._begin = time.perf_counter()

    def __call__(self, n_iter: int, value: float, gap: float, preconditioner: Preconditioner | None) -> None:
        seconds = time.perf_counter() - self._begin
        stage = "" if preconditioner is None else f"   preconditioner: {preconditioner}"
        print(f"iteration {n_iter:4d}   objective {value:.8f}   estimated gap {gap:.1e}   {seconds:.2f} s{stage}")


class PathProgress:
    """Tells of a path: prints lines if `verbose`, and reports each weight decay to the `monitor`."""

    def __init__(self, weight_decays: Float64Array, name: str, verbose: int, monitor: Monitor | None) -> None:
        self._weight_decays, self._name, self._verbose = weight_decays.tolist(), name, verbose
        self._part = None if monitor is None else monitor.part(name, len(weight_decays))
        self._begin = self._printed = time.perf_counter()
        self._number, self._last = 0, ", iteration 0"
        if verbose:
            print(f"{name} begins", flush=True)

    @property
    def _decay(self) -> str:
        return f"weight decay {self._number + 1}/{len(self._weight_decays)} ({self._weight_decays[self._number]:.1e})"

    def iteration(self, weight_decay: float, n_iter: int, gap: float) -> None:
        """Print a line, unless the last one is less than a second old."""
        if self._verbose:
            self._last = f", iteration {n_iter}" + (f", gap {gap:.0e}" if np.isfinite(gap) else "")
            if time.perf_counter() - self._printed >= 1:
                self._print("")

    def end_of_decay(self, score: float) -> None:
        """Print a line and report the step."""
        if self._verbose:
            self._print(f", score {score:.6g}")
        if self._part is not None:
            self._part.step(self._decay)
        self._number, self._last = self._number + 1, ", iteration 0"

    def end(self) -> None:
        if self._verbose and self._number < len(self._weight_decays):
            print(f"{self._name} ends: the score has turned", flush=True)
        if self._part is not None:
            self._part.end()

    def _print(self, rest: str) -> None:
        self._printed = time.perf_counter()
        print(f"{self._name}, {self._decay}{self._last}{rest}, {self._printed - self._begin:.1f} s", flush=True)
