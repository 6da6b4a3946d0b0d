import warnings

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from test_base import EveryEpoch

import skae.estimators.base
from skae import (
    AutoEncoderOutlierDetector,
    AutoEncoderTransformer,
    ConditionalVariationalAutoEncoder,
    ContractiveAutoEncoder,
    DenoisingAutoEncoder,
)
from skae.estimators import batched_training
from skae.model_selection import BatchedGridSearchCV
from skae.networks import DenseNetwork

SIZES = {"hidden_layer_sizes": (8,), "max_iter": 4, "random_state": 0, "device": "cpu"}


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


def assert_same_results(search, grid_search):
    assert search.cv_results_.keys() == grid_search.cv_results_.keys()
    for name, values in grid_search.cv_results_.items():
        if "time" in name:
            assert (search.cv_results_[name] >= 0).all()
        elif name.startswith(("mean", "std", "split")):
            np.testing.assert_allclose(search.cv_results_[name], values, rtol=1e-3, atol=1e-4)
        elif name.startswith("param"):
            assert list(search.cv_results_[name]) == list(values)
    assert search.best_params_ == grid_search.best_params_
    assert search.best_score_ == pytest.approx(grid_search.best_score_, rel=1e-3)


def autoencoder():
    return AutoEncoderTransformer(3, **SIZES)


PIPELINE = make_pipeline(StandardScaler(), autoencoder())
DETECTOR = AutoEncoderOutlierDetector(autoencoder(), novelty=True)


@pytest.mark.parametrize(
    ("estimator", "grid", "batches"),
    [
        # 91 rows make a fold of 19 and four of 18, so training sets of 72 and 73
        (autoencoder(), {"learning_rate_init": [1e-5, 1e-2], "alpha": [0, 0.1]}, [4, 16]),
        (autoencoder(), {"random_state": [0, 1, 2]}, [3, 12]),
        (autoencoder(), {"n_components": [1, 2]}, [1, 1, 4, 4]),
        (DenoisingAutoEncoder(3, **SIZES), {"noise_level": [0.01, 3.0]}, [1, 1, 4, 4]),
        (PIPELINE, {"autoencodertransformer__learning_rate_init": [1e-5, 1e-2]}, [2, 8]),
    ],
    ids=["rates", "seeds", "shapes", "noise", "pipeline"],
)
def test_it_answers_like_grid_search(estimator, grid, batches, rows, trainings):
    search = BatchedGridSearchCV(estimator, grid, return_train_score=True).fit(rows)
    assert sorted(trainings[1]) == batches
    assert len(trainings[0]) == 1, "only the best one, on all rows, is trained alone"
    assert_same_results(search, GridSearchCV(estimator, grid, return_train_score=True).fit(rows))
    assert type(search.best_estimator_) is type(estimator)
    assert search.transform(rows).shape == (91, search.best_params_.get("n_components", 3))


def test_detectors_of_one_autoencoder_share_a_training(rows, trainings):
    y = np.where(np.arange(91) % 9, 1, -1)
    grid = {"threshold": ["mean+1*std", "mean+3*std"], "autoencoder__learning_rate_init": [1e-5, 1e-2]}
    search = BatchedGridSearchCV(DETECTOR, grid, scoring="f1", cv=KFold(3)).fit(rows, y)
    assert sum(trainings[1]) == 2 * 3
    assert_same_results(search, GridSearchCV(DETECTOR, grid, scoring="f1", cv=KFold(3)).fit(rows, y))


def test_random_splits_are_drawn_once(rows):
    splits = KFold(3, shuffle=True, random_state=np.random.RandomState(0))
    search = BatchedGridSearchCV(autoencoder(), {"alpha": [0, 0.1]}, cv=splits).fit(rows)
    again = KFold(3, shuffle=True, random_state=np.random.RandomState(0))
    assert_same_results(search, GridSearchCV(autoencoder(), {"alpha": [0, 0.1]}, cv=again).fit(rows))


def test_what_cannot_be_batched_is_trained_alone(rows, trainings):
    estimator = autoencoder().set_params(early_stopping=True, validation_fraction=0.2)
    search = BatchedGridSearchCV(estimator, {"alpha": [0, 0.1]}, cv=3).fit(rows)
    assert trainings[1] == []
    assert len(trainings[0]) == 2 * 3 + 1
    assert_same_results(search, GridSearchCV(estimator, {"alpha": [0, 0.1]}, cv=3).fit(rows))


