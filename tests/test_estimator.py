"""SoftmaxRegression: what fit stores, what the methods return, what they refuse."""

import pickle
import warnings

import joblib
import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine, make_classification
from sklearn.exceptions import ConvergenceWarning, DataConversionWarning, NotFittedError
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from skmax import SoftmaxRegression, log_softmax, softmax

IRIS = load_iris(return_X_y=True)
WINE = load_wine(return_X_y=True)


def binary(data=WINE):
    X, y = data
    return X[y < 2], y[y < 2]


def same_fit(model, other, X, atol=1e-12):
    np.testing.assert_array_equal(model.classes_, other.classes_)
    np.testing.assert_allclose(model.predict_proba(X), other.predict_proba(X), atol=atol)


# What a fit stores


def test_fitted_attributes():
    X, y = WINE
    model = SoftmaxRegression().fit(X, y)
    assert model.coef_.shape == (3, 13)
    assert model.intercept_.shape == (3,)
    assert model.n_features_in_ == 13
    assert model.converged_ is True
    assert 0 <= model.gap_ <= model.tol
    assert model.loss_curve_.shape == (model.n_iter_ + 1,)
    assert model.loss_curve_[-1] == model.objective_
    assert (np.diff(model.loss_curve_) <= 0).all()
    # The start is the class frequencies, whose cross-entropy is their entropy.
    frequency = np.bincount(y) / len(y)
    assert model.loss_curve_[0] == pytest.approx(-frequency @ np.log(frequency))
    np.testing.assert_allclose(model.coef_.sum(axis=0), 0, atol=1e-12)
    assert model.intercept_.sum() == pytest.approx(0, abs=1e-9)


def test_objective_is_the_documented_formula():
    X, y = WINE
    weight = np.random.default_rng(0).uniform(1, 2, len(y))
    model = SoftmaxRegression(0.1).fit(X, y, weight)
    loss = -model.predict_log_proba(X)[np.arange(len(y)), y]
    expected = weight @ loss / weight.sum() + 0.1 / 2 * (model.coef_**2).sum()
    assert model.objective_ == pytest.approx(expected, rel=1e-12)


def test_two_classes_have_one_logit():
    X, y = binary()
    model = SoftmaxRegression().fit(X, y)
    assert model.coef_.shape == (1, 13)
    assert model.intercept_.shape == (1,)
    z = model.decision_function(X)
    assert z.shape == (len(X),)
    np.testing.assert_allclose(model.predict_proba(X)[:, 1], 1 / (1 + np.exp(-z)), rtol=1e-12)
    np.testing.assert_allclose(model.predict_log_proba(X), log_softmax(np.column_stack([0 * z, z])), rtol=1e-12)
    np.testing.assert_array_equal(model.predict(X), (z > 0).astype(int))


def test_without_intercept_it_is_zero():
    model = SoftmaxRegression(fit_intercept=False).fit(*IRIS)
    np.testing.assert_array_equal(model.intercept_, 0)


@pytest.mark.parametrize("tol", [1e-2, 1e-4, 1e-6, 1e-9])
@pytest.mark.parametrize(
    "data", [IRIS, WINE, binary(), load_digits(return_X_y=True)], ids=["iris", "wine", "wine2", "digits"]
)
def test_the_objective_lies_within_tol_of_the_minimum(data, tol):
    best = SoftmaxRegression(tol=1e-13).fit(*data).objective_
    model = SoftmaxRegression(tol=tol).fit(*data)
    assert model.converged_
    assert model.objective_ - best <= 3 * tol  # an estimate, by a Hessian that is not that of the minimum
    assert model.gap_ <= tol


def test_fitting_twice_gives_the_same_bits():
    first, second = (SoftmaxRegression().fit(*WINE) for _ in range(2))
    np.testing.assert_array_equal(first.coef_, second.coef_)
    np.testing.assert_array_equal(first.loss_curve_, second.loss_curve_)


def test_shifting_and_scaling_columns_hardly_matters_to_the_solver():
    X, y = WINE
    model = SoftmaxRegression(0).fit(X[:, :4], y)
    other = SoftmaxRegression(0).fit(1e6 * X[:, :4] + [0, 1e8, -1e9, 1], y)
    assert other.converged_
    assert other.objective_ == pytest.approx(model.objective_, abs=1e-8)
    same_fit_at = np.abs(other.predict_proba(1e6 * X[:, :4] + [0, 1e8, -1e9, 1]) - model.predict_proba(X[:, :4])).max()
    assert same_fit_at < 1e-3


def test_verbose_prints_a_line_a_stage(capsys):
    model = SoftmaxRegression(verbose=1).fit(*WINE)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) >= 2
    assert lines[0].startswith("iteration    0   objective 1.08")
    assert lines[-1].split()[1] == str(model.n_iter_)
    assert f"estimated gap {model.gap_:.1e}" in lines[-1]
    assert all(line.endswith("   preconditioner: full") for line in lines[:-1])
    assert "preconditioner" not in lines[-1]  # there is no stage after the end
    SoftmaxRegression().fit(*WINE)
    assert capsys.readouterr().out == ""


def test_verbose_names_each_preconditioner_and_its_rows(capsys):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(5000, 40))
    SoftmaxRegression(1e-6, verbose=1).fit(X, X[:, :3].argmax(axis=1))
    first, second = capsys.readouterr().out.splitlines()[:2]
    assert first.endswith("   preconditioner: Kronecker")
    assert second.endswith("   preconditioner: full, 2000 of 5000 rows")
    SoftmaxRegression(1e-7, verbose=1).fit(*load_digits(return_X_y=True))
    first, *later, _ = (line.partition("preconditioner: ")[2] for line in capsys.readouterr().out.splitlines())
    assert first == "Kronecker"
    assert later[0] == "block"
    assert later[-1] == "full"  # a fit that has taken so long is worth it


# Warnings


def test_too_few_iterations_warn_of_how_far_the_minimum_is():
    with pytest.warns(ConvergenceWarning, match=r"estimated \d.*e.* above its minimum.*after 3 iter.*Raise max_iter"):
        model = SoftmaxRegression(max_iter=3).fit(*WINE)
    assert model.converged_ is False
    assert model.n_iter_ == 3
    assert model.gap_ > model.tol


def test_no_iterations_leave_the_start():
    X, y = WINE
    with pytest.warns(ConvergenceWarning, match=r"above its minimum.*after 0 iterations. Raise max_iter"):
        model = SoftmaxRegression(max_iter=0).fit(X, y)
    frequency = np.bincount(y) / len(y)
    np.testing.assert_allclose(model.predict_proba(X), np.tile(frequency, (len(y), 1)), rtol=1e-12)
    np.testing.assert_array_equal(model.coef_, 0)
    assert (model.n_iter_, model.converged_, len(model.loss_curve_)) == (0, False, 1)
    warm = SoftmaxRegression(warm_start=True, tol=1e-4).fit(X, y)
    before = warm.predict_proba(X)
    np.testing.assert_allclose(warm.set_params(max_iter=0).fit(X, y).predict_proba(X), before, atol=1e-9)
    assert (warm.n_iter_, warm.converged_) == (0, True)


