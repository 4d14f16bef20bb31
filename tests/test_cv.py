"""SoftmaxRegressionCV: against a brute-force search, and its folds, grid, weights, routing and errors."""

import itertools
import pickle
import re
import warnings

import numpy as np
import pandas as pd
import pytest
import sklearn
from problems import allow_arrays
from scipy import sparse
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import accuracy_score, balanced_accuracy_score, get_scorer, log_loss
from sklearn.model_selection import GridSearchCV, GroupKFold, KFold, LeaveOneOut, StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from skmax import SoftmaxRegression, SoftmaxRegressionCV, neg_cross_entropy_scorer
from skmax._path import Options, fit_path

IRIS = load_iris(return_X_y=True)
WINE = load_wine(return_X_y=True)
DECAYS = [1.0, 0.1, 0.01, 0.001]
# Many tests use such short grids for speed, and the best decay of these small sets is often at an end. The warning that
# says so has tests of its own, which catch warnings whatever is filtered here.
END_OF_GRID = "The best of the weight_decays, .* is the (first|last) of the grid"
pytestmark = pytest.mark.filterwarnings(f"ignore:{END_OF_GRID}:UserWarning")


@parametrize_with_checks(
    [SoftmaxRegressionCV(weight_decays=3, cv=3), SoftmaxRegressionCV([0.1, 0.01], cv="approximate")],
)
def test_estimator_check(monkeypatch, estimator, check):
    allow_arrays(monkeypatch, check)
    check(estimator)


@pytest.mark.parametrize("scoring", ["neg_log_loss", "accuracy", None])
@pytest.mark.parametrize("load", [load_iris, load_wine, load_breast_cancer])
def test_it_equals_a_brute_force_search(load, scoring):
    X, y = load(return_X_y=True)
    model = SoftmaxRegressionCV(DECAYS, scoring=scoring, tol=1e-9).fit(X, y)
    search = GridSearchCV(SoftmaxRegression(tol=1e-9), {"weight_decay": DECAYS}, scoring=scoring).fit(X, y)
    assert model.weight_decay_ == search.best_params_["weight_decay"]
    np.testing.assert_allclose(
        model.cv_results_["mean_test_score"], search.cv_results_["mean_test_score"], atol=1e-4, rtol=0
    )
    for name in ("std_test_score", "split0_test_score", "split4_test_score"):
        np.testing.assert_allclose(model.cv_results_[name], search.cv_results_[name], atol=2e-4)
    np.testing.assert_array_equal(model.cv_results_["rank_test_score"], search.cv_results_["rank_test_score"])
    assert model.best_score_ == pytest.approx(search.best_score_, abs=1e-4)
    # The model is the one with the chosen decay, fitted on all rows.
    np.testing.assert_allclose(model.predict_proba(X), search.predict_proba(X), atol=1e-3)


def test_attributes_are_those_of_the_model_and_of_the_path():
    X, y = load_wine(return_X_y=True, as_frame=True)
    model = SoftmaxRegressionCV(4, cv=3).fit(X, y)
    plain = SoftmaxRegression(model.weight_decay_).fit(X, y)
    np.testing.assert_allclose(model.coef_, plain.coef_, atol=0.1)  # to `tol`, and in the CV class to the last digits
    assert model.objective_ <= plain.objective_
    assert model.objective_ == pytest.approx(SoftmaxRegression(model.weight_decay_, tol=1e-12).fit(X, y).objective_)
    for name in ("classes_", "feature_names_in_"):
        np.testing.assert_array_equal(getattr(model, name), getattr(plain, name))
    assert model.n_features_in_ == 13
    assert model.converged_
    assert model.gap_ < 1e-12
    assert model.n_iter_ == len(model.loss_curve_) - 1
    assert model.loss_curve_[-1] == model.objective_
    assert model.scores_.shape == (3, 4)
    assert (np.diff(model.weight_decays_) < 0).all()
    assert model.weight_decay_ in model.weight_decays_
    np.testing.assert_allclose(model.predict_proba(X), plain.predict_proba(X), atol=1e-2)
    np.testing.assert_array_equal(model.to_logistic_regression().predict(X), model.predict(X))
    table = pd.DataFrame(model.cv_results_)
    assert table.set_index("param_weight_decay")["rank_test_score"].idxmin() == model.weight_decay_
    assert not hasattr(model, "weight_decay")
    assert pickle.loads(pickle.dumps(model)).weight_decay_ == model.weight_decay_


