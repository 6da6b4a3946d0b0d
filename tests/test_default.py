import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from skae import AutoEncoderOutlierDetector, DenoisingAutoEncoder
from skae.callbacks import TensorBoardLogger
from skae.outliers.ensemble import MAX_ROWS, ErrorEnsemble


@pytest.fixture(scope="module")
def blobs():
    """Two blobs of 150 rows, normal; 15 rows between and around them, not."""
    rng = np.random.default_rng(0)
    normal = np.r_[rng.normal(size=(150, 4)), rng.normal(size=(150, 4)) + np.array([8, 0, 0, 0])]
    return normal, rng.normal(size=(15, 4)) * 1.5 + np.array([4, 4, 0, 0])


@pytest.mark.parametrize("robust", [True, False])
def test_outliers_have_larger_errors_and_typical_rows_small_ones(robust, blobs):
    normal, outliers = blobs
    errors = -ErrorEnsemble(robust, random_state=0).fit(normal).score_samples(np.r_[normal, outliers])
    assert 0.4 < np.median(errors[:300]) < 0.8  # softplus(0) = 0.69
    assert roc_auc_score(np.repeat([0, 1], [300, 15]), errors) > 0.98


def test_robust_leaves_outliers_out(blobs):
    normal, outliers = blobs
    X, y = np.r_[normal, np.repeat(3 * outliers, 2, axis=0)], np.repeat([0, 1], [300, 30])
    robust, trusting = (
        roc_auc_score(y, -ErrorEnsemble(r, random_state=0).fit(X).score_samples(X)) for r in (True, False)
    )
    assert robust > 0.99
    assert trusting < robust


def test_copies_of_rows_do_not_make_new_ones_outliers():
    rng = np.random.default_rng(0)
    rows, new = rng.normal(size=(300, 4)), rng.normal(size=(300, 4))
    for novelty in (True, False):
        detector = AutoEncoderOutlierDetector(novelty=novelty, random_state=0).fit(np.r_[rows, rows])
        assert (detector.predict(new) == -1).mean() < 0.1


def test_a_huge_value_is_an_outlier():
    X = np.random.default_rng(0).normal(size=(300, 6))
    X[3, 0] = 1e300
    assert AutoEncoderOutlierDetector(random_state=0).fit_predict(X)[3] == -1


@pytest.mark.parametrize(
    ("detector", "n_fits"),
    [
        (AutoEncoderOutlierDetector(novelty=True), 1),
        (AutoEncoderOutlierDetector(DenoisingAutoEncoder(2, max_iter=3), n_estimators=2), 2),
    ],
)
def test_callbacks_hear_of_every_network(detector, n_fits, blobs, tmp_path):
    detector.set_callbacks(TensorBoardLogger(tmp_path)).fit(blobs[0])
    assert len(list(tmp_path.rglob("events.*"))) == n_fits


@pytest.mark.parametrize("robust", [True, False])
def test_units_of_the_columns_do_not_matter(robust, blobs):
    normal, outliers = blobs
    X = np.r_[normal, outliers]
    scores = ErrorEnsemble(robust, random_state=0).fit(normal).score_samples(X)
    units, origin = np.array([1e-6, 1, 1e6, 1e3]), np.array([5.0, 0, 1e9, 0])
    other = ErrorEnsemble(robust, random_state=0).fit(normal * units + origin).score_samples(X * units + origin)
    np.testing.assert_allclose(other, scores, rtol=0.05 if not robust else 1e-3)  # a network amplifies rounding


def test_constant_columns_and_heavy_tails(blobs):
    normal, outliers = blobs
    rng = np.random.default_rng(1)
    extra = np.c_[np.full(315, 1e6), rng.standard_cauchy(315) ** 3, np.zeros(315)]
    X = np.c_[np.r_[normal, outliers], extra]
    scores = ErrorEnsemble(random_state=0).fit(X).score_samples(X)
    assert np.isfinite(scores).all()
    X[0, 0] = 1e30  # new rows may be anything
    assert np.isfinite(ErrorEnsemble(False, random_state=0).fit(X[1:]).score_samples(X)).all()


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("novelty", [True, False])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("constant", [0, 0.1, -3.3, 1 / 3, 1e8 + 0.1, 1e-42, 3e37])
def test_a_constant_column_says_nothing(constant, dtype, novelty):
    X = np.random.default_rng(0).normal(size=(400, 3)).astype(dtype)
    wide = np.c_[X, np.full(400, constant, dtype)]
    alone, beside = (AutoEncoderOutlierDetector(novelty=novelty, random_state=0).fit(rows) for rows in (X, wide))
    n_alone, n_beside = ((d.predict(rows) == -1).sum() for d, rows in ((alone, X), (beside, wide)))
    # the network has other initial weights where it has a column more
    assert abs(n_beside - n_alone) <= (4 if novelty else 1)
    changed = wide[:20] + np.array([0, 0, 0, abs(constant) / 8 + 5], dtype)
    assert (beside.predict(changed) == -1).all()


@pytest.mark.parametrize("constant", [0.1, 123456789.0, 7e22])
def test_a_constant_column_may_come_in_another_number_format(constant):
    X = np.c_[np.random.default_rng(0).normal(size=(400, 3)), np.full(400, constant)]
    detector = AutoEncoderOutlierDetector(random_state=0).fit(X)
    scores, rounded = detector.score_samples(X), detector.score_samples(X.astype(np.float32))
    np.testing.assert_allclose(rounded, scores, rtol=1e-3, atol=1e-3)


