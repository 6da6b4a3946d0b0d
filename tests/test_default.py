"""The bagged autoencoders that stand for autoencoder=None."""

import pickle
from contextlib import nullcontext

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.metrics import roc_auc_score

from skae import AutoEncoderOutlierDetector, DenoisingAutoEncoder
from skae.callbacks import TensorBoardLogger
from skae.estimators import parallel_training
from skae.networks import MemoryNetwork
from skae.outliers.bagging import BaggedAutoEncoders
from skae.outliers.default import WIDE, default_bags

modes = pytest.mark.parametrize("novelty", [True, False])


def default(novelty, **parameters):
    return AutoEncoderOutlierDetector(novelty=novelty, **{"random_state": 0, **parameters})


def few(novelty, **parameters):
    """Two networks a bag, where more of them prove nothing more."""
    return default(novelty, **{"n_estimators": 4, **parameters})


@pytest.fixture(scope="module")
def blobs():
    """Two blobs of 150 rows, normal; 15 rows between and around them, not."""
    rng = np.random.default_rng(0)
    normal = np.r_[rng.normal(size=(150, 4)), rng.normal(size=(150, 4)) + np.array([8, 0, 0, 0])]
    return normal, rng.normal(size=(15, 4)) * 1.5 + np.array([4, 4, 0, 0])


@pytest.fixture(scope="module")
def fitted(blobs):
    """A detector of each mode, fitted to the blobs."""
    return {novelty: default(novelty).fit(blobs[0]) for novelty in (True, False)}


# ---- what it is ----------------------------------------------------------------------------------------------


@modes
def test_members_are_trained_denoising_autoencoders(novelty, fitted, blobs):
    bag = fitted[novelty].autoencoder_
    assert type(bag) is BaggedAutoEncoders
    Z = bag.scale(blobs[0])
    for member in bag._members:
        autoencoder = member.autoencoder
        assert type(autoencoder) is DenoisingAutoEncoder
        assert type(autoencoder.network) is MemoryNetwork
        # its score is the error of its reconstruction
        residuals = Z[:50] - autoencoder.reconstruct(Z[:50])
        errors = np.square(residuals) if novelty else np.abs(residuals)
        np.testing.assert_allclose(-autoencoder.score_samples(Z[:50]), errors.mean(1), rtol=1e-4, atol=1e-6)
        assert not np.isin(np.arange(300), member.rows).all()


@modes
def test_training_lowers_the_errors_of_members(novelty, fitted, blobs):
    """Prototypes begin as good denoisers: with few rows, training has little to add."""
    bag, rng, errors = fitted[novelty].autoencoder_, np.random.default_rng(0), []
    Z = bag.scale(blobs[0])
    for autoencoder, _, numbers in bag._members:
        untrained = clone(autoencoder).set_params(learning_rate_init=1e-30, max_iter=1).fit(Z[numbers])
        rows = np.repeat(Z[numbers], 40, axis=0)
        noisy = rows + autoencoder.noise_level * rng.normal(size=rows.shape)
        residuals = [rows - a.reconstruct(noisy) for a in (autoencoder, untrained)]
        errors.append([np.mean(np.square(r) if novelty else np.abs(r)) for r in residuals])
    trained, untrained = np.array(errors).T
    assert np.mean(trained / untrained) < (0.97 if novelty else 0.999)


