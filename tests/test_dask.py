"""Dask's arrays and frames are scored as rows in memory, and its cluster trains what one process trains."""

import os
import pickle
from unittest import mock

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from test_trained_once import trainings  # noqa: F401 - a fixture

from skae import AutoEncoderOutlierDetector, AutoEncoderTransformer, DenoisingAutoEncoder, StackedAutoEncoderClassifier
from skae.dask import map_rows
from skae.model_selection import BatchedGridSearchCV
from skae.networks import LSTMNetwork

dask = pytest.importorskip("dask")
da = pytest.importorskip("dask.array")
dd = pytest.importorskip("dask.dataframe")
distributed = pytest.importorskip("distributed")

rng = np.random.default_rng(0)
X = rng.normal(size=(90, 2)) @ rng.normal(size=(2, 4)) + 0.1 * rng.normal(size=(90, 4))
NUMBERS = pd.DataFrame(X, columns=list("abcd"), index=np.arange(90) * 2)
CARS = pd.DataFrame({"kind": pd.Categorical(rng.choice(["car", "van", "truck"], 90)), "tonnes": X[:, 0]})
CARS["colour"] = np.where(CARS.kind == "car", "red", "grey")
CARS["seats"] = CARS.kind.map({"car": 5, "van": 7, "truck": 2}).astype(int)
CARS.loc[3::10, "tonnes"] = np.nan


@pytest.fixture(autouse=True)
def in_this_thread():
    with dask.config.set(scheduler="synchronous"):
        yield


def small(kind=AutoEncoderTransformer, **parameters):
    return kind(2, **{"hidden_layer_sizes": (4,), "max_iter": 3, "random_state": 0, **parameters})


def assert_equal(result, expected):
    """The result of dask is what is expected, and what its meta has said."""
    computed = result.compute()
    assert type(computed) is type(expected)
    if isinstance(expected, np.ndarray):
        assert (result.dtype, result.shape[1:]) == (computed.dtype, computed.shape[1:])
        test = np.testing.assert_allclose if expected.dtype.kind == "f" else np.testing.assert_array_equal
        test(computed, expected, **({"rtol": 1e-4, "atol": 1e-6} if expected.dtype.kind == "f" else {}))
    else:
        test = pd.testing.assert_series_equal if isinstance(expected, pd.Series) else pd.testing.assert_frame_equal
        test(computed, expected, rtol=1e-4, atol=1e-6)
        test(result._meta, expected[:0], check_index_type=False)


# ---- arrays --------------------------------------------------------------------------------------------------

FITTED = {
    "detector": AutoEncoderOutlierDetector(random_state=0, n_estimators=4).fit(X),
    "autoencoder": small().fit(X),
    "classifier": small(StackedAutoEncoderClassifier).fit(X, np.where(X[:, 0] < 0, "low", "high")),
    "pipeline": make_pipeline(StandardScaler(), AutoEncoderOutlierDetector(small())).fit(X),
    "features": make_pipeline(small(), LogisticRegression()).fit(X, X[:, 0] < 0),
}
METHODS = {
    "detector": ["score_samples", "decision_function", "predict", "p_values"],
    "autoencoder": ["score_samples", "transform", "reconstruct"],
    "classifier": ["predict", "predict_proba"],
    "pipeline": ["score_samples", "predict"],
    "features": ["predict", "predict_proba"],
}


@pytest.mark.parametrize(("name", "method"), [(name, method) for name in METHODS for method in METHODS[name]])
def test_an_array_is_scored_as_in_memory(name, method):
    method = getattr(FITTED[name], method)
    for chunks in [(40, 4), (17, 3), (90, 1)]:
        rows = da.from_array(X, chunks=chunks)
        result = map_rows(method, rows)
        assert result.chunks[0] == rows.chunks[0]
        assert_equal(result, method(X))


def test_threads_share_a_model():
    rows, method = da.from_array(X, chunks=(5, 4)), FITTED["detector"].score_samples
    with dask.config.set(scheduler="threads", num_workers=4):
        assert_equal(map_rows(method, rows), method(X))