def test_the_ends_of_the_grid_are_what_the_docstring_says():
    X, y = load_digits(return_X_y=True)
    X = X[:, X.std(axis=0) > 0]
    model = SoftmaxRegressionCV(8, cv=3).fit(X, y)
    strong, weak = model.weight_decays_[[0, -1]]
    frequency = np.bincount(y) / len(y)
    entropy = -np.sum(frequency * np.log(frequency))
    gain = entropy - SoftmaxRegression(strong).fit(X, y).objective_
    assert 0.003 * entropy < gain < 0.01 * entropy
    assert weak == pytest.approx(0.001 * X.shape[1] * np.median(X.var(axis=0)) / len(y))
    ratios = model.weight_decays_[1:] / model.weight_decays_[:-1]
    np.testing.assert_allclose(ratios, ratios[0])
    assert 0 < np.argmax(model.scores_.mean(axis=0)) < 7  # the best one is inside


def test_one_weight_decay_and_columns_without_information():
    X, y = np.ones((20, 2)), np.arange(20) % 2
    model = SoftmaxRegressionCV(3, cv=2).fit(X, y)
    assert np.isfinite(model.weight_decays_).all()
    assert (model.weight_decays_ > 0).all()
    assert SoftmaxRegressionCV(1, cv=2).fit(*IRIS).scores_.shape == (2, 1)
    assert SoftmaxRegressionCV([0.3], cv=2).fit(*IRIS).weight_decay_ == 0.3


def test_the_strongest_decay_within_one_standard_error():
    X, y = WINE
    best = SoftmaxRegressionCV(12, tol=1e-8).fit(X, y)
    simple = SoftmaxRegressionCV(12, refit="one_standard_error", tol=1e-8).fit(X, y)
    mean = best.scores_.mean(axis=0)
    error = best.scores_.std(axis=0, ddof=1)[mean.argmax()] / np.sqrt(5)
    assert simple.weight_decay_ == best.weight_decays_[mean >= mean.max() - error].max()
    assert simple.weight_decay_ > best.weight_decay_
    assert simple.best_score_ == pytest.approx(mean[simple.weight_decays_ == simple.weight_decay_][0])


def judge_by(scores):
    """A scorer that gives each weight decay its score, or minus itself."""
    return lambda model, X, y: scores.get(model.weight_decay, -model.weight_decay)


@pytest.mark.parametrize("refit", ["best", "one_standard_error"])
@pytest.mark.parametrize(
    "scores",
    [{1.0: np.nan}, {0.01: np.nan}, {0.001: np.nan}, {1.0: -np.inf, 0.1: np.nan}, {0.1: np.inf}, {0.01: -np.inf}],
    ids=str,
)
@pytest.mark.filterwarnings("ignore:(One or more of the test scores|invalid value)")  # as of scikit-learn's search
def test_scores_that_are_not_finite_rank_as_in_a_search_of_scikit_learn(scores, refit):
    with pytest.warns(UserWarning, match="mean scores of the weight_decays should be.* nan ranks") as caught:
        model = SoftmaxRegressionCV(DECAYS, cv=3, scoring=judge_by(scores), refit=refit).fit(*IRIS)
    assert caught[0].filename == __file__
    search = GridSearchCV(SoftmaxRegression(), {"weight_decay": DECAYS}, cv=3, scoring=judge_by(scores)).fit(*IRIS)
    assert model.weight_decay_ == search.best_params_["weight_decay"]
    assert model.best_score_ == search.best_score_
    np.testing.assert_array_equal(model.cv_results_["rank_test_score"], search.cv_results_["rank_test_score"])


def test_scores_that_are_all_nan_are_no_choice():
    model = SoftmaxRegressionCV(DECAYS, cv=2).fit(*IRIS)
    before = model.weight_decay_
    with pytest.raises(ValueError, match="scoring must give a number for some weight decay on all folds; got nan"):
        model.set_params(scoring=judge_by(dict.fromkeys(DECAYS, np.nan))).fit(*IRIS)
    assert model.weight_decay_ == before


