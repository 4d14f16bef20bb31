"""softmax, log_softmax, cross_entropy: closed-form values, invariances, finite differences, errors."""

import numpy as np
import pytest
from scipy import special

from skmax import cross_entropy, log_softmax, softmax
from skmax._softmax import normalize_in_place


# As printed by tutorials, with two to four digits; some cut the last one where others round it.
@pytest.mark.parametrize(
    ("logits", "expected", "digits"),
    [
        ((2, 3, 4), (0.0900, 0.2447, 0.6652), 4),
        ((3, 1, -3), (0.88, 0.12, 0.00), 2),
        ((1.5, 0.8, -0.2), (0.596, 0.296, 0.109), 3),
        # A tutorial that is often copied prints (0.665, 0.245, 0.090) here, which is softmax(2, 1, 0).
        ((2.0, 1.0, 0.5), (0.629, 0.231, 0.140), 3),
        ((2.0, 1.0, 0.0), (0.665, 0.245, 0.090), 3),
        ((0, 0, 0, 0), (0.25,) * 4, 16),
    ],
)
def test_softmax_known_values(logits, expected, digits):
    np.testing.assert_allclose(softmax(logits), expected, atol=10.0**-digits)
    np.testing.assert_allclose(np.exp(log_softmax(logits)), expected, atol=10.0**-digits)


def test_cross_entropy_known_gradient():
    loss, gradient = cross_entropy([2, 3, 4], 1)
    np.testing.assert_allclose(gradient, (0.0900, -0.7553, 0.6652), atol=5e-5)
    assert loss == pytest.approx(-np.log(0.2447), abs=2e-4)  # of a probability with four digits


def test_labels_are_one_hot_distributions():
    logits = np.random.default_rng(0).normal(size=(5, 4))
    labels = np.array([0, 3, 1, 1, 2])
    for by_label, by_distribution in zip(
        cross_entropy(logits, labels), cross_entropy(logits, np.eye(4)[labels]), strict=True
    ):
        np.testing.assert_array_equal(by_label, by_distribution)


def test_gradient_is_the_derivative_of_the_loss():
    rng = np.random.default_rng(1)
    logits, target = rng.normal(size=(6, 3)), rng.dirichlet(np.ones(3), size=6)
    gradient = cross_entropy(logits, target)[1]
    step = 1e-6  # central differences: error of order step^2 + eps / step, about 1e-10
    for k in range(3):
        shift = step * np.eye(3)[k]
        difference = (cross_entropy(logits + shift, target)[0] - cross_entropy(logits - shift, target)[0]) / (2 * step)
        np.testing.assert_allclose(gradient[:, k], difference, atol=1e-8)


@pytest.mark.parametrize("extreme", [1e4, -1e4])
def test_extreme_logits_stay_finite(extreme):
    logits = np.array([0.0, extreme, 1.0])
    loss, gradient = cross_entropy(logits, 0)
    for value in (softmax(logits), log_softmax(logits), loss, gradient):
        assert np.isfinite(value).all()
    assert loss == pytest.approx(1e4 if extreme > 0 else np.log1p(np.e), rel=1e-12)


@pytest.mark.parametrize("constant", [1.0, -50.0, 1e6])
def test_adding_a_constant_changes_nothing(constant):
    logits = np.random.default_rng(2).normal(size=(4, 5))
    # Adding `constant` rounds the logits by eps times its size, and the results by a few times that.
    tolerance = 8 * np.finfo(float).eps * max(abs(constant), 1)
    np.testing.assert_allclose(softmax(logits + constant), softmax(logits), atol=tolerance)
    np.testing.assert_allclose(log_softmax(logits + constant), log_softmax(logits), atol=tolerance)


def test_an_impossible_class_costs_nothing_where_its_target_is_zero():
    loss, gradient = cross_entropy([0.0, 0.0, -np.inf], [0.5, 0.5, 0.0])
    assert loss == pytest.approx(np.log(2))
    np.testing.assert_allclose(gradient, 0)


