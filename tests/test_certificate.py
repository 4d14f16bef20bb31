"""What is said of the distance from the minimum, held against functions and problems whose minimum is known."""

import numpy as np
import pytest
from problems import objective_of
from scipy import optimize
from scipy.special import logsumexp
from test_solver import Quadratic, Scaled, Smooth

from skmax import SoftmaxRegression
from skmax._certificate.base import Certificate, Point, Steps
from skmax._certificate.bound import bound, reach, without_far_rows
from skmax._certificate.certify import certify
from skmax._certificate.conjugate_gradients import by_conjugate_gradients
from skmax._columns import ColumnStats
from skmax._hessian.factored import FactoredHessian
from skmax._hessian.whole import WholeHessian


def attempt_at(function, point, change, hessian, tol, *, max_steps=0, final=False):
    """The attempt, and f after each of its steps."""
    values = []
    steps = Steps(max_steps, lambda point: values.append(point.value))
    return certify(function, point, change, hessian, tol, n_iter=0, steps=steps, final=final), values


def estimate(function, point, change, n_steps=500, enough=np.inf):
    return by_conjugate_gradients(function, point, change, n_steps, enough)[0]


# The formula.


def test_psi_is_the_parabolas_at_zero_and_grows_to_one():
    gaps = [Certificate.of(1.0, t, is_bound=True).gap for t in (0.0, 1e-9, 0.99e-4, 1.01e-4, 0.1, 0.5, 0.9, 1 - 1e-12)]
    assert gaps[0] == 0.5
    assert (np.diff(gaps) > 0).all()
    assert gaps[-1] == pytest.approx(1, abs=1e-10)
    # [ t + (1 - t) log(1 - t) ] / t^2 at t = 1/2, by hand: (1/2 - log(2) / 2) * 4
    assert gaps[5] == pytest.approx(2 - 2 * np.log(2))
    # The two branches meet: the next term of the series is t^2 / 12, 1e-9 there.
    assert gaps[3] - gaps[2] == pytest.approx(2e-6 / 6, rel=1e-2)


@pytest.mark.parametrize("change", [1.0, 2.0, np.inf, np.nan])
def test_beyond_a_change_of_one_nothing_is_certified(change):
    proof = Certificate.of(1e-9, change, is_bound=True)
    assert not proof.holds
    assert not proof.within(1.0)


# Conjugate gradients.


class Spread(Smooth):
    """A quadratic with curvatures from 1e-4 to 1, whose gap lies in the small ones."""

    curvature = np.geomspace(1e-4, 1, 200)

    def __init__(self):
        self.products = 0

    def __call__(self, theta):
        return np.dot(self.curvature, theta**2) / 2, self.curvature * theta

    def hessian_product(self, theta, direction):
        self.products += 1
        return self.curvature * direction


def test_the_estimate_is_the_true_gap_whatever_the_preconditioner():
    """Of a quadratic the Newton decrement is exact; the squared gradient in these coordinates says three times it."""
    theta = np.array([2.0, 2.0, 3.0 + 1e-4])
    point = Point.of(Quadratic(), theta)
    change = Scaled(np.sqrt([1.0, 1e4 / 3, 1e8 / 5]))
    proof, step = by_conjugate_gradients(Quadratic(), point, change, 3, np.inf)
    assert proof.gap == pytest.approx(point.value)
    np.testing.assert_allclose(theta + step, [1, 2, 3])
    assert not proof.is_bound


def test_what_is_left_of_the_gradient_counts_as_the_smallest_curvature_seen():
    """Without a preconditioner the first steps add little each, and hundreds are needed: no estimate is below half."""
    point = Point.of(Spread(), 1e-3 / np.sqrt(Spread.curvature))
    for n_steps in (1, 3, 10, 30, 100, 500):
        gap = estimate(Spread(), point, Scaled(np.ones(200)), n_steps).gap
        # The smallest Ritz value falls with the steps, and what it says of the rest comes from above.
        assert gap > (0.5 if n_steps >= 10 else 0.1) * point.value
    assert gap < 2 * point.value


