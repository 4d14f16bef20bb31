"""Arrays of other libraries: the answers are NumPy's, and they are where the data are.

array-api-strict stands for devices, as its arrays on "device1" cannot be converted to NumPy without being asked to; its
device "no_float64" computes in float32 alone, as Apple's do. PyTorch's arrays on the CPU are used as NumPy arrays are,
and once more as if they were on a device: on a GPU, if PyTorch finds one.
"""

import copy
import dataclasses
import functools
import pickle
import sys
import types
import warnings
from typing import Any

import joblib
import numpy as np
import pytest
import sklearn
from problems import strict_device, torch_device
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler, StandardScaler

import skmax
from skmax import SoftmaxRegression, SoftmaxRegressionCV, _objective, _scorer, inference, neg_cross_entropy_scorer
from skmax._arrays import Device, as_numpy, is_foreign
from skmax._samples import DeviceSamples, dense, device
from skmax._sklearn import HAS_ARRAY_API
from skmax._threads import workers

pytestmark = pytest.mark.skipif(not HAS_ARRAY_API, reason="arrays of other libraries need scikit-learn 1.9")

PLACES = ["strict", "device1", "no_float64", "torch", "torch device"]
# A place with float64 for each path through the code: in the memory of this process, and on a device.
BOTH = ["strict", "device1", "torch", "torch device"]


@dataclasses.dataclass(frozen=True)
class Place:
    """A library and a device, with the arrays there."""

    name: str
    xp: Any
    device: Any

    @property
    def is_device(self):
        """Whether arrays are not used as NumPy arrays."""
        return self.name not in ("strict", "torch")

    @property
    def has_float64(self):
        return self.name != "no_float64"

    def put(self, value):
        """NumPy arrays of numbers here, also those within dicts; anything else unchanged."""
        if isinstance(value, dict):
            return {name: self.put(entry) for name, entry in value.items()}
        if not isinstance(value, np.ndarray) or value.dtype.kind not in "biufc":
            return value
        if not self.has_float64:
            value = value.astype({"float64": "float32", "complex128": "complex64"}.get(value.dtype.name, value.dtype))
        return self.xp.asarray(value, device=self.device)

    def has(self, array):
        return is_foreign(array) and type(array) is type(self.put(np.zeros(1))) and array.device == self.device


def place_of(name, monkeypatch):
    """The place of this name, for which scikit-learn's configuration has to dispatch."""
    pytest.importorskip("scipy", minversion="1.14")  # which scikit-learn asks for, and for the variable
    monkeypatch.setenv("SCIPY_ARRAY_API", "1")
    if name.startswith("torch"):
        torch = pytest.importorskip("torch")
        if name == "torch device":
            for module in ("_arrays", "_base"):
                monkeypatch.setattr(f"skmax.{module}.is_in_memory", lambda array: False)
            return Place(name, torch, torch_device(torch))
        return Place(name, torch, torch.device("cpu"))
    where = strict_device("CPU_DEVICE" if name == "strict" else name)
    return Place(name, where.xp, where.device)


@pytest.fixture
def place(request, monkeypatch):
    where = place_of(request.param, monkeypatch)
    with sklearn.config_context(array_api_dispatch=True):
        yield where


everywhere = pytest.mark.parametrize("place", PLACES, indirect=True)
in_float64 = pytest.mark.parametrize("place", BOTH, indirect=True)
on_devices = pytest.mark.parametrize("place", ["device1", "torch device"], indirect=True)
on_device1 = pytest.mark.parametrize("place", ["device1"], indirect=True)


@dataclasses.dataclass(frozen=True)
class Form:
    """A form of fit: parameters of the estimator, data, and arguments of `fit`."""

    X: np.ndarray
    y: np.ndarray
    parameters: dict = dataclasses.field(default_factory=dict)
    fit: dict = dataclasses.field(default_factory=dict)
    at_infinity: bool = False

    def as_float32(self):
        """The same numbers for all places, as float32 holds them."""

        def rounded(value):
            is_float = isinstance(value, np.ndarray) and value.dtype == np.float64
            return value.astype(np.float32) if is_float else value

        parts = ({name: rounded(value) for name, value in part.items()} for part in (self.parameters, self.fit))
        return Form(rounded(self.X), rounded(self.y), *parts, self.at_infinity)

    @property
    def offset(self):
        return {name: value for name, value in self.fit.items() if name == "offset"}


@functools.cache
def wine():
    X, y = load_wine(return_X_y=True)
    return StandardScaler().fit_transform(X), y


@functools.cache
def forms():
    rng = np.random.default_rng(0)
    X, y = wine()
    n_samples, n_features = X.shape
    cancer, malignant = load_breast_cancer(return_X_y=True)
    cancer, malignant = StandardScaler().fit_transform(cancer)[:200, :10], malignant[:200]
    weight = rng.uniform(0.1, 2, size=n_samples)
    weight[[0, 3, 170]] = 0
    soft = rng.dirichlet(np.ones(3), size=n_samples)
    soft[:20] = np.eye(3)[y[:20]]
    offset = rng.normal(size=(n_samples, 3))
    shares = np.column_stack([1 - 0.8 * malignant, 0.8 * malignant]) * 0.9 + 0.05
    shares /= shares.sum(axis=1, keepdims=True)
    mean = rng.normal(size=(3, n_features)) / 10
    collinear = np.column_stack([X[:, :4], X[:, 0] - X[:, 1], np.ones(n_samples)])
    noisy = rng.integers(0, 3, size=n_samples)
    wide = rng.normal(size=(30, 60))
    return {
        "three classes": Form(X, y),
        "two classes": Form(cancer, malignant),
        "two classes, soft": Form(cancer, shares, {"weight_decay": 0.01}),
        "soft labels": Form(X, soft, fit={"sample_weight": weight}),
        "weights": Form(X, y, {"weight_decay": 0.01}, {"sample_weight": weight}),
        "class weights": Form(X, y, {"class_weight": {0: 3.0, 1: 0.5}}),
        "balanced": Form(cancer, malignant, {"class_weight": "balanced", "fit_intercept": False}),
        "offset": Form(X, y, fit={"offset": offset, "sample_weight": weight}),
        "two classes, offset": Form(cancer, malignant, {"weight_decay": 0.1}, {"offset": rng.normal(size=200)}),
        "penalty factors": Form(X, y, {"penalty_factor": np.linspace(0.1, 2, n_features)}),
        "free columns": Form(X, noisy, {"penalty_factor": np.r_[0, 0, np.ones(n_features - 2)]}),
        "prior means": Form(X, y, {"prior_mean": mean, "weight_decay": 0.5}),
        "a class that y lacks": Form(X, y, {"classes": np.arange(4)}),
        "a class without weight": Form(X, y, {"weight_decay": 0.1}, {"sample_weight": (y > 0) * weight}),
        "one class": Form(X[:5], np.zeros(5, dtype=int), {"classes": np.arange(2)}),
        "collinear, no penalty": Form(collinear, noisy, {"weight_decay": 0.0}),
        "separated, no penalty": Form(X, y, {"weight_decay": 0.0}, at_infinity=True),
        "more columns than rows": Form(wide, np.arange(30) % 3),
        "a constant column": Form(np.column_stack([X[:, :3], np.full(n_samples, 7.0)]), y),
        "far from zero": Form(X[:, :5] + 1e6, y),
    }


