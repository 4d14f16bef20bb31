"""Marginal effects: against statsmodels, Stata's tables, and derivatives by finite differences."""

import numpy as np
import pytest
from plain_inference import plain, random_problem
from scipy import sparse
from scipy.special import softmax
from sklearn.datasets import load_iris
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmax import SoftmaxRegression
from skmax.inference import average_marginal_effects, marginal_effects

pd = pytest.importorskip("pandas")
TIGHT = {"tol": 1e-13}


def shaped(table, n_classes, column):
    return table[column].to_numpy().reshape(n_classes, -1)


def by_differences(p, function):
    """The value and the standard errors of `function(probability of rows, table of all classes)` of the parameters."""
    n_logits, size = p.table.shape
    n_classes = p.target.shape[1]

    def value(table):
        every = table if n_logits == n_classes else np.vstack([np.zeros((1, size)), table])
        return function(lambda rows: softmax(rows @ every.T, axis=1), every)

    gradient = []
    for k in range(n_logits):
        for j in range(size):
            step = np.zeros_like(p.table)
            step[k, j] = 1e-6 * max(1.0, abs(p.table[k, j]))
            gradient.append((value(p.table + step) - value(p.table - step)) / (2 * step[k, j]))
    gradient = np.array(gradient)
    return value(p.table), np.sqrt(np.einsum("r...,rs,s...->...", gradient, p.inverse, gradient))


@pytest.mark.parametrize("weight_decay", [0, 0.02])
@pytest.mark.parametrize("fit_intercept", [False, True])
@pytest.mark.parametrize("n_classes", [2, 3, 4])
def test_slopes_and_contrasts_against_finite_differences(n_classes, fit_intercept, weight_decay):
    X, y, weight = random_problem(1, n_classes=n_classes)
    X[:, 2] = X[:, 2] > X[:, 2].mean()
    model = SoftmaxRegression(weight_decay, fit_intercept=fit_intercept, **TIGHT).fit(X, y, weight)
    p = plain(model, X, y, weight, weight_decay)
    share = weight / weight.sum()

    def effects(probability, table):
        at = probability(p.rows)
        slopes = [share @ (at * (table[:, j] - at @ table[:, j : j + 1])) for j in range(2)]
        low, high = p.rows.copy(), p.rows.copy()
        low[:, 2], high[:, 2] = 0, 1
        return np.array([*slopes, share @ (probability(high) - probability(low))]).T

    expected, error = by_differences(p, effects)
    for layout in (X, sparse.csr_array(X)):
        table = average_marginal_effects(model, layout, y, weight)
        assert table.index.get_level_values("contrast")[:3].tolist() == ["slope", "slope", "1 - 0"]
        np.testing.assert_allclose(shaped(table, n_classes, "effect"), expected, rtol=1e-7, atol=1e-10)
        name = table.columns[1]
        assert name == ("std_error" if weight_decay == 0 else "posterior_standard_deviation")
        np.testing.assert_allclose(shaped(table, n_classes, name), error, rtol=1e-5)
        np.testing.assert_allclose(shaped(table, n_classes, "effect").sum(axis=0), 0, atol=1e-14)


