"""Penalty factors, prior means and offsets: glmnet, a plain Newton method, invariances, and bad input."""

import functools
import pickle

import numpy as np
import pandas as pd
import pytest
import sklearn
from plain_newton import random_task
from scipy import sparse
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_iris, load_wine
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmax import PathDisplay, SoftmaxDisplay, SoftmaxRegression, SoftmaxRegressionCV, neg_cross_entropy_scorer
from skmax._preconditioner.block import BlockPreconditioner
from skmax._preconditioner.diagonal import DiagonalPreconditioner
from skmax._preconditioner.full import FullPreconditioner
from skmax._preconditioner.low_rank import LowRankPreconditioner
from skmax._preconditioner.shared import SharedPreconditioner

IRIS = load_iris(return_X_y=True)


def iris_offset():
    i = np.arange(1, 151)
    return np.column_stack([np.sin(i), np.cos(i), np.sin(2 * i) / 2])


# glmnet.

# From glmnet 4.1-6 in R 4.2.2, on R's iris, which is scikit-learn's but for two rows (35 and 38), put right below:
#
#   X <- as.matrix(iris[, 1:4]); y <- iris$Species; i <- 1:150; phi <- c(0, 1, 2, 0.5); two <- y != "setosa"
#   offset <- cbind(sin(i), cos(i), sin(2 * i) / 2)
#   glmnet(X, y, family = "multinomial", offset = offset,      # or no offset; or of the rows `two`,
#          alpha = 0, standardize = FALSE, thresh = 1e-20,     # family = "binomial" and offset[two, 1]
#          penalty.factor = phi, lambda = 0.05 * sum(phi) / 4) # as glmnet makes the factors sum to 4
#
# The intercepts, and the coefficients of a row for each class.
GLMNET = {
    "factors": [
        [15.3739081567, -2.5148069961, 0.6000617451, -0.6284615705, -1.0403087504],
        [-1.9314028708, 0.8968162901, -0.4597752076, 0.0213283677, -0.4510417755],
        [-13.4425052859, 1.6179907059, -0.1402865375, 0.6071332028, 1.4913505259],
    ],
    "factors and offsets": [
        [18.4667038228, -3.0269812878, 0.5946392623, -0.6691640419, -1.1006455854],
        [-2.7919968758, 1.0424701730, -0.4409479393, 0.0462980431, -0.4433288208],
        [-15.6747069469, 1.9845111148, -0.1536913230, 0.6228659987, 1.5439744062],
    ],
    "two classes": [[-12.6951499874, 0.8282299701, -0.0929977310, 0.8558064828, 2.1236884293]],
}


@pytest.mark.parametrize("name", GLMNET)
def test_the_coefficients_are_those_of_glmnet(name):
    X, y = IRIS
    model, offset = SoftmaxRegression(0.05, penalty_factor=[0, 1, 2, 0.5], tol=1e-13), None
    if name == "two classes":
        X, y, offset = X[y > 0], y[y > 0], iris_offset()[y > 0, 0]
    elif name == "factors and offsets":
        offset = iris_offset()
    model.fit(X, y, offset=offset)
    # glmnet's coordinate descent ends some 1e-9 from the minimum.
    np.testing.assert_allclose(np.column_stack([model.intercept_, model.coef_]), GLMNET[name], atol=5e-8)


# Every form of the solver, against Newton's method on the objective as it is stated.


@functools.cache
def known_minimum(seed, **options):
    task = random_task(seed, **options)
    return task, task.minimum()[0]


def assert_minimum(seed, **options):
    task, least = known_minimum(seed, **options)
    model = SoftmaxRegression(tol=1e-9, **task.options).fit(task.X, task.y, task.weight, task.offset)
    value = task.objective(model.coef_.astype(np.float64), model.intercept_.astype(np.float64))[0]
    assert model.converged_
    assert abs(value - least) < 1e-8
    assert model.objective_ == pytest.approx(value, rel=1e-12, abs=1e-14)
    return model


