"""What several test files build."""

from skmax._objective import Objective
from skmax._samples import samples_of


def objective_of(X, target, weight=None, *, n_classes, n_logits, weight_decay, fit_intercept):
    """The objective of an X in memory."""
    classes = {"n_classes": n_classes, "n_logits": n_logits}
    return Objective(samples_of(X, target, weight, fit_intercept=fit_intercept, **classes)).penalised(weight_decay)
