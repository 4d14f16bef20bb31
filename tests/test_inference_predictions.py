"""Intervals of probabilities and posterior averages: against dense matrices, finite differences and sampling."""

import numpy as np
import pytest
from plain_inference import plain, random_problem
from scipy import sparse
from scipy.special import expit, logit, softmax
from sklearn.datasets import load_iris
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmax import SoftmaxRegression
from skmax.inference import coef_table, covariance_matrix, posterior_predict_proba, predict_proba_interval

TIGHT = {"tol": 1e-13}


def draws(model, X, y, rows, n_draws=20_000):
    """Probabilities of the rows under parameters from the Gaussian approximation, of shape (n_draws, rows, classes)."""
    covariance = covariance_matrix(model, X, y)
    values, vectors = np.linalg.eigh(covariance)
    noise = np.random.default_rng(0).normal(size=(n_draws, len(values))) * np.sqrt(np.maximum(values, 0))
    table = np.column_stack([model.coef_, model.intercept_])
    tables = (table.ravel() + noise @ vectors.T).reshape(n_draws, *table.shape)
    logits = np.einsum("dkj,ij->dik", tables, np.column_stack([rows, np.ones(len(rows))]))
    return softmax(logits, axis=2) if len(table) > 1 else np.stack([expit(-logits), expit(logits)], axis=2)[..., 0]


@pytest.mark.parametrize("weight_decay", [0, 0.05])
@pytest.mark.parametrize("n_classes", [2, 3, 4])
def test_intervals_are_those_of_the_delta_method_for_the_log_odds(n_classes, weight_decay):
    X, y, weight = random_problem(1, n_classes=n_classes)
    model = SoftmaxRegression(weight_decay, **TIGHT).fit(X, y, weight)
    p, new = plain(model, X, y, weight, weight_decay), X[:7] * 2
    result = predict_proba_interval(model, X, y, new, weight, level=0.9)
    np.testing.assert_allclose(result.probability, model.predict_proba(new), rtol=1e-10)
    rows, gradients = np.column_stack([new, np.ones(7)]), []
    for k in range(len(p.table)):
        for j in range(4):
            step = np.zeros_like(p.table)
            step[k, j] = 1e-6

            def probability(table):
                every = table if len(table) == n_classes else np.vstack([np.zeros(4), table])
                return softmax(rows @ every.T, axis=1)

            gradients.append((probability(p.table + step) - probability(p.table - step)) / 2e-6)
    gradients = np.array(gradients)
    error = np.sqrt(np.einsum("rik,rs,sik->ik", gradients, p.inverse, gradients))
    np.testing.assert_allclose(result.std_error, error, rtol=1e-6)
    reach = 1.6448536269514722 * error / (result.probability * (1 - result.probability))
    np.testing.assert_allclose(result.lower, expit(logit(result.probability) - reach), rtol=1e-6)
    np.testing.assert_allclose(result.upper, expit(logit(result.probability) + reach), rtol=1e-6)
    sparse_result = predict_proba_interval(model, X, y, sparse.csr_array(new), weight, level=0.9)
    np.testing.assert_allclose(sparse_result.std_error, result.std_error, rtol=1e-12)


def test_an_interval_far_out_stays_within_0_and_1_and_keeps_its_digits():
    X, y, _ = random_problem(2)
    model = SoftmaxRegression(0.05, **TIGHT).fit(X, y)
    result = predict_proba_interval(model, X, y, 200 * X[:5])
    assert np.all((result.lower >= 0) & (result.lower <= result.upper) & (result.upper <= 1))
    assert np.isfinite(result.std_error).all()


@pytest.mark.parametrize("n_classes", [2, 3, 6])
def test_posterior_averages_are_those_of_sampling(n_classes):
    """To 0.01 for two classes, 0.05 for three and 0.1 for six: three to four times as close as `predict_proba`."""
    X, y, _ = random_problem(3, n_classes=n_classes, n_samples=60)
    model = SoftmaxRegression(0.01, **TIGHT).fit(X, y)
    new = np.random.default_rng(1).normal(size=(40, 3)) * 4
    sampled = draws(model, X, y, new).mean(axis=0)
    averaged = posterior_predict_proba(model, X, y, new)
    np.testing.assert_allclose(averaged.sum(axis=1), 1)
    off, mode_off = np.abs(averaged - sampled).max(), np.abs(model.predict_proba(new) - sampled).max()
    assert off < {2: 0.01, 3: 0.05, 6: 0.1}[n_classes]
    assert off < mode_off / 3
    # 20,000 draws leave the mean of a probability an error of 0.004 at most.
    assert np.abs(averaged - sampled).mean() < 0.02


def test_two_classes_have_mackays_formula():
    X, y, _ = random_problem(4, n_classes=2)
    model = SoftmaxRegression(0.05, **TIGHT).fit(X, y)
    rows = np.column_stack([X, np.ones(len(X))])
    variance = np.einsum("ij,jk,ik->i", rows, covariance_matrix(model, X, y), rows)
    expected = expit(model.decision_function(X) / np.sqrt(1 + np.pi / 8 * variance))
    np.testing.assert_allclose(posterior_predict_proba(model, X, y, X)[:, 1], expected, rtol=1e-9)


def test_pipelines_absent_classes_and_columns_far_from_zero():
    X, y = load_iris(return_X_y=True, as_frame=True)
    pipeline = make_pipeline(StandardScaler(), SoftmaxRegression(0.01, classes=[0, 1, 2, 3], **TIGHT)).fit(X, y)
    result = predict_proba_interval(pipeline, X, y, X.iloc[:5])
    np.testing.assert_allclose(result.probability, pipeline.predict_proba(X.iloc[:5]), rtol=1e-9, atol=1e-15)
    for values in (result.std_error, result.lower, result.upper):
        np.testing.assert_array_equal(values[:, 3], 0)
    assert posterior_predict_proba(pipeline, X, y, X.iloc[:5])[:, 3].max() == 0
    values = X.to_numpy()
    near = SoftmaxRegression(0, **TIGHT).fit(values[y > 0], y[y > 0])
    far = SoftmaxRegression(0, **TIGHT).fit(values[y > 0] + 1e8, y[y > 0])
    expected = predict_proba_interval(near, values[y > 0], y[y > 0], values[50:60])
    actual = predict_proba_interval(far, values[y > 0] + 1e8, y[y > 0], values[50:60] + 1e8)
    np.testing.assert_allclose(actual.std_error, expected.std_error, rtol=1e-5)  # X + 1e8 has eight digits less


def test_no_interval_for_a_biased_estimate():
    X, y, _ = random_problem(5)
    model = SoftmaxRegression(0.1).fit(X, y)
    with pytest.raises(
        ValueError, match="kind='sandwich' has no intervals under a weight decay that is not negligible"
    ):
        predict_proba_interval(model, X, y, X, kind="sandwich")
    free = SoftmaxRegression(0, **TIGHT).fit(X, y)
    robust = predict_proba_interval(free, X, y, X, kind="sandwich")
    assert not np.allclose(robust.std_error, predict_proba_interval(free, X, y, X).std_error)
    assert coef_table(free, X, y).shape == (12, 6)
