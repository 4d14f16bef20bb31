"""SoftmaxRegression among scikit-learn's tools: its checks without an expected failure, and uses as users have them."""

from email.message import Message
from importlib.metadata import PackageNotFoundError

import numpy as np
import pandas as pd
import pytest
import sklearn
from problems import allow_arrays
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine
from sklearn.ensemble import BaggingClassifier, StackingClassifier, VotingClassifier
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.feature_selection import RFE, SelectFromModel
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    LeaveOneGroupOut,
    TunedThresholdClassifierCV,
    cross_val_predict,
    cross_validate,
    learning_curve,
    train_test_split,
)
from sklearn.multiclass import OneVsRestClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from skmax import SoftmaxRegression, SoftmaxRegressionCV
from skmax._sklearn import doc_link_template

WINE = load_wine(return_X_y=True)


@parametrize_with_checks([SoftmaxRegression(), SoftmaxRegression(weight_decay=0.01, class_weight="balanced")])
def test_estimator_check(monkeypatch, estimator, check):
    allow_arrays(monkeypatch, check)
    check(estimator)


def test_clone_and_parameters():
    model = SoftmaxRegression(0.5, classes=[0, 1, 2], tol=1e-3)
    assert clone(model).get_params() == model.get_params()
    assert repr(model) == "SoftmaxRegression(classes=[0, 1, 2], tol=0.001, weight_decay=0.5)"


def test_pipeline_on_mixed_columns_with_text_and_names():
    frame = pd.DataFrame(
        {
            "size": [1.0, 2, 3, 4, 5, 6] * 10,
            "colour": ["red", "green", "blue", "red", "green", "red"] * 10,
            "note": ["a cat", "a dog", "the cat", "cat and dog", "dogs", "cats"] * 10,
        }
    )
    label = np.array(["x", "y", "z", "x", "y", "x"] * 10)
    columns = make_column_transformer(
        ("passthrough", ["size"]), (OneHotEncoder(), ["colour"]), (TfidfVectorizer(), "note")
    )
    model = make_pipeline(columns, SoftmaxRegression(0.01)).fit(frame, label)
    assert model.score(frame, label) == 1
    assert model.classes_.tolist() == ["x", "y", "z"]


def test_set_output_pandas_gives_feature_names():
    X, y = load_iris(return_X_y=True, as_frame=True)
    with sklearn.config_context(transform_output="pandas"):
        model = make_pipeline(StandardScaler(), SoftmaxRegression()).fit(X, y)
        assert model[-1].feature_names_in_.tolist() == X.columns.tolist()
        assert model.predict(X).shape == (150,)


@pytest.mark.parametrize("n_jobs", [None, 2])
def test_grid_search(n_jobs):
    X, y = WINE
    search = GridSearchCV(
        SoftmaxRegression(), {"weight_decay": [1e-3, 1e-1, 1e3]}, scoring="neg_log_loss", n_jobs=n_jobs
    ).fit(X, y)
    assert search.best_params_["weight_decay"] < 1e3
    assert search.best_estimator_.converged_
    assert search.predict_proba(X).shape == (len(X), 3)


def test_halving_grid_search():
    X, y = load_digits(return_X_y=True)
    search = HalvingGridSearchCV(
        SoftmaxRegression(tol=1e-3), {"weight_decay": [1e-3, 1e-1, 1e4]}, random_state=0, min_resources=200
    ).fit(X, y)
    assert search.best_params_["weight_decay"] < 1e4


def test_search_over_max_iter_on_the_resource_axis():
    X, y = WINE
    model = SoftmaxRegression(tol=1e-2)
    search = HalvingGridSearchCV(
        model, {"weight_decay": [1e-2, 1e2]}, resource="max_iter", min_resources=50, max_resources=200, random_state=0
    ).fit(X, y)
    assert search.best_params_["weight_decay"] == 1e-2


def test_out_of_fold_probabilities_with_a_class_in_one_fold_only():
    X, y = WINE
    y = y.copy()
    y[:2] = 3
    halves = np.r_[0:60], np.r_[60:178]
    cv = [(halves[1], halves[0]), (np.r_[0:60, 100:178], halves[1])]
    probability = cross_val_predict(SoftmaxRegression(classes=[0, 1, 2, 3]), X, y, method="predict_proba", cv=cv)
    assert probability.shape == (178, 4)
    np.testing.assert_allclose(probability.sum(axis=1), 1)
    np.testing.assert_array_equal(probability[:60, [0, 3]], 0)


