"""Displays: what is drawn, where, and without Matplotlib."""

import builtins

import matplotlib
import numpy as np
import pytest
from sklearn.datasets import load_digits, load_iris, load_wine
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmax import (
    CoefficientDisplay,
    ConvergenceDisplay,
    PathDisplay,
    SoftmaxDisplay,
    SoftmaxRegression,
    SoftmaxRegressionCV,
    softmax,
)
from skmax.inference import coef_table

matplotlib.use("Agg")
plt = pytest.importorskip("matplotlib.pyplot")
IRIS = load_iris(return_X_y=True)
# Few weight decays, for speed, of which the last may be the best.
pytestmark = pytest.mark.filterwarnings("ignore:The best of the weight_decays, .* is the last of the grid:UserWarning")


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def test_the_path_of_an_estimator():
    model = SoftmaxRegressionCV([1.0, 0.1, 0.01]).fit(*IRIS)
    _, ax = plt.subplots()
    display = PathDisplay.from_estimator(model, ax=ax, color="red")
    assert display.ax_ is ax
    assert display.figure_ is ax.figure
    np.testing.assert_array_equal(display.line_.get_xdata(), model.weight_decays_)
    np.testing.assert_allclose(display.line_.get_ydata(), -model.scores_.mean(axis=0))
    assert display.line_.get_color() == "red"
    assert display.chosen_.get_xdata()[0] == model.weight_decay_
    error = model.scores_.std(axis=0, ddof=1) / np.sqrt(5)
    low, high = display.band_.get_datalim(ax.transData).intervaly
    assert low == pytest.approx((-model.scores_.mean(axis=0) - error).min())
    assert high == pytest.approx((-model.scores_.mean(axis=0) + error).max())
    assert ax.get_xscale() == "log"
    assert ax.get_ylabel() == "log loss, rows left out"
    assert display.plot().ax_ is not ax


def test_coefficients_along_the_path():
    X, y = IRIS
    model = SoftmaxRegressionCV([1.0, 0.1, 0.01]).fit(X, y)
    display = PathDisplay.from_estimator(model, X, y)
    weak = SoftmaxRegression(0.01).fit(X, y)
    np.testing.assert_allclose(display.coefficients[2], weak.coef_ * X.std(axis=0), atol=1e-2)
    lines = display.coefficient_ax_.lines
    assert len(lines) == 3 * 4 + 1  # and the mark
    np.testing.assert_array_equal(lines[5].get_ydata(), display.coefficients[:, 1, 1])
    assert [text.get_text() for text in display.coefficient_ax_.get_legend().get_texts()] == ["0", "1", "2"]
    assert display.coefficient_ax_.get_xlabel() == "weight decay"
    with pytest.raises(ValueError, match="ax must hold 2 axes for this plot; got 1"):
        display.plot(ax=display.ax_)
    two = PathDisplay.from_estimator(SoftmaxRegressionCV([1.0, 0.1]).fit(X[:100], y[:100]), X[:100], y[:100])
    assert two.classes == [1]


def test_other_scores_and_a_decay_of_zero():
    model = SoftmaxRegressionCV([1.0, 0.1, 0.0], scoring="accuracy", cv=2, max_iter=20)
    with pytest.warns(match="fits on folds|above its minimum"):
        model.fit(*IRIS)
    display = PathDisplay.from_estimator(model)
    np.testing.assert_allclose(display.line_.get_ydata(), model.scores_.mean(axis=0))
    assert display.ax_.get_xscale() == "symlog"
    assert display.ax_.get_ylabel() == "accuracy, rows left out"


def test_the_way_of_a_fit():
    model = SoftmaxRegression().fit(*IRIS)
    display = ConvergenceDisplay.from_estimator(model)
    np.testing.assert_allclose(
        display.line_.get_ydata(), model.loss_curve_ - model.objective_ + model.gap_, rtol=1e-6, atol=1e-15
    )
    assert display.ax_.get_yscale() == "log"
    other = ConvergenceDisplay.from_estimator(
        SoftmaxRegression(1e-4).fit(*IRIS), ax=display.ax_, name="weak", color="k"
    )
    assert other.ax_ is display.ax_
    assert [text.get_text() for text in display.ax_.get_legend().get_texts()] == ["SoftmaxRegression", "weak"]
    assert other.line_.get_color() == "k"
    assert ConvergenceDisplay(gap_curve=np.array([1.0, 0.1])).plot().ax_.get_legend() is None