def test_an_unreachable_tol_warns_of_float_precision():
    with pytest.warns(ConvergenceWarning, match="No step from here makes it smaller, at the limit of float precision"):
        SoftmaxRegression(tol=1e-300).fit(*WINE)


@pytest.mark.parametrize("data", [IRIS, binary()], ids=["three", "two"])
def test_separable_data_without_weight_decay_warn_that_the_minimum_is_at_infinity(data):
    X, y = data
    X = X[y != 1] if len(np.unique(y)) == 3 else X
    y = y[y != 1] if len(np.unique(y)) == 3 else y
    with pytest.warns(ConvergenceWarning, match="separates the classes.*minimum at infinity.*weight_decay"):
        model = SoftmaxRegression(0).fit(X, y)
    assert np.isfinite(model.coef_).all()
    assert model.score(X, y) == 1
    assert model.objective_ <= 1e-5


# Data forms


@pytest.mark.parametrize(
    "form",
    [
        np.asfortranarray,
        lambda X: X[:, ::-1][:, ::-1],
        lambda X: np.repeat(X, 2, axis=1)[:, ::2],
        pd.DataFrame,
        lambda X: X.tolist(),
        sparse.csr_array,
        sparse.csc_array,
        sparse.coo_array,
        sparse.csr_matrix,
        sparse.csc_matrix,
        sparse.coo_matrix,
        sparse.lil_array,
    ],
)
def test_forms_of_X_agree(form):
    X, y = IRIS
    model = SoftmaxRegression().fit(X, y)
    other = SoftmaxRegression().fit(form(X), y)
    assert other.n_iter_ == model.n_iter_
    np.testing.assert_allclose(other.predict_proba(form(X)), model.predict_proba(X), atol=1e-9)


def small_sparse():
    X = sparse.csr_array(sparse.random(60, 8, density=0.3, random_state=0))
    X.data[::5] = 0  # stored zeros
    X = sparse.csr_array(sparse.vstack([X, sparse.csr_array((3, 8))]))  # rows without entries
    X = sparse.csr_array(sparse.hstack([X, sparse.csr_array((63, 2))]))  # columns without entries
    return X, np.arange(63) % 3


@pytest.mark.parametrize("index_dtype", [np.int32, np.int64])
@pytest.mark.parametrize("weight_decay", ["1/n_samples", 0])
def test_sparse_equals_dense(index_dtype, weight_decay):
    X, y = small_sparse()
    dense = SoftmaxRegression(weight_decay, tol=1e-12).fit(X.toarray(), y)
    X.indices, X.indptr = X.indices.astype(index_dtype), X.indptr.astype(index_dtype)
    model = SoftmaxRegression(weight_decay, tol=1e-12).fit(X, y)
    np.testing.assert_allclose(model.predict_proba(X), dense.predict_proba(X.toarray()), atol=1e-6)
    np.testing.assert_allclose(model.coef_[:, 8:], 0, atol=1e-12)


def test_sparse_input_is_neither_changed_nor_copied(monkeypatch):
    X, y = small_sparse()
    before = X.copy()
    seen = []
    from skmax import _target

    samples_of = _target.samples_of
    monkeypatch.setattr(_target, "samples_of", lambda X, *a, **k: seen.append(X) or samples_of(X, *a, **k))
    SoftmaxRegression().fit(X, y)
    assert np.shares_memory(seen[0].data, X.data)
    np.testing.assert_array_equal(X.data, before.data)
    np.testing.assert_array_equal(X.indices, before.indices)


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_array])
def test_float32_stays_float32(form):
    X, y = IRIS
    model = SoftmaxRegression().fit(form(X.astype(np.float32)), y)
    double = SoftmaxRegression().fit(X, y)
    assert model.converged_
    assert model.coef_.dtype == model.intercept_.dtype == np.float32
    assert model.predict_proba(form(X.astype(np.float32))).dtype == np.float32
    assert model.predict_log_proba(form(X.astype(np.float32))).dtype == np.float32
    # tol is 1e-6 in the objective, so about 1e-3 in probability
    np.testing.assert_allclose(model.predict_proba(X.astype(np.float32)), double.predict_proba(X), atol=2e-3)


@pytest.mark.parametrize("dtype", [np.int64, np.uint8, np.float16, bool])
def test_other_dtypes_become_float64(dtype):
    X, y = load_digits(return_X_y=True)
    X, y = (X[:300] > 8 if dtype is bool else X[:300]), y[:300]
    model = SoftmaxRegression(0.01).fit(X.astype(dtype), y)
    assert model.coef_.dtype == np.float64
    same_fit(model, SoftmaxRegression(0.01).fit(X.astype(float), y), X.astype(dtype))


def test_read_only_and_mapped_arrays(tmp_path):
    X, y = WINE
    expected = SoftmaxRegression().fit(X, y)
    mapped = np.memmap(tmp_path / "X", dtype=np.float64, mode="w+", shape=X.shape)
    mapped[:] = X
    mapped.flush()
    mapped = np.memmap(tmp_path / "X", dtype=np.float64, mode="r", shape=X.shape)
    weight = np.ones(len(y))
    for array in (labels := y.copy(), weight):
        array.setflags(write=False)
    same_fit(SoftmaxRegression().fit(mapped, labels, weight), expected, X, atol=1e-9)
    distributions = np.eye(3)[y]
    distributions.setflags(write=False)
    same_fit(SoftmaxRegression(class_weight={0: 1.0}).fit(mapped, distributions), expected, X, atol=1e-9)


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_frames_carry_feature_names(library):
    frames = pytest.importorskip(library)
    X, y = IRIS
    frame = frames.DataFrame({name: X[:, k] for k, name in enumerate("abcd")})
    model = SoftmaxRegression().fit(frame, y)
    assert model.feature_names_in_.tolist() == list("abcd")
    same_fit(model, SoftmaxRegression().fit(frame, y), frame)
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(frame[list("bacd")])
    np.testing.assert_array_equal(model.predict(frame), SoftmaxRegression().fit(X, y).predict(X))


@pytest.mark.parametrize(
    "labels",
    [
        lambda y: np.array(["setosa", "versicolor", "virginica"])[y],
        lambda y: np.array(["setosa", "versicolor", "virginica"], dtype=object)[y],
        lambda y: pd.Series(["setosa", "versicolor", "virginica"]).loc[y].reset_index(drop=True),
        lambda y: pd.Categorical.from_codes(y, ["setosa", "versicolor", "virginica"]),
        lambda y: pd.Series(pd.Categorical.from_codes(y, ["setosa", "versicolor", "virginica"])),
        lambda y: pytest.importorskip("polars").Series(np.array(["setosa", "versicolor", "virginica"])[y]),
        lambda y: [["setosa", "versicolor", "virginica"][k] for k in y],
    ],
)
def test_labels_of_strings_in_any_container(labels):
    X, y = IRIS
    model = SoftmaxRegression().fit(X, labels(y))
    assert model.classes_.tolist() == ["setosa", "versicolor", "virginica"]
    assert model.predict(X[[0, 60, 140]]).tolist() == ["setosa", "versicolor", "virginica"]
    assert model.score(X, labels(y)) == SoftmaxRegression().fit(X, y).score(X, y)


