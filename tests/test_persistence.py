"""Estimators come back from their files as they were, and nothing else does."""

import json
import os
import pickle
import subprocess
import sys
import warnings
from pathlib import Path
from zipfile import BadZipFile

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import skops.io
import torch
from catalogue import AUTOENCODERS, CLASSIFIERS, DETECTORS, SEARCHES
from hostile_files import changed_file, invalid_file, parts, with_hash
from sklearn.base import clone
from sklearn.exceptions import InconsistentVersionWarning
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

import skae
from skae import (
    AdversarialAutoEncoder,
    AutoEncoderOutlierDetector,
    AutoEncoderTransformer,
    ConditionalVariationalAutoEncoder,
    DenoisingAutoEncoder,
    SparseAutoEncoder,
    StackedAutoEncoderClassifier,
    VariationalAutoEncoder,
    load,
    save,
)
from skae.networks import ConvNetwork, DenseNetwork, LSTMNetwork, MemoryNetwork, ModuleNetwork
from skae.persistence import ArtifactError, read_artifact, register_with_skops, write_artifact

SHORT = {"max_iter": 1, "random_state": 0}
X = np.random.default_rng(0).uniform(size=(60, 2)) @ np.random.default_rng(1).uniform(size=(2, 16)) / 2
y = np.array(["low", "high"])[(X[:, 0] > np.median(X[:, 0])).astype(int)]


def small(estimator):
    """Return a clone that is trained briefly."""
    short = {name: 1 for name in estimator.get_params() if name.endswith("max_iter")}
    return clone(estimator).set_params(**short, random_state=0)


def frame(n=60):
    """Return a frame with every kind of column that a table may have."""
    rng = np.random.default_rng(0)
    text = rng.choice(["a", "b", "ç"], n)
    levels = ["mid", "lo", "hi"]
    X = pd.DataFrame(
        {
            "number": np.where(rng.random(n) < 0.1, np.nan, rng.normal(size=n)),
            "float32": rng.normal(size=n).astype(np.float32),
            "integer": rng.integers(0, 5, n),
            "bool": rng.random(n) < 0.5,
            "text": text,
            "object": pd.Series(rng.choice(np.array(["x", 1, 2.5, True, b"q"], dtype=object), n), dtype=object),
            "category": pd.Categorical(rng.choice(levels, n), categories=levels),
            "same levels": pd.Categorical(rng.choice(levels, n), categories=levels[::-1]),
            "ordered": pd.Categorical(rng.choice(levels, n), categories=levels, ordered=True),
            "interval": pd.cut(rng.normal(size=n), 3),
            "day": pd.Categorical(rng.choice(pd.date_range("2020-01-01", periods=3), n)),
            "Int64": pd.array(rng.integers(0, 5, n), dtype="Int64"),
            "boolean": pd.array(rng.random(n) < 0.5, dtype="boolean"),
            "string": pd.array(text, dtype="string"),
            "int64[pyarrow]": pd.array(rng.integers(0, 5, n), dtype="int64[pyarrow]"),
            "arrow": pd.array(text, dtype=pd.ArrowDtype(pa.string())),
            "many": rng.choice([f"level {i}" for i in range(40)], n),
        }
    )
    X.loc[3, ["text", "Int64", "boolean", "string"]] = pd.NA
    return X


def polars_frame(n=60):
    X = pl.from_dict(frame(n)[["number", "integer", "bool"]].to_dict("list"))
    text = pl.Series("text", np.random.default_rng(0).choice(["a", "b"], n).tolist())
    kinds = {"category": pl.Categorical, "enum": pl.Enum(["b", "a"]), "text": pl.String}
    return X.with_columns([text.cast(kind).alias(name) for name, kind in kinds.items()])


def assert_same(a, b):
    if isinstance(a, pd.DataFrame):
        pd.testing.assert_frame_equal(a, b)
    elif isinstance(a, pl.DataFrame):
        assert a.schema == b.schema
        assert a.equals(b)
    else:
        np.testing.assert_array_equal(a, b)


