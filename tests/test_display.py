"""Displays: what is drawn, where, and without Matplotlib."""

import builtins

import matplotlib
import numpy as np
import pytest
from sklearn.datasets import load_iris

from skmax import PathDisplay, SoftmaxRegression, SoftmaxRegressionCV

matplotlib.use("Agg")
plt = pytest.importorskip("matplotlib.pyplot")
IRIS = load_iris(return_X_y=True)


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
    with pytest.raises(ValueError, match="ax must be 2 axes for what there is to draw; got 1"):
        display.plot(ax=display.ax_)
    two = PathDisplay.from_estimator(SoftmaxRegressionCV([1.0, 0.1]).fit(X[:100], y[:100]), X[:100], y[:100])
    assert two.classes == [1]


def test_other_scores_and_a_decay_of_zero():
    model = SoftmaxRegressionCV([1.0, 0.1, 0.0], scoring="accuracy", cv=2, max_iter=20)
    with pytest.warns(match="fits on folds"):
        model.fit(*IRIS)
    display = PathDisplay.from_estimator(model)
    np.testing.assert_allclose(display.line_.get_ydata(), model.scores_.mean(axis=0))
    assert display.ax_.get_xscale() == "symlog"
    assert display.ax_.get_ylabel() == "accuracy, rows left out"


def test_errors(monkeypatch):
    with pytest.raises(TypeError, match="estimator must be a fitted SoftmaxRegressionCV; got SoftmaxRegression"):
        PathDisplay.from_estimator(SoftmaxRegression().fit(*IRIS))
    model = SoftmaxRegressionCV([1.0, 0.1], cv=2).fit(*IRIS)
    real = builtins.__import__

    def without_matplotlib(name, *args, **kwargs):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_matplotlib)
    with pytest.raises(ImportError, match="pip install matplotlib"):
        PathDisplay.from_estimator(model)