@pytest.mark.parametrize("scoring", ["neg_log_loss", "accuracy"])
def test_a_single_number_as_weight_is_the_same_for_all_rows(scoring):
    X, y = IRIS
    one, each = (
        SoftmaxRegressionCV(DECAYS, cv=3, scoring=scoring).fit(X, y, weight) for weight in (2.0, np.full(150, 2.0))
    )
    np.testing.assert_array_equal(one.scores_, each.scores_)
    np.testing.assert_array_equal(one.coef_, each.coef_)
    assert one.score(X, y, 2.0) == pytest.approx(one.score(X, y))


def test_the_standard_error_is_that_of_a_mean_of_few_folds():
    """Two folds of scores 0 and -1: a standard error of 0.5, not of 0.35."""

    def judge(model, X, y):
        return -0.9 if model.weight_decay == 1 else 0.0 if X[0, 0] > 5 else -1.0

    X, y = np.repeat([[1.0], [9.0]], 10, axis=0), np.arange(20) % 2
    folds = [(np.arange(20), np.arange(10)), (np.arange(20), np.arange(10, 20))]
    options = {"cv": folds, "scoring": judge, "refit": "one_standard_error"}
    assert SoftmaxRegressionCV([0.1, 1.0], **options).fit(X, y).weight_decay_ == 1
    assert SoftmaxRegressionCV([0.1, 1.0], **options | {"refit": "best"}).fit(X, y).weight_decay_ == 0.1


@pytest.mark.filterwarnings("ignore:A column-vector y was passed")
def test_a_column_of_labels_is_stratified():
    X, y = IRIS
    column = SoftmaxRegressionCV(DECAYS, cv=3).fit(X, y[:, None])
    np.testing.assert_array_equal(column.scores_, SoftmaxRegressionCV(DECAYS, cv=3).fit(X, y).scores_)


def test_weight_decays_in_any_order():
    one, other = (SoftmaxRegressionCV(decays, cv=3).fit(*IRIS) for decays in (DECAYS, [0.01, 1.0, 0.001, 0.1]))
    np.testing.assert_array_equal(one.scores_, other.scores_)
    np.testing.assert_array_equal(other.weight_decays_, DECAYS)


def test_distributions_are_split_without_strata_and_scored():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 3))
    Y = rng.dirichlet(np.ones(4), size=60)
    model = SoftmaxRegressionCV(DECAYS, cv=3, tol=1e-10).fit(X, Y)
    expected = [
        cross_val_score(SoftmaxRegression(d, tol=1e-10), X, Y, scoring=neg_cross_entropy_scorer, cv=KFold(3))
        for d in DECAYS
    ]
    np.testing.assert_allclose(model.scores_.T, expected, atol=1e-5)
    assert model.classes_.tolist() == [0, 1, 2, 3]


def test_folds_that_lack_a_class_know_it():
    X, y = IRIS
    y = np.array(["a", "b", "c"], dtype=object)[y]
    y[7] = "rare"
    with pytest.warns(UserWarning, match="least populated class"):
        model = SoftmaxRegressionCV(DECAYS, cv=3).fit(X, y)
    assert model.classes_.tolist() == ["a", "b", "c", "rare"]
    assert np.isfinite(model.scores_).all()

    def knows_all(fitted, X, y):
        return float(fitted.classes_.tolist() == model.classes_.tolist() and fitted.predict_proba(X).shape[1] == 4)

    with pytest.warns(UserWarning, match="least populated class"):
        assert (SoftmaxRegressionCV(DECAYS, cv=3, scoring=knows_all).fit(X, y).scores_ == 1).all()
    # By hand: the rare label has probability 0, that is 2.2e-16, in the fold that it is left out of.
    folds = list(StratifiedKFold(3).split(X, np.where(y == "rare", "a", y)))
    model = SoftmaxRegressionCV([0.01], cv=folds, tol=1e-9).fit(X, y)
    for (train, test), score in zip(folds, model.scores_[:, 0], strict=True):
        plain = SoftmaxRegression(0.01, classes=np.unique(y), tol=1e-9).fit(X[train], y[train])
        assert score == pytest.approx(-log_loss(y[test], plain.predict_proba(X[test]), labels=plain.classes_), abs=1e-6)


@pytest.mark.parametrize("cv", [3, "approximate"])
@pytest.mark.parametrize("weight_decays", [3, [0.1, 0.01]], ids=["grid", "list"])
def test_a_class_that_has_all_of_the_weight_is_certain(cv, weight_decays):
    X, y = IRIS
    model = SoftmaxRegressionCV(weight_decays, cv=cv).fit(X, y, y == 1)
    np.testing.assert_array_equal(model.predict_proba(X), np.tile([0.0, 1, 0], (150, 1)))
    assert (model.scores_ == 0).all()
    assert model.weight_decay_ == model.weight_decays_[0]  # the strongest of equals
    assert model.converged_