def test_conjugate_gradients_end_when_enough_is_known():
    function = Spread()
    point = Point.of(function, 1 / np.sqrt(Spread.curvature))
    assert estimate(function, point, Scaled(np.ones(200)), enough=1e-3 * point.value).gap > 1e-3 * point.value
    assert function.products < 10
    function.products = 0
    estimate(function, point, Scaled(np.sqrt(Spread.curvature)))
    assert function.products == 1  # a perfect preconditioner leaves nothing


def test_the_gap_is_not_hidden_by_directions_of_far_too_little_curvature():
    """A preconditioner that takes six directions for flat spends its first steps there, where little is."""
    far = np.sqrt([1, 1.5, 2, 3, 4, 5])
    theta = np.append(0.1 / far, 1.0)
    point = Point(theta, theta @ theta / 2, theta)

    class Round(Smooth):
        def hessian_product(self, theta, direction):
            return direction

    change = Scaled(np.append(1e-6 / far, 1.0))
    assert estimate(Round(), point, change).gap >= 0.9 * point.value


@pytest.mark.parametrize("product", [0.0, -1.0, np.nan, np.inf])
def test_a_curvature_that_is_none_certifies_nothing(product):
    class Broken(Quadratic):
        def hessian_product(self, theta, direction):
            return np.full_like(direction, product)

    point = Point.of(Broken(), np.zeros(3))
    assert not estimate(Broken(), point, Scaled(np.sqrt([1, 1e4, 1e8]))).within(1e-6)


def test_a_step_that_changes_a_logit_by_one_certifies_nothing():
    class Far(Quadratic):
        def largest_change(self, step):
            return 1.0

    point = Point.of(Far(), np.array([1.0, 2.0, 3.0 + 1e-9]))
    change = Scaled(np.sqrt([1, 1e4, 1e8]))
    attempt, _ = attempt_at(Far(), point, change, None, 1e-6, max_steps=0, final=True)
    assert attempt.proof.gap <= 1e-6
    assert not attempt.proof.within(1e-6)


class Penalised(Quadratic):
    """Half of its curvature is a penalty, and a step changes each row's logits by 50."""

    mean = 50.0

    def largest_change(self, step):
        return 50.0

    def mean_change(self, step):
        return self.mean

    def penalty_curvature(self, step):
        return float(np.dot(self.curvature / 2, step**2))


def test_where_all_rows_change_alike_the_penalty_certifies_what_its_curvature_leaves():
    point = Point.of(Penalised(), np.array([1.0, 2.0, 3.0 + 1e-8]))
    change = Scaled(np.sqrt([1, 1e4, 1e8]))
    attempt, _ = attempt_at(Penalised(), point, change, None, 1e-6, max_steps=0, final=True)
    # lambda^2 / (2 rho) with rho = 1/2, twice the gap of the parabola.
    assert attempt.proof.gap == pytest.approx(2 * point.value, rel=1e-6)
    assert attempt.proof.within(3 * point.value)
    assert not attempt.proof.is_bound


def test_where_a_step_changes_a_few_rows_only_the_penalty_certifies_nothing():
    class Outlying(Penalised):
        mean = 5.0

    class Weak(Penalised):
        def penalty_curvature(self, step):
            return super().penalty_curvature(step) / 10

    point = Point.of(Penalised(), np.array([1.0, 2.0, 3.0 + 1e-8]))
    for kind in (Outlying, Weak):
        attempt, _ = attempt_at(kind(), point, Scaled(np.sqrt([1, 1e4, 1e8])), None, 1e-6, max_steps=0, final=True)
        assert not attempt.proof.holds


