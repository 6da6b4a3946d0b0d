"""Scikit-learn's callbacks, one task an epoch, and skae's own."""

import copy
import pickle
import re
import sys

import numpy as np
import pytest
from joblib import Parallel, delayed, parallel_config
from sklearn.callback import ProgressBar, ScoringMonitor
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from test_base import EveryEpoch, quick
from torch import nn

from skae import AutoEncoderOutlierDetector, StackedAutoEncoderClassifier
from skae.callbacks import Checkpoint, TensorBoardLogger
from skae.model_selection import BatchedGridSearchCV


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


# ---- checkpoints ---------------------------------------------------------------------------------------------


def read(path):
    return pickle.loads(path.read_bytes())


def names_in(folder):
    return sorted(file.name for file in folder.iterdir())


class FailAfter(EveryEpoch):
    """A callback that raises an error when an epoch begins."""

    def __init__(self, n_epochs, error):
        self.n_epochs, self.error = n_epochs, error

    def on_fit_task_begin(self, estimator, context):
        if context.task_name == "epoch" and context.task_id == self.n_epochs:
            raise self.error

    def on_fit_task_end(self, estimator, context):
        pass


@pytest.fixture
def path(tmp_path):
    return tmp_path / "new folder" / "plane.pickle"


@pytest.fixture
def full_disk(monkeypatch):
    """Call it to let the writing of files fail from then on."""
    return lambda: monkeypatch.setattr("skae.callbacks.os.fsync", no_space)


def test_a_checkpoint_is_what_the_fit_was_then(plane, path):
    scores = []

    def look(epoch, fitted):
        scores.append(fitted.score(plane))
        if epoch + 1 >= 3:
            saved = read(path)
            assert saved.n_iter_ == (epoch + 1) // 3 * 3
            assert saved.score(plane) == scores[saved.n_iter_ - 1]

    quick(max_iter=8).set_callbacks(Checkpoint(path, every=3), EveryEpoch(look)).fit(plane)
    assert len(scores) == 8
    assert names_in(path.parent) == [path.name]


@pytest.mark.parametrize("every", [3, 4, 100])
@pytest.mark.parametrize("early_stopping", [False, True])
def test_the_last_checkpoint_is_the_fitted_autoencoder(plane, path, every, early_stopping):
    autoencoder = quick(max_iter=8, early_stopping=early_stopping, learning_rate_init=0.1)
    autoencoder.set_callbacks(Checkpoint(path, every)).fit(plane)
    saved = read(path)
    assert saved.loss_curve_ == autoencoder.loss_curve_
    assert saved.best_epoch_ == autoencoder.best_epoch_
    assert saved.score(plane) == autoencoder.score(plane)
    assert not hasattr(saved, "_skl_callbacks")


def test_a_fit_that_a_callback_stops_is_saved(plane, path):
    quick(max_iter=50).set_callbacks(Checkpoint(path), EveryEpoch(lambda epoch, _: epoch == 3)).fit(plane)
    assert read(path).n_iter_ == 4


@pytest.mark.parametrize("error", [KeyboardInterrupt, FloatingPointError, MemoryError])
@pytest.mark.parametrize("every", [3, 100])
def test_a_fit_that_ends_early_is_saved_as_it_ends(plane, path, error, every):
    autoencoder = quick().set_callbacks(Checkpoint(path, every), FailAfter(4, error))
    with pytest.raises(error):
        autoencoder.fit(plane)
    saved = read(path)
    assert saved.n_iter_ == 4
    if error is not MemoryError:  # which leaves it unfitted
        assert saved.loss_curve_ == autoencoder.loss_curve_
        assert saved.score(plane) == autoencoder.score(plane)


def test_a_fit_without_a_whole_epoch_leaves_the_checkpoint_before(plane, path):
    checkpoint = Checkpoint(path)
    before = quick(max_iter=2).set_callbacks(checkpoint).fit(plane)
    with pytest.raises(KeyboardInterrupt):
        quick().set_callbacks(checkpoint, FailAfter(0, KeyboardInterrupt)).fit(plane)
    assert read(path).loss_curve_ == before.loss_curve_


def test_training_goes_on_from_a_checkpoint_after_a_crash(plane, path):
    pipeline = make_pipeline(StandardScaler(), quick(max_iter=6).set_callbacks(FailAfter(4, MemoryError)))
    with pytest.raises(MemoryError):
        pipeline.set_callbacks(Checkpoint(path, every=2)).fit(plane)
    saved = read(path.with_name("plane.fit-final-estimator-1.pickle"))
    assert saved.set_params(warm_start=True, max_iter=2).fit(plane).n_iter_ == 6


