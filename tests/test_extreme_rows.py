"""Rows and units at the ends of float32: scores are numbers or infinite, labels right, explanations finite."""

import numpy as np
import pytest
from sklearn.base import clone
from torch import nn

from skae import (
    AdversarialAutoEncoder,
    AutoEncoderOutlierDetector,
    AutoEncoderTransformer,
    ConditionalVariationalAutoEncoder,
    ContractiveAutoEncoder,
    DenoisingAutoEncoder,
    SparseAutoEncoder,
    StackedAutoEncoder,
    StackedAutoEncoderClassifier,
    VariationalAutoEncoder,
)
from skae.networks import ConvNetwork, DenseNetwork, LSTMNetwork

LARGEST = np.finfo(np.float32).max
ROWS = np.random.default_rng(0).normal(size=(60, 12))
NORMAL = np.random.default_rng(1).normal(size=(60, 2)) @ np.random.default_rng(2).normal(size=(2, 5))


def user(n_features, n_components):
    return nn.Sequential(nn.Linear(n_features, 8), nn.ReLU(), nn.Linear(8, n_components)), nn.Linear(
        n_components, n_features
    )


def small(make, **parameters):
    return make(2, **{"hidden_layer_sizes": (8,), "max_iter": 3, "random_state": 0, **parameters})


NETWORKS = [
    DenseNetwork((8,), normalization="layer"),
    DenseNetwork((8,), "tanh", normalization="batch"),
    ConvNetwork((1, 4, 3), channels=(4,)),
    LSTMNetwork((12, 1), hidden_size=4),
    user,
]
AUTOENCODERS = [
    *[small(AutoEncoderTransformer, loss=loss) for loss in ("squared_error", "absolute_error", "huber")],
    *[small(AutoEncoderTransformer, network=network) for network in NETWORKS],
    *[small(VariationalAutoEncoder, network=network) for network in NETWORKS],
    *[
        small(make)
        for make in (
            DenoisingAutoEncoder,
            SparseAutoEncoder,
            ContractiveAutoEncoder,
            AdversarialAutoEncoder,
            StackedAutoEncoder,
            VariationalAutoEncoder,
            ConditionalVariationalAutoEncoder,
        )
    ],
    small(VariationalAutoEncoder, bound="importance_weighted", loss="absolute_error"),
]
DETECTORS = [
    AutoEncoderOutlierDetector(random_state=0),
    AutoEncoderOutlierDetector(novelty=True, random_state=0),
    AutoEncoderOutlierDetector(small(AutoEncoderTransformer), n_estimators=2, max_samples=0.5),
    *[AutoEncoderOutlierDetector(autoencoder) for autoencoder in AUTOENCODERS],
]


def extreme_rows():
    rows = np.zeros((7, 12), np.float32)
    rows[0], rows[1], rows[2], rows[3], rows[4, 0] = 1e20, 1e36, LARGEST, -LARGEST, LARGEST
    rows[5, ::2], rows[5, 1::2], rows[6, 3] = LARGEST, -LARGEST, 1e36
    return rows


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("scale", [1e-3, 1e6])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("detector", DETECTORS, ids=lambda d: repr(d)[27:90])
def test_extreme_rows_are_outliers_and_explained(detector, dtype, scale):
    X, extreme = (ROWS * scale).astype(dtype), extreme_rows().astype(dtype)
    bound = isinstance(detector.autoencoder, VariationalAutoEncoder | ConditionalVariationalAutoEncoder)
    for error in ("auto", "squared_error", "absolute_error", "whitened"):
        fitted = clone(detector).set_params(error=error).fit(X)
        scores = fitted.score_samples(extreme)
        assert (np.isfinite(scores) | np.isneginf(scores)).all(), error
        assert (fitted.predict(extreme) == -1).all(), error
        # whoever is extreme, the rows beside it keep their scores but for rounding
        together = fitted.score_samples(np.r_[X, extreme])[: len(X)]
        np.testing.assert_allclose(together, fitted.score_samples(X), rtol=1e-3, atol=1e-3 * abs(fitted.offset_))
        if not (bound and error == "auto"):
            parts = fitted.explain(extreme).to_numpy()
            assert np.isfinite(parts).all(), error
            np.testing.assert_allclose(parts.sum(1), -scores, rtol=1e-6)
        if detector.autoencoder is not None and error in ("squared_error", "absolute_error"):
            assert scores[0] > scores[1] > scores[2]  # the ensemble takes all beyond a million deviations for equal