FORMS = [
    FullPreconditioner,
    BlockPreconditioner,
    SharedPreconditioner,
    LowRankPreconditioner,
    DiagonalPreconditioner,
]


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
@pytest.mark.parametrize("whole", [True, False], ids=["bound", "estimate"])
def test_each_form_of_the_preconditioner_finds_the_minimum(monkeypatch, form, whole):
    if not whole:
        monkeypatch.setattr("skmax._hessian.whole.whole_hessian_fits", lambda objective: False)

    def choose(columns, objective, theta, damping=0.0, progress=None):
        suits = form.suits(objective, theta, damping)
        return (form if suits else DiagonalPreconditioner).at(objective, columns, theta, damping)

    monkeypatch.setattr("skmax._path.choose_preconditioner", choose)
    for seed in range(30):
        model = assert_minimum(seed)
        assert model.gap_is_bound_ or not whole


@pytest.mark.parametrize("kind", ["dense", "sparse", "float32", "wide", "wide, factors by feature", "wide, by class"])
def test_each_kind_of_data_has_the_same_minimum(kind):
    options = {"layout": sparse.csr_array} if kind == "sparse" else {}
    if kind == "float32":
        options["dtype"] = np.float32
    if kind.startswith("wide"):
        options["wide"] = True
        options["factor"] = {"f": "feature", "b": "class"}.get(kind[6:7])
    for seed in range(100, 120 if kind.startswith("wide") else 160):
        if (kind, seed) != ("sparse", 131):  # whose minimum is at infinity
            assert_minimum(seed, **options)


def test_a_prior_mean_is_an_offset_and_a_penalty_on_the_difference():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 4)), np.arange(60) % 3
    mean = rng.normal(size=(3, 4))
    model = SoftmaxRegression(0.1, prior_mean=mean, tol=1e-13).fit(X, y)
    difference = SoftmaxRegression(0.1, tol=1e-13).fit(X, y, offset=X @ mean.T)
    np.testing.assert_allclose(model.coef_ - mean, difference.coef_, atol=1e-6)
    np.testing.assert_allclose(model.predict_proba(X), difference.predict_proba(X, X @ mean.T), atol=1e-7)


@pytest.mark.parametrize("shape", [(60, 4), (9, 20)])
def test_a_factor_is_a_scale_of_its_column(shape):
    rng = np.random.default_rng(1)
    X, y, factor = rng.normal(size=shape), np.arange(shape[0]) % 3, 10 ** rng.uniform(-1, 1, size=shape[1])
    mean = rng.normal(size=(3, shape[1]))
    model = SoftmaxRegression(0.1, penalty_factor=factor, prior_mean=mean, tol=1e-13).fit(X, y)
    scaled = SoftmaxRegression(0.1, prior_mean=mean * np.sqrt(factor), tol=1e-13).fit(X / np.sqrt(factor), y)
    np.testing.assert_allclose(model.coef_ * np.sqrt(factor), scaled.coef_, atol=1e-6)


def test_the_coefficients_deviate_from_the_prior_means_by_zero_in_the_sum_over_classes():
    rng = np.random.default_rng(2)
    X, y, mean = rng.normal(size=(50, 3)), np.arange(50) % 4, rng.normal(size=(4, 3)) + np.array([10, 0, -5])
    by_class = np.array([[1, 0, 2], [0, 0, 1], [5, 0, 1], [1, 0, 1.0]])
    for factor in (np.ones(3), np.array([1.0, 0, 3]), by_class):
        model = SoftmaxRegression(0.1, penalty_factor=factor, prior_mean=mean).fit(X, y)
        rest = model.coef_ - mean
        np.testing.assert_allclose((np.where(factor.sum(axis=0) > 0, factor, 1) * rest).sum(axis=0), 0, atol=1e-12)
        assert model.intercept_.sum() == pytest.approx(0, abs=1e-12)


def test_the_objective_is_that_of_the_stored_coefficients_where_a_common_prior_mean_takes_their_digits():
    """Beside a mean of 1e12 in all classes, coefficients are stored to 1e-4; the columns are a thousand long."""
    rng = np.random.default_rng(16)
    X = 1000 * rng.normal(size=(40, 2))
    y = (X @ rng.normal(size=(2, 3)) / 1000 + rng.gumbel(size=(40, 3))).argmax(axis=1)
    model = SoftmaxRegression(1e-6, prior_mean=np.full((3, 2), 1e12), tol=1e-9)
    with pytest.warns(ConvergenceWarning):
        model.fit(X, y)
    own = model.coef_ - model.coef_.mean(axis=0)  # exact, as the differences are small
    logits = X @ own.T + model.intercept_
    loss = np.mean(np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(40), y])
    assert model.objective_ == pytest.approx(loss + 0.5e-6 * np.sum(own**2), rel=1e-6)
    assert not model.converged_
    assert model.gap_ > 1e-6


