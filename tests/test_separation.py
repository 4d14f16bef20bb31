import numpy as np
import pytest
from problems import objective_of
from sklearn.exceptions import ConvergenceWarning

from skmax import SoftmaxRegression
from skmax._columns import ColumnStats
from skmax._separation import separation


def problem(X, y, weight=None, **options):
    y = np.asarray(y)
    n_classes = y.max() + 1 if y.ndim == 1 else y.shape[1]
    objective = objective_of(
        X,
        y,
        weight,
        n_classes=n_classes,
        n_logits=1 if n_classes == 2 else n_classes,
        weight_decay=0.0,
        **{"fit_intercept": True} | options,
    )
    return objective, ColumnStats.of(objective.samples, centred=objective.fit_intercept)


def margins(objective, X, step):
    """z_iy - z_ik of all rows and classes."""
    coef, intercept = objective.split(step)
    logits = X @ coef.T + intercept
    if logits.shape[1] == 1:
        logits = np.column_stack([np.zeros(len(X)), logits])
    return np.take_along_axis(logits, objective.samples.target[:, None], axis=1) - logits


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("n_classes", [2, 4])
def test_separable_classes_are_separated_with_a_margin_of_1(seed, fit_intercept, n_classes):
    r = np.random.default_rng(seed)
    X = r.normal(size=(60, 5)) * np.exp(4 * r.normal(size=5))
    y = (X @ r.normal(size=(5, n_classes))).argmax(axis=1)
    y = np.unique(y, return_inverse=True)[1]
    objective, columns = problem(X, y, fit_intercept=fit_intercept)
    found = separation(objective, columns)
    assert found.complete
    others = np.arange(objective.n_classes) != y[:, None]
    assert margins(objective, X, found.step)[others].min() == pytest.approx(1, rel=1e-6)


def test_classes_that_overlap_are_not_separated():
    r = np.random.default_rng(0)
    X = r.normal(size=(200, 2))
    assert separation(*problem(X, r.integers(3, size=200))) is None


def test_one_class_of_three_is_separated_from_the_others_that_overlap():
    r = np.random.default_rng(1)
    X = r.normal(size=(90, 2))
    y = r.integers(2, size=90)
    X[:30, 0] += 100
    y[:30] = 2
    objective, columns = problem(X, y)
    found = separation(objective, columns)
    assert not found.complete
    assert objective.recession(found.step).is_one()
    ahead = margins(objective, X, found.step)
    assert ahead[:30, :2].min() >= 1 - 1e-6
    np.testing.assert_allclose(ahead[30:, :2], 0, atol=1e-6)  # the linear programme's tolerance is 1e-7


def test_rows_without_weight_do_not_count():
    X, y = np.array([[0.0], [1.0], [2.0], [3.0]]), np.array([0, 1, 0, 1])
    assert separation(*problem(X, y, np.ones(4))) is None
    assert separation(*problem(X, y, np.array([1.0, 0.0, 0.0, 1.0]))).complete


def test_a_row_spread_over_two_classes_holds_them_together():
    X = np.array([[0.0], [1.0], [2.0]])
    y = np.array([[1, 0, 0], [0.5, 0.5, 0], [0, 0, 1]])
    objective, columns = problem(X, y)
    found = separation(objective, columns)
    assert not found.complete
    coef, intercept = objective.split(found.step)
    logits = X @ coef.T + intercept
    assert logits[1, 0] == pytest.approx(logits[1, 1], abs=1e-6)
    assert logits[1, 0] > logits[1, 2]


def test_weights_over_many_decades_do_not_hide_separation():
    """The loss is below `tol` long before rows of next to no weight are right."""
    r = np.random.default_rng(3)
    X = r.normal(size=(40, 3))
    y = (X @ [1.0, -2.0, 0.5] > 0.2).astype(int)
    weight = 10.0 ** r.uniform(-12, 0, size=40)
    with pytest.warns(ConvergenceWarning, match="separates the classes without error"):
        model = SoftmaxRegression(0.0).fit(X, y, weight)
    assert model.score(X, y) == 1
    assert model.objective_ <= 1e-6
    assert np.abs(model.coef_).max() < 1e6


def test_the_infimum_of_quasi_separated_classes_is_named_and_approached():
    """What is left is the fit of the others: the rows of class 2 add nothing, and no other row has any of it."""
    r = np.random.default_rng(4)
    x = r.normal(size=100)
    y = (x + r.logistic(size=100) > 0).astype(int)
    X = np.column_stack([x, x, np.zeros(100)])
    X[:10, 2], y[:10] = r.uniform(1, 1e4, size=10), 2
    with pytest.warns(ConvergenceWarning, match=r"Some rows of the classes \[2\] are separated"):
        model = SoftmaxRegression(0.0).fit(X, y)
    rest = SoftmaxRegression(0.0).fit(X[10:], y[10:])
    assert model.objective_ == pytest.approx(0.9 * rest.objective_, abs=2e-6)
