"""Scikit-learn's callbacks, one task an epoch, and skae's own."""

import pickle
import sys
from io import BytesIO

import numpy as np
import pandas as pd
import pytest
from joblib import parallel_config
from PIL import Image
from scipy.sparse import csr_array
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
    rich = pytest.importorskip("rich")
    monkeypatch.setattr(rich.get_console(), "width", 250)
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
    """The numbers in a folder and those below it: {run: {tag: {epoch: number}}}."""
    return {
        run: {tag: {event.step: event.value for event in events.Scalars(tag)} for tag in events.Tags()["scalars"]}
        for run, events in all_events(folder).items()
    }


def all_events(folder):
    """The events in a folder and those below it: {run: events}."""
    event_accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    files = sorted(folder.rglob("events.*"))
    assert len(files) == len({file.parent for file in files}), "a run is one file"
    return {file.parent: event_accumulator.EventAccumulator(str(file)).Reload() for file in files}


def drawn_reconstructions(folder):
    """The pictures of the only run in a folder: {epoch: lightness, (height, width)}."""
    (events,) = all_events(folder).values()
    assert events.Tags()["images"] == ["reconstructions"]
    pictures = {
        image.step: Image.open(BytesIO(image.encoded_image_string)) for image in events.Images("reconstructions")
    }
    return {epoch: np.asarray(picture, dtype=float) / 255 for epoch, picture in pictures.items()}


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
    assert set(run) == {"loss/training", "learning_rate", *(["loss/validation"] if early_stopping else [])}
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
    assert record.name == "skae.callbacks.tensorboard"
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


# ---- TensorBoard: learning rates, reconstructions, codes -----------------------------------------------------


@pytest.mark.parametrize(
    ("parameters", "rates"),
    [
        ({"learning_rate": "constant"}, [0.01] * 4),
        ({"learning_rate": "cosine"}, [0.01 * (1 + np.cos(np.pi * epoch / 4)) / 2 for epoch in range(4)]),
        ({"learning_rate": "adaptive", "n_iter_no_change": 1, "tol": 10.0}, [0.01, 0.01, 0.002, 0.0004]),
    ],
    ids=lambda value: value.get("learning_rate") if isinstance(value, dict) else None,
)
def test_tensorboard_has_the_learning_rate_at_the_start_of_every_epoch(plane, tmp_path, logger, parameters, rates):
    quick(max_iter=4, learning_rate_init=0.01, **parameters).set_callbacks(logger).fit(plane)
    (run,) = logged(tmp_path).values()
    assert run["learning_rate"] == from_epoch_1(rates)


@pytest.mark.parametrize("image_shape", [(2, 2), (1, 2, 2)])
def test_tensorboard_has_reconstructions_every_few_epochs(plane, tmp_path, logger, image_shape):
    X, kept = plane[:, :4], []
    logger = TensorBoardLogger(tmp_path, X=X[:12], image_shape=image_shape, every=2)
    keep = EveryEpoch(lambda _, fitted: kept.append(fitted.reconstruct(X[:10])))
    autoencoder = quick(max_iter=5).set_callbacks(logger, keep).fit(X)

    pictures = drawn_reconstructions(tmp_path)
    assert [*pictures] == [2, 4, 5]
    low, high = X[:10].min(), X[:10].max()
    for epoch, picture in pictures.items():
        if picture.ndim == 3:
            picture = picture[..., 0]
        assert picture.shape == (6, 30)  # ten images, a line after each
        for k, (x, x_hat) in enumerate(zip(X[:10], kept[epoch - 1], strict=True)):
            pair = np.concatenate([x.reshape(2, 2), x_hat.reshape(2, 2)])
            expected = np.clip((pair - low) / (high - low), 0, 1)
            np.testing.assert_allclose(picture[[0, 1, 3, 4], 3 * k : 3 * k + 2], expected, atol=1 / 255)
    np.testing.assert_allclose(kept[-1], autoencoder.reconstruct(X[:10]), rtol=1e-5)


def test_reconstructions_are_in_colour(plane, tmp_path):
    X = np.hstack([plane, plane[:, :1]])
    logger = TensorBoardLogger(tmp_path, X=X[:1], image_shape=(3, 1, 2), every=1)
    quick(max_iter=1).set_callbacks(logger).fit(X)
    picture = drawn_reconstructions(tmp_path)[1]
    expected = (X[0] - X[0].min()) / np.ptp(X[0])
    np.testing.assert_allclose(picture[0, :2], expected.reshape(3, 2).T, atol=1 / 255)


