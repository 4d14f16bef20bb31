"""The staged solver, on functions whose minimum is known."""

import numpy as np
import pytest

from skmax._solver import minimize


class Scaled:
    """theta = v / scale, for stages of `length` iterations."""

    def __init__(self, scale, length=15):
        self.scale = scale
        self.length = length

    def stage_length(self, n_stages):
        return self.length

    def forward(self, v):
        return v / self.scale

    backward = forward


class Smooth:
    """What a function of no rows says of them."""

    floor = -np.inf
    has_weak_penalty = True

    def largest_change(self, step):
        return 0.0

    def mean_change(self, step):
        return 0.0

    def penalty_curvature(self, step):
        return 0.0

    def receding(self, step):
        return None


class Quadratic(Smooth):
    """Minimum 0 at 1, 2, 3, with curvatures 1, 1e4, 1e8."""

    curvature = np.array([1, 1e4, 1e8])

    def __init__(self):
        self.calls = 0

    def __call__(self, theta):
        self.calls += 1
        difference = theta - np.array([1.0, 2.0, 3.0])
        return np.dot(self.curvature, difference**2) / 2, self.curvature * difference

    def hessian_product(self, theta, direction):
        return self.curvature * direction


class Rosenbrock(Smooth):
    """Minimum 0 at 1, 1."""

    def __call__(self, theta):
        x, y = theta
        gradient = np.array([-400 * x * (y - x**2) - 2 * (1 - x), 200 * (y - x**2)])
        return 100 * (y - x**2) ** 2 + (1 - x) ** 2, gradient

    def hessian_product(self, theta, direction):
        x, y = theta
        return np.array([[1200 * x**2 - 400 * y + 2, -400 * x], [-400 * x, 200]]) @ direction


def rosenbrock_diagonal(length):
    return lambda function, theta, damping, n_iter: Scaled(
        np.sqrt([max(1200 * theta[0] ** 2 - 400 * theta[1] + 2, 1), 200]), length
    )


def test_a_perfect_preconditioner_takes_one_newton_step():
    function = Quadratic()
    solution = minimize(
        function,
        np.zeros(3),
        lambda function, theta, damping, n_iter: Scaled(np.sqrt([1, 1e4, 1e8])),
        tol=1e-10,
        max_iter=100,
    )
    assert solution.converged
    np.testing.assert_allclose(solution.theta, [1, 2, 3], rtol=1e-6)
    assert solution.n_iter == 1
    assert function.calls == 2


def test_a_preconditioner_that_claims_too_much_is_not_believed():
    """It says that each gap is 1e-6 of what it is; the Hessian knows better, and more is asked of the next stages."""
    solution = minimize(
        Quadratic(),
        np.zeros(3),
        lambda function, theta, damping, n_iter: Scaled(1e3 * np.sqrt([1, 1e4, 1e8])),
        tol=1e-8,
        max_iter=100,
    )
    assert solution.converged
    assert solution.value <= 1e-8


@pytest.mark.parametrize("stage_length", [4, 15, 1000])
def test_stages_of_any_length_end_at_the_minimum(stage_length):
    start = np.array([-1.2, 1.0])
    solution = minimize(Rosenbrock(), start, rosenbrock_diagonal(stage_length), tol=1e-12, max_iter=1000)
    assert solution.converged
    np.testing.assert_allclose(solution.theta, 1, atol=1e-5)
    assert solution.gap <= 1e-12
    assert len(solution.loss_curve) == solution.n_iter + 1
    assert (np.diff(solution.loss_curve) <= 0).all()
    assert solution.loss_curve[-1] == solution.value


def test_max_iter_counts_all_stages():
    solution = minimize(Rosenbrock(), np.array([-1.2, 1.0]), rosenbrock_diagonal(3), tol=1e-12, max_iter=7)
    assert solution.n_iter == 7
    assert not solution.converged
    assert solution.gap > 1e-12


def test_a_start_at_the_minimum_takes_no_iteration():
    solution = minimize(
        Quadratic(),
        np.array([1.0, 2.0, 3.0]),
        lambda function, theta, damping, n_iter: Scaled(np.ones(3)),
        tol=1e-6,
        max_iter=9,
    )
    assert solution.converged
    assert solution.n_iter == 0


def test_a_first_step_that_is_far_too_long_is_shortened():
    """log cosh has a curvature of about 0 far from its minimum, where a Newton step is about e^(2 theta) / 4 long."""

    class LogCosh(Smooth):
        def __init__(self):
            self.calls = 0

        def __call__(self, theta):
            self.calls += 1
            return float(np.logaddexp(theta, -theta)[0]), np.tanh(theta)

        def hessian_product(self, theta, direction):
            return direction / np.cosh(theta) ** 2

    function, asked, done = LogCosh(), [], []

    def precondition(function, theta, damping, history):
        asked.append(damping)
        done.append(history.n_iter)
        return Scaled(1 / np.cosh(theta), length=2)

    solution = minimize(function, np.array([8.0]), precondition, tol=1e-9, max_iter=100)
    assert asked[:2] == [0.0, 1e-6]  # the first step was much too long: damping is asked for
    assert done[:2] == [0, 2]
    assert solution.converged
    assert solution.theta == pytest.approx(0, abs=1e-4)
    assert function.calls < 40


def test_the_end_of_float_precision_is_reported_and_not_run_into_again():
    """f is constant to the last digit while its gradient is not: the search finds nothing lower, and says so."""

    class Flat(Smooth):
        def __call__(self, theta):
            return 1e20 + theta[0], np.ones(1)

        def hessian_product(self, theta, direction):
            return direction

    solution = minimize(
        Flat(), np.zeros(1), lambda function, theta, damping, n_iter: Scaled(np.ones(1)), tol=1e-9, max_iter=50
    )
    assert not solution.converged
    assert solution.gap == 0.5
    assert solution.n_iter <= 50


def test_a_preconditioner_from_nearby_saves_building_one():
    built = []

    def precondition(function, theta, damping, history):
        built.append(theta)
        return Scaled(np.sqrt([1, 1e4, 1e8]))

    near = Scaled(np.sqrt([2, 1e4, 1e8]))
    solution = minimize(Quadratic(), np.zeros(3), precondition, tol=1e-10, max_iter=100, initial_preconditioner=near)
    assert solution.converged
    assert solution.value <= 1e-10
    assert solution.preconditioner is near
    assert not built
    # One that claims too much is not believed; one that is of no use is given up.
    claims = Scaled(np.sqrt([1e6, 1e4, 1e8]))
    solution = minimize(Quadratic(), np.zeros(3), precondition, tol=1e-10, max_iter=100, initial_preconditioner=claims)
    assert solution.value <= 1e-10
    far = Scaled(np.array([1e3, 1.0, 1e-3]))
    solution = minimize(Quadratic(), np.zeros(3), precondition, tol=1e-10, max_iter=1000, initial_preconditioner=far)
    assert solution.converged
    assert built