def test_with_two_classes_the_prior_mean_is_that_of_the_logit_of_the_second():
    rng = np.random.default_rng(3)
    X = rng.normal(size=(30, 2))
    y = (rng.random(30) < 0.5).astype(int)
    model = SoftmaxRegression(1e6, prior_mean=[[1.0, -2.0]]).fit(X, y)
    np.testing.assert_allclose(model.coef_, [[1, -2]], atol=1e-6)
    np.testing.assert_allclose(model.decision_function(X), X @ [1, -2] + model.intercept_, atol=1e-5)


def test_a_class_without_rows_keeps_its_prior_mean():
    rng = np.random.default_rng(4)
    X, mean = rng.normal(size=(30, 2)), rng.normal(size=(3, 2))
    factor = rng.uniform(0.5, 2, size=(3, 2))
    model = SoftmaxRegression(0.1, classes=[0, 1, 2], prior_mean=mean, penalty_factor=factor).fit(
        X, np.arange(30) % 2 * 2, offset=rng.normal(size=(30, 3))
    )
    np.testing.assert_array_equal(model.coef_[1], mean[1])
    assert model.intercept_[1] == -np.inf
    certain = SoftmaxRegression(classes=[0, 1, 2], prior_mean=mean).fit(X, np.zeros(30, dtype=int))
    np.testing.assert_array_equal(certain.coef_, mean)


def test_a_path_of_one_estimator_with_warm_starts_ends_where_a_cold_fit_does():
    X, y = IRIS
    mean = np.arange(12.0).reshape(3, 4)
    warm = SoftmaxRegression(warm_start=True, prior_mean=mean, penalty_factor=[0, 1, 2, 3], tol=1e-12)
    for decay in (1.0, 0.1, 0.01):
        warm.set_params(weight_decay=decay).fit(X, y, offset=iris_offset())
    cold = clone(warm).set_params(warm_start=False).fit(X, y, offset=iris_offset())
    np.testing.assert_allclose(warm.coef_, cold.coef_, atol=1e-6)


# Prior means from a model.


@pytest.mark.filterwarnings("ignore:The best of the weight_decays:UserWarning")
@pytest.mark.parametrize(
    "prior",
    [SoftmaxRegression(), LogisticRegression(max_iter=1000), SoftmaxRegressionCV([0.01, 0.005], cv=3)],
    ids=lambda model: type(model).__name__,
)
def test_a_fitted_model_stands_for_its_coefficients(prior):
    X, y = IRIS
    prior = clone(prior).fit(X, y)
    model = SoftmaxRegression(10.0, prior_mean=prior, tol=1e-12).fit(X[::5], y[::5])
    same = SoftmaxRegression(10.0, prior_mean=prior.coef_, tol=1e-12).fit(X[::5], y[::5])
    np.testing.assert_allclose(model.coef_, same.coef_, atol=1e-7)
    assert clone(model).prior_mean is prior  # a clone of it would not be fitted
    again = pickle.loads(pickle.dumps(model)).fit(X[::5], y[::5])
    np.testing.assert_array_equal(again.coef_, model.coef_)


def test_no_iterations_leave_the_prior_model_with_intercepts_of_the_rows():
    X, y = IRIS
    prior = SoftmaxRegression().fit(X, y)
    model = SoftmaxRegression(prior_mean=prior, max_iter=0)
    with pytest.warns(ConvergenceWarning):
        model.fit(X, y)
    np.testing.assert_allclose(model.coef_, prior.coef_, atol=1e-12)
    np.testing.assert_allclose(model.predict_proba(X), prior.predict_proba(X), atol=0.01)


def test_prior_means_that_say_nothing_of_the_rows_cost_no_more_than_none():
    """From means under which each row had a loss of 1e6, the search took 1000 iterations and was not near the end."""
    rng = np.random.default_rng(5)
    X = rng.normal(size=(100, 5))
    X[:3] *= 1e7
    y = (X @ rng.normal(size=5) > 0).astype(int) ^ (rng.random(100) < 0.1)
    model = SoftmaxRegression(1.0, prior_mean=rng.normal(size=(1, 5))).fit(X, y)
    assert model.converged_
    assert model.n_iter_ < 100


