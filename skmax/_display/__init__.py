"""Plots that follow scikit-learn's conventions for displays. Matplotlib is imported only where something is drawn."""

from skmax._display.coefficients import CoefficientDisplay
from skmax._display.convergence import ConvergenceDisplay
from skmax._display.path import PathDisplay
from skmax._display.softmax import SoftmaxDisplay

__all__ = ["CoefficientDisplay", "ConvergenceDisplay", "PathDisplay", "SoftmaxDisplay"]