@pytest.mark.parametrize(
    "map_labels", [lambda y: y * 2.0, lambda y: y - 7, lambda y: y == 1], ids=["float", "-", "bool"]
)
def test_numeric_labels(map_labels):
    X, y = IRIS
    labels = map_labels(y)
    model = SoftmaxRegression().fit(X, labels)
    assert model.classes_.dtype == labels.dtype
    assert model.predict(X).dtype == labels.dtype


def test_large_values_are_looked_at_without_a_warning():
    X = np.tile([[1.0], [-1.0]], (75, 4)) * 1e308
    model = SoftmaxRegression().fit(*IRIS)
    model.coef_ *= 0
    assert model.predict(X).shape == (150,)
    with pytest.raises(ValueError, match="X must have values whose squares are finite"):
        SoftmaxRegression().fit(X, IRIS[1])
    longer = np.full((150, 2), np.finfo(np.longdouble).max)
    with pytest.raises(ValueError, match=r"Input X contains infinity|squares are finite"):  # where they are no longer
        SoftmaxRegression().fit(longer, IRIS[1])


def test_a_column_vector_of_labels_warns_as_scikit_learn_does():
    X, y = IRIS
    with pytest.warns(DataConversionWarning, match="column-vector"):
        model = SoftmaxRegression().fit(X, y[:, None])
    same_fit(model, SoftmaxRegression().fit(X, y), X)


# Soft targets


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("options", [{}, {"class_weight": "balanced"}, {"class_weight": {0: 3.0}}], ids=str)
def test_distributions_equal_rows_replicated_once_per_class(n_classes, options):
    X, _ = WINE
    rng = np.random.default_rng(0)
    Y, weight = rng.dirichlet(np.ones(n_classes), size=len(X)), rng.uniform(1, 2, size=len(X))
    soft = SoftmaxRegression(0.01, tol=1e-13, **options).fit(X, Y, weight)
    hard = SoftmaxRegression(0.01, tol=1e-13, **options).fit(
        X.repeat(n_classes, axis=0), np.tile(np.arange(n_classes), len(X)), (weight[:, None] * Y).ravel()
    )
    assert soft.objective_ == pytest.approx(hard.objective_, abs=1e-10)
    same_fit(soft, hard, X, atol=1e-6)


@pytest.mark.parametrize("dtype", [int, bool, np.float32, float])
def test_one_hot_rows_are_labels(dtype):
    X, y = WINE
    same_fit(SoftmaxRegression().fit(X, np.eye(3, dtype=dtype)[y]), SoftmaxRegression().fit(X, y), X)


def test_frames_of_distributions():
    X, y = WINE
    Y = pd.DataFrame(np.eye(3)[y], columns=["a", "b", "c"])
    model = SoftmaxRegression(classes=["a", "b", "c"]).fit(X, Y)
    assert model.predict(X[:1]).tolist() == ["a"]


def test_float32_distributions_of_many_classes_are_accepted():
    rng = np.random.default_rng(0)
    Y = rng.dirichlet(np.ones(200), size=300).astype(np.float32)
    model = SoftmaxRegression(0.1).fit(rng.normal(size=(300, 2)), Y)
    assert model.converged_


def test_score_of_distributions_is_the_expected_accuracy():
    X, y = WINE
    Y = 0.7 * np.eye(3)[y] + 0.1
    model = SoftmaxRegression().fit(X, Y)
    prediction = model.predict(X)
    assert model.score(X, Y) == pytest.approx(np.mean(np.where(prediction == y, 0.8, 0.1)))
    weight = np.arange(len(y))
    assert model.score(X, Y, weight) == pytest.approx(np.average(np.where(prediction == y, 0.8, 0.1), weights=weight))
    assert model.score(X, np.eye(3)[y]) == pytest.approx(model.score(X, y))
    assert model.score(X, y, weight) == pytest.approx(np.average(prediction == y, weights=weight))
    assert model.score(X, y, 2.0) == model.score(X, y)  # a number stands for as many, as in `fit`


# Known classes


