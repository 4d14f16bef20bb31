"""A fit needs memory for a few blocks and the parameters, however many rows there are; measured on Linux."""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the anonymous memory from /proc"),
]

PREAMBLE = """
import threading, time, warnings
import numpy as np
from skmax import SoftmaxRegression, SoftmaxRegressionCV, neg_cross_entropy_scorer

def anonymous():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("RssAnon")) / 1024

def growth_during(call):
    '''MB of anonymous memory at most above what there was before.'''
    before, peak, stop = anonymous(), [0.0], threading.Event()
    def watch():
        while not stop.is_set():
            peak[0] = max(peak[0], anonymous() - before)
            time.sleep(0.002)
    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        result = call()
    finally:
        stop.set()
        watcher.join()
    return peak[0], result

SoftmaxRegression().fit(np.eye(3), [0, 1, 2])  # imports and buffers that any fit needs
rng = np.random.default_rng(0)
"""


def run(script):
    """The last number that `script` prints, in a process of its own."""
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", PREAMBLE + textwrap.dedent(script)], capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    return float(result.stdout.split()[-1])


def test_a_memory_map_of_1200_megabytes(tmp_path):
    growth = run(f"""
        n_samples, n_features = 1_500_000, 100
        X = np.memmap({str(tmp_path / "X")!r}, dtype=np.float64, mode="w+", shape=(n_samples, n_features))
        for start in range(0, n_samples, 50_000):
            X[start : start + 50_000] = rng.normal(size=(50_000, n_features))
        X.flush()
        y = (X[:, 0] > 0).astype(np.int8) + (X[:, 1] > 1)
        X = np.memmap({str(tmp_path / "X")!r}, dtype=np.float64, mode="r", shape=(n_samples, n_features))
        growth, model = growth_during(lambda: SoftmaxRegression(0.01, tol=1e-4).fit(X, y))
        assert model.converged_ and model.score(X[:10_000], y[:10_000]) > 0.8
        print(growth)
    """)
    assert growth < 150


def test_many_rows_and_classes_need_no_array_of_their_product():
    growth = run("""
        X = rng.normal(size=(200_000, 20))
        y = rng.integers(0, 200, size=200_000)
        growth, model = growth_during(lambda: SoftmaxRegression(0.1, tol=1e-4).fit(X, y))
        assert model.converged_
        print(growth)
    """)
    assert growth < 150  # n_samples x n_classes would be 320


@pytest.mark.parametrize("n_features", [1, 16])
def test_ten_thousand_classes_need_no_array_for_each_row_or_pair_of_them(n_features):
    """10,000 x 10,000 are 800 MB; the parameters are 0.2 and 1.4 MB."""
    growth = run(f"""
        y = np.arange(10_000)
        X = rng.normal(size=(len(y), {n_features}))
        def fit_and_predict():
            with warnings.catch_warnings(action="ignore"):  # of convergence, and of as many classes as rows
                model = SoftmaxRegression(max_iter=1).fit(X, np.char.mod("class %05d", y))
            assert model.loss_curve_[-1] < model.loss_curve_[0]
            assert np.all(model.predict_top_k(X[::20], 5)[:, 0] == model.predict(X[::20]))
            assert neg_cross_entropy_scorer(model, X, model.classes_) > -np.log(len(y))
        growth, _ = growth_during(fit_and_predict)
        print(growth)
    """)
    assert growth < 350


def test_a_sweep_over_many_classes_judges_without_an_array_of_rows_and_classes():
    """21,000 x 3000 test rows and classes are 504 MB."""
    growth = run("""
        n_classes = 3_000
        y = np.arange(24_000) % n_classes
        X = rng.normal(size=(n_classes, 8))[y] + rng.normal(size=(len(y), 8)) / 9
        folds = [(np.arange(3_000), np.arange(3_000, 24_000))]
        def fit():
            with warnings.catch_warnings(action="ignore"):
                model = SoftmaxRegressionCV([1e-3, 1e-4], cv=folds, max_iter=1).fit(X, y)
            assert model.best_score_ > -np.log(n_classes)
        growth, _ = growth_during(fit)
        print(growth)
    """)
    assert growth < 250


@pytest.mark.parametrize("method", ["predict_proba", "predict_log_proba", "decision_function"])
def test_predictions_do_not_double_their_output(method):
    growth = run(f"""
        X = rng.normal(size=(1_000_000, 5))
        model = SoftmaxRegression(0.1).fit(X[:2000], rng.integers(0, 40, size=2000))
        growth, output = growth_during(lambda: model.{method}(X))
        print(growth / (output.nbytes / 2**20))
    """)
    assert growth < 1.25


def test_the_fit_of_a_wide_sparse_matrix_does_not_fill_it():
    growth = run("""
        from scipy import sparse
        X = sparse.csr_array(sparse.random(20_000, 50_000, density=2e-4, random_state=0))  # 8 GB if dense
        y = rng.integers(0, 5, size=20_000)
        growth, model = growth_during(lambda: SoftmaxRegression(0.01, tol=1e-3).fit(X, y))
        print(growth / (model.coef_.nbytes / 2**20))
    """)
    assert growth < 120  # L-BFGS keeps 30 pairs of vectors, and SciPy works on copies of them


def test_an_X_of_uint8_is_not_converted():
    """400,000 x 100 are 40 MB as they are, and would be 160 as float32."""
    growth = run("""
        X = rng.integers(0, 256, size=(400_000, 100), dtype=np.uint8)
        y = (X[:, 0] > 100) + (X[:, 1] > 50).astype(int)
        def fit_and_predict():
            model = SoftmaxRegression().fit(X, y)
            return model.converged_ and len(model.predict(X[:100_000]))
        growth, n_predicted = growth_during(fit_and_predict)
        assert n_predicted == 100_000
        print(growth)
    """)
    assert growth < 60


@pytest.mark.parametrize("call", ["coef_table", "average_marginal_effects"])
def test_inference_needs_no_array_of_rows_and_parameters(call):
    """Of 300,000 rows, X is 24 MB, rows x classes would be 24, and rows x classes x features 240."""
    growth = run(f"""
        from skmax import inference
        X = rng.normal(size=(300_000, 10))
        y = rng.integers(0, 10, size=len(X))
        model = SoftmaxRegression(0, tol=1e-9).fit(X, y)
        function = inference.{call}
        function(SoftmaxRegression(0.1).fit(X[:99], y[:99]), X[:99], y[:99])  # imports pandas
        growth, table = growth_during(lambda: function(model, X, y))
        print(growth)
    """)
    assert growth < 60
