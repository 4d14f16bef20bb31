"""SoftmaxRegression is a scikit-learn estimator: every check, no expected failure."""

from sklearn.utils.estimator_checks import parametrize_with_checks

from skmax import SoftmaxRegression


@parametrize_with_checks([SoftmaxRegression(), SoftmaxRegression(weight_decay=0.01, class_weight="balanced")])
def test_estimator_check(estimator, check):
    check(estimator)