def test_a_class_without_rows_keeps_its_column_with_probability_zero():
    X, y = IRIS
    model = SoftmaxRegression(classes=[3, 1, 0, 2, -1]).fit(X, y)
    assert model.classes_.tolist() == [-1, 0, 1, 2, 3]
    probability = model.predict_proba(X)
    np.testing.assert_array_equal(probability[:, [0, 4]], 0)
    np.testing.assert_allclose(probability[:, 1:4], SoftmaxRegression().fit(X, y).predict_proba(X), atol=1e-12)
    np.testing.assert_array_equal(model.intercept_[[0, 4]], -np.inf)
    np.testing.assert_array_equal(model.coef_[[0, 4]], 0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert (model.predict_log_proba(X)[:, [0, 4]] == -np.inf).all()
    assert model.score(X, y) == SoftmaxRegression().fit(X, y).score(X, y)
    assert set(model.predict_top_k(X, 5)[:, 3:].ravel()) == {-1, 3}


@pytest.mark.parametrize("form", [np.asarray, np.float32, sparse.csr_array])
@pytest.mark.parametrize("parameters", [{}, {"weight_decay": 0, "fit_intercept": False}], ids=["plain", "free"])
@pytest.mark.parametrize(("n_classes", "one"), [(2, 0), (2, 1), (3, 0), (3, 1), (3, 2)], ids=lambda number: str(number))
def test_a_class_that_has_all_of_the_weight_is_certain(form, parameters, n_classes, one):
    X, y = form(IRIS[0][: 50 * n_classes]), IRIS[1][: 50 * n_classes]
    model = SoftmaxRegression(**parameters).fit(X, y, sample_weight=y == one)
    certain = np.eye(n_classes)[np.full(len(y), one)]
    np.testing.assert_array_equal(model.predict_proba(X), certain)
    np.testing.assert_array_equal(model.predict_log_proba(X), np.where(certain == 1, 0, -np.inf))
    np.testing.assert_array_equal(model.predict(X), one)
    np.testing.assert_array_equal(model.predict_top_k(X, n_classes)[:, 0], one)
    infinite = np.where(certain == 1, 0 if n_classes > 2 else np.inf, -np.inf)
    np.testing.assert_array_equal(model.decision_function(X), infinite if n_classes > 2 else infinite[:, 1])
    np.testing.assert_array_equal(model.coef_, np.zeros((1 if n_classes == 2 else n_classes, 4)))
    np.testing.assert_array_equal(model.intercept_, infinite[0] if n_classes > 2 else infinite[0, 1:])
    assert model.coef_.dtype == model.intercept_.dtype == X.dtype
    assert (model.objective_, model.gap_, model.converged_, model.n_iter_) == (0, 0, True, 0)
    np.testing.assert_array_equal(model.loss_curve_, [0])
    exported = model.to_logistic_regression()
    np.testing.assert_array_equal(exported.predict_proba(X), certain)
    np.testing.assert_array_equal(exported.predict(X), one)
    # A later fit from there, and one that comes back to it.
    model.set_params(warm_start=True, weight_decay=0.1)
    same_fit(model.fit(X, y), SoftmaxRegression(**parameters | {"weight_decay": 0.1}).fit(X, y), X, atol=0.02)
    np.testing.assert_array_equal(model.fit(X, y, y == one).predict_proba(X), certain)


def test_labels_that_are_all_the_same_need_the_names_of_others():
    X = IRIS[0]
    known = SoftmaxRegression(classes=["a", "b", "c"]).fit(X, ["b"] * 150)
    np.testing.assert_array_equal(known.predict_proba(X), np.tile([0.0, 1, 0], (150, 1)))
    columns = SoftmaxRegression().fit(X, np.tile([0.0, 1, 0], (150, 1)))
    np.testing.assert_array_equal(columns.predict_proba(X), known.predict_proba(X))
    with pytest.raises(ValueError, match=r"y must hold at least 2 classes, or classes= name them; got one class, 'b'"):
        SoftmaxRegression().fit(X, ["b"] * 150)


def test_two_present_of_three_known_classes_are_still_a_softmax_of_three():
    """The penalty is on two rows of half the length: half of that of the single logit of two known classes."""
    X, y = binary()
    known = SoftmaxRegression(0.2, classes=[0, 1, 2], tol=1e-13).fit(X, y)
    two = SoftmaxRegression(0.1, tol=1e-13).fit(X, y)
    np.testing.assert_allclose(known.predict_proba(X)[:, :2], two.predict_proba(X), atol=1e-6)
    np.testing.assert_array_equal(known.predict_proba(X)[:, 2], 0)


def test_distributions_with_an_empty_column():
    X, y = WINE
    model = SoftmaxRegression(classes=list("abcd")).fit(X, np.eye(4)[y])
    np.testing.assert_array_equal(model.predict_proba(X)[:, 3], 0)
    np.testing.assert_allclose(
        model.predict_proba(X)[:, :3], SoftmaxRegression().fit(X, y).predict_proba(X), atol=1e-12
    )


# Weights


@pytest.mark.parametrize("n_classes", [2, 3])
def test_an_integer_weight_is_a_repeated_row_and_zero_a_removed_one(n_classes):
    X, y = WINE if n_classes == 3 else binary()
    count = np.random.default_rng(0).integers(0, 4, size=len(y))
    weighted = SoftmaxRegression().fit(X, y, count)
    repeated = SoftmaxRegression().fit(X.repeat(count, axis=0), y.repeat(count))
    same_fit(weighted, repeated, X, atol=1e-8)  # the same steps, rounded differently


def test_a_class_of_zero_weight_stays_with_probability_zero():
    """As in scikit-learn 1.9, `classes_` are the labels in `y`, whatever their weight."""
    X, y = WINE
    weight = np.where(y == 1, 0.0, 1.0)
    model = SoftmaxRegression().fit(X, y, weight)
    assert model.classes_.tolist() == [0, 1, 2]
    np.testing.assert_array_equal(model.predict_proba(X)[:, 1], 0)
    removed = SoftmaxRegression(classes=[0, 1, 2]).fit(X[y != 1], y[y != 1])
    same_fit(model, removed, X, atol=1e-8)


def test_scaling_all_weights_changes_nothing():
    X, y = WINE
    weight = np.random.default_rng(0).uniform(0.1, 2, size=len(y))
    model = SoftmaxRegression(0.01).fit(X, y, weight)
    for factor in (1e-9, 1e9):
        same_fit(SoftmaxRegression(0.01).fit(X, y, factor * weight), model, X, atol=1e-8)


def test_a_single_number_weighs_all_rows():
    X, y = WINE
    same_fit(SoftmaxRegression(0.01).fit(X, y, 3), SoftmaxRegression(0.01).fit(X, y), X, atol=1e-9)


# Warm starts


@pytest.mark.parametrize("data", [WINE, binary()], ids=["three", "two"])
def test_a_warm_start_takes_fewer_iterations(data):
    X, y = data
    model = SoftmaxRegression(0.01, warm_start=True).fit(X, y)
    cold = model.n_iter_
    model.fit(X, y)
    assert model.n_iter_ == 0
    model.set_params(weight_decay=0.009).fit(X, y)
    assert 0 < model.n_iter_ < cold
    fresh = SoftmaxRegression(0.009).fit(X, y)
    assert model.n_iter_ < fresh.n_iter_
    assert model.loss_curve_[0] < fresh.loss_curve_[0]
    np.testing.assert_allclose(model.predict_proba(X), fresh.predict_proba(X), atol=2e-3)  # tol=1e-6 in the objective


def test_a_warm_start_takes_in_a_class_that_had_no_rows():
    X, y = WINE
    model = SoftmaxRegression(classes=[0, 1, 2], warm_start=True, tol=1e-12).fit(X[y < 2], y[y < 2])
    model.fit(X, y)
    same_fit(model, SoftmaxRegression(tol=1e-12).fit(X, y), X, atol=1e-5)
    model.fit(X[y > 0], y[y > 0])
    same_fit(model, SoftmaxRegression(classes=[0, 1, 2], tol=1e-12).fit(X[y > 0], y[y > 0]), X, atol=1e-5)


@pytest.mark.parametrize("fit_intercept", [False, True])
def test_a_warm_start_may_change_fit_intercept(fit_intercept):
    X, y = IRIS
    model = SoftmaxRegression(fit_intercept=not fit_intercept, warm_start=True).fit(X, y)
    model.set_params(fit_intercept=fit_intercept).fit(X, y)
    expected = SoftmaxRegression(fit_intercept=fit_intercept).fit(X, y)
    np.testing.assert_allclose(model.predict_proba(X), expected.predict_proba(X), atol=2e-3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda X, y: (X.iloc[:, :3], y), r"n_features were 4; got 3.*new estimator"),
        (lambda X, y: (X, y + 1), r"classes were \[0, 1, 2\]; got \[1, 2, 3\]"),
        (lambda X, y: (X[y < 2], y[y < 2]), r"classes were \[0, 1, 2\]; got \[0, 1\].*classes= fixes the labels"),
        (lambda X, y: (X.rename(columns={"a": "e"}), y), "feature names were .*'a'.*; got .*'e'"),
        (lambda X, y: (X.to_numpy(), y), r"feature names were .*'a'.*; got \[\]"),
    ],
)
def test_a_warm_start_on_another_problem_is_an_error(change, message):
    X, y = pd.DataFrame(IRIS[0], columns=list("abcd")), IRIS[1]
    model = SoftmaxRegression(warm_start=True).fit(X, y)
    before = model.predict_proba(X)
    with pytest.raises(ValueError, match="warm_start=True continues an earlier fit, whose " + message):
        model.fit(*change(X, y))
    np.testing.assert_array_equal(model.predict_proba(X), before)


# Answers


