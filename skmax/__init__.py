"""Softmax (multinomial logistic) regression for scikit-learn users."""

from skmax._cv import SoftmaxRegressionCV
from skmax._display.coefficients import CoefficientDisplay
from skmax._display.convergence import ConvergenceDisplay
from skmax._display.path import PathDisplay
from skmax._display.softmax import SoftmaxDisplay
from skmax._estimator import SoftmaxRegression
from skmax._scorer import neg_cross_entropy_scorer
from skmax._softmax import cross_entropy, log_softmax, softmax

__version__ = "0.1.0"
__all__ = [
    "CoefficientDisplay",
    "ConvergenceDisplay",
    "PathDisplay",
    "SoftmaxDisplay",
    "SoftmaxRegression",
    "SoftmaxRegressionCV",
    "cross_entropy",
    "log_softmax",
    "neg_cross_entropy_scorer",
    "softmax",
]
