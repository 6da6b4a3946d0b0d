"""Exported files compute what skae does.

Tolerance: 1e-5 of the largest value of an output, or 1e-5 where that is less than 1. Labels, levels and rounded
integers are the same. The largest differences seen are in docs/benchmarks.md.
"""

import ast
import json
import logging
import socket
import subprocess
import sys
import time
import urllib.request
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from catalogue import ESTIMATORS
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, RobustScaler, StandardScaler
from torch import nn

from skae import (
    AutoEncoderOutlierDetector,
    AutoEncoderTransformer,
    ConditionalVariationalAutoEncoder,
    DenoisingAutoEncoder,
    SparseAutoEncoder,
    StackedAutoEncoder,
    StackedAutoEncoderClassifier,
    VariationalAutoEncoder,
    export_onnx,
)
from skae.networks import ConvNetwork, DenseNetwork, LSTMNetwork, MemoryNetwork
from skae.persistence.onnx_graphs import before_network

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

SMALL = {"hidden_layer_sizes": (8,), "max_iter": 3, "random_state": 0}
TOLERANCE = 1e-5
METHODS = {
    "code": "transform",
    "reconstruction": "reconstruct",
    "score": "score_samples",
    "decision": "decision_function",
    "label": "predict",
    "probabilities": "predict_proba",
}


@pytest.fixture(scope="module")
def X():
    """Return 300 rows of 12 features in [0, 1] near a plane."""
    rng = np.random.default_rng(0)
    rows = rng.uniform(size=(300, 2)) @ rng.uniform(size=(2, 12)) / 2 + 0.05 * rng.normal(size=(300, 12))
    return rows.clip(0, 1)


def make_table(n, rng):
    """Return a table of every kind of column."""
    return pd.DataFrame(
        {
            "metres": rng.normal(size=n),
            "count": rng.integers(0, 50, n),
            "city": rng.choice(["Bern", "Zürich", "Genève"], n),
            "model": rng.choice([f"model {i}" for i in range(40)], n),  # more levels than a code has values
            "grade": pd.Categorical(rng.integers(1, 4, n)),
            "sold": rng.uniform(size=n) < 0.3,
        }
    )


@pytest.fixture(scope="module")
def tables():
    """Return rows to train on, with holes, and others that have unknown levels too."""
    rng = np.random.default_rng(0)
    train, new = make_table(300, rng), make_table(40, rng)
    for table in (train, new):
        table["city"] = table["city"].astype(object)
        table.loc[::5, "metres"], table.loc[1::7, "city"] = np.nan, None
    new.loc[2::9, "city"], new.loc[3::9, "model"] = "Atlantis", "unheard of"
    return train, new


def as_inputs(table):
    """Return the columns of a table as a file takes them."""
    text = {name: table[name].fillna("").to_numpy(dtype=object) for name in ("city", "model")}
    return {name: column.to_numpy(dtype=np.float64) for name, column in table.items() if name not in text} | text


def run(path, **inputs):
    """Return the outputs of a file by name."""
    session = onnxruntime.InferenceSession(path)
    return dict(zip([output.name for output in session.get_outputs()], session.run(None, inputs), strict=True))


def expected(estimator, output, X):
    """Return what skae computes for an output; that of a pipeline's last step where the pipeline has no such method."""
    if output.startswith("reconstruction_"):
        return estimator.reconstruct(X)[output.removeprefix("reconstruction_")].to_numpy()
    if not hasattr(estimator, METHODS[output]):
        X, estimator = estimator[:-1].transform(X), estimator[-1]
    return getattr(estimator, METHODS[output])(X)


def assert_agrees(path, estimator, X, **inputs):
    """Compare a file's outputs with skae's for one row and for all."""
    inputs = inputs or {"X": X}
    for n in (1, len(X)):
        outputs = run(path, **{name: column[:n] for name, column in inputs.items()})
        for name, got in outputs.items():
            wanted = expected(estimator, name, X[:n])
            assert got.shape == wanted.shape, name
            if got.dtype != np.float64:
                np.testing.assert_array_equal(got, wanted, err_msg=name)
            else:
                wanted = np.asarray(wanted, dtype=np.float64)
                atol = TOLERANCE * max(1.0, np.abs(wanted).max())
                np.testing.assert_allclose(got, wanted, rtol=0, atol=atol, err_msg=name)
    return outputs