def test_probabilities_are_the_softmax_of_the_logits():
    X, y = WINE
    model = SoftmaxRegression().fit(X, y)
    z = model.decision_function(X)
    np.testing.assert_allclose(z, X @ model.coef_.T + model.intercept_, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(model.predict_proba(X), softmax(z), rtol=1e-12)
    np.testing.assert_allclose(model.predict_log_proba(X), log_softmax(z), rtol=1e-10, atol=1e-14)
    np.testing.assert_array_equal(model.predict(X), z.argmax(axis=1))


@pytest.mark.parametrize("data", [WINE, binary()], ids=["three", "two"])
def test_log_probabilities_do_not_underflow(data):
    X, y = data
    model = SoftmaxRegression().fit(X, y)
    far = X[:3] * 1e6
    assert (model.predict_proba(far) == 0).any()
    assert np.isfinite(model.predict_log_proba(far)).all()
    assert model.predict_log_proba(far).min() < -1000


@pytest.mark.parametrize("data", [WINE, binary()], ids=["three", "two"])
def test_top_k(data):
    X, y = data
    model = SoftmaxRegression().fit(X, y.astype(str))
    n_classes = len(model.classes_)
    for k in range(1, n_classes + 1):
        top = model.predict_top_k(X, k)
        assert top.shape == (len(X), k)
        expected = model.classes_[np.argsort(-model.predict_proba(X), axis=1, kind="stable")[:, :k]]
        np.testing.assert_array_equal(top, expected)
    np.testing.assert_array_equal(model.predict_top_k(X, 1)[:, 0], model.predict(X))


def test_top_k_of_equally_probable_classes_are_the_first_ones():
    model = SoftmaxRegression(classes=np.arange(200)).fit(np.eye(6), [5, 100, 5, 100, 5, 100])
    model.coef_, model.intercept_ = np.zeros((200, 6)), np.repeat([0.0, 1.0, -np.inf, 1.0], 50)
    for k in (1, 3, 50, 70, 149, 150, 151, 199, 200):
        expected = np.r_[50:100, 150:200, 0:50, 100:150][:k]
        np.testing.assert_array_equal(model.predict_top_k(np.eye(6), k), np.tile(expected, (6, 1)))


@pytest.mark.parametrize("k", [0, 4, -1, 1.5, "2", None])
def test_top_k_refuses_other_numbers(k):
    model = SoftmaxRegression().fit(*WINE)
    with pytest.raises(ValueError, match=f"k must be an integer from 1 to the number of classes, 3; got {k!r}"):
        model.predict_top_k(WINE[0], k)


@pytest.mark.parametrize("block_size", [1, 10, 10**9])
def test_predictions_do_not_depend_on_the_blocks(monkeypatch, block_size):
    X, y = WINE
    model = SoftmaxRegression().fit(X, y)
    expected = model.predict_proba(X), model.predict(X), model.decision_function(X)
    monkeypatch.setattr("skmax._samples.base._BLOCK_SIZE", block_size)
    monkeypatch.setattr("skmax._samples.base._WIDE_BLOCK", (1, 1))
    np.testing.assert_allclose(model.predict_proba(X), expected[0], rtol=1e-9)
    np.testing.assert_array_equal(model.predict(X), expected[1])
    np.testing.assert_allclose(model.decision_function(X), expected[2], rtol=1e-9)


# Copies


@pytest.mark.parametrize("options", [{}, {"classes": [0, 1, 2, 9]}], ids=["plain", "absent"])
@pytest.mark.parametrize("data", [WINE, binary()], ids=["three", "two"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_the_exported_logistic_regression_agrees(data, options, dtype):
    X, y = data
    X = pd.DataFrame(X.astype(dtype))
    X.columns = [f"x{k}" for k in range(13)]
    model = SoftmaxRegression(**options).fit(X, y)
    exported = model.to_logistic_regression()
    tolerance = 1e-12 if dtype == np.float64 else 1e-5
    np.testing.assert_allclose(exported.predict_proba(X), model.predict_proba(X), atol=tolerance)
    np.testing.assert_array_equal(exported.predict(X), model.predict(X))
    assert exported.feature_names_in_.tolist() == X.columns.tolist()
    exported.coef_[:] = 0
    assert (model.coef_ != 0).any()


@pytest.mark.parametrize("options", [{}, {"classes": [0, 1, 2, 9]}], ids=["plain", "absent"])
@pytest.mark.parametrize("data", [WINE, binary()], ids=["three", "two"])
def test_onnx_round_trip(data, options):
    skl2onnx = pytest.importorskip("skl2onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    X, y = data
    model = SoftmaxRegression(**options).fit(X, y)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations inside the converter
        onnx = skl2onnx.to_onnx(model.to_logistic_regression(), X[:1], options={"zipmap": False})
    session = onnxruntime.InferenceSession(onnx.SerializeToString(), providers=["CPUExecutionProvider"])
    label, probability = session.run(None, {"X": X})
    # The converter may compute in float32, in which case logits of order 100 are off by 1e-5.
    np.testing.assert_allclose(
        probability, model.predict_proba(X), atol=1e-12 if probability.dtype == np.float64 else 1e-4
    )
    assert np.mean(label == model.predict(X)) > 0.99


@pytest.mark.parametrize("how", ["pickle", "joblib", "skops"])
@pytest.mark.parametrize("labels", [np.int64, str])
def test_stored_and_loaded(how, labels, tmp_path):
    X, y = WINE
    model = SoftmaxRegression(classes=["0", "1", "2", "9"] if labels is str else None).fit(X, y.astype(labels))
    if how == "pickle":
        other = pickle.loads(pickle.dumps(model))
    elif how == "joblib":
        joblib.dump(model, tmp_path / "model")
        other = joblib.load(tmp_path / "model", mmap_mode="r")
    else:
        skops = pytest.importorskip("skops.io")
        data = skops.dumps(model)
        other = skops.loads(data, trusted=["skmax._estimator.SoftmaxRegression"])
    np.testing.assert_array_equal(other.predict_proba(X), model.predict_proba(X))
    np.testing.assert_array_equal(other.predict(X), model.predict(X))
    assert other.get_params() == model.get_params()


# Bad input

NAN = np.where(np.eye(150, 4) == 1, np.nan, 1.0)
INF = np.where(np.eye(150, 4) == 1, np.inf, 1.0)
GOOD = np.eye(3)[IRIS[1]]


def weights(position, value):
    weight = np.ones(150)
    weight[position] = value
    return weight


# name: (parameters, X, y, sample_weight, error, message); None stands for what is right.
BAD_FITS = {
    "weight_decay negative": (dict(weight_decay=-1), None, None, None, ValueError, "'weight_decay'.*Got -1"),
    "weight_decay NaN": (dict(weight_decay=np.nan), None, None, None, ValueError, "'weight_decay'.*Got nan"),
    "weight_decay infinite": (dict(weight_decay=np.inf), None, None, None, ValueError, "'weight_decay'.*Got inf"),
    "weight_decay text": (dict(weight_decay="1/n"), None, None, None, ValueError, "'weight_decay'.*Got '1/n'"),
    "weight_decay None": (dict(weight_decay=None), None, None, None, ValueError, "'weight_decay'.*Got None"),
    "fit_intercept text": (dict(fit_intercept="no"), None, None, None, ValueError, "'fit_intercept'.*Got 'no'"),
    "class_weight text": (dict(class_weight="even"), None, None, None, ValueError, "'class_weight'.*Got 'even'"),
    "class_weight list": (dict(class_weight=[1, 2]), None, None, None, ValueError, r"'class_weight'.*Got \[1, 2\]"),
    "class_weight unknown": (dict(class_weight={7: 1}), None, None, None, ValueError, "class_weight.*got 7"),
    "class_weight negative": (dict(class_weight={0: -1}), None, None, None, ValueError, "class_weight.*got -1"),
    "class_weight NaN": (dict(class_weight={0: np.nan}), None, None, None, ValueError, "class_weight.*got nan"),
    "classes number": (dict(classes=3), None, None, None, ValueError, "'classes'.*Got 3"),
    "classes empty": (dict(classes=[]), None, None, None, ValueError, r"classes must be at least 2.*got \[\]"),
    "classes mixed": (
        dict(classes=[0, "a"]),
        None,
        None,
        None,
        TypeError,
        r"classes must be.*one type; got \[0, 'a'\]",
    ),
    "classes repeated": (dict(classes=[0, 0, 1, 2]), None, None, None, ValueError, "classes.*different labels"),
    "classes too few": (dict(classes=[0, 1]), None, None, None, ValueError, "labels in classes; got 1 other: 2"),
    "classes other type": (dict(classes=["a", "b"]), None, None, None, ValueError, "labels in classes; got 3 other"),
    "tol zero": (dict(tol=0), None, None, None, ValueError, "'tol'.*Got 0"),
    "tol negative": (dict(tol=-1e-3), None, None, None, ValueError, "'tol'.*Got -0.001"),
    "max_iter negative": (dict(max_iter=-1), None, None, None, ValueError, "'max_iter'.*Got -1"),
    "max_iter float": (dict(max_iter=10.5), None, None, None, ValueError, "'max_iter'.*Got 10.5"),
    "warm_start text": (dict(warm_start="yes"), None, None, None, ValueError, "'warm_start'.*Got 'yes'"),
    "verbose negative": (dict(verbose=-1), None, None, None, ValueError, "'verbose'.*Got -1"),
    "X NaN": ({}, NAN, None, None, ValueError, "Input X contains NaN"),
    "X infinite": ({}, INF, None, None, ValueError, "Input X contains infinity"),
    "X NaN sparse": ({}, sparse.csr_array(NAN), None, None, ValueError, "Input X contains NaN"),
    "X infinite float32": ({}, INF.astype(np.float32), None, None, ValueError, "Input X contains infinity"),
    "X too large": ({}, IRIS[0] * 1e200, None, None, ValueError, "X must have values whose squares are.*column 0"),
    "X too large, sparse": ({}, sparse.csr_array(IRIS[0] * [1, 1, 1e200, 1]), None, None, ValueError, "X.*column 2"),
    "X complex": ({}, IRIS[0] * 1j, None, None, ValueError, "Complex data not supported"),
    "X text": ({}, np.full((150, 4), "a"), None, None, ValueError, "X must be finite.*: could not convert string"),
    "X ragged": ({}, [[1, 2], [3]] * 75, None, None, ValueError, "X must be finite.*inhomogeneous"),
    "X of objects": ({}, [[{}, {}]] * 150, None, None, TypeError, "X must be finite.*not 'dict'"),
    "X of huge integers": ({}, [[10**400, 1]] * 150, None, None, ValueError, "X must be finite.*too large"),
    "X number": ({}, 3.0, None, None, ValueError, "X must be finite.*Expected 2D array, got scalar"),
    "X 1d": ({}, IRIS[0][:, 0], None, None, ValueError, "X must be.*Expected 2D array, got 1D"),
    "X 3d": ({}, IRIS[0][:, :, None], None, None, ValueError, "X must be.*dim 3"),
    "X without rows": ({}, np.zeros((0, 4)), np.zeros(0), None, ValueError, "X must be.*0 sample"),
    "X without columns": ({}, np.zeros((150, 0)), None, None, ValueError, r"X must be.*0 feature\(s\)"),
    "X shorter than y": ({}, IRIS[0][:100], None, None, ValueError, r"inconsistent.*\[100, 150\]"),
    "y missing": ({}, None, "None", None, ValueError, "requires y to be passed"),
    "y NaN": ({}, None, np.where(IRIS[1] == 2, np.nan, IRIS[1]), None, ValueError, "Input y contains NaN"),
    "y None": ({}, None, np.where(IRIS[1] == 2, None, "a"), None, (TypeError, ValueError), "y|label"),
    "y continuous": ({}, None, IRIS[0][:, 0], None, ValueError, "Unknown label type: continuous"),
    "y mixed types": ({}, None, np.where(IRIS[1] == 2, 1, np.array("a", object)), None, TypeError, "one type|'<'"),
    "y one class": ({}, None, np.ones(150, int), None, ValueError, "y must hold at least 2 classes.*one class, 1"),
    "y 3d": ({}, None, np.ones((150, 2, 2)), None, ValueError, "y must be labels.*dim 3"),
    "y ragged": ({}, None, [[0], [1, 2]] * 75, None, ValueError, "y must be labels.*inhomogeneous"),
    "y number": ({}, None, 3, None, TypeError, "y must be labels.*at least 1 dimension"),
    "y missing labels": ({}, None, pd.array(["a", None] * 75, "string"), None, TypeError, "y must be labels.*NA"),
    "y None inside": ({}, None, [0, None] * 75, None, ValueError, "y must be labels.*Unknown label type"),
    "y without rows": ({}, None, [], None, ValueError, "y must be labels.*0 sample"),
    "y multi-label": ({}, None, GOOD + np.eye(3)[(IRIS[1] + 1) % 3], None, ValueError, "OneVsRestClassifier"),
    "y multi-label int": ({}, None, np.ones((150, 3), int), None, ValueError, "sums to 3.*OneVsRestClassifier"),
    "y multi-label sparse": ({}, None, sparse.csr_array(np.ones((150, 3))), None, TypeError, "y must be dense"),
    "y counts": ({}, None, 5 * GOOD, None, ValueError, "sums to 5.*divide.*sample_weight"),
    "y negative": ({}, None, 2 * GOOD - np.eye(3)[(IRIS[1] + 1) % 3], None, ValueError, "non-negative.*got -1"),
    "y soft NaN": ({}, None, np.where(GOOD == 1, np.nan, 0), None, ValueError, "Input y contains NaN"),
    "y columns, classes": (dict(classes=[0, 1]), None, GOOD, None, ValueError, "name each column.*3 columns; got 2"),
    "y columns, unsorted": (dict(classes=[2, 1, 0]), None, GOOD, None, ValueError, "classes must be sorted"),
    "weight negative": ({}, None, None, weights(7, -0.5), ValueError, "sample_weight.*got -0.5 at position 7"),
    "weight all zero": ({}, None, None, np.zeros(150), ValueError, "sample_weight.*above zero; got 0"),
    "weight NaN": ({}, None, None, weights(3, np.nan), ValueError, "sample_weight contains NaN"),
    "weight infinite": ({}, None, None, weights(3, np.inf), ValueError, "sample_weight contains infinity"),
    "weight overflowing": ({}, None, None, np.full(150, 1e308), ValueError, "sample_weight.*finite sum.*got inf"),
    "weight short": ({}, None, None, np.ones(149), ValueError, r"sample_weight.*150 samples; got shape \(149,\)"),
    "weight 2d": ({}, None, None, np.ones((150, 1)), ValueError, r"sample_weight must be 1D.*got shape \(150, 1\)"),
    "weight text": ({}, None, None, np.full(150, "a"), ValueError, "sample_weight must be.*could not convert string"),
    "weight ragged": ({}, None, None, [1, [1, 2]] * 75, ValueError, "sample_weight must be.*sequence"),
    "weight number": ({}, None, None, -1.0, ValueError, "sample_weight must be non-negative; got -1"),
    "weight leaves none": (dict(class_weight=dict.fromkeys(range(3), 0)), None, None, None, ValueError, "y must.*none"),
}


@pytest.mark.parametrize("name", BAD_FITS)
@pytest.mark.parametrize("frame", [False, True])
def test_a_bad_fit_is_refused_before_any_work_and_leaves_an_earlier_fit_intact(name, frame, monkeypatch):
    parameters, X, y, sample_weight, error, message = BAD_FITS[name]
    good = pd.DataFrame(IRIS[0], columns=list("abcd")) if frame else IRIS[0]
    model = SoftmaxRegression().fit(good, IRIS[1])
    before = {key: np.copy(value) for key, value in vars(model).items() if key.endswith("_")}
    probability = model.predict_proba(good)
    model.set_params(**parameters)
    monkeypatch.setattr("skmax._path.minimize", lambda *a, **k: pytest.fail("work was begun"))
    with pytest.raises(error, match=message):
        model.fit(good if X is None else X, None if isinstance(y, str) else IRIS[1] if y is None else y, sample_weight)
    after = {key: value for key, value in vars(model).items() if key.endswith("_")}
    assert after.keys() == before.keys()
    for key in before:
        np.testing.assert_array_equal(after[key], before[key])
    np.testing.assert_array_equal(model.predict_proba(good), probability)


@pytest.mark.parametrize(
    "method", ["predict", "predict_proba", "predict_log_proba", "decision_function", "score", "to_logistic_regression"]
)
def test_use_before_fit(method):
    arguments = {"score": IRIS, "to_logistic_regression": ()}.get(method, IRIS[:1])
    with pytest.raises(NotFittedError, match="This SoftmaxRegression instance is not fitted yet"):
        getattr(SoftmaxRegression(), method)(*arguments)
    with pytest.raises(NotFittedError):
        SoftmaxRegression().predict_top_k(IRIS[0], 1)


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (IRIS[0][:, :3], "X has 3 features, but SoftmaxRegression is expecting 4"),
        (NAN, "Input X contains NaN"),
        (IRIS[0][0], "Expected 2D array, got 1D"),
        (np.zeros((0, 4)), "X must be finite.*0 sample"),
        ([[1, 2, 3, 4], [1]], "X must be finite.*inhomogeneous"),
        ([["a"] * 4], "X must be finite.*could not convert string"),
        (pd.DataFrame(IRIS[0], columns=list("abdc")), "(?s)^The feature names should match.*same order"),
        (pd.DataFrame(IRIS[0], columns=list("abce")), "(?s)feature names should match.*unseen at fit.*e"),
    ],
)
@pytest.mark.filterwarnings("ignore:X does not have valid feature names")  # arrays lack those that the frame had
def test_bad_input_to_predictions(X, message):
    model = SoftmaxRegression().fit(pd.DataFrame(IRIS[0], columns=list("abcd")), IRIS[1])
    for method in (model.predict, model.predict_proba, model.predict_log_proba, model.decision_function):
        with pytest.raises(ValueError, match=message):
            method(X)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (GOOD[:, :2] * 0 + 0.5, "one column for each of the 3 classes; got 2"),
        (GOOD[:100], r"inconsistent numbers of samples: \[150, 100\]"),
        (2 * GOOD, "row of y must sum to 1"),
        (IRIS[1][:100], "inconsistent numbers of samples"),
    ],
)
def test_bad_targets_to_score(y, message):
    with pytest.raises(ValueError, match=message):
        SoftmaxRegression().fit(*IRIS).score(IRIS[0], y)


