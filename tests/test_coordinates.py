"""The coordinates of a fit: nothing changes but the digits."""

import numpy as np
import pytest
from scipy import sparse

from skmax import SoftmaxRegression, cross_entropy
from skmax._coordinates import work_coordinates
from skmax._samples import samples_of


def objective(model, X, y, weight_decay):
    """f of a fitted model of labels 0, 1, ..., from the public functions."""
    z = X @ model.coef_.T + model.intercept_
    z = np.column_stack([np.zeros(len(z)), z]) if z.shape[1] == 1 else z
    return cross_entropy(z, y)[0].mean() + weight_decay / 2 * (model.coef_**2).sum()


@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("shape", [(30, 4), (6, 40)])
def test_coordinates_keep_the_logits_and_the_penalty_both_ways(centred, shape):
    rng = np.random.default_rng(1)
    X = rng.normal(size=shape)
    X[:, 0] += 1e8
    coordinates, samples, columns, _ = work_coordinates(samples_of(X, n_logits=3), centred=centred)
    x = np.vstack([block.x for block in samples.blocks(1)])
    np.testing.assert_allclose(columns.scale, np.sqrt(np.maximum(((x - columns.mean) ** 2).mean(axis=0), 0)), rtol=1e-6)
    coef, intercept = rng.normal(size=(3, x.shape[1])), rng.normal(size=3)
    outer_coef, outer_intercept = coordinates.outward(coef, intercept)
    expected = x @ coef.T + intercept
    tolerance = 1e-6 if centred else 1e-12  # numbers of 1e8 cancel, which is what the origin avoids
    np.testing.assert_allclose(X @ outer_coef.T + outer_intercept, expected, atol=tolerance * np.abs(expected).max())
    np.testing.assert_allclose(np.linalg.norm(outer_coef), np.linalg.norm(coef))
    back, back_intercept = coordinates.inward(outer_coef, outer_intercept)
    np.testing.assert_allclose(back, coef, atol=1e-12)
    np.testing.assert_allclose(back_intercept, intercept, atol=tolerance)


@pytest.mark.parametrize("options", [{}, {"fit_intercept": False}, {"weight_decay": 1e-3}], ids=str)
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("weighted", [False, True])
def test_a_wide_fit_is_the_same_in_the_coordinates_of_its_rows(monkeypatch, options, n_classes, weighted):
    rng = np.random.default_rng(2)
    X, y = rng.normal(size=(24, 60)) + 3, np.arange(24) % n_classes
    weight = rng.uniform(0.5, 2, size=24) if weighted else None
    rotated = SoftmaxRegression(tol=1e-12, **options).fit(X, y, weight)
    # As for inference, which leaves the columns as they are.
    monkeypatch.setattr(
        "skmax._problem.work_coordinates",
        lambda samples, **options: work_coordinates(samples, **{**options, "rotate": False}),
    )
    plain = SoftmaxRegression(tol=1e-12, **options).fit(X, y, weight)
    assert rotated.objective_ == pytest.approx(plain.objective_, abs=1e-11)
    np.testing.assert_allclose(rotated.predict_proba(X), plain.predict_proba(X), atol=1e-5)
    np.testing.assert_allclose(rotated.coef_, plain.coef_, atol=1e-4)


def test_rows_are_the_coordinates_only_where_they_are_few():
    X = np.random.default_rng(5).normal(size=(300, 400))

    def basis(X, n_logits):
        return work_coordinates(samples_of(X, n_logits=n_logits), centred=True)[0].basis

    assert basis(X, 1) is None
    assert basis(X, 3).reflections.shape == (400, 300)
    assert basis(X[:, :200], 3) is None
    assert basis(sparse.csr_array(X), 3) is None


def test_a_wide_warm_start_begins_where_it_ended():
    rng = np.random.default_rng(3)
    X, y = rng.normal(size=(24, 60)) + 3, np.arange(24) % 3
    model = SoftmaxRegression(warm_start=True).fit(X, y)
    last = model.objective_
    model.fit(X, y)
    assert model.n_iter_ == 0
    assert model.loss_curve_[0] == pytest.approx(last, rel=1e-9)


@pytest.mark.parametrize(("dtype", "offset", "tolerance"), [(np.float64, 1e12, 1e-6), (np.float32, 3e4, 1e-3)])
def test_columns_far_from_zero_lose_no_digits(dtype, offset, tolerance):
    """Steps of 1/16 at 1e12, of 1/256 at 3e4, are exact in the dtype: the fit must be that of the column moved back."""
    rng = np.random.default_rng(4)
    x = np.round(rng.normal(size=(300, 2)) * 8) / 8
    y = (x.sum(axis=1) + rng.normal(size=300) > 0).astype(int) + (x[:, 0] > 1)
    expected = SoftmaxRegression(tol=1e-9).fit(x, y)
    model = SoftmaxRegression(tol=1e-9 if dtype == np.float64 else 1e-6).fit(
        (x + np.array([0, offset])).astype(dtype), y
    )
    assert model.converged_
    assert model.objective_ == pytest.approx(expected.objective_, abs=1e-6)
    np.testing.assert_allclose(model.coef_, expected.coef_, atol=10 * tolerance)


def test_columns_of_ids_and_constants_as_in_a_sky_survey(load):
    """Ids of 1e18, a constant one among them, beside columns of 1e-2."""
    X, y, _ = load("sdss_sky")
    model = SoftmaxRegression().fit(X, y)
    labels = np.unique(y, return_inverse=True)[1]
    assert model.converged_
    assert np.isfinite(model.coef_).all()
    np.testing.assert_array_equal(model.coef_[:, 0], 0)  # objid is constant
    assert objective(model, X, labels, 1 / len(y)) == pytest.approx(model.objective_, abs=1e-6)
