"""Rows that are read as they are needed: the same results as from memory, each row once an epoch, little memory."""

import re
import threading

import hypothesis
import numpy as np
import pandas as pd
import pytest
import torch
from catalogue import AUTOENCODERS, CLASSIFIERS
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array
from sklearn.base import clone

from skae import (
    AutoEncoderOutlierDetector,
    AutoEncoderTransformer,
    ConditionalVariationalAutoEncoder,
    DenoisingAutoEncoder,
    SparseAutoEncoder,
    StackedAutoEncoderClassifier,
    VariationalAutoEncoder,
)
from skae.networks import MemoryNetwork
from skae.random import RandomStreams
from skae.tables.streams import pieces_of
from skae.training import StreamedRows, prefetched, stream_of

CPU = torch.device("cpu")
MIB = 2**20
QUICK = {"hidden_layer_sizes": (8,), "max_iter": 3, "random_state": 0}
TINY = 0.02  # MiB, which hold few of the rows below


class Batches:
    """Batches of rows, as often as they are asked for."""

    def __init__(self, X, size=70):
        self.X, self.size = X, size

    def __iter__(self):
        return (self.X[i : i + self.size] for i in range(0, len(self.X), self.size))


@pytest.fixture(scope="module")
def X():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(1500, 2)) @ rng.normal(size=(2, 6)) + 0.1 * rng.normal(size=(1500, 6))
    return rows.astype(np.float32)


@pytest.fixture
def memmap(X, tmp_path):
    path = tmp_path / "rows"
    X.tofile(path)
    return np.memmap(path, dtype=np.float32, mode="r", shape=X.shape)


@pytest.fixture
def table(X):
    kinds = np.array(["a", "b", "c"])[np.digitize(X[:, 0], [-1, 1])]
    frame = pd.DataFrame(X[:, :3], columns=["x", "y", "z"]).assign(kind=kinds, n=np.arange(len(X)) % 7)
    frame["x"] = frame["x"].mask(np.arange(len(X)) % 11 == 0)
    return frame.sort_values("kind", ignore_index=True)  # the first batches do not know all levels


def dataset(frame, folder, rows_in_group=200):
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    import pyarrow.dataset

    parquet.write_table(pa.Table.from_pandas(frame), folder / "rows.parquet", row_group_size=rows_in_group)
    return pyarrow.dataset.dataset(folder / "rows.parquet")


def as_streams(X, memmap, tmp_path):
    frame = pd.DataFrame(X, columns=[f"x{j}" for j in range(X.shape[1])])
    return {"memmap": memmap, "batches": Batches(X), "dataset": dataset(frame, tmp_path), "frames": Batches(frame)}


# ---- estimators --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("estimator", AUTOENCODERS + CLASSIFIERS, ids=lambda e: str(e)[:60])
def test_every_autoencoder_learns_as_much_from_a_stream(estimator, X, memmap):
    y = np.arange(len(X)) % 3 if isinstance(estimator, StackedAutoEncoderClassifier) else None
    settings = {"random_state": 0, "max_iter": 8}
    in_memory = clone(estimator).set_params(**settings).fit(X, y)
    for rows in (memmap, Batches(X)):
        streamed = clone(estimator).set_params(**settings, max_memory=TINY).fit(rows, y)
        assert streamed.loss_curve_[-1] == pytest.approx(in_memory.loss_curve_[-1], rel=0.1, abs=0.05)
        np.testing.assert_allclose(streamed.transform(rows), streamed.transform(X), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["memmap", "batches", "dataset", "frames"])