def test_an_interrupted_fit_leaves_the_earlier_one(monkeypatch):
    X, y = IRIS
    model = SoftmaxRegression().fit(X, y)
    before = model.predict_proba(X)
    calls = []

    def interrupt(*arguments, **options):
        calls.append(1)
        raise KeyboardInterrupt

    monkeypatch.setattr("skmax._path.minimize", interrupt)
    with pytest.raises(KeyboardInterrupt):
        model.fit(X[:, :2], y == 1)
    assert calls
    np.testing.assert_array_equal(model.predict_proba(X), before)


def test_a_refit_without_names_forgets_the_earlier_names():
    X, y = IRIS
    model = SoftmaxRegression().fit(pd.DataFrame(X, columns=list("abcd")), y).fit(X, y)
    assert not hasattr(model, "feature_names_in_")


def test_large_problem_uses_the_diagonal_and_converges():
    X, y = make_classification(300, 200, n_informative=50, n_classes=10, random_state=0)
    model = SoftmaxRegression(0.01).fit(X, y)  # 2010 parameters
    exact = SoftmaxRegression(0.01, tol=1e-11).fit(X, y)
    assert model.converged_
    assert model.objective_ - exact.objective_ < 1e-5


def test_warnings_name_the_line_that_called_fit():
    with pytest.warns(ConvergenceWarning) as caught:
        SoftmaxRegression(max_iter=1).fit(*load_iris(return_X_y=True))
    assert caught[0].filename == __file__


