"""Softmax (multinomial logistic) regression for scikit-learn users."""

from skmax._estimator import SoftmaxRegression
from skmax._scorer import neg_cross_entropy_scorer
from skmax._softmax import cross_entropy, log_softmax, softmax

__version__ = "0.1.0"
__all__ = ["SoftmaxRegression", "cross_entropy", "log_softmax", "neg_cross_entropy_scorer", "softmax"]