def test_the_last_reconstructions_are_those_of_the_best_weights(plane, tmp_path):
    X = plane[:, :4]
    logger = TensorBoardLogger(tmp_path, X=X[:10], image_shape=(2, 2), every=100)
    rates = {"learning_rate": "constant", "learning_rate_init": 1.0}
    autoencoder = quick(max_iter=8, early_stopping=True, **rates).set_callbacks(logger).fit(X)
    assert autoencoder.best_epoch_ < 8, "the weights of the last epoch are the best: this proves nothing"
    ((epoch, picture),) = drawn_reconstructions(tmp_path).items()
    assert epoch == 8
    expected = (autoencoder.reconstruct(X[:1])[0] - X[:10].min()) / np.ptp(X[:10])
    np.testing.assert_allclose(picture[3:5, :2, 0].ravel(), np.clip(expected, 0, 1), atol=1 / 255)


def projected(run):
    """The codes of a run for TensorBoard's projector, and the folder with what belongs to them."""
    (embedding,) = embeddings_of((run / "projector_config.pbtxt").read_text())
    return np.loadtxt(run / embedding["tensor_path"], delimiter="\t", ndmin=2), embedding


def embeddings_of(text):
    """The embeddings of a configuration of the projector, each as the texts of its fields."""
    plugin = pytest.importorskip("tensorboard.plugins.projector.projector_config_pb2")
    text_format = pytest.importorskip("google.protobuf.text_format")
    for embedding in text_format.Parse(text, plugin.ProjectorConfig()).embeddings:
        yield {field.name: value for field, value in embedding.ListFields()}


@pytest.mark.parametrize("kind", [np.asarray, pd.DataFrame], ids=["array", "frame"])
@pytest.mark.parametrize("fitted_on_names", [False, True])
@pytest.mark.filterwarnings("error")
def test_tensorboard_has_the_codes_of_the_fitted_autoencoder(plane, tmp_path, kind, fitted_on_names):
    names = [f"x{i}" for i in range(5)]
    X = pd.DataFrame(plane, columns=names) if fitted_on_names else plane
    rows = kind(plane[:7]) if kind is np.asarray else pd.DataFrame(plane[:7], columns=names)
    logger = TensorBoardLogger(tmp_path, X=rows, y=[*"abcabca"])
    autoencoder = quick(max_iter=2).set_output(transform="pandas").set_callbacks(logger).fit(X)

    (run,) = logged(tmp_path)
    codes, embedding = projected(run)
    np.testing.assert_allclose(codes, autoencoder.transform(X[:7]), rtol=1e-5, atol=1e-6)
    assert (run / embedding["metadata_path"]).read_text().split() == [*"abcabca"]
    assert "sprite" not in embedding