# Coefficients without a penalty.


def test_free_columns_that_depend_on_one_another_have_the_coefficients_closest_to_the_prior_means():
    """All levels of a category beside an intercept."""
    rng = np.random.default_rng(6)
    level = rng.integers(0, 3, size=90)
    X, y = np.column_stack([np.eye(3)[level], rng.normal(size=(90, 2))]), rng.integers(0, 3, size=90)
    factor = [0, 0, 0, 1, 1]
    model = SoftmaxRegression(0.1, penalty_factor=factor, tol=1e-10).fit(X, y)
    assert model.converged_
    assert model.gap_is_bound_
    # The shortest: the three levels sum to zero, as adding a number to all of them is an intercept.
    np.testing.assert_allclose(model.coef_[:, :3].sum(axis=1), 0, atol=1e-9)
    mean = np.zeros((3, 5))
    mean[:, :3] = [[3.0], [0], [-3]]
    shifted = SoftmaxRegression(0.1, penalty_factor=factor, prior_mean=mean, tol=1e-10).fit(X, y)
    np.testing.assert_allclose(shifted.coef_, model.coef_ + mean, atol=1e-5)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("known", [False, True])
def test_a_free_column_that_separates_puts_the_minimum_at_infinity_and_a_penalised_one_does_not(n_classes, known):
    rng = np.random.default_rng(7)
    y = np.arange(60) % n_classes
    X = np.column_stack([y + 0.1 * rng.uniform(size=60), rng.normal(size=60)])
    options = {}
    rows = 1 if n_classes == 2 else n_classes
    if known:
        options["prior_mean"] = rng.normal(size=(rows, 2))
    offset = 5 * rng.normal(size=60 if n_classes == 2 else (60, n_classes)) if known else None
    model = SoftmaxRegression(0.1, penalty_factor=[0, 1], **options)
    with pytest.warns(ConvergenceWarning, match=r"separates.*penalty_factor=0.*infinity.*Pass penalty_factor > 0"):
        model.fit(X, y, offset=offset)
    assert model.score(X, y, offset=offset) == 1
    assert 0 <= model.objective_ <= 1e-6
    penalised = SoftmaxRegression(0.1, penalty_factor=[1, 0], **options).fit(X, y, offset=offset)
    assert penalised.converged_
    assert penalised.objective_ > 0.01


def test_rows_that_a_free_column_separates_from_some_others_are_told():
    rng = np.random.default_rng(8)
    y = rng.integers(0, 3, size=80)
    X = np.column_stack([(y == 2) * (rng.random(80) < 0.5), rng.normal(size=80)])
    model = SoftmaxRegression(0.1, penalty_factor=[0, 1])
    with pytest.warns(ConvergenceWarning, match=r"Some rows of the classes \[2\].*penalty_factor=0"):
        model.fit(X, y)
    assert not model.converged_
    by_class = SoftmaxRegression(0.1, penalty_factor=[[2, 0], [1, 1], [1, 1]])
    assert by_class.fit(X, y).converged_  # the column that would separate them has a penalty
    for alone in range(3):  # which its own number for all classes pays for
        factor = np.ones((3, 2))
        factor[np.arange(3) != alone, 0] = 0
        with pytest.warns(ConvergenceWarning, match="penalty_factor=0"):
            SoftmaxRegression(0.1, penalty_factor=factor).fit(X, y)


def test_without_weight_decay_factors_do_not_matter_and_dependent_columns_go_to_the_prior_means():
    rng = np.random.default_rng(9)
    x, y = rng.normal(size=(60, 2)), rng.integers(0, 3, size=60)
    X, mean = np.column_stack([x, x[:, 0]]), rng.normal(size=(3, 3))
    plain = SoftmaxRegression(0.0, tol=1e-12).fit(X, y)
    known = SoftmaxRegression(0.0, prior_mean=mean, penalty_factor=[1, 2, 0], tol=1e-12).fit(X, y)
    np.testing.assert_allclose(known.predict_proba(X), plain.predict_proba(X), atol=1e-6)
    rest = known.coef_ - mean
    np.testing.assert_allclose(rest[:, 0], rest[:, 2], atol=1e-9)


