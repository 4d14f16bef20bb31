"""Influence: against refits, dense matrices and statsmodels."""

import numpy as np
import pytest
from plain_inference import plain, random_problem
from scipy import sparse
from sklearn.datasets import load_digits, load_iris, load_wine
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmax import SoftmaxRegression, cross_entropy, log_softmax
from skmax.inference import goodness_of_fit, influence_on, leave_one_out

TIGHT = {"tol": 1e-13}


def losses(model, X, y):
    place = np.searchsorted(model.classes_, y)[:, None]
    return -np.take_along_axis(model.predict_log_proba(X), place, axis=1)[:, 0]


def refits(model, X, y, X_test, y_test, rows):
    """The loss of each of the rows, and the change of the mean test loss, in a fit without the row."""
    own, change = [], []
    for i in rows:
        kept = np.delete(np.arange(len(X)), i)
        other = SoftmaxRegression(model.weight_decay, classes=model.classes_, tol=1e-10).fit(X[kept], y[kept])
        own.append(losses(other, X[i : i + 1], y[i : i + 1])[0])
        change.append(losses(other, X_test, y_test).mean() - losses(model, X_test, y_test).mean())
    return np.array(own), np.array(change)


# Raw columns; without the fits for rows of a long step, wine would have 0.71, glass 0.98 and vehicle 0.97.
SETS = ["iris", "wine", "glass", "vehicle", "coef_hsbdemo", "coef_anes96"]