def fitted(estimator, X, y=None):
    """Return a fitted clone, whatever it thinks of the labels."""
    estimator = clone(estimator)
    if "random_state" in estimator.get_params():
        estimator.set_params(random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return estimator.fit(X, y)


# ---- agreement -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "estimator",
    [
        AutoEncoderTransformer(2, network=DenseNetwork((8,), "tanh", dropout=0.1, normalization="batch"), max_iter=3),
        AutoEncoderTransformer(2, network=ConvNetwork((1, 3, 4), channels=(4,)), max_iter=3),
        AutoEncoderTransformer(2, network=LSTMNetwork((6, 2), hidden_size=4), max_iter=3),
        StackedAutoEncoder(2, pretrain_max_iter=1, **SMALL),  # of tied weights
        VariationalAutoEncoder(2, bound="importance_weighted", n_draws=2, **SMALL),
        AutoEncoderOutlierDetector(n_estimators=6),  # two bags of rows of two sizes
    ],
    ids=["dense", "convolutional", "LSTM", "tied", "variational", "detector"],
)
def test_agrees_with_skae(estimator, X, tmp_path):
    estimator = fitted(estimator, X)
    export_onnx(estimator, tmp_path / "x.onnx")
    assert_agrees(tmp_path / "x.onnx", estimator, X)


LONG = [
    *ESTIMATORS,
    *[
        AutoEncoderTransformer(2, network=network, loss=loss, max_iter=3)
        for network in (
            DenseNetwork((8,), "gelu", normalization="layer", output_activation="sigmoid"),
            ConvNetwork((1, 3, 4), (4, 3), activation="silu", down="pool", up="upsample"),
            LSTMNetwork((6, 2), 4, n_layers=2),
            MemoryNetwork(),
        )
        for loss in ("huber", "absolute_error")
    ],
    *[
        make(2, loss="binary_cross_entropy", **SMALL)
        for make in (SparseAutoEncoder, VariationalAutoEncoder, ConditionalVariationalAutoEncoder)
    ],
    *[
        AutoEncoderOutlierDetector(autoencoder, error=error, novelty=novelty)
        for autoencoder in (None, DenoisingAutoEncoder(2, **SMALL))
        for error in ("auto", "squared_error", "absolute_error", "whitened")
        for novelty in (False, True)
    ],
    AutoEncoderOutlierDetector(AutoEncoderTransformer(2, network=ConvNetwork((1, 3, 4), (4,))), n_estimators=3),
    AutoEncoderOutlierDetector(VariationalAutoEncoder(2, n_draws=2, **SMALL), n_estimators=2),
]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_from_a_gpu(X, tmp_path):
    estimator = fitted(AutoEncoderOutlierDetector(AutoEncoderTransformer(2, device="cuda", **SMALL)), X)
    export_onnx(estimator, tmp_path / "x.onnx")
    assert_agrees(tmp_path / "x.onnx", estimator, X)


@pytest.mark.long
@pytest.mark.parametrize("estimator", LONG, ids=range(len(LONG)))
def test_every_estimator_agrees(estimator, X, tmp_path):
    estimator = fitted(estimator, X, np.where(X[:, 0] > np.median(X[:, 0]), "high", "low"))
    export_onnx(estimator, tmp_path / "x.onnx")
    assert_agrees(tmp_path / "x.onnx", getattr(estimator, "best_estimator_", estimator), X)


def test_holes_of_numbers(X, tmp_path):
    autoencoder = DenoisingAutoEncoder(2, **SMALL)
    # each member knows its own means
    estimator = fitted(AutoEncoderOutlierDetector(autoencoder, error="whitened", n_estimators=2), X)
    export_onnx(estimator, tmp_path / "x.onnx")
    rows = np.where(np.random.default_rng(1).uniform(size=X.shape) < 0.2, np.nan, X)
    assert_agrees(tmp_path / "x.onnx", estimator, rows)