def test_points_and_contrasts_of_several_columns():
    X, y, _ = random_problem(2)
    X[:, 1:] = np.eye(3)[np.arange(len(X)) % 3][:, 1:]
    frame = pd.DataFrame(X, columns=["age", "lake2", "lake3"])
    model = SoftmaxRegression(0, **TIGHT).fit(frame, y)
    p = plain(model, X, y)
    lake = {"lake": ({"lake2": 0, "lake3": 0}, {"lake2": 1, "lake3": 0}), "age": (-1, 2)}

    def at(base):
        def effects(probability, table):
            low, high = base.copy(), base.copy()
            low[:, 1:3], high[:, 1:3] = [0, 0], [1, 0]
            young, old = base.copy(), base.copy()
            young[:, 0], old[:, 0] = -1, 2
            return np.array([(probability(b) - probability(a)).mean(axis=0) for a, b in [(young, old), (low, high)]]).T

        return by_differences(p, effects)

    expected, error = at(p.rows)
    table = average_marginal_effects(model, frame, y, contrasts=lake)
    assert table.index.get_level_values("feature")[:2].tolist() == ["age", "lake"]
    assert table.index.get_level_values("contrast")[:2].tolist() == ["2 - -1", "after - before"]
    np.testing.assert_allclose(shaped(table, 3, "effect"), expected, rtol=1e-8)
    np.testing.assert_allclose(shaped(table, 3, "std_error"), error, rtol=1e-6)

    expected, error = at(p.rows.mean(axis=0, keepdims=True))
    table = marginal_effects(model, frame, y, contrasts=lake)
    np.testing.assert_allclose(shaped(table, 3, "effect"), expected, rtol=1e-8)
    np.testing.assert_allclose(shaped(table, 3, "std_error"), error, rtol=1e-6)

    points = frame.iloc[[3, 50]]
    table = marginal_effects(model, frame, y, at=points, contrasts=lake)
    assert table.index.names == ["row", "class", "feature", "contrast"]
    for i, row in enumerate([3, 50]):
        expected, error = at(p.rows[[row]])
        np.testing.assert_allclose(shaped(table.loc[i], 3, "effect"), expected, rtol=1e-8)
        np.testing.assert_allclose(shaped(table.loc[i], 3, "std_error"), error, rtol=1e-6)
    mixed = marginal_effects(model, frame, y, at={"age": X[3, 0], "lake2": X[3, 1], 2: X[3, 2]}, contrasts=lake)
    np.testing.assert_allclose(mixed, table.loc[0], rtol=1e-10)
    only = average_marginal_effects(model, frame, y, features=["lake", "lake3"], contrasts=lake)
    assert only.index.get_level_values("feature")[:2].tolist() == ["lake3", "lake"]


@pytest.mark.parametrize("kind", ["model", "sandwich", "cluster"])
def test_statsmodels_logit(kind):
    sm = pytest.importorskip("statsmodels.api")
    X, y, _ = random_problem(3, n_classes=2, n_samples=400)
    X[:, 1] = X[:, 1] > X[:, 1].mean()
    groups = np.random.default_rng(0).integers(0, 30, size=400)
    options = {
        "model": {},
        "sandwich": {"cov_type": "HC0"},
        "cluster": {"cov_type": "cluster", "cov_kwds": {"groups": groups}},
    }[kind]
    result = sm.Logit(y, sm.add_constant(X)).fit(disp=False, tol=1e-12, **options)
    model = SoftmaxRegression(0, **TIGHT).fit(X, y)
    ours = {"kind": kind, "groups": groups if kind == "cluster" else None}
    for at, function in [("overall", average_marginal_effects), ("mean", marginal_effects)]:
        theirs = result.get_margeff(at=at, dummy=True)
        table = function(model, X, y, **ours).loc[1]
        np.testing.assert_allclose(table["effect"], theirs.margeff, rtol=1e-6)
        np.testing.assert_allclose(table["std_error"], theirs.margeff_se, rtol=1e-6)
        np.testing.assert_allclose(table["p_value"], theirs.pvalues, rtol=1e-5)


@pytest.mark.parametrize("at", ["overall", "mean"])
def test_statas_table_for_anes96(load, at):
    """To the digits that Stata printed, which statsmodels' own tests keep."""
    results = pytest.importorskip("statsmodels.discrete.tests.results.results_discrete").Anes.mnlogit_basezero
    X, y, _ = load("coef_anes96")
    model = SoftmaxRegression(0, **TIGHT).fit(X, y)
    function = average_marginal_effects if at == "overall" else marginal_effects
    table = function(model, X, y)
    effect, error = getattr(results, f"margeff_dydx_{at}"), getattr(results, f"margeff_dydx_{at}_se")
    np.testing.assert_allclose(shaped(table, 7, "effect").T, effect, atol=2e-6)
    np.testing.assert_allclose(shaped(table, 7, "std_error").T, error, atol=2e-6)


