"""Encoding of labels, distributions and weights."""

import numpy as np
import pytest

from skmax._target import check_sample_weight, encode_target


def encode(y, *, classes=None, class_weight=None, sample_weight=None):
    weight = None if sample_weight is None else np.asarray(sample_weight, dtype=float)
    return encode_target(np.asarray(y), classes=classes, class_weight=class_weight, sample_weight=weight)


def test_labels_become_indices_of_sorted_classes():
    target = encode(["b", "a", "c", "b"])
    assert target.encoding.classes.tolist() == ["a", "b", "c"]
    assert target.values.tolist() == [1, 0, 2, 1]
    np.testing.assert_allclose(target.encoding.frequency, [0.25, 0.5, 0.25])
    assert target.encoding.weight_sum == 4
    assert target.sample_weight is None


def test_classes_are_sorted_and_absent_ones_left_out_of_the_values():
    target = encode(["d", "b", "b"], classes=["d", "c", "b", "a"])
    assert target.encoding.classes.tolist() == ["a", "b", "c", "d"]
    assert target.encoding.present.tolist() == [False, True, False, True]
    assert target.values.tolist() == [1, 0, 0]
    np.testing.assert_allclose(target.encoding.frequency, [2 / 3, 1 / 3])


def test_a_class_of_zero_weight_stays_in_classes():
    target = encode([0, 1, 2, 2], sample_weight=[1, 0, 1, 1])
    assert target.encoding.classes.tolist() == [0, 1, 2]
    assert target.encoding.present.tolist() == [True, False, True]
    assert target.values[[0, 2, 3]].tolist() == [0, 1, 1]


@pytest.mark.parametrize(
    ("y", "options"),
    [
        ([0, 1, 2, 2], {"sample_weight": [0, 2, 0, 0]}),
        ([1, 1], {"classes": [0, 1, 2]}),
        ([[0, 1, 0], [0, 1, 0]], {}),
        ([[0.5, 0.5, 0], [1, 0, 0]], {"class_weight": {0: 0, 1: 4}}),
    ],
)
def test_one_class_may_have_all_of_the_weight(y, options):
    target = encode(y, **options)
    assert target.encoding.classes.tolist() == [0, 1, 2]
    assert target.encoding.present.tolist() == [False, True, False]
    assert target.encoding.frequency.tolist() == [1]
    assert target.encoding.weight_sum == 2


@pytest.mark.parametrize("dtype", [int, bool, float])
def test_one_hot_rows_become_indices(dtype):
    target = encode(np.eye(3, dtype=dtype)[[2, 0, 2]], classes=["a", "b", "c"])
    assert target.values.tolist() == [1, 0, 1]
    assert target.encoding.present.tolist() == [True, False, True]


def test_distributions_keep_their_columns():
    Y = np.array([[0.2, 0.8, 0.0], [1, 0, 0]])
    target = encode(Y, sample_weight=[1, 3])
    assert target.encoding.classes.tolist() == [0, 1, 2]
    assert target.encoding.present.tolist() == [True, True, False]
    np.testing.assert_array_equal(target.values, Y[:, :2])
    np.testing.assert_allclose(target.encoding.frequency, [0.8, 0.2])


def test_balanced_gives_all_classes_the_same_weight_and_keeps_the_sum():
    target = encode([0, 1, 1, 1, 2, 2], class_weight="balanced", sample_weight=[1, 1, 1, 2, 1, 3])
    np.testing.assert_allclose(target.encoding.frequency, 1 / 3)
    assert target.encoding.weight_sum == pytest.approx(9)
    # In units of 16, the power of two above their sum.
    np.testing.assert_allclose(16 * target.sample_weight, [3, 0.75, 0.75, 1.5, 0.75, 2.25])


@pytest.mark.parametrize("class_weight", ["balanced", {0: 2.0, 2: 0.5}, {1: 0}])
def test_class_weights_of_a_distribution_are_those_of_its_replicated_row(class_weight):
    """Row i with y_i is the same as one row for each class k, of label k and weight y_ik."""
    rng = np.random.default_rng(0)
    Y, weight = rng.dirichlet(np.ones(3), size=7), rng.uniform(1, 2, size=7)
    soft = encode(Y, class_weight=class_weight, sample_weight=weight)
    hard = encode(np.tile([0, 1, 2], 7), class_weight=class_weight, sample_weight=(weight[:, None] * Y).ravel())
    np.testing.assert_allclose(soft.encoding.frequency, hard.encoding.frequency)
    assert soft.encoding.weight_sum == pytest.approx(hard.encoding.weight_sum)
    mass = np.zeros((7, 3))
    mass[:, soft.encoding.present] = soft.values * soft.sample_weight[:, None]
    np.testing.assert_allclose(mass.ravel(), hard.sample_weight, atol=1e-15)


def test_a_row_left_without_weight_counts_for_nothing():
    target = encode([[1.0, 0, 0], [0, 0.5, 0.5]], class_weight={0: 0})
    np.testing.assert_allclose(2 * target.sample_weight, [0, 1])
    assert np.isfinite(target.values).all()


@pytest.mark.parametrize(
    "weight", [None, 2.0, np.array(2.0), [1, 2, 0], np.array([1, 2, 0], dtype=np.float32), (True, False, True)]
)
def test_sample_weights_become_float64(weight):
    result = check_sample_weight(weight, 3)
    assert result is None if weight is None else (result.dtype == np.float64 and result.shape == (3,))


