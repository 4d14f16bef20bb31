"""A path of weight decays: each minimum is that of a fit of its own."""

import numpy as np
from problems import problem_of
from sklearn.datasets import load_iris

from skmax import SoftmaxRegression, SoftmaxRegressionCV
from skmax._path import Options, fit_path

IRIS = load_iris(return_X_y=True)


def test_a_path_is_a_fit_for_each_weight_decay_in_order():
    X, y = IRIS
    fits = fit_path(problem_of(X, y), [1.0, 0.1, 0.01], Options(1e-10, 1000))
    for decay, fit in zip([1.0, 0.1, 0.01], fits, strict=True):
        assert fit.converged
        np.testing.assert_allclose(fit.coef, SoftmaxRegression(decay, tol=1e-10).fit(X, y).coef_, rtol=1e-4, atol=1e-6)


def test_the_estimators_are_siblings():
    assert not issubclass(SoftmaxRegressionCV, SoftmaxRegression)
    for estimator in (SoftmaxRegression, SoftmaxRegressionCV):
        assert set(estimator._parameter_constraints) == set(estimator._get_param_names())