@pytest.mark.parametrize(
    ("wrap", "places"),
    [
        (lambda a: make_pipeline(StandardScaler(), a), ["fit-final-estimator-1"]),
        (lambda a: Pipeline([("../a b/", a), ("b", a)]), ["fit-final-estimator-1", "fit-transform-.._a_b_-0"]),
        (AutoEncoderOutlierDetector, ["fit-autoencoder-0"]),
        (
            lambda a: AutoEncoderOutlierDetector(a, n_estimators=2),
            ["fit-autoencoder-0.fit-member-0", "fit-autoencoder-0.fit-member-1"],
        ),
        (
            lambda a: GridSearchCV(a, {"n_components": [1]}, cv=2),
            ["refit-with-best-params-1", *(f"search-0.candidate-split-evaluation-{i}" for i in range(2))],
        ),
        (
            lambda a: BatchedGridSearchCV(a, {"n_components": [1]}, cv=2),
            ["refit-with-best-params-1", *(f"search-0.candidate-split-evaluation-{i}" for i in range(2))],
        ),
        (
            lambda a: GridSearchCV(
                make_pipeline(StandardScaler(), AutoEncoderOutlierDetector(a)),
                {"autoencoderoutlierdetector__autoencoder__n_components": [1]},
                scoring=lambda estimator, X, y=None: 0.0,
                cv=2,
            ),
            [
                f"{fit}.fit-final-estimator-1.fit-autoencoder-0"
                for fit in (
                    "refit-with-best-params-1",
                    "search-0.candidate-split-evaluation-0",
                    "search-0.candidate-split-evaluation-1",
                )
            ],
        ),
    ],
    ids=["pipeline", "odd names", "detector", "members", "search", "batched search", "search over all"],
)
def test_every_fit_has_a_checkpoint_of_its_own(plane, path, wrap, places):
    wrap(quick(max_iter=2)).set_callbacks(Checkpoint(path)).fit(plane)
    assert names_in(path.parent) == [f"plane.{place}.pickle" for place in places]
    assert {read(file).n_iter_ for file in path.parent.iterdir()} == {2}


@side_by_side
def test_checkpoints_of_a_search(plane, path, backend):
    pipeline = make_pipeline(StandardScaler(), quick())
    search = GridSearchCV(pipeline, {"autoencodertransformer__max_iter": [2, 3, 4, 5]}, cv=4)
    with parallel_config(backend, n_jobs=2):
        search.set_callbacks(Checkpoint(path, every=1)).fit(plane)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    saved = {name: read(path.with_name(name)) for name in names_in(path.parent)}
    assert len(saved) == 4 * 4 + 1
    assert sorted(autoencoder.n_iter_ for name, autoencoder in saved.items() if ".search" in name) == sorted(
        [2, 3, 4, 5] * 4
    )
    refit = saved["plane.refit-with-best-params-1.fit-final-estimator-1.pickle"]
    assert refit.loss_curve_ == search.best_estimator_[-1].loss_curve_


@side_by_side
def test_fits_of_a_search_that_fail_are_saved(plane, path, backend):
    autoencoder = quick().set_callbacks(FailAfter(3, FloatingPointError))
    search = GridSearchCV(autoencoder, {"n_components": [1, 2]}, cv=2)
    with parallel_config(backend, n_jobs=2), pytest.raises(ValueError, match="All the 4 fits failed"):
        search.set_callbacks(Checkpoint(path, every=2)).fit(plane)
    assert [read(file).n_iter_ for file in path.parent.iterdir()] == [3, 3, 3, 3]


@side_by_side
def test_fits_side_by_side_may_save_to_one_checkpoint(plane, path, backend):
    autoencoder = quick(max_iter=10).set_callbacks(Checkpoint(path, every=1))
    with parallel_config(backend, n_jobs=2):
        assert np.isfinite(cross_validate(autoencoder, plane, cv=8, error_score="raise")["test_score"]).all()
    assert read(path).n_iter_ == 10
    assert names_in(path.parent) == [path.name]


def test_worker_processes_save_to_the_folder_of_their_fit(plane, tmp_path, monkeypatch):
    with parallel_config("loky", n_jobs=2):
        Parallel()(delayed(abs)(i) for i in range(2))  # there are workers, in another folder
        monkeypatch.chdir(tmp_path)
        search = GridSearchCV(quick(max_iter=1), {"n_components": [1, 2]}, cv=2)
        search.set_callbacks(Checkpoint("plane.pickle")).fit(plane)
    assert len(names_in(tmp_path)) == 5


def test_a_checkpoint_that_cannot_be_written_is_told_of_and_the_fit_goes_on(plane, path, full_disk, caplog):
    checkpoint = Checkpoint(path, every=2)
    before = quick(max_iter=2).set_callbacks(checkpoint).fit(plane)
    full_disk()
    assert quick(max_iter=5).set_callbacks(checkpoint).fit(plane).n_iter_ == 5
    assert read(path).loss_curve_ == before.loss_curve_
    assert names_in(path.parent) == [path.name]
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("skae.callbacks", "WARNING")
    assert str(path) in record.getMessage()
    assert "No space left on device" in record.getMessage()


def test_a_checkpoint_whose_folder_goes_is_told_of_and_the_fit_goes_on(plane, path, caplog):
    def replace_folder(epoch, _):
        if epoch == 1:
            path.unlink()
            path.parent.rmdir()
            path.parent.touch()

    autoencoder = quick().set_callbacks(Checkpoint(path, every=1), EveryEpoch(replace_folder))
    assert autoencoder.fit(plane).n_iter_ == 5
    assert len(caplog.records) == 1


