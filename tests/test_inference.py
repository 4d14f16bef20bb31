"""Covariances, standard errors and tables against dense matrices, statsmodels and published tables; the refusals."""

import builtins
import json
import warnings

import numpy as np
import pytest
from conftest import DATA
from plain_inference import plain, random_problem
from scipy import sparse, stats
from sklearn.datasets import load_breast_cancer, load_iris, load_wine
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

from skmax import SoftmaxRegression, SoftmaxRegressionCV
from skmax.inference import _fitted, coef_table, covariance_matrix, goodness_of_fit, std_errors

pd = pytest.importorskip("pandas")

TIGHT = {"tol": 1e-13}


def sandwich(p, groups=None):
    """(S H)^-1 [sum g g^T] (S H)^-1 of the scores g, or of their sums over groups with the correction."""
    if groups is None:
        return p.inverse @ p.scores.T @ p.scores @ p.inverse
    kept = p.s > 0
    labels = np.unique(groups[kept])
    sums = np.array([p.scores[kept & (groups == label)].sum(axis=0) for label in labels])
    n_groups, n, n_logits = len(labels), kept.sum(), len(p.table)
    correction = n_groups / (n_groups - 1) * (n - 1) / (n - p.effective_df / max(1, n_logits - 1))
    return correction * p.inverse @ sums.T @ sums @ p.inverse


def assert_covariance(actual, expected, rtol=1e-8):
    """Equal in units of the standard errors: entries that should be 0 have no relative precision."""
    error = np.sqrt(np.diag(expected))
    np.testing.assert_allclose(actual / np.outer(error, error), expected / np.outer(error, error), atol=rtol)


@pytest.mark.parametrize("kind", ["model", "sandwich", "cluster"])
@pytest.mark.parametrize("weight_decay", [0, 0.02])
@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("fit_intercept", [False, True])
@pytest.mark.parametrize("n_classes", [2, 3, 5])
def test_the_covariance_is_that_of_dense_matrices(n_classes, fit_intercept, weighted, soft, weight_decay, kind):
    X, y, weight = random_problem(1, n_classes=n_classes, soft=soft, scales=(1.0, 30.0, 0.01))
    weight = weight if weighted else None
    model = SoftmaxRegression(weight_decay, fit_intercept=fit_intercept, **TIGHT).fit(X, y, weight)
    p = plain(model, X, y, weight, weight_decay)
    groups = np.arange(len(X)) // 7 if kind == "cluster" else None
    expected = p.inverse if kind == "model" else sandwich(p, groups)
    for layout in (X, sparse.csr_array(X)):
        actual = covariance_matrix(model, layout, y, weight, kind=kind, groups=groups)
        assert_covariance(actual, expected)
    errors = std_errors(model, X, y, weight, kind=kind, groups=groups)
    assert errors.shape == p.table.shape
    np.testing.assert_allclose(errors.ravel(), np.sqrt(np.diag(actual)), rtol=1e-10)


def test_hostile_problems_against_dense_matrices():
    """Scales over 12 decades, columns far from zero, weights of any size, in all kinds."""
    n_checked = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        n_classes, n_features = int(rng.integers(2, 6)), int(rng.integers(1, 4))
        soft, weighted = bool(rng.random() < 0.3), bool(rng.random() < 0.5)
        X, y, weight = random_problem(seed, n_classes=n_classes, n_features=n_features, soft=soft, n_samples=200)
        if not soft and len(np.unique(y)) < n_classes:
            continue
        weight = weight * 10.0 ** rng.integers(-3, 4) if weighted else None
        X = (X + rng.normal(size=n_features) * rng.choice([0, 10, 1000])) * 10.0 ** rng.uniform(-6, 6, size=n_features)
        decay = float(rng.choice([0, 0.1]))
        model = SoftmaxRegression(decay, **TIGHT)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # that nothing makes the objective smaller than 1e-13
            model.fit(X, y, weight)
        kind = ["model", "sandwich", "cluster"][seed % 3]
        groups = rng.integers(0, 20, size=len(X)) if kind == "cluster" else None
        p = plain(model, X, y, weight, decay)
        expected = p.inverse if kind == "model" else sandwich(p, groups)
        actual = covariance_matrix(model, X, y, weight, kind=kind, groups=groups)
        # The reference loses digits to columns that are not standardized.
        np.testing.assert_allclose(np.diag(actual), np.diag(expected), rtol=1e-5)
        n_checked += 1
    assert n_checked > 50