def test_a_fold_may_leave_one_class_to_fit():
    X, y = IRIS[0][:100], IRIS[1][:100]
    halves = np.arange(50), np.arange(50, 100)
    model = SoftmaxRegressionCV(DECAYS, cv=[halves, halves[::-1], (np.r_[0:90], np.r_[90:100])]).fit(X, y)
    np.testing.assert_allclose(model.scores_[:2], np.log(np.finfo(float).eps))  # the least that a probability counts as
    assert (model.scores_[2] > -1).all()


@pytest.mark.parametrize("layout", [sparse.csr_array, sparse.csc_matrix, np.asfortranarray, np.float32])
def test_other_forms_of_X_choose_the_same(layout):
    X, y = load_digits(return_X_y=True)
    X, y = X[:300], y[:300]
    dense, other = (SoftmaxRegressionCV(DECAYS, cv=3).fit(form(X), y) for form in (np.asarray, layout))
    assert other.weight_decay_ == dense.weight_decay_
    np.testing.assert_allclose(other.scores_, dense.scores_, atol=1e-3)
    assert other.coef_.dtype == layout(X).dtype


def test_weights_count_in_fits_and_scores():
    """A weight of 2 is a row twice, of 0 a row less, in training and in judging."""
    X, y = IRIS
    rng = np.random.default_rng(1)
    weight = rng.integers(0, 3, size=150)
    groups = np.arange(150) % 3
    folds = [(np.flatnonzero(groups != g), np.flatnonzero(groups == g)) for g in range(3)]
    weighted = SoftmaxRegressionCV(DECAYS, cv=folds, tol=1e-9).fit(X, y, sample_weight=weight)
    index = np.repeat(np.arange(150), weight)
    repeated_folds = [(np.flatnonzero(groups[index] != g), np.flatnonzero(groups[index] == g)) for g in range(3)]
    repeated = SoftmaxRegressionCV(DECAYS, cv=repeated_folds, tol=1e-9).fit(X[index], y[index])
    np.testing.assert_allclose(weighted.scores_, repeated.scores_, atol=1e-5)
    np.testing.assert_allclose(weighted.coef_, repeated.coef_, atol=1e-3)


def test_class_weights_and_parameters_reach_the_folds():
    X, y = load_breast_cancer(return_X_y=True)
    options = {"class_weight": "balanced", "fit_intercept": False, "tol": 1e-9}
    model = SoftmaxRegressionCV(DECAYS, cv=3, **options).fit(X, y)
    search = GridSearchCV(
        SoftmaxRegression(**options), {"weight_decay": DECAYS}, cv=3, scoring=neg_cross_entropy_scorer
    ).fit(X, y)
    np.testing.assert_allclose(model.scores_.mean(axis=0), search.cv_results_["mean_test_score"], atol=1e-4)


def test_folds_in_parallel_give_the_same():
    one, two = (SoftmaxRegressionCV(4, n_jobs=n_jobs).fit(*WINE) for n_jobs in (None, 2))
    np.testing.assert_allclose(one.scores_, two.scores_, atol=1e-9)


def test_groups_reach_the_splitter():
    X, y = IRIS
    groups = np.arange(150) // 5 % 4
    model = SoftmaxRegressionCV(DECAYS, cv=GroupKFold(4)).fit(X, y, groups=groups)
    folds = list(GroupKFold(4).split(X, y, groups))
    np.testing.assert_array_equal(model.scores_, SoftmaxRegressionCV(DECAYS, cv=folds).fit(X, y).scores_)
    with pytest.raises(TypeError, match=r"fit takes X, y, sample_weight, offset and groups.*got \['colour'\]"):
        SoftmaxRegressionCV().fit(X, y, colour="red")


def test_metadata_routing_leaves_an_iterator_of_folds_whole():
    folds = list(StratifiedKFold(3).split(*IRIS))
    with sklearn.config_context(enable_metadata_routing=True):
        routed = SoftmaxRegressionCV(DECAYS, cv=iter(folds)).fit(*IRIS)
    np.testing.assert_array_equal(routed.scores_, SoftmaxRegressionCV(DECAYS, cv=folds).fit(*IRIS).scores_)


