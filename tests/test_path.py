"""The numerical part of a fit: a data set is measured once, and what comes of it does not depend on who shares it."""

import numpy as np
import pytest
from sklearn.datasets import load_iris

from skmax import SoftmaxRegression, SoftmaxRegressionCV
from skmax import _path as path
from skmax._path import Options, fit_path
from skmax._problem import Problem, local_objective
from skmax._target import encode_target
from skmax._threads import Workers

IRIS = load_iris(return_X_y=True)


def problem(X, y, pool=None):
    target = encode_target(y, classes=None, class_weight=None, sample_weight=None)
    return Problem.of(local_objective(X, target, fit_intercept=True, pool=pool), target.encoding)


def wide(n_samples=24, n_features=60):
    return np.random.default_rng(0).normal(size=(n_samples, n_features)) + 3, np.arange(n_samples) % 3


@pytest.mark.filterwarnings("ignore:The best of the weight_decays, .* is the last of the grid:UserWarning")
@pytest.mark.parametrize("X_and_y", [IRIS, wide()], ids=["iris", "wide"])
def test_a_search_by_approximate_leave_one_out_measures_its_data_once(X_and_y, monkeypatch):
    calls, work_coordinates = [], path.work_coordinates
    monkeypatch.setattr(path, "work_coordinates", lambda *a, **k: calls.append(1) or work_coordinates(*a, **k))
    SoftmaxRegressionCV(3, cv="approximate").fit(*X_and_y)
    assert len(calls) == 1


@pytest.mark.parametrize("X_and_y", [IRIS, wide()], ids=["iris", "wide"])
def test_a_problem_gives_the_same_fit_again_and_on_other_threads(X_and_y):
    pool = Workers(2)
    one = problem(*X_and_y, pool)
    decay, options = one.decay("1/n_samples"), Options(1e-6, 1000)
    [first], [second] = (fit_path(one, [decay], options) for _ in range(2))
    pool.close()
    [third] = fit_path(one.on(Workers()), [decay], options)  # so little work that one thread does it in any case
    model = SoftmaxRegression().fit(*X_and_y)
    for fit in (first, second, third):
        for name, value in fit.attributes().items():
            # Here the linear algebra may use more threads than within `fit`, and round in another order.
            tolerance = {"rtol": 1e-9, "atol": 1e-12} if np.asarray(value).dtype.kind == "f" else {"rtol": 0}
            np.testing.assert_allclose(value, getattr(model, name), err_msg=name, **tolerance)


def test_a_path_is_a_fit_for_each_weight_decay_in_order():
    X, y = IRIS
    fits = fit_path(problem(X, y), [1.0, 0.1, 0.01], Options(1e-10, 1000))
    for decay, fit in zip([1.0, 0.1, 0.01], fits, strict=True):
        assert fit.converged
        np.testing.assert_allclose(fit.coef, SoftmaxRegression(decay, tol=1e-10).fit(X, y).coef_, rtol=1e-4, atol=1e-6)


def test_the_estimators_are_siblings():
    assert not issubclass(SoftmaxRegressionCV, SoftmaxRegression)
    for estimator in (SoftmaxRegression, SoftmaxRegressionCV):
        assert set(estimator._parameter_constraints) == set(estimator._get_param_names())