def assert_same_estimator(a, b, X):
    """Compare all that two estimators compute and hold."""
    assert type(a) is type(b)
    assert vars(a).keys() == vars(b).keys()
    assert {k for k, v in a.get_params().items() if repr(v) != repr(b.get_params()[k])} == set()
    for name in ("transform", "reconstruct", "score_samples", "predict", "predict_proba", "explain"):
        if hasattr(a, name) and not (name == "explain" and a.error == "auto" and is_variational(a.autoencoder)):
            assert_same(getattr(a, name)(X), getattr(b, name)(X))
    for name in ("loss_curve_", "n_iter_", "best_epoch_", "classes_", "threshold_", "feature_names_in_"):
        if hasattr(a, name):
            assert_same(getattr(a, name), getattr(b, name))


def is_variational(autoencoder):
    return isinstance(autoencoder, VariationalAutoEncoder | ConditionalVariationalAutoEncoder)


@pytest.fixture
def through_file(tmp_path):
    """Save and load."""

    def through(estimator, **code):
        save(estimator, tmp_path / "a.skae")
        assert os.listdir(tmp_path) == ["a.skae"]
        return load(tmp_path / "a.skae", **code)

    return through


# ---- what comes back -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("estimator", AUTOENCODERS + CLASSIFIERS + DETECTORS, ids=repr)
def test_every_estimator_comes_back(estimator, through_file):
    assert repr(through_file(estimator)) == repr(estimator)  # unfitted
    fitted = small(estimator).fit(X, None if estimator in DETECTORS else y)
    assert_same_estimator(fitted, through_file(fitted), X)


@pytest.mark.parametrize(
    "network",
    [
        ConvNetwork((1, 4, 4), (3, 2)),
        ConvNetwork((1, 4, 4), [3], down="pool", up="upsample"),
        LSTMNetwork((16, 1), 3, n_layers=2),
        MemoryNetwork(0.5),
        DenseNetwork((4,), dropout=0.1, normalization="layer", tied_weights=True),
    ],
    ids=repr,
)
def test_every_network_comes_back(network, through_file):
    fitted = DenoisingAutoEncoder(2, network=network, **SHORT).fit(X)
    loaded = through_file(fitted)
    assert_same_estimator(fitted, loaded, X)
    strides = [p.stride() for p in fitted.decoder_.parameters()]
    assert [p.stride() for p in loaded.decoder_.parameters()] == strides  # convolutions with the channels last
    assert not loaded.encoder_.training


def test_tied_weights_stay_tied(through_file):
    fitted = AutoEncoderTransformer(2, network=DenseNetwork((4,), tied_weights=True), **SHORT).fit(X)
    loaded = through_file(fitted)
    names = [[name for name, _ in e._network.named_parameters()] for e in (fitted, loaded)]
    assert names[0] == names[1]
    assert_same_estimator(fitted.partial_fit(X), loaded.partial_fit(X), X)


@pytest.mark.parametrize(
    "estimator",
    [
        AutoEncoderTransformer(2, **SHORT),
        DenoisingAutoEncoder(2, corruption="masking", **SHORT),
        DenoisingAutoEncoder(2, network=MemoryNetwork(), **SHORT),
        SparseAutoEncoder(2, **SHORT),
        VariationalAutoEncoder(2, **SHORT),
        AutoEncoderOutlierDetector(AutoEncoderTransformer(2, **SHORT)),
        AutoEncoderOutlierDetector(n_estimators=4, random_state=0),
        AutoEncoderOutlierDetector(n_estimators=2, novelty=True, random_state=0),
    ],
    ids=repr,
)
@pytest.mark.parametrize("rows", [frame(), polars_frame()], ids=["pandas", "polars"])
def test_tables_come_back(estimator, rows, through_file):
    fitted = clone(estimator).fit(rows)
    loaded = through_file(fitted)
    assert_same_estimator(fitted, loaded, rows)
    if hasattr(fitted, "partial_fit"):
        assert_same(fitted.inverse_transform(fitted.transform(rows)), loaded.inverse_transform(loaded.transform(rows)))


