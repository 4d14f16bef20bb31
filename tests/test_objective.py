"""The objective: against ten lines of plain NumPy, finite differences, scikit-learn, and itself in other layouts."""

import numpy as np
import pytest
from problems import objective_of
from scipy import optimize, sparse
from sklearn.linear_model import LogisticRegression

from skmax._samples import base


def plain(theta, X, Y, weight, weight_decay, fit_intercept):
    """f for distributions Y, straight from its definition."""
    X1 = np.column_stack([X, np.ones(len(X))]) if fit_intercept else X
    theta = theta.reshape(-1, X1.shape[1])
    if len(theta) == 1:
        theta = np.vstack([np.zeros_like(theta), theta])
    z = X1 @ theta.T
    loss = np.log(np.exp(z).sum(axis=1)) - (Y * z).sum(axis=1)
    return weight @ loss / weight.sum() + weight_decay / 2 * (theta[:, : X.shape[1]] ** 2).sum()


def problem(n_classes, *, soft=False, weighted=False, fit_intercept=True, seed=0, n_samples=40, n_features=3):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_samples, n_features))
    Y = rng.dirichlet(np.ones(n_classes), size=n_samples)
    target = Y if soft else Y.argmax(axis=1)
    Y = Y if soft else np.eye(n_classes)[target]
    weight = rng.uniform(0, 2, size=n_samples) if weighted else None
    n_logits = 1 if n_classes == 2 else n_classes
    theta = rng.normal(size=n_logits * (n_features + fit_intercept))
    settings = dict(n_classes=n_classes, n_logits=n_logits, weight_decay=0.3, fit_intercept=fit_intercept)
    return X, target, Y, weight, theta, settings


