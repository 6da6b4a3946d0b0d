import numpy as np
import pytest
from test_base import EveryEpoch

from skae import AutoEncoderOutlierDetector, AutoEncoderTransformer
from skae.outliers.bagging import BaggedAutoEncoders
from skae.training import summarize


@pytest.fixture(scope="module")
def rows():
    return np.random.default_rng(0).normal(size=(60, 4))


def small(**parameters):
    return AutoEncoderTransformer(1, hidden_layer_sizes=(4,), max_iter=3, **parameters)


@pytest.mark.filterwarnings("ignore:max_samples=1000 exceeds the 60 rows")
@pytest.mark.parametrize(("max_samples", "n"), [(10, 10), (0.25, 15), (1000, 60), (1.0, 60), (0.001, 1)])
@pytest.mark.parametrize("batched", [True, False])
def test_each_member_is_trained_on_rows_of_its_own(batched, max_samples, n, rows, monkeypatch):
    seen = []
    monkeypatch.setattr("skae.estimators.base.summarize", lambda X: (seen.append(X), summarize(X))[1])
    members = BaggedAutoEncoders(
        small(learning_rate="cosine" if batched else "adaptive"), 3, max_samples, random_state=0
    )
    members.fit(rows)
    assert [len(X) for X in seen] == [n] * 3
    assert all(len(np.unique(X, axis=0)) == n for X in seen)
    assert len({X.tobytes() for X in seen}) == 3


def test_what_a_fit_refuses_members_refuse(rows):
    with pytest.raises(ValueError, match="loss='binary_cross_entropy' needs values in"):
        BaggedAutoEncoders(small(loss="binary_cross_entropy"), 3, 10).fit(rows)
    with pytest.raises(ValueError, match="'max_iter' parameter"):
        BaggedAutoEncoders(small().set_params(max_iter=0), 3, 10).fit(rows)


def test_members_that_diverge_say_so(rows):
    with pytest.raises(FloatingPointError, match="learning_rate_init"):
        BaggedAutoEncoders(small(learning_rate_init=1e30, activation="identity"), 3, 10, random_state=0).fit(rows)


def test_errors_are_averaged(rows):
    members = BaggedAutoEncoders(small(), 3, 20, random_state=0).fit(rows)
    parts = members.autoencoders_
    np.testing.assert_allclose(members.score_samples(rows), np.mean([m.score_samples(rows) for m in parts], axis=0))
    np.testing.assert_allclose(members.feature_errors(rows).sum(1), -members.score_samples(rows))
    assert len({m.random_state for m in parts}) == 3


@pytest.mark.parametrize("seeded", ["detector", "autoencoder"])
def test_a_detector_of_members_is_reproducible(seeded, rows):
    def scores():
        autoencoder = small(random_state=0 if seeded == "autoencoder" else None)
        random_state = 0 if seeded == "detector" else None
        detector = AutoEncoderOutlierDetector(autoencoder, n_estimators=4, max_samples=16, random_state=random_state)
        return detector.fit(rows).score_samples(rows)

    np.testing.assert_array_equal(scores(), scores())


def test_members_are_for_a_given_autoencoder(rows):
    with pytest.raises(ValueError, match=r"n_estimators=3 and max_samples=1\.0 are for a given autoencoder"):
        AutoEncoderOutlierDetector(n_estimators=3).fit(rows)


def test_one_row_is_not_all_rows(rows):
    detector = AutoEncoderOutlierDetector(small(), max_samples=1, random_state=0).fit(rows)
    assert isinstance(detector.autoencoder_, BaggedAutoEncoders)


def test_an_interruption_leaves_the_members_that_are_fitted(rows):
    def interrupt(epoch, fitted):
        epochs.append(epoch)
        if len(epochs) == 5:  # of three a member
            raise KeyboardInterrupt

    epochs: list = []
    autoencoder = small().set_callbacks(EveryEpoch(interrupt))
    detector = AutoEncoderOutlierDetector(autoencoder, n_estimators=4, random_state=0)
    with pytest.raises(KeyboardInterrupt) as caught:
        detector.fit(rows)
    assert "Of 4 members 2 are fitted, the others left out." in caught.value.__notes__
    assert len(detector.autoencoder_.autoencoders_) == 2
    assert set(detector.predict(rows)) <= {-1, 1}