def test_every_kind_of_stream_is_read(kind, X, memmap, tmp_path):
    rows = as_streams(X, memmap, tmp_path)[kind]
    autoencoder = AutoEncoderTransformer(2, max_memory=TINY, **QUICK).fit(rows)
    in_memory = AutoEncoderTransformer(2, **QUICK).fit(X)
    assert autoencoder.loss_curve_[-1] == pytest.approx(in_memory.loss_curve_[-1], rel=0.2)
    scores = autoencoder.score_samples(rows)
    assert scores.shape == (len(X),)
    plain = X if kind in ("memmap", "batches") else pd.DataFrame(X, columns=autoencoder.feature_names_in_)
    np.testing.assert_allclose(scores, autoencoder.score_samples(plain), rtol=1e-4)
    assert autoencoder.score(rows) == pytest.approx(scores.mean())
    np.testing.assert_allclose(
        np.asarray(autoencoder.reconstruct(rows)), np.asarray(autoencoder.reconstruct(plain)), rtol=1e-4, atol=1e-5
    )


def test_in_their_order_and_one_batch_they_train_the_same_network(X):
    # all rows in one batch: their order does not matter
    settings = {**QUICK, "batch_size": len(X), "max_iter": 10}
    streamed = AutoEncoderTransformer(2, **settings).fit(Batches(X))
    in_memory = AutoEncoderTransformer(2, **settings).fit(X)
    np.testing.assert_allclose(streamed.loss_curve_, in_memory.loss_curve_, rtol=1e-5)
    np.testing.assert_allclose(streamed.transform(X), in_memory.transform(X), rtol=1e-3, atol=1e-4)


