"""What several test files build."""

from skmax._objective import Objective
from skmax._problem import Problem
from skmax._samples import samples_of
from skmax._target import encode_target


def objective_of(X, target, weight=None, *, n_classes, n_logits, weight_decay, fit_intercept):
    """The objective of an X in memory."""
    classes = {"n_classes": n_classes, "n_logits": n_logits}
    return Objective(samples_of(X, target, weight, fit_intercept=fit_intercept, **classes)).penalised(weight_decay)


def problem_of(X, y, pool=None):
    """The problem of labels in memory."""
    target = encode_target(y, classes=None, class_weight=None, sample_weight=None)
    return Problem.of(target.samples(X, fit_intercept=True, pool=pool), target.encoding)
