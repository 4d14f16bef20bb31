"""Inference with offsets, penalty factors and prior means."""

import numpy as np
import pytest
from plain_inference import random_problem
from scipy.special import softmax

from skmax import SoftmaxRegression, SoftmaxRegressionCV
from skmax.inference import (
    average_marginal_effects,
    coef_table,
    covariance_matrix,
    goodness_of_fit,
    influence_on,
    leave_one_out,
    likelihood_ratio_test,
    log_likelihood,
    marginal_effects,
    posterior_predict_proba,
    predict_proba_interval,
)

TIGHT = {"tol": 1e-13}
RNG = np.random.default_rng(0)
FACTORS = {
    "by feature": np.array([1.0, 0.1, 20.0]),
    "free feature": np.array([1.0, 0.0, 20.0]),
    "by class": RNG.uniform(0.1, 5, size=(3, 3)),
    "free coefficient": np.array([[1.0, 2, 3], [0, 1, 2], [3, 0, 1]]),
    "none": None,
}


def precision(model, X, probability, factor, decay):
    """S times the Hessian of the loss and of the penalty, with all parameters; only the intercepts are redundant."""
    n_classes, rows = probability.shape[1], np.column_stack([X, np.ones(len(X))])
    curvature = np.einsum("ik,kl->ikl", probability, np.eye(n_classes)) - probability[:, :, None] * probability[:, None]
    loss = np.einsum("ikl,im,in->kmln", curvature, rows, rows).reshape(n_classes * 4, -1)
    penalty = np.zeros((n_classes, 4))
    penalty[:, :3] = len(X) * decay * (1 if factor is None else factor)
    return loss, np.diag(penalty.ravel())