def test_effects_per_unit_follow_the_scale_of_the_columns():
    X, y, _ = random_problem(4)
    scales, offsets = np.array([1e4, 1e-3, 1.0]), np.array([1e6, 3.0, -2.0])
    ours = average_marginal_effects(SoftmaxRegression(0, **TIGHT).fit(X, y), X, y)
    other = X * scales + offsets
    theirs = average_marginal_effects(SoftmaxRegression(0, **TIGHT).fit(other, y), other, y)
    for column in ("effect", "std_error"):
        np.testing.assert_allclose(shaped(theirs, 3, column) * scales, shaped(ours, 3, column), rtol=1e-6)
    np.testing.assert_allclose(theirs["z"], ours["z"], rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_binary_columns_beside_an_origin(dtype):
    """A column that is nearly always 1 lies far from zero in float32, so that the fit works from an origin."""
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.normal(size=4000), rng.random(4000) > 0.0005, 1e6 + rng.normal(size=4000)])
    X = X.astype(dtype)
    y = rng.integers(0, 3, size=4000)
    model = SoftmaxRegression(0.01, tol=1e-8).fit(X, y)
    table = average_marginal_effects(model, X, y)
    assert table.index.get_level_values("contrast")[:3].tolist() == ["slope", "1 - 0", "slope"]
    low, high = X.copy(), X.copy()
    low[:, 1], high[:, 1] = 0, 1
    expected = (model.predict_proba(high) - model.predict_proba(low)).mean(axis=0)
    np.testing.assert_allclose(shaped(table, 3, "effect")[:, 1], expected, atol=1e-5)


def test_a_pipeline_has_effects_per_unit_of_what_its_last_step_sees():
    X, y = load_iris(return_X_y=True, as_frame=True)
    pipeline = make_pipeline(StandardScaler(), SoftmaxRegression(0.01, **TIGHT)).fit(X, y)
    table = average_marginal_effects(pipeline, X, y, features=["petal width (cm)"])
    step = 1e-5 * pipeline[0].scale_[3]
    up, down = X.copy(), X.copy()
    up.iloc[:, 3] += step
    down.iloc[:, 3] -= step
    slope = (pipeline.predict_proba(up) - pipeline.predict_proba(down)).mean(axis=0) / 2e-5
    np.testing.assert_allclose(table["effect"], slope, rtol=1e-6)
    at = marginal_effects(pipeline, X, y, at=X.iloc[:2], features=["petal width (cm)"])
    assert at.shape == (6, 4)


def test_a_class_without_weight_has_no_effects():
    X, y, _ = random_problem(5)
    model = SoftmaxRegression(0.01, classes=[0, 1, 2, 9], **TIGHT).fit(X, y)
    table = average_marginal_effects(model, X, y)
    assert table.index.get_level_values("class").unique().tolist() == [0, 1, 2]
    expected = average_marginal_effects(SoftmaxRegression(0.01, **TIGHT).fit(X, y), X, y)
    np.testing.assert_allclose(table, expected, rtol=1e-6)


def test_errors():
    X, y, _ = random_problem(6)
    model = SoftmaxRegression(0.01).fit(X, y)
    for contrasts, message in [
        ("dummies", "contrasts must be 'binary', None, or a mapping"),
        ({0: 1}, r"contrasts must have \(before, after\) for 0"),
        ({0: (0, "a")}, "two numbers, or two mappings"),
        ({"x9": (0, 1)}, "A feature must be one of the names .*; got 'x9'"),
        ({"lake": ({0: 1}, {1: 1})}, "must set the same features before and after, for 'lake'"),
    ]:
        with pytest.raises(ValueError, match=message):
            average_marginal_effects(model, X, y, contrasts=contrasts)
    with pytest.raises(ValueError, match=r"A feature must be one of the names .* or an index; got 3"):
        average_marginal_effects(model, X, y, features=[3])
    with pytest.raises(ValueError, match="features must be one or more features"):
        average_marginal_effects(model, X, y, features=[])
    with pytest.raises(ValueError, match="at must be 'mean', a mapping"):
        marginal_effects(model, X, y, at="median")
    with pytest.raises(ValueError, match="X has 2 features"):
        marginal_effects(model, X, y, at=X[:1, :2])
    with pytest.raises(ValueError, match="level must be"):
        marginal_effects(model, X, y, level=2)
