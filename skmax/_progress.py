"""What `verbose` prints."""

import time
from collections.abc import Callable

import numpy as np

from skmax._fit import Fit
from skmax._samples import Float64Array
from skmax._sklearn import Monitor
from skmax._solver import Preconditioner


class StagePrinter:
    """Print a line for each stage of the solver."""

    def __init__(self) -> None:
        self._begin = time.perf_counter()

    def __call__(self, n_iter: int, value: float, gap: float, preconditioner: Preconditioner | None) -> None:
        seconds = time.perf_counter() - self._begin
        stage = "" if preconditioner is None else f"   preconditioner: {preconditioner}"
        print(f"iteration {n_iter:4d}   objective {value:.8f}   estimated gap {gap:.1e}   {seconds:.2f} s{stage}")


class PathProgress:
    """Print the progress along a path if `verbose`, and report each weight decay to the `monitor`."""

    def __init__(self, weight_decays: Float64Array, name: str, verbose: int, monitor: Monitor | None) -> None:
        self._weight_decays, self._name, self._verbose = weight_decays.tolist(), name, verbose
        self._part = None if monitor is None else monitor.part(name, len(weight_decays))
        self._begin = self._printed = time.perf_counter()
        self._number, self._n_iter, self._gap = 0, 0, ""
        if verbose:
            print(f"{name} begins", flush=True)

    @property
    def _decay(self) -> str:
        return f"weight decay {self._number + 1}/{len(self._weight_decays)} ({self._weight_decays[self._number]:.1e})"

    def stage(self, n_iter: int, value: float, gap: float, preconditioner: Preconditioner | None) -> None:
        """Keep the estimate of the gap before a stage, for the lines to come."""
        self._gap = f", gap {gap:.0e}" if np.isfinite(gap) else ""
        self.iteration(n_iter)

    def iteration(self, n_iter: int, fit_so_far: Callable[[], Fit] | None = None) -> bool:
        """Print a line, but not within a second of the last one. The search continues."""
        self._n_iter = n_iter
        if self._verbose and time.perf_counter() - self._printed >= 1:
            self._print()
        return False

    def end_of_decay(self, score: float) -> None:
        """Print a line and report the step."""
        if self._verbose:
            self._print(f", score {score:.6g}")
        if self._part is not None:
            self._part.step(self._decay)
        self._number, self._n_iter, self._gap = self._number + 1, 0, ""

    def end(self) -> None:
        if self._verbose and self._number < len(self._weight_decays):
            print(f"{self._name} ends: the score has turned", flush=True)
        if self._part is not None:
            self._part.end()

    def _print(self, score: str = "") -> None:
        self._printed = time.perf_counter()
        state = f"{self._name}, {self._decay}, iteration {self._n_iter}{self._gap}{score}"
        print(f"{state}, {self._printed - self._begin:.1f} s", flush=True)