PUBLISHED = {"anes96": 1e-9, "fishing": 5e-6, "hsbdemo": 4e-6, "alligators": 5e-3}


@pytest.fixture
def published(request, load):
    X, y, rest = load(f"coef_{request.param}")
    return (
        X,
        y,
        rest.get("sample_weight"),
        json.loads((DATA / "published_coefficients.json").read_text())[request.param],
    )


@pytest.mark.parametrize("published", PUBLISHED, indirect=True)
def test_standard_errors_are_those_of_published_tables_and_statsmodels(published, request):
    """To the digits printed: Stata's 8 for anes96, R mlogit's 5 for fishing, R nnet's 5 or so, Agresti's 2 decimals."""
    X, y, weight, source = published
    model = SoftmaxRegression(weight_decay=0, **TIGHT).fit(X, y, weight)
    table = coef_table(model, X, y, weight, reference=source["reference_class"])
    rows = [table.loc[label] for label in source["class_order"]]
    for column, name in [("coef", "coef"), ("std_error", "se")]:
        actual = np.array([np.r_[each[column].iloc[-1], each[column].iloc[:-1]] for each in rows])
        np.testing.assert_allclose(actual, source["refit_unpublished"][name], rtol=1e-6, atol=1e-12)
        atol = PUBLISHED[request.node.callspec.params["published"]]
        if column == "std_error":
            np.testing.assert_allclose(actual, source["published_se"], atol=atol)


@pytest.mark.parametrize("scales", [(1.0, 1.0, 1.0), (1e5, 1e-4, 1.0)])
def test_statsmodels_mnlogit(scales):
    sm = pytest.importorskip("statsmodels.api")
    X, y, _ = random_problem(3, n_classes=4, n_samples=400, scales=scales)
    model = SoftmaxRegression(weight_decay=0, **TIGHT).fit(X, y)
    result = sm.MNLogit(y, sm.add_constant(X / scales)).fit(disp=False, method="newton", maxiter=100)
    table = coef_table(model, X, y, reference=0)
    order = [1, 2, 3, 0]
    for ours, theirs in [("coef", result.params), ("std_error", result.bse), ("z", result.tvalues)]:
        theirs = theirs[order] / np.r_[scales, 1][:, None] if ours != "z" else theirs[order]
        np.testing.assert_allclose(table[ours].to_numpy().reshape(3, 4), theirs.T, rtol=1e-6)
    np.testing.assert_allclose(table["p_value"].to_numpy().reshape(3, 4), result.pvalues[order].T, rtol=1e-5)
    np.testing.assert_allclose(table["upper"] - table["lower"], 2 * 1.959963984540054 * table["std_error"])


@pytest.mark.parametrize("kind", ["model", "sandwich", "cluster"])
def test_statsmodels_logit_with_robust_errors(kind):
    """HC0 without a correction, and the default correction of clusters."""
    sm = pytest.importorskip("statsmodels.api")
    X, y, _ = random_problem(4, n_classes=2, n_samples=300)
    groups = np.random.default_rng(0).integers(0, 25, size=len(X))
    options = {
        "model": {},
        "sandwich": {"cov_type": "HC0"},
        "cluster": {"cov_type": "cluster", "cov_kwds": {"groups": groups}},
    }[kind]
    result = sm.Logit(y, sm.add_constant(X)).fit(disp=False, tol=1e-12, **options)
    model = SoftmaxRegression(weight_decay=0, **TIGHT).fit(X, y)
    names = np.array([f"g{group:03}" for group in groups])
    errors = std_errors(model, X, y, kind=kind, groups=names if kind == "cluster" else None)
    np.testing.assert_allclose(errors[0], result.bse[[1, 2, 3, 0]], rtol=1e-7)