@given(n=st.integers(2, 12), d=st.integers(1, 5), robust=st.booleans())
@settings(max_examples=15)
def test_small_tables(n, d, robust):
    X = np.random.default_rng(n).normal(size=(n, d))
    ensemble = ErrorEnsemble(robust, random_state=0).fit(X)
    assert np.isfinite(ensemble.score_samples(X)).all()
    np.testing.assert_allclose(ensemble.feature_errors(X).sum(1), -ensemble.score_samples(X), rtol=1e-9)
    assert ensemble.reconstruct(X).shape == X.shape


def test_equal_rows_are_typical():
    X = np.ones((20, 3))
    for robust in (True, False):
        ensemble = ErrorEnsemble(robust, random_state=0).fit(X)
        scores = ensemble.score_samples(np.r_[X, [[1, 1, 2]]])
        assert (scores[-1] < scores[:-1]).all()
        np.testing.assert_allclose(ensemble.feature_errors(X).sum(1), -scores[:-1])


def test_many_rows_are_sampled():
    X = np.random.default_rng(0).normal(size=(MAX_ROWS + 1000, 2)).astype(np.float32)
    ensemble = ErrorEnsemble(random_state=0).fit(X)
    assert len(ensemble._stored.rows) == MAX_ROWS
    assert ensemble.score_samples(np.array([[9.0, 9.0]])) < ensemble.score_samples(X).min()


def test_reconstructions_are_near(blobs):
    normal, _ = blobs
    for robust in (True, False):
        restored = ErrorEnsemble(robust, random_state=0).fit(normal).reconstruct(normal)
        assert np.mean((restored - normal) ** 2) < 0.4 * np.var(normal, axis=0).mean()


@pytest.mark.parametrize("robust", [True, False])
def test_seeds_and_pickles_give_the_same_scores(robust, blobs):
    normal, outliers = blobs
    first = ErrorEnsemble(robust, random_state=3).fit(normal)
    scores = first.score_samples(outliers)
    assert np.array_equal(ErrorEnsemble(robust, random_state=3).fit(normal).score_samples(outliers), scores)
    assert np.array_equal(pickle.loads(pickle.dumps(first)).score_samples(outliers), scores)


def test_an_interruption_before_the_first_epoch_leaves_no_model(monkeypatch, blobs):
    def interrupted(self, X):
        raise KeyboardInterrupt

    monkeypatch.setattr("skae.estimators.denoising.DenoisingAutoEncoder.fit", interrupted)
    detector = AutoEncoderOutlierDetector(novelty=True)
    with pytest.raises(KeyboardInterrupt):
        detector.fit(blobs[0])
    assert not hasattr(detector, "n_features_in_")


def test_an_interruption_later_leaves_a_usable_detector(monkeypatch, blobs):
    fit = DenoisingAutoEncoder.fit

    def interrupted(self, X):
        fit(self, X)
        raise KeyboardInterrupt

    monkeypatch.setattr("skae.estimators.denoising.DenoisingAutoEncoder.fit", interrupted)
    detector = AutoEncoderOutlierDetector(novelty=True)
    with pytest.raises(KeyboardInterrupt):
        detector.fit(blobs[0])
    assert (detector.predict(blobs[1]) == -1).mean() > 0.5


def test_one_row_is_too_few():
    with pytest.raises(ValueError, match=r"1 sample.* minimum of 2"):
        AutoEncoderOutlierDetector().fit([[1.0, 2.0]])


@pytest.mark.parametrize(
    ("novelty", "protocol", "auroc"), [(True, "oneclass", 0.93), (False, "oneclass", 0.91), (False, "unsup", 0.87)]
)
def test_adbench(novelty, protocol, auroc, shared_data):
    """Four of the sets that benchmarks/adbench.py runs in full."""
    figures = []
    for name in ("6_cardio", "18_Ionosphere", "43_WDBC", "37_Stamps"):
        data = shared_data(f"adbench/{name}")
        X, y = data["X"].astype(np.float64), data["y"].astype(int)
        normal = np.random.default_rng(0).permutation(np.flatnonzero(y == 0))
        train = np.arange(len(X)) if protocol == "unsup" else normal[: len(normal) // 2]
        test = train if protocol == "unsup" else np.setdiff1d(np.arange(len(X)), train)
        detector = AutoEncoderOutlierDetector(novelty=novelty, random_state=0).fit(X[train])
        figures.append(roc_auc_score(y[test], -detector.score_samples(X[test])))
    assert np.mean(figures) >= auroc


@pytest.mark.parametrize("novelty", [True, False])
def test_a_rounded_training_row_is_scored_like_the_row(novelty, blobs):
    X = np.r_[blobs[0], 20 + blobs[1]]
    detector = AutoEncoderOutlierDetector(novelty=novelty, random_state=0).fit(X)
    scores = detector.score_samples(X)
    for rounded in (X.astype(np.float32), X * (1 + 1e-9)):
        np.testing.assert_allclose(detector.score_samples(rounded), scores, rtol=1e-3, atol=1e-3)