def test_arrays_of_categories_come_back(through_file):
    for rows in (frame()[["text", "object"]].to_numpy(dtype=object), frame()[["bool", "many"]].to_numpy(dtype=str)):
        fitted = AutoEncoderTransformer(2, categorical_features=[0, 1], **SHORT).fit(rows)
        assert_same(fitted.reconstruct(rows), through_file(fitted).reconstruct(rows))


@pytest.mark.parametrize("error", ["auto", "squared_error", "absolute_error", "whitened"])
def test_detectors_go_on(error, through_file):
    model = DenoisingAutoEncoder(2, **SHORT)
    fitted = AutoEncoderOutlierDetector(model, error=error, n_estimators=3, max_samples=0.5, random_state=0).fit(X)
    loaded = through_file(fitted)
    assert_same_estimator(fitted, loaded, X)
    assert_same(fitted.p_values(X), loaded.p_values(X))
    for settings in ({"threshold": "median+3*mad"}, {"contamination": 0.2}):
        assert fitted.set_threshold(**settings).threshold_ == loaded.set_threshold(**settings).threshold_
    assert_same_estimator(clone(fitted).fit(X), loaded.fit(X), X)


@pytest.mark.parametrize("estimator", AUTOENCODERS + CLASSIFIERS, ids=repr)
def test_training_goes_on_as_if_there_had_been_no_file(estimator, through_file):
    fitted = small(estimator).partial_fit(X, y)
    loaded = through_file(fitted)
    assert_same_estimator(fitted.partial_fit(X, y), loaded.partial_fit(X, y), X)


def test_holes_after_training_come_back(through_file):
    with_hole = X.copy()
    with_hole[3, 1] = np.nan
    fitted = AutoEncoderTransformer(2, **SHORT).partial_fit(X).partial_fit(with_hole)
    assert_same_estimator(fitted, through_file(fitted), with_hole)


def test_a_fit_is_not_changed_by_later_parameters(through_file):
    fitted = AutoEncoderTransformer(2, **SHORT).fit(X).set_params(n_components=7, hidden_layer_sizes=[3])
    loaded = through_file(fitted)
    assert_same(fitted.transform(X), loaded.transform(X))
    assert loaded.get_params() == fitted.get_params()
    with pytest.raises(ValueError, match="n_components=7 differs from 2"):
        loaded.partial_fit(X)


def test_draws_come_back(through_file):
    for estimator in (
        VariationalAutoEncoder(2, **SHORT),
        AdversarialAutoEncoder(2, prior="swiss_roll", **SHORT),
        ConditionalVariationalAutoEncoder(2, **SHORT),
    ):
        fitted = estimator.fit(X, y)
        for drawn, drawn_again in zip(fitted.sample(4), through_file(fitted).sample(4), strict=True):
            assert_same(drawn, drawn_again)


def test_parameters_of_every_type_come_back(through_file):
    state = np.random.RandomState(3)
    state.normal()
    parameters = {
        "hidden_layer_sizes": np.array([3, 4]),
        "alpha": np.float32(0.1),
        "n_components": np.int64(2),
        "tol": 0.1 + 0.2,
        "random_state": state,
        "categorical_features": ["a", "ü"],
    }
    loaded = through_file(AutoEncoderTransformer(**parameters))
    for name, value in parameters.items():
        assert type(getattr(loaded, name)) is type(value)
        if name != "random_state":
            assert_same(getattr(loaded, name), value)
    assert loaded.random_state.normal() == state.normal()


def test_output_of_frames_comes_back(through_file):
    fitted = AutoEncoderTransformer(2, **SHORT).set_output(transform="pandas").fit(frame())
    assert_same(fitted.transform(frame()), through_file(fitted).transform(frame()))


def test_members_share_the_layout_of_a_bag(through_file):
    loaded = through_file(AutoEncoderOutlierDetector(n_estimators=3, novelty=True, random_state=0).fit(frame()))
    members = loaded.autoencoder_.autoencoders_
    assert len({id(member._given_layout) for member in members}) == 1
    assert all(member._given_layout is member._layout for member in members)