@pytest.mark.parametrize(
    ("y", "options", "error", "message"),
    [
        ([1, 1, 1], {}, ValueError, "y must hold at least 2 classes, or classes= name them; got one class, 1"),
        ([0, 1], {"class_weight": {0: 0, 1: 0}}, ValueError, "y must hold a class with positive weight; got none"),
        ([0, 1, 5, 7], {"classes": [0, 1]}, ValueError, "only labels in classes; got 2 other: 5, 7"),
        (list(range(30)) * 3, {"classes": [0, 1]}, ValueError, r"got 28 other: 2, 3, .*11, \.\.\."),
        ([0, 1], {"classes": [0, 1, 1]}, ValueError, r"classes must be at least 2 different.*got \[0, 1, 1\]"),
        ([0, 1], {"classes": [0]}, ValueError, r"classes must be at least 2 different.*got \[0\]"),
        ([0, 1], {"classes": [[0, 1]]}, ValueError, r"classes must be one-dimensional; got shape \(1, 2\)"),
        ([0.0, 1.0], {"classes": [0, np.nan]}, ValueError, "classes contains NaN"),
        ([0.5, 1.7, 0.1], {}, ValueError, "Unknown label type: continuous"),
        (np.array(["a", 1], dtype=object), {}, TypeError, "y must hold labels that can be sorted, of one type"),
        ([0, 1], {"class_weight": {2: 1}}, ValueError, "class_weight must have labels in y or classes.*got 2"),
        ([0, 1], {"class_weight": {0: -1}}, ValueError, "class_weight must be non-negative.*got -1 for class 0"),
        ([0, 1], {"class_weight": {0: np.inf}}, ValueError, "class_weight.*finite numbers; got inf"),
        ([0, 1], {"class_weight": {0: "x"}}, ValueError, "class_weight.*got 'x' for class 0"),
        ([0, 1], {"class_weight": {0: None}}, ValueError, "class_weight must be non-negative.*got None for class 0"),
        ([0, 1], {"class_weight": {0: 1 + 0j}}, ValueError, r"class_weight.*finite numbers; got \(1\+0j\) for class 0"),
        ([0, 1], {"class_weight": {0: [1]}}, ValueError, r"class_weight must be.*got \[1\] for class 0"),
        ([0, 1], {"class_weight": {0: np.ones(2)}}, ValueError, "class_weight must be.*got array.* for class 0"),
        ([0, 1], {"class_weight": {0: 10**400}}, ValueError, "class_weight must be.*got 1000.* for class 0"),
        (
            [0, 0, 1],
            {"class_weight": {0: 1e308}},
            ValueError,
            r"class_weight must leave a finite sum.*got \{0: 1e\+308\}",
        ),
        ([0, 1], {"classes": []}, ValueError, r"classes must be at least 2 different labels of one type; got \[\]"),
        ([0, 1], {"classes": [0, 1, None]}, TypeError, r"classes must be.*of one type; got \[0, 1, None\]"),
        ([0, 1], {"classes": [0, 1, "a"]}, TypeError, r"classes must be labels of one type; got \[0, 1, 'a'\]"),
        ([0, 1], {"classes": [0, [1, 2]]}, ValueError, r"classes must be.*of one type; got \[0, \[1, 2\]\]"),
        (np.array([0, np.nan], dtype=object), {}, ValueError, "y must be labels.*: "),
        (np.array([0, None], dtype=object), {}, ValueError, "y must be labels.*: Unknown label type"),
        ([[1, 1, 0], [0, 1, 0]], {}, ValueError, "row of y must sum to 1.*row 0 sums to 2.*OneVsRestClassifier"),
        ([[2.0, 1.0], [0.5, 0.5]], {}, ValueError, "divide each row by its sum and pass the sums as sample_weight"),
        ([[1.5, -0.5], [0.5, 0.5]], {}, ValueError, "y must be non-negative.*got -0.5"),
        ([[1, 0], [0, 1]], {"classes": [0, 1, 2]}, ValueError, "classes must name each column.*2 columns; got 3"),
        ([[1, 0], [0, 1]], {"classes": ["b", "a"]}, ValueError, r"classes must be sorted.*got \['b', 'a'\].*argsort"),
        ([["a", "b"], ["b", "a"]], {}, TypeError, "y must hold real numbers"),
        (np.array([["a", "b"]], dtype=object), {}, ValueError, "y must be labels.*could not convert"),
    ],
)
def test_errors(y, options, error, message):
    with pytest.raises(error, match=message):
        encode(y, **options)


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        ([1, -2, 1], "sample_weight must be non-negative; got -2 at position 1"),
        ([0, 0, 0], "sample_weight must have a finite sum above zero; got 0"),
        ([1e308, 1e308, 1], "sample_weight must have a finite sum above zero; got inf"),
        ([1, 1], r"sample_weight must be 1D, one number for each of the 3 samples; got shape \(2,\)"),
        ([[1, 1, 1]], r"sample_weight must be 1D.*got shape \(1, 3\)"),
        ([1, np.nan, 1], "sample_weight contains NaN"),
        ([1, np.inf, 1], "sample_weight contains infinity"),
        (["a", "b", "c"], "sample_weight must be finite numbers.*could not convert string to float"),
        ([b"a", b"b", b"c"], "sample_weight must be finite numbers.*could not convert string to float"),
        ("abc", "sample_weight must be finite numbers.*one for each row of X, or one for all"),
        ([1, [1, 2], 3], "sample_weight must be finite numbers.*sequence"),
        ([{}, {}, {}], "sample_weight must be finite numbers.*not 'dict'"),
        ([1j, 1, 1], "sample_weight must be finite numbers"),
        (1j, "sample_weight must be finite numbers.*not 'complex'"),
        ([10**400, 1, 1], "sample_weight must be finite numbers.*too large"),
        ([], "sample_weight must be finite numbers.*0 sample"),
        ([1, None, 1], "sample_weight contains NaN"),
    ],
)
def test_sample_weight_errors(weight, message):
    with pytest.raises((ValueError, TypeError), match=message):
        check_sample_weight(weight, 3)
