"""Tests of hypotheses and the goodness of fit: against statsmodels, dense matrices, and each other."""

import numpy as np
import pytest
from plain_inference import plain, random_problem
from scipy import stats

from skmax import SoftmaxRegression
from skmax.inference import goodness_of_fit, likelihood_ratio_test, log_likelihood, wald_test

TIGHT = {"tol": 1e-13}


@pytest.mark.parametrize("n_classes", [2, 3, 4])
def test_likelihoods_of_statsmodels(n_classes):
    sm = pytest.importorskip("statsmodels.api")
    X, y, _ = random_problem(1, n_classes=n_classes)
    result = sm.MNLogit(y, sm.add_constant(X)).fit(disp=False, method="newton", maxiter=100)
    model = SoftmaxRegression(0, **TIGHT).fit(X, y)
    fit = goodness_of_fit(model, X, y)
    assert log_likelihood(model, X, y) == fit.log_likelihood == pytest.approx(result.llf, rel=1e-10)
    assert fit.null_log_likelihood == pytest.approx(result.llnull, rel=1e-7)  # to which it fits less closely
    assert (fit.effective_df, fit.n_observations) == (4 * (n_classes - 1), 150)
    assert (fit.aic, fit.bic) == pytest.approx((result.aic, result.bic), rel=1e-10)
    assert fit.pseudo_r2 == pytest.approx(result.prsquared, rel=1e-7)
    test = likelihood_ratio_test(model, None, X, y)
    assert test.df == result.df_model
    assert (test.statistic, test.p_value) == pytest.approx((result.llr, result.llr_pvalue), rel=1e-6)


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("n_classes", [2, 4])
def test_effective_degrees_of_freedom_under_a_penalty(n_classes, soft):
    X, y, weight = random_problem(2, n_classes=n_classes, soft=soft)
    last = np.inf
    for decay in (1e-6, 1e-3, 0.1, 10.0):
        model = SoftmaxRegression(decay, **TIGHT).fit(X, y, weight)
        fit, p = goodness_of_fit(model, X, y, weight), plain(model, X, y, weight, decay)
        assert fit.effective_df == pytest.approx(p.effective_df, rel=1e-9)
        assert fit.log_likelihood == pytest.approx(p.log_likelihood, rel=1e-12)
        assert n_classes - 1 <= fit.effective_df < last
        assert fit.aic == pytest.approx(-2 * p.log_likelihood + 2 * p.effective_df)
        last = fit.effective_df


@pytest.mark.parametrize("kind", ["model", "sandwich", "cluster"])
def test_wald_of_statsmodels_logit(kind):
    sm = pytest.importorskip("statsmodels.api")
    X, y, _ = random_problem(3, n_classes=2, n_samples=300)
    groups = np.random.default_rng(0).integers(0, 25, size=300)
    options = {
        "model": {},
        "sandwich": {"cov_type": "HC0"},
        "cluster": {"cov_type": "cluster", "cov_kwds": {"groups": groups}},
    }[kind]
    result = sm.Logit(y, sm.add_constant(X)).fit(disp=False, tol=1e-12, **options)
    model = SoftmaxRegression(0, **TIGHT).fit(X, y)
    groups = groups if kind == "cluster" else None
    theirs = result.wald_test(np.eye(4)[[1, 3]], scalar=True)
    ours = wald_test(model, X, y, features=["x0", 2], kind=kind, groups=groups)
    assert (ours.statistic, ours.df) == (pytest.approx(theirs.statistic, rel=1e-6), 2)
    assert ours.p_value == pytest.approx(theirs.pvalue, rel=1e-5)
    matrix, value = np.array([[0.5, 1, -1, 0], [0, 0, 2, 1.0]]), np.array([0.3, -0.2])
    theirs = result.wald_test((matrix, value), scalar=True)
    contrast = matrix[:, None, [1, 2, 3, 0]]
    ours = wald_test(model, X, y, contrast=contrast, value=value, kind=kind, groups=groups)
    assert ours.statistic == pytest.approx(theirs.statistic, rel=1e-6)


@pytest.mark.parametrize("kind", ["model", "sandwich"])
def test_the_redundancy_takes_no_degrees_of_freedom(kind):
    """Whichever form the restrictions are written in, and however often."""
    X, y, _ = random_problem(4, n_classes=4, scales=(1.0, 1e5, 1e-4))
    model = SoftmaxRegression(0, **TIGHT).fit(X, y)
    test = wald_test(model, X, y, features=[1], kind=kind)
    assert test.df == 3
    p = plain(model, X, y)
    covariance = p.inverse if kind == "model" else p.inverse @ p.scores.T @ p.scores @ p.inverse
    place = [k * 4 + 1 for k in range(3)]  # three of the four classes say it all
    coef = model.coef_[:3, 1]
    expected = coef @ np.linalg.solve(covariance[np.ix_(place, place)], coef)
    assert test.statistic == pytest.approx(expected, rel=1e-6)
    against = np.zeros((3, 4, 4))
    for k in range(3):
        against[k, k + 1, 1], against[k, 0, 1] = 1, -1
    for contrast in (against, np.concatenate([against, 7 * against, against[:1] + against[1:2]])):
        same = wald_test(model, X, y, contrast=contrast, kind=kind)
        assert (same.df, same.statistic) == (3, pytest.approx(expected, rel=1e-6))
    single = wald_test(model, X, y, contrast=against[0], kind=kind)
    assert single.df == 1
    assert single.p_value == pytest.approx(stats.chi2.sf(single.statistic, 1))


