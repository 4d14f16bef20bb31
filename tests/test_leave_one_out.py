"""Approximate leave-one-out: against the Newton step that it stands for, taken with dense matrices."""

import numpy as np
import pytest
from problems import objective_of
from scipy import sparse
from scipy.special import log_softmax

from skmax import SoftmaxRegression
from skmax._columns import ColumnStats
from skmax._leave_one_out import leave_one_out_losses


@pytest.mark.parametrize("layout", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("fit_intercept", [False, True])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_each_loss_is_that_of_a_newton_step_without_the_row(n_classes, fit_intercept, weighted, layout):
    rng = np.random.default_rng(0)
    n, p, decay = 40, 3, 0.05
    X = rng.normal(size=(n, p)) * [1, 30, 0.1] + [0, 5, 1]
    Y = rng.dirichlet(np.ones(n_classes), size=n)
    weight = rng.uniform(0.2, 3, size=n) if weighted else None
    model = SoftmaxRegression(decay, fit_intercept=fit_intercept, tol=1e-14).fit(X, Y, weight)
    n_logits = len(model.coef_)
    objective = objective_of(
        layout(X), Y, weight, n_classes=n_classes, n_logits=n_logits, weight_decay=decay, fit_intercept=fit_intercept
    )
    theta = objective.join(model.coef_, model.intercept_).ravel()
    losses = leave_one_out_losses(objective, ColumnStats.of(objective.samples, centred=fit_intercept), theta)

    s = np.ones(n) if weight is None else weight
    rows = np.column_stack([X, np.ones(n)]) if fit_intercept else X
    penalised = np.ones((n_logits, rows.shape[1]))
    penalised[:, p:] = 0
    z = rows @ theta.reshape(n_logits, -1).T

    def own(i, z_i):
        full = np.r_[0, z_i] if n_logits == 1 else z_i
        return -Y[i] @ log_softmax(full), np.exp(log_softmax(full))[-n_logits:]

    def curvature(i):
        probability = own(i, z[i])[1]
        return np.kron(np.diag(probability) - np.outer(probability, probability), np.outer(rows[i], rows[i]))

    total = sum(s[i] * curvature(i) for i in range(n)) + decay * s.sum() * np.diag(penalised.ravel())
    for i in range(n):
        residual = own(i, z[i])[1] - Y[i, -n_logits:]
        gradient = -s[i] * (np.kron(residual, rows[i]) + decay * penalised.ravel() * theta)
        step = np.linalg.pinv(total - s[i] * curvature(i), rcond=1e-12) @ gradient
        without = z[i] - step.reshape(n_logits, -1) @ rows[i]
        assert losses[i] == pytest.approx(own(i, without)[0], rel=1e-5)