@pytest.mark.parametrize("image_shape", [(4, 1), (1, 4), (2, 2)])
def test_points_of_the_projector_have_images(plane, tmp_path, image_shape):
    X = plane[:5, :4]
    logger = TensorBoardLogger(tmp_path, X=X, image_shape=image_shape)
    quick(max_iter=1).set_callbacks(logger).fit(plane[:, :4])

    (run,) = logged(tmp_path)
    _, embedding = projected(run)
    sprite = embedding["sprite"]
    side = max(image_shape)
    assert [*sprite.single_image_dim] == [side, side]
    picture = np.asarray(Image.open(run / sprite.image_path), dtype=float)[..., 0] / 255
    assert picture.shape == (3 * side, 3 * side)  # the least square of five images
    for k, x in enumerate((X - X.min()) / np.ptp(X)):
        corner = picture[k // 3 * side :, k % 3 * side :][: image_shape[0], : image_shape[1]]
        np.testing.assert_allclose(corner.ravel(), x, atol=1 / 255)
    assert "metadata_path" not in embedding


@side_by_side
def test_every_fit_of_a_search_has_reconstructions_and_codes(plane, tmp_path, backend):
    X = plane[:, :4]
    logger = TensorBoardLogger(tmp_path, X=X[:6], image_shape=(2, 2), every=1)
    pipeline = make_pipeline(quick(max_iter=1))
    search = GridSearchCV(pipeline, {"autoencodertransformer__n_components": [1, 3]}, cv=2)
    with parallel_config(backend, n_jobs=2):
        search.set_callbacks(logger).fit(X)

    runs = all_events(tmp_path)
    assert [len(events.Images("reconstructions")) for events in runs.values()] == [1] * 5
    best = search.best_params_["autoencodertransformer__n_components"]
    assert sorted(projected(run)[0].shape[1] for run in runs) == sorted([1, 1, 3, 3, best])


def test_the_autoencoders_of_detectors_have_reconstructions(plane, tmp_path):
    X = plane[:, :4]
    for options, n in (({}, 1), ({"n_estimators": 2}, 2)):
        folder = tmp_path / str(n)
        logger = TensorBoardLogger(folder, X=X[:6], image_shape=(2, 2), every=1)
        AutoEncoderOutlierDetector(quick(max_iter=1), random_state=0, **options).set_callbacks(logger).fit(X)
        assert [len(events.Images("reconstructions")) for events in all_events(folder).values()] == [1] * n


def test_a_disk_that_is_full_at_the_end_is_told_of_and_closed(
    plane, tmp_path, logger, open_writers, caplog, monkeypatch
):
    logger = TensorBoardLogger(tmp_path, X=plane[:3])

    def fill_disk(epoch, _):
        if epoch == 1:
            monkeypatch.setattr(open_writers[0], "add_embedding", lambda *_, **__: no_space())

    assert quick(max_iter=3).set_callbacks(EveryEpoch(fill_disk), logger).fit(plane).n_iter_ == 3
    assert not open_writers
    (record,) = caplog.records
    assert "No space left" in record.getMessage()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"y": [1]}, r"y=\[1\] describes rows, but X=None"),
        ({"log_dir": None}, "log_dir=None must be the path of a folder"),
        ({"X": csr_array(np.eye(4))}, r"must not be sparse: give X\.toarray\(\)"),
        ({"image_shape": (2, 2)}, r"image_shape=\(2, 2\) describes rows, but X=None"),
        ({"every": 0}, "every=0 must be a number of epochs"),
        ({"X": [1.0, 2.0]}, r"X must hold rows, \(n_samples, n_features\), but has the shape \(2,\)"),
        ({"X": np.ones((3, 4)), "y": [1]}, "inconsistent numbers of samples"),
        ({"X": np.ones((3, 4)), "image_shape": (3, 3)}, r"image_shape=\(3, 3\) holds 9 values, but X has 4"),
    ],
)
def test_invalid_settings_of_tensorboard(tmp_path, options, message):
    pytest.importorskip("tensorboard")
    with pytest.raises(ValueError, match=message):
        TensorBoardLogger(**{"log_dir": tmp_path, **options})


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (
            quick,
            {"X": np.ones((3, 4))},
            "X of TensorBoardLogger has 4 features, but this AutoEncoderTransformer.* on 5",
        ),
        (
            quick,
            {"X": np.full((3, 5), np.inf)},
            "X of TensorBoardLogger are no rows for this AutoEncoderTransformer: .* infinity",
        ),
        (
            lambda: StackedAutoEncoderClassifier(2, max_iter=1),
            {"X": np.ones((3, 5)), "image_shape": (1, 5)},
            r"image_shape=\(1, 5\) of .* but StackedAutoEncoderClassifier makes none",
        ),
        (AutoEncoderOutlierDetector, {"X": np.ones((3, 5))}, "autoencoder=None.*set X=None"),
    ],
    ids=["width", "values", "classifier", "bag that scales"],
)
def test_rows_that_an_autoencoder_cannot_take_are_told_of_before_it_is_trained(plane, tmp_path, make, options, message):
    pytest.importorskip("tensorboard")
    epochs = []
    estimator = make().set_callbacks(TensorBoardLogger(tmp_path, **options))
    estimator._skl_callbacks.append(EveryEpoch(lambda epoch, _: epochs.append(epoch)))
    with pytest.raises(ValueError, match=message):
        estimator.fit(plane, np.arange(len(plane)) % 2)
    assert not epochs
    assert not [*tmp_path.rglob("*")]