@pytest.mark.parametrize("name", FACTORS)
def test_the_posterior_of_contrasts_is_that_of_all_parameters(name):
    X, y, _ = random_problem(1, scales=(1.0, 50.0, 0.1))
    factor, decay = FACTORS[name], 0.02
    offset = np.random.default_rng(1).normal(size=(len(X), 3))
    mean = np.random.default_rng(2).normal(size=(3, 3)) * 0.3
    model = SoftmaxRegression(decay, penalty_factor=factor, prior_mean=mean, **TIGHT).fit(X, y, offset=offset)
    probability = model.predict_proba(X, offset)
    loss, penalty = precision(model, X, probability, factor, decay)
    # A weak prior on the intercepts' common part, which no contrast sees.
    redundant = np.kron(np.ones(3), np.eye(4)[3])
    every = np.linalg.inv(loss + penalty + np.outer(redundant, redundant))
    if name == "free feature":
        also = np.kron(np.ones(3), np.eye(4)[1])
        every = np.linalg.inv(loss + penalty + np.outer(redundant, redundant) + np.outer(also, also))
    contrast = np.kron([[-1, 1, 0], [-1, 0, 1]], np.eye(4))
    expected = contrast @ every @ contrast.T
    actual = covariance_matrix(model, X, y, offset=offset, reference=0)
    error = np.sqrt(np.diag(expected))
    np.testing.assert_allclose(actual / np.outer(error, error), expected / np.outer(error, error), atol=1e-7)
    fit = goodness_of_fit(model, X, y, offset=offset)
    assert fit.log_likelihood == pytest.approx(np.log(probability[np.arange(len(X)), y]).sum())
    lost = np.trace(np.linalg.solve(loss + penalty + np.outer(redundant, redundant), loss))
    if name != "free feature":
        assert fit.effective_df == pytest.approx(lost, rel=1e-6)
    assert leave_one_out(model, X, y, offset=offset).leverage.sum() == pytest.approx(fit.effective_df)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_offsets(n_classes):
    """An offset that is a multiple of a column changes the coefficient of that column, and nothing else."""
    X, y, weight = random_problem(3, n_classes=n_classes)
    shift = np.array([0.7, -0.2, 0.4])[:n_classes]
    offset = X[:, 0] * shift[1] if n_classes == 2 else np.outer(X[:, 0], shift)
    model, plain = (
        SoftmaxRegression(0, **TIGHT).fit(X, y, weight, offset),
        SoftmaxRegression(0, **TIGHT).fit(X, y, weight),
    )
    with_offset = {"offset": offset}
    np.testing.assert_allclose(
        covariance_matrix(model, X, y, weight, **with_offset),
        covariance_matrix(plain, X, y, weight),
        rtol=1e-6,
        atol=1e-9,
    )
    table = coef_table(model, X, y, weight, **with_offset, reference=0)
    moved = coef_table(plain, X, y, weight, reference=0)["coef"] - table["coef"]
    expected = np.zeros((n_classes - 1, 4))
    expected[:, 0] = shift[1:] - shift[0] if n_classes == 3 else shift[1]
    np.testing.assert_allclose(moved.to_numpy().reshape(-1, 4), expected, atol=1e-7)
    assert log_likelihood(model, X, y, weight, offset=offset) == pytest.approx(log_likelihood(plain, X, y, weight))
    for ours, theirs in [
        (predict_proba_interval(model, X, y, X[:5], weight, offset=offset, offset_new=offset[:5]).lower,
         predict_proba_interval(plain, X, y, X[:5], weight).lower),
        (posterior_predict_proba(model, X, y, X[:5], weight, offset=offset, offset_new=offset[:5]),
         posterior_predict_proba(plain, X, y, X[:5], weight)),
        (leave_one_out(model, X, y, weight, offset=offset).loss, leave_one_out(plain, X, y, weight).loss),
        (influence_on(model, X, y, X[:9], y[:9], weight, offset=offset, offset_test=offset[:9]),
         influence_on(plain, X, y, X[:9], y[:9], weight)),
    ]:  # fmt: skip
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-12)
    # Effects leave the offset of a row as it is.
    effects = average_marginal_effects(model, X, y, weight, offset=offset)
    probability, coef = (
        model.predict_proba(X, offset),
        model.coef_ if n_classes > 2 else np.vstack([0 * model.coef_, model.coef_]),
    )
    slopes = probability[:, :, None] * (coef - (probability @ coef)[:, None])
    expected = np.tensordot(weight / weight.sum(), slopes, 1)
    np.testing.assert_allclose(effects["effect"].to_numpy().reshape(n_classes, 3), expected, rtol=1e-7)
    at = marginal_effects(model, X, y, weight, offset=offset, at=X[:1], features=[1])["effect"]
    probability = softmax(np.append(0, model.coef_ @ X[0] + model.intercept_)[-n_classes:])
    np.testing.assert_allclose(at, probability * (coef[:, 1] - probability @ coef[:, 1]), rtol=1e-7)
    with pytest.raises(ValueError, match="offset must be passed"):
        coef_table(model, X, y, weight)
    with pytest.raises(ValueError, match="offset must be passed"):
        predict_proba_interval(model, X, y, X[:5], weight, offset=offset)
    with pytest.raises(ValueError, match="With offsets, the model of intercepts alone is not"):
        likelihood_ratio_test(model, None, X, y, weight, offset=offset)
    with pytest.raises(ValueError, match="Pass those of the fit"):
        coef_table(plain, X, y, weight, offset=offset)


def test_a_free_column_that_others_determine_is_refused():
    X, y, _ = random_problem(4)
    X = np.column_stack([X, X[:, 0] + X[:, 1]])
    model = SoftmaxRegression(0.01, penalty_factor=[0, 0, 1, 0], tol=1e-10).fit(X, y)
    with pytest.raises(ValueError, match=r"The columns \['x[013]', 'x[013]', 'x[013]'\] are linearly dependent"):
        coef_table(model, X, y)
    kept = SoftmaxRegression(0.01, penalty_factor=[0, 0, 1, 1], tol=1e-10).fit(X, y)
    assert np.isfinite(coef_table(kept, X, y).to_numpy()).all()


def test_a_free_column_that_separates_is_refused():
    X, y, _ = random_problem(5)
    X = np.column_stack([X, (y == 2) * 1.0])
    with pytest.warns(match="separated"):
        model = SoftmaxRegression(0.01, penalty_factor=[1, 1, 1, 0]).fit(X, y)
    with pytest.raises(ValueError, match=r"separated.* the columns \['x3'\]"):
        coef_table(model, X, y)


def test_a_search_with_factors(recwarn):
    X, y, _ = random_problem(6)
    search = SoftmaxRegressionCV([0.1, 0.01], cv=2, penalty_factor=[1, 0.5, 2]).fit(X, y)
    same = SoftmaxRegression(search.weight_decay_, penalty_factor=[1, 0.5, 2], **TIGHT).fit(X, y)
    np.testing.assert_allclose(coef_table(search, X, y), coef_table(same, X, y), rtol=1e-4, atol=1e-6)
