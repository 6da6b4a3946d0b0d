"""Scikit-learn's callbacks, one task an epoch, and skae's own."""

import pickle
import sys

import numpy as np
import pytest
from joblib import parallel_config
from sklearn.callback import ProgressBar, ScoringMonitor
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from test_base import EveryEpoch, quick

from skae import AutoEncoderOutlierDetector, StackedAutoEncoderClassifier
from skae.callbacks import TensorBoardLogger


def monitor_score():
    # a dict, because scikit-learn 1.9.1 cannot log the plain number that scoring=None gives
    return ScoringMonitor(scoring={"score": lambda estimator, X, y: estimator.score(X, y)})


def no_space(*_):
    raise OSError(28, "No space left on device")


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


# ---- TensorBoard ---------------------------------------------------------------------------------------------


def logged(folder):
    """The losses in a folder and those below it: {run: {tag: {epoch: loss}}}."""
    event_accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    runs = {}
    for file in sorted(folder.rglob("events.*")):
        assert file.parent not in runs, "a run is one file"
        events = event_accumulator.EventAccumulator(str(file)).Reload()
        tags = events.Tags()["scalars"]
        runs[file.parent] = {tag: {event.step: event.value for event in events.Scalars(tag)} for tag in tags}
    return runs


def from_epoch_1(losses):
    return pytest.approx(dict(enumerate(losses, 1)), rel=1e-6)


@pytest.fixture
def logger(tmp_path):
    pytest.importorskip("tensorboard")
    return TensorBoardLogger(tmp_path)


@pytest.fixture
def open_writers(logger, monkeypatch):
    """The TensorBoard writers that are open."""
    from torch.utils import tensorboard

    writers = []

    class Writer(tensorboard.SummaryWriter):
        def __init__(self, *args):
            super().__init__(*args)
            writers.append(self)

        def close(self):
            super().close()
            writers.remove(self)

    monkeypatch.setattr(tensorboard, "SummaryWriter", Writer)
    return writers


@pytest.mark.parametrize("early_stopping", [False, True])
def test_tensorboard_has_the_losses_of_every_epoch(plane, tmp_path, logger, early_stopping):
    autoencoder = quick(early_stopping=early_stopping).set_callbacks(logger).fit(plane)

    (run,) = logged(tmp_path).values()
    assert run["loss/training"] == from_epoch_1(autoencoder.loss_curve_)
    assert set(run) == ({"loss/training", "loss/validation"} if early_stopping else {"loss/training"})
    if early_stopping:
        assert run["loss/validation"] == from_epoch_1(autoencoder.validation_loss_curve_)


def test_tensorboard_counts_on_in_a_warm_start(plane, tmp_path, logger):
    autoencoder = quick(max_iter=2, warm_start=True).fit(plane)
    autoencoder.set_callbacks(logger).fit(plane)
    (run,) = logged(tmp_path).values()
    assert run["loss/training"] == pytest.approx({3: autoencoder.loss_curve_[2], 4: autoencoder.loss_curve_[3]})


side_by_side = pytest.mark.parametrize("backend", ["sequential", "threading", "loky"])


@side_by_side
def test_tensorboard_has_a_run_for_every_fit_of_a_search(plane, tmp_path, logger, backend):
    pipeline = make_pipeline(StandardScaler(), quick())
    search = GridSearchCV(pipeline, {"autoencodertransformer__max_iter": [2, 3]}, cv=2)
    with parallel_config(backend, n_jobs=2):
        search.set_callbacks(logger).fit(plane)

    runs = logged(tmp_path)
    best = search.best_estimator_[-1]
    assert len({run.relative_to(tmp_path).parts[0] for run in runs}) == 1
    assert sorted(len(run["loss/training"]) for run in runs.values()) == sorted([2, 2, 3, 3, best.n_iter_])
    (refit,) = (run for name, run in runs.items() if "refit-with-best-params-1" in name.parts)
    assert refit["loss/training"] == from_epoch_1(best.loss_curve_)


@side_by_side
def test_tensorboard_has_a_run_for_every_fold_of_a_cross_validation(plane, tmp_path, logger, backend):
    pipeline = make_pipeline(StandardScaler(), quick()).set_callbacks(logger)
    with parallel_config(backend, n_jobs=2):
        fitted = cross_validate(pipeline, plane, cv=3, return_estimator=True)["estimator"]

    curves = [list(run["loss/training"].values()) for run in logged(tmp_path).values()]
    assert sorted(curves) == [pytest.approx(curve) for curve in sorted(pipeline[-1].loss_curve_ for pipeline in fitted)]