def test_metadata_routing():
    X, y = IRIS
    weight = np.random.default_rng(2).uniform(size=150)
    groups = np.arange(150) % 4
    with sklearn.config_context(enable_metadata_routing=True):
        scorer = get_scorer("accuracy").set_score_request(sample_weight=True)
        by_weight = SoftmaxRegressionCV(DECAYS, cv=GroupKFold(4), scoring=scorer).set_fit_request(sample_weight=True)
        pipeline = make_pipeline(StandardScaler().set_fit_request(sample_weight=False), by_weight)
        pipeline.fit(X, y, sample_weight=weight, groups=groups)
        expected = pipeline[-1].scores_
        unweighted = neg_cross_entropy_scorer.set_score_request(sample_weight=False)
        plain = SoftmaxRegressionCV(DECAYS, cv=GroupKFold(4), scoring=unweighted)
        plain.set_fit_request(sample_weight=True).fit(X, y, sample_weight=weight, groups=groups)
    scaled = StandardScaler().fit_transform(X)
    direct = SoftmaxRegressionCV(DECAYS, cv=GroupKFold(4), scoring="accuracy").fit(
        scaled, y, sample_weight=weight, groups=groups
    )
    np.testing.assert_array_equal(expected, direct.scores_)
    # A scorer that does not ask for the weights does not get them.
    for (train, test), scores in zip(GroupKFold(4).split(X, y, groups), plain.scores_, strict=True):
        fold = SoftmaxRegression(DECAYS[0]).fit(X[train], y[train], weight[train])
        assert neg_cross_entropy_scorer(fold, X[test], y[test]) == pytest.approx(scores[0], abs=1e-4)


@pytest.mark.parametrize(
    ("load", "start"), [(load_iris, 0), (load_iris, 50), (load_breast_cancer, 0)], ids=["iris", "two of iris", "cancer"]
)
@pytest.mark.parametrize("weighted", [False, True])
def test_approximate_leave_one_out_is_near_the_true_one(load, start, weighted):
    X, y = load(return_X_y=True)
    X, y = X[start : start + 150, :6], y[start : start + 150]
    decays = [0.1, 0.01, 0.003]
    weight = np.random.default_rng(3).uniform(0.5, 2, size=len(y)) if weighted else None
    approximate = SoftmaxRegressionCV(decays, cv="approximate", tol=1e-9).fit(X, y, weight)
    true = SoftmaxRegressionCV(decays, cv=LeaveOneOut(), tol=1e-9).fit(X, y, weight)
    assert approximate.scores_.shape == (len(y), 3)
    loss, expected = approximate.scores_.mean(axis=0), true.scores_.mean(axis=0)
    np.testing.assert_allclose(loss, expected, rtol=0.01)
    # What a row's own fit adds to its loss, which the training loss leaves out, is told to a fifth.
    plain = [neg_cross_entropy_scorer(SoftmaxRegression(decay, tol=1e-9).fit(X, y, weight), X, y) for decay in decays]
    np.testing.assert_allclose(loss - plain, expected - plain, rtol=0.2)
    assert approximate.weight_decay_ == true.weight_decay_
    assert "split0_test_score" not in approximate.cv_results_


def test_approximate_leave_one_out_of_distributions_and_far_columns():
    rng = np.random.default_rng(4)
    X = rng.normal(size=(80, 3)) * [1, 1e-3, 1e3] + [0, 5, 1e9]
    Y = rng.dirichlet([0.3, 0.3, 0.3], size=80)
    approximate, true = (
        SoftmaxRegressionCV([0.1, 0.01], cv=cv, tol=1e-9).fit(X, Y) for cv in ("approximate", LeaveOneOut())
    )
    np.testing.assert_allclose(approximate.scores_, true.scores_, atol=0.02)
    np.testing.assert_allclose(approximate.scores_.mean(axis=0), true.scores_.mean(axis=0), rtol=1e-3)