@pytest.mark.parametrize("kind", ["model", "sandwich"])
def test_a_weight_of_two_is_two_rows_or_a_sampling_weight(kind):
    X, y, _ = random_problem(5)
    weight = np.random.default_rng(0).integers(0, 4, size=len(X))
    weighted = SoftmaxRegression(weight_decay=0, **TIGHT).fit(X, y, weight)
    twice = np.repeat(X, weight, axis=0), np.repeat(y, weight)
    if kind == "model":
        np.testing.assert_allclose(std_errors(weighted, X, y, weight), std_errors(weighted, *twice), rtol=1e-9)
    else:  # the scale of sampling weights is of no account; rows that are left out are clusters of no account
        errors = std_errors(weighted, X, y, weight, kind=kind)
        np.testing.assert_allclose(std_errors(weighted, X, y, 1e6 * weight, kind=kind), errors, rtol=1e-9)
        own = np.arange(len(X))
        kept = weight > 0
        np.testing.assert_allclose(
            std_errors(weighted, X, y, weight, kind="cluster", groups=own),
            std_errors(weighted, X[kept], y[kept], weight[kept], kind="cluster", groups=own[kept]),
            rtol=1e-9,
        )
        n = kept.sum()
        np.testing.assert_allclose(
            std_errors(weighted, X, y, weight, kind="cluster", groups=own),
            errors * np.sqrt(n / (n - 1) * (n - 1) / (n - 4)),
            rtol=1e-9,
        )


def test_clusters_in_several_passes(monkeypatch):
    X, y, weight = random_problem(6)
    model = SoftmaxRegression(weight_decay=0, **TIGHT).fit(X, y, weight)
    groups = np.random.default_rng(0).integers(0, 30, size=len(X))
    once = covariance_matrix(model, X, y, weight, kind="cluster", groups=groups)
    monkeypatch.setattr(_fitted, "_CLUSTER_NUMBERS", 30)
    np.testing.assert_allclose(covariance_matrix(model, X, y, weight, kind="cluster", groups=groups), once, rtol=1e-12)


def test_votes_as_distributions_with_their_number_as_weight_are_single_votes():
    rng = np.random.default_rng(0)
    X, votes = rng.normal(size=(80, 2)), rng.integers(1, 6, size=(80, 3))
    total = votes.sum(axis=1)
    model = SoftmaxRegression(weight_decay=0, **TIGHT).fit(X, votes / total[:, None], total)
    single = np.repeat(X, total, axis=0), np.concatenate([np.repeat([0, 1, 2], row) for row in votes])
    np.testing.assert_allclose(
        std_errors(model, X, votes / total[:, None], total), std_errors(model, *single), rtol=1e-9
    )
    # With the sandwich, all votes of a row are one observation, as they are in a cluster.
    n, n_groups = total.sum(), len(X)
    correction = n_groups / (n_groups - 1) * (n - 1) / (n - 3)
    clustered = std_errors(model, *single, kind="cluster", groups=np.repeat(np.arange(len(X)), total))
    robust = std_errors(model, X, votes / total[:, None], total, kind="sandwich")
    np.testing.assert_allclose(robust * np.sqrt(correction), clustered, rtol=1e-9)


def test_contrasts_do_not_depend_on_the_form():
    X, y, _ = random_problem(7, n_classes=4)
    labels = np.array(["a", "b", "c", "d"])[y]
    model = SoftmaxRegression(weight_decay=0.01, **TIGHT).fit(X, labels)
    whole = covariance_matrix(model, X, labels)
    table = whole.reshape(4, 4, 4, 4)
    np.testing.assert_allclose(table.sum(axis=0), 0, atol=1e-12 * whole.max())  # rows that sum to zero
    for place, label in enumerate("abcd"):
        others = [k for k in range(4) if k != place]
        contrast = np.kron(np.delete(np.eye(4), place, axis=0) - np.eye(4)[place], np.eye(4))
        np.testing.assert_allclose(
            covariance_matrix(model, X, labels, reference=label), contrast @ whole @ contrast.T, rtol=1e-8, atol=1e-12
        )
        against = coef_table(model, X, labels, reference=label)
        assert against.index.get_level_values("class").unique().tolist() == [list("abcd")[k] for k in others]
        np.testing.assert_allclose(
            against["coef"].to_numpy().reshape(3, 4)[:, :3], model.coef_[others] - model.coef_[place], rtol=1e-10
        )
    with pytest.raises(ValueError, match=r"reference must be a class with weight, one of \['a', .*; got 'e'"):
        coef_table(model, X, labels, reference="e")


