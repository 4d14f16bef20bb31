"""Threads: the same answer for any number of them, and within the limits in force."""

import os
import signal
import subprocess
import sys
import threading
import time
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import joblib
import numpy as np
import pytest
from sklearn.datasets import make_classification
from threadpoolctl import threadpool_info, threadpool_limits

from skmax import SoftmaxRegression, _estimator, _threads
from skmax._threads import Workers, workers

DATA = make_classification(20_000, 20, n_informative=10, n_classes=6, random_state=0)


def blas_threads():
    return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}


@pytest.mark.parametrize("n_threads", [1, 2, 4, 7])
def test_results_come_in_order(n_threads):
    pool = Workers(n_threads)
    names = set()

    def square(number):
        names.add(threading.get_ident())
        return number**2

    assert pool.map(square, list(range(7))) == [k**2 for k in range(7)]
    assert len(names) <= n_threads
    pool.close()


def test_an_error_in_a_thread_is_raised_in_the_caller():
    with workers() as pool, pytest.raises(ZeroDivisionError):
        pool.map(lambda part: 1 / part, [1, 0])


@pytest.mark.parametrize("n_threads", [2, 4])
def test_the_answer_does_not_depend_on_the_threads(monkeypatch, n_threads):
    X, y = DATA
    with threadpool_limits(1):
        one = SoftmaxRegression(0.01, tol=1e-10).fit(X, y)
    monkeypatch.setattr("skmax._threads._THREADING_PAYS", 0)
    used = []

    class Forced(Workers):
        def __init__(self, _, user):
            super().__init__(n_threads, user)
            used.append(n_threads)

    monkeypatch.setattr(_threads, "Workers", Forced)
    many = SoftmaxRegression(0.01, tol=1e-10).fit(X, y)
    assert used
    assert many.objective_ == pytest.approx(one.objective_, rel=1e-12)
    np.testing.assert_allclose(many.coef_, one.coef_, atol=1e-6)


def test_one_thread_is_repeatable_to_the_bit():
    X, y = DATA
    with threadpool_limits(1):
        first, second = (SoftmaxRegression(0.01).fit(X, y) for _ in range(2))
    np.testing.assert_array_equal(first.coef_, second.coef_)
    np.testing.assert_array_equal(first.loss_curve_, second.loss_curve_)


@pytest.mark.parametrize("limit", [1, 2])
def test_limits_in_force_are_respected_and_restored(monkeypatch, limit):
    monkeypatch.setattr(joblib, "cpu_count", lambda: 8)
    with threadpool_limits(limit):
        before = blas_threads()
        with workers() as pool:
            assert pool.n_threads == min(before)
            assert blas_threads() == {1}
            with workers() as inner:  # as when fits run in threads: the second finds one thread allowed
                assert inner.n_threads == 1
            assert blas_threads() == {1}
        assert blas_threads() == before


def test_limits_are_restored_after_an_error():
    before = blas_threads()
    with pytest.raises(RuntimeError), workers():
        raise RuntimeError
    assert blas_threads() == before


class InterruptAt:
    """Raises KeyboardInterrupt at the call, line or instruction of `_threads` with this number."""

    def __init__(self, number):
        self.number = number

    def __call__(self, frame, event, _):
        if frame.f_code.co_filename != _threads.__file__:
            return None
        frame.f_trace_opcodes = True
        if event in ("call", "line", "opcode"):
            self.number -= 1
            if self.number < 0:
                raise KeyboardInterrupt
        return self