def test_wald_and_likelihood_ratio_agree_on_many_rows():
    X, y, _ = random_problem(5, n_samples=20_000)
    X = np.column_stack([X, np.random.default_rng(0).normal(size=(20_000, 2))])
    model, restricted = SoftmaxRegression(0, **TIGHT).fit(X, y), SoftmaxRegression(0, **TIGHT).fit(X[:, :3], y)
    ratio = likelihood_ratio_test(model, restricted, X, y, X_restricted=X[:, :3])
    wald = wald_test(model, X, y, features=[3, 4])
    assert ratio.df == wald.df == 4
    assert ratio.statistic == pytest.approx(wald.statistic, rel=0.01)


def test_weights_are_frequencies():
    X, y, _ = random_problem(6)
    weight = np.random.default_rng(0).integers(1, 4, size=len(X))
    model = SoftmaxRegression(0, **TIGHT).fit(X, y, weight)
    rows = np.repeat(X, weight, axis=0), np.repeat(y, weight)
    for function in (goodness_of_fit, lambda *data: likelihood_ratio_test(model, None, *data[1:])):
        weighted, single = function(model, X, y, weight), function(model, *rows)
        assert list(vars(weighted).values()) == pytest.approx(list(vars(single).values()), rel=1e-9)


def test_errors():
    X, y, _ = random_problem(7)
    model, strong = SoftmaxRegression(0, **TIGHT).fit(X, y), SoftmaxRegression(0.1).fit(X, y)
    with pytest.raises(ValueError, match=r"A weight decay of 0\.1 moves these coefficients.*Fit with weight_decay=0"):
        wald_test(strong, X, y, features=0)
    with pytest.raises(ValueError, match="moves these coefficients"):
        likelihood_ratio_test(model, strong, X, y)
    for arguments, message in [
        ({}, "Either features or contrast"),
        ({"features": 0, "contrast": np.ones((3, 4))}, "Either features or contrast"),
        ({"features": []}, "features must be one or more"),
        ({"features": "x7"}, "one of the names .*; got 'x7'"),
        ({"contrast": np.ones((2, 4))}, r"of shape \(\[n_contrasts,\] 3, 4\).*got shape \(2, 4\)"),
        ({"contrast": np.full((3, 4), np.nan)}, "finite numbers"),
        ({"contrast": np.ones((3, 4))}, "the same for all classes, at position 0"),
        ({"features": 0, "value": [1, 2]}, "value must be a number, or one for each of 3 contrasts"),
        ({"contrast": np.eye(3, 4)[[[0, 1, 2]] * 2], "value": [0, 1]}, "must not contradict one another"),
    ]:
        with pytest.raises(ValueError, match=message):
            wald_test(model, X, y, **arguments)
    with pytest.raises(ValueError, match="more groups, or rows, than restrictions, 6"):
        wald_test(model, X, y, features=[0, 1, 2], kind="cluster", groups=np.arange(len(X)) % 4)
    fewer = SoftmaxRegression(0, **TIGHT).fit(X[:, :2], y)
    with pytest.raises(ValueError, match=r"must contain the restricted one, .* got 6 and 8 parameters"):
        likelihood_ratio_test(fewer, model, X[:, :2], y, X_restricted=X)
    other = np.random.default_rng(0).normal(size=(150, 1))
    unrelated = SoftmaxRegression(0, **TIGHT).fit(other, y)
    better = SoftmaxRegression(0, **TIGHT).fit(X[:, :1], y)
    with pytest.raises(ValueError, match="must contain the restricted one"):
        likelihood_ratio_test(unrelated, better, other, y, X_restricted=X[:, :1])
    without = SoftmaxRegression(0, fit_intercept=False, **TIGHT).fit(X, y)
    with pytest.raises(ValueError, match="does not contain that of intercepts alone"):
        likelihood_ratio_test(without, None, X, y)
    factors = SoftmaxRegression(0, class_weight={0: 2.0}, **TIGHT).fit(X, y)
    with pytest.warns(match="do not suit a likelihood"), pytest.raises(ValueError, match="the same classes and class_"):
        likelihood_ratio_test(factors, fewer, X, y, X_restricted=X[:, :2])