def test_two_classes_have_one_logit_in_either_direction():
    X, y, _ = random_problem(8, n_classes=2)
    model = SoftmaxRegression(weight_decay=0, **TIGHT).fit(X, y)
    symmetric, first, second = (coef_table(model, X, y, reference=label) for label in (None, 0, 1))
    assert symmetric.equals(first)
    np.testing.assert_allclose(second["coef"], -first["coef"])
    np.testing.assert_allclose(second["std_error"], first["std_error"])
    assert second.index.get_level_values("class").unique().tolist() == [0]


@pytest.mark.parametrize("n_classes", [2, 3])
def test_a_class_without_weight_has_no_rows_in_the_table(n_classes):
    X, y, _ = random_problem(9, n_classes=n_classes)
    full = SoftmaxRegression(weight_decay=0.01, **TIGHT).fit(X, y)
    model = SoftmaxRegression(weight_decay=0.01, classes=[0, 1, 2, 3], **TIGHT).fit(X, y)
    table = coef_table(model, X, y)
    assert table.index.get_level_values("class").unique().tolist() == list(range(n_classes))
    if n_classes == 3:
        pd.testing.assert_frame_equal(table, coef_table(full, X, y), rtol=1e-6)
    else:  # two logits with a penalty on each are one with a penalty of half the strength
        half = SoftmaxRegression(weight_decay=0.005, **TIGHT).fit(X, y)
        difference = covariance_matrix(model, X, y, reference=0)
        np.testing.assert_allclose(difference, covariance_matrix(half, X, y), rtol=1e-6)


def test_the_table_under_a_penalty_has_posterior_standard_deviations_and_no_p_values():
    X, y = load_wine(return_X_y=True, as_frame=True)
    model = SoftmaxRegression().fit(X, y)
    table = coef_table(model, X, y, level=0.9)
    assert table.columns.tolist() == ["coef", "posterior_standard_deviation", "lower", "upper"]
    reach = stats.norm.ppf(0.95) * table["posterior_standard_deviation"]
    np.testing.assert_allclose(table["upper"], table["coef"] + reach)
    assert coef_table(model, X, y, kind="sandwich").columns.tolist() == ["coef", "std_error"]
    assert table.index.get_level_values("feature")[:13].tolist() == X.columns.tolist()
    assert table.index.get_level_values("feature")[13] == "intercept"


def test_without_data_a_posterior_standard_deviation_is_that_of_the_prior():
    """A constant column, of which the likelihood says nothing beside an intercept."""
    X, y, _ = random_problem(10, n_classes=3)
    X[:, 1] = 5.0
    model = SoftmaxRegression(weight_decay=0.1, **TIGHT).fit(X, y)
    errors = std_errors(model, X, y, reference=0)
    assert errors[0, 1] == pytest.approx(np.sqrt(2 / (0.1 * len(X))))  # of the difference of two independent ones


def test_a_negligible_penalty_leaves_p_values():
    X, y, _ = random_problem(11, n_samples=20_000)
    free, default = SoftmaxRegression(0, **TIGHT).fit(X, y), SoftmaxRegression(**TIGHT).fit(X, y)
    ours, theirs = coef_table(default, X, y), coef_table(free, X, y)
    assert ours.columns.tolist() == theirs.columns.tolist() == ["coef", "std_error", "z", "p_value", "lower", "upper"]
    shift = np.abs(ours["coef"] - theirs["coef"]) / theirs["std_error"]
    assert shift.max() < 0.1
    np.testing.assert_allclose(ours["std_error"], theirs["std_error"], rtol=0.01)
    stronger = SoftmaxRegression(weight_decay=0.001, **TIGHT).fit(X, y)
    assert "p_value" not in coef_table(stronger, X, y)


