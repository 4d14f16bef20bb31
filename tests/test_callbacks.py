"""scikit-learn's callbacks: what they see, and stop. Skipped before scikit-learn 1.9, which has none."""

import warnings

import numpy as np
import pytest
from sklearn.datasets import load_iris, load_wine
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmax import SoftmaxRegression, SoftmaxRegressionCV

callback = pytest.importorskip("sklearn.callback")
WINE = load_wine(return_X_y=True)
# Two or three weight decays, for speed, of which the last may be the best.
short_grid = pytest.mark.filterwarnings("ignore:The best of the weight_decays, .* is the last of the grid:UserWarning")


class Recorder:
    """Keeps what it is told; stops after `stop` iterations."""

    def __init__(self, stop=None):
        self.events, self.fitted, self.stop = [], [], stop

    def setup(self, estimator, context):
        self.events.append("setup")

    def teardown(self, estimator, context):
        self.events.append("teardown")

    def on_fit_task_begin(self, estimator, context):
        self.events.append(f"begin {context.task_name}")

    def on_fit_task_end(self, estimator, context, *, X, y, metadata, fitted_estimator):
        self.events.append(f"end {context.task_name}")
        self.metadata = metadata
        if context.task_name == "iteration":
            self.fitted.append(fitted_estimator)
            return len(self.fitted) == self.stop
        return None


def test_each_iteration_is_seen_as_a_fit_stopped_there():
    X, y = WINE
    recorder = Recorder()
    model = SoftmaxRegression().set_callbacks(recorder).fit(X, y)
    assert recorder.events[:3] == ["setup", "begin fit", "begin iteration"]
    assert recorder.events[-3:] == ["end iteration", "end fit", "teardown"]
    assert len(recorder.fitted) == model.n_iter_
    for k in (1, 3, model.n_iter_ - 1):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            stopped = SoftmaxRegression(max_iter=k).fit(X, y)
        seen = recorder.fitted[k - 1]
        np.testing.assert_array_equal(seen.coef_, stopped.coef_)
        np.testing.assert_array_equal(seen.predict_proba(X), stopped.predict_proba(X))
        # At the end of a fit, f is taken once more, row by row: equal to the rounding of its terms, of order 1.
        np.testing.assert_allclose(seen.loss_curve_, stopped.loss_curve_, rtol=0, atol=1e-14)
        assert seen.n_iter_ == k
        assert not seen.converged_
    plain = SoftmaxRegression().fit(X, y)
    np.testing.assert_array_equal(model.coef_, plain.coef_)
    assert recorder.metadata is None
    weight = np.ones(178)
    SoftmaxRegression().set_callbacks(recorder).fit(X, y, sample_weight=weight)
    np.testing.assert_array_equal(recorder.metadata["sample_weight"], weight)


def test_a_callback_stops_the_fit_without_a_warning():
    X, y = WINE
    model = SoftmaxRegression().set_callbacks(Recorder(stop=4)).fit(X, y)
    assert model.n_iter_ == 4
    assert not model.converged_
    assert model.gap_ > 1e-6
    assert model.set_callbacks().fit(X, y).converged_


def test_a_fit_without_iterations_is_seen_too():
    X, y = WINE
    recorder = Recorder()
    SoftmaxRegression().set_callbacks(recorder).fit(X, y, y == 1)
    with pytest.warns(ConvergenceWarning):
        SoftmaxRegression(max_iter=0).set_callbacks(recorder).fit(X, y)
    assert recorder.events == 2 * ["setup", "begin fit", "end fit", "teardown"]


def test_teardown_follows_an_error_and_an_earlier_fit_stays():
    class Failing(Recorder):
        def on_fit_task_end(self, estimator, context):
            raise RuntimeError("stop here")

    X, y = WINE
    model = SoftmaxRegression().fit(X, y)
    before, failing = model.predict_proba(X), Failing()
    with pytest.raises(RuntimeError, match="stop here"):
        model.set_callbacks(failing).set_params(weight_decay=3.0).fit(X, y)
    assert failing.events[-1] == "teardown"
    np.testing.assert_array_equal(model.predict_proba(X), before)


@short_grid
def test_scikit_learns_own_callbacks(capsys):
    pytest.importorskip("rich")
    X, y = load_iris(return_X_y=True)
    monitor = callback.ScoringMonitor(scoring="neg_log_loss")
    model = make_pipeline(StandardScaler(), SoftmaxRegression().set_callbacks(monitor)).fit(X, y)
    log = monitor.get_logs().data_as_pandas
    losses = log.loc[log["task_name"] == "iteration", "neg_log_loss"]
    assert len(losses) == model[-1].n_iter_
    assert losses.iloc[-1] > losses.iloc[0]
    for estimator in (
        SoftmaxRegression(),
        SoftmaxRegressionCV(3),
        SoftmaxRegressionCV(3, n_jobs=2),
        SoftmaxRegressionCV(3, cv="approximate"),
        make_pipeline(StandardScaler(), SoftmaxRegression()),
        GridSearchCV(SoftmaxRegression(), {"weight_decay": [1.0, 0.1]}, cv=2),
    ):
        estimator.set_callbacks(callback.ProgressBar()).fit(X, y)
    assert "SoftmaxRegressionCV" in capsys.readouterr().out


@short_grid
def test_a_path_tells_of_its_folds_and_weight_decays():
    recorder = Recorder()
    model = SoftmaxRegressionCV(3, cv=4).set_callbacks(recorder).fit(*WINE)
    folds = [event for event in recorder.events if event.startswith("end fold")]
    assert folds == [f"end fold {number}/4" for number in range(1, 5)]
    first = recorder.events[: recorder.events.index(folds[0])]
    assert first[:3] == ["setup", "begin fit", "begin fold 1/4"]
    assert first[3] == f"begin weight decay 1/3 ({model.weight_decays_[0]:.1e})"
    assert sum(event.startswith("end weight decay") for event in first) == 3
    assert recorder.events[-4:] == ["begin refit", "end refit", "end fit", "teardown"]
    plain = SoftmaxRegressionCV(3, cv=4).fit(*WINE)
    np.testing.assert_array_equal(model.scores_, plain.scores_)


@short_grid
@pytest.mark.parametrize("model", [SoftmaxRegression(), SoftmaxRegressionCV([0.1, 0.01])])
def test_callbacks_get_the_data_as_the_user_passed_it(model):
    """So that a data frame's names are known to the model that a callback scores: warnings are errors here."""
    X, y = load_wine(return_X_y=True, as_frame=True)
    monitor = callback.ScoringMonitor(scoring="neg_log_loss")
    model.set_callbacks(monitor).fit(X, y)
    assert model.feature_names_in_.tolist() == X.columns.tolist()