@pytest.mark.parametrize("n_classes", [2, 3])
def test_targets_spread_over_classes_have_a_minimum_without_weight_decay(n_classes):
    """Each row's most probable class is on its side of a line, but none is sure: warnings are errors here."""
    y = np.arange(60) * n_classes // 60
    target = np.full((60, n_classes), 0.1)
    target[np.arange(60), y] = 1 - 0.1 * (n_classes - 1)
    model = SoftmaxRegression(0.0).fit(np.eye(n_classes)[y], target)
    assert model.converged_
    np.testing.assert_allclose(model.predict_proba(np.eye(n_classes)[y]), target, atol=5e-3)  # of a root of tol


# What a fit says of itself, on data that made it say too much.


@pytest.mark.parametrize("seed", range(30))
def test_a_typo_times_a_million_does_not_stop_a_fit_short(seed):
    """Of such tables, two in five once ended far from the minimum, and certain."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(100, 3))
    y = (X.sum(axis=1) + rng.logistic(size=100) > 0).astype(int)
    X[0, 0] *= 1e6
    model = SoftmaxRegression().fit(X, y)
    reference = LogisticRegression(solver="newton-cholesky", tol=1e-10, max_iter=1000)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reference.fit(X, y)
    z = X @ reference.coef_[0] + reference.intercept_[0]
    best = np.mean(np.logaddexp(0, z) - y * z) + np.sum(reference.coef_**2) / 200
    assert model.converged_
    assert model.objective_ <= best + 1e-9


@pytest.mark.parametrize("n_classes", [2, 3])
def test_more_columns_than_rows_without_weight_decay_are_separated(n_classes):
    for seed in range(15):
        rng = np.random.default_rng(seed)
        n_samples = int(rng.integers(6, 20))
        X, y = rng.normal(size=(n_samples, n_samples + int(rng.integers(0, 5)))), np.arange(n_samples) % n_classes
        with pytest.warns(ConvergenceWarning, match="separates the classes without error"):
            model = SoftmaxRegression(0.0).fit(X, y)
        assert model.score(X, y) == 1
        assert model.objective_ <= model.tol
        assert np.abs(model.coef_).max() < 1e3


@pytest.mark.parametrize("constant", [1.0, 1e4, -1e8])
def test_without_weight_decay_nothing_depends_on_a_constant_column(constant):
    x, y = np.arange(10.0)[:, None] % 3, [0, 1, 1, 0, 1, 0, 0, 1, 1, 0]
    alone = SoftmaxRegression(0.0).fit(x, y)
    beside = SoftmaxRegression(0.0).fit(np.column_stack([x, np.full(10, constant)]), y)
    assert beside.objective_ == pytest.approx(alone.objective_, rel=1e-14)
    np.testing.assert_allclose(beside.coef_, [[alone.coef_[0, 0], 0]], rtol=1e-9, atol=1e-15)
    np.testing.assert_allclose(beside.intercept_, alone.intercept_, rtol=1e-9)


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_array])
def test_without_weight_decay_dependent_columns_have_the_shortest_coefficients(form):
    """The limit of small weight decay, and of all coefficients with the same logits those of least norm."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 3)) * [1, 10, 0.1]
    X = np.column_stack([X, X[:, 0] + 2 * X[:, 1], X[:, 2]])
    y = rng.integers(0, 3, 200)
    model = SoftmaxRegression(0.0).fit(form(X), y)
    assert model.converged_
    limit = SoftmaxRegression(1e-9, tol=1e-14).fit(X, y)
    np.testing.assert_allclose(model.coef_, limit.coef_, atol=1e-5)
    deviation = X - X.mean(axis=0)
    np.testing.assert_allclose(model.coef_, model.coef_ @ np.linalg.pinv(deviation) @ deviation, atol=1e-12)
    assert SoftmaxRegression(0.0).fit(X[:, :3], y).objective_ == pytest.approx(model.objective_, rel=1e-12)