def test_tensorboard_has_the_detectors_autoencoder(plane, tmp_path, logger):
    detector = AutoEncoderOutlierDetector(quick()).set_callbacks(logger).fit(plane)
    (run,) = logged(tmp_path).values()
    assert run["loss/training"] == from_epoch_1(detector.autoencoder_.loss_curve_)


def test_tensorboard_can_be_watched_while_a_fit_runs_and_its_writer_is_closed_after(
    plane, tmp_path, logger, open_writers
):
    n_open, n_losses = [], []

    def look(epoch, _):
        n_open.append(len(open_writers))
        n_losses.extend(len(run["loss/training"]) for run in logged(tmp_path).values())

    quick(max_iter=3).set_callbacks(logger, EveryEpoch(look)).fit(plane)
    assert n_open == [1, 1, 1]
    assert n_losses == [1, 2, 3]
    assert not open_writers


@pytest.mark.parametrize("wrap", [lambda a: a, lambda a: make_pipeline(quick(), a)], ids=["alone", "pipeline"])
def test_tensorboard_closes_the_writer_of_a_fit_that_fails(plane, tmp_path, logger, open_writers, wrap):
    def fail(epoch, _):
        if epoch == 1:
            assert len(open_writers) == 1
            raise FloatingPointError

    autoencoder = wrap(quick().set_callbacks(EveryEpoch(fail)))
    with pytest.raises(FloatingPointError):
        autoencoder.set_callbacks(*getattr(autoencoder, "_skl_callbacks", []), logger).fit(plane)
    assert not open_writers
    assert 1 in [len(run["loss/training"]) for run in logged(tmp_path).values()]


def test_tensorboard_closes_the_writer_of_a_fit_of_a_search_that_fails(plane, logger, open_writers):
    n_open = []

    def fail(epoch, _):
        n_open.append(len(open_writers))
        if epoch == 1:
            raise FloatingPointError

    search = GridSearchCV(quick().set_callbacks(EveryEpoch(fail)), {"n_components": [1, 2]}, cv=2)
    with pytest.raises(ValueError, match="All the 4 fits failed"):
        search.set_callbacks(logger).fit(plane)
    assert n_open == [0, 1] * 4  # the logger is told of an epoch after this callback
    assert not open_writers


def test_a_run_that_cannot_be_written_is_told_of_and_the_fit_goes_on(plane, tmp_path, caplog):
    pytest.importorskip("tensorboard")
    (tmp_path / "file").touch()
    logger = TensorBoardLogger(tmp_path / "file")
    assert quick(max_iter=3).set_callbacks(logger).fit(plane).n_iter_ == 3
    (record,) = caplog.records
    assert record.name == "skae.callbacks"
    assert str(tmp_path / "file") in record.getMessage()


def test_a_run_whose_disk_is_full_is_told_of_and_closed(plane, logger, open_writers, caplog, monkeypatch):
    def fill_disk(epoch, _):
        if epoch == 1:
            monkeypatch.setattr(open_writers[0], "flush", no_space)

    assert quick(max_iter=4).set_callbacks(EveryEpoch(fill_disk), logger).fit(plane).n_iter_ == 4
    assert not open_writers
    (record,) = caplog.records
    assert "No space left" in record.getMessage()


def test_tensorboard_logger_can_be_pickled(plane, tmp_path, logger):
    copies = []
    autoencoder = quick().set_callbacks(logger, EveryEpoch(lambda *_: copies.append(pickle.dumps(logger)))).fit(plane)
    for pickled in copies:
        autoencoder.set_callbacks(pickle.loads(pickled)).fit(plane)
    assert len(logged(tmp_path)) == 6


def test_tensorboard_is_asked_for_before_the_fit(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(ImportError, match=r'pip install "skae\[tensorboard\]"'):
        TensorBoardLogger()


def test_the_classifiers_fit_is_followed_too(plane, tmp_path, logger):
    classifier = StackedAutoEncoderClassifier(2, hidden_layer_sizes=(8,), pretrain_max_iter=1, max_iter=3)
    classifier.set_callbacks(logger).fit(plane, np.arange(len(plane)) % 2)
    (run,) = logged(tmp_path).values()
    assert run["loss/training"] == from_epoch_1(classifier.loss_curve_)