def test_partial_fit_on_batches_is_an_epoch_of_fit(X):
    # batches of the same location and scale, in their order, at a constant rate
    rows, signs = np.concatenate([X[:32], -X[:32]]), np.random.default_rng(0).choice([-1, 1], size=(4, 6))
    batches = [rows * sign.astype(np.float32) for sign in signs]
    settings = {**QUICK, "batch_size": 64, "shuffle": False, "learning_rate": "constant", "max_iter": 1}
    whole = AutoEncoderTransformer(2, **settings).fit(np.concatenate(batches))
    streamed = AutoEncoderTransformer(2, **settings).fit(Batches(np.concatenate(batches), 64))
    partial = AutoEncoderTransformer(2, **settings)
    for batch in batches:
        partial.partial_fit(batch)
    batchwise = AutoEncoderTransformer(2, **settings).partial_fit(Batches(np.concatenate(batches), 64))
    for other in (streamed, partial, batchwise):
        for a, b in zip(whole.encoder_.parameters(), other.encoder_.parameters(), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


def test_the_same_seed_gives_the_same_bits(memmap):
    first, second = (DenoisingAutoEncoder(2, max_memory=TINY, **QUICK).fit(memmap) for _ in range(2))
    assert first.loss_curve_ == second.loss_curve_


@pytest.mark.parametrize("source", ["dataset", "frames"])
def test_tables_are_learned_batch_by_batch(source, table, tmp_path):
    rows = dataset(table, tmp_path) if source == "dataset" else Batches(table)
    streamed = DenoisingAutoEncoder(2, max_memory=TINY, **QUICK).fit(rows)
    in_memory = DenoisingAutoEncoder(2, **QUICK).fit(table)
    assert list(streamed._table.columns[3].levels) == list(in_memory._table.columns[3].levels) == ["a", "b", "c"]
    np.testing.assert_allclose(streamed._layout.means, in_memory._layout.means, rtol=1e-6)
    np.testing.assert_allclose(streamed._layout.frequencies[0], in_memory._layout.frequencies[0])
    assert streamed._layout.scale == pytest.approx(in_memory._layout.scale)
    assert streamed._layout.flags == in_memory._layout.flags
    np.testing.assert_allclose(streamed.score_samples(rows), streamed.score_samples(table), rtol=1e-4)
    reconstructed = streamed.reconstruct(rows)
    assert list(reconstructed.dtypes) == list(table.dtypes)
    assert not reconstructed.isna().any(axis=None)


def test_a_filtered_dataset_keeps_its_filter(X, tmp_path):
    import pyarrow.compute as pc

    rows = dataset(pd.DataFrame(X[:, :2], columns=["a", "b"]), tmp_path).filter(pc.field("a") > 0)
    assert len(AutoEncoderTransformer(1, **QUICK).fit(rows).score_samples(rows)) == (X[:, 0] > 0).sum()


def test_labels_and_clean_rows_go_with_their_rows(X, memmap):
    y = np.where(np.arange(len(X)) % 5 == 0, (X[:, 0] > 0).astype(int), -1)
    classifier = StackedAutoEncoderClassifier(8, max_memory=TINY, **QUICK | {"max_iter": 20}).fit(memmap, y)
    assert classifier.score(X, X[:, 0] > 0) > 0.9
    conditional = ConditionalVariationalAutoEncoder(2, max_memory=TINY, **QUICK | {"max_iter": 10}).fit(memmap, y)
    assert np.mean(conditional.predict(X) == (X[:, 0] > 0)) > 0.85
    noisy = X + np.random.default_rng(1).normal(size=X.shape).astype(np.float32)
    denoiser = DenoisingAutoEncoder(2, max_memory=TINY, **QUICK | {"max_iter": 20}).fit(Batches(noisy), memmap)
    assert np.square(denoiser.predict(noisy) - X).mean() < 0.5 * np.square(noisy - X).mean()


def test_held_out_rows_are_not_trained_on(memmap, monkeypatch):
    seen = []
    epoch, validation = StreamedRows.epoch, StreamedRows.validation

    def noting(function):
        def call(self, *args):
            for item in function(self, *args):
                batch = item[0] if function is epoch else item
                seen.append((function is epoch, batch.x[0].numpy().copy()))
                yield item

        return call

    monkeypatch.setattr(StreamedRows, "epoch", noting(epoch))
    monkeypatch.setattr(StreamedRows, "validation", noting(validation))
    AutoEncoderTransformer(2, early_stopping=True, max_memory=0.05, **QUICK | {"max_iter": 1}).fit(memmap)
    trained, held_out = (np.concatenate([rows for kind, rows in seen if kind is which]) for which in (True, False))
    assert len(held_out) == 150
    together = np.concatenate([trained, held_out])
    np.testing.assert_array_equal(np.sort(together, axis=0), np.sort(memmap, axis=0))


@pytest.mark.parametrize(
    "settings", [{}, {"novelty": True}, {"autoencoder": VariationalAutoEncoder(2, **QUICK)}], ids=str
)
def test_detectors_take_streams(settings, X, memmap):
    outliers = np.random.default_rng(2).normal(scale=5, size=(200, 6)).astype(np.float32)
    detector = AutoEncoderOutlierDetector(**settings, random_state=0, max_memory=0.2)
    for rows in (memmap, Batches(X)):
        detector.fit(rows)
        assert (detector.predict(rows) == -1).mean() < 0.15
        assert (detector.predict(outliers) == -1).mean() > 0.8
        np.testing.assert_allclose(
            detector.decision_function(rows), detector.decision_function(X), rtol=1e-4, atol=1e-6
        )


def test_a_detector_leaves_out_and_holds_out_rows_of_a_stream(X):
    labels = np.where(X[:, 0] > 1, -1, 1)
    model = DenoisingAutoEncoder(2, **QUICK)
    detector = AutoEncoderOutlierDetector(model, novelty=True, calibration_fraction=0.2, random_state=0)
    detector.fit(Batches(X), labels)
    n_normal = (labels == 1).sum()
    assert len(detector._errors) == round(0.2 * n_normal)
    assert detector.p_values(Batches(X)).shape == (len(X),)
    assert list(detector.explain(Batches(X)).columns) == [f"x{j}" for j in range(6)]


def linear(n, k):
    return torch.nn.Linear(n, k), torch.nn.Linear(k, n)


def test_the_first_pass_refuses_what_memory_would(X):
    with_hole, huge, wide = (X.copy().astype(float) for _ in range(3))
    with_hole[1400, 2], huge[1400, 2] = np.inf, 1e39
    cases = {
        "infinity": (AutoEncoderTransformer(2, **QUICK), Batches(with_hole)),
        "beyond float32": (AutoEncoderTransformer(2, **QUICK), Batches(huge)),
        r"needs values in \[0, 1\]": (AutoEncoderTransformer(2, loss="binary_cross_entropy", **QUICK), Batches(wide)),
        "6 features, but": (AutoEncoderTransformer(2, **QUICK).fit(X[:, :5]), None),
        "can be read once only": (AutoEncoderTransformer(2, **QUICK), iter([X])),
        "no rows": (AutoEncoderTransformer(2, **QUICK), Batches(X[:0])),
        "need as many rows": (AutoEncoderTransformer(2000, network=MemoryNetwork(), **QUICK), Batches(X)),
        "takes the code for rates": (
            SparseAutoEncoder(4, sparsity="kl", network=linear, **QUICK),
            Batches(X),
        ),
    }
    for message, (autoencoder, rows) in cases.items():
        with pytest.raises(ValueError, match=message):
            autoencoder.score_samples(Batches(X)) if rows is None else autoencoder.fit(rows)


@pytest.mark.parametrize("make", [AutoEncoderTransformer, AutoEncoderOutlierDetector])
def test_errors_name_the_batch(make, X, memmap, tmp_path):
    infinite = np.array(X)
    infinite[145, 2] = np.inf
    text = pd.DataFrame(X[:200], columns=list("abcdef")).astype({"b": object})
    text.loc[150, "b"] = "?"
    narrow = [X[:70], X[70:140, :5], X[140:]]
    infinite.tofile(tmp_path / "infinite")
    file = np.memmap(tmp_path / "infinite", np.float32, "r", shape=X.shape)
    frame = pd.DataFrame(infinite, columns=list("abcdef"))
    for rows, message, place in (
        (Batches(infinite), "hold infinity", "batch 2 of X, counted from 0"),
        (Batches(text), "'b' of X holds values of type", "batch 2 of X, counted from 0"),
        (dict(enumerate(narrow)).values(), "X has 5 features, but", "batch 1 of X, counted from 0"),
        (file, "hold infinity", r"rows 1\d\d to 1\d\d of X"),
        (dataset(frame, tmp_path, 50), "hold infinity", "row group 2 of X, counted from 0"),
    ):
        estimator = make(max_memory=TINY)
        with pytest.raises(ValueError, match=message) as raised:
            estimator.fit(rows)
        (note,) = [note for note in raised.value.__notes__ if note.startswith("The error is about")]
        assert re.fullmatch(f"The error is about {place}.", note)
    fitted = AutoEncoderTransformer(2, max_memory=TINY, **QUICK).fit(X)
    with pytest.raises(ValueError, match="The error is about batch 2 of X"):
        fitted.score_samples(Batches(infinite))


def test_a_stream_that_changes_is_found_out(X):
    class Shrinking:
        n = 1500

        def __iter__(self):
            self.n -= 100
            return iter([X[: self.n]])

    with pytest.raises(ValueError, match="it must give the same rows each time"):
        AutoEncoderTransformer(2, **QUICK).fit(Shrinking())


def test_an_error_while_reading_leaves_the_earlier_fit_and_no_thread(X):
    class Failing(Batches):
        n_read = 0

        def __iter__(self):
            self.n_read += 1
            for i, batch in enumerate(super().__iter__()):
                if self.n_read > 2 and i == 5:
                    raise OSError("the disk is gone")
                yield batch

    autoencoder = AutoEncoderTransformer(2, **QUICK).fit(X)
    codes = autoencoder.transform(X)
    with pytest.raises(OSError, match="the disk is gone"):
        autoencoder.fit(Failing(X))
    np.testing.assert_array_equal(autoencoder.transform(X), codes)
    assert not [thread for thread in threading.enumerate() if thread.name == "skae-prefetch"]


def test_a_memmap_that_fits_is_taken_as_an_array(memmap, monkeypatch):
    monkeypatch.setattr(StreamedRows, "epoch", None)
    AutoEncoderTransformer(2, **QUICK).fit(memmap)


def test_private_changes_of_a_memmap_are_kept(X, tmp_path):
    X.tofile(tmp_path / "rows")
    rows = np.memmap(tmp_path / "rows", dtype=np.float32, mode="c", shape=X.shape)
    rows[:] += 1
    AutoEncoderTransformer(2, max_memory=TINY, **QUICK).fit(rows).score_samples(rows)
    np.testing.assert_array_equal(rows, X + 1)


# ---- the reader --------------------------------------------------------------------------------------------


def epoch_of(X, batch_size, max_memory, seed=0, size=70, held_out=None):
    pieces = pieces_of(Batches(X, size), max_memory)
    stream = stream_of(pieces.rows, pieces.n, max_memory * MIB)
    rows = StreamedRows(stream, None, CPU, held_out=held_out)
    random = None if seed is None else RandomStreams([seed])
    return [(batch.x[0].numpy().copy(), n) for batch, n, _ in rows.epoch(batch_size, random)]


@hypothesis.settings(max_examples=30)
@given(
    n=st.integers(1, 300),
    batch_size=st.integers(1, 80),
    size=st.integers(1, 90),
    memory=st.sampled_from([1e-4, 1e-3, 1]),
)
def test_every_row_comes_once_in_batches_of_nearly_one_size(n, batch_size, size, memory):
    X = np.arange(2 * n, dtype=np.float32).reshape(n, 2)
    for seed in (None, 0):
        batches = epoch_of(X, batch_size, memory, seed, size)
        sizes = [len(rows) for rows, _ in batches]
        assert len(sizes) == -(-n // batch_size)
        assert max(sizes) <= batch_size
        assert max(sizes) - min(sizes) <= 1
        rows = np.concatenate([rows for rows, _ in batches])
        np.testing.assert_array_equal(rows if seed is None else rows[rows[:, 0].argsort()], X)


def test_a_pool_that_holds_all_rows_shuffles_them_well():
    X = np.arange(20_000, dtype=np.float32).reshape(-1, 1)
    rows = np.concatenate([rows for rows, _ in epoch_of(X, 100, 10)])[:, 0]
    assert abs(np.corrcoef(rows, np.arange(len(rows)))[0, 1]) < 0.03
    again = np.concatenate([rows for rows, _ in epoch_of(X, 100, 10, seed=1)])[:, 0]
    assert (rows == again).mean() < 0.01


def test_a_small_pool_mixes_neighbours_and_pieces_of_a_file_come_in_random_order(tmp_path):
    X = np.arange(40_000, dtype=np.float32).reshape(-1, 2)
    places = np.concatenate([rows for rows, _ in epoch_of(X, 100, 0.05)])[:, 0]
    assert np.corrcoef(places, np.arange(len(places)))[0, 1] > 0.9  # batches can be read in their order only
    assert np.mean(np.abs(np.diff(places)) <= 2) < 0.05
    X.tofile(tmp_path / "rows")
    pieces = pieces_of(np.memmap(tmp_path / "rows", np.float32, "r", shape=X.shape), 0.05)
    rows = StreamedRows(stream_of(pieces.rows, pieces.n, 0.05 * MIB), None, CPU)
    places = np.concatenate([batch.x[0, :, 0].numpy().copy() for batch, *_ in rows.epoch(100, RandomStreams([0]))])
    assert abs(np.corrcoef(places, np.arange(len(places)))[0, 1]) < 0.3


def test_statistics_of_one_pass_are_those_of_all_rows(X):
    cells = np.where(np.random.default_rng(0).uniform(size=X.shape) < 0.1, np.nan, X).astype(float) + 1000
    pieces = pieces_of(Batches(cells), 1)
    moments = stream_of(pieces.rows, pieces.n, MIB).moments
    np.testing.assert_allclose(moments.mean, np.nanmean(cells, 0), rtol=1e-12)
    np.testing.assert_allclose(moments.variance, np.nanvar(cells, 0), rtol=1e-8)
    np.testing.assert_array_equal(moments.low, np.nanmin(cells, 0))
    np.testing.assert_array_equal(moments.high, np.nanmax(cells, 0))
    np.testing.assert_array_equal(moments.n, (~np.isnan(cells)).sum(0))


def test_the_sample_is_uniform():
    X = np.arange(100_000, dtype=np.float64).reshape(-1, 1)
    pieces = pieces_of(Batches(X, 999), 0.1)
    sample = stream_of(pieces.rows, pieces.n, 0.5 * MIB).sample[:, 0]
    assert len(np.unique(sample)) == len(sample) == 0.5 * MIB / 16 // 8
    assert sample.mean() == pytest.approx(50_000, rel=0.05)
    assert np.histogram(sample, 10, (0, 1e5))[0].std() < 4 * np.sqrt(len(sample) / 10)


def test_prefetching_stops_when_nobody_asks_any_more():
    asked = []

    def items():
        for i in range(1000):
            asked.append(i)
            yield i

    ahead = prefetched(items())
    assert [next(ahead) for _ in range(3)] == [0, 1, 2]
    ahead.close()
    assert len(asked) < 10
    assert not [thread for thread in threading.enumerate() if thread.name == "skae-prefetch"]


def test_categories_are_judged_by_all_rows():
    n = np.arange(1500)
    table = pd.DataFrame({"x": n % 13 + 0.5, "k": pd.Categorical([f"k{i}" for i in n % 100])})
    autoencoder = DenoisingAutoEncoder(2, **QUICK).fit(Batches(table, 30))  # each has fewer rows than levels
    assert autoencoder._table.columns[1].n_levels == 100
    with pytest.raises(ValueError, match="has 1500 levels in 1500 rows"):
        autoencoder.fit(Batches(table.assign(k=[f"k{i}" for i in n]), 10))


def test_a_stream_that_grows_is_found_out(X):
    class Growing:
        n = 1000

        def __iter__(self):
            self.n += 100
            return iter([X[: self.n]])

    with pytest.raises(ValueError, match="it must give the same rows each time"):
        AutoEncoderTransformer(2, early_stopping=True, **QUICK).fit(Growing())


def test_frames_are_joined_as_they_are(table, memmap):
    polars = pytest.importorskip("polars")
    frame = polars.DataFrame(table.to_dict("list"))
    autoencoder = DenoisingAutoEncoder(2, **QUICK).fit(Batches(frame))
    assert autoencoder.reconstruct(Batches(frame)).equals(autoencoder.reconstruct(frame))
    detector = AutoEncoderOutlierDetector(DenoisingAutoEncoder(2, **QUICK), max_memory=TINY).fit(memmap)
    assert detector.explain(memmap).index.equals(pd.RangeIndex(len(memmap)))


def test_batches_of_torch_and_of_arrow_are_rows(X):
    pa = pytest.importorskip("pyarrow")
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.from_numpy(X)), batch_size=64)
    frame = pd.DataFrame(X, columns=list("abcdef")).assign(kind=np.where(X[:, 0] > 0, "a", "b"))
    autoencoder = AutoEncoderTransformer(2, **QUICK).fit(loader)
    np.testing.assert_allclose(autoencoder.score_samples(loader), autoencoder.score_samples(X), rtol=1e-4)
    arrow = Batches(pa.Table.from_pandas(frame).combine_chunks().to_batches()[0])
    tables = DenoisingAutoEncoder(2, **QUICK).fit(arrow)
    np.testing.assert_allclose(tables.score_samples(arrow), tables.score_samples(frame), rtol=1e-4)


def test_clean_rows_are_no_stream(X):
    with pytest.raises(ValueError, match="y is a stream"):
        DenoisingAutoEncoder(2, **QUICK).fit(Batches(X), Batches(X))


def test_sparse_batches_are_refused_as_sparse_rows_are(X):
    class OneSparse:
        def __iter__(self):
            return iter([csr_array(X)])

    with pytest.raises(TypeError, match="dense data is required"):
        AutoEncoderTransformer(2, **QUICK).fit(OneSparse())