def test_a_loaded_network_can_be_trained_whatever_the_modes_of_the_caller(tmp_path):
    fitted = AutoEncoderTransformer(2, **SHORT).partial_fit(X)
    with torch.inference_mode(), torch.device("meta"):
        save(fitted, tmp_path / "a.skae")
        loaded = load(tmp_path / "a.skae")
    assert_same_estimator(fitted.partial_fit(X), loaded.partial_fit(X), X)


def test_training_data_comes_back(tmp_path):
    training = {
        "epoch": 3,
        "states": [[torch.zeros(2, 3), torch.tensor(1.0)], (1, 2.5, -float("inf"))],
        "generator": torch.get_rng_state(),
        "losses": np.arange(3.0),
        1: {"nested": None, "text": "ü", "flag": True},
    }
    write_artifact(tmp_path / "a.skae", AutoEncoderTransformer(), training)
    estimator, read = read_artifact(tmp_path / "a.skae")
    assert isinstance(estimator, AutoEncoderTransformer)
    assert read.keys() == training.keys()
    assert torch.equal(read["states"][0][0], training["states"][0][0])
    assert read["states"][1] == training["states"][1]
    assert torch.equal(read["generator"], training["generator"])
    assert_same(read["losses"], training["losses"])
    assert read[1] == training[1]


# ---- code of the user's --------------------------------------------------------------------------------------


def two_layers(n_features, n_components):
    return nn.Sequential(nn.Linear(n_features, n_components), nn.BatchNorm1d(n_components)), nn.Linear(
        n_components, n_features
    )


def lazy(n_features, n_components):
    return nn.LazyLinear(n_components), nn.LazyLinear(n_features)


class OwnSpecification:
    """A specification that is not one of skae's."""

    def build(self, rows, n_components, random, logits):
        return ModuleNetwork(*two_layers(rows.n_features, n_components))


def halve(batch, generator):
    return batch / 2


def around_two(n, n_components, generator):
    return 2 + torch.randn(n, n_components, generator=generator, device=generator.device)


@pytest.mark.parametrize("network", [two_layers, lazy, OwnSpecification()], ids=["function", "lazy", "specification"])
@pytest.mark.parametrize("cls", [AutoEncoderTransformer, VariationalAutoEncoder, AdversarialAutoEncoder])
def test_own_networks_come_from_the_caller(cls, network, through_file):
    fitted = cls(2, network=network, **SHORT).fit(X)
    loaded = through_file(fitted, network=network)
    assert loaded.network is network
    assert_same_estimator(fitted, loaded, X)
    with pytest.raises(ArtifactError, match=r"load\(path, network=\.\.\.\)"):
        through_file(fitted)
    with pytest.raises(ArtifactError, match="network"):
        through_file(fitted, network=lambda n, k: two_layers(n, 10**9))


def test_own_functions_come_from_the_caller(through_file):
    detector = AutoEncoderOutlierDetector(DenoisingAutoEncoder(2, corruption=halve, **SHORT), n_estimators=3)
    fitted = detector.fit(X)
    assert_same_estimator(fitted, through_file(fitted, corruption=halve), X)
    with pytest.raises(ArtifactError, match="corruption"):
        through_file(fitted)
    sampler = AdversarialAutoEncoder(2, prior=around_two, **SHORT).fit(X)
    assert_same(sampler.sample(3), through_file(sampler, prior=around_two).sample(3))


def test_code_that_is_not_asked_for_is_refused(through_file):
    with pytest.raises(ArtifactError, match="load it without network="):
        through_file(AutoEncoderTransformer(2, **SHORT).fit(X), network=two_layers)


def test_what_could_not_be_loaded_is_not_saved(tmp_path):
    with pytest.raises(ValueError, match="'tol' parameter"):
        save(AutoEncoderTransformer(tol=-1), tmp_path / "a.skae")
    assert os.listdir(tmp_path) == []


def test_what_cannot_be_saved_is_named(tmp_path):
    class Own(AutoEncoderTransformer):
        pass

    path = tmp_path / "a.skae"
    own = AutoEncoderTransformer()
    own.note = "mine"
    for estimator, message in [
        (SEARCHES[0], "best_estimator_"),
        (make_pipeline(StandardScaler(), AutoEncoderTransformer()), "register_with_skops"),
        (Own(), "not Own"),
        (own, "attribute 'note', which is none"),
        (AutoEncoderTransformer(hidden_layer_sizes=range(3)), "hidden_layer_sizes of AutoEncoderTransformer"),
    ]:
        with pytest.raises(TypeError, match=message):
            save(estimator, path)
    assert os.listdir(tmp_path) == []