def test_approximate_leave_one_out_refuses_what_it_cannot_do():
    X = np.zeros((500, 300))
    y = np.arange(500) % 10
    with pytest.raises(ValueError, match=r"at most 2048 coefficients and intercepts; got 10 x 301. Pass cv=5"):
        SoftmaxRegressionCV(cv="approximate").fit(X, y)
    with pytest.raises(ValueError, match="scoring must be 'neg_log_loss' where cv='approximate'; got 'accuracy'"):
        SoftmaxRegressionCV(cv="approximate", scoring="accuracy").fit(*IRIS)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        (
            {"weight_decays": [0.1, -1.0]},
            r"weight_decays must be an integer, or finite numbers of at least 0; got \[0.1",
        ),
        ({"weight_decays": []}, "weight_decays must be an integer"),
        ({"weight_decays": [[0.1]]}, "weight_decays must be an integer"),
        ({"weight_decays": [np.nan]}, "weight_decays must be an integer"),
        ({"weight_decays": ["a"]}, r"weight_decays must be an integer.*got \['a'\]"),
        ({"weight_decays": [[1], [2, 3]]}, "weight_decays must be an integer"),
        ({"weight_decays": 0}, "'weight_decays' parameter"),
        ({"cv": "exact"}, "'cv' parameter"),
        ({"refit": "worst"}, "'refit' parameter"),
        ({"scoring": "beauty"}, "'scoring' parameter"),
        ({"cv": 1000}, "n_splits=1000"),
        ({"cv": []}, r"cv must give at least one fold; got none from \[\]"),
        ({"cv": iter([])}, "cv must give at least one fold.*An iterator is exhausted by one fit: pass a list"),
        ({"cv": [1, 2]}, "cv must give the training rows and .*for fold 0: .*int"),
        (
            {"cv": [([0, 60, 120], [1]), ([0],)]},
            "cv must give the training rows and .*for fold 1: ",
        ),
        (
            {"cv": [([0, 60, 120], [150])]},
            "cv must give the training rows and .*for fold 0: index 150",
        ),
        (
            {"cv": [(range(150), np.zeros(150, bool))]},
            "cv must give training rows and test rows.*got 150 and 0 in",
        ),
    ],
)
def test_errors_name_the_parameter_and_leave_an_earlier_fit(parameters, message):
    model = SoftmaxRegressionCV(DECAYS, cv=2).fit(*IRIS)
    before = model.predict_proba(IRIS[0])
    with pytest.raises(ValueError, match=message):
        model.set_params(**parameters).fit(*IRIS)
    np.testing.assert_array_equal(model.predict_proba(IRIS[0]), before)
    assert model.scores_.shape == (2, 4)


def test_fits_that_do_not_converge_are_counted_once():
    def constant(model, X, y):  # so that the strongest is taken
        return 0.0

    with pytest.warns(ConvergenceWarning) as caught:
        SoftmaxRegressionCV([1e6, 1e-6], cv=3, max_iter=7, scoring=constant).fit(*WINE)
    assert len(caught) == 1
    assert "3 of 6 fits on folds ended further than tol=1e-06" in str(caught[0].message)
    assert caught[0].filename == __file__
    with pytest.warns(ConvergenceWarning, match="after 7 iterations"):
        SoftmaxRegressionCV([1e-6], cv=3, max_iter=7).fit(*WINE)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        SoftmaxRegressionCV([10.0, 1.0], cv=3, scoring=constant).fit(*WINE)


@pytest.mark.parametrize("weighted", [False, True])
def test_score_is_by_scoring(weighted):
    X, y = load_wine(return_X_y=True)
    weight = {"sample_weight": np.random.default_rng(0).uniform(size=len(y))} if weighted else {}
    model = SoftmaxRegressionCV([0.1, 0.01]).fit(X, y)
    assert model.score(X, y, **weight) == pytest.approx(-log_loss(y, model.predict_proba(X), **weight))
    model.set_params(scoring=None)
    assert model.score(X, y, **weight) == pytest.approx(accuracy_score(y, model.predict(X), **weight))
    model.set_params(scoring="balanced_accuracy")
    assert model.score(X, y, **weight) == pytest.approx(balanced_accuracy_score(y, model.predict(X), **weight))


