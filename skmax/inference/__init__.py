"""What the curvature at a fit knows: standard errors, tests of hypotheses, effects, intervals and influence.

Each function takes a fitted model and the data of its fit again, as a model does not keep them, and measures the exact
Hessian there, on the project's threads or on Dask's workers. The model is a :class:`skmax.SoftmaxRegression`, a
:class:`skmax.SoftmaxRegressionCV`, a :class:`skmax.dask.DaskSoftmaxRegression`, or a pipeline that ends in one.
"""

from skmax.inference._covariance import coef_table, covariance_matrix, std_errors
from skmax.inference._effects import average_marginal_effects, marginal_effects
from skmax.inference._hypotheses import (
    GoodnessOfFit,
    HypothesisTest,
    goodness_of_fit,
    likelihood_ratio_test,
    log_likelihood,
    wald_test,
)
from skmax.inference._influence import LeaveOneOut, influence_on, leave_one_out
from skmax.inference._predictions import ProbabilityIntervals, posterior_predict_proba, predict_proba_interval

__all__ = [
    "GoodnessOfFit",
    "HypothesisTest",
    "LeaveOneOut",
    "ProbabilityIntervals",
    "average_marginal_effects",
    "coef_table",
    "covariance_matrix",
    "goodness_of_fit",
    "influence_on",
    "leave_one_out",
    "likelihood_ratio_test",
    "log_likelihood",
    "marginal_effects",
    "posterior_predict_proba",
    "predict_proba_interval",
    "std_errors",
    "wald_test",
]