def test_the_rule_for_a_negligible_penalty_bounds_the_shift_and_the_width():
    """Along weight decays on both sides of the rule, it holds wherever a penalty counts as negligible."""
    X, y, _ = random_problem(12, n_samples=500)
    free = SoftmaxRegression(0, **TIGHT).fit(X, y)
    covariance = covariance_matrix(free, X, y)
    seen = set()
    for decay in np.geomspace(1e-7, 1e-2, 11):
        model = SoftmaxRegression(decay, **TIGHT).fit(X, y)
        negligible = "p_value" in coef_table(model, X, y)
        seen.add(negligible)
        if negligible:
            move = np.column_stack([model.coef_ - free.coef_, model.intercept_ - free.intercept_]).ravel()
            assert np.sqrt(move @ np.linalg.pinv(covariance, rcond=1e-10) @ move) < 0.11
            lost = np.linalg.eigvals(np.linalg.pinv(covariance, rcond=1e-10) @ covariance_matrix(model, X, y)).real
            assert np.sort(lost)[-8:].min() > 0.98  # 0.99 in the width
    assert seen == {True, False}


@pytest.mark.parametrize("strong", [False, True])
def test_a_penalty_is_not_negligible_if_it_only_moves_or_only_narrows(strong):
    """It moves a strong effect by many times the degrees of freedom that it takes, and no effects by fewer."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(5000, 1 if strong else 30))
    y = (rng.random(5000) < 1 / (1 + np.exp(-2 * X[:, 0] * strong))).astype(int)
    decay = (1 if strong else 2) / 5000
    free, model = (SoftmaxRegression(each, **TIGHT).fit(X, y) for each in (0, decay))
    precision = np.linalg.inv(covariance_matrix(free, X, y))
    move = np.append(model.coef_ - free.coef_, model.intercept_ - free.intercept_)
    moved, taken = np.sqrt(move @ precision @ move), X.shape[1] + 1 - goodness_of_fit(model, X, y).effective_df
    assert (moved > 0.1) == strong
    assert (taken > 0.02) != strong
    assert "p_value" not in coef_table(model, X, y)


def test_names_from_frames_and_pipelines():
    X, y = load_iris(return_X_y=True, as_frame=True)
    pipeline = make_pipeline(StandardScaler(), PolynomialFeatures(2, include_bias=False), SoftmaxRegression(0.1))
    table = coef_table(pipeline.fit(X, y), X, y)
    names = table.index.get_level_values("feature")[:15].tolist()
    assert names[:2] == ["sepal length (cm)", "sepal width (cm)"]
    assert names[4] == "sepal length (cm)^2"
    inner = coef_table(pipeline[-1], pipeline[:-1].transform(X), y)
    np.testing.assert_array_equal(table, inner)
    assert inner.index.get_level_values("feature")[0] == "x0"
    bare = make_pipeline(SoftmaxRegression(0.1)).fit(X, y)
    assert coef_table(bare, X, y).index.get_level_values("feature")[0] == "sepal length (cm)"
    nested = make_pipeline(StandardScaler(), make_pipeline(StandardScaler(), SoftmaxRegression(0.1))).fit(X, y)
    assert coef_table(nested, X, y).shape == (15, 4)


def test_a_structured_array_without_pandas(monkeypatch):
    X, y = load_iris(return_X_y=True)
    model = SoftmaxRegression(0.1).fit(X, y)
    frame = coef_table(model, X, y)
    names, coef = frame.columns.tolist(), frame["coef"].to_numpy()
    real = builtins.__import__

    def without_pandas(name, *args, **kwargs):
        if name.split(".")[0] == "pandas":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_pandas)
    table = coef_table(model, X, y)
    assert table.dtype.names == ("class", "feature", *names)
    assert table["feature"][:5].tolist() == ["x0", "x1", "x2", "x3", "intercept"]
    np.testing.assert_array_equal(table["coef"], coef)


def test_the_search_warns_that_its_choice_is_not_in_the_errors():
    X, y = load_wine(return_X_y=True)
    search = SoftmaxRegressionCV([1.0, 0.1], cv=3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of the end of the grid
        search.fit(X, y)
    with pytest.warns(UserWarning, match="The weight decay was chosen on the same data") as caught:
        table = coef_table(search, X, y)
    assert caught[0].filename == __file__
    same = SoftmaxRegression(search.weight_decay_, **TIGHT).fit(X, y)
    pd.testing.assert_frame_equal(table, coef_table(same, X, y), rtol=1e-3)


def test_class_weights_are_no_frequencies():
    X, y, _ = random_problem(13)
    model = SoftmaxRegression(0, class_weight="balanced", **TIGHT).fit(X, y)
    with pytest.warns(UserWarning, match="class_weight makes weights that are no frequencies"):
        coef_table(model, X, y)
    weight = (len(y) / (3 * np.bincount(y)))[y]
    plain_model = SoftmaxRegression(0, **TIGHT).fit(X, y, weight)
    np.testing.assert_allclose(
        std_errors(model, X, y, kind="sandwich"), std_errors(plain_model, X, y, weight, kind="sandwich"), rtol=1e-7
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.uint8])
def test_errors_are_computed_in_float64_whatever_the_dtype(dtype):
    rng = np.random.default_rng(0)
    X = rng.integers(0, 200, size=(400, 3)).astype(dtype)
    y = rng.integers(0, 3, size=400)
    model = SoftmaxRegression(0, tol=1e-9).fit(X, y)
    same = SoftmaxRegression(0, tol=1e-9).fit(X.astype(np.float64), y)
    # The coefficients differ by the rounding of float32, the errors by that of the coefficients.
    np.testing.assert_allclose(std_errors(model, X, y), std_errors(same, X.astype(np.float64), y), rtol=1e-4)


def test_columns_far_from_zero_keep_six_digits():
    X, y, _ = random_problem(14)
    near = SoftmaxRegression(0, **TIGHT).fit(X, y)
    offset = np.array([1e8, -1e7, 3.0])
    far = SoftmaxRegression(0, **TIGHT).fit(X + offset, y)
    expected = covariance_matrix(near, X, y)
    change = np.eye(4)
    change[3, :3] = -offset
    change = np.kron(np.eye(3), change)
    # X + offset has eight digits less than X.
    np.testing.assert_allclose(std_errors(far, X + offset, y)[:, :3], std_errors(near, X, y)[:, :3], rtol=1e-6)
    actual = covariance_matrix(far, X + offset, y)
    np.testing.assert_allclose(np.diag(actual), np.diag(change @ expected @ change.T), rtol=1e-6)


def test_nearly_dependent_columns_keep_their_errors():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 2))
    y = rng.integers(0, 3, size=300)
    X = np.column_stack([X, X[:, 0] + 1e-6 * rng.normal(size=300)])
    model = SoftmaxRegression(0, tol=1e-11).fit(X, y)
    # In terms of x0, x1 and 1e6 (x2 - x0), whose errors are ordinary, x0 has minus 1e6 times the third coefficient.
    change = np.array([[1, 0, -1e6, 0], [0, 1, 0, 0], [0, 0, 1e6, 0], [0, 0, 0, 1.0]])
    inside = np.column_stack([X[:, :2], (X[:, 2] - X[:, 0]) * 1e6])
    expected = covariance_matrix(SoftmaxRegression(0, **TIGHT).fit(inside, y), inside, y)
    change = np.kron(np.eye(3), change)
    np.testing.assert_allclose(
        np.diag(covariance_matrix(model, X, y)), np.diag(change @ expected @ change.T), rtol=1e-6
    )


class TestRefusals:
    def fit(self, X, y, weight_decay=0, **options):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            return SoftmaxRegression(weight_decay, **options).fit(X, y)

    def test_columns_that_depend_on_one_another_are_named(self):
        rng = np.random.default_rng(0)
        X = pd.DataFrame(rng.normal(size=(100, 4)), columns=list("abcd"))
        y = rng.integers(0, 3, size=100)
        X["e"] = 100 * X["a"] + X["c"] - 7
        with pytest.raises(
            ValueError, match=r"The columns \['[ace]', '[ace]'(, '[ace]')?\] are linearly dependent.*1 of"
        ):
            coef_table(self.fit(X, y), X, y)
        X["e"] = 3.0
        with pytest.raises(
            ValueError, match=r"The columns \['e'\] are linearly dependent, on one another or on the int"
        ):
            coef_table(self.fit(X, y), X, y)
        without = self.fit(X, y, fit_intercept=False)
        assert np.isfinite(std_errors(without, X, y)).all()
        assert np.isfinite(std_errors(self.fit(X, y, 0.01), X, y)).all()

    def test_more_columns_than_rows(self):
        rng = np.random.default_rng(0)
        X, y = rng.normal(size=(20, 30)), rng.integers(0, 3, size=20)
        with pytest.raises(ValueError, match=r"linearly dependent.*Leave 11 of them out|separated"):
            std_errors(self.fit(X, y), X, y)
        assert std_errors(self.fit(X, y, 0.1), X, y).shape == (3, 31)

    def test_separated_classes_and_columns_are_named(self):
        X, y = load_iris(return_X_y=True, as_frame=True)
        with pytest.raises(ValueError, match=r"separated.*'petal length \(cm\)'.*Fit with weight_decay > 0"):
            std_errors(self.fit(X, y), X, y)
        X, y = X[y < 2], y[y < 2]
        with pytest.raises(ValueError, match=r"Rows of the classes \[.*\] are separated from others"):
            std_errors(self.fit(X, y), X, y)

    def test_separation_by_one_column_of_many(self):
        """Of the class 2 alone, by a dummy that only its rows have: all other logits have a minimum."""
        rng = np.random.default_rng(0)
        for seed in range(10):
            X, y, _ = random_problem(seed, n_samples=300)
            X = np.column_stack([X, (y == 2) & (rng.random(300) < 0.5)]).astype(float)
            with pytest.raises(ValueError, match=r"Rows of the classes \[.*2.*\] are separated.* the columns \['x3'\]"):
                std_errors(self.fit(X, y), X, y)

    def test_a_fit_that_has_not_converged_or_is_of_other_data(self):
        X, y, weight = random_problem(15)
        with pytest.raises(ValueError, match=r"not at its minimum: a Newton step changes the parameter '.*' of class"):
            std_errors(self.fit(X, y, 0.01, max_iter=1), X, y)
        with pytest.raises(ValueError, match=r"a Newton step changes a difference of two logits by more than 0\.3"):
            std_errors(self.fit(X, y, max_iter=0), X, y)
        model = self.fit(X, y)
        with pytest.raises(ValueError, match="Pass those of the fit"):
            std_errors(model, X, y, weight)
        with pytest.raises(ValueError, match="Pass those of the fit"):
            goodness_of_fit(model, X[:100], y[:100])

    def test_a_fit_to_a_coarse_tolerance_says_which_would_do(self):
        X, y, _ = random_problem(16, n_samples=3000)
        model = SoftmaxRegression(1e-3, max_iter=1, warm_start=True)
        with pytest.warns(ConvergenceWarning):
            model.fit(X, y)
        with pytest.raises(ValueError, match=r"fit again with tol=1e-07 \(it was 1e-06; warm_"):
            std_errors(model, X, y)
        assert np.isfinite(std_errors(model.set_params(tol=1e-7, max_iter=100).fit(X, y), X, y)).all()

    def test_too_many_parameters(self, monkeypatch):
        X, y, _ = random_problem(17)
        model = self.fit(X, y, 0.1)
        monkeypatch.setattr(_fitted, "MOST_PARAMETERS", 11)
        with pytest.raises(ValueError, match="12 coefficients and intercepts, and inference is limited to 11"):
            std_errors(model, X, y)

    def test_one_class_with_all_of_the_weight(self):
        X, y, _ = random_problem(18, n_classes=2)
        model = SoftmaxRegression().fit(X, y, y == 1)
        with pytest.raises(ValueError, match="The class 1 has all of the weight"):
            std_errors(model, X, y, y == 1)

    def test_other_classes_than_those_of_the_fit(self):
        X, y, _ = random_problem(19)
        model = self.fit(X, y, 0.1)
        with pytest.raises(ValueError, match=r"y must have the classes of the fit, \[0, 1, 2\]; got \[0, 1\]"):
            std_errors(model, X[y < 2], y[y < 2])

    def test_a_penalty_too_weak_to_tell_dependent_columns_apart(self):
        rng = np.random.default_rng(0)
        X = rng.normal(size=(100, 2))
        X = np.column_stack([X, X[:, 0]])
        y = rng.integers(0, 3, size=100)
        with pytest.raises(ValueError, match=r"The Hessian is singular.*or fit with a larger weight_decay"):
            std_errors(self.fit(X, y, 1e-30), X, y)

    def test_an_ill_conditioned_hessian_of_too_many_rows(self, monkeypatch):
        rng = np.random.default_rng(0)
        X = rng.normal(size=(100, 2))
        X = np.column_stack([X, X[:, 0]])
        y = rng.integers(0, 3, size=100)
        model = self.fit(X, y, 1e-11)
        by_rows = std_errors(model, X, y)
        # The likelihood knows the sum of the two coefficients; their difference has the variance of the prior.
        assert by_rows[0, 0] == pytest.approx(np.sqrt(2 / 3 / (1e-11 * 100) / 2), rel=1e-6)
        monkeypatch.setattr(_fitted, "_MOST_BY_ROWS", 1)
        with pytest.raises(ValueError, match="too many rows to compute it in another way, 100"):
            std_errors(model, X, y)

    def test_arguments(self):
        X, y, _ = random_problem(20)
        model = self.fit(X, y, 0.1)
        with pytest.raises(ValueError, match="kind must be one of"):
            covariance_matrix(model, X, y, kind="HC0")
        with pytest.raises(ValueError, match="kind='cluster' needs groups"):
            covariance_matrix(model, X, y, kind="cluster")
        with pytest.raises(ValueError, match="no other kind takes them"):
            covariance_matrix(model, X, y, groups=y)
        with pytest.raises(ValueError, match="the cluster of each of the 150 rows"):
            covariance_matrix(model, X, y, kind="cluster", groups=y[:3])
        with pytest.raises(ValueError, match="groups must have no missing values; got 1"):
            covariance_matrix(model, X, y, kind="cluster", groups=np.r_[np.nan, y[1:]])
        with pytest.raises(ValueError, match="two or more clusters of rows with weight; got 1"):
            covariance_matrix(model, X, y, kind="cluster", groups=np.zeros(150))
        for level in (0, 1, 95, "high"):
            with pytest.raises(ValueError, match="level must be a number between 0 and 1"):
                coef_table(model, X, y, level=level)
        with pytest.raises(TypeError, match="got LogisticRegression"):
            coef_table(LogisticRegression(), X, y)
        with pytest.raises(TypeError, match="pass its best_estimator_"):
            coef_table(GridSearchCV(SoftmaxRegression(), {"weight_decay": [0.1]}).fit(X, y), X, y)
        with pytest.raises(ValueError, match="X has 2 features"):
            coef_table(model, X[:, :2], y)


def test_a_wide_unscaled_table_with_a_penalty():
    X, y = load_breast_cancer(return_X_y=True)
    model = SoftmaxRegression(1e-3, tol=1e-12).fit(X, y)
    p = plain(model, X, y, weight_decay=1e-3)
    np.testing.assert_allclose(std_errors(model, X, y).ravel(), np.sqrt(np.diag(p.inverse)), rtol=1e-6)