def test_the_dtype_is_that_of_the_rows():
    rows = da.from_array(X.astype(np.float32), chunks=(40, 4))
    assert map_rows(FITTED["autoencoder"].transform, rows).dtype == np.float32
    assert_equal(map_rows(FITTED["autoencoder"].transform, rows), FITTED["autoencoder"].transform(X.astype(np.float32)))


def test_blocks_of_unknown_size_and_without_rows():
    rows = da.from_array(X, chunks=(30, 4))
    rows = rows[(da.arange(90, chunks=30) < 30) | (rows[:, 0] > 10)]  # all of the first block, nothing of the others
    for method in (FITTED["autoencoder"].score_samples, FITTED["autoencoder"].transform):
        result = map_rows(method, rows)
        assert np.isnan(result.shape[0])
        assert_equal(result, method(X[:30]))


def test_a_frame_in_the_place_of_an_array():
    codes = clone(FITTED["autoencoder"]).set_output(transform="pandas").fit(X)
    assert_equal(map_rows(codes.transform, da.from_array(X, chunks=(40, 4))), codes.transform(X).to_numpy())


# ---- frames --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["score_samples", "decision_function", "predict"])
def test_a_frame_gives_a_series(method):
    method = getattr(AutoEncoderOutlierDetector(small()).fit(NUMBERS), method)
    frame = dd.from_pandas(NUMBERS, npartitions=3)
    result = map_rows(method, frame)
    assert result.divisions == frame.divisions
    assert_equal(result, pd.Series(method(NUMBERS), index=NUMBERS.index))


def test_codes_are_a_frame_with_names_where_scikit_learn_gives_them():
    autoencoder = small().fit(NUMBERS)
    frame = dd.from_pandas(NUMBERS, npartitions=3)
    expected = pd.DataFrame(autoencoder.transform(NUMBERS), index=NUMBERS.index)
    assert_equal(map_rows(autoencoder.transform, frame), expected)
    autoencoder.set_output(transform="pandas")
    assert_equal(map_rows(autoencoder.transform, frame), expected.set_axis(autoencoder.get_feature_names_out(), axis=1))


@pytest.mark.parametrize("known", [True, False], ids=["known", "unknown"])
def test_a_frame_of_categories_and_holes(known):
    frame = dd.from_pandas(CARS, npartitions=3)
    if not known:
        frame = frame.assign(kind=frame.kind.cat.as_unknown())
    autoencoder = small(DenoisingAutoEncoder).fit(CARS)
    assert_equal(map_rows(autoencoder.reconstruct, frame), autoencoder.reconstruct(CARS))
    detector = AutoEncoderOutlierDetector(random_state=0, n_estimators=4).fit(CARS)
    assert_equal(map_rows(detector.score_samples, frame), pd.Series(detector.score_samples(CARS), index=CARS.index))
    assert_equal(map_rows(detector.explain, frame), detector.explain(CARS))


def test_partitions_without_rows():
    autoencoder = small().fit(NUMBERS)
    frame = dd.from_pandas(NUMBERS, npartitions=3)
    some = frame.map_partitions(lambda part: part[part.index < 60])  # none of the last
    assert_equal(map_rows(autoencoder.reconstruct, some), autoencoder.reconstruct(NUMBERS[NUMBERS.index < 60]))
    scores = map_rows(autoencoder.score_samples, frame[frame.a > 100])
    assert len(scores.compute()) == 0


def test_an_array_made_of_a_frame():
    rows = dd.from_pandas(NUMBERS, npartitions=3).to_dask_array()
    assert_equal(map_rows(FITTED["autoencoder"].transform, rows), FITTED["autoencoder"].transform(X))


# ---- what is computed, and when ------------------------------------------------------------------------------


def unreadable(block):
    raise AssertionError("computed")