@pytest.mark.parametrize("backend", ["sequential", "threading"])  # what worker processes log is theirs
def test_every_fit_tells_of_its_checkpoint_once(plane, path, full_disk, caplog, backend):
    full_disk()
    search = GridSearchCV(quick(), {"n_components": [1, 2]}, cv=2).set_callbacks(Checkpoint(path, every=1))
    with parallel_config(backend, n_jobs=2):
        search.fit(plane)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert len({record.getMessage() for record in caplog.records}) == len(caplog.records) == 5


def test_an_autoencoder_that_cannot_be_pickled_is_fitted_all_the_same(plane, path, caplog):
    path.parent.mkdir()
    path.write_bytes(b"before")

    def network(n_features, n_components):
        return nn.Linear(n_features, n_components), nn.Linear(n_components, n_features)

    autoencoder = quick(network=lambda *sizes: network(*sizes)).set_callbacks(Checkpoint(path, every=2)).fit(plane)
    assert autoencoder.n_iter_ == 5
    assert path.read_bytes() == b"before"
    assert names_in(path.parent) == [path.name]
    (record,) = caplog.records
    assert "lambda" in record.getMessage()


def test_an_interrupted_checkpoint_leaves_the_one_before(plane, path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    checkpoint = Checkpoint(path, every=2)
    before = quick(max_iter=2).set_callbacks(checkpoint).fit(plane)
    monkeypatch.setattr("skae.callbacks.os.fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        quick().set_callbacks(checkpoint).fit(plane)
    assert read(path).loss_curve_ == before.loss_curve_
    assert names_in(path.parent) == [path.name]


def test_others_may_read_a_checkpoint_as_any_new_file(plane, path):
    quick(max_iter=1).set_callbacks(Checkpoint(path)).fit(plane)
    (path.parent / "new").touch()
    assert path.stat().st_mode == (path.parent / "new").stat().st_mode


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda c: pickle.loads(pickle.dumps(c))])
def test_checkpoints_can_be_copied_in_a_fit(plane, path, copied):
    checkpoint, copies = Checkpoint(path, every=2), []
    quick().set_callbacks(checkpoint, EveryEpoch(lambda *_: copies.append(copied(checkpoint)))).fit(plane)
    path.unlink()
    for duplicate in copies:
        pickle.dumps(duplicate)
        assert not path.exists()
        quick(max_iter=3).set_callbacks(duplicate).fit(plane)
        assert read(path).n_iter_ == 3
        path.unlink()


@pytest.mark.parametrize("where", ["", "file/plane.pickle"])
@pytest.mark.parametrize("wrap", [lambda a: a, AutoEncoderOutlierDetector], ids=["alone", "detector"])
def test_a_path_where_there_can_be_no_file_is_refused_before_training(plane, tmp_path, where, wrap):
    (tmp_path / "file").touch()
    path, epochs = tmp_path / where, []
    detector = wrap(quick().set_callbacks(EveryEpoch(lambda *_: epochs.append(0))))
    others = getattr(detector, "_skl_callbacks", [])
    with pytest.raises(ValueError, match=f"path={re.escape(repr(str(path)))}.*[Gg]ive"):
        detector.set_callbacks(*others, Checkpoint(path)).fit(plane)
    assert not epochs
    assert names_in(tmp_path) == ["file"]


@pytest.mark.parametrize(
    "wrap",
    [
        lambda a: make_pipeline(StandardScaler(), a),
        lambda a: GridSearchCV(a, {"n_components": [1, 2]}, cv=2),
        AutoEncoderOutlierDetector,
    ],
    ids=["pipeline", "search", "detector"],
)
def test_a_checkpoint_within_another_estimator_is_refused_before_training(plane, path, wrap):
    epochs = []
    inner = quick().set_callbacks(Checkpoint(path), EveryEpoch(lambda *_: epochs.append(0)))
    with pytest.raises((TypeError, ValueError), match=r"Checkpoint.*directly on the meta-estimator"):
        wrap(inner).fit(plane)
    assert not epochs


@pytest.mark.parametrize("every", [0, 1.5])
def test_checkpoints_are_whole_epochs_apart(every):
    with pytest.raises(ValueError, match=f"every={every}.*1 or more"):
        Checkpoint("autoencoder.pickle", every=every)


def test_the_classifiers_fit_is_followed_too(plane, tmp_path, logger):
    path, y = tmp_path / "classifier.pickle", np.arange(len(plane)) % 2
    classifier = StackedAutoEncoderClassifier(2, hidden_layer_sizes=(8,), pretrain_max_iter=1, max_iter=3)
    classifier.set_callbacks(Checkpoint(path), logger).fit(plane, y)
    assert np.array_equal(pickle.loads(path.read_bytes()).predict(plane), classifier.predict(plane))
    (run,) = logged(tmp_path).values()
    assert run["loss/training"] == from_epoch_1(classifier.loss_curve_)