def texts(n=600, p=300, n_classes=12, seed=0):
    """Rows of unit length, as embeddings of texts are, in float32; too many coefficients for the whole Hessian."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % n_classes
    X = 1.2 * rng.normal(size=(n_classes, p))[y] / np.sqrt(p) + rng.normal(size=(n, p)) / np.sqrt(p)
    X += 0.3 * rng.normal(size=(n, p)) * rng.uniform(size=p) ** 4 / np.sqrt(p)
    y = np.where(rng.uniform(size=n) < 0.1, rng.integers(n_classes, size=n), y)  # so that too little decay is worse
    return (X / np.linalg.norm(X, axis=1, keepdims=True)).astype(np.float32), y


@pytest.mark.parametrize(
    ("decays", "place", "what"), [([10.0, 1.0, 0.1], "last", "weaker"), ([1e-5, 1e-7, 1e-9], "first", "stronger")]
)
def test_a_best_weight_decay_at_an_end_of_the_grid_is_told(decays, place, what):
    X, y = texts()
    end = decays[0 if place == "first" else -1]
    with pytest.warns(
        UserWarning, match=f"The best of the weight_decays, {end:.2g}, is the {place} of the grid"
    ) as caught:
        model = SoftmaxRegressionCV(decays, cv=3).fit(X, y)
    assert len(caught) == 1
    assert f"Pass weight_decays that include {what} ones." in str(caught[0].message)
    assert caught[0].filename == __file__
    assert model.weight_decay_ == end


@pytest.mark.parametrize(
    ("decays", "rise"),
    [
        ([1.0, 0.1], 0.0),
        ([1.0, 0.1], 0.9),
        ([0.1, 0.01, 0.0], -0.5),
        ([1.0, 0.9, 0.8], 0.9),
        ([0.1], 2.0),
        ([0.1, 0.0], 9.0),
        (3, 9.0),
    ],
    ids=str,
)
def test_there_is_no_warning_where_the_scores_are_flat_or_nothing_lies_beyond(decays, rise):
    """Scores of 0 and 2 on two folds have a mean with a standard error of 1."""
    best = decays[-1] if isinstance(decays, list) else None

    def judge(model, X, y):
        is_best = model.weight_decay == best if best is not None else model.weight_decay > 0.1
        return 2.0 * (X[0, 0] > 5) + rise * is_best

    X, y = np.repeat([[1.0], [9.0]], 10, axis=0), np.arange(20) % 2
    X[::3] += 0.5
    folds = [(np.arange(20), np.arange(10)), (np.arange(20), np.arange(10, 20))]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        SoftmaxRegressionCV(decays, cv=folds, scoring=judge).fit(X, y)
    if decays == [1.0, 0.1] and rise:
        rise = 1.1
        with pytest.warns(UserWarning, match=END_OF_GRID):
            SoftmaxRegressionCV(decays, cv=folds, scoring=judge).fit(X, y)


def test_a_path_ends_where_its_log_loss_has_turned_and_what_it_did_not_fit_cannot_win():
    X, y = texts()
    decays = np.geomspace(0.1, 1e-9, 17)
    model = SoftmaxRegressionCV(decays, cv=3).fit(X, y)
    unfitted = np.isnan(model.scores_)
    assert unfitted[:, -1].all()
    for fold, missing in zip(model.scores_, unfitted, strict=True):
        assert (np.diff(missing.astype(int)) >= 0).all()  # an end of the path, and no hole in it
        last = np.flatnonzero(~missing)[-1]
        assert last >= np.nanargmax(fold) + 2
    results, some = model.cv_results_, unfitted.any(axis=0)
    np.testing.assert_array_equal(np.isnan(results["mean_test_score"]), some)
    np.testing.assert_array_equal(results["mean_test_score"][~some], model.scores_[:, ~some].mean(axis=0))
    np.testing.assert_array_equal(results["split1_test_score"], model.scores_[1])
    assert (results["rank_test_score"][some] == 1 + np.count_nonzero(~some)).all()
    assert results["rank_test_score"][decays == model.weight_decay_] == 1
    # Whole paths choose the same. Accuracy has whole paths, as it may go on rising.
    whole = [SoftmaxRegressionCV([decay], cv=3).fit(X, y).best_score_ for decay in decays]
    assert model.weight_decay_ == decays[np.argmax(whole)]
    assert np.isfinite(SoftmaxRegressionCV(decays[::4], cv=3, scoring="accuracy").fit(X, y).scores_).all()


@pytest.mark.parametrize("n_jobs", [None, 2])
def test_a_fold_that_turns_early_goes_on_if_the_others_may_outweigh_it(n_jobs):
    """The labels of the first fold's test rows are noise, and the better the fit, the worse it is there."""
    X, y = texts()
    folds = [(train, test) for train, test in StratifiedKFold(5).split(X, y)]
    bad = y.copy()
    bad[folds[0][1]] = np.random.default_rng(1).permutation(y[folds[0][1]])
    decays = np.geomspace(0.1, 1e-6, 11)
    model = SoftmaxRegressionCV(decays, cv=folds, n_jobs=n_jobs).fit(X, bad)
    alone = SoftmaxRegressionCV(decays, cv=folds[:1]).fit(X, bad)
    assert np.isnan(alone.scores_[0, decays < 0.01]).all()
    assert np.isfinite(model.scores_[0]).all()
    assert model.weight_decay_ < 0.01
    whole = [SoftmaxRegressionCV([decay], cv=folds).fit(X, bad).best_score_ for decay in decays]
    assert model.weight_decay_ == decays[np.argmax(whole)]