def test_nothing_is_computed_to_know_the_result():
    rows = da.from_array(X, chunks=(40, 4)).map_blocks(unreadable, meta=X[:0])
    assert map_rows(FITTED["autoencoder"].transform, rows).shape == (90, 2)
    frame = dd.from_pandas(NUMBERS, npartitions=3).map_partitions(unreadable, meta=NUMBERS[:0])
    assert list(map_rows(small().fit(NUMBERS).reconstruct, frame).columns) == list("abcd")


def test_a_step_that_refuses_a_made_up_row_gets_the_first_one():
    pipeline = make_pipeline(OneHotEncoder(sparse_output=False), small()).fit(CARS[["kind", "colour"]])
    frame = dd.from_pandas(CARS[["kind", "colour"]], npartitions=3)
    some = frame.map_partitions(lambda part: part[part.index > 50])  # none of the first partition
    expected = pd.DataFrame(pipeline.transform(CARS.loc[51:, ["kind", "colour"]]), index=range(51, 90))
    assert_equal(map_rows(pipeline.transform, some), expected)
    with pytest.raises(ValueError, match="unknown categories"):
        map_rows(pipeline.transform, frame[frame.colour == "green"])


def logits(rows):
    if (rows == 1).any():
        raise ZeroDivisionError
    return np.log(rows / (1 - rows))


def test_so_does_a_step_that_refuses_an_array():
    shares = 1 / (1 + np.exp(-X))
    pipeline = make_pipeline(FunctionTransformer(logits), small()).fit(shares)
    rows = da.from_array(shares, chunks=(30, 4))
    last = rows[da.arange(90, chunks=30) >= 60]
    assert_equal(map_rows(pipeline.transform, last), pipeline.transform(shares[60:]))
    with pytest.raises(ZeroDivisionError):
        map_rows(pipeline.transform, rows[rows[:, 0] > 1])


class Counted(AutoEncoderTransformer):
    """Counts how often it is pickled in this process."""

    n_pickled = 0

    def __getstate__(self):
        type(self).n_pickled += 1
        return super().__getstate__()


@pytest.mark.parametrize("kind", ["array", "frame"])
def test_the_graph_holds_the_model_once(kind):
    autoencoder = Counted(2, max_iter=2).fit(X if kind == "array" else NUMBERS)
    rows = da.from_array(X, chunks=(10, 4)) if kind == "array" else dd.from_pandas(NUMBERS, npartitions=9)
    (result,) = dask.optimize(map_rows(autoencoder.score_samples, rows))
    before = Counted.n_pickled
    for task in dict(result.__dask_graph__()).values():
        pickle.dumps(task)
    assert Counted.n_pickled == before + 1


# ---- bad input -----------------------------------------------------------------------------------------------


def test_bad_input_is_named():
    rows, autoencoder = da.from_array(X, chunks=(40, 4)), FITTED["autoencoder"]
    with pytest.raises(TypeError, match="X is a ndarray: map_rows takes a dask array or DataFrame"):
        map_rows(autoencoder.score_samples, X)
    with pytest.raises(TypeError, match=r"method=AutoEncoderTransformer(?s:.*) must be a method"):
        map_rows(autoencoder, rows)
    with pytest.raises(ValueError, match=r"X has shape \(90,\)"):
        map_rows(autoencoder.score_samples, rows[:, 0])
    with pytest.raises(ValueError, match=r"gives shape \(\) for one row"):
        map_rows(autoencoder.score, rows)
    with pytest.raises(ValueError, match="3 features, but AutoEncoderTransformer is expecting 4"):
        map_rows(autoencoder.score_samples, rows[:, :3])
    with pytest.raises(ValueError, match="not fitted"):
        map_rows(AutoEncoderTransformer().score_samples, rows)


# ---- a cluster -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def client():
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, host="127.0.0.1", dashboard_address="127.0.0.1:0"
        ) as cluster,
        distributed.Client(cluster, set_as_default=True) as client,
    ):
        yield client