@pytest.mark.parametrize("n_classes", [2, 3])
def test_the_mean_change_and_the_curvature_of_the_penalty_are_those_of_the_rows_and_coefficients(n_classes):
    objective, _ = problem(3, n_classes, weight_decay=0.3)
    samples = objective.samples
    table = np.random.default_rng(0).normal(size=(samples.n_logits, samples.n_columns))
    step = (table if n_classes == 2 else table - table.mean(axis=0)).ravel()
    coef, intercept = objective.split(step)
    logits = samples.X @ coef.T + intercept
    spread = np.abs(logits[:, 0]) if n_classes == 2 else np.ptp(logits, axis=1)
    weight = samples.sample_weight
    means = spread[weight > 0].mean(), np.average(spread, weights=weight)
    assert objective.mean_change(step) == pytest.approx(min(means))
    assert objective.penalty_curvature(step) == pytest.approx(0.3 * np.square(coef).sum())


def test_work_that_fails_to_certify_is_a_step_all_the_same():
    point = Point.of(Spread(), 1 / np.sqrt(Spread.curvature))
    attempt, values = attempt_at(Spread(), point, Scaled(np.ones(200)), None, 1e-12, max_steps=1, final=False)
    assert attempt.point.value < point.value
    assert values == [attempt.point.value]


# The bound, on softmax problems.


def problem(seed, n_classes, outlier=1.0, weight_decay=0.01, n_samples=40):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_samples, 3))
    X[0] *= outlier
    y = rng.integers(0, n_classes, n_samples)
    weight = rng.integers(0, 3, n_samples).astype(float)
    objective = objective_of(
        X,
        y,
        weight,
        n_classes=n_classes,
        n_logits=1 if n_classes == 2 else n_classes,
        weight_decay=weight_decay,
        fit_intercept=True,
    ).exactly()
    return objective, WholeHessian(objective, ColumnStats.of(objective.samples, centred=True))


def minimum(objective):
    """By SciPy's trust region, with a Hessian by products, to the last digits."""
    size = objective.n_logits * objective.n_columns

    def hessian(theta):
        # A curvature along the redundant direction, which has none, leaves the minimum where it is.
        ones = np.kron(np.ones((objective.n_logits,) * 2), np.eye(objective.n_columns)) * (objective.n_logits > 1)
        return np.column_stack([objective.hessian_product(theta, e) for e in np.eye(size)]) + ones

    result = optimize.minimize(
        objective, np.zeros(size), jac=True, hess=hessian, method="trust-exact", options={"gtol": 1e-12}
    )
    return result.x, result.fun


@pytest.mark.parametrize("outlier", [1.0, 30.0, 1e3])
@pytest.mark.parametrize("n_classes", [2, 3, 4])
def test_the_bound_is_one(n_classes, outlier):
    """At random distances from the minimum, of 1e-8 to 1e-1; close to it, it is the gap itself."""
    n_held = 0
    for seed in range(12):
        objective, hessian = problem(seed, n_classes, outlier)
        theta, least = minimum(objective)
        rng = np.random.default_rng(seed)
        step = rng.normal(size=(objective.n_logits, objective.n_columns))
        step -= step.mean(axis=0) * (objective.n_logits > 1)
        point = Point.of(objective, theta + 10 ** rng.uniform(-6, -1) * step.ravel())
        change = hessian.at(point.theta)
        attempt, _ = attempt_at(objective, point, change, hessian, 0.0, max_steps=0, final=True)
        if attempt.proof.is_bound and attempt.proof.holds:
            n_held += 1
            gap = point.value - least
            assert gap <= attempt.proof.gap * (1 + 1e-6) + 1e-15
            if 0 < attempt.proof.change < 0.01 and gap > 1e-11:
                assert attempt.proof.gap <= 1.02 * gap
    assert n_held >= 3


@pytest.mark.parametrize("n_classes", [2, 3])
def test_the_reach_bounds_what_a_step_can_change(n_classes):
    """Against the largest change of each row's difference of logits, by linear algebra of the whole Hessian."""
    objective, hessian = problem(0, n_classes, outlier=10.0)
    theta = np.random.default_rng(1).normal(size=objective.n_logits * objective.n_columns)
    whole = np.column_stack([objective.hessian_product(theta, e) for e in np.eye(theta.size)])
    inverse = np.linalg.pinv(whole, rcond=1e-12)
    x = np.column_stack([objective.samples.X, np.ones(objective.samples.n_samples)])[
        objective.samples.sample_weight > 0
    ]
    pairs = [np.array([1.0])] if n_classes == 2 else [np.eye(3)[k] - np.eye(3)[m] for k, m in ((0, 1), (0, 2), (1, 2))]
    largest = max(np.sqrt(d @ inverse @ d) for row in x for d in (np.kron(pair, row) for pair in pairs))
    assert largest <= reach(hessian, hessian.at(theta)) <= 4 * np.sqrt(x.shape[1]) * largest