# ---- what does not -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory):
    """The bytes of files of several estimators."""
    sizes = {"hidden_layer_sizes": (4,), **SHORT}
    state = np.random.RandomState(0)
    estimators = [
        AutoEncoderTransformer(2, **sizes).partial_fit(X),
        AutoEncoderTransformer(2, network=ConvNetwork((1, 4, 4), (3,)), **SHORT).fit(X),
        AutoEncoderTransformer(2, network=LSTMNetwork((16, 1), 3, 2), **SHORT).fit(X),
        ConditionalVariationalAutoEncoder(2, **sizes).fit(X, y),
        AdversarialAutoEncoder(2, discriminator_layer_sizes=(4,), **sizes).partial_fit(X),
        StackedAutoEncoderClassifier(2, pretrain_max_iter=1, **sizes).fit(X, y),
        SparseAutoEncoder(2, network=DenseNetwork((3,), normalization="batch"), max_iter=1, random_state=state).fit(X),
        AutoEncoderOutlierDetector(VariationalAutoEncoder(2, **sizes), error="whitened", n_estimators=2).fit(X),
        AutoEncoderOutlierDetector(novelty=True, n_estimators=2, random_state=0).fit(frame()),
        DenoisingAutoEncoder(2, **sizes).fit(frame()),
    ]
    path = tmp_path_factory.mktemp("artifacts") / "a.skae"
    saved = []
    for estimator in estimators:
        save(estimator, path)
        saved.append(path.read_bytes())
    return saved


def test_files_that_describe_no_estimator_are_refused(artifacts, tmp_path):
    rng = np.random.default_rng(0)
    for i in range(200):
        (tmp_path / "a.skae").write_bytes(invalid_file(artifacts[i % len(artifacts)], rng))
        with pytest.raises(ArtifactError):
            load(tmp_path / "a.skae")
    assert os.listdir(tmp_path) == ["a.skae"]


def test_any_other_file_is_refused_or_an_estimator(artifacts, tmp_path):
    rng = np.random.default_rng(0)
    n_refused = 0
    for i in range(200):
        (tmp_path / "a.skae").write_bytes(changed_file(artifacts[i % len(artifacts)], rng))
        try:
            loaded = load(tmp_path / "a.skae")
        except ArtifactError:
            n_refused += 1
        else:
            save(loaded, tmp_path / "a.skae")
    assert 100 < n_refused < 200


SCRIPT = """
import re, sys, time
from pathlib import Path
from skae import load
from skae.persistence import ArtifactError

def megabytes(name):
    return int(re.search(name + r":\\s*(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024

folder = Path(sys.argv[1])
load(folder / "valid.skae")
Path("/proc/self/clear_refs").write_text("5")  # the peak is what is held now
before, slowest = megabytes("VmRSS"), 0.0
for path in folder.glob("invalid*"):
    started = time.process_time()
    try:
        load(path)
        print("loaded", path)
    except ArtifactError:
        pass
    slowest = max(slowest, time.process_time() - started)
print(slowest, megabytes("VmHWM") - before)
"""


on_linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def seconds_and_megabytes(folder):
    """Load every file of a folder in a process of its own, where none may load."""
    run = subprocess.run([sys.executable, "-c", SCRIPT, folder], capture_output=True, text=True, check=True)
    *loaded, figures = run.stdout.splitlines()
    assert loaded == []
    print(run.stdout)
    return map(float, figures.split())


@pytest.mark.long
@on_linux
def test_a_thousand_hostile_files_take_a_second_and_200_mb_at_most(artifacts, tmp_path):
    (tmp_path / "valid.skae").write_bytes(artifacts[0])
    rng = np.random.default_rng(1)
    for i in range(1_000):
        (tmp_path / f"invalid-{i}.skae").write_bytes(invalid_file(artifacts[i % len(artifacts)], rng))
    seconds, megabytes = seconds_and_megabytes(tmp_path)
    assert seconds < 1
    assert megabytes < 200