@pytest.mark.filterwarnings(
    "ignore:Some fits failed", "ignore:\\n3 fits failed", "ignore:One or more of the test scores"
)
def test_a_candidate_that_diverges_fails_alone(rows):
    estimator = autoencoder().set_params(activation="identity")
    grid = {"learning_rate_init": [1e-3, 1e30]}
    search = BatchedGridSearchCV(estimator, grid, cv=3).fit(rows)
    assert np.isnan(search.cv_results_["mean_test_score"]).tolist() == [False, True]
    with pytest.raises(FloatingPointError, match="learning_rate_init"):
        BatchedGridSearchCV(estimator, grid, cv=3, error_score="raise").fit(rows)


def test_wrong_parameters_are_named(rows):
    with pytest.raises(ValueError, match="'max_iter' parameter"):
        BatchedGridSearchCV(autoencoder(), {"max_iter": [0]}, cv=3, error_score="raise").fit(rows)


def test_it_is_cloned_and_leaves_its_estimator_unfitted(rows):
    search = BatchedGridSearchCV(autoencoder(), {"alpha": [0]}, cv=3)
    clone(search).fit(rows)
    search.fit(rows)
    assert not search.estimator.__sklearn_is_fitted__()
    assert "n_jobs" not in search.get_params()


def test_fits_after_a_search_are_ordinary(rows):
    BatchedGridSearchCV(autoencoder(), {"alpha": [0]}, cv=3).fit(rows)
    assert autoencoder().fit(rows).n_iter_ == 4


def test_members_of_a_detector_are_trained_once(rows, trainings):
    detector = AutoEncoderOutlierDetector(autoencoder(), n_estimators=3, max_samples=20)
    grid = {"threshold": ["mean+1*std", "mean+3*std"]}
    search = BatchedGridSearchCV(detector, grid, scoring=lambda d, X: d.decision_function(X).mean(), cv=3).fit(rows)
    assert trainings == ([], [3 * 3, 3])  # the members of all folds, and of the best detector
    assert search.best_params_ == {"threshold": "mean+3*std"}


def test_autoencoders_that_learn_from_labels_are_trained_once(rows, trainings):
    estimator = ConditionalVariationalAutoEncoder(1, hidden_layer_sizes=(4,), max_iter=1, device="cpu")
    BatchedGridSearchCV(estimator, {"beta": [0.5, 1.0]}, cv=3).fit(rows, np.arange(91) % 2)
    assert (len(trainings[0]), trainings[1]) == (2 * 3 + 1, [])


def test_without_an_autoencoder_it_is_a_grid_search(rows):
    grid = {"n_components": [1, 2]}
    assert_same_results(BatchedGridSearchCV(PCA(), grid, cv=3).fit(rows), GridSearchCV(PCA(), grid, cv=3).fit(rows))


@pytest.mark.filterwarnings(
    "ignore:Some fits failed", "ignore:\\n3 fits failed", "ignore:One or more of the test scores"
)
def test_a_network_that_cannot_be_built_fails_alone(rows):
    estimator = ContractiveAutoEncoder(3, network=DenseNetwork((8,)), max_iter=4, random_state=0)
    grid = {"network__dropout": [0.0, 0.5]}
    search = BatchedGridSearchCV(estimator, grid, cv=3).fit(rows)
    assert np.isnan(search.cv_results_["mean_test_score"]).tolist() == [False, True]


class Following(EveryEpoch):
    max_propagation_depth = None


def test_callbacks_that_follow_every_epoch_are_told(rows, trainings):
    seen: list = []
    grid = {"alpha": [0, 0.1]}
    BatchedGridSearchCV(autoencoder(), grid, cv=3).set_callbacks(Following(lambda *_: seen.append(1))).fit(rows)
    assert len(seen) == 4 * (2 * 3 + 1)
    assert trainings[1] == []


def test_the_first_pass_does_not_warn(rows):
    grid = {"threshold": ["mean+1*std"]}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        BatchedGridSearchCV(DETECTOR, grid, scoring="f1", cv=KFold(3)).fit(rows, np.arange(91) % 2)
    assert sum("no -1" in str(w.message) for w in caught) == 3 + 1