@pytest.mark.parametrize("n_classes", [2, 3, 30, 80])
def test_logits_beside_probabilities(n_classes):
    logits = np.random.default_rng(0).normal(size=n_classes) * 3
    names = [f"class {k}" for k in range(n_classes)]
    display = SoftmaxDisplay.from_predictions(logits, classes=names)
    shown = np.arange(n_classes) if n_classes <= 30 else np.argsort(-logits)[:30]
    for bars, values in zip(display.bars_, (logits, softmax(logits)), strict=True):
        np.testing.assert_allclose([bar.get_width() for bar in bars], values[shown])
    left, right = display.ax_
    assert [label.get_text() for label in left.get_yticklabels()] == [names[k] for k in shown]
    assert left.get_ylim()[0] > left.get_ylim()[1]  # the first class on top
    assert right.get_ylim() == left.get_ylim()
    assert ("of 80 classes" in left.get_ylabel()) == (n_classes == 80)


def test_logits_of_an_estimator():
    X, y = IRIS
    display = SoftmaxDisplay.from_estimator(SoftmaxRegression().fit(X, y), X[:1])
    assert len(display.bars_[0]) == 3
    two = SoftmaxRegression().fit(X[:100], y[:100])
    _, axes = plt.subplots(1, 2)
    display = SoftmaxDisplay.from_estimator(two, X[:1], ax=axes)
    assert display.ax_.tolist() == axes.tolist()
    assert display.bars_[0][0].get_width() == 0
    assert display.bars_[1][0].get_width() == pytest.approx(two.predict_proba(X[:1])[0, 0])
    absent = SoftmaxRegression(classes=[0, 1, 2, 3]).fit(X, y)
    assert SoftmaxDisplay.from_estimator(absent, X[:1]).bars_[1][3].get_width() == 0
    for one in (0, 1):
        certain = SoftmaxRegression().fit(X[:100], y[:100], y[:100] == one)
        assert SoftmaxDisplay.from_estimator(certain, X[:1]).bars_[1][one].get_width() == 1
    with pytest.raises(ValueError, match=r"X must be a single sample, of shape \(1, n_features\); got 2 samples"):
        SoftmaxDisplay.from_estimator(two, X[:2])
    with pytest.raises(ValueError, match=r"got shape \(2,\) for 3 classes"):
        SoftmaxDisplay.from_predictions([1.0, 2.0], classes=["a", "b", "c"])
    with pytest.raises(ValueError, match="ax must hold 2 axes"):
        SoftmaxDisplay.from_predictions([1.0, 2.0], ax=axes[0])


def test_a_pipeline_is_drawn_as_its_last_step():
    X, y = IRIS
    pipeline = make_pipeline(StandardScaler(), SoftmaxRegressionCV([1.0, 0.1, 0.01])).fit(X, y)
    scaled = pipeline[0].transform(X)
    for drawn, expected in [
        (PathDisplay.from_estimator(pipeline, X, y), PathDisplay.from_estimator(pipeline[-1], scaled, y)),
        (PathDisplay.from_estimator(make_pipeline(pipeline[-1])), PathDisplay.from_estimator(pipeline[-1])),
    ]:
        np.testing.assert_array_equal(drawn.scores, expected.scores)
        np.testing.assert_array_equal(drawn.coefficients, expected.coefficients)
    curve = ConvergenceDisplay.from_estimator(pipeline)
    np.testing.assert_array_equal(curve.gap_curve, ConvergenceDisplay.from_estimator(pipeline[-1]).gap_curve)
    assert curve.name == "SoftmaxRegressionCV"
    probability = SoftmaxDisplay.from_estimator(pipeline, X[:1]).bars_[1]
    np.testing.assert_allclose([bar.get_width() for bar in probability], pipeline.predict_proba(X[:1])[0])
    with pytest.raises(TypeError, match="a fitted SoftmaxRegression, or a pipeline that ends in one; got Standard"):
        ConvergenceDisplay.from_estimator(make_pipeline(StandardScaler()))
    with pytest.raises(NotFittedError):
        ConvergenceDisplay.from_estimator(make_pipeline(StandardScaler(), SoftmaxRegression()))