# Offsets.


def test_offsets_that_do_not_depend_on_the_row_end_up_in_the_intercepts():
    X, y = IRIS
    plain = SoftmaxRegression(0.01, tol=1e-13).fit(X, y)
    moved = SoftmaxRegression(0.01, tol=1e-13).fit(X, y, offset=np.tile([1.0, 2.0, -3.0], (150, 1)))
    np.testing.assert_allclose(moved.coef_, plain.coef_, atol=1e-6)
    np.testing.assert_allclose(moved.intercept_, plain.intercept_ - [1, 2, -3], atol=1e-5)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_predictions_add_the_offsets(n_classes, dtype):
    rng = np.random.default_rng(10)
    X, y = rng.normal(size=(50, 3)).astype(dtype), rng.integers(0, n_classes, size=50)
    offset = rng.normal(size=50 if n_classes == 2 else (50, n_classes)).astype(dtype)
    model = SoftmaxRegression().fit(X, y, offset=offset)
    logits = model.decision_function(X, offset)
    expected = X @ model.coef_.T + model.intercept_
    np.testing.assert_allclose(logits, (expected[:, 0] if n_classes == 2 else expected) + offset, rtol=1e-4, atol=1e-5)
    full = np.column_stack([np.zeros(50), logits]) if n_classes == 2 else logits
    probability = np.exp(full) / np.exp(full).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(model.predict_proba(X, offset), probability, rtol=1e-4)
    np.testing.assert_allclose(model.predict_log_proba(X, offset), np.log(probability), rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(model.predict(X, offset), full.argmax(axis=1))
    np.testing.assert_array_equal(model.predict_top_k(X, 1, offset)[:, 0], full.argmax(axis=1))
    assert model.score(X, y, offset=offset) == np.mean(full.argmax(axis=1) == y)


@pytest.mark.parametrize("method", ["predict", "predict_proba", "predict_log_proba", "decision_function"])
def test_a_model_fitted_with_offsets_predicts_with_offsets_only(method):
    X, y = IRIS
    model = SoftmaxRegression().fit(X, y, offset=iris_offset())
    assert model.has_offset_
    with pytest.raises(ValueError, match=r"offset must be passed.*got None"):
        getattr(model, method)(X)
    with pytest.raises(ValueError, match="offset must be passed"):
        model.score(X, y)
    with pytest.raises(ValueError, match=r"LogisticRegression.*offsets"):
        model.to_logistic_regression()
    plain = SoftmaxRegression().fit(X, y)  # prior odds of another population, say
    assert not plain.has_offset_
    assert plain.predict(X, np.tile([100.0, 0, 0], (150, 1))).max() == 0


def test_a_large_negative_offset_rules_a_class_out_of_a_row():
    rng = np.random.default_rng(11)
    X, y = rng.normal(size=(80, 3)), rng.integers(0, 3, size=80)
    offset = np.zeros((80, 3))
    ruled_out = (rng.random((80, 3)) < 0.4) & (np.arange(3) != y[:, None])
    offset[ruled_out] = -1000
    model = SoftmaxRegression(0.1, tol=1e-12).fit(X, y, offset=offset)
    assert model.converged_
    probability = model.predict_proba(X, offset)
    assert (probability[ruled_out] == 0).all()
    # The gradient without these classes is zero.
    residual = probability - np.eye(3)[y]
    np.testing.assert_allclose(residual.T @ X / 80 + 0.1 * model.coef_, 0, atol=1e-6)


def test_rows_that_offsets_make_sure_and_wrong_certify_nothing():
    """No row has any curvature, and Newton's step in the intercept is as short as its gradient, 5e-10."""
    X, y = np.zeros((4, 1)), np.array([1, 0, 0, 1])
    offset, weight = np.array([1e6, 1e6, -1e6, -1e6]), np.array([1, 1e-9, 1, 2e-9])
    model = SoftmaxRegression(1.0)
    with pytest.warns(ConvergenceWarning, match="estimated"):
        model.fit(X, y, weight, offset)
    least = (1e-9 * 2e6) / weight.sum()  # with an intercept of 1e6, rows 0, 2 and 3 are right
    assert not model.converged_
    assert model.gap_ >= model.objective_ - least > 1e-4


def test_weights_and_distributions_know_offsets():
    rng = np.random.default_rng(12)
    X, y, offset = rng.normal(size=(40, 3)), rng.dirichlet(np.ones(3), size=40), rng.normal(size=(40, 3))
    twice = SoftmaxRegression(0.1, tol=1e-13).fit(np.vstack([X, X]), np.vstack([y, y]), offset=np.vstack([offset] * 2))
    weighted = SoftmaxRegression(0.1, tol=1e-13).fit(X, y, np.full(40, 2.0), offset)
    np.testing.assert_allclose(twice.coef_, weighted.coef_, atol=1e-7)


def test_threads_and_layouts_of_offsets_change_nothing_but_rounding():
    rng = np.random.default_rng(13)
    X, y = rng.normal(size=(3000, 20)), rng.integers(0, 5, size=3000)
    offset = rng.normal(size=(3000, 5))
    first = SoftmaxRegression(tol=1e-10).fit(X, y, offset=offset)
    second = SoftmaxRegression(tol=1e-10).fit(X, y, offset=np.asfortranarray(offset))
    np.testing.assert_allclose(first.coef_, second.coef_, atol=1e-8)


# Searches.


@pytest.mark.filterwarnings("ignore:The best of the weight_decays:UserWarning")
@pytest.mark.parametrize("n_classes", [2, 3])
def test_a_search_is_the_fits_that_it_stands_for(n_classes):
    X, y = IRIS[0][50 * (3 - n_classes) :], IRIS[1][50 * (3 - n_classes) :]
    order = np.random.default_rng(0).permutation(len(y))
    X, y = X[order], y[order]
    offset = iris_offset()[: len(y)]
    offset = offset[:, 0] if n_classes == 2 else offset
    mean = np.ones((1 if n_classes == 2 else 3, 4))
    known = {"penalty_factor": [0, 1, 2, 0.5], "prior_mean": mean, "tol": 1e-10}
    decays, folds = [1.0, 0.1, 0.01], list(KFold(3).split(X))
    for scoring in ("neg_log_loss", "accuracy"):
        search = SoftmaxRegressionCV(decays, cv=folds, scoring=scoring, **known).fit(X, y, offset=offset)
        for number, (train, test) in enumerate(folds):
            for place, decay in enumerate(decays):
                model = SoftmaxRegression(decay, **known).fit(X[train], y[train], offset=offset[train])
                if scoring == "accuracy":
                    score = model.score(X[test], y[test], offset=offset[test])
                else:
                    score = neg_cross_entropy_scorer(model, X[test], y[test], offset=offset[test])
                assert search.scores_[number, place] == pytest.approx(score, abs=1e-7)
        assert search.has_offset_
        assert np.isfinite(search.score(X, y, offset=offset))
    with pytest.raises(ValueError, match="offset must be passed"):
        search.score(X, y)


def test_the_grid_knows_factors_as_scales_of_columns():
    X, y = load_wine(return_X_y=True)
    factor = X.var(axis=0)
    by_factor = SoftmaxRegressionCV(4, penalty_factor=factor, cv=3).fit(X, y)
    scaled = SoftmaxRegressionCV(4, cv=3).fit(X / np.sqrt(factor), y)
    np.testing.assert_allclose(by_factor.weight_decays_, scaled.weight_decays_, rtol=1e-9)
    np.testing.assert_allclose(by_factor.scores_, scaled.scores_, atol=1e-4)
    free = SoftmaxRegressionCV(4, penalty_factor=np.where(np.arange(13) < 2, 0, factor), cv=3).fit(X, y)
    assert (free.weight_decays_ < 10 * by_factor.weight_decays_.max()).all()
    with pytest.raises(ValueError, match="penalty_factor must be positive for some coefficient"):
        SoftmaxRegressionCV(4, penalty_factor=np.zeros(13)).fit(X, y)


def test_approximate_leave_one_out_knows_all_three():
    rng = np.random.default_rng(14)
    X = rng.normal(size=(60, 3))
    y = (X @ rng.normal(size=(3, 3)) + rng.gumbel(size=(60, 3))).argmax(axis=1)
    offset, mean = rng.normal(size=(60, 3)), rng.normal(size=(3, 3))
    for factor in ([0.0, 1, 2], rng.uniform(0.2, 2, size=(3, 3))):
        known = {"penalty_factor": factor, "prior_mean": mean, "tol": 1e-10}
        search = SoftmaxRegressionCV([0.1], cv="approximate", **known).fit(X, y, offset=offset)
        exact = np.empty(60)
        for i in range(60):
            rest = np.arange(60) != i
            model = SoftmaxRegression(0.1, **known).fit(X[rest], y[rest], offset=offset[rest])
            exact[i] = model.predict_log_proba(X[[i]], offset[[i]])[0, y[i]]
        # One Newton step from a fit to all rows, where leaving one out changes losses by 0.05 on average.
        in_fit = SoftmaxRegression(0.1, **known).fit(X, y, offset=offset).predict_log_proba(X, offset)
        change = np.abs(in_fit[np.arange(60), y] - exact).mean()
        assert np.abs(search.scores_[:, 0] - exact).mean() < 0.1 * change


@pytest.mark.filterwarnings("ignore:The best of the weight_decays:UserWarning")
def test_metadata_routing_carries_offsets():
    X, y = IRIS
    offset = iris_offset()
    with sklearn.config_context(enable_metadata_routing=True):
        model = SoftmaxRegression().set_fit_request(offset=True).set_score_request(offset=True)
        model.set_predict_request(offset=True).set_predict_log_proba_request(offset=True)
        pipeline = make_pipeline(StandardScaler(), model).fit(X, y, offset=offset)
        direct = SoftmaxRegression().fit(StandardScaler().fit_transform(X), y, offset=offset)
        np.testing.assert_array_equal(pipeline[-1].coef_, direct.coef_)
        assert pipeline.score(X, y, offset=offset) == direct.score(StandardScaler().fit_transform(X), y, offset=offset)
        pipeline.predict(X, offset=offset)
        scorer = neg_cross_entropy_scorer.set_score_request(offset=True)
        for scoring in (None, scorer):  # the estimator's own score, and that of probabilities
            search = GridSearchCV(model, {"weight_decay": [0.1, 0.001]}, cv=3, scoring=scoring)
            assert np.isfinite(search.fit(X, y, offset=offset).best_score_)
        scores = cross_val_score(pipeline, X, y, scoring=scorer, params={"offset": offset}, cv=3)
        assert (scores < 0).all()
        own = SoftmaxRegressionCV([0.01, 0.008], cv=3).set_fit_request(offset=True).set_score_request(offset=True)
        assert cross_val_score(own, X, y, params={"offset": offset}, cv=3).shape == (3,)
        direct = SoftmaxRegressionCV([0.01, 0.008], cv=3).fit(X, y, offset=offset)
        assert direct.has_offset_
        outer = GridSearchCV(own, {"refit": ["best", "one_standard_error"]}, cv=3).fit(X, y, offset=offset)
        assert outer.best_estimator_.has_offset_


@pytest.mark.filterwarnings("ignore:The best of the weight_decays:UserWarning")
def test_displays_take_offsets():
    X, y = IRIS
    search = SoftmaxRegressionCV([0.01, 0.008], cv=3).fit(X, y, offset=iris_offset())
    assert PathDisplay.from_estimator(search, X, y, offset=iris_offset()).coefficients.shape == (2, 3, 4)
    display = SoftmaxDisplay.from_estimator(search, X[:1], offset=iris_offset()[:1])
    np.testing.assert_allclose(display.raw_prediction, search.decision_function(X[:1], iris_offset()[:1])[0])


def test_names_of_columns_have_factors():
    rng = np.random.default_rng(15)
    frame = pd.DataFrame({"age": rng.normal(50, 10, 60), "dose": rng.normal(size=60), "treated": np.arange(60) % 2})
    y = rng.integers(0, 3, size=60)
    transform = ColumnTransformer(
        [("scaled", StandardScaler(), ["age", "dose"])], remainder="passthrough", verbose_feature_names_out=False
    ).set_output(transform="pandas")
    named = make_pipeline(transform, SoftmaxRegression(penalty_factor={"treated": 0.0})).fit(frame, y)
    array = SoftmaxRegression(penalty_factor=[1, 1, 0]).fit(transform.fit_transform(frame), y)
    np.testing.assert_array_equal(named[-1].coef_, array.coef_)
    search = SoftmaxRegressionCV([0.1, 0.01], penalty_factor={"treated": 0.0}, cv=3)
    assert search.fit(transform.fit_transform(frame), y).coef_.shape == (3, 3)
    with pytest.raises(ValueError, match=r"penalty_factor must have feature names of X as its keys; got \['dosis'\]"):
        SoftmaxRegression(penalty_factor={"dosis": 0.0}).fit(frame, y)
    with pytest.raises(ValueError, match="penalty_factor must be an array where X has no feature names"):
        SoftmaxRegression(penalty_factor={"dose": 0.0}).fit(frame.to_numpy(), y)


# Bad input.

PRIOR = SoftmaxRegression().fit(*IRIS)
BAD = {
    "factor negative": (
        {"penalty_factor": [1, 1, -1, 1]},
        "penalty_factor must be non-negative; got -1 at position 2",
    ),
    "factor NaN": ({"penalty_factor": [1, 1, np.nan, 1]}, "penalty_factor"),
    "factor infinite": ({"penalty_factor": [1, 1, np.inf, 1]}, "penalty_factor"),
    "factor short": ({"penalty_factor": [1, 1, 1]}, r"penalty_factor must have shape \(4,\).*got shape \(3,\)"),
    "factor transposed": ({"penalty_factor": np.ones((4, 3))}, r"or \(3, 4\), that of coef_; got shape \(4, 3\)"),
    "factor text": ({"penalty_factor": ["a"] * 4}, "penalty_factor must be"),
    "factor a number": ({"penalty_factor": 2.0}, "'penalty_factor' parameter"),
    "mean of another shape": ({"prior_mean": np.ones((3, 3))}, r"prior_mean must have the shape of coef_, \(3, 4\)"),
    "mean NaN": ({"prior_mean": np.full((3, 4), np.nan)}, "prior_mean"),
    "mean infinite": ({"prior_mean": np.full((3, 4), np.inf)}, "prior_mean"),
    "mean not fitted": ({"prior_mean": SoftmaxRegression()}, "prior_mean must be.*fitted.*has no coef_"),
    "mean of other classes": (
        {"prior_mean": SoftmaxRegression().fit(IRIS[0], IRIS[1] + 1)},
        r"prior_mean must be a model of the same classes, \[0, 1, 2\]; got one of \[1, 2, 3\]",
    ),
    "mean of other features": (
        {"prior_mean": SoftmaxRegression().fit(IRIS[0][:, :3], IRIS[1])},
        r"prior_mean must have the shape of coef_, \(3, 4\); got shape \(3, 3\)",
    ),
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("kind", [SoftmaxRegression, SoftmaxRegressionCV])
def test_bad_parameters_are_told_and_an_earlier_fit_survives(name, kind):
    options, message = BAD[name]
    model = kind().fit(*IRIS)
    coef = model.coef_
    with pytest.raises((ValueError, TypeError), match=message):
        model.set_params(**options).fit(*IRIS)
    assert model.coef_ is coef


BAD_OFFSETS = {
    "short": (np.zeros((149, 3)), r"offset must have a number.*shape \(150, 3\).*got shape \(149, 3\)"),
    "of two classes": (np.zeros(150), r"got shape \(150,\)"),
    "NaN": (np.full((150, 3), np.nan), "offset"),
    "infinite": (np.full((150, 3), -np.inf), "offset.*infinity|infinity.*offset"),
    "text": ([["a"] * 3] * 150, "offset must be"),
    "sparse": (sparse.csr_array((150, 3)), "offset|dense"),
}


@pytest.mark.parametrize("name", BAD_OFFSETS)
def test_bad_offsets_are_told(name):
    offset, message = BAD_OFFSETS[name]
    with pytest.raises((ValueError, TypeError), match=message):
        SoftmaxRegression().fit(*IRIS, offset=offset)
    with pytest.raises((ValueError, TypeError), match=message):
        PRIOR.predict(IRIS[0], offset)


def test_features_of_a_prior_model_must_have_the_same_names():
    frame = load_iris(as_frame=True).data
    prior = SoftmaxRegression().fit(frame, IRIS[1])
    with pytest.raises(ValueError, match="prior_mean must be a model of the same features"):
        SoftmaxRegression(prior_mean=prior).fit(frame[frame.columns[::-1]], IRIS[1])