FEW = [*DETECTORS[:3], AutoEncoderOutlierDetector(small(VariationalAutoEncoder))]


@pytest.mark.parametrize("detector", FEW, ids=lambda d: repr(d)[27:60])
@pytest.mark.parametrize("threshold", ["auto", "mean+3*std", "median+5*mad", 0.1])
def test_an_extreme_row_among_the_training_rows_is_an_outlier(threshold, detector):
    X = np.r_[ROWS, np.full((1, 12), 1e4)]
    fitted = clone(detector).set_params(threshold=threshold).fit(X)
    assert np.isfinite(fitted.threshold_)
    if not (detector.novelty and detector.autoencoder is None):  # whose members have learned that the row is normal
        assert fitted.predict(X)[-1] == -1
    assert fitted.predict(extreme_rows()).tolist() == [-1] * 7


@pytest.mark.parametrize("contamination", ["auto", 0.1])
@pytest.mark.parametrize("threshold", ["mean+3*std", "median+5*mad", "mean", "2*median"])
def test_errors_without_end_are_outliers_under_every_threshold(threshold, contamination, monkeypatch):
    monkeypatch.setattr(
        AutoEncoderTransformer, "_score_checked", lambda self, X: np.where(X[:, 0] > 5, np.nan, -np.square(X).mean(1))
    )
    X = ROWS.copy()
    X[:3, 0] = 9
    rule = {"threshold": threshold} if contamination == "auto" else {"contamination": contamination}
    detector = AutoEncoderOutlierDetector(small(AutoEncoderTransformer), **rule).fit(X)
    assert np.isfinite(detector.threshold_)
    assert detector.predict(X)[:3].tolist() == [-1, -1, -1]
    assert not np.isnan(detector.decision_function(X)).any()


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("unit", [1e-25, 1e-22, 1e22])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "estimator",
    [*AUTOENCODERS[:3], *AUTOENCODERS[-8:], small(StackedAutoEncoderClassifier)],
    ids=lambda e: repr(e)[:40],
)
def test_units_that_float32_does_not_hold_are_named(estimator, dtype, unit):
    X = (NORMAL * unit).astype(dtype)
    for method in ("fit", "partial_fit"):
        with pytest.raises(ValueError, match=r"The columns of X vary by .*Scale the columns \(StandardScaler\)"):
            getattr(clone(estimator), method)(X, np.arange(60) % 2)
    if hasattr(estimator, "score_samples"):
        for bag in ({}, {"n_estimators": 2, "max_samples": 0.5}):
            with pytest.raises(ValueError, match="StandardScaler"):
                AutoEncoderOutlierDetector(estimator, **bag).fit(X)


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("unit", [1e-12, 1e15])
@pytest.mark.parametrize("loss", ["squared_error", "absolute_error"])
@pytest.mark.parametrize("make", [AutoEncoderTransformer, StackedAutoEncoder])
def test_units_in_between_do_not_matter(make, loss, unit):
    plain, scaled = (small(make, loss=loss).fit(NORMAL * u).loss_curve_ for u in (1, unit))
    # the unit is no power of two: rows are rounded otherwise, losses by a few 1e-6 of themselves
    np.testing.assert_allclose(np.divide(scaled, scaled[0]), np.divide(plain, plain[0]), rtol=1e-3)
    detector = AutoEncoderOutlierDetector(small(make, loss=loss)).fit(NORMAL * unit)
    assert (detector.predict(NORMAL * unit) == 1).mean() > 0.8
    assert (detector.predict(1000 * NORMAL[:5] * unit) == -1).all()


def test_the_ensemble_takes_every_unit():
    labels = [AutoEncoderOutlierDetector(random_state=0).fit_predict(NORMAL * u) for u in (1, 1e-25, 1e22)]
    # a row within rounding of the threshold may change sides
    assert all((found != labels[0]).sum() <= 1 for found in labels[1:])