def test_errors(monkeypatch):
    with pytest.raises(TypeError, match=r"fitted SoftmaxRegressionCV, or a pipeline .*; got SoftmaxRegression"):
        PathDisplay.from_estimator(SoftmaxRegression().fit(*IRIS))
    model = SoftmaxRegressionCV([1.0, 0.1], cv=2).fit(*IRIS)
    real = builtins.__import__

    def without_matplotlib(name, *args, **kwargs):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_matplotlib)
    with pytest.raises(ImportError, match=r"pip install \"skmax\[plot\]\""):
        PathDisplay.from_estimator(model)


@pytest.mark.parametrize("n_classes", [2, 3, 10])
def test_coefficients_with_their_intervals(n_classes):
    X, y = load_digits(return_X_y=True, as_frame=True)
    X, y = X[y < n_classes], y[y < n_classes]
    model = SoftmaxRegression(0.01).fit(X, y)
    _, ax = plt.subplots()
    features = ["pixel_2_4", 42]
    display = CoefficientDisplay.from_estimator(model, X, y, features=features, level=0.9, ax=ax, marker="s")
    assert display.ax_ is ax
    assert display.figure_ is ax.figure
    n_lines = 1 if n_classes == 2 else n_classes
    assert display.coef.shape == (n_lines, 2)
    np.testing.assert_allclose(display.coef, model.coef_[:, [20, 42]] * X.to_numpy()[:, [20, 42]].std(axis=0))
    table = coef_table(model, X, y, level=0.9)
    scale = X["pixel_2_4"].std(ddof=0)
    for name in ("lower", "upper"):
        expected = table[name].xs("pixel_2_4", level="feature") * scale
        np.testing.assert_allclose(getattr(display, name)[:, 0], expected)
    assert len(display.bars_) == n_lines
    points, _, [lines] = display.bars_[-1].lines
    np.testing.assert_allclose(points.get_xdata(), display.coef[-1])
    assert points.get_marker() == "s"
    assert [label.get_text() for label in ax.get_yticklabels()] == ["pixel_2_4", "pixel_5_2"]
    assert ax.get_ylim()[0] > ax.get_ylim()[1]  # the first feature on top
    assert ax.get_xlabel() == "coefficient x standard deviation\nwith 90 % credible interval"
    paler = (display.lower[-1] <= 0) & (display.upper[-1] >= 0)
    np.testing.assert_array_equal(np.asarray(lines.get_alpha()) < 1, paler)
    legend = ax.get_legend()
    assert [text.get_text() for text in legend.get_texts()] == [str(k) for k in range(n_classes)][-n_lines:]
    assert legend.get_title().get_text() == ("class,\nagainst 0" if n_classes == 2 else "class")
    assert display.plot().ax_ is not ax


def test_coefficients_of_chosen_features_and_forms():
    X, y = load_wine(return_X_y=True, as_frame=True)
    model = SoftmaxRegression(0.01).fit(X, y)
    display = CoefficientDisplay.from_estimator(model, X, y, reference=1)
    assert display.classes == [0, 2]
    assert len(display.features) == 10  # those with the largest coefficients in the picture, in their order
    assert display.features == [name for name in X.columns if name in display.features]
    assert "proline" in display.features
    assert display.ax_.get_legend().get_title().get_text() == "class,\nagainst 1"
    chosen = X[["malic_acid", "ash", "magnesium"]]
    free = SoftmaxRegression(0, tol=1e-10).fit(chosen, y)
    display = CoefficientDisplay.from_estimator(free, chosen, y, kind="sandwich")
    assert display.interval == "95 % confidence interval"
    with pytest.raises(ValueError, match="has no intervals under a weight decay"):
        CoefficientDisplay.from_estimator(model, X, y, kind="sandwich")
