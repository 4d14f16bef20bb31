"""The staged solver, on functions whose minimum is known."""

import numpy as np
import pytest

from skmax import _solver
from skmax._solver import minimize


class Scaled:
    """theta = v / scale."""

    def __init__(self, scale):
        self.scale = scale

    def forward(self, v):
        return v / self.scale

    backward = forward


def quadratic(theta):
    """Minimum 0 at 1, 2, 3, with curvatures 1, 1e4, 1e8."""
    curvature = np.array([1, 1e4, 1e8])
    difference = theta - np.array([1.0, 2.0, 3.0])
    return np.dot(curvature, difference**2) / 2, curvature * difference


def rosenbrock(theta):
    x, y = theta
    return 100 * (y - x**2) ** 2 + (1 - x) ** 2, np.array([-400 * x * (y - x**2) - 2 * (1 - x), 200 * (y - x**2)])


def rosenbrock_precondition(theta):
    x, y = theta
    diagonal = np.array([max(1200 * x**2 - 400 * y + 2, 1), 200])
    return Scaled(np.sqrt(diagonal))


def test_a_perfect_preconditioner_takes_one_newton_step():
    calls = []

    def counted(theta):
        calls.append(theta)
        return quadratic(theta)

    solution = minimize(counted, np.zeros(3), lambda theta: Scaled(np.sqrt([1, 1e4, 1e8])), tol=1e-10, max_iter=100)
    assert solution.converged
    np.testing.assert_allclose(solution.theta, [1, 2, 3], rtol=1e-6)
    assert solution.n_iter == 1
    assert len(calls) == 2


@pytest.mark.parametrize("stage_length", [4, 15, 1000])
def test_stages_of_any_length_end_at_the_minimum(monkeypatch, stage_length):
    monkeypatch.setattr(_solver, "_STAGE_LENGTH", stage_length)
    solution = minimize(rosenbrock, np.array([-1.2, 1.0]), rosenbrock_precondition, tol=1e-12, max_iter=1000)
    assert solution.converged
    np.testing.assert_allclose(solution.theta, 1, atol=1e-5)
    assert solution.gap <= 1e-12
    assert len(solution.loss_curve) == solution.n_iter + 1
    assert (np.diff(solution.loss_curve) <= 0).all()
    assert solution.loss_curve[-1] == solution.value


def test_max_iter_counts_all_stages(monkeypatch):
    monkeypatch.setattr(_solver, "_STAGE_LENGTH", 3)
    solution = minimize(rosenbrock, np.array([-1.2, 1.0]), rosenbrock_precondition, tol=1e-12, max_iter=7)
    assert solution.n_iter == 7
    assert not solution.converged
    assert solution.gap > 1e-12


def test_a_start_at_the_minimum_takes_no_iteration():
    solution = minimize(quadratic, np.array([1.0, 2.0, 3.0]), lambda theta: Scaled(np.ones(3)), tol=1e-6, max_iter=9)
    assert solution.converged
    assert solution.n_iter == 0


def test_the_end_of_float_precision_is_reported_and_not_run_into_again():
    """f is constant to the last digit while its gradient is not: the search finds nothing lower, and says so."""
    solution = minimize(
        lambda theta: (1e20 + theta[0], np.ones(1)),
        np.zeros(1),
        lambda theta: Scaled(np.ones(1)),
        tol=1e-9,
        max_iter=50,
    )
    assert not solution.converged
    assert solution.gap == 0.5
    assert solution.n_iter <= 50
