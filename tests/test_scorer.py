"""neg_cross_entropy_scorer: equal to log_loss where that applies, and usable where it is not."""

import numpy as np
import pytest
import sklearn
from scipy import sparse
from sklearn.datasets import load_iris, load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmax import SoftmaxRegression, neg_cross_entropy_scorer

X, Y = load_wine(return_X_y=True)
MODEL = SoftmaxRegression(0.01).fit(X, Y)


@pytest.mark.parametrize("estimator", [MODEL, MODEL.to_logistic_regression()])
@pytest.mark.parametrize("weight", [None, np.arange(len(Y))])
def test_equals_log_loss_for_labels_and_one_hot_rows(estimator, weight):
    expected = -log_loss(Y, estimator.predict_proba(X), sample_weight=weight)
    assert neg_cross_entropy_scorer(estimator, X, Y, weight) == pytest.approx(expected, rel=1e-9)
    assert neg_cross_entropy_scorer(estimator, X, np.eye(3)[Y], weight) == pytest.approx(expected, rel=1e-9)


def test_judges_distributions():
    target = np.random.default_rng(0).dirichlet(np.ones(3), size=len(X))
    expected = (target * np.log(MODEL.predict_proba(X))).sum(axis=1).mean()
    assert neg_cross_entropy_scorer(MODEL, X, target) == pytest.approx(expected)
    # By Gibbs' inequality the model's own probabilities are the best judged by themselves.
    own = MODEL.predict_proba(X)
    assert neg_cross_entropy_scorer(MODEL, X, own) == pytest.approx((own * np.log(own)).sum(axis=1).mean())


def test_labels_may_be_missing_from_the_fold_or_unknown_to_the_model():
    score = neg_cross_entropy_scorer(MODEL, X[Y == 1], Y[Y == 1])
    assert score == pytest.approx(np.log(MODEL.predict_proba(X[Y == 1])[:, 1]).mean())
    unknown = neg_cross_entropy_scorer(MODEL, X[:4], np.array([0, 7, -3, 1]))
    known = MODEL.predict_log_proba(X[:4])
    assert unknown == pytest.approx((known[0, 0] + 2 * np.log(2.220446049250313e-16) + known[3, 1]) / 4)


def test_an_impossible_label_counts_as_log_loss_counts_it():
    model = SoftmaxRegression(classes=[0, 1, 2, 3]).fit(X, Y)
    expected = -log_loss([3], model.predict_proba(X[:1]), labels=[0, 1, 2, 3])
    assert neg_cross_entropy_scorer(model, X[:1], [3]) == pytest.approx(expected)
    assert neg_cross_entropy_scorer(model, X[:1], [[0.5, 0, 0, 0.5]]) > expected


def test_batches_of_rows_are_judged_as_all_rows_at_once(monkeypatch):
    weight = np.random.default_rng(0).uniform(size=len(Y))
    target = 0.9 * np.eye(3)[Y] + 0.1 / 3
    for rows in (X, sparse.csr_array(X)):
        for y in (Y, target):
            monkeypatch.setattr("skmax._scorer._BATCH", 2**23)
            whole = neg_cross_entropy_scorer(MODEL, rows, y, weight)
            monkeypatch.setattr("skmax._scorer._BATCH", 50)
            assert neg_cross_entropy_scorer(MODEL, rows, y, weight) == pytest.approx(whole, rel=1e-12)


def test_strings_and_pipelines():
    names = np.array(["a", "b", "c"])[Y]
    pipeline = make_pipeline(StandardScaler(), SoftmaxRegression(0.01)).fit(X, names)
    assert neg_cross_entropy_scorer(pipeline, X, names) == pytest.approx(-log_loss(names, pipeline.predict_proba(X)))


def test_grid_search_over_soft_targets():
    target = 0.8 * np.eye(3)[Y] + 0.2 / 3
    search = GridSearchCV(
        SoftmaxRegression(),
        {"weight_decay": [1e-4, 1e-2, 1e2]},
        scoring=neg_cross_entropy_scorer,
        cv=KFold(3, shuffle=True, random_state=0),
    ).fit(X, target)
    assert search.best_params_["weight_decay"] < 1e2
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    folds = search.cv.split(X)
    by_hand = [
        neg_cross_entropy_scorer(
            search.best_estimator_.__class__(**search.best_params_).fit(X[train], target[train]), X[test], target[test]
        )
        for train, test in folds
    ]
    assert search.best_score_ == pytest.approx(np.mean(by_hand))


def test_sample_weight_is_routed_on_request():
    weight = np.random.default_rng(0).uniform(0, 2, size=len(Y))
    cv = KFold(3, shuffle=True, random_state=0)
    with sklearn.config_context(enable_metadata_routing=True):
        scores = cross_val_score(
            SoftmaxRegression(0.01).set_fit_request(sample_weight=True),
            X,
            Y,
            cv=cv,
            scoring=neg_cross_entropy_scorer.set_score_request(sample_weight=True),
            params={"sample_weight": weight},
        )
    by_hand = [
        neg_cross_entropy_scorer(
            SoftmaxRegression(0.01).fit(X[train], Y[train], weight[train]), X[test], Y[test], weight[test]
        )
        for train, test in cv.split(X)
    ]
    np.testing.assert_allclose(scores, by_hand)


@pytest.mark.parametrize("name", ["abalone_rings", "ecoli"])
def test_folds_without_rare_classes(name, load):
    """Some classes have one or two rows: folds lack them in training, in testing or in both."""
    X, y, _ = load(name)
    model = SoftmaxRegression(classes=np.unique(y))
    cv = KFold(5, shuffle=True, random_state=0)
    scores = cross_val_score(model, X, y, cv=cv, scoring=neg_cross_entropy_scorer, error_score="raise")
    labels = np.unique(y)
    for (train, test), score in zip(cv.split(X), scores, strict=True):
        probability = model.fit(X[train], y[train]).predict_proba(X[test])
        assert probability.shape == (len(test), len(labels))
        np.testing.assert_array_equal(probability[:, ~np.isin(labels, y[train])], 0)
        assert score == pytest.approx(-log_loss(y[test], probability, labels=labels), rel=1e-9)


def test_neg_log_loss_works_where_the_columns_are_fixed():
    """scikit-learn's own scorer, with all labels in each test fold but not in each training fold."""
    X, y = load_iris(return_X_y=True)
    rows = np.r_[0:40, 50:90, 100]
    both = np.r_[0, 50, 100]
    cv = [(rows[:-1], both), (rows, both)]
    scores = cross_val_score(SoftmaxRegression(classes=[0, 1, 2]), X, y, cv=cv, scoring="neg_log_loss")
    assert np.isfinite(scores).all()
    with pytest.warns(UserWarning, match="Scoring failed"):
        assert np.isnan(cross_val_score(LogisticRegression(), X, y, cv=cv[:1], scoring="neg_log_loss")).all()


def test_it_says_its_name():
    assert repr(neg_cross_entropy_scorer) == "neg_cross_entropy_scorer"