@pytest.mark.parametrize("classes", [["no", "yes"], [3, 7]])
def test_classes(classes, X, tmp_path):
    y = np.array(classes)[(X[:, 0] > np.median(X[:, 0])).astype(int)]
    classifier = fitted(StackedAutoEncoderClassifier(2, pretrain_max_iter=1, **SMALL), X, y)
    export_onnx(classifier, tmp_path / "x.onnx")
    outputs = assert_agrees(tmp_path / "x.onnx", classifier, X)
    assert {*outputs} == {"code", "probabilities", "label"}


def test_a_conditional_autoencoder_in_a_pipeline(X, tmp_path):
    y = np.where(X[:, 0] > np.median(X[:, 0]), "high", "low")
    cvae = ConditionalVariationalAutoEncoder(2, loss="binary_cross_entropy", n_draws=2, **SMALL)
    pipeline = Pipeline([("to [0, 1]", MinMaxScaler(clip=True)), ("nothing", "passthrough"), ("cvae", cvae)])
    pipeline.fit(1e3 * X + 1e5, y)  # far from 0: scaled in float64
    export_onnx(pipeline, tmp_path / "x.onnx")
    outputs = assert_agrees(tmp_path / "x.onnx", pipeline, 1e3 * X + 1e5)
    assert {*outputs} == {*METHODS} - {"decision"}


def test_a_search_over_a_pipeline_of_a_detector(X, tmp_path):
    detector = AutoEncoderOutlierDetector(AutoEncoderTransformer(2, **SMALL), error="squared_error", novelty=True)
    pipeline = make_pipeline(make_pipeline(StandardScaler()), RobustScaler(), detector)
    search = GridSearchCV(
        pipeline, {"autoencoderoutlierdetector__contamination": [0.1]}, cv=2, scoring=lambda estimator, X, y=None: 0.0
    ).fit(X)
    export_onnx(search, tmp_path / "x.onnx", threshold_input=True)
    best = search.best_estimator_
    outputs = run(tmp_path / "x.onnx", X=X, threshold=np.array(0.01))
    np.testing.assert_allclose(outputs["score"], best.score_samples(X), rtol=0, atol=TOLERANCE)
    np.testing.assert_allclose(outputs["decision"], best.score_samples(X) + 0.01, rtol=0, atol=TOLERANCE)
    np.testing.assert_array_equal(outputs["label"], np.where(outputs["decision"] < 0, -1, 1))


@pytest.mark.parametrize(
    "estimator",
    [
        DenoisingAutoEncoder(3, **SMALL),
        AutoEncoderOutlierDetector(n_estimators=2, max_samples=0.5),
        pytest.param(AutoEncoderOutlierDetector(), marks=pytest.mark.long),
        pytest.param(DenoisingAutoEncoder(3, corruption="masking", **SMALL), marks=pytest.mark.long),
        pytest.param(VariationalAutoEncoder(2, n_draws=2, **SMALL), marks=pytest.mark.long),
        pytest.param(AutoEncoderOutlierDetector(novelty=True), marks=pytest.mark.long),
        pytest.param(
            AutoEncoderOutlierDetector(SparseAutoEncoder(2, **SMALL), n_estimators=3, max_samples=0.5),
            marks=pytest.mark.long,
        ),
    ],
    ids=lambda estimator: type(estimator).__name__,
)
def test_tables(estimator, tables, tmp_path):
    train, new = tables
    estimator = fitted(estimator, train)
    export_onnx(estimator, tmp_path / "x.onnx")
    outputs = assert_agrees(tmp_path / "x.onnx", estimator, new, **as_inputs(new))
    assert outputs["reconstruction_city"][0] in {"Bern", "Zürich", "Genève"}


