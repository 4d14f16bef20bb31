"""The penalty: against its definition, minimised over what all classes have in common, and finite differences."""

import numpy as np
import pytest
from scipy import optimize

from skmax._penalty import Penalty

K, P = 4, 3
CASES = {
    "plain": (None, False),
    "means": (None, True),
    "by feature": ([0.5, 0.0, 3.0], False),
    "by feature and means": ([0.5, 0.0, 3.0], True),
    "by class": ([[0.5, 1, 0], [2, 0, 0], [1, 1, 3], [0, 1e3, 0]], False),
    "by class and means": ([[0.5, 1, 0], [2, 0, 0], [1, 1, 3], [0, 1e3, 0]], True),
}


def case(name, n_logits=K):
    factor, with_mean = CASES[name]
    rng = np.random.default_rng(0)
    mean = rng.normal(size=(n_logits, P)) if with_mean else None
    factor = None if factor is None else np.array(factor, dtype=float)
    return Penalty.of(factor, mean).decayed(0.3), rng


def by_definition(penalty, coef):
    """P of the module's docstring."""
    rest = coef if penalty.mean is None else coef - penalty.mean
    factor = 1.0 if penalty.factor is None else penalty.factor
    return penalty.weight_decay / 2 * np.sum(factor * rest**2)


def centred(table):
    return table - table.mean(axis=0)


@pytest.mark.parametrize("name", CASES)
def test_the_value_is_the_least_over_what_all_classes_have_in_common(name):
    penalty, rng = case(name)
    coef = centred(rng.normal(size=(K, P)))
    least = optimize.minimize(lambda c: by_definition(penalty, coef + c), np.zeros(P), method="BFGS", tol=1e-12).fun
    assert penalty.value(coef) == pytest.approx(least, rel=1e-9)
    assert by_definition(penalty, penalty.centred(coef)) == pytest.approx(least, rel=1e-9)
    # Any representative has the same value, unless the penalty relies on rows that sum to zero.
    if penalty.mean is not None or penalty.by_class:
        assert penalty.value(coef + rng.normal(size=P)) == pytest.approx(penalty.value(coef), rel=1e-9)


@pytest.mark.parametrize("name", CASES)
def test_gradient_and_products_are_the_derivatives_along_steps_of_sum_zero(name):
    penalty, rng = case(name)
    coef, step = centred(rng.normal(size=(K, P))), centred(rng.normal(size=(K, P)))
    slope = (penalty.value(coef + 1e-4 * step) - penalty.value(coef - 1e-4 * step)) / 2e-4
    assert np.sum(penalty.gradient(coef) * step) == pytest.approx(slope, rel=1e-8)  # exact for a parabola but rounding
    change = (penalty.gradient(coef + step) - penalty.gradient(coef - step)) / 2
    np.testing.assert_allclose(penalty.product(step), change, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(penalty.gradient(coef).sum(axis=0), 0, atol=1e-12)


@pytest.mark.parametrize("name", ["by class", "by class and means"])
def test_matrices_and_their_roots_are_the_second_derivatives(name):
    penalty, rng = case(name)
    step = centred(rng.normal(size=(K, P)))
    matrices, roots = penalty.matrices(), penalty.roots()
    np.testing.assert_allclose(np.einsum("jkl,lj->kj", matrices, step), penalty.product(step), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(np.einsum("jab,jac->jbc", roots, roots), matrices, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(penalty.curvature, K / (K - 1) * np.einsum("jkk->kj", matrices), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", CASES)
def test_no_second_derivative_is_below_the_least(name):
    penalty, _ = case(name)
    basis = np.linalg.qr(np.column_stack([np.ones(K), np.eye(K)[:, 1:]]))[0][:, 1:]
    for j in range(P):
        steps = np.zeros((K - 1, K, P))
        steps[:, :, j] = basis.T
        form = np.array([[np.sum(one * penalty.product(two)) for one in steps] for two in steps])
        assert np.linalg.eigvalsh(form).min() >= penalty.least - 1e-9


@pytest.mark.parametrize("name", CASES)
def test_the_free_part_of_a_step_changes_no_penalty_and_the_rest_changes_no_probability_alone(name):
    penalty, rng = case(name)
    coef, step = centred(rng.normal(size=(K, P))), centred(rng.normal(size=(K, P)))
    free = penalty.free_part(step)
    assert penalty.value(centred(coef + free)) == pytest.approx(penalty.value(coef), rel=1e-9)
    np.testing.assert_allclose(penalty.product(centred(free)), 0, atol=1e-9)
    # What is not free has a penalty unless it is 0, up to a shift of all classes.
    rest = centred(step - free)
    assert np.sum(rest * penalty.product(rest)) > 0


def test_a_feature_is_free_where_one_class_alone_has_a_factor():
    penalty = Penalty.of(np.array([[2.0, 1.0], [0.0, 1.0], [0.0, 0.0]]), None).decayed(1.0)
    np.testing.assert_array_equal(penalty.free, [[True, False], [True, False], [True, True]])
    assert penalty.value(centred(np.array([[1.0, 0], [5, 0], [-9, 0]]))) == pytest.approx(0, abs=1e-12)
    assert not penalty.is_none
    assert penalty.decayed(0.0).is_none


def test_one_logit_has_nothing_in_common_with_another():
    penalty = Penalty.of(np.array([1.0, 2.0]), np.array([[3.0, 4.0]])).decayed(1.0)
    assert penalty.value(np.array([[1.0, 1.0]])) == (2**2 + 2 * 3**2) / 2
    np.testing.assert_array_equal(penalty.gradient(np.array([[1.0, 1.0]])), [[-2, -6]])
    np.testing.assert_array_equal(penalty.centred(np.array([[1.0, 1.0]])), [[1, 1]])


def test_the_simplest_form_is_taken():
    assert Penalty.of(np.ones((3, 2)), np.zeros((3, 2))).factor is None
    assert Penalty.of(np.ones((3, 2)), np.zeros((3, 2))).mean is None
    assert Penalty.of(np.tile([1.0, 2.0], (3, 1)), None).factor.shape == (2,)


def test_coefficients_too_large_to_be_squared_have_no_penalty_where_they_are_free():
    penalty = Penalty.of(np.array([0.0, 1.0]), None)
    assert penalty.value(np.array([[1e200, 1.0]])) == 0
    assert penalty.decayed(1.0).value(np.array([[1e200, 1.0]])) == 0.5
