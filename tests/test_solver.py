"""The staged solver, on functions whose minimum is known."""

import numpy as np
import pytest

from skmax import _solver
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


class Quadratic:
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


class Rosenbrock:
    """Minimum 0 at 1, 1."""

    def __call__(self, theta):
        x, y = theta
        gradient = np.array([-400 * x * (y - x**2) - 2 * (1 - x), 200 * (y - x**2)])
        return 100 * (y - x**2) ** 2 + (1 - x) ** 2, gradient

    def hessian_product(self, theta, direction):
        x, y = theta
        return np.array([[1200 * x**2 - 400 * y + 2, -400 * x], [-400 * x, 200]]) @ direction


def rosenbrock_diagonal(length):
    return lambda theta, caution, n_iter: Scaled(
        np.sqrt([max(1200 * theta[0] ** 2 - 400 * theta[1] + 2, 1), 200]), length
    )


def test_a_perfect_preconditioner_takes_one_newton_step():
    function = Quadratic()
    solution = minimize(
        function, np.zeros(3), lambda theta, caution, n_iter: Scaled(np.sqrt([1, 1e4, 1e8])), tol=1e-10, max_iter=100
    )
    assert solution.converged
    np.testing.assert_allclose(solution.theta, [1, 2, 3], rtol=1e-6)
    assert solution.n_iter == 1
    assert function.calls == 2


def test_the_gap_is_the_true_one_whatever_the_preconditioner():
    """Of a quadratic the Newton decrement is exact; the squared gradient in these coordinates says three times it."""
    theta = np.array([2.0, 2.0, 3.0 + 1e-4])
    point = _solver._Point(theta, *Quadratic()(theta))
    change = Scaled(np.sqrt([1.0, 1e4 / 3, 1e8 / 5]))
    assert _solver._estimate(change, point) == pytest.approx(3 * point.value)
    assert _solver._gap(Quadratic(), point, change) == pytest.approx(point.value)


def test_a_preconditioner_that_claims_too_much_is_not_believed():
    """It says that each gap is 1e-6 of what it is; the Hessian knows better, and more is asked of the next stages."""
    solution = minimize(
        Quadratic(),
        np.zeros(3),
        lambda theta, caution, n_iter: Scaled(1e3 * np.sqrt([1, 1e4, 1e8])),
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
        Quadratic(), np.array([1.0, 2.0, 3.0]), lambda theta, caution, n_iter: Scaled(np.ones(3)), tol=1e-6, max_iter=9
    )
    assert solution.converged
    assert solution.n_iter == 0


def test_a_first_step_that_is_far_too_long_is_shortened():
    """log cosh has a curvature of about 0 far from its minimum, where a Newton step is about e^(2 theta) / 4 long."""

    class LogCosh:
        def __init__(self):
            self.calls = 0

        def __call__(self, theta):
            self.calls += 1
            return float(np.logaddexp(theta, -theta)[0]), np.tanh(theta)

        def hessian_product(self, theta, direction):
            return direction / np.cosh(theta) ** 2

    function, asked, done = LogCosh(), [], []

    def precondition(theta, caution, n_iter):
        asked.append(caution)
        done.append(n_iter)
        return Scaled(1 / np.cosh(theta), length=2)

    solution = minimize(function, np.array([8.0]), precondition, tol=1e-9, max_iter=100)
    assert asked[:2] == [0.0, 1e-6]  # the first step was much too long: caution is asked for
    assert done[:2] == [0, 2]
    assert solution.converged
    assert solution.theta == pytest.approx(0, abs=1e-4)
    assert function.calls < 40


def test_the_end_of_float_precision_is_reported_and_not_run_into_again():
    """f is constant to the last digit while its gradient is not: the search finds nothing lower, and says so."""

    class Flat:
        def __call__(self, theta):
            return 1e20 + theta[0], np.ones(1)

        def hessian_product(self, theta, direction):
            return direction

    solution = minimize(Flat(), np.zeros(1), lambda theta, caution, n_iter: Scaled(np.ones(1)), tol=1e-9, max_iter=50)
    assert not solution.converged
    assert solution.gap == 0.5
    assert solution.n_iter <= 50