@pytest.mark.parametrize("n_decays", [6, 21])
def test_rough_fits_on_folds_give_the_scores_of_exact_ones_to_a_part_of_their_standard_error(n_decays, monkeypatch):
    X, y = texts()
    decays = np.geomspace(0.1, 1e-6, n_decays)
    rough = SoftmaxRegressionCV(decays, cv=3).fit(X, y)
    certified = Options(1e-8, 1000)
    monkeypatch.setattr("skmax._folds.fit_path", lambda problem, decays, _: iter(fit_path(problem, decays, certified)))
    exact = SoftmaxRegressionCV(decays, cv=3).fit(X, y)
    assert rough.weight_decay_ == exact.weight_decay_
    error = exact.scores_[:, decays == exact.weight_decay_].std() / np.sqrt(2)
    far = np.nan_to_num(np.abs(rough.scores_ - exact.scores_).mean(axis=0))
    close = exact.scores_.mean(axis=0) > exact.best_score_ - 3 * error
    assert far.max() > 1e-9  # or nothing was compared
    # The tolerance is a ten-thousandth in f. The score of rows left out may change by more, of the order of the square
    # root of the gap times what could be gained by fitting these rows.
    assert far[close].max() < 0.06 * error
    # The fit on all rows is as exact as it was.
    assert rough.converged_
    assert rough.gap_ <= rough.tol
    assert abs(rough.objective_ - exact.objective_) <= rough.tol


def test_the_grid_of_unit_rows_ends_where_the_penalty_hardly_matters():
    X, y = texts()
    model = SoftmaxRegressionCV(10, cv=3).fit(X, y)
    weak = model.weight_decays_[-1]
    # The columns are alike, so that p v is the mean squared distance from the mean, to a tenth; rows have length 1.
    assert weak == pytest.approx(0.001 * np.square(X - X.mean(axis=0)).sum(axis=1).mean() / len(y), rel=0.1)
    assert 0 < np.nanargmax(model.cv_results_["mean_test_score"]) < 9


def test_verbose_tells_of_each_fold_and_weight_decay(capsys):
    X, y = texts()
    decays = np.geomspace(0.1, 1e-9, 9)
    model = SoftmaxRegressionCV(decays, cv=3, verbose=1).fit(X, y)
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["3 paths of 9 weight decays", "fold 1/3 begins"]
    number = r"\d(\.\d+)?e[+-]\d\d"
    for fold in range(3):
        for place, score in enumerate(model.scores_[fold]):
            start = rf"fold {fold + 1}/3, weight decay {place + 1}/9 \({decays[place]:.1e}\), iteration \d+"
            ends = [
                line for line in lines if re.fullmatch(rf"{start}(, gap {number})?, score {score:.6g}, \d+\.\d s", line)
            ]
            assert len(ends) == np.isfinite(score)
        assert f"fold {fold + 1}/3 ends: the score has turned" in lines
    SoftmaxRegressionCV([0.1, 0.01], cv="approximate", verbose=1).fit(*IRIS)
    assert "all rows, weight decay 2/2 (1.0e-02), iteration" in capsys.readouterr().out


def test_verbose_prints_once_a_second_within_a_fit(capsys, monkeypatch):
    clock = itertools.count(0, 0.4)
    monkeypatch.setattr("skmax._progress.time.perf_counter", lambda: next(clock))
    SoftmaxRegressionCV([1e-2, 1e-5], cv=2, verbose=1).fit(*texts())
    inside = [line for line in capsys.readouterr().out.splitlines() if re.search(r"gap \de-\d\d, \d+\.\d s", line)]
    assert len(inside) >= 2
    assert inside[0].startswith("fold 1/2, weight decay ")
    assert any("fold 2/2, weight decay 2/2 (1.0e-05), iteration" in line for line in inside)
