"""The minimum is LogisticRegression's, statsmodels' and the published one."""

import inspect
import warnings

import numpy as np
import pytest
from sklearn import datasets
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.utils.class_weight import compute_class_weight

from skmax import SoftmaxRegression

BUNDLED = {
    "iris": datasets.load_iris,
    "wine": datasets.load_wine,
    "breast_cancer": datasets.load_breast_cancer,
    "digits": datasets.load_digits,
}
PUBLISHED_SETS = ["anes96", "hsbdemo", "alligators", "fishing", "alligator59"]
TIGHT = 1e-12
BALANCES_WITH_WEIGHTS = "sample_weight" in inspect.signature(compute_class_weight).parameters  # from 1.7 on


@pytest.fixture
def data(request, load):
    """X and y by name; of "iris/2" the first two classes."""
    name, _, n_classes = request.param.partition("/")
    if name in BUNDLED:
        X, y = BUNDLED[name](return_X_y=True)
    else:
        X, y, _ = load(f"coef_{name}")
    if n_classes:
        keep = np.isin(y, np.unique(y)[: int(n_classes)])
        X, y = X[keep], y[keep]
    return X, y


def scikit_learn(X, y, *, weight_decay, sample_weight=None, **options):
    """LogisticRegression at C = 1 / (weight_decay S), by its solver that minds the scale of X least."""
    class_weight = options.get("class_weight")
    weight = np.ones(len(y)) if sample_weight is None else sample_weight
    if class_weight == "balanced":
        total = weight.sum()  # balancing keeps the sum
    else:
        total = weight @ [(class_weight or {}).get(label, 1) for label in y.tolist()]
    C = np.inf if weight_decay == 0 else 1 / (weight_decay * total)
    model = LogisticRegression(C=C, solver="newton-cholesky", tol=1e-10, max_iter=200, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # at such a tolerance its line search ends at float precision
        return model.fit(X, y, sample_weight=sample_weight)


def softmax_regression(X, y, *, weight_decay, sample_weight=None, **options):
    """SoftmaxRegression as close to the minimum as float precision allows."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = SoftmaxRegression(weight_decay, tol=TIGHT, **options).fit(X, y, sample_weight=sample_weight)
    assert model.gap_ < 1e-11
    return model


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    "options",
    [{}, {"fit_intercept": False}, {"class_weight": "balanced"}, {"class_weight": "half"}],
    ids=str,
)
@pytest.mark.parametrize(
    "data", [*BUNDLED, *PUBLISHED_SETS, "iris/2", "wine/2", "digits/2", "hsbdemo/2", "fishing/2"], indirect=True
)
def test_probabilities_equal_those_of_scikit_learn(data, options, weighted):
    X, y = data
    if weighted and options.get("class_weight") == "balanced" and not BALANCES_WITH_WEIGHTS:
        pytest.skip("this scikit-learn leaves sample_weight out of class_weight='balanced'")
    if options.get("class_weight") == "half":
        options = {"class_weight": {y[0].item(): 0.5}}
    weight = np.random.default_rng(0).uniform(0.1, 2, size=len(y)) if weighted else None
    expected = scikit_learn(X, y, weight_decay=0.01, sample_weight=weight, **options)
    model = softmax_regression(X, y, weight_decay=0.01, sample_weight=weight, **options)
    np.testing.assert_allclose(model.predict_proba(X), expected.predict_proba(X), atol=1e-5)
    assert model.coef_.shape == expected.coef_.shape
    assert model.intercept_.shape == expected.intercept_.shape
    np.testing.assert_array_equal(model.classes_, expected.classes_)


@pytest.mark.parametrize("data", ["iris", "iris/2", "wine", "breast_cancer"], indirect=True)
@pytest.mark.parametrize("weighted", [False, True])
def test_defaults_are_those_of_scikit_learn(data, weighted):
    """weight_decay="1/n_samples" is C=1, weights or not."""
    X, y = data
    weight = np.random.default_rng(0).uniform(0.1, 2, size=len(y)) if weighted else None
    expected = LogisticRegression(solver="newton-cholesky", tol=1e-8).fit(X, y, sample_weight=weight)
    model = softmax_regression(X, y, weight_decay="1/n_samples", sample_weight=weight)
    np.testing.assert_allclose(model.predict_proba(X), expected.predict_proba(X), atol=1e-5)


# Unpenalised maximum likelihood with a reference class, whose coefficients are 0: intercept first, then the columns.
# Each is compared within one unit of its last printed digit.
# Coefficients as they are printed, so that the text says how many digits there are. The last number of each is by how
# many units of the last digit ours may differ: half of one, if the print is rounded correctly.
PUBLISHED = {
    # ANES 1996, party identification: Stata 11, as in statsmodels' test results (class Anes.mnlogit_basezero). Newton's
    # method in extended precision ends 0.73 units from its first number, -0.3734016773, and 6e-8 above its
    # log-likelihood, of which the last digits are left out here.
    "anes96": (
        0,
        [1, 2, 3, 4, 5, 6],
        """-0.37340167 -0.01153598 0.29771435 -0.02494500 0.08249144 0.00519655
        -2.2509132 -0.08875065 0.39166864 -0.02289784 0.18104276 0.04787398
        -3.6655835 -0.1059667 0.57345051 -0.01485121 -0.00715242 0.05757516
        -7.6138431 -0.0915567 1.2787718 -0.00868135 0.19982796 0.08449838
        -7.0604782 -0.0932846 1.3469616 -0.01790407 0.21693885 0.08095841
        -12.105751 -0.14088069 2.0700801 -0.00943265 0.3219257 0.10889408""",
        0.74,
        "-1461.922747",
    ),
    # UCLA, "Multinomial logistic regression, Stata data analysis examples". (Its page on R prints what nnet::multinom
    # finds, which stops at a relative change of 1e-8, 94 units of its last digit away.)
    "hsbdemo": (
        "academic",
        ["general", "vocation"],
        """2.852186 -.533291 -1.162832 -.0579284
        5.2182 .2913931 -.9826703 -.1136026""",
        0.5,
        "-179.98173",
    ),
    # A. Agresti (2002), Categorical Data Analysis, Table 7.3, with the counts as weights.
    "alligators": (
        "Fish",
        ["Invertebrate", "Reptile", "Bird", "Other"],
        """-1.55 1.46 -1.66 0.94 1.12
        -3.31 -0.35 1.24 2.46 2.94
        -2.09 -0.63 0.70 -0.65 1.09
        -1.90 0.33 0.83 0.01 1.52""",
        0.5,
        None,
    ),
    # A. C. Cameron and P. K. Trivedi, Microeconometrics, p. 493; printout of R's mlogit, income unscaled.
    "fishing": (
        "beach",
        ["boat", "charter", "pier"],
        """0.73892 0.000091906
        1.3413 -0.00003164
        0.81415 -0.0001434""",
        0.5,
        "-1477.2",
    ),
}


def against_reference(model, reference, order):
    """Intercepts and coefficients of the classes in `order`, less those of `reference`."""
    table = np.column_stack([model.intercept_, model.coef_])
    position = {label: k for k, label in enumerate(model.classes_.tolist())}
    return table[[position[label] for label in order]] - table[position[reference]]


def assert_digits_of(ours, printed, units):
    """Equal to the numbers in the text `printed`, but for so many units of each one's last digit."""
    unit = np.array([10.0 ** -len(number.partition(".")[2]) for number in printed.split()])
    assert np.abs((np.ravel(ours) - np.array([float(number) for number in printed.split()])) / unit).max() <= units


@pytest.mark.parametrize("name", PUBLISHED)
def test_unpenalised_fits_reproduce_published_coefficients(name, load):
    reference, order, printed, units, log_likelihood = PUBLISHED[name]
    X, y, other = load(f"coef_{name}")
    weight = other.get("sample_weight")
    model = softmax_regression(X, y, weight_decay=0, sample_weight=weight)
    assert_digits_of(against_reference(model, reference, order), printed, units)
    # Unpenalised coefficients are unique only because those of a feature are made to sum to zero.
    np.testing.assert_allclose(model.coef_.sum(axis=0), 0, atol=1e-10)
    if log_likelihood is not None:
        assert_digits_of(-model.objective_ * len(y), log_likelihood, 0.5)


def test_published_fit_statistics_of_59_alligators(load):
    """SAS's PROC LOGISTIC prints AIC 106.341 and SC 114.651 for the food of 59 alligators on their length."""
    X, y, _ = load("coef_alligator59")
    model = softmax_regression(X, y, weight_decay=0)
    deviance = 2 * len(y) * model.objective_
    assert deviance + 2 * 4 == pytest.approx(106.341, abs=6e-4)
    assert deviance + np.log(59) * 4 == pytest.approx(114.651, abs=6e-4)


def test_statsmodels_agrees_on_its_own_data():
    """MNLogit's own maximum on ANES 1996, as bundled with statsmodels, and the published digits."""
    statsmodels = pytest.importorskip("statsmodels.api")
    anes = statsmodels.datasets.anes96.load_pandas()
    X, y = anes.exog.to_numpy(), anes.endog.to_numpy().astype(int)
    reference = statsmodels.MNLogit(y, statsmodels.add_constant(X)).fit(method="newton", disp=False, tol=1e-12)
    model = softmax_regression(X, y, weight_decay=0)
    ours = against_reference(model, 0, range(1, 7))
    np.testing.assert_allclose(ours, np.asarray(reference.params).T, rtol=1e-6, atol=1e-8)
    # statsmodels has the columns in another order: logpopul, selfLR, age, educ, income as published.
    printed, units = PUBLISHED["anes96"][2:4]
    assert_digits_of(ours, printed, units)