def test_rows_that_void_the_bound_are_left_out_of_it():
    """An outlier of which the model is sure, with no curvature to speak of, has a reach of 1e7."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 2))
    X[0] = [1e7, 1e7]
    y = (X.sum(axis=1) + rng.logistic(size=60) > 0).astype(int)
    model = SoftmaxRegression(0.1).fit(X, y)
    assert model.converged_
    assert model.gap_is_bound_
    assert model.gap_ <= 1e-6


@pytest.mark.parametrize("n_classes", [2, 3])
def test_newton_steps_end_at_the_last_digits(n_classes):
    objective, hessian = problem(3, n_classes)
    theta, least = minimum(objective)
    start = theta.reshape(objective.n_logits, -1) + 0.01 * np.arange(objective.n_logits)[:, None]
    point = Point.of(objective, (start - start.mean(axis=0) * (n_classes == 3)).ravel())
    attempt, values = attempt_at(objective, point, hessian.at(point.theta), hessian, 1e-6, max_steps=50, final=False)
    assert attempt.proof.within(1e-15)
    assert attempt.proof.is_bound
    assert attempt.point.value == pytest.approx(least, abs=1e-15)
    assert (np.diff([point.value, *values]) <= 0).all()
    shift = attempt.point.theta.reshape(objective.n_logits, -1) - theta.reshape(objective.n_logits, -1)
    if n_classes == 3:
        shift = shift - shift.mean(axis=0)
    np.testing.assert_allclose(shift, 0, atol=1e-8)  # trust-exact's own gradient is 1e-12, its curvature 1e-3


def test_the_hessian_by_rows_is_the_one_by_sums():
    for n_classes in (2, 4):
        objective, _ = problem(5, n_classes)
        theta = np.random.default_rng(2).normal(size=objective.n_logits * objective.n_columns)
        by_sums, by_rows = (
            FactoredHessian.of_all_rows(objective, ColumnStats.of(objective.samples, centred=True), theta, by_rows=rows)
            for rows in (False, True)
        )
        np.testing.assert_allclose(by_rows.inverse(), by_sums.inverse(), rtol=1e-9, atol=1e-12)
        # ... and takes another penalty, too.
        other = objective.penalised(1.0)
        np.testing.assert_allclose(
            by_rows.penalised(other).inverse(), by_sums.penalised(other).inverse(), rtol=1e-9, atol=1e-12
        )


def test_the_hessian_by_rows_keeps_what_sums_lose():
    """Two columns that differ by 1e-9 of their spread: squares know nothing of it, rows do."""
    rng = np.random.default_rng(0)
    X = np.repeat(rng.normal(size=(50, 1)), 2, axis=1)
    X[:, 1] += 1e-9 * rng.normal(size=50)
    objective = objective_of(
        X, rng.integers(0, 2, 50), n_classes=2, n_logits=1, weight_decay=0.0, fit_intercept=False
    ).exactly()
    hessian = WholeHessian(objective, ColumnStats.of(objective.samples, centred=False))
    assert hessian.roughly_at(np.zeros(2)).is_singular()
    change = hessian.at(np.zeros(2))
    # At theta = 0 the Hessian is X^T X / 4 n; `forward` is a root of its inverse.
    singular = np.linalg.svd(X / np.sqrt(200), compute_uv=False)
    largest = np.linalg.norm(np.column_stack([change.forward(e) for e in np.eye(2)]), ord=2)
    assert largest == pytest.approx(1 / singular[1], rel=1e-6)


# Directions to infinity.


def test_a_direction_to_infinity_is_known_by_its_rows():
    X = np.array([[0.0, 0], [1, 0], [0, 0], [1, 0], [2, 0], [0, 1], [1, 1]])
    y = np.array([0, 0, 1, 1, 0, 1, 1])
    objective = objective_of(X, y, n_classes=2, n_logits=1, weight_decay=0.0, fit_intercept=True)
    assert objective.receding(np.array([0.0, 1.0, 0.0])) is not None  # the rows of x_1 = 1 are all of class 1
    assert objective.receding(np.array([0.0, -1.0, 0.0])) is None
    assert objective.receding(np.array([1.0, 0.0, 0.0])) is None
    assert objective.penalised(1e-9).receding(np.array([0.0, 1.0, 0.0])) is None
    np.testing.assert_array_equal(objective.recession(np.array([0.0, 1.0, 0.0])).change, [0, 1])


def test_soft_targets_recede_only_if_no_class_of_theirs_loses():
    X = np.array([[0.0], [1.0]])
    soft = np.array([[0.5, 0.5, 0.0], [0.2, 0.8, 0.0]])
    objective = objective_of(X, soft, n_classes=3, n_logits=3, weight_decay=0.0, fit_intercept=True)
    away = np.zeros((3, 2))
    away[2] = -1.0  # only the third class, of which there is nothing, loses
    assert objective.receding(away.ravel()) is not None
    away[1, 0] = 0.1
    assert objective.receding(away.ravel()) is None


def test_the_floor_is_the_entropy_of_the_targets():
    X = np.zeros((2, 1))
    soft = np.array([[0.5, 0.5], [0.2, 0.8]])
    weight = np.array([1.0, 3.0])
    objective = objective_of(X, soft, weight, n_classes=2, n_logits=1, weight_decay=0.0, fit_intercept=True)
    entropy = -(soft * np.log(soft)).sum(axis=1)
    assert objective.floor == pytest.approx(weight @ entropy / 4)
    hard = objective_of(X, np.array([0, 1]), n_classes=2, n_logits=1, weight_decay=0.0, fit_intercept=True)
    assert hard.floor == 0


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_the_exact_objective_is_the_fast_one_with_more_digits(n_classes, soft):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(30, 4))
    target = rng.dirichlet(np.ones(n_classes), size=30) if soft else rng.integers(0, n_classes, 30)
    n_logits = 1 if n_classes == 2 else n_classes
    fast = objective_of(
        X, target, rng.uniform(size=30), n_classes=n_classes, n_logits=n_logits, weight_decay=0.1, fit_intercept=True
    )
    theta = rng.normal(size=5 * n_logits)
    (value, gradient), (exact_value, exact_gradient) = fast(theta), fast.exactly()(theta)
    assert exact_value == pytest.approx(value, rel=1e-13)
    assert fast.value(theta) == pytest.approx(value, rel=1e-13)
    np.testing.assert_allclose(exact_gradient, gradient, atol=1e-14)


def test_the_gradient_of_rows_that_are_sure_keeps_its_digits():
    """Residuals of exp(-60), on a row of 1e10: the difference of the sums would be all rounding."""
    X = np.array([[1e10], [-1e10]])
    objective = objective_of(X, np.array([1, 0]), n_classes=2, n_logits=1, weight_decay=0.0, fit_intercept=False)
    value, gradient = objective.exactly()(np.array([60e-10]))
    assert gradient[0] == pytest.approx(-1e10 * np.exp(-60), rel=1e-12)
    assert value == pytest.approx(np.exp(-60), rel=1e-12)
    three = objective_of(X, np.array([1, 0]), n_classes=3, n_logits=3, weight_decay=0.0, fit_intercept=False)
    theta = np.array([-30e-10, 30e-10, 0.0])
    z = np.outer(X[:, 0], theta)
    value, gradient = three.exactly()(theta)
    assert value == pytest.approx(np.mean([logsumexp(z[0] - z[0, 1]), logsumexp(z[1] - z[1, 0])]), rel=1e-12)
    assert gradient[1] == pytest.approx(-1e10 * np.exp(-30) / 2, rel=1e-9)


# What the parts of a bound add up to.


class Known:
    """A Hessian, the identity, of which the reach is given; without its far rows it is `rest`."""

    def __init__(self, reach, rest=None):
        self.reach, self.rest = reach, rest

    def at(self, theta):
        return Scaled(np.ones(1))

    def objective(self, theta):
        return 0.0, np.full(1, 0.2)


@pytest.fixture
def what_is_known(monkeypatch):
    monkeypatch.setattr("skmax._certificate.bound.reach", lambda hessian, change: hessian.reach)
    monkeypatch.setattr("skmax._certificate.bound.without_far_rows", lambda hessian, theta, change, limit: hessian.rest)


@pytest.mark.usefixtures("what_is_known")
def test_the_rows_left_out_of_a_bound_count_by_their_losses():
    theta, change = np.zeros(1), Scaled(np.ones(1))
    plain = bound(Known(0.0), change, theta, 1.0, 0.1)
    assert plain.gap == pytest.approx(0.1**2 / 2)
    # Half of the weight has a decrement of 0.2, the rest a share of 0.25 in f.
    proof = bound(Known(np.inf, (Known(0.0), 0.25, 0.5)), change, theta, 1.0, 0.1)
    assert proof.is_bound
    assert proof.gap == pytest.approx(0.5 * 0.2**2 / 2 + 0.25)
    assert not bound(Known(np.inf, None), change, theta, 1.0, 0.1).holds


@pytest.mark.usefixtures("what_is_known")
def test_what_the_hessian_may_have_changed_by_is_part_of_a_bound():
    """A step of the Hessian here may be `stretch` times as long as of the one at hand, and so may its reach."""
    theta, change = np.zeros(1), Scaled(np.ones(1))
    proof = bound(Known(2.0), change, theta, 1.5, 0.1)
    assert proof.change == pytest.approx(0.1 * 2.0 * 1.5**2)
    assert proof.gap == pytest.approx(Certificate.of(0.15, 0.45, is_bound=True).gap)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_a_bound_holds_after_newton_steps_with_an_old_hessian(n_classes):
    """One step only, from so far away that the Hessian changes by half."""
    for seed in range(10):
        objective, hessian = problem(seed, n_classes)
        theta, least = minimum(objective)
        start = theta.reshape(objective.n_logits, -1) + 0.3 * np.arange(objective.n_logits)[:, None] + 0.3
        point = Point.of(objective, (start - start.mean(axis=0) * (n_classes == 3)).ravel())
        attempt, _ = attempt_at(objective, point, hessian.at(point.theta), hessian, 0.0, max_steps=1, final=True)
        if attempt.proof.is_bound and attempt.proof.holds:
            assert attempt.point.value - least <= attempt.proof.gap + 1e-15


def test_where_f_is_within_tol_of_its_floor_nothing_need_be_measured():
    class Positive(Spread):
        floor = 0.0

    function = Positive()
    point = Point.of(function, 1e-6 / np.sqrt(Spread.curvature))
    attempt, _ = attempt_at(function, point, Scaled(np.ones(200)), None, 1e-6)
    assert function.products == 0
    assert attempt.proof.is_bound
    assert attempt.proof.gap == point.value


def test_nothing_is_further_from_the_minimum_than_from_the_floor():
    class Positive(Spread):
        floor = 0.0

        def largest_change(self, step):
            return 1e9

    function = Positive()
    point = Point.of(function, 1 / np.sqrt(Spread.curvature))
    proof = attempt_at(function, point, Scaled(1e-9 * np.ones(200)), None, 1e-6, final=True)[0].proof
    assert proof.gap <= point.value


@pytest.mark.parametrize("n_classes", [2, 3])
def test_rows_that_are_left_out_take_their_losses_with_them(n_classes):
    objective, hessian = problem(0, n_classes, outlier=100.0)
    theta = 0.01 * np.random.default_rng(0).normal(size=objective.n_logits * objective.n_columns)
    change = hessian.at(theta)
    rest, loss, share = without_far_rows(hessian, theta, change, 0.5 * reach(hessian, change))
    weight, kept = objective.samples.sample_weight, rest.objective.samples.sample_weight
    out = weight > kept
    assert 0 < out.sum() < (weight > 0).sum()
    assert share == pytest.approx(kept.sum() / weight.sum())
    assert share * rest.objective.value(theta) + loss == pytest.approx(objective.value(theta), rel=1e-12)


@pytest.mark.parametrize("tol", [1e-3, 1e-4])
def test_a_weak_penalty_hides_no_directions_of_little_curvature(tol):
    """Conjugate gradients took 2e-4 for what was 2e-3: a few steps see nothing of eigenvalues 1e6 times smaller."""
    r = np.random.default_rng(0)
    n, p = 1659, 250
    Z = r.standard_normal((n, p))
    D = np.repeat(r.standard_normal((2, p)), 2, axis=0) * 5 / np.sqrt(p)
    y = (Z @ (D + 0.2 * r.standard_normal((4, p)) / np.sqrt(p)).T + r.gumbel(size=(n, 4))).argmax(axis=1)
    X = (Z / np.arange(1, p + 1)) @ np.linalg.qr(r.standard_normal((p, p)))[0]
    model = SoftmaxRegression(1e-8, tol=tol).fit(X, y)
    lower = SoftmaxRegression(1e-8, tol=1e-9).fit(X, y)
    assert model.converged_
    assert model.objective_ - lower.objective_ <= tol


def test_estimates_that_have_not_settled_certify_only_a_part_of_tol():
    function = Spread()
    point = Point.of(function, 1e-3 / np.sqrt(Spread.curvature))
    proof = estimate(function, point, Scaled(np.ones(200)), 10)
    assert proof.doubt > 1
    assert not proof.within(1.1 * proof.gap)
    assert proof.within(1.1 * proof.doubt * proof.gap)


def test_what_was_left_is_remembered():
    """A lower bound of the gap: no parabola, but what a step along the Newton direction would gain at least."""
    objective, hessian = problem(1, 3)
    theta = np.zeros(objective.n_logits * objective.n_columns)
    change = hessian.at(theta)
    proof, step = by_conjugate_gradients(objective, Point.of(objective, theta), change, 10, np.inf)
    reached = min(objective.value(theta + share * step) for share in np.linspace(0, 2, 21))
    least = objective.value(optimize.minimize(objective, theta, jac=True, method="L-BFGS-B", tol=1e-14).x)
    assert 0 < proof.least <= objective.value(theta) - least
    assert proof.least <= objective.value(theta) - reached + 1e-3


@pytest.mark.parametrize(("tol", "final", "bounds"), [(1e-9, False, 0), (1e-9, True, 1), (1.0, False, 1)])
def test_no_bound_is_computed_where_none_can_hold_unless_its_gap_may_do(monkeypatch, tol, final, bounds):
    """The Newton step changes logits by more than 1, so that t >= 1, and L-BFGS continues."""
    X = np.random.default_rng(0).normal(size=(60, 3))
    y = X.argmax(axis=1)
    objective = objective_of(X, y, n_classes=3, n_logits=3, weight_decay=1e-3, fit_intercept=True).exactly()
    hessian = WholeHessian(objective, ColumnStats.of(objective.samples, centred=True))
    calls = []
    monkeypatch.setattr("skmax._certificate.newton.bound", lambda *a: calls.append(a) or bound(*a))
    monkeypatch.setattr("skmax._certificate.newton._CHEAP", 0)  # long steps are left to L-BFGS
    point = Point.of(objective, objective.join(2 * np.eye(3) - 2 / 3, np.zeros(3)).ravel())
    attempt, _ = attempt_at(objective, point, None, hessian, tol, max_steps=1, final=final)
    assert len(calls) == bounds
    assert attempt.proof.within(tol) is (tol == 1)  # as f is less than 1, and its infimum is not negative