def test_a_class_that_some_rows_separate_is_named():
    X = np.array([[0.0, 0], [1, 0], [0, 0], [1, 0], [2, 0], [0, 1], [1, 1]])
    y = np.array(["a", "a", "b", "b", "a", "c", "c"])
    with pytest.warns(ConvergenceWarning, match=r"classes \[.*'c'.*\] are separated from others") as caught:
        model = SoftmaxRegression(0.0).fit(X, y)
    assert not model.converged_
    assert "infinity" in str(caught[0].message)
    assert model.predict(X[5:]).tolist() == ["c", "c"]


def test_a_fit_says_whether_its_gap_is_a_bound():
    X, y = load_iris(return_X_y=True)
    model = SoftmaxRegression().fit(X, y)
    assert model.gap_is_bound_ is True
    rng = np.random.default_rng(0)
    many = SoftmaxRegression(0.01).fit(rng.normal(size=(300, 400)), rng.integers(0, 10, 300))
    assert many.gap_is_bound_ is False
    assert many.converged_


def test_the_last_digits_depend_on_nothing():
    """Neither on the order of the rows, nor on weights in place of repetition, nor on threads."""
    X, y = load_breast_cancer(return_X_y=True)
    rng = np.random.default_rng(0)
    weight = rng.integers(0, 4, len(y))
    model = SoftmaxRegression().fit(X, y, weight)
    order = rng.permutation(len(y))
    shuffled = SoftmaxRegression().fit(X[order], y[order], weight[order])
    repeated = SoftmaxRegression().fit(X.repeat(weight, axis=0), y.repeat(weight))
    with threadpool_limits(1):
        alone = SoftmaxRegression().fit(X, y, weight)
    for other in (shuffled, repeated, alone):
        np.testing.assert_allclose(other.predict_proba(X), model.predict_proba(X), atol=1e-9)
        np.testing.assert_allclose(other.coef_, model.coef_, rtol=1e-6, atol=1e-9)


def test_float32_is_certified_in_float64_as_it_is_stored():
    """Columns far from zero: what float32 products say of f is wrong by 1e-4, and float32 coefficients by as much."""
    rng = np.random.default_rng(0)
    X = np.add(rng.normal(size=(300, 3)), [0, 2e3, 3e4]).astype(np.float32)
    y = rng.integers(0, 3, 300)
    model = SoftmaxRegression(tol=1e-9).fit(X, y)
    assert model.converged_
    assert model.coef_.dtype == np.float64
    wide = X.astype(np.longdouble)
    z = wide @ model.coef_.T.astype(np.longdouble) + model.intercept_.astype(np.longdouble)
    z -= z.max(axis=1, keepdims=True)
    value = np.mean(np.log(np.exp(z).sum(axis=1)) - z[np.arange(300), y]) + np.sum(model.coef_**2) / 600
    assert model.objective_ == pytest.approx(float(value), abs=1e-12)
    double = SoftmaxRegression(tol=1e-12).fit(X.astype(np.float64), y)
    assert abs(model.objective_ - double.objective_) <= model.gap_ + 1e-12
    assert SoftmaxRegression(tol=1e-3).fit(X, y).coef_.dtype == np.float32


@pytest.mark.parametrize("scale", [1e-60, 1e-300, 1e30])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_weights_of_any_size_are_shares(dtype, scale):
    X, y = load_iris(return_X_y=True)
    weight = np.random.default_rng(0).uniform(size=len(y))
    model = SoftmaxRegression(0.01).fit(X.astype(dtype), y, scale * weight)
    other = SoftmaxRegression(0.01).fit(X.astype(dtype), y, weight)
    assert model.converged_
    np.testing.assert_allclose(model.coef_, other.coef_, rtol=1e-6)


@pytest.mark.parametrize("scale", [1e-150, 1e-155, 1e-160, 1e-162, 1e-300])
@pytest.mark.parametrize("weight_decay", [0.0, "1/n_samples"])
def test_tiny_columns_neither_warn_nor_harm(scale, weight_decay):
    X, y = load_iris(return_X_y=True)
    X, y = X[50:], y[50:]
    model = SoftmaxRegression(weight_decay).fit(np.column_stack([X, scale * X[:, 0]]), y)
    assert model.objective_ == pytest.approx(SoftmaxRegression(weight_decay).fit(X, y).objective_, abs=1e-9)


def test_float32_sums_that_overflow_are_refused():
    X, y = load_iris(return_X_y=True)
    with pytest.raises(ValueError, match="float32; got larger ones in column 1"):
        SoftmaxRegression().fit((X * [1, 1e37, 1, 1]).astype(np.float32), y)
