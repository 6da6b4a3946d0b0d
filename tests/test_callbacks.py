"""Scikit-learn's callbacks, one task an epoch."""

import numpy as np
import pytest
from sklearn.callback import ProgressBar, ScoringMonitor
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from test_base import EveryEpoch, quick

from skae import AutoEncoderOutlierDetector


def monitor_score():
    # a dict, because scikit-learn 1.9.1 cannot log the plain number that scoring=None gives
    return ScoringMonitor(scoring={"score": lambda estimator, X, y: estimator.score(X, y)})


def epochs(monitor):
    return monitor.get_logs().data_as_pandas.query("task_name == 'epoch'")


def test_scoring_monitor_scores_every_epoch_of_a_fit(plane):
    monitor = monitor_score()
    autoencoder = quick(max_iter=6, learning_rate="constant").set_callbacks(monitor).fit(plane)
    log = epochs(monitor)
    assert len(log) == 6
    assert log["score"].iloc[-1] == pytest.approx(autoencoder.score(plane))
    assert log["score"].is_monotonic_increasing


def test_scoring_monitor_inside_a_pipeline_and_a_search(plane):
    monitor = monitor_score()
    pipeline = make_pipeline(StandardScaler(), quick(max_iter=3).set_callbacks(monitor))
    pipeline.fit(plane)
    assert len(epochs(monitor)) == 3
    GridSearchCV(quick(max_iter=2).set_callbacks(monitor), {"n_components": [1, 2]}, cv=3).fit(plane)
    # 2 candidates x 3 folds and the refit, 2 epochs each
    assert len(epochs(monitor)) == (2 * 3 + 1) * 2


@pytest.mark.parametrize(
    "wrap",
    [
        lambda a: a,
        lambda a: make_pipeline(StandardScaler(), a),
        lambda a: GridSearchCV(a, {"n_components": [1, 2]}, cv=2),
        lambda a: GridSearchCV(make_pipeline(StandardScaler(), a), {"autoencodertransformer__n_components": [1]}, cv=2),
        lambda a: AutoEncoderOutlierDetector(a),
    ],
    ids=["alone", "pipeline", "search", "search over pipeline", "detector"],
)
def test_progress_bar_shows_epochs(wrap, plane, capsys, monkeypatch):
    pytest.importorskip("rich")
    monkeypatch.setenv("COLUMNS", "250")
    wrap(quick(max_iter=2)).set_callbacks(ProgressBar(max_propagation_depth=None)).fit(plane)
    bars = capsys.readouterr().out.splitlines()
    assert any("AutoEncoderTransformer - fit" in bar and "100%" in bar for bar in bars)


def test_a_callback_can_stop_training(plane):
    autoencoder = quick(max_iter=50).set_callbacks(EveryEpoch(lambda epoch, _: epoch == 3))
    assert autoencoder.fit(plane).n_iter_ == 4


def test_a_callback_sees_a_fitted_estimator_that_scores(plane):
    scores = []
    autoencoder = quick(max_iter=4, early_stopping=True)
    autoencoder.set_callbacks(EveryEpoch(lambda epoch, fitted: scores.append(fitted.score(plane))))
    fitted = autoencoder.fit(plane)
    assert len(scores) == 4
    assert scores[fitted.best_epoch_ - 1] == pytest.approx(fitted.score(plane))


def test_the_detector_passes_callbacks_down(plane):
    monitor = monitor_score()
    detector = AutoEncoderOutlierDetector(quick(max_iter=3).set_callbacks(monitor)).fit(plane)
    assert len(epochs(monitor)) == 3
    assert np.isfinite(detector.offset_)
