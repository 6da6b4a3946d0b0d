"""A search fits and trains nothing twice, and no candidate gets what belongs to another."""

import warnings
from contextlib import nullcontext
from dataclasses import dataclass

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.decomposition import PCA
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from test_model_selection import SIZES, assert_same_results, autoencoder

import skae.estimators.base
from skae import AutoEncoderOutlierDetector, AutoEncoderTransformer, DenoisingAutoEncoder
from skae.estimators import batched_training
from skae.model_selection import BatchedGridSearchCV


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    return np.tanh(rng.normal(size=(91, 3)) @ rng.normal(size=(3, 6)))


@pytest.fixture
def trainings(monkeypatch):
    """Count the networks trained alone, and the sizes of batches."""
    alone, batches = [], []
    train, train_batch = skae.estimators.base.train, batched_training._train_batch
    monkeypatch.setattr(skae.estimators.base, "train", lambda *a, **k: (alone.append(1), train(*a, **k)))
    monkeypatch.setattr(batched_training, "_train_batch", lambda fits: (batches.append(len(fits)), train_batch(fits)))
    return alone, batches


class Noise(TransformerMixin, BaseEstimator):
    """An unseeded random step that counts its fits."""

    n_fits = 0

    def __init__(self, device=0.0, hook=None):
        self.device = device  # a name that skae's own keys leave out
        self.hook = hook

    def fit(self, X, y=None):
        type(self).n_fits += 1
        return self

    def transform(self, X):
        return np.asarray(X) + self.device + 0.1 * np.random.default_rng().normal(size=X.shape)


class Broken(Noise):
    def fit(self, X, y=None):
        raise RuntimeError("broken")


class OwnSubclass(AutoEncoderTransformer):
    pass


RATES = {"autoencodertransformer__learning_rate_init": [1e-3, 1e-2]}


def noisy_pipeline(**parameters):
    Noise.n_fits = 0
    return Pipeline([("noise", Noise()), ("autoencodertransformer", autoencoder())], **parameters)


def mean_decision(detector, X, y=None):
    return detector.decision_function(X).mean()


@pytest.mark.parametrize("backend", [None, "loky", "threading"])
def test_an_unseeded_step_is_fitted_once_a_fold(backend, rows, trainings):
    with nullcontext() if backend is None else joblib.parallel_config(backend, n_jobs=2):
        BatchedGridSearchCV(noisy_pipeline(), RATES, cv=3).fit(rows)
    assert Noise.n_fits == 3 + 1
    assert (len(trainings[0]), sum(trainings[1])) == (1, 2 * 3)


@pytest.mark.parametrize("as_rows", [np.asarray, lambda X: pd.DataFrame(X, columns=list("abcdef"))])
@pytest.mark.parametrize("verbose", [False, True])
def test_rows_of_any_kind_are_found_again(as_rows, verbose, rows, trainings):
    BatchedGridSearchCV(noisy_pipeline(verbose=verbose), RATES, cv=3).fit(as_rows(rows))
    assert Noise.n_fits == 3 + 1
    assert (len(trainings[0]), sum(trainings[1])) == (1, 2 * 3)


@pytest.mark.parametrize("wrap", [lambda d: d, lambda d: make_pipeline(Noise(), d)], ids=["alone", "pipeline"])
@pytest.mark.parametrize(
    ("parameters", "members"), [({"calibration_fraction": 0.2}, 1), ({"n_estimators": 3, "max_samples": 0.5}, 3)]
)
def test_unseeded_detectors_are_trained_once(wrap, parameters, members, rows, trainings):
    unseeded = autoencoder().set_params(random_state=None)
    estimator = wrap(AutoEncoderOutlierDetector(unseeded, **parameters))
    name = next(name for name in estimator.get_params() if name.endswith("threshold"))
    with joblib.parallel_config("threading", n_jobs=2):
        grid = {name: ["mean+1*std", "mean+3*std"]}
        BatchedGridSearchCV(estimator, grid, scoring=mean_decision, cv=3).fit(rows)
    assert len(trainings[0]) + sum(trainings[1]) == 3 * members + members  # of the folds, and of the best


def test_a_subclass_is_trained_in_a_batch(rows, trainings):
    estimator = OwnSubclass(**autoencoder().get_params())
    search = BatchedGridSearchCV(estimator, {"alpha": [0, 0.1]}, cv=3).fit(rows)
    assert (len(trainings[0]), sum(trainings[1])) == (1, 2 * 3)
    assert type(search.best_estimator_) is OwnSubclass


class EverySecondColumn(Noise):
    def transform(self, X):
        return np.asarray(X)[:, ::2]  # a view, of which a memory stores a copy


def test_rows_that_a_memory_has_copied_are_found_again(rows, trainings, tmp_path):
    pipeline = noisy_pipeline(memory=str(tmp_path)).set_params(noise=EverySecondColumn())
    BatchedGridSearchCV(pipeline, RATES, cv=3).fit(rows)
    assert (len(trainings[0]), sum(trainings[1])) == (1, 2 * 3)


def test_a_memory_of_ones_own_is_used(rows, trainings, tmp_path):
    BatchedGridSearchCV(noisy_pipeline(memory=str(tmp_path)), RATES, cv=3).fit(rows)
    assert Noise.n_fits == 3 + 1
    assert (len(trainings[0]), sum(trainings[1])) == (1, 2 * 3)
    assert list(tmp_path.iterdir())