def test_an_empty_text_may_be_a_level():
    frame = pd.DataFrame({"a": ["", "x"] * 20, "b": [2, 1] * 20}).astype({"b": "category"})
    table = fitted(AutoEncoderTransformer(1, **SMALL), frame)._table
    session = onnxruntime.InferenceSession(before_network(table).SerializeToString())
    (cells,) = session.run(None, {"a": np.array(["", "x", "y"]), "b": np.array([np.nan, 1, 3])})
    np.testing.assert_array_equal(cells, [[0, np.nan], [1, 1], [2, 2]])


def test_a_frame_of_numbers_is_one_input(tmp_path):
    frame = make_table(100, np.random.default_rng(0))[["count", "metres"]]
    autoencoder = fitted(AutoEncoderTransformer(1, **SMALL), frame)
    export_onnx(autoencoder, tmp_path / "x.onnx")
    got = run(tmp_path / "x.onnx", X=frame.to_numpy(dtype=np.float64))["reconstruction"]
    np.testing.assert_allclose(got, autoencoder.reconstruct(frame), atol=1e-4)
    assert (got[:, 0] % 1 == 0).all()  # the column held integers


# ---- the file ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def detector(X):
    """Return a small detector of rows of 12 features."""
    return fitted(AutoEncoderOutlierDetector(StackedAutoEncoder(2, pretrain_max_iter=0, **SMALL)), X)


@pytest.fixture(scope="module")
def path(detector, tmp_path_factory):
    """Return its file."""
    path = tmp_path_factory.mktemp("detector") / "x.onnx"
    export_onnx(detector, str(path))
    return path


def test_the_file_says_what_it_is(path):
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    assert {opset.domain: opset.version for opset in model.opset_import} == {"": 18}
    assert [value.name for value in model.graph.input] == ["X"]
    assert {value.name for value in model.graph.output} == {"reconstruction", "score", "decision", "label"}
    about = {entry.key: json.loads(entry.value) for entry in model.metadata_props}
    assert about == {"estimator": "AutoEncoderOutlierDetector", "features": [f"x{j}" for j in range(12)]}
    assert model.producer_name == "skae"


def test_the_export_leaves_no_trace(detector, X, tmp_path, capfd):
    detector.autoencoder_.encoder_.train()
    before = detector.score_samples(X), torch.get_rng_state()
    level, modules = logging.getLogger("torch").level, detector.autoencoder_.encoder_
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("error")
        export_onnx(detector, tmp_path / "x.onnx")
    assert capfd.readouterr() == ("", "")
    assert detector.autoencoder_.encoder_ is modules
    np.testing.assert_array_equal(detector.score_samples(X), before[0])
    assert torch.equal(torch.get_rng_state(), before[1])
    assert logging.getLogger("torch").level == level
    assert [path.name for path in tmp_path.iterdir()] == ["x.onnx"]
    assert str(Path(torch.__file__).parent).encode() not in (tmp_path / "x.onnx").read_bytes()