class Spread:
    """A quadratic with curvatures from 1e-4 to 1, whose gap lies in the small ones."""

    curvature = np.geomspace(1e-4, 1, 200)

    def __call__(self, theta):
        return np.dot(self.curvature, theta**2) / 2, self.curvature * theta

    def hessian_product(self, theta, direction):
        return self.curvature * direction


def test_the_gap_waits_for_conjugate_gradients_to_settle():
    """Without a preconditioner the first steps add little each, and hundreds are needed."""
    theta = 1e-3 / np.sqrt(Spread.curvature)
    point = _solver._Point(theta, *Spread()(theta))
    gap = _solver._gap(Spread(), point, Scaled(np.ones(200)))
    assert 0.7 * point.value < gap <= point.value * (1 + 1e-9)


def test_a_fit_that_is_given_up_does_not_spend_hundreds_of_products_on_its_gap():
    class Counted(Spread):
        products = 0

        def hessian_product(self, theta, direction):
            self.products += 1
            return super().hessian_product(theta, direction)

    function = Counted()
    start = 1 / np.sqrt(Spread.curvature)
    solution = minimize(function, start, lambda theta, caution, n_iter: Scaled(np.ones(200)), tol=1e-12, max_iter=3)
    assert not solution.converged
    assert solution.gap > 1e-3
    assert function.products <= 30


def test_the_gap_is_not_hidden_by_directions_of_far_too_little_curvature():
    """A preconditioner that takes six directions for flat spends its first steps there, where little is."""
    far = np.sqrt([1, 1.5, 2, 3, 4, 5])
    theta = np.append(0.1 / far, 1.0)
    point = _solver._Point(theta, theta @ theta / 2, theta)

    class Round:
        def hessian_product(self, theta, direction):
            return direction

    change = Scaled(np.append(1e-6 / far, 1.0))
    assert _solver._gap(Round(), point, change) == pytest.approx(point.value, rel=1e-6)


def test_a_preconditioner_from_nearby_saves_building_one():
    built = []

    def precondition(theta, caution, n_iter):
        built.append(theta)
        return Scaled(np.sqrt([1, 1e4, 1e8]))

    near = Scaled(np.sqrt([2, 1e4, 1e8]))
    solution = minimize(Quadratic(), np.zeros(3), precondition, tol=1e-10, max_iter=100, first=near)
    assert solution.converged
    assert solution.value <= 1e-10
    assert solution.preconditioner is near
    assert not built
    # One that claims too much, or is of no use, is given up.
    claims = Scaled(np.sqrt([1e6, 1e4, 1e8]))
    assert minimize(Quadratic(), np.zeros(3), precondition, tol=1e-10, max_iter=100, first=claims).value <= 1e-10
    assert built.pop() is not None
    built.clear()
    far = Scaled(np.array([1e3, 1.0, 1e-3]))
    solution = minimize(Quadratic(), np.zeros(3), precondition, tol=1e-10, max_iter=1000, first=far)
    assert solution.converged
    assert built


def test_polish_goes_on_to_the_last_digits():
    def precondition(theta, caution, n_iter):
        x, y = theta
        root = np.sqrt([max(1200 * x**2 - 400 * y + 2, 1), 200])
        return Scaled(root)

    plain, polished = (
        minimize(Rosenbrock(), np.array([-1.2, 1.0]), precondition, tol=1e-3, max_iter=1000, polish=polish)
        for polish in (False, True)
    )
    assert polished.value <= plain.value
    exact = minimize(
        Quadratic(),
        np.zeros(3),
        lambda theta, caution, n_iter: Scaled(np.sqrt([1.1, 1e4, 1e8])),
        tol=1e-2,
        max_iter=99,
        polish=True,
    )
    np.testing.assert_allclose(exact.theta, [1, 2, 3], rtol=1e-14)
    assert exact.gap < 1e-25
    assert (np.diff(exact.loss_curve) <= 0).all()
    assert exact.loss_curve[-1] == exact.value
