"""A data set is measured once, and what comes of it does not depend on who shares it."""

import numpy as np
import pytest
from problems import problem_of
from sklearn.datasets import load_iris

from skmax import SoftmaxRegression, SoftmaxRegressionCV
from skmax import _problem as problem
from skmax._path import Options, fit_path
from skmax._threads import Workers

IRIS = load_iris(return_X_y=True)


def wide(n_samples=24, n_features=60):
    return np.random.default_rng(0).normal(size=(n_samples, n_features)) + 3, np.arange(n_samples) % 3


@pytest.mark.filterwarnings("ignore:The best of the weight_decays, .* is the last of the grid:UserWarning")
@pytest.mark.parametrize("X_and_y", [IRIS, wide()], ids=["iris", "wide"])
def test_a_search_by_approximate_leave_one_out_measures_its_data_once(X_and_y, monkeypatch):
    calls, work_coordinates = [], problem.work_coordinates
    monkeypatch.setattr(problem, "work_coordinates", lambda *a, **k: calls.append(1) or work_coordinates(*a, **k))
    SoftmaxRegressionCV(3, cv="approximate").fit(*X_and_y)
    assert len(calls) == 1


@pytest.mark.parametrize("X_and_y", [IRIS, wide()], ids=["iris", "wide"])
def test_a_problem_gives_the_same_fit_again_and_on_other_threads(X_and_y):
    pool = Workers(2)
    one, other = problem_of(*X_and_y, pool), problem_of(*X_and_y)
    decay, options = one.decay("1/n_samples"), Options(1e-6, 1000)
    [first], [second] = (fit_path(one, [decay], options) for _ in range(2))
    pool.close()
    [third] = fit_path(other, [decay], options)  # so little work that one thread does it in any case
    model = SoftmaxRegression().fit(*X_and_y)
    for fit in (first, second, third):
        for name, value in fit.attributes().items():
            # Here the linear algebra may use more threads than within `fit`, and round in another order.
            tolerance = {"rtol": 1e-9, "atol": 1e-12} if np.asarray(value).dtype.kind == "f" else {"rtol": 0}
            np.testing.assert_allclose(value, getattr(model, name), err_msg=name, **tolerance)