NAMES = list(forms())


def fitted(estimator, *args, **kwargs):
    """The fitted estimator, and the classes of the warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        estimator.fit(*args, **kwargs)
    return estimator, [entry.category for entry in caught]


@functools.cache
def in_numpy(name, single, tol):
    form = forms()[name].as_float32() if single else forms()[name]
    return fitted(SoftmaxRegression(**form.parameters, tol=tol), form.X, form.y, **form.fit)


def objective_at(form, model):
    """The objective at the coefficients of a `model`, computed by the kernels for NumPy in float64."""
    plain = SoftmaxRegression(**form.parameters)
    X, labels, weight, _ = plain._validate(form.X.astype(np.float64), form.y, form.fit.get("sample_weight"))
    target = plain._encode(labels, weight)
    prior = plain._prior(target.encoding, X.shape[1], None)
    present = target.encoding.present if len(target.encoding.classes) > 2 else [True]
    coef, intercept = (as_numpy(part)[present].astype(np.float64) for part in (model.coef_, model.intercept_))
    with workers() as pool:
        offset = form.fit.get("offset")
        problem = plain._problem(X, target, pool, prior, None if offset is None else offset.astype(np.float64))
        objective = problem.given.exactly().penalised(problem.decay(plain.weight_decay))
        return objective.value(objective.join(coef, intercept).ravel())


@everywhere
@pytest.mark.parametrize("name", NAMES)
def test_a_fit_has_the_answers_of_numpy_where_the_data_are(place, name):
    if name == "far from zero" and not place.has_float64:
        pytest.skip("beyond the digits of float32, which the next test but one is about")
    form = forms()[name] if place.has_float64 else forms()[name].as_float32()
    # With such a `tol`, the coefficients of NumPy's fit have 6 digits, too, unless the limit of precision is before it.
    tol = 1e-6 if form.at_infinity or name == "far from zero" or not place.has_float64 else 1e-13
    expected, expected_warnings = in_numpy(name, not place.has_float64, tol)
    model, found = fitted(
        SoftmaxRegression(**place.put(form.parameters), tol=tol),
        place.put(form.X),
        place.put(form.y),
        **place.put(form.fit),
    )
    for attribute in ("classes_", "coef_", "intercept_", "loss_curve_"):
        assert place.has(getattr(model, attribute)), attribute
    X, offset = place.put(form.X), place.put(form.offset)
    results = {method: getattr(model, method)(X, **offset) for method in METHODS}
    results["predict_top_k"] = model.predict_top_k(X, 2, **offset)
    for method, result in results.items():
        assert place.has(result), method
    assert found == expected_warnings
    assert model.converged_ == expected.converged_
    assert model.has_offset_ == expected.has_offset_
    np.testing.assert_array_equal(as_numpy(model.classes_), expected.classes_)
    assert model.objective_ == pytest.approx(expected.objective_, abs=1e-6 if place.has_float64 else 3e-6)
    if form.at_infinity:  # where any point is an answer
        return
    # At objectives that are equal up to `tol`, probabilities differ by the root of it at most.
    atol = 1e-6 if tol < 1e-6 else 1e-3
    np.testing.assert_allclose(
        as_numpy(results["predict_proba"]), expected.predict_proba(form.X, **form.offset), atol=atol
    )
    if tol < 1e-6:
        np.testing.assert_allclose(as_numpy(model.coef_), expected.coef_, rtol=1e-5, atol=1e-6)
        for method in METHODS:
            # A logit is a sum of products with coefficients that are equal up to 1e-6.
            np.testing.assert_allclose(
                as_numpy(results[method]), getattr(expected, method)(form.X, **form.offset), rtol=1e-5, atol=2e-5
            )
        np.testing.assert_array_equal(
            as_numpy(results["predict_top_k"]), expected.predict_top_k(form.X, 2, **form.offset)
        )
    score = model.score(X, place.put(form.y), **offset)
    assert isinstance(score, float)
    assert score == pytest.approx(expected.score(form.X, form.y, **form.offset), abs=1e-5)


METHODS = ("predict", "predict_proba", "predict_log_proba", "decision_function")


@pytest.mark.parametrize(
    ("place", "single"),
    [("device1", False), ("no_float64", True), ("torch", True), ("torch device", False)],
    indirect=["place"],
)
@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("one class", "separated, no penalty")])
def test_the_gap_is_true(place, name, single):
    """The objective at the coefficients, as NumPy computes it, is above the minimum by no more than the gap."""
    form = forms()[name].as_float32() if single else forms()[name]
    if name == "far from zero" and not place.has_float64:
        pytest.skip("beyond the digits of float32, which the next test is about")
    arguments = place.put(form.X), place.put(form.y)
    model, _ = fitted(SoftmaxRegression(**place.put(form.parameters)), *arguments, **place.put(form.fit))
    least, _ = in_numpy(name, single, 1e-14)
    excess = objective_at(form, model) - objective_at(form, least)
    # Of the logits in float64, 1e-10 far from zero. Devices without float64 round weights and targets.
    rounding = 1e-9 if place.has_float64 else 1e-7
    assert excess <= model.gap_ + rounding
    # Targets on a device are float32 if X is, and rounded in the entropies.
    assert model.objective_ == pytest.approx(objective_at(form, model), abs=1e-7 if single else 1e-9)
    assert model.converged_


@pytest.mark.parametrize("place", ["no_float64"], indirect=True)
def test_the_gap_is_true_if_a_device_cannot_store_the_coefficients(place):
    form = forms()["far from zero"].as_float32()
    model, found = fitted(SoftmaxRegression(), place.put(form.X), place.put(form.y))
    excess = objective_at(form, model) - objective_at(form, in_numpy("far from zero", True, 1e-14)[0])
    assert excess > 1e-5
    assert excess == pytest.approx(model.gap_, abs=1e-7)
    assert not model.converged_
    assert found == [ConvergenceWarning]


STORED = ["float32", "float16", "bfloat16", "uint8", "int8", "bool"]


@pytest.mark.parametrize("place", ["device1", "no_float64", "torch", "torch device"], indirect=True)
@pytest.mark.parametrize("dtype", STORED)
def test_an_X_of_few_bits_is_fitted_as_its_values_are(place, dtype):
    X, y = load_digits(return_X_y=True)
    X, y = X[:400, 1:30:2] if dtype != "bool" else X[:400, 1:30:2] > 4, y[:400]  # whole numbers up to 16
    if not hasattr(place.xp, dtype):
        pytest.skip("a dtype that the library does not have")
    stored = place.xp.asarray(X.astype(np.float32), device=place.device)
    stored = stored.to(getattr(place.xp, dtype)) if place.name.startswith("torch") else place.put(X.astype(dtype))
    model = SoftmaxRegression(0.01).fit(stored, place.put(y))
    expected = SoftmaxRegression(0.01).fit(X.astype(np.float64), y)
    assert model.converged_
    assert model.objective_ == pytest.approx(expected.objective_, abs=2e-6)
    probability = model.predict_proba(stored)
    assert place.has(probability)
    np.testing.assert_allclose(as_numpy(probability), expected.predict_proba(X), atol=2e-3)  # the root of `tol`
    if place.is_device:
        assert str(model.coef_.dtype).endswith("float32")


@everywhere
@pytest.mark.parametrize("dtype", ["int64", "int32", "uint16"])
def test_whole_numbers_are_used_as_float64_or_the_most_precise_of_the_device(place, dtype):
    X, y = load_digits(return_X_y=True)
    X, y = X[:200, 1:30:2], y[:200]
    expected = SoftmaxRegression(0.01, tol=1e-12).fit(X, y)
    model = SoftmaxRegression(0.01, tol=1e-12 if place.has_float64 else 1e-6).fit(place.put(X.astype(dtype)), y)
    atol = 1e-6 if place.has_float64 else 2e-3
    np.testing.assert_allclose(as_numpy(model.coef_), expected.coef_, atol=atol)
    assert str(model.coef_.dtype).endswith("float64" if place.has_float64 else "float32")
    prediction = model.predict(place.put(X.astype(dtype)))
    np.testing.assert_array_equal(as_numpy(prediction), expected.predict(X))


@on_devices
def test_float64_coefficients_for_a_float32_X_predict_in_float64(place):
    form = forms()["far from zero"].as_float32()
    model = SoftmaxRegression().fit(place.put(form.X), place.put(form.y))
    expected = SoftmaxRegression().fit(form.X, form.y)
    assert str(model.coef_.dtype).endswith("float64")
    np.testing.assert_allclose(
        as_numpy(model.predict_proba(place.put(form.X))), expected.predict_proba(form.X), atol=1e-5
    )


@in_float64
def test_an_unpenalised_fit_of_separated_classes_says_so(place):
    form = forms()["separated, no penalty"]
    with pytest.warns(ConvergenceWarning, match="separates the classes without error"):
        model = SoftmaxRegression(0).fit(place.put(form.X), place.put(form.y))
    assert model.score(place.put(form.X), place.put(form.y)) == 1


@in_float64
def test_a_warm_start_continues(place):
    X, y = wine()
    model = SoftmaxRegression(0.01, warm_start=True).fit(place.put(X), place.put(y))
    first = model.n_iter_
    model.fit(place.put(X), place.put(y))
    assert model.n_iter_ < first
    assert model.converged_
    # From NumPy to another place, and back.
    moved = SoftmaxRegression(0.01, warm_start=True).fit(X, y).fit(place.put(X), place.put(y))
    assert moved.n_iter_ < first
    assert place.has(moved.coef_)
    assert isinstance(moved.fit(X, y).coef_, np.ndarray)
    with pytest.raises(ValueError, match="whose classes were"):
        model.fit(place.put(X), place.put(y + 1))
    assert model.converged_


@in_float64
def test_a_fit_says_what_it_does_and_stops_at_its_limit(place, capsys):
    X, y = wine()
    SoftmaxRegression(verbose=1).fit(place.put(X), place.put(y))
    ours = capsys.readouterr().out
    SoftmaxRegression(verbose=1).fit(X, y)
    assert ours.count("\n") == capsys.readouterr().out.count("\n")
    for max_iter in (0, 2):
        with pytest.warns(ConvergenceWarning, match="Raise max_iter"):
            model = SoftmaxRegression(max_iter=max_iter).fit(place.put(X), place.put(y))
        with pytest.warns(ConvergenceWarning):
            expected = SoftmaxRegression(max_iter=max_iter).fit(X, y)
        assert model.n_iter_ == expected.n_iter_ == max_iter
        assert model.objective_ == pytest.approx(expected.objective_, rel=1e-9)
        assert place.has(model.predict_proba(place.put(X)))


class Recorder:
    """A callback that keeps the models that it sees, and stops after `stop` iterations."""

    def __init__(self, stop=None):
        self.models, self.stop = [], stop

    def setup(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(self, estimator, context, *, fitted_estimator):
        if fitted_estimator is not None:
            self.models.append(fitted_estimator)
        return context.task_name == "iteration" and len(self.models) == self.stop


@in_float64
def test_callbacks_see_models_where_the_data_are(place):
    X, y = wine()
    recorder = Recorder(stop=3)
    model = SoftmaxRegression().set_callbacks(recorder).fit(place.put(X), place.put(y))
    assert model.n_iter_ == 3
    for seen in recorder.models:
        assert place.has(seen.coef_)
        assert place.has(seen.predict_proba(place.put(X)))
    recorder = Recorder()
    SoftmaxRegressionCV([0.1, 0.01, 1e-3], cv=3).set_callbacks(recorder).fit(place.put(X), place.put(y))
    assert place.has(recorder.models[-1].coef_)


@everywhere
def test_labels_of_text_stay_numpy_arrays(place):
    X, y = wine()
    X = X if place.has_float64 else X.astype(np.float32)
    labels = np.array(["Barolo", "Grignolino", "Barbera"])[y]
    expected = SoftmaxRegression().fit(X, labels)
    model = SoftmaxRegression().fit(place.put(X), labels)
    assert isinstance(model.classes_, np.ndarray)
    assert place.has(model.coef_)
    np.testing.assert_array_equal(model.predict(place.put(X)), expected.predict(X))
    assert place.has(model.predict_proba(place.put(X)))
    assert model.score(place.put(X), labels) == expected.score(X, labels)
    top = model.predict_top_k(place.put(X), 2)
    assert top.shape == (178, 2)
    np.testing.assert_array_equal(top[:, 0], expected.predict(X))
    assert np.mean(top == expected.predict_top_k(X, 2)) > 0.99  # float32 may order improbable classes in another way
    assert neg_cross_entropy_scorer(model, place.put(X), labels) == pytest.approx(
        neg_cross_entropy_scorer(expected, X, labels), abs=1e-4
    )
    search = SoftmaxRegressionCV([0.1, 0.01, 1e-3], cv=3).fit(place.put(X), labels)
    assert search.score(place.put(X), labels) < 0  # its scorer
    assert search.predict(place.put(X)).dtype == labels.dtype


@in_float64
@pytest.mark.parametrize("labels", [[-1.0, 3.0], [7, 2**40], [0, 255], [False, True]])
def test_labels_that_are_numbers_come_back_with_their_dtype(place, labels):
    X, y = forms()["two classes"].X, forms()["two classes"].y
    labels = np.array(labels, dtype=np.uint8 if labels[-1] == 255 else None)
    model = SoftmaxRegression(0.1).fit(place.put(X), place.put(labels[y]))
    prediction = model.predict(place.put(X))
    assert prediction.dtype == place.put(labels).dtype
    np.testing.assert_array_equal(as_numpy(prediction), SoftmaxRegression(0.1).fit(X, labels[y]).predict(X))


def splits(n_samples):
    rows = np.arange(n_samples)
    return [(rows[rows % 3 != k], rows[rows % 3 == k]) for k in range(3)]


SEARCHES = {
    "default": {"cv": 3},
    "splits": {"cv": "splits", "weight_decays": np.array([0.1, 0.01, 1e-3])},
    "approximate": {"cv": "approximate"},
    "accuracy": {"scoring": "accuracy", "weight_decays": 4, "cv": 3},
    "estimator's": {"scoring": None, "weight_decays": 4, "cv": 3, "class_weight": "balanced"},
    "one standard error": {"refit": "one_standard_error", "cv": 3, "weight_decays": 6},
}


@functools.cache
def search_in_numpy(name, single):
    X, y, weight, parameters = search_data(name, single)
    return fitted(SoftmaxRegressionCV(**parameters), X, y, sample_weight=weight)


def search_data(name, single):
    X, y = wine()
    parameters = dict(SEARCHES[name])
    if parameters.get("cv") == "splits":
        parameters["cv"] = splits(len(y))
    weight = np.random.default_rng(1).uniform(0.5, 2, size=len(y)) if name in ("splits", "approximate") else None
    if single:
        X, weight = X.astype(np.float32), None if weight is None else weight.astype(np.float32)
    return X, y, weight, parameters


@everywhere
@pytest.mark.parametrize("name", SEARCHES)
def test_a_search_has_the_answers_of_numpy(place, name):
    single = not place.has_float64
    if single and name == "accuracy":
        pytest.skip("scikit-learn's accuracy needs float64 in every library but PyTorch")
    X, y, weight, parameters = search_data(name, single)
    expected, expected_warnings = search_in_numpy(name, single)
    model, found = fitted(
        SoftmaxRegressionCV(**place.put(parameters)), place.put(X), place.put(y), sample_weight=place.put(weight)
    )
    assert found == expected_warnings
    for attribute in ("coef_", "intercept_", "classes_", "weight_decays_", "scores_"):
        assert place.has(getattr(model, attribute)), attribute
    rtol = 1e-6 if single else 1e-12
    np.testing.assert_allclose(as_numpy(model.weight_decays_), expected.weight_decays_, rtol=rtol * 100)
    # The scores of fits that end within 1e-6 of the minimum of an objective of 1, or of 1e-4 of a standard error.
    np.testing.assert_allclose(as_numpy(model.scores_), expected.scores_, atol=1e-2 if single else 1e-3)
    assert model.weight_decay_ == pytest.approx(expected.weight_decay_, rel=100 * rtol)
    assert model.objective_ == pytest.approx(expected.objective_, abs=3e-6)
    assert model.best_score_ == pytest.approx(expected.best_score_, abs=1e-3)
    assert place.has(model.predict_proba(place.put(X)))
    # The score of a search is that of its scorer.
    ours, theirs = model.score(place.put(X), place.put(y)), expected.score(X, y)
    assert ours == pytest.approx(theirs, abs=2e-3)


@on_devices
def test_folds_stay_on_the_device(place, monkeypatch):
    """In this process, whatever the number of jobs."""
    X, y = wine()
    copied = []
    whole = DeviceSamples._in_memory

    def in_memory(samples, rows):
        copied.append(samples.X[rows, ...].shape[0])
        return whole(samples, rows)

    monkeypatch.setattr(DeviceSamples, "_in_memory", in_memory)
    with joblib.parallel_config(n_jobs=2):
        SoftmaxRegressionCV([0.1, 0.01, 1e-3], cv=3, n_jobs=2).fit(place.put(X), place.put(y))
    assert max(copied) <= 1  # the first row, from which the columns are measured


@everywhere
def test_pipelines_and_searches_of_scikit_learn(place):
    X, y = load_wine(return_X_y=True)
    X = X if place.has_float64 else X.astype(np.float32)
    pipeline = make_pipeline(MaxAbsScaler(), SoftmaxRegression(0.01))
    expected = clone(pipeline).fit(X, y)
    model = clone(pipeline).fit(place.put(X), place.put(y))
    probability = model.predict_proba(place.put(X))
    assert place.has(probability)
    np.testing.assert_allclose(as_numpy(probability), expected.predict_proba(X), atol=1e-3)
    assert model.score(place.put(X), place.put(y)) == pytest.approx(expected.score(X, y))
    scores = cross_val_score(pipeline, place.put(X), place.put(y), cv=3, scoring=neg_cross_entropy_scorer)
    np.testing.assert_allclose(
        scores, cross_val_score(pipeline, X, y, cv=3, scoring=neg_cross_entropy_scorer), atol=1e-3
    )
    search = GridSearchCV(pipeline, {"softmaxregression__weight_decay": [0.1, 1e-3]}, cv=3)
    search.fit(place.put(X), place.put(y))
    assert place.has(search.predict_proba(place.put(X)))


@everywhere
def test_copies_of_a_model(place):
    X, y = wine()
    X = X if place.has_float64 else X.astype(np.float32)
    ours, theirs = SoftmaxRegression().fit(place.put(X), place.put(y)), SoftmaxRegression().fit(X, y)
    probability = as_numpy(ours.predict_proba(place.put(X)))
    for other in (pickle.loads(pickle.dumps(ours)), copy.copy(ours), copy.deepcopy(ours)):
        assert place.has(other.coef_)
        np.testing.assert_array_equal(as_numpy(other.predict_proba(place.put(X))), probability)
    assert "SoftmaxRegression" in repr(ours)
    assert "SoftmaxRegression" in ours._repr_html_()
    bare = clone(SoftmaxRegression(prior_mean=ours, penalty_factor=place.put(np.ones(X.shape[1]))))
    with pytest.raises(NotFittedError):
        bare.predict(place.put(X))
    assert place.has(bare.fit(place.put(X), place.put(y)).coef_)
    converted = ours.to_logistic_regression().predict_proba(place.put(X))
    assert place.has(converted)
    np.testing.assert_allclose(as_numpy(converted), probability, atol=1e-12 if place.has_float64 else 1e-5)
    assert theirs.converged_


@everywhere
def test_a_model_moves_to_numpy_and_back(place):
    from sklearn.utils._array_api import get_namespace_and_device, move_estimator_to

    X, y = wine()
    X = X if place.has_float64 else X.astype(np.float32)
    here = place.put(X)
    ours, theirs = SoftmaxRegression().fit(here, place.put(y)), SoftmaxRegression().fit(X, y)
    for there in (X, here):
        xp, _, device = get_namespace_and_device(there)
        for model in (ours, theirs):
            moved = move_estimator_to(model, xp, device)
            probability = moved.predict_proba(there)
            assert isinstance(probability, np.ndarray) if there is X else place.has(probability)
            np.testing.assert_allclose(as_numpy(probability), theirs.predict_proba(X), atol=1e-3)


@on_device1
@pytest.mark.parametrize("kind", ["model", "device"])
def test_a_fitted_model_is_a_prior_wherever_it_is(place, kind):
    X, y = wine()
    plain = SoftmaxRegression().fit(X, y)
    prior = plain if kind == "model" else SoftmaxRegression().fit(place.put(X), place.put(y))
    expected = SoftmaxRegression(0.5, prior_mean=plain, tol=1e-12).fit(X[::2], y[::2])
    for values in (lambda array: array, place.put):
        model = SoftmaxRegression(0.5, prior_mean=prior, tol=1e-12).fit(values(X[::2]), values(y[::2]))
        # The prior means themselves are equal up to the root of `tol`.
        np.testing.assert_allclose(as_numpy(model.coef_), expected.coef_, atol=1e-3)
    search = GridSearchCV(SoftmaxRegression(prior_mean=prior), {"weight_decay": [1.0, 0.1]}, cv=3)
    assert place.has(search.fit(place.put(X), place.put(y)).best_estimator_.coef_)


@everywhere
@pytest.mark.parametrize("two", [False, True])
def test_inference_has_the_answers_of_numpy(place, two):
    form = forms()["two classes"] if two else forms()["three classes"]
    rng = np.random.default_rng(0)
    X = form.X[:, :4]
    y = np.where(rng.uniform(size=len(X)) < 0.3, rng.integers(0, 2 if two else 3, size=len(X)), form.y)
    weight, groups = rng.uniform(0.5, 2, size=len(y)), np.arange(len(y)) % 20
    if not place.has_float64:
        X, weight = X.astype(np.float32), weight.astype(np.float32)
    ours, theirs = (
        SoftmaxRegression(0, tol=1e-12 if place.has_float64 else 1e-6).fit(put(X), put(y), sample_weight=put(weight))
        for put in (place.put, lambda array: array)
    )
    smaller = [
        SoftmaxRegression(0).fit(put(X[:, :3]), put(y), sample_weight=put(weight))
        for put in (place.put, lambda array: array)
    ]
    rtol = 1e-5 if place.has_float64 else 1e-2  # the root of `tol`

    def compare(function, **options):
        """`function` of a model and its data gives the same numbers in both places."""
        result, expected = (
            function(model, put(X), put(y), sample_weight=put(weight), **put(options))
            for model, put in ((ours, place.put), (theirs, lambda array: array))
        )
        for left, right in zip(numbers_of(result), numbers_of(expected), strict=True):
            assert isinstance(left, np.ndarray)
            np.testing.assert_allclose(left, right, rtol=rtol, atol=rtol * np.abs(right).max(initial=0))

    for kind in ({}, {"kind": "sandwich"}, {"kind": "cluster", "groups": groups}):
        compare(inference.covariance_matrix, **kind)
    compare(inference.std_errors)
    compare(inference.coef_table)
    compare(inference.log_likelihood)
    compare(inference.goodness_of_fit)
    compare(inference.average_marginal_effects)
    compare(inference.marginal_effects)
    compare(inference.marginal_effects, at=X[:3])
    compare(inference.predict_proba_interval, X_new=X[:5])
    compare(inference.posterior_predict_proba, X_new=X[:5])
    compare(inference.leave_one_out)
    compare(inference.influence_on, X_test=X[:5], y_test=y[:5])
    compare(inference.wald_test, features=[0, 1], value=np.zeros(2 if two else 6))

    def ratio(model, *data, **options):
        return inference.likelihood_ratio_test(model, smaller[model is theirs], *data, **options)

    compare(ratio, X_restricted=X[:, :3])


def numbers_of(result):
    """The columns of numbers in a result of inference."""
    if isinstance(result, np.ndarray):
        return (
            [np.asarray(result, dtype=float)] if result.dtype.names is None else [result[n] for n in result.dtype.names]
        )
    if isinstance(result, float | int):
        return [np.asarray(result, dtype=float)]
    if isinstance(result, tuple | list):
        return [number for part in result for number in numbers_of(part)]
    if hasattr(result, "to_numpy"):
        return [result[name].to_numpy() for name in result if result[name].dtype.kind in "fiub"]
    assert dataclasses.is_dataclass(result), type(result)
    parts = (getattr(result, field.name) for field in dataclasses.fields(result))
    return [number for part in parts if not isinstance(part, str | type(None)) for number in numbers_of(part)]


@on_device1
def test_displays_show_models_wherever_they_are(place):
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    plt = pytest.importorskip("matplotlib.pyplot")
    X, y = wine()
    for put in (place.put, lambda array: array):
        model = SoftmaxRegression().fit(put(X), put(y))
        search = SoftmaxRegressionCV([0.1, 0.01, 1e-3], cv=3).fit(put(X), put(y))
        assert len(skmax.ConvergenceDisplay.from_estimator(model).line_.get_ydata()) > 1
        shown = skmax.PathDisplay.from_estimator(search, put(X), put(y))
        assert isinstance(shown.line_.get_ydata(), np.ndarray)
        skmax.CoefficientDisplay.from_estimator(model, put(X), put(y))
        assert skmax.SoftmaxDisplay.from_estimator(model, put(X[:1])).raw_prediction.shape == (3,)
        plt.close("all")


@everywhere
@pytest.mark.parametrize("batch", [2**23, 20])
def test_the_scorer_takes_labels_distributions_and_weights_from_anywhere(place, batch, monkeypatch):
    monkeypatch.setattr(_scorer, "_BATCH", batch)
    form = forms()["soft labels"] if place.has_float64 else forms()["soft labels"].as_float32()
    offset = forms()["offset"].fit["offset"].astype(form.X.dtype)
    ours, theirs = (
        SoftmaxRegression().fit(put(form.X), put(form.y), offset=put(offset))
        for put in (place.put, lambda array: array)
    )
    for y in (form.y, wine()[1]):
        expected = neg_cross_entropy_scorer(theirs, form.X, y, form.fit["sample_weight"], offset)
        options = {"sample_weight": place.put(form.fit["sample_weight"]), "offset": place.put(offset)}
        score = neg_cross_entropy_scorer(ours, place.put(form.X), place.put(y), **options)
        assert score == pytest.approx(expected, abs=1e-3)
        # Only X decides where: labels may be in NumPy's memory.
        assert neg_cross_entropy_scorer(ours, place.put(form.X), y, **options) == pytest.approx(score, abs=1e-6)


@in_float64
@pytest.mark.parametrize("other", ["numpy", "strict", "device1", "torch"])
def test_everything_follows_X(place, other, monkeypatch):
    """Targets, weights, offsets and parameters may be in any library, on any device."""
    form, penalty = forms()["offset"], np.linspace(0.1, 2, 13)
    put = (lambda array: array) if other == "numpy" else place_of(other, monkeypatch).put
    expected = SoftmaxRegression(penalty_factor=penalty, tol=1e-12).fit(form.X, form.y, **form.fit)
    model = SoftmaxRegression(penalty_factor=put(penalty), tol=1e-12)
    model.fit(place.put(form.X), put(form.y), **{name: put(value) for name, value in form.fit.items()})
    assert place.has(model.coef_)
    assert place.has(model.classes_)
    np.testing.assert_allclose(as_numpy(model.coef_), expected.coef_, atol=1e-6)
    offset = put(form.fit["offset"])
    assert place.has(model.predict_proba(place.put(form.X), offset=offset))
    score = model.score(place.put(form.X), put(form.y), put(form.fit["sample_weight"]), offset)
    assert score == expected.score(form.X, form.y, **form.fit)
    # An X of NumPy is fitted there, whatever the others are.
    plain = SoftmaxRegression(tol=1e-12).fit(form.X, put(form.y), put(form.fit["sample_weight"]))
    assert isinstance(plain.coef_, np.ndarray)


@in_float64
def test_predictions_take_place_where_the_fit_did(place, monkeypatch):
    X, y = wine()
    ours, theirs = SoftmaxRegression().fit(place.put(X), place.put(y)), SoftmaxRegression().fit(X, y)
    with pytest.raises(ValueError, match="must use the same namespace and the same device"):
        ours.predict(X)
    with pytest.raises(ValueError, match="must use the same namespace and the same device"):
        theirs.predict_proba(place.put(X))
    other = place_of("device1" if place.name == "strict" else "strict", monkeypatch)
    with pytest.raises(ValueError, match="must use the same namespace and the same device"):
        ours.predict_top_k(other.put(X), 1)


@on_device1
def test_an_array_on_a_device_needs_dispatch(place):
    X, y = wine()
    model = SoftmaxRegression().fit(place.put(X), place.put(y))
    with sklearn.config_context(array_api_dispatch=False):
        with pytest.raises(TypeError, match=r"X must be in the memory .*SCIPY_ARRAY_API=1"):
            model.predict(place.put(X))
        for estimator in (SoftmaxRegression(), SoftmaxRegressionCV(3)):
            with pytest.raises(TypeError, match=r"X must be in the memory .*device1.*array_api_dispatch=True"):
                estimator.fit(place.put(X), y)
            with pytest.raises(TypeError, match="y must be in the memory"):
                estimator.fit(X, place.put(y))
            with pytest.raises(TypeError, match="sample_weight must be in the memory"):
                estimator.fit(X, y, sample_weight=place.put(np.ones(178)))
            with pytest.raises(TypeError, match="offset must be in the memory"):
                estimator.fit(X, y, offset=place.put(np.zeros((178, 3))))
        with pytest.raises(TypeError, match="penalty_factor must be in the memory"):
            SoftmaxRegression(penalty_factor=place.put(np.ones(13))).fit(X, y)
        with pytest.raises(TypeError, match="prior_mean must be in the memory"):
            SoftmaxRegression(prior_mean=place.put(np.ones((3, 13)))).fit(X, y)
        # A model that is there predicts for NumPy's arrays too.
        plain = SoftmaxRegression().fit(X, y)
        for method in METHODS:
            result = getattr(model, method)(X)
            assert isinstance(result, np.ndarray)
            np.testing.assert_allclose(result, getattr(plain, method)(X), rtol=1e-9, atol=1e-12)


def test_arrays_of_a_cupy_that_lacks_the_method_of_the_standard_are_known(monkeypatch):
    library = types.ModuleType("cupy")
    library.ndarray = type("ndarray", (), {})
    monkeypatch.setitem(sys.modules, "cupy", library)
    assert is_foreign(library.ndarray())
    assert not is_foreign(object())


@pytest.mark.parametrize("name", ["strict", "torch"])
def test_without_dispatch_an_array_in_memory_is_a_numpy_array(name, monkeypatch):
    where = place_of(name, monkeypatch)
    monkeypatch.delenv("SCIPY_ARRAY_API")
    X, y = wine()
    model = SoftmaxRegression().fit(where.put(X), where.put(y), sample_weight=where.put(np.ones(178)))
    assert isinstance(model.coef_, np.ndarray)
    assert isinstance(model.predict_proba(where.put(X)), np.ndarray)
    np.testing.assert_array_equal(model.coef_, SoftmaxRegression().fit(X, y, np.ones(178)).coef_)


@pytest.mark.parametrize("place", ["torch", "strict"], indirect=True)
def test_an_array_in_memory_is_not_copied(place, monkeypatch):
    X, y = wine()
    here, seen = place.put(X), []
    whole = dense.DenseSamples.blocks

    def blocks(samples, *args):
        seen.append(samples.X)
        return whole(samples, *args)

    monkeypatch.setattr(dense.DenseSamples, "blocks", blocks)
    SoftmaxRegression().fit(here, place.put(y))
    assert len(seen) > 5
    assert all(np.shares_memory(used, as_numpy(here)) for used in seen)


def bad_X(place):
    """(X, error, message) of each X that is refused."""
    X, _ = wine()
    nan, infinite = X.copy(), X.copy()
    nan[3, 4], infinite[170, 12] = np.nan, -np.inf
    some = place.put(X)
    cases = [
        (place.put(nan), ValueError, "X.*NaN"),
        (place.put(infinite), ValueError, "X.*infinity"),
        (some[:0, :], ValueError, r"0 sample\(s\) \(shape=\(0, 13\)\)"),
        (some[:, :0], ValueError, r"0 feature\(s\) \(shape=\(178, 0\)\)"),
        (some[:, 0], ValueError, "178|1D array"),
        (some[None, ...], ValueError, "178|dim 3"),
        (place.put(X * 1j), ValueError, "(?i)complex data"),
    ]
    if place.name.startswith("torch"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the state of sparse arrays in PyTorch
            compressed = some.to_sparse_csr()
        cases += [
            (some.clone().requires_grad_(), TypeError, r"X must not require a gradient.*X\.detach\(\)"),
            (compressed, TypeError, r"X must be dense.*torch\.sparse_csr.*to_dense"),
            (some.to_sparse(), TypeError, r"X must be dense.*torch\.sparse_coo"),
        ]
    return cases


@everywhere
@pytest.mark.parametrize("estimator", [SoftmaxRegression, SoftmaxRegressionCV])
def test_an_X_that_is_refused_leaves_a_fit_as_it_was(place, estimator):
    X, y = wine()
    model = SoftmaxRegression().fit(place.put(X), place.put(y))
    if estimator is SoftmaxRegressionCV:
        model = SoftmaxRegressionCV([0.1, 0.01, 1e-3], cv=3).fit(place.put(X), place.put(y))
    before = dict(model.__dict__)
    for bad, error, message in bad_X(place):
        for method, arguments in (("fit", (bad, y[: bad.shape[0]])), ("predict", (bad,)), ("score", (bad, y))):
            with pytest.raises(error, match=message):
                getattr(model, method)(*arguments)
            assert model.__dict__ == before
    with pytest.raises(ValueError, match=r"X has 3 features, but .* is expecting 13"):
        model.predict_proba(place.put(X[:, :3]))
    assert model.__dict__ == before


@everywhere
def test_other_arguments_that_are_refused_are_named(place):
    X, y = wine()
    model = SoftmaxRegression().fit(place.put(X), place.put(y))
    before, n = dict(model.__dict__), len(y)
    missing, negative = np.ones(n), np.ones(n)
    missing[3], negative[4] = np.nan, -2
    cases = [
        ({"y": np.where(y == 0, np.nan, y)}, ValueError, "y.*NaN"),
        ({"y": y[:5]}, ValueError, r"inconsistent numbers of samples: \[178, 5\]"),
        ({"y": y * 1j}, ValueError, "y must be labels.*omplex data"),
        ({"y": np.full((n, 3), 0.5)}, ValueError, r"Each row of y must sum to 1"),
        ({"y": np.zeros(n, dtype=int)}, ValueError, "y must hold at least 2 classes"),
        ({"y": np.linspace(0, 1, n)}, ValueError, "y must be labels"),
        ({"sample_weight": missing}, ValueError, "sample_weight.*NaN"),
        ({"sample_weight": negative}, ValueError, "sample_weight must be non-negative; got -2 at position 4"),
        ({"sample_weight": np.ones(3)}, ValueError, r"sample_weight must be 1D.*got shape \(3,\)"),
        ({"sample_weight": np.zeros(n)}, ValueError, "sample_weight must have a finite sum above zero"),
        ({"offset": np.zeros(n)}, ValueError, r"offset must have .*got shape \(178,\)"),
        ({"offset": np.full((n, 3), np.nan)}, ValueError, "offset.*NaN"),
    ]
    for arguments, error, message in cases:
        arguments = {"X": X, "y": y, **arguments}
        with pytest.raises(error, match=message):
            model.fit(**place.put(arguments))
        assert model.__dict__ == before
    for parameter, value, message in [
        ("penalty_factor", np.ones(3), r"penalty_factor must have shape \(13,\)"),
        ("penalty_factor", -np.ones(13), "penalty_factor must be non-negative; got -1 at position 0"),
        ("prior_mean", np.ones((2, 13)), r"prior_mean must have the shape of coef_, \(3, 13\)"),
        ("classes", np.arange(2), "y must hold only labels in classes"),
        ("classes", np.zeros(3), "classes must be at least 2 different labels"),
    ]:
        with pytest.raises(ValueError, match=message):
            SoftmaxRegression(**{parameter: place.put(value)}).fit(place.put(X), place.put(y))
    with pytest.raises(ValueError, match="weight_decays must be"):
        SoftmaxRegressionCV(place.put(-np.ones(2))).fit(place.put(X), place.put(y))


@pytest.mark.parametrize("place", ["torch", "torch device"], indirect=True)
def test_a_gradient_or_a_sparse_layout_is_refused_in_any_argument(place):
    form = forms()["offset"]
    arguments = {"X": form.X, "y": np.eye(3)[form.y], "sample_weight": np.ones(178), "offset": form.fit["offset"]}
    for name in arguments:
        tensors = {key: place.put(value) for key, value in arguments.items()}
        tensors[name].requires_grad_()
        with pytest.raises(TypeError, match=rf"{name} must not require a gradient.*{name}\.detach"):
            SoftmaxRegression().fit(**tensors)
        tensors[name] = tensors[name].detach().to_sparse()
        with pytest.raises(TypeError, match=rf"{name} must be dense"):
            SoftmaxRegression().fit(**tensors)
    with pytest.raises(TypeError, match="penalty_factor must not require a gradient"):
        SoftmaxRegression(penalty_factor=place.put(np.ones(13)).requires_grad_()).fit(form.X, form.y)


class OutOfMemoryError(RuntimeError):
    """As PyTorch and CuPy name theirs."""


@on_devices
@pytest.mark.parametrize("kernel", ["_loss_and_gradient", "_moments", "_pairs"])
@pytest.mark.parametrize("estimator", [SoftmaxRegression, SoftmaxRegressionCV])
def test_too_little_memory_is_explained(place, monkeypatch, estimator, kernel):
    X, y = wine()
    own = {} if estimator is SoftmaxRegression else {"weight_decays": [0.1, 0.01, 1e-3], "cv": 3}
    model = estimator(**own).fit(place.put(X), place.put(y))
    before = dict(model.__dict__)
    [known] = [known for known in device.TWINS if known.__name__ == kernel and "preconditioner" not in known.__module__]

    def exhausted(*args):
        raise OutOfMemoryError("tried to allocate")

    monkeypatch.setitem(device.TWINS, known, exhausted)
    with pytest.raises(MemoryError, match=r"X of shape \(\d+, 13\) with 3 logits .* float16") as caught:
        model.fit(place.put(X), place.put(y))
    assert isinstance(caught.value.__cause__, OutOfMemoryError)
    assert model.__dict__ == before


@on_devices
def test_too_little_memory_for_a_fold_or_a_prediction_is_explained_too(place, monkeypatch):
    X, y = wine()
    model = SoftmaxRegression().fit(place.put(X), place.put(y))

    def exhausted(*args):
        raise OutOfMemoryError("tried to allocate")

    monkeypatch.setattr(Device, "take", exhausted)
    with pytest.raises(MemoryError, match=r"X of shape \(178, 13\) .* a copy of the training rows"):
        SoftmaxRegressionCV(3).fit(place.put(X), place.put(y))
    monkeypatch.setattr(DeviceSamples, "blocks", exhausted)
    with pytest.raises(MemoryError, match=r"X of shape \(178, 13\) with 3 logits"):
        model.predict(place.put(X))


@on_devices
def test_other_errors_of_a_device_are_not_changed(place, monkeypatch):
    X, y = wine()

    def broken(*args):
        raise RuntimeError("no kernel image")

    monkeypatch.setitem(device.TWINS, _objective._loss_and_gradient, broken)
    with pytest.raises(RuntimeError, match="no kernel image"):
        SoftmaxRegression().fit(place.put(X), place.put(y))