@pytest.mark.parametrize("parameters", [{}, {"tol": 1e-12}], ids=["default", "tight"])
@pytest.mark.parametrize(
    "weight_decays",
    [
        [0.1, 1.0],
        # C = 1, 10 and 100 of S = 253.
        ["1/n_samples", 4e-4, 4e-5],
    ],
    ids=["strong", "scikit-learn's"],
)
def test_a_search_with_weights_equals_one_with_repeated_rows(parameters, weight_decays):
    """The logic of scikit-learn's test_search_cv_sample_weight_equivalence, with its tolerances."""
    if tuple(int(part) for part in sklearn.__version__.split(".")[:2]) < (1, 9):
        pytest.skip("searches of earlier versions do not weigh their scores")
    rng = np.random.RandomState(42)
    X, y, weight = rng.rand(120, 240), rng.randint(0, 3, size=120), rng.randint(0, 5, size=120)
    groups = np.tile(np.arange(4), 30)
    model, grid = SoftmaxRegression(**parameters), {"weight_decay": weight_decays}
    weighted = GridSearchCV(model, grid, cv=list(LeaveOneGroupOut().split(X, groups=groups)))
    weighted.fit(X, y, sample_weight=weight)
    X_repeated, y_repeated, groups_repeated = (values.repeat(weight, axis=0) for values in (X, y, groups))
    repeated = GridSearchCV(model, grid, cv=list(LeaveOneGroupOut().split(X_repeated, groups=groups_repeated)))
    repeated.fit(X_repeated, y_repeated)
    for key in repeated.cv_results_:
        if key.endswith("score"):
            np.testing.assert_allclose(repeated.cv_results_[key], weighted.cv_results_[key], rtol=1e-7, err_msg=key)
    for key in ("best_score_", "best_index_"):
        assert getattr(repeated, key) == pytest.approx(getattr(weighted, key), abs=1.5e-7)
    for method in ("predict_proba", "decision_function", "predict"):
        expected, result = (getattr(search, method)(X) for search in (repeated, weighted))
        np.testing.assert_allclose(expected, result, rtol=1e-7, atol=1e-9, err_msg=method)


@pytest.mark.parametrize("method", ["sigmoid", "temperature"])
def test_calibration(method):
    if method == "temperature" and sklearn.__version__ < "1.8":
        pytest.skip("temperature scaling came with scikit-learn 1.8")
    X, y = load_digits(return_X_y=True)
    train, test, y_train, y_test = train_test_split(X, y, random_state=0)
    model = SoftmaxRegression(0).set_params(weight_decay=1e-6)
    plain = log_loss(y_test, clone(model).fit(train, y_train).predict_proba(test))
    calibrated = log_loss(y_test, CalibratedClassifierCV(model, method=method).fit(train, y_train).predict_proba(test))
    assert calibrated < plain  # barely penalised, it is overconfident


def test_stacking_and_voting():
    X, y = WINE
    members = [("softmax", SoftmaxRegression()), ("bayes", GaussianNB())]
    stack = StackingClassifier(members, final_estimator=SoftmaxRegression()).fit(X, y)
    assert stack.score(X, y) > 0.95
    assert VotingClassifier(members, voting="soft").fit(X, y).score(X, y) > 0.95


def test_bagging_of_few_samples_of_which_a_draw_may_hold_one_class():
    X, y = WINE
    X = StandardScaler().fit_transform(X)
    few = np.r_[0:2, 60:62]
    ours, theirs = (
        BaggingClassifier(member, n_estimators=30, random_state=0).fit(X[few], y[few])
        for member in (SoftmaxRegression(), LogisticRegression())
    )
    assert any(np.isinf(member.intercept_).all() for member in ours.estimators_)
    np.testing.assert_array_equal(ours.predict(X), theirs.predict(X))
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=0.01)


def test_feature_selection_by_coefficients():
    X, y = WINE
    noise = np.random.default_rng(0).normal(size=(len(X), 5))
    X = np.column_stack([StandardScaler().fit_transform(X), noise])
    selected = RFE(SoftmaxRegression(0.1), n_features_to_select=8).fit(X, y)
    assert selected.support_[13:].sum() <= 1
    importances = SelectFromModel(SoftmaxRegression(0.1), max_features=6).fit(X, y)
    assert importances.get_support()[13:].sum() == 0


