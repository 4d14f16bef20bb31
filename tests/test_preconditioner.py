"""Preconditioners: against a Hessian by finite differences, and as linear maps with their transposes."""

import numpy as np
import pytest
from problems import objective_of
from scipy import linalg, sparse

from skmax._columns import ColumnStats
from skmax._coordinates import work_coordinates
from skmax._preconditioner import block, choose_preconditioner, full
from skmax._preconditioner.base import BasePreconditioner
from skmax._preconditioner.block import BlockPreconditioner
from skmax._preconditioner.choose import most_promising
from skmax._preconditioner.diagonal import DiagonalPreconditioner
from skmax._preconditioner.full import FullPreconditioner
from skmax._preconditioner.history import History, Stage
from skmax._preconditioner.kronecker import KroneckerPreconditioner
from skmax._preconditioner.low_rank import LowRankPreconditioner
from skmax._preconditioner.sampling import complete, sample
from skmax._preconditioner.shared import SharedPreconditioner
from skmax._solver import minimize

KINDS = [
    FullPreconditioner,
    BlockPreconditioner,
    SharedPreconditioner,
    LowRankPreconditioner,
    DiagonalPreconditioner,
]


def problem(n_classes, *, layout=np.asarray, fit_intercept=True, weight_decay=0.1, weighted=True):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 3)) * [1, 100, 0.01] + [0, 500, 0.02]
    X[rng.uniform(size=X.shape) < 0.2] = 0
    weight = rng.uniform(0, 2, size=60) if weighted else None
    n_logits = 1 if n_classes == 2 else n_classes
    objective = objective_of(
        layout(X),
        rng.integers(0, n_classes, size=60),
        weight,
        n_classes=n_classes,
        n_logits=n_logits,
        weight_decay=weight_decay,
        fit_intercept=fit_intercept,
    )
    # A point whose rows sum to zero, with logits of less than one: no row is sure and wrong.
    theta = rng.normal(size=(n_logits, objective.n_columns)) / [4, 1000, 0.08, 4][: objective.n_columns]
    if n_logits > 1:
        theta -= theta.mean(axis=0)
    return objective, theta.ravel()


def columns_of(objective):
    return ColumnStats.of(objective.samples, centred=objective.fit_intercept)


def hessian_in_v(objective, theta, change):
    """Second derivatives along the coordinates v, by central differences of the gradient."""
    step = 1e-4
    identity = np.eye(theta.size)
    columns = [
        change.backward(objective(theta + step * change.forward(e))[1] - objective(theta - step * change.forward(e))[1])
        / (2 * step)
        for e in identity
    ]
    return np.array(columns)