@pytest.mark.parametrize("kind", ["array", "frame"])
def test_a_cluster_scores_as_this_process_does(kind, client):
    rows = X if kind == "array" else NUMBERS
    detector = AutoEncoderOutlierDetector(small(), random_state=0).fit(rows)
    lazy = da.from_array(X, chunks=(20, 2)) if kind == "array" else dd.from_pandas(NUMBERS, npartitions=4)
    scores = client.compute(map_rows(detector.score_samples, lazy)).result()
    np.testing.assert_allclose(scores, detector.score_samples(rows), rtol=1e-4)


def mean_decision(detector, X, y=None):
    return detector.decision_function(X).mean()


SINGLE = (small(), {"n_components": [1, 2]}, None)
DETECTOR = (
    AutoEncoderOutlierDetector(small(), n_estimators=3, random_state=0),
    {"threshold": ["mean+1*std", "median+3*mad"]},
    mean_decision,
)
PIPELINE = (
    make_pipeline(StandardScaler(), DETECTOR[0]),
    {"autoencoderoutlierdetector__threshold": ["mean+1*std", "median+3*mad"]},
    mean_decision,
)
RECURRENT = (small(network=LSTMNetwork(sequence_shape=(4, 1), hidden_size=3)), {"alpha": [0.0, 0.1]}, None)


@pytest.mark.parametrize(
    ("case", "cached"),
    [
        (SINGLE, False),
        (RECURRENT, False),
        (DETECTOR, False),
        (DETECTOR, True),
        (PIPELINE, False),
        (PIPELINE, True),
    ],
    ids=["single", "recurrent", "bag", "bag-memory", "pipeline", "pipeline-memory"],
)
def test_a_search_over_a_cluster_finds_what_one_here_finds(case, cached, client, tmp_path):
    estimator, grid, scoring = case
    if cached:
        names = [name for name in estimator.get_params() if name.split("__")[-1] == "memory"]
        estimator = clone(estimator).set_params(**dict.fromkeys(names, str(tmp_path)))
    here = GridSearchCV(case[0], grid, scoring=scoring, cv=2, error_score="raise").fit(X)
    with joblib.parallel_config("dask"):
        there = GridSearchCV(estimator, grid, scoring=scoring, cv=2, error_score="raise").fit(X)
    for name in ("split0_test_score", "split1_test_score"):
        np.testing.assert_allclose(there.cv_results_[name], here.cv_results_[name], rtol=1e-4)
    assert there.best_params_ == here.best_params_


def test_a_batched_search_stays_in_this_process(client, trainings):  # noqa: F811
    estimator, grid, scoring = DETECTOR
    search = BatchedGridSearchCV(estimator, grid, scoring=scoring, cv=2, error_score="raise", refit=False)
    with joblib.parallel_config("dask"):
        search.fit(X)
    assert sum(trainings[1]) == 2 * 3
    expected = clone(search).fit(X).cv_results_["mean_test_score"]
    np.testing.assert_allclose(search.cv_results_["mean_test_score"], expected, rtol=1e-4)


def threads_and_groups(X):
    """Fit a bag as a task of a search would; return the process, torch's threads and the workers that joblib asked."""
    asked = []
    with mock.patch("skae.estimators.parallel_training.Parallel", asked.append):
        AutoEncoderOutlierDetector(small(), n_estimators=3, random_state=0).fit(X)
    return os.getpid(), torch.get_num_threads(), asked


def test_workers_share_the_cores_and_hand_nothing_on(client):
    with joblib.parallel_config("dask"):
        found = joblib.Parallel()(joblib.delayed(threads_and_groups)(X) for _ in range(2))
    for process, n_threads, asked in found:
        assert process != os.getpid()
        assert n_threads == 1
        assert asked == []


def test_a_bag_over_a_cluster_is_the_bag_of_one_process(client):
    detector = AutoEncoderOutlierDetector(small(), n_estimators=5, max_samples=40, random_state=0)
    expected = clone(detector).fit(X)
    with joblib.parallel_config("dask"):
        detector.fit(X)
    np.testing.assert_allclose(detector.score_samples(X), expected.score_samples(X), rtol=1e-4)
    np.testing.assert_allclose(detector.threshold_, expected.threshold_, rtol=1e-4)