CASES = [
    dict(n_classes=n_classes, soft=soft, weighted=weighted, fit_intercept=fit_intercept)
    for n_classes in (2, 4)
    for soft in (False, True)
    for weighted in (False, True)
    for fit_intercept in (False, True)
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_value_is_the_plain_one(case):
    X, target, Y, weight, theta, settings = problem(**case)
    value, _ = objective_of(X, target, weight, **settings)(theta)
    expected = plain(theta, X, Y, np.ones(len(X)) if weight is None else weight, 0.3, case["fit_intercept"])
    assert value == pytest.approx(expected, rel=1e-13)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_gradient_is_the_derivative(case):
    X, target, _, weight, theta, settings = problem(**case)
    objective = objective_of(X, target, weight, **settings)
    numerical = optimize.approx_fprime(theta, lambda t: objective(t)[0], 1e-6)
    np.testing.assert_allclose(objective(theta)[1], numerical, atol=5e-6)  # forward differences: error of order 1e-6


@pytest.mark.parametrize("n_classes", [2, 5])
def test_value_is_the_one_scikit_learn_minimises(n_classes):
    """scikit-learn's fit is stationary in our objective at C = 1 / (weight_decay S), and lower than its neighbours."""
    X, target, _, weight, _, settings = problem(n_classes, weighted=True, n_samples=200)
    objective = objective_of(X, target, weight, **settings)
    model = LogisticRegression(C=1 / (0.3 * weight.sum()), tol=1e-10, max_iter=10000)
    model.fit(X, target, sample_weight=weight)
    theta = np.column_stack([model.coef_, model.intercept_]).ravel()
    value, gradient = objective(theta)
    np.testing.assert_allclose(gradient, 0, atol=1e-7)  # about where its lbfgs stops
    rng = np.random.default_rng(1)
    assert all(objective(theta + 0.1 * rng.normal(size=theta.size))[0] > value for _ in range(10))


@pytest.mark.parametrize("n_classes", [2, 5])
@pytest.mark.parametrize("fit_intercept", [False, True])
def test_value_and_gradient_at_random_points_are_those_of_scikit_learn(n_classes, fit_intercept):
    """The oracle is scikit-learn's private objective, the one place where it can be evaluated at any point."""
    loss_module = pytest.importorskip("sklearn._loss.loss")
    linear_loss = pytest.importorskip("sklearn.linear_model._linear_loss")
    X, target, _, weight, _, settings = problem(n_classes, weighted=True, fit_intercept=fit_intercept)
    objective = objective_of(X, target, weight, **settings)
    base = loss_module.HalfBinomialLoss() if n_classes == 2 else loss_module.HalfMultinomialLoss(n_classes=n_classes)
    oracle = linear_loss.LinearModelLoss(base, fit_intercept)
    rng = np.random.default_rng(2)
    for _ in range(5):
        theta = rng.normal(size=(settings["n_logits"], X.shape[1] + fit_intercept))
        coef = theta[0] if n_classes == 2 else theta
        value, gradient = oracle.loss_gradient(coef, X, target.astype(float), weight, l2_reg_strength=0.3)
        ours = objective(theta.ravel())
        assert ours[0] == pytest.approx(value, rel=1e-12)
        np.testing.assert_allclose(ours[1], np.ravel(gradient), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("layout", [np.asfortranarray, sparse.csr_array, sparse.csr_matrix])
@pytest.mark.parametrize("n_classes", [2, 4])
@pytest.mark.parametrize("weighted", [False, True])
def test_layouts_agree(layout, n_classes, weighted):
    X, target, _, weight, theta, settings = problem(n_classes, weighted=weighted)
    X[np.abs(X) < 0.5] = 0
    expected = objective_of(X, target, weight, **settings)(theta)
    value, gradient = objective_of(layout(X), target, weight, **settings)(theta)
    assert value == pytest.approx(expected[0], rel=1e-13)
    np.testing.assert_allclose(gradient, expected[1], rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("block_size", [1, 7, 64, 10**9])
@pytest.mark.parametrize("layout", [np.asarray, sparse.csr_array])
def test_blocks_of_any_size_agree(monkeypatch, block_size, layout):
    X, target, _, weight, theta, settings = problem(4, weighted=True, soft=True)
    expected = objective_of(layout(X), target, weight, **settings)(theta)
    monkeypatch.setattr(base, "_BLOCK_SIZE", block_size)
    monkeypatch.setattr(base, "_WIDE_BLOCK", (1, 1))
    value, gradient = objective_of(layout(X), target, weight, **settings)(theta)
    assert value == pytest.approx(expected[0], rel=1e-13)
    np.testing.assert_allclose(gradient, expected[1], rtol=1e-11, atol=1e-13)


def test_float32_takes_products_in_float32_and_sums_in_float64():
    X, target, _, weight, theta, settings = problem(4, weighted=True, n_samples=5000)
    expected = objective_of(X, target, weight, **settings)(theta)
    value, gradient = objective_of(X.astype(np.float32), target, weight, **settings)(theta)
    assert value == pytest.approx(expected[0], rel=1e-6)  # float32's eps is 1.2e-7
    assert gradient.dtype == np.float64
    np.testing.assert_allclose(gradient, expected[1], atol=1e-6)


def test_repeated_rows_are_weights_and_a_uniform_weight_cancels():
    X, target, _, _, theta, settings = problem(4)
    count = np.random.default_rng(3).integers(0, 4, size=len(X))
    weighted = objective_of(X, target, count.astype(float), **settings)(theta)
    repeated = objective_of(X.repeat(count, axis=0), target.repeat(count), **settings)(theta)
    scaled = objective_of(X, target, 1e3 * count, **settings)(theta)
    for other in (repeated, scaled):
        assert other[0] == pytest.approx(weighted[0], rel=1e-13)
        np.testing.assert_allclose(other[1], weighted[1], rtol=1e-11, atol=1e-13)


def test_one_logit_is_half_the_distance_between_two():
    """With two rows +w/2 and -w/2 the loss is that of one logit w; the penalty is half as large."""
    X, target, _, _, theta, settings = problem(2)
    one = objective_of(X, target, **settings)(theta)[0]
    two = objective_of(X, target, **settings | dict(n_logits=2))(np.concatenate([-theta / 2, theta / 2]))[0]
    assert one - two == pytest.approx(0.3 / 4 * np.dot(theta[:-1], theta[:-1]), rel=1e-12)


def test_rows_that_sum_to_one_only_nearly_leave_the_redundant_direction_flat():
    X, Y, _, _, theta, settings = problem(3, soft=True)
    objective = objective_of(X, Y * (1 + 1e-5), **settings | dict(weight_decay=0.0))
    shifted = theta.reshape(3, -1) + np.array([0, 0, 0, 1e6])
    assert objective(shifted.ravel())[0] == pytest.approx(objective(theta)[0], abs=1e-8)  # eps of 1e6 is 1e-10


def test_over_other_columns_of_the_rows_nothing_is_remembered_of_the_old_ones():
    X, target, _, weight, theta, settings = problem(3, weighted=True)
    objective = objective_of(X, target, weight, **settings)
    objective(theta)
    moved = X - [1.0, 2.0, 3.0]
    expected = objective_of(moved, target, weight, **settings)(theta)
    there = objective.with_samples(objective.samples.with_X(moved))(theta)
    assert there[0] == pytest.approx(expected[0], rel=1e-14)
    np.testing.assert_allclose(there[1], expected[1], rtol=1e-12)