@pytest.mark.parametrize("n_classes", [2, 3, 4])
@pytest.mark.parametrize("fit_intercept", [False, True])
@pytest.mark.parametrize("layout", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize(("together", "symmetric"), [(np.inf, 0), (0, np.inf), (0, 0)])
def test_the_full_preconditioner_makes_the_hessian_the_identity(
    monkeypatch, n_classes, fit_intercept, layout, together, symmetric
):
    # All pairs together, pair by pair, or pair by pair with symmetric products.
    monkeypatch.setattr("skmax._hessian.measure._TOGETHER", together)
    monkeypatch.setattr("skmax._hessian.measure._SYMMETRIC", symmetric)
    objective, theta = problem(n_classes, fit_intercept=fit_intercept, layout=layout)
    change = FullPreconditioner.at(objective, columns_of(objective), theta)
    eigenvalues = np.linalg.eigvalsh(hessian_in_v(objective, theta, change))
    # One direction per column of X, and the intercept, is redundant for three or more logits: its curvature is zero.
    redundant = 0 if n_classes == 2 else objective.n_columns
    np.testing.assert_allclose(eigenvalues[:redundant], 0, atol=1e-5)
    np.testing.assert_allclose(eigenvalues[redundant:], 1, atol=1e-5)  # differences: step^2 and eps / step


def test_the_whole_hessian_is_sampled_only_if_this_saves_more_than_the_choice_of_rows_takes():
    X, y = np.random.default_rng(0).normal(size=(5000, 40)), np.arange(5000) % 3
    for n_features, rows_used in [(5, ""), (40, ", 2000 of 5000 rows")]:
        objective = objective_of(
            X[:, :n_features], y, None, n_classes=3, n_logits=3, weight_decay=1.0, fit_intercept=True
        )
        change = FullPreconditioner.at(objective, columns_of(objective), np.zeros(3 * objective.n_columns))
        assert str(change) == "full" + rows_used
    assert FullPreconditioner.cost(objective) < 2000 * 123**2


@pytest.mark.parametrize("n_classes", [2, 4])
@pytest.mark.parametrize("layout", [np.asarray, sparse.csr_array])
def test_the_diagonal_preconditioner_scales_each_parameter_to_unit_curvature(n_classes, layout):
    objective, theta = problem(n_classes, layout=layout)
    change = DiagonalPreconditioner.at(objective, columns_of(objective), theta)
    diagonal = np.diagonal(hessian_in_v(objective, theta, change))
    if n_classes == 2:
        np.testing.assert_allclose(diagonal, 1, atol=1e-5)
    else:  # the mean over classes is removed from each step, which takes part of the curvature away
        assert (diagonal > 0.3).all()
        assert (diagonal < 1.2).all()


@pytest.mark.parametrize("n_classes", [2, 4])
@pytest.mark.parametrize("layout", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("fit_intercept", [False, True])
def test_the_block_preconditioner_makes_the_hessian_of_each_logit_the_identity(
    monkeypatch, n_classes, layout, fit_intercept
):
    objective, theta = problem(n_classes, layout=layout, fit_intercept=fit_intercept)
    change = BlockPreconditioner.at(objective, columns_of(objective), theta)
    monkeypatch.setattr(BasePreconditioner, "_centred_over_classes", lambda self, standardized: standardized)
    hessian = hessian_in_v(objective, theta, change)
    p = objective.n_columns
    for own in (slice(k * p, (k + 1) * p) for k in range(objective.n_logits)):
        np.testing.assert_allclose(hessian[own, own], np.eye(p), atol=1e-5)


@pytest.mark.parametrize("n_classes", [2, 4])
@pytest.mark.parametrize("fit_intercept", [False, True])
def test_of_low_rank_is_the_diagonal_but_for_the_rows_of_largest_leverage(monkeypatch, n_classes, fit_intercept):
    monkeypatch.setattr("skmax._preconditioner.low_rank._RANK", 5)
    monkeypatch.setattr("skmax._preconditioner.low_rank._LEAST_CURVATURE_RATIO", 0.0)
    objective, theta = problem(n_classes, fit_intercept=fit_intercept)
    columns, samples = columns_of(objective), objective.samples
    change = LowRankPreconditioner.at(objective, columns, theta)
    inverse = np.array([change._from_v(change._to_v(e)) for e in np.eye(theta.size)])
    whole = samples.rows(slice(None))
    standardized = columns.standardized(whole, fit_intercept)
    probability = whole.probability(*samples.parameters(theta))
    penalty = np.append(0.1 / columns.scale**2, 0.0)[: objective.n_columns]
    expected = np.zeros((theta.size, theta.size))
    for k in range(objective.n_logits):
        curvature = samples.sample_weight * probability[k] * (1 - probability[k]) / samples.weight_sum
        diagonal = curvature @ standardized**2 + penalty
        largest = np.argsort(-curvature * (standardized**2 @ (1 / diagonal)))[:5]
        few = (standardized[largest].T * curvature[largest]) @ standardized[largest]
        own = slice(k * objective.n_columns, (k + 1) * objective.n_columns)
        expected[own, own] = few + np.diag(diagonal - few.diagonal())
    np.testing.assert_allclose(inverse @ expected, np.eye(theta.size), atol=1e-10)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n_classes", [2, 4])
@pytest.mark.parametrize("fit_intercept", [False, True])
def test_backward_is_the_transpose_of_forward(kind, n_classes, fit_intercept):
    objective, theta = problem(n_classes, fit_intercept=fit_intercept)
    change = kind.at(objective, columns_of(objective), theta)
    rng = np.random.default_rng(1)
    v, gradient = rng.normal(size=(2, theta.size))
    assert np.dot(change.forward(v), gradient) == pytest.approx(np.dot(v, change.backward(gradient)), rel=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_every_step_leaves_the_rows_summing_to_zero(kind):
    objective, theta = problem(4)
    change = kind.at(objective, columns_of(objective), theta)
    step = change.forward(np.random.default_rng(2).normal(size=theta.size)).reshape(4, -1)
    # the intercepts take up means of up to 5e4 scales, which costs them as many digits
    np.testing.assert_allclose(step.sum(axis=0), 0, atol=1e-10 * np.abs(step).max())


def test_the_gap_is_the_distance_to_the_minimum_of_the_quadratic_model():
    """Half the squared Newton decrement, with the Hessian by differences and its pseudo-inverse."""
    objective, theta = problem(3)
    gradient = objective(theta)[1]
    columns = columns_of(objective)
    gap = np.sum(FullPreconditioner.at(objective, columns, theta).backward(gradient) ** 2) / 2
    change = DiagonalPreconditioner.at(objective, columns, theta)
    in_v = change.backward(gradient)
    expected = in_v @ np.linalg.pinv(hessian_in_v(objective, theta, change), rcond=1e-4) @ in_v / 2
    assert gap == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("weight_decay", [0.0, 1e-3])
def test_singular_columns_are_harmless(kind, weight_decay):
    """Constant, duplicate, empty and enormous columns: finite steps, and for the constant ones no gradient."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=50)
    X = np.column_stack([x, x, np.full(50, 1.24e18), np.zeros(50), 1e18 * rng.normal(size=50), 1e-8 * x])
    objective = objective_of(
        X, rng.integers(0, 3, 50), n_classes=3, n_logits=3, weight_decay=weight_decay, fit_intercept=True
    )
    # As a fit does: far from zero, the gradient of a constant column is the rounding of two huge sums.
    _, samples, columns, _ = work_coordinates(objective.samples, centred=True)
    objective = objective.with_samples(samples)
    np.testing.assert_array_equal(columns.scale[2:4], 1)
    theta = np.zeros(3 * 7)
    change = kind.at(objective, columns, theta)
    in_v = change.backward(objective(theta)[1])
    assert np.isfinite(in_v).all()
    assert np.isfinite(change.forward(in_v)).all()
    assert np.sum(in_v**2) < 10  # f is at most log 3 above its minimum


@pytest.mark.parametrize("layout", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("fit_intercept", [False, True])
def test_columns_are_weighted_means_and_deviations(layout, fit_intercept):
    objective, _ = problem(3, layout=layout, fit_intercept=fit_intercept)
    X = objective.samples.X.toarray() if sparse.issparse(objective.samples.X) else objective.samples.X
    weight = objective.samples.sample_weight
    mean = np.average(X, axis=0, weights=weight) if fit_intercept else np.zeros(3)
    columns = columns_of(objective)
    np.testing.assert_allclose(columns.mean, mean, rtol=1e-12)
    np.testing.assert_allclose(columns.scale, np.sqrt(np.average((X - mean) ** 2, axis=0, weights=weight)), rtol=1e-10)


def test_the_kronecker_product_is_the_hessian_where_all_rows_have_the_same_probabilities():
    for n_classes in (2, 4):
        objective, theta = problem(n_classes)
        theta = objective.join(np.zeros((objective.n_logits, 3)), objective.split(theta)[1]).ravel()
        change = KroneckerPreconditioner.at(objective, columns_of(objective), theta)
        eigenvalues = np.linalg.eigvalsh(hessian_in_v(objective, theta, change))
        redundant = 0 if n_classes == 2 else objective.n_columns
        np.testing.assert_allclose(eigenvalues[:redundant], 0, atol=1e-5)
        np.testing.assert_allclose(eigenvalues[redundant:], 1, atol=1e-5)
        v = np.random.default_rng(4).normal(size=theta.size)
        assert np.dot(change.forward(v), v) == pytest.approx(np.dot(v, change.backward(v)), rel=1e-9)


@pytest.mark.parametrize("kind", [FullPreconditioner, BlockPreconditioner])
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("layout", [np.asarray, sparse.csr_array])
def test_a_sampled_hessian_is_near_the_whole_one(monkeypatch, kind, n_classes, weighted, layout):
    """Its eigenvalues are near 1 in the coordinates of the whole, also with an outlier and a class of one row."""
    rng = np.random.default_rng(5)
    X = rng.normal(size=(4000, 4))
    X[7] = 300
    y = rng.integers(0, n_classes - 1, size=4000)
    y[8] = n_classes - 1
    weight = rng.uniform(0.5, 2, size=4000) if weighted else None
    n_logits = 1 if n_classes == 2 else n_classes
    objective = objective_of(
        layout(X), y, weight, n_classes=n_classes, n_logits=n_logits, weight_decay=1e-4, fit_intercept=True
    )
    theta = rng.normal(size=(n_logits, 5)) * 0.002
    theta[-1, -1] -= 12
    theta = (theta - theta.mean(axis=0) if n_logits > 1 else theta).ravel()
    whole = kind.at(objective, columns_of(objective), theta)
    monkeypatch.setattr("skmax._preconditioner.sampling._SAMPLE", (80, 0))
    monkeypatch.setattr("skmax._preconditioner.full._SAMPLING", 0)  # even if it saves little
    taken = []
    for module in (block, full):
        monkeypatch.setattr(module, "sample", lambda *a, **k: taken.extend(sample(*a, **k)) or taken)
    change = kind.at(objective, columns_of(objective), theta)
    for index, _, factor in taken:
        assert 70 * 5 < len(index) <= 80 * theta.size
        assert 7 in index
        assert factor.sum() == pytest.approx(
            4000, rel=0.5
        )  # they stand for all rows, the curvatures of which are alike
        assert factor[index == 7] == 1
    n_sampled, form = (80 * theta.size, "full") if kind is FullPreconditioner else (80 * 5, "block")
    assert (str(whole), str(change)) == (form, f"{form}, {n_sampled} of 4000 rows")
    # L^-1 of the sample times L of the whole, through `forward` of the one and the inverse of that of the other
    ratio = np.linalg.lstsq(
        np.array([whole.forward(e) for e in np.eye(theta.size)]).T,
        np.array([change.forward(e) for e in np.eye(theta.size)]).T,
        rcond=1e-9,
    )[0]
    singular = np.linalg.svd(ratio)[1][: theta.size if n_classes == 2 else theta.size - 5]
    # 400 rows or more tell deviations to some 5 %; a wrongly weighted outlier would show as a factor of 2 or more.
    assert np.abs(np.log(singular)).max() < 0.35


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n_classes", [2, 3])
def test_rows_of_which_the_model_is_sure_and_wrong_make_newton_steps_too_long_but_for_damping(kind, n_classes):
    X = np.linspace(-1, 1, 50)[:, None]
    y = (X[:, 0] > 0).astype(int)
    y[[3, 46]] = 1 - y[[3, 46]]
    n_logits = n_classes - 1 if n_classes == 2 else 3
    objective = objective_of(X, y, n_classes=n_classes, n_logits=n_logits, weight_decay=0.0, fit_intercept=True)
    theta = np.array([40.0, 0.0]) if n_classes == 2 else np.array([-40.0, 0, 40, 0, 0, -40])
    value, gradient = objective(theta)
    plain, damped = (kind.at(objective, columns_of(objective), theta, damping) for damping in (0.0, 0.1))
    assert objective(theta - plain.forward(plain.backward(gradient)))[0] > value
    assert objective(theta - damped.forward(damped.backward(gradient)))[0] < value


@pytest.mark.parametrize("kind", [*KINDS, KroneckerPreconditioner])
@pytest.mark.parametrize("n_classes", [2, 4])
def test_another_weight_decay_needs_no_second_look_at_the_rows(kind, n_classes):
    objective, theta = problem(n_classes)
    if kind is KroneckerPreconditioner:
        theta = objective.join(np.zeros((objective.n_logits, 3)), objective.split(theta)[1]).ravel()
    other = objective.penalised(7.0)
    assert other(theta)[0] > objective(theta)[0] or kind is KroneckerPreconditioner
    changed = kind.at(objective, columns_of(objective), theta).penalised(other)
    anew = kind.at(other, columns_of(objective), theta)
    v = np.random.default_rng(9).normal(size=theta.size)
    np.testing.assert_allclose(changed.forward(v), anew.forward(v), rtol=1e-12)
    np.testing.assert_allclose(changed.backward(v), anew.backward(v), rtol=1e-12)


@pytest.mark.parametrize("n_classes", [2, 4])
def test_the_inverse_is_that_of_the_hessian_on_steps_that_sum_to_zero(n_classes):
    objective, theta = problem(n_classes)
    change = FullPreconditioner.at(objective, columns_of(objective), theta)
    v = np.random.default_rng(10).normal(size=theta.size)
    standardized = change._centred_over_classes(v.reshape(objective.n_logits, -1)).ravel()
    product = change._from_v(change._to_v(standardized)).reshape(objective.n_logits, -1)
    expected = change._centred_over_classes(product).ravel()
    np.testing.assert_allclose(change.inverse() @ v, expected, rtol=1e-6)  # as jitter of 1e-13 leaves it


def test_rows_that_a_sample_missed_leave_no_parameter_without_curvature():
    hessian = np.array([[1.0, 0.9, 0.0], [0.9, 1.0, 0.0], [0.0, 0.0, 1e-9]])
    complete(hessian, np.array([1.2, 0.9, 0.5]))
    np.testing.assert_allclose(hessian, [[1.0, 0.9, 0.0], [0.9, 1.0, 0.0], [0.0, 0.0, 0.5]])


@pytest.mark.parametrize("n_classes", [2, 4])
@pytest.mark.parametrize("layout", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("fit_intercept", [False, True])
def test_hessian_products_are_derivatives_of_the_gradient(n_classes, layout, fit_intercept):
    objective, theta = problem(n_classes, layout=layout, fit_intercept=fit_intercept)
    direction = np.random.default_rng(6).normal(size=theta.size) * np.abs(theta)
    step = 1e-5
    difference = (objective(theta + step * direction)[1] - objective(theta - step * direction)[1]) / (2 * step)
    product = objective.hessian_product(theta, direction)
    np.testing.assert_allclose(product, difference, atol=1e-7 * np.abs(product).max())


@pytest.mark.parametrize(
    ("n_samples", "n_features", "n_classes", "start", "later"),
    [
        (500, 4, 3, FullPreconditioner, FullPreconditioner),  # so cheap that it saves the Kronecker form
        (3000, 20, 10, KroneckerPreconditioner, FullPreconditioner),
        (3000, 50, 60, KroneckerPreconditioner, BlockPreconditioner),
        (300, 300, 30, KroneckerPreconditioner, SharedPreconditioner),
        (20, 3000, 3, DiagonalPreconditioner, DiagonalPreconditioner),  # too many columns to hold a matrix of them
        (100, 2000, 3, DiagonalPreconditioner, DiagonalPreconditioner),
    ],
)
def test_the_choice_depends_on_the_cost(n_samples, n_features, n_classes, start, later):
    rng = np.random.default_rng(7)
    objective = objective_of(
        rng.normal(size=(n_samples, n_features)),
        rng.integers(0, n_classes, n_samples),
        n_classes=n_classes,
        n_logits=n_classes,
        weight_decay=0.1,
        fit_intercept=True,
    )
    theta = np.zeros(n_classes * (n_features + 1))
    assert isinstance(choose_preconditioner(columns_of(objective), objective, theta), start)
    assert isinstance(choose_preconditioner(columns_of(objective), objective, theta + 1), later)


@pytest.mark.parametrize("layout", [np.asarray, sparse.csr_array])
def test_a_hard_fit_is_worth_a_dearer_preconditioner(monkeypatch, layout):
    rng = np.random.default_rng(8)
    objective = objective_of(
        layout(rng.normal(size=(300, 300))),
        rng.integers(0, 30, 300),
        n_classes=30,
        n_logits=30,
        weight_decay=0.1,
        fit_intercept=True,
    )
    columns, theta = columns_of(objective), np.ones(30 * 301)

    def kind(n_iter):
        return type(choose_preconditioner(columns, objective, theta, history=History(n_iter, target=1e-6)))

    # without the form that all classes share, as with so many columns that it costs too much
    monkeypatch.setattr(SharedPreconditioner, "suits", lambda *_: False)
    assert kind(1) is DiagonalPreconditioner
    # a row of a sparse X is not filled
    assert kind(30) is (LowRankPreconditioner if layout is np.asarray else DiagonalPreconditioner)
    # no room for half of the rows
    monkeypatch.setattr("skmax._preconditioner.choose.MOST_NUMBERS", 32 * theta.size - 1)
    assert kind(30) is DiagonalPreconditioner


@pytest.mark.parametrize("n_classes", [2, 4])
@pytest.mark.parametrize("fit_intercept", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_shared_preconditioner_is_the_mean_block_with_a_factor_for_each_class(n_classes, fit_intercept, weighted):
    objective, theta = problem(n_classes, fit_intercept=fit_intercept, weighted=weighted)
    columns, samples = columns_of(objective), objective.samples
    change = SharedPreconditioner.at(objective, columns, theta)
    rows = samples.rows(slice(None))
    standardized = columns.standardized(rows, fit_intercept)
    probability = rows.probability(*samples.parameters(theta))
    curvature = rows.weights() * probability * (1 - probability) / samples.weight_sum
    blocks = np.einsum("ki,ij,il->kjl", curvature, standardized, standardized)
    mean, penalty = blocks.mean(axis=0), np.diag(np.append(0.1 / columns.scale**2, 0.0)[: objective.n_columns])
    share = np.trace(blocks, axis1=1, axis2=2) / np.trace(mean)
    inverse = np.array([change._from_v(change._to_v(e)) for e in np.eye(theta.size)])
    p = objective.n_columns
    in_mean = np.trace(np.linalg.solve(mean + penalty, penalty)) / p
    for k in range(objective.n_logits):
        own = slice(k * p, (k + 1) * p)
        ratio = (inverse[own, own] @ (mean + penalty))[0, 0]
        np.testing.assert_allclose(inverse[own, own] @ (mean + penalty), ratio * np.eye(p), atol=1e-9 * ratio)
        # eight random signs tell the mean of M's diagonal, here 0.1 to 0.4, to some hundredths
        assert 1 / ratio == pytest.approx(share[k] * (1 - in_mean) + in_mean, abs=0.1)
        inverse[own, own] = 0
    np.testing.assert_array_equal(inverse, 0)


def test_a_sample_of_the_rows_serves_the_shared_preconditioner(monkeypatch):
    objective, theta = embeddings(4000)
    columns = columns_of(objective)
    whole = SharedPreconditioner.at(objective, columns, theta)
    monkeypatch.setattr("skmax._preconditioner.sampling._SAMPLE", (4, 400))
    monkeypatch.setattr("skmax._preconditioner.shared._SAMPLE", 10)
    change = SharedPreconditioner.at(objective, columns, theta)
    assert (str(whole), str(change)) == ("shared", "shared, 610 of 4000 rows")
    ratio = linalg.eigh(change.moment, whole.moment, eigvals_only=True)
    # ten rows for each column: within (1 +- 10^-1/2)^2, and a little more
    assert ratio.min() > 0.35
    assert ratio.max() < 2.2
    np.testing.assert_allclose(change.share, whole.share, rtol=0.5)


def embeddings(n_samples, weight_decay=1e-5):
    """Rows like deep embeddings: classes of a common, turned, anisotropic spread, far from the origin."""
    rng = np.random.default_rng(11)
    n_features, n_classes = 60, 20
    spectrum = 1 / np.arange(1, n_features + 1)
    turn = np.linalg.qr(rng.normal(size=(n_features, n_features)))[0]
    means = 0.5 * rng.normal(size=(n_classes, n_features)) * spectrum
    y = rng.integers(0, n_classes, n_samples)
    X = (means[y] + rng.normal(size=(n_samples, n_features)) * spectrum) @ turn + 0.3 * rng.normal(size=n_features)
    objective = objective_of(
        X, y, n_classes=n_classes, n_logits=n_classes, weight_decay=weight_decay, fit_intercept=True
    )
    return objective, np.zeros(n_classes * (n_features + 1))


def test_on_embeddings_the_shared_preconditioner_needs_a_third_of_the_iterations_of_the_diagonal():
    objective, theta = embeddings(3000)
    columns = columns_of(objective)

    def n_iter(form):
        solution = minimize(
            objective,
            theta,
            lambda function, theta, damping, _: form.at(function, columns, theta, damping),
            tol=1e-6,
            max_iter=1000,
        )
        assert solution.converged
        return solution.n_iter

    assert n_iter(SharedPreconditioner) <= n_iter(DiagonalPreconditioner) / 3


class TestMostPromising:
    """Two forms, of which the second costs 10 evaluations more, from a gap of 1 at first, to one of 1e-6."""

    forms = (DiagonalPreconditioner, SharedPreconditioner)

    def after(self, *stages):
        gap, done = 1.0, []
        for form, factor in stages:
            done.append(Stage(form, 15, gap, gap * factor, gap * factor))  # the minimum is 0
            gap *= factor
        return most_promising(list(self.forms), [0.0, 10.0], History(15 * len(done), done, 1e-6))

    def test_the_preferred_form_begins(self):
        assert self.after() is self.forms[0]

    def test_a_form_that_ends_the_search_soon_stays(self):
        assert self.after((self.forms[0], 1e-3)) is self.forms[0]

    def test_another_form_is_tried_where_much_is_left(self):
        assert self.after((self.forms[0], 0.5)) is self.forms[1]

    def test_the_best_for_its_operations_goes_on(self):
        slow, fast = (self.forms[0], 0.5), (self.forms[1], 0.1)
        assert self.after(slow, fast) is self.forms[1]
        # 0.4 in 15 evaluations and the 10 that it costs is less than 0.5 in 15
        assert self.after(slow, (self.forms[1], 0.4)) is self.forms[0]

    def test_a_form_that_stalls_is_left(self):
        slow, fast = (self.forms[0], 0.5), (self.forms[1], 0.1)
        assert self.after(slow, fast, (self.forms[1], 0.9)) is self.forms[0]


def test_a_choice_that_learns_is_the_same_each_time(monkeypatch):
    objective, theta = embeddings(60, weight_decay=1e-7)
    columns, names = columns_of(objective), []
    monkeypatch.setattr(BlockPreconditioner, "most_evaluations", 0)

    def precondition(function, theta, damping, history):
        change = choose_preconditioner(columns, function, theta, damping, history)
        names[-1].append(str(change))
        return change

    curves = []
    for _ in range(2):
        names.append([])
        curves.append(minimize(objective, theta + 0.1, precondition, tol=1e-9, max_iter=200).loss_curve)
    assert names[0] == names[1]
    assert {"shared", "low rank"} <= set(names[0])
    assert curves[0] == curves[1]