@pytest.mark.parametrize("in_all", [True, False])
def test_memory_may_be_in_the_grid(in_all, rows, trainings, tmp_path):
    own = str(tmp_path)
    grid = {**RATES, "memory": [None, own]} if in_all else [{"memory": [own]}, {"noise__device": [1.0]}]
    search = BatchedGridSearchCV(noisy_pipeline(), grid, cv=3).fit(rows)
    assert Noise.n_fits == 2 * 3 + 1  # with either memory
    assert len(trainings[0]) == 1
    plain = GridSearchCV(noisy_pipeline(), grid, cv=3).fit(rows)
    assert search.cv_results_["params"] == plain.cv_results_["params"]
    found, expected = search.cv_results_["param_memory"], plain.cv_results_["param_memory"]
    assert (found.tolist(), np.ma.getmaskarray(found).tolist()) == (
        expected.tolist(),
        np.ma.getmaskarray(expected).tolist(),
    )


def test_nothing_is_left_of_the_look_up(rows):
    estimator = noisy_pipeline()
    before = repr(estimator.get_params())
    search = BatchedGridSearchCV(estimator, RATES, cv=3).fit(rows)
    assert search.cv_results_.keys() == GridSearchCV(estimator, RATES, cv=3).fit(rows).cv_results_.keys()
    assert search.best_estimator_.memory is None
    assert "FittedSteps" not in repr(vars(search)) + repr(vars(search.best_estimator_))
    assert repr(estimator.get_params()) == before
    assert not hasattr(estimator[-1], "n_iter_")


def test_steps_may_be_in_the_grid(rows, trainings):
    grid = {"noise": ["passthrough", StandardScaler(), Noise()], **RATES}
    BatchedGridSearchCV(noisy_pipeline(), grid, cv=3, refit=False).fit(rows)
    assert Noise.n_fits == 3
    assert (trainings[0], sum(trainings[1])) == ([], 3 * 2 * 3)


def test_the_last_step_may_be_left_out(rows, trainings):
    grid = {"autoencodertransformer": ["passthrough", PCA(2), autoencoder()]}
    search = BatchedGridSearchCV(noisy_pipeline(), grid, cv=3, scoring=lambda pipeline, X, y=None: len(X), refit=False)
    assert np.isfinite(search.fit(rows).cv_results_["mean_test_score"]).all()
    assert (trainings[0], sum(trainings[1])) == ([], 3)


@pytest.mark.filterwarnings("ignore:\\n6 fits failed", "ignore:One or more of the test scores")
def test_steps_that_fail_fail_alone(rows, trainings):
    search = BatchedGridSearchCV(noisy_pipeline(), {"noise": [Broken(), Noise()], **RATES}, cv=3).fit(rows)
    assert np.isnan(search.cv_results_["mean_test_score"]).tolist() == [True, False] * 2
    assert (len(trainings[0]), sum(trainings[1])) == (1, 2 * 3)


def test_steps_that_work_in_place_do_not_spoil_what_others_find(rows):
    pipeline = make_pipeline(StandardScaler(), MinMaxScaler(copy=False), autoencoder())
    grid = {"minmaxscaler__feature_range": [(0, 1), (-5, 5)], **RATES}
    assert_same_results(
        BatchedGridSearchCV(pipeline, grid, cv=3).fit(rows), GridSearchCV(pipeline, grid, cv=3).fit(rows)
    )


def test_a_steps_own_parameters_tell_it_apart(rows):
    """Whatever they are called: skae's own keys leave the device out."""
    pipeline = make_pipeline(Shift(), autoencoder())
    grid = {"shift__device": [0.0, 5.0]}
    search = BatchedGridSearchCV(pipeline, grid, cv=3, scoring=lambda p, X, y=None: p[0].transform(X).mean())
    assert np.diff(search.fit(rows).cv_results_["mean_test_score"]) == pytest.approx(5)


class Shift(Noise):
    def transform(self, X):
        return X + self.device


@dataclass(repr=False, eq=False)
class Thresholded(AutoEncoderTransformer):
    """An autoencoder with a parameter that a detector has too."""

    threshold: float = 0.0

    def _make_objective(self, network, X, target):
        with torch.no_grad():
            for parameter in network.parameters():
                parameter += self.threshold
        return super()._make_objective(network, X, target)


def test_an_autoencoders_threshold_is_not_the_detectors(rows):
    detector = AutoEncoderOutlierDetector(Thresholded(**autoencoder().get_params()))
    grid = {"autoencoder__threshold": [0.0, 1.0]}
    search, plain = (
        kind(detector, grid, cv=3, scoring=mean_decision).fit(rows) for kind in (BatchedGridSearchCV, GridSearchCV)
    )
    assert_same_results(search, plain)


class Masking:
    """A corruption that is copied with its estimator."""

    def __init__(self, keep):
        self.keep = keep

    def __call__(self, x, random):
        return x * self.keep


@pytest.mark.parametrize("place", ["autoencoder", "step"])
def test_what_cloning_changes_is_trained_once_and_shared_with_nobody(place, rows, trainings):
    if place == "autoencoder":
        estimator = DenoisingAutoEncoder(3, **SIZES)
        grid = {"corruption": [Masking(1.0), Masking(0.0)]}
    else:
        estimator, grid = noisy_pipeline(), {"noise__hook": [Masking(1.0), Masking(0.0)]}
    search = BatchedGridSearchCV(estimator, grid, cv=3).fit(rows)
    assert len(trainings[0]) + sum(trainings[1]) == 2 * 3 + 1
    if place == "autoencoder":
        assert_same_results(search, GridSearchCV(estimator, grid, cv=3).fit(rows))
        assert np.ptp(search.cv_results_["mean_test_score"]) > 0.01


def test_warnings_of_a_step_are_not_lost(rows):
    class Warns(Noise):
        def fit(self, X, y=None):
            warnings.warn("of a step", stacklevel=2)
            return self

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        BatchedGridSearchCV(make_pipeline(Warns(), autoencoder()), RATES, cv=3).fit(rows)
    assert sum("of a step" in str(w.message) for w in caught) == 3 + 1