def test_a_failure_leaves_the_earlier_file(detector, tmp_path, monkeypatch):
    (tmp_path / "x.onnx").write_bytes(b"earlier")

    def fail(source, target):
        raise OSError("disk is full")

    monkeypatch.setattr("pathlib.Path.replace", fail)
    with pytest.raises(OSError, match="disk is full"):
        export_onnx(detector, tmp_path / "x.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["x.onnx"]
    assert (tmp_path / "x.onnx").read_bytes() == b"earlier"


# ---- what cannot be exported ---------------------------------------------------------------------------------


@pytest.mark.parametrize("estimator", [SparseAutoEncoder(), AutoEncoderOutlierDetector(), ESTIMATORS[-1]])
def test_the_estimator_must_be_fitted(estimator, tmp_path):
    for unfitted in (clone(estimator), make_pipeline(StandardScaler(), clone(estimator))):
        with pytest.raises(NotFittedError):
            export_onnx(unfitted, tmp_path / "x.onnx")


def test_the_last_step_must_be_one_of_skae(X, tmp_path):
    with pytest.raises(TypeError, match="got StandardScaler"):
        export_onnx(make_pipeline(AutoEncoderTransformer(2, **SMALL), StandardScaler()).fit(X), tmp_path / "x.onnx")


def test_a_search_must_have_refitted(X, tmp_path):
    search = clone(ESTIMATORS[-1]).set_params(refit=False).fit(X)
    with pytest.raises(ValueError, match="refit=False"):
        export_onnx(search, tmp_path / "x.onnx")


def test_only_a_detector_has_a_threshold(X, tmp_path):
    with pytest.raises(ValueError, match="needs a detector"):
        export_onnx(fitted(AutoEncoderTransformer(2, **SMALL), X), tmp_path / "x.onnx", threshold_input=True)


def test_a_step_without_an_onnx_form_is_named(X, tmp_path):
    pipeline = make_pipeline(FunctionTransformer(np.log1p), AutoEncoderTransformer(2, **SMALL)).fit(X)
    with pytest.raises(ValueError, match=r"Step 'functiontransformer'.* has no ONNX form"):
        export_onnx(pipeline, tmp_path / "x.onnx")


class Branching(nn.Linear):
    """Does something else with another batch."""

    def forward(self, x):
        """(B, n_in) -> (B, n_out)."""
        return super().forward(x) if x.sum() > 0 else super().forward(-x)


def branching(n_features, n_components):
    return Branching(n_features, n_components), nn.Linear(n_components, n_features)


class FixedBatch(nn.Linear):
    """Takes one number of rows only, when it is traced."""

    def forward(self, x):
        """(B, n_in) -> (B, n_out)."""
        return super().forward(x.reshape(int(x.shape[0]), -1)) * (2 if x.shape[0] == 2 else 1)


def fixed_batch(n_features, n_components):
    return FixedBatch(n_features, n_components), nn.Linear(n_components, n_features)


@pytest.mark.parametrize("network", [branching, fixed_batch])
def test_modules_that_cannot_be_traced(network, X, tmp_path):
    autoencoder = fitted(AutoEncoderTransformer(2, network=network, max_iter=1), X)
    with pytest.raises(ValueError, match="torch cannot export AutoEncoderTransformer"):
        export_onnx(autoencoder, tmp_path / "x.onnx")


def test_levels_of_several_types(tmp_path):
    frame = pd.DataFrame({"a": np.arange(40.0), "b": [1, "one"] * 20})
    with pytest.raises(ValueError, match="'b' has levels"):
        export_onnx(fitted(AutoEncoderTransformer(2, **SMALL), frame), tmp_path / "x.onnx")


def test_a_column_with_the_name_of_an_output(tmp_path):
    frame = pd.DataFrame({"score": np.arange(40.0), "b": ["two", "one"] * 20})
    with pytest.raises(ValueError, match=r"\['score'\].*rename"):
        export_onnx(fitted(AutoEncoderTransformer(2, **SMALL), frame), tmp_path / "x.onnx")


def test_missing_packages_are_named(detector, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ImportError, match=r"skae\[onnx\]"):
        export_onnx(detector, tmp_path / "x.onnx")


# ---- the service ---------------------------------------------------------------------------------------------

SERVICE = Path(__file__).parents[1] / "examples" / "onnx_service.py"


def test_the_service_needs_onnxruntime_alone():
    tree = ast.parse(SERVICE.read_text())
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert names == {"json", "sys", "http.server", "numpy", "onnxruntime"}
    code = [line for line in SERVICE.read_text().splitlines() if line.strip()]
    assert len(code) <= 20


def test_the_service_answers(detector, path, X):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen([sys.executable, SERVICE, path, str(port)], stderr=subprocess.DEVNULL)
    try:
        request = urllib.request.Request(f"http://127.0.0.1:{port}", json.dumps(X[:3].tolist()).encode())
        for _ in range(100):
            try:
                answer = json.load(urllib.request.urlopen(request, timeout=10))
                break
            except OSError:  # it is still starting
                assert process.poll() is None
                time.sleep(0.2)
    finally:
        process.terminate()
        process.wait()
    np.testing.assert_allclose(answer["score"], detector.score_samples(X[:3]), rtol=0, atol=TOLERANCE)
    np.testing.assert_allclose(answer["decision"], detector.decision_function(X[:3]), rtol=0, atol=TOLERANCE)