@pytest.mark.parametrize("weight_decay", ["1/n_samples", 0.01])
@pytest.mark.parametrize("name", SETS)
def test_the_correlation_with_refits_is_at_least_0999(load, name, weight_decay):
    """On 70 % of the rows, with the loss on the others; the 40 rows of most influence are among those compared."""
    X, y = {"iris": load_iris, "wine": load_wine}[name](return_X_y=True) if name in ("iris", "wine") else load(name)[:2]
    order = np.random.default_rng(0).permutation(len(y))
    train, test = np.split(order, [int(0.7 * len(y))])
    model = SoftmaxRegression(weight_decay, tol=1e-11).fit(X[train], y[train])
    alone = leave_one_out(model, X[train], y[train])
    change = influence_on(model, X[train], y[train], X[test], y[test])
    rows = np.unique(np.r_[np.argsort(-alone.cooks_distance)[:40], np.arange(0, len(train), 1 + len(train) // 25)])
    own, moved = refits(model, X[train], y[train], X[test], y[test], rows)
    assert np.corrcoef(alone.loss[rows], own)[0, 1] >= 0.999
    assert np.corrcoef(change[rows], moved)[0, 1] >= 0.999


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("fixed", [False, True])
def test_the_step_is_newtons_with_dense_matrices(n_classes, soft, fixed):
    """With a fixed weight decay, or one of 1/S, which leaves out a row's share of the penalty."""
    X, y, weight = random_problem(1, n_classes=n_classes, soft=soft, scales=(1.0, 100.0, 0.1))
    decay = 1 / weight.sum()
    model = SoftmaxRegression(decay if fixed else "1/n_samples", **TIGHT).fit(X, y, weight)
    p = plain(model, X, y, weight, decay)
    X_test, target = X[:40] * 1.3, p.target[:40]
    alone = leave_one_out(model, sparse.csr_array(X) if soft else X, y, weight)
    change = influence_on(model, X, y, X_test, target if soft else y[:40], weight)
    n_logits = len(p.table)
    penalty = np.zeros_like(p.table)
    penalty[:, :3] = decay * p.table[:, :3] if fixed else 0
    test_rows = np.column_stack([X_test, np.ones(40)])
    every = p.table if n_logits > 1 else np.vstack([np.zeros(4), p.table])
    probability = np.exp(log_softmax(test_rows @ every.T))
    slope = (probability - target)[:, -n_logits:]
    test_gradient = np.einsum("ik,im->km", slope, test_rows).ravel() / 40
    curvature = np.einsum("ik,kl->ikl", probability, np.eye(n_classes)) - probability[:, :, None] * probability[:, None]
    curvature = curvature[:, -n_logits:, -n_logits:]
    test_hessian = np.einsum("ikl,im,in->kmln", curvature, test_rows, test_rows).reshape(len(test_gradient), -1) / 40

    for i in range(0, len(X), 11):
        own = p.s[i] * np.kron(p.curvature[i], np.outer(p.rows[i], p.rows[i]))
        gradient = p.scores[i] + p.s[i] * penalty.ravel()
        step = np.linalg.lstsq(p.hessian - own, gradient, rcond=1e-13)[0] if n_logits == 1 else None
        if step is None:  # on the parameters that sum to zero
            basis = np.kron(np.linalg.svd(np.eye(n_logits) - 1 / n_logits)[0][:, : n_logits - 1], np.eye(4))
            step = basis @ np.linalg.solve(basis.T @ (p.hessian - own) @ basis, basis.T @ gradient)
        table = p.table + step.reshape(n_logits, -1)
        logits = p.rows[i] @ (table if n_logits > 1 else np.vstack([np.zeros(4), table])).T
        assert alone.loss[i] == pytest.approx(cross_entropy(logits, p.target[i])[0], rel=1e-6)
        np.testing.assert_allclose(alone.probability[i], np.exp(logits) / np.exp(logits).sum(), rtol=1e-6)
        distance = step @ p.hessian @ step / p.effective_df
        assert alone.cooks_distance[i] == pytest.approx(distance, rel=1e-6)
        assert change[i] == pytest.approx(test_gradient @ step + step @ test_hessian @ step / 2, rel=1e-6)


def test_leverages_sum_to_the_effective_degrees_of_freedom():
    X, y, weight = random_problem(2, n_classes=4)
    for decay in (0, 0.1):
        model = SoftmaxRegression(decay, **TIGHT).fit(X, y, weight)
        total = leave_one_out(model, X, y, weight).leverage.sum()
        assert total == pytest.approx(goodness_of_fit(model, X, y, weight).effective_df, rel=1e-9)


def test_pregibons_diagnostics():
    sm = pytest.importorskip("statsmodels.api")
    X, y, _ = random_problem(3, n_classes=2)
    theirs = sm.Logit(y, sm.add_constant(X)).fit(disp=False, tol=1e-12).get_influence()
    ours = leave_one_out(SoftmaxRegression(0, **TIGHT).fit(X, y), X, y)
    np.testing.assert_allclose(ours.leverage, theirs.hat_matrix_diag, rtol=1e-6)
    np.testing.assert_allclose(ours.cooks_distance, theirs.cooks_distance[0], rtol=1e-6)


def test_the_scale_of_the_weights_and_rows_without_weight():
    X, y, weight = random_problem(4)
    weight[::5] = 0
    model = SoftmaxRegression(0.01, **TIGHT).fit(X, y, weight)
    large, small = leave_one_out(model, X, y, 1e5 * weight), leave_one_out(model, X, y, weight)
    np.testing.assert_allclose(large.loss, small.loss, rtol=1e-9)
    np.testing.assert_allclose(large.leverage, small.leverage, rtol=1e-9, atol=1e-15)
    np.testing.assert_allclose(large.cooks_distance, 1e5 * small.cooks_distance, rtol=1e-7)
    np.testing.assert_array_equal(small.leverage[::5], 0)
    np.testing.assert_allclose(small.probability[::5], model.predict_proba(X[::5]), rtol=1e-10)
    change = influence_on(model, X, y, X[:20], y[:20], weight)
    np.testing.assert_array_equal(change[::5], 0)
    np.testing.assert_allclose(influence_on(model, X, y, X[:20], y[:20], 7 * weight), change, rtol=1e-8)


def test_pipelines_and_class_weights():
    X, y = load_iris(return_X_y=True, as_frame=True)
    options = {"class_weight": {1: 3.0}, "classes": [0, 1, 2, 9], **TIGHT}
    pipeline = make_pipeline(StandardScaler(), SoftmaxRegression(0.01, **options)).fit(X, y)
    rows = leave_one_out(pipeline, X, y)
    assert rows.probability.shape == (150, 4)
    np.testing.assert_array_equal(rows.probability[:, 3], 0)
    scaled = pipeline[0].transform(X)
    same = leave_one_out(
        SoftmaxRegression(0.01, tol=1e-13).fit(scaled, y, 1 + 2 * (y == 1)), scaled, y, 1 + 2 * (y == 1)
    )
    np.testing.assert_allclose(rows.loss, same.loss, rtol=1e-6)
    # The test loss has no class weights.
    change = influence_on(pipeline, X, y, X.iloc[::3], y[::3])
    base = losses(pipeline[-1], scaled[::3], y[::3]).mean()
    kept = np.arange(150) != 70
    other = SoftmaxRegression(0.01, **options).fit(scaled[kept], y[kept])
    assert change[70] == pytest.approx(losses(other, scaled[::3], y[::3]).mean() - base, rel=0.1)  # by one step


def test_planted_wrong_labels_come_first():
    """Of 3 % planted in digits, 90 % and more within the top 5 % of the rows, without folds."""
    X, y = load_digits(return_X_y=True)
    rng = np.random.default_rng(0)
    wrong = rng.choice(len(y), size=round(0.03 * len(y)), replace=False)
    noisy = y.copy()
    noisy[wrong] = (y[wrong] + rng.integers(1, 10, size=len(wrong))) % 10
    model = SoftmaxRegression(0.3).fit(X, noisy)
    suspects = np.argsort(-leave_one_out(model, X, noisy).loss)[: round(0.05 * len(y))]
    assert np.isin(wrong, suspects).mean() >= 0.9


def test_rows_of_a_long_step_are_fitted_again():
    """And only where one Newton step is too short; then loss, distance and influence are those of the fit."""
    X, y = load_wine(return_X_y=True)
    model = SoftmaxRegression(0.01, **TIGHT).fit(X, y)
    rows = leave_one_out(model, X, y)
    change = influence_on(model, X, y, X[::2], y[::2])
    assert 1 <= rows.refitted.sum() <= 20
    place = int(np.flatnonzero(rows.refitted)[0])
    own, moved = refits(model, X, y, X[::2], y[::2], [place])
    assert (rows.loss[place], change[place]) == (pytest.approx(own[0], rel=1e-3), pytest.approx(moved[0], rel=1e-3))
    kept = np.arange(len(X)) != place
    other = SoftmaxRegression(0.01, **TIGHT).fit(X[kept], y[kept])
    step = np.column_stack([other.coef_ - model.coef_, other.intercept_ - model.intercept_]).ravel()
    p = plain(model, X, y, weight_decay=0.01)
    assert rows.cooks_distance[place] == pytest.approx(step @ p.hessian @ step / p.effective_df, rel=1e-3)
    np.testing.assert_allclose(rows.probability[place], other.predict_proba(X[[place]])[0], atol=1e-4)


def test_the_only_row_of_a_class_keeps_its_newton_step():
    X, y, _ = random_problem(6)
    y[0], X[0] = 3, 5.0
    rows = leave_one_out(SoftmaxRegression(0.01, **TIGHT).fit(X, y), X, y)
    assert rows.loss[0] == rows.loss.max()
    assert not rows.refitted[0]
    assert np.isfinite(rows.loss).all()


def test_errors():
    X, y, _ = random_problem(5)
    model = SoftmaxRegression(0.1, classes=[0, 1, 2, 9], **TIGHT).fit(X, y)
    with pytest.raises(ValueError, match=r"y_test must have classes with weight in the fit, which \[9\] have not"):
        influence_on(model, X, y, X[:2], [0, 9])
    with pytest.raises(ValueError, match="must hold only labels in classes; got 1 other: 5"):
        influence_on(model, X, y, X[:2], [0, 5])
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        influence_on(model, X, y, X[:3], [0, 1])