@pytest.mark.long
@on_linux
def test_long_json_takes_a_second_and_200_mb_at_most(artifacts, tmp_path):
    (tmp_path / "valid.skae").write_bytes(artifacts[0])
    text, weights = parts(artifacts[0])
    items = ["[]", "{}", '{"tuple":[]}', '{"dict":[]}', "0.5", '"ab"', '{"scalar":["int8",1]}']
    items += ['{"array":["object",[0],[]]}', '{"index":[[],{"dtype":"|O"}]}', '{"interval":[0,1,"left"]}']
    for i, item in enumerate(items):
        n = (2**19 - len(text) - 10) // (len(item) + 1)
        changed = text.replace(b'"training":null', f'"training":[{",".join([item] * n)}]'.encode())
        (tmp_path / f"invalid-{i}.skae").write_bytes(with_hash(changed, weights))
    seconds, megabytes = seconds_and_megabytes(tmp_path)
    assert seconds < 1
    assert megabytes < 200


def test_a_large_network_takes_no_memory_before_its_shapes_are_known(artifacts, tmp_path, monkeypatch):
    allocated = []
    take = skae.persistence.networks.take_memory
    monkeypatch.setattr(skae.persistence.networks, "take_memory", lambda network: allocated.append(take(network)))
    huge = {
        0: {"hidden_layer_sizes": {"tuple": [10**9]}},
        1: {"network": specification("ConvNetwork", image_shape=[1, 4, 4], channels=[10**9])},
        2: {"network": specification("LSTMNetwork", sequence_shape=[16, 1], hidden_size=10**7)},
        4: {"discriminator_layer_sizes": 10**12},
    }
    for i, parameters in huge.items():
        text, weights = parts(artifacts[i])
        tree = json.loads(text)
        tree["estimator"]["estimator"]["parameters"] |= parameters
        (tmp_path / "a.skae").write_bytes(with_hash(json.dumps(tree).encode(), weights))
        with pytest.raises(ArtifactError, match="another network than its weights"):
            load(tmp_path / "a.skae")
    assert allocated == []


def specification(name, **parameters):
    parameters = getattr(skae.networks, name)(**parameters).get_params()
    parameters = {k: {"tuple": list(v)} if isinstance(v, tuple) else v for k, v in parameters.items()}
    record = {"class": name, "parameters": parameters, "is_fitted": False, "attributes": {}}
    return {"estimator": record | {"fixed": None, "network": None}}


@pytest.mark.parametrize(
    "name", ["os.system", "builtins.eval", "posix.system", "pickle", "__reduce__", "subprocess.Popen"]
)
def test_nothing_that_a_file_names_is_called(artifacts, tmp_path, name):
    text, weights = parts(artifacts[0])
    command = f"touch {tmp_path / 'executed'}"
    for place, value in [
        ("training", {name: [command]}),
        ("training", {"estimator": {"class": name, "parameters": {"command": command}}}),
        ("training", {"scalar": [name, command]}),
        ("training", {"dtype": name}),
        ("estimator", {name: command}),
    ]:
        (tmp_path / "a.skae").write_bytes(with_hash(json.dumps(json.loads(text) | {place: value}).encode(), weights))
        with pytest.raises(ArtifactError):
            load(tmp_path / "a.skae")
    assert os.listdir(tmp_path) == ["a.skae"]


def test_a_file_names_no_place_to_write_to(artifacts, tmp_path):
    fitted = AutoEncoderOutlierDetector(
        AutoEncoderTransformer(2, **SHORT), memory=str(tmp_path / "memory"), random_state=0
    ).fit(X)
    save(fitted, tmp_path / "a.skae")
    assert b'"memory"' not in (tmp_path / "a.skae").read_bytes()
    loaded = load(tmp_path / "a.skae")
    assert loaded.memory is None
    assert_same(loaded.score_samples(X), fitted.score_samples(X))
    text, weights = parts((tmp_path / "a.skae").read_bytes())
    tree = json.loads(text)
    tree["estimator"]["estimator"]["parameters"]["memory"] = "elsewhere"
    (tmp_path / "a.skae").write_bytes(with_hash(json.dumps(tree).encode(), weights))
    with pytest.raises(ArtifactError, match="memory"):
        load(tmp_path / "a.skae")