def test_limits_are_restored_after_an_interrupt_wherever_it_comes():
    before, traced = blas_threads(), sys.gettrace()
    with ThreadPoolExecutor(1) as other:
        for number in range(10_000):
            interrupted = None
            sys.settrace(InterruptAt(number))
            try:
                with workers(1):
                    pass
            except KeyboardInterrupt as interrupt:
                interrupted = interrupt  # so that its frames live on, and no finaliser helps
            finally:
                sys.settrace(traced)
            assert blas_threads() == before
            assert not _threads._one_thread._users
            free = other.submit(_threads._one_thread._lock.acquire, timeout=10)
            assert free.result()
            other.submit(_threads._one_thread._lock.release).result()
            if interrupted is None:
                break
    assert 200 < number < 9_999


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # from Python 3.12 on, of the other thread
@pytest.mark.parametrize("locked", [False, True])
def test_a_forked_process_is_free_of_the_fits_that_it_left_behind(locked):
    X, y = DATA[0][:500], DATA[1][:500]
    before, inside, done = blas_threads(), threading.Event(), threading.Event()

    def fit():
        with workers():
            if locked:
                _threads._one_thread._lock.acquire()
            inside.set()
            done.wait()
            if locked:
                _threads._one_thread._lock.release()

    thread = threading.Thread(target=fit)
    thread.start()
    inside.wait()
    child = os.fork()
    if not child:
        status = 1
        try:
            free = blas_threads() == before
            status = 0 if free and SoftmaxRegression(0.1).fit(X, y).converged_ and blas_threads() == before else 2
        finally:
            os._exit(status)
    done.set()
    thread.join()
    assert exit_status(child) == 0
    assert blas_threads() == before


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_process_forked_inside_a_fit_goes_on_without_its_threads():
    with workers(2) as pool:
        assert pool.map(abs, [-1, -2]) == [1, 2]
        child = os.fork()
        if not child:
            os._exit(0 if pool.map(abs, [-1, -2, -3]) == [1, 2, 3] else 1)
        assert exit_status(child) == 0


def exit_status(child, seconds=30):
    """Of a process that is killed after so many seconds."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if (ended := os.waitpid(child, os.WNOHANG))[0]:
            return os.waitstatus_to_exitcode(ended[1])
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_fits_in_threads_agree_and_restore_the_limits():
    X, y = DATA
    before = blas_threads()
    expected = SoftmaxRegression(0.01).fit(X, y)
    with ThreadPoolExecutor(4) as pool:
        fits = list(pool.map(lambda _: SoftmaxRegression(0.01).fit(X, y), range(8)))
    assert blas_threads() == before
    for fit in fits:
        np.testing.assert_allclose(fit.coef_, expected.coef_, atol=1e-6)


def _threads_of_a_fit():
    seen = []
    original = _estimator.workers

    def spy():
        context = original()
        pool = context.__enter__()
        seen.append(pool.n_threads)
        context.__exit__(None, None, None)
        return original()

    _estimator.workers = spy
    try:
        SoftmaxRegression(0.01).fit(DATA[0][:2000], DATA[1][:2000])
    finally:
        _estimator.workers = original
    return seen[0]


def test_workers_of_joblib_get_their_share():
    n_cores = joblib.cpu_count()
    inside = joblib.Parallel(n_jobs=n_cores)(joblib.delayed(_threads_of_a_fit)() for _ in range(n_cores))
    assert set(inside) == {1}


@pytest.mark.parametrize("enabled", [True, False])
def test_a_python_without_its_interpreter_lock_is_refused_with_the_reason(enabled):
    """No such build is at hand: the function by which Python says so is replaced in a new process."""
    code = f"import sys; sys._is_gil_enabled = lambda: {enabled}; import skmax"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode == 0) == enabled
    if not enabled:
        assert "ImportError: skmax does not run without the global interpreter lock" in done.stderr
        assert "shared by the whole process, and has not been tested" in done.stderr
        assert "PYTHON_GIL=1" in done.stderr


def test_the_package_claims_no_support_of_free_threading():
    """And the page on installation says the same as the error."""
    root = Path(__file__).parents[1]
    if not (root / "docs").exists():
        pytest.skip("runs in the project's folder")
    classifiers = tomllib.loads((root / "pyproject.toml").read_text())["project"]["classifiers"]
    assert not [each for each in classifiers if "Free Threading" in each]
    page = " ".join((root / "docs" / "install.md").read_text().split())
    assert "works only with the global interpreter lock" in page
    assert "PYTHON_GIL=1" in page