def test_permutation_importance_and_learning_curve():
    X, y = WINE
    result = permutation_importance(SoftmaxRegression().fit(X, y), X, y, n_repeats=3, random_state=0)
    assert result.importances_mean.argmax() in (6, 9, 12)  # flavanoids, colour intensity, proline
    sizes, _, test_score = learning_curve(
        SoftmaxRegression(), X, y, train_sizes=[0.3, 1.0], shuffle=True, random_state=0
    )
    assert test_score[-1].mean() > 0.9
    assert len(sizes) == 2


def test_tuned_threshold():
    X, y = load_breast_cancer(return_X_y=True)
    tuned = TunedThresholdClassifierCV(SoftmaxRegression(0.01), scoring="balanced_accuracy").fit(X, y)
    assert 0 < tuned.best_threshold_ < 1
    assert tuned.score(X, y) > 0.9


def test_one_against_rest_for_multi_label_targets():
    """What the error message about a multi-label indicator advises."""
    X, y = WINE
    Y = np.column_stack([y == 0, y != 2, X[:, 0] > 13])
    with pytest.raises(ValueError, match="OneVsRestClassifier"):
        SoftmaxRegression().fit(X, Y)
    prediction = OneVsRestClassifier(SoftmaxRegression()).fit(X, Y).predict(X)
    assert prediction.shape == Y.shape
    assert (prediction == Y).mean() > 0.95


def test_metadata_routing_of_sample_weight():
    X, y = WINE
    weight = np.random.default_rng(0).uniform(0, 2, size=len(y))
    with sklearn.config_context(enable_metadata_routing=True):
        model = SoftmaxRegression().set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
        routed = make_pipeline(StandardScaler().set_fit_request(sample_weight=True), model).fit(
            X, y, sample_weight=weight
        )
        result = cross_validate(model, X, y, params={"sample_weight": weight}, cv=3, return_estimator=True)
    unweighted = cross_validate(SoftmaxRegression(), X, y, cv=3, return_estimator=True)
    assert not np.allclose(result["estimator"][0].coef_, unweighted["estimator"][0].coef_)
    scaler = StandardScaler().fit(X, sample_weight=weight)
    expected = SoftmaxRegression().fit(scaler.transform(X), y, weight)
    np.testing.assert_allclose(routed.predict_proba(X), expected.predict_proba(scaler.transform(X)), atol=1e-9)


@pytest.mark.parametrize("estimator", [SoftmaxRegression, SoftmaxRegressionCV])
def test_html_representation_links_to_the_documentation_whose_address_the_metadata_has(monkeypatch, estimator):
    message = Message()
    monkeypatch.setattr("skmax._sklearn.metadata", lambda name: message)
    for address, link in [
        (None, None),
        ("https://docs.example/", f"https://docs.example/api/skmax.{estimator.__name__}.html"),
    ]:
        if address:
            message["Project-URL"] = "Repository, https://code.example"
            message["Project-URL"] = f"Documentation, {address}"
        doc_link_template.cache_clear()
        html = estimator()._repr_html_()
        assert estimator.__name__ in html
        assert ("href=" in html) == bool(address)
        assert link is None or f'href="{link}"' in html
    doc_link_template.cache_clear()


def test_html_representation_has_no_link_where_skmax_is_not_installed(monkeypatch):
    def missing(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr("skmax._sklearn.metadata", missing)
    doc_link_template.cache_clear()
    assert "href=" not in SoftmaxRegression()._repr_html_()
    doc_link_template.cache_clear()


def test_it_is_the_same_tool_as_logistic_regression_behind_the_same_calls():
    X, y = WINE
    for method in ("fit", "predict", "predict_proba", "predict_log_proba", "decision_function", "score"):
        assert hasattr(SoftmaxRegression, method) == hasattr(LogisticRegression, method)
    ours, theirs = (estimator.fit(X, y) for estimator in (SoftmaxRegression(), LogisticRegression(solver="newton-cg")))
    for method in ("predict", "predict_proba", "predict_log_proba", "decision_function"):
        assert getattr(ours, method)(X).shape == getattr(theirs, method)(X).shape
        assert getattr(ours, method)(X).dtype == getattr(theirs, method)(X).dtype