# ---- versions ------------------------------------------------------------------------------------------------


def test_a_newer_schema_asks_for_an_upgrade(artifacts, tmp_path, monkeypatch):
    text, weights = parts(artifacts[0])
    newer = json.loads(text) | {"schema": 2, "skae": "7.1.0", "more": []}
    (tmp_path / "a.skae").write_bytes(with_hash(json.dumps(newer).encode(), weights))
    with pytest.raises(ArtifactError, match=r"written by skae 7\.1\.0.*upgrade skae"):
        load(tmp_path / "a.skae")


def test_another_version_of_the_same_schema_loads(artifacts, tmp_path, monkeypatch):
    (tmp_path / "a.skae").write_bytes(artifacts[0])
    monkeypatch.setattr(skae, "__version__", "7.1.0")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load(tmp_path / "a.skae")


@pytest.mark.parametrize("estimator", [AutoEncoderTransformer(2), AutoEncoderOutlierDetector(), *SEARCHES], ids=repr)
def test_a_pickle_of_another_version_warns(estimator, monkeypatch, tmp_path):
    data = pickle.dumps(estimator)
    joblib.dump(estimator, tmp_path / "a.joblib")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pickle.loads(data)
    monkeypatch.setattr(skae, "__version__", "7.1.0")
    with pytest.warns(InconsistentVersionWarning, match=r"pickled by skae 0\.1\.0 .*by skae 7\.1\.0") as record:
        loaded = pickle.loads(data)
    assert record[0].filename == __file__
    assert repr(loaded) == repr(estimator)
    assert "_skae_version" not in vars(loaded)
    with pytest.warns(InconsistentVersionWarning):
        joblib.load(tmp_path / "a.joblib")


FILES = Path(__file__).parent / "files"


@pytest.mark.parametrize("path", sorted(FILES.glob("*.skae")), ids=lambda path: path.stem)
def test_files_of_every_release_load(path):
    from stored_files import ROWS

    expected = json.loads(path.with_suffix(".json").read_text())
    loaded = load(path)
    np.testing.assert_allclose(loaded.score_samples(ROWS[expected["rows"]]), expected["scores"], rtol=1e-4, atol=1e-6)


# ---- pipelines -----------------------------------------------------------------------------------------------


def test_pipelines_go_through_skops(tmp_path):
    register_with_skops()
    last = [AutoEncoderOutlierDetector(DenoisingAutoEncoder(2, **SHORT), n_estimators=2, random_state=0)]
    for steps in (
        [AutoEncoderTransformer(4, **SHORT), VariationalAutoEncoder(2, **SHORT)],
        [StackedAutoEncoderClassifier(2, pretrain_max_iter=1, **SHORT)],
        last,
    ):
        pipeline = make_pipeline(StandardScaler(), *steps).fit(X, y)
        skops.io.dump(pipeline, tmp_path / "a.skops")
        assert skops.io.get_untrusted_types(file=tmp_path / "a.skops") == []
        loaded = skops.io.load(tmp_path / "a.skops")
        assert_same_estimator(pipeline[-1], loaded[-1], pipeline[:-1].transform(X))


def test_skops_refuses_what_skae_refuses():
    register_with_skops()
    pipeline = make_pipeline(StandardScaler(), AutoEncoderTransformer(2, **SHORT)).fit(X)
    data = skops.io.dumps(pipeline)
    text, _ = parts(data[data.index(b"\x93skae") :])
    with pytest.raises(BadZipFile):
        skops.io.loads(data.replace(text, text.replace(b'"n_components":2', b'"n_components":3')))
    with pytest.raises(TypeError, match=r"network of AutoEncoderTransformer.*skae\.save"):
        skops.io.dumps(AutoEncoderTransformer(2, network=two_layers))