@pytest.mark.parametrize(
    ("n", "d", "novelty", "expected"),
    [  # (members, rows, prototypes) of each bag
        (300, 4, True, [(5, 240, 180)]),
        (10_000, 4, True, [(5, 8000, 1024)]),
        (100_000, 4, True, [(5, 25_600, 1024)]),
        (300, WIDE, True, [(5, 240, 180)]),
        (300, WIDE + 1, True, [(5, 240, 64)]),
        (2, 1, True, [(5, 1, 1)]),
        (300, 4, False, [(50, 16, 16), (50, 64, 64)]),
        (256, 4, False, [(50, 16, 16), (50, 64, 64)]),
        (255, 4, False, [(50, 15, 15)]),
        (100, 4, False, [(50, 6, 6)]),
        (300, WIDE, False, [(50, 16, 16), (50, 64, 64)]),
        (300, 4 * WIDE, False, [(12, 16, 16), (12, 64, 64)]),
        (300, 10_000, False, [(8, 16, 16), (8, 64, 64)]),
        (8, 1, False, [(50, 2, 2)]),
        (2, 1, False, [(50, 1, 1)]),
    ],
)
def test_sizes_of_bags_are_the_documented_ones(n, d, novelty, expected):
    bags = default_bags(n, d, novelty, "auto", "auto").bags
    assert [(number, size, a.n_components) for a, number, size in bags] == expected
    for autoencoder, _, size in bags:
        if novelty:  # 200 steps of 128 rows, to a whole epoch
            steps = autoencoder.max_iter * -(-size // 128)
            assert 200 <= steps < 200 + -(-size // 128)
            assert autoencoder.loss == "squared_error"
        else:
            assert (autoencoder.max_iter, autoencoder.loss) == (100, "absolute_error")


@modes
@pytest.mark.parametrize(("max_samples", "n"), [(7, 7), (0.5, 30), (1.0, 54), (1000, 54)])
def test_numbers_of_members_and_rows_can_be_set(max_samples, n, novelty):
    X = np.random.default_rng(0).normal(size=(60, 3))
    detector = default(novelty, n_estimators=6, max_samples=max_samples)
    # at most nine tenths of the rows: a member's usual error is measured on the others
    message = f"max_samples={max_samples} of 60 rows leaves too few"
    with pytest.warns(UserWarning, match=message) if n == 54 else nullcontext():
        detector.fit(X)
    assert [len(member.rows) for member in detector.autoencoder_._members] == [n] * 6
    sizes = [len(member.rows) for member in default(novelty, n_estimators=6).fit(X).autoencoder_._members]
    assert sizes == ([48] * 6 if novelty else [3] * 6)


# ---- errors --------------------------------------------------------------------------------------------------


@modes
def test_outliers_have_larger_errors_and_typical_rows_about_one(novelty, fitted, blobs):
    _, outliers = blobs
    detector = fitted[novelty]
    out_of_bag = detector.autoencoder_.out_of_bag_errors_
    assert 0.7 < np.nanmedian(out_of_bag) < 1.4
    # half of a blob's distance away, not drawn for training
    new = np.random.default_rng(5).normal(size=(150, 4))
    errors = -detector.score_samples(np.r_[new, outliers])
    assert 0.6 < np.median(errors[:150]) < 1.5
    assert roc_auc_score(np.repeat([0, 1], [150, 15]), errors) > 0.98
    assert (detector.predict(outliers) == -1).mean() > 0.7
    # without novelty it is a tenth, here plus three standard errors
    assert (detector.predict(new) == -1).mean() < (0.1 if novelty else 0.18)


def test_without_novelty_outliers_are_not_learned(blobs):
    normal, outliers = blobs
    X, y = np.r_[normal, np.repeat(3 * outliers, 2, axis=0)], np.repeat([0, 1], [300, 30])
    robust, trusting = (roc_auc_score(y, -default(novelty).fit(X).score_samples(X)) for novelty in (False, True))
    assert robust > 0.99
    assert trusting < robust


@modes
def test_copies_of_rows_do_not_make_new_ones_outliers(novelty):
    for seed in range(3):
        rows, new = np.random.default_rng(seed).normal(size=(2, 300, 4))
        once, twice = (np.mean(default(novelty).fit(X).predict(new) == -1) for X in (rows, np.r_[rows, rows]))
        assert twice <= once + 0.03


@modes
def test_units_of_the_columns_do_not_matter(novelty, blobs):
    normal, outliers = blobs
    X = np.r_[normal, outliers]
    units, origin = np.array([1e-6, 1, 1e6, 1e3]), np.array([5.0, 0, 1e9, 0])
    scores = few(novelty).fit(normal).score_samples(X)
    other = few(novelty).fit(normal * units + origin).score_samples(X * units + origin)
    np.testing.assert_allclose(other, scores, rtol=0.05)  # training amplifies rounding


@modes
def test_explanations_are_the_residuals_of_the_score(novelty, fitted, blobs):
    detector, X = fitted[novelty], blobs[1]
    np.testing.assert_allclose(detector.explain(X).sum(axis=1), -detector.score_samples(X), rtol=1e-9)
    changed = blobs[0][:20].copy()
    changed[:, 2] += 30
    assert (detector.explain(changed).to_numpy().argmax(1) == 2).all()
    restored = detector.reconstruct(changed)
    assert np.abs(restored[:, 2]).max() < 6  # on the scale of the column, whatever the row


@modes
def test_reconstructions_are_near(novelty, fitted, blobs):
    normal, _ = blobs
    residuals = fitted[novelty].reconstruct(normal) - normal
    assert np.mean(residuals**2) < 0.5 * np.var(normal, axis=0).mean()


def test_a_contamination_is_about_the_share_of_new_normal_rows_with_novelty():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(2000, 3)) @ rng.normal(size=(3, 6)) + 0.3 * rng.normal(size=(2000, 6))
    detector = AutoEncoderOutlierDetector(novelty=True, contamination=0.1, random_state=0).fit(X[:1000])
    assert 0.05 < (detector.predict(X[1000:]) == -1).mean() < 0.15


# ---- tables of every kind --------------------------------------------------------------------------------------


def test_a_huge_value_is_an_outlier(blobs):
    X = blobs[0].copy()
    X[3, 0] = 1e300
    assert few(False, n_estimators=20).fit_predict(X)[3] == -1
    detector = few(True).fit(blobs[0])
    assert detector.predict(X)[3] == -1


@modes
@pytest.mark.parametrize("unit", [1e-300, 1e-30, 1e30, 1e300])
def test_values_of_any_size_are_scored(unit, novelty, blobs):
    normal, outliers = blobs
    plain, scaled = (few(novelty).fit(normal * u).score_samples(np.r_[normal, outliers] * u) for u in (1.0, unit))
    np.testing.assert_allclose(scaled, plain, rtol=0.05)


@modes
def test_a_few_values_of_1e30_leave_the_others_comparable(novelty, blobs):
    normal, outliers = blobs
    X = np.r_[normal, outliers]
    X[:5, 0] = 1e30
    detector = default(novelty).fit(X)
    scores = detector.score_samples(X)
    assert np.isfinite(scores).all()
    # column 0 says nothing any more of the rest
    assert roc_auc_score(np.repeat([0, 1], [295, 15]), -scores[5:]) > (0.6 if novelty else 0.7)


@pytest.mark.filterwarnings("error::RuntimeWarning")
@modes
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("constant", [0, 0.1, -3.3, 1 / 3, 1e8 + 0.1, 1e-42, 3e37])
def test_a_constant_column_says_nothing(constant, dtype, novelty):
    X = np.random.default_rng(0).normal(size=(200, 3)).astype(dtype)
    wide = np.c_[X, np.full(200, constant, dtype)]
    alone, beside = (few(novelty).fit(rows) for rows in (X, wide))
    e_alone, e_beside = (-d.score_samples(rows) for d, rows in ((alone, X), (beside, wide)))
    # errors are relative to usual ones; only noise is drawn in another order where there is a column more
    assert np.corrcoef(e_alone, e_beside)[0, 1] > 0.9
    assert abs(np.log(np.median(e_beside) / np.median(e_alone))) < 0.3
    assert (beside.explain(wide).to_numpy()[:, 3] <= 1e-3 * e_beside).all()
    changed = wide[:20] + np.array([0, 0, 0, abs(constant) / 8 + 100], dtype)
    assert (beside.predict(changed) == -1).all()


@modes
@pytest.mark.parametrize("constant", [0.1, 123456789.0, 7e22])
def test_rounded_rows_are_scored_like_the_rows(constant, novelty, blobs):
    X = np.c_[blobs[0], np.full(300, constant)]
    detector = few(novelty).fit(X)
    scores = detector.score_samples(X)
    for rounded in (X.astype(np.float32), X * (1 + 1e-9 * (np.arange(5) < 4))):
        np.testing.assert_allclose(detector.score_samples(rounded), scores, rtol=1e-3, atol=1e-3)


@modes
def test_binary_columns_and_counts(novelty):
    rng = np.random.default_rng(0)

    def rows(n):
        kind = rng.uniform(size=(n, 1)) < 0.5
        flags = (rng.uniform(size=(n, 4)) < np.where(kind, 0.95, 0.05)).astype(float)
        return np.c_[flags, rng.poisson(np.where(kind, 20, 2)), kind]

    X, new, odd = rows(400), rows(200), rows(100)
    odd[:, 4:] = odd[::-1, 4:]  # some rows have the counts of the other kind
    odd[:, 5] = 1 - (odd[:, :4].mean(1) > 0.5)
    detector = default(novelty).fit(X)
    errors = -detector.score_samples(np.r_[new, odd])
    assert np.isfinite(errors).all()
    assert roc_auc_score(np.repeat([0, 1], [200, 100]), errors) > 0.9
    assert (detector.predict(new) == -1).mean() <= 0.12


@given(n=st.integers(2, 12), d=st.integers(1, 5), novelty=st.booleans())
@settings(max_examples=15)
def test_small_tables(n, d, novelty):
    X = np.random.default_rng(n).normal(size=(n, d))
    detector = few(novelty).fit(X)
    scores = detector.score_samples(X)
    assert np.isfinite(scores).all()
    assert np.isfinite(detector.threshold_)
    np.testing.assert_allclose(detector.explain(X).sum(axis=1), -scores, rtol=1e-9)
    assert detector.reconstruct(X).shape == X.shape
    assert detector.predict(1e6 + X).tolist() == [-1] * n


@modes
def test_one_column(novelty):
    X = np.random.default_rng(0).normal(size=(300, 1))
    detector = default(novelty).fit(X)
    assert detector.predict([[0.0], [9.0], [-9.0]]).tolist() == [1, -1, -1]
    assert (detector.predict(X) == -1).mean() <= 0.12


@modes
def test_equal_rows_are_typical(novelty):
    X = np.ones((20, 3))
    detector = few(novelty).fit(X)
    assert detector.predict(np.r_[X, [[1, 1, 2]]]).tolist() == [1] * 20 + [-1]


@modes
def test_ten_thousand_columns(novelty):
    """With one network and 20 rows, to be fast."""
    X = np.random.default_rng(0).normal(size=(20, 10_000))
    detector = default(novelty, n_estimators=1, max_samples=4).fit(X)
    assert np.isfinite(detector.score_samples(X)).all()
    assert detector.predict(100 * X[:3]).tolist() == [-1] * 3
    if novelty:
        assert detector.autoencoder_.autoencoders_[0].network is None


def test_a_row_more_than_a_member_takes_has_no_part_in_it():
    X = np.random.default_rng(0).normal(size=(26_000, 1)).astype(np.float32)
    bag = default_bags(len(X), 1, True, 1, "auto")
    assert [size for *_, size in bag.bags] == [round(0.8 * 26_000)]
    assert [size for *_, size in default_bags(40_000, 1, True, 1, "auto").bags] == [25_600]


# ---- seeds, copies, callbacks, errors --------------------------------------------------------------------------


@modes
def test_seeds_and_pickles_give_the_same_scores(novelty, blobs):
    normal, outliers = blobs
    first = few(novelty, random_state=3).fit(normal)
    scores = first.score_samples(outliers)
    np.testing.assert_array_equal(clone(first).fit(normal).score_samples(outliers), scores)
    copy = pickle.loads(pickle.dumps(first))
    np.testing.assert_array_equal(copy.score_samples(outliers), scores)
    np.testing.assert_array_equal(
        copy.set_threshold(contamination=0.1).predict(normal) == -1,
        first.set_threshold(contamination=0.1).predict(normal) == -1,
    )
    others = [few(novelty, random_state=seed).fit(normal).score_samples(outliers) for seed in (4, None, None)]
    assert len({scores.tobytes(), *[other.tobytes() for other in others]}) == 4


@modes
def test_callbacks_hear_of_every_network(novelty, blobs, tmp_path):
    detector = default(novelty, n_estimators=2, max_samples=20)
    detector.set_callbacks(TensorBoardLogger(tmp_path)).fit(blobs[0])
    assert len(list(tmp_path.rglob("events.*"))) == 2


@modes
def test_members_train_the_same_with_callbacks(novelty, blobs, tmp_path):
    detector = default(novelty, n_estimators=2, max_samples=20)
    heard = clone(detector).set_callbacks(TensorBoardLogger(tmp_path)).fit(blobs[0])
    expected = detector.fit(blobs[0]).score_samples(blobs[1])
    # alone, not in a batch: training amplifies rounding
    np.testing.assert_allclose(heard.score_samples(blobs[1]), expected, rtol=0.05)


def test_an_interruption_later_leaves_a_usable_detector(blobs, monkeypatch):
    train_batched = parallel_training.train_batched

    def interrupted(fits):
        train_batched(fits[:6])  # five of the small bag, one of the other
        raise KeyboardInterrupt

    monkeypatch.setattr(parallel_training, "train_batched", interrupted)
    detector = default(False, n_estimators=10)
    with pytest.raises(KeyboardInterrupt) as caught:
        detector.fit(blobs[0])
    assert any("Of 10 members 6 are fitted" in note for note in caught.value.__notes__)
    assert (detector.predict(blobs[1]) == -1).mean() > 0.5
    assert np.isfinite(detector.threshold_)


def test_an_interruption_before_the_first_epoch_leaves_no_model(blobs, monkeypatch):
    def interrupted(fits):
        raise KeyboardInterrupt

    monkeypatch.setattr(parallel_training, "train_batched", interrupted)
    detector = default(True)
    with pytest.raises(KeyboardInterrupt):
        detector.fit(blobs[0])
    assert not hasattr(detector, "n_features_in_")


@modes
def test_one_row_is_too_few(novelty):
    detector = default(novelty)
    with pytest.raises(ValueError, match=r"1 sample.* minimum of 2"):
        detector.fit([[1.0, 2.0]])
    assert not hasattr(detector, "n_features_in_")


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
        detector = default(novelty).fit(X[train])
        figures.append(roc_auc_score(y[test], -detector.score_samples(X[test])))
    assert np.mean(figures) >= auroc, figures
