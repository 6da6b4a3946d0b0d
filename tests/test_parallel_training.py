"""Joblib's workers train the members of a bag as one process does."""

import joblib
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from test_bagging import bags, small
from test_base import EveryEpoch
from test_trained_once import trainings  # noqa: F401 - a fixture

from skae import AutoEncoderOutlierDetector
from skae.estimators import parallel_training
from skae.outliers.bagging import BaggedAutoEncoders

ROWS = np.random.default_rng(0).normal(size=(60, 4)) * [1.0, 10.0, 0.1, 1.0] + [0.0, 5.0, 0.0, 100.0]


@pytest.fixture
def groups(monkeypatch):
    """Note the sizes of the groups that joblib is given, and train them."""
    sizes = []
    parallel = parallel_training.Parallel

    def noting(n_jobs):
        def call(tasks):
            tasks = list(tasks)
            sizes.append([len(autoencoders) for _, (autoencoders, _, _), _ in tasks])
            return parallel(n_jobs=n_jobs)(tasks)

        return call

    monkeypatch.setattr(parallel_training, "Parallel", noting)
    return sizes


@bags
@pytest.mark.parametrize("backend", ["threading", "loky"])
def test_workers_train_a_group_of_members_each(backend, bag, groups, trainings):  # noqa: F811
    expected = clone(bag).fit(ROWS)
    assert groups == []
    bag = clone(bag)
    with joblib.parallel_config(backend, n_jobs=2):
        bag.fit(ROWS)
    n = len(bag._members)
    assert groups == [[n - n // 2, n // 2]]
    assert trainings[0] == []
    for member, alone in zip(bag.autoencoders_, expected.autoencoders_, strict=True):
        np.testing.assert_allclose(member.reconstruct(ROWS), alone.reconstruct(ROWS), rtol=1e-4, atol=1e-5)
        assert member.n_iter_ == alone.n_iter_
    np.testing.assert_allclose(bag.score_samples(ROWS), expected.score_samples(ROWS), rtol=1e-4)
    np.testing.assert_allclose(bag.out_of_bag_errors_, expected.out_of_bag_errors_, rtol=1e-4)


def test_workers_train_members_that_cannot_be_batched(groups, trainings):  # noqa: F811
    bag = BaggedAutoEncoders([(small(early_stopping=True, max_iter=5), 4, 0.5)], random_state=0)
    expected = clone(bag).fit(ROWS)
    assert len(trainings[0]) == 4
    with joblib.parallel_config("loky", n_jobs=2):
        bag.fit(ROWS)
    assert len(trainings[0]) == 4  # none more in this process
    np.testing.assert_allclose(bag.score_samples(ROWS), expected.score_samples(ROWS), rtol=1e-4)


def test_workers_take_large_rows_as_files(groups):
    X = np.random.default_rng(0).normal(size=(40_000, 4))  # joblib maps more than a megabyte
    bag = BaggedAutoEncoders([(small(), 2, 50)], random_state=0)
    expected = clone(bag).fit(X)
    with joblib.parallel_config("loky", n_jobs=2):
        bag.fit(X)
    assert groups == [[1, 1]]
    np.testing.assert_allclose(bag.score_samples(X), expected.score_samples(X), rtol=1e-4)


def test_members_with_callbacks_are_trained_here(groups):
    epochs: list = []
    autoencoder = small().set_callbacks(EveryEpoch(lambda epoch, _: epochs.append(epoch)))
    with joblib.parallel_config("threading", n_jobs=2):
        BaggedAutoEncoders([(autoencoder, 3, 30)], random_state=0).fit(ROWS)
    assert groups == []
    assert len(epochs) == 3 * 3


def test_what_workers_cannot_train_raises_here(groups):
    diverging = small(learning_rate_init=1e30, activation="identity")
    bag = BaggedAutoEncoders([(small(), 2, 30), (diverging, 3, 30)], random_state=0)
    with joblib.parallel_config("loky", n_jobs=2), pytest.raises(FloatingPointError, match="learning_rate_init"):
        bag.fit(ROWS)
    assert groups == [[3, 2]]
    assert [member.bag for member in bag._fitted_members()][:2] == [0, 0]
    assert np.isfinite(bag.score_samples(ROWS)).all()


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_workers_that_are_interrupted_or_lost_leave_the_earlier_fit(error, monkeypatch):
    def failing(n_jobs):
        raise error

    detector = AutoEncoderOutlierDetector(small(), n_estimators=4, random_state=0).fit(ROWS)
    before = detector.score_samples(ROWS)
    monkeypatch.setattr(parallel_training, "Parallel", failing)
    with joblib.parallel_config("threading", n_jobs=2), pytest.raises(error) as caught:
        detector.set_params(random_state=1).fit(ROWS)
    assert "The AutoEncoderOutlierDetector is left as it was before this call." in caught.value.__notes__
    np.testing.assert_array_equal(detector.score_samples(ROWS), before)


@pytest.mark.parametrize("backend", ["threading", "loky"])
def test_the_fits_of_a_parallel_search_hand_nothing_on(backend, groups):
    detector = AutoEncoderOutlierDetector(small(), n_estimators=4, random_state=0)
    with joblib.parallel_config(backend, n_jobs=2):
        search = GridSearchCV(detector, {"threshold": [1.0, 2.0]}, scoring=n_groups_of_a_fit, cv=2).fit(ROWS)
    assert search.cv_results_["mean_test_score"].tolist() == [1, 1]
    assert groups == [[2, 2]]  # of the best, in this process


def n_groups_of_a_fit(detector, X, y=None):
    return joblib.effective_n_jobs(None)