def test_dtypes():
    assert softmax(np.zeros(3, np.float32)).dtype == np.float32
    assert softmax([1, 2]).dtype == np.float64
    assert cross_entropy(np.zeros((2, 3), np.float32), [0, 1])[1].dtype == np.float32


@pytest.mark.parametrize("n_logits", [1, 2, 5])
@pytest.mark.parametrize("scale", [1.0, 20.0, 1e4])
def test_the_in_place_kernel_equals_the_plain_functions(n_logits, scale):
    logits = np.random.default_rng(3).normal(scale=scale, size=(n_logits, 50))
    full = np.vstack([np.zeros(50), logits]) if n_logits == 1 else logits
    probability = logits.copy()
    log_partition = normalize_in_place(probability)
    np.testing.assert_allclose(probability, softmax(full.T).T[-n_logits:], rtol=1e-13)
    # log_softmax = z - log-partition, which rounds as numbers of a few times the scale do
    np.testing.assert_allclose(full - log_partition, log_softmax(full.T).T, atol=20 * np.finfo(float).eps * scale)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: softmax(["a", "b"]), TypeError, "raw_prediction must be an array of real numbers; got dtype <U1"),
        (lambda: softmax([1j]), TypeError, "raw_prediction.*complex"),
        (lambda: softmax(3.0), ValueError, r"raw_prediction must have at least one class.*got shape \(\)"),
        (lambda: softmax(np.zeros((2, 0))), ValueError, r"raw_prediction.*got shape \(2, 0\)"),
        (lambda: cross_entropy([1, 2, 3], 3), ValueError, r"target must hold class indices in 0\.\.2; got 3"),
        (lambda: cross_entropy([1, 2, 3], -1), ValueError, r"target.*got -1"),
        (lambda: cross_entropy([1, 2, 3], 1.0), TypeError, "target.*integer class indices; got dtype float64"),
        (lambda: cross_entropy([1, 2, 3], [0, 1]), ValueError, r"target must have shape \(\).*got shape \(2,\)"),
        (lambda: cross_entropy([1, 2], [0.5, 0.4]), ValueError, "row of target must sum to 1.*row 0 sums to 0.9"),
        (lambda: cross_entropy([1, 2], [1.5, -0.5]), ValueError, "target must be non-negative.*got -0.5"),
        (lambda: cross_entropy([1, 2], [np.nan, 1]), ValueError, "target must be non-negative.*got nan"),
        (lambda: cross_entropy([1, 2], ["a", "b"]), TypeError, "target must hold real numbers"),
    ],
)
def test_errors_name_the_argument_the_rule_and_the_value(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("n_classes", [3, 40])
def test_large_tables_keep_their_digits_with_and_without_the_shift(dtype, n_classes):
    """Rows at, within and beyond the largest logit for which a large table is not shifted."""
    rng = np.random.default_rng(n_classes)
    for size in (0.1, 10.0, 59.0, 61.0, 95.0, 599.0, 601.0, 750.0, 1e4):
        for sign in (-1, 1):
            logits = (sign * size + 5 * rng.normal(size=(n_classes, 6000))).astype(dtype)
            logits[0, ::7] -= 2000  # far below the others of its row, to 0
            table = logits.copy()
            log_partition = normalize_in_place(table)
            exact = logits.astype(np.float64)
            few = 8 * np.finfo(dtype).eps  # the rounding of a few operations
            np.testing.assert_allclose(log_partition, special.logsumexp(exact, axis=0), rtol=few, atol=few)
            rtol = 40 * np.finfo(dtype).eps  # and of differences of logits, up to some 40
            np.testing.assert_allclose(table, special.softmax(exact, axis=0), rtol=rtol, atol=np.finfo(dtype).tiny)
            assert table.max() <= 1
