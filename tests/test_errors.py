import numpy as np
import pytest
from sklearn.base import clone

from skae import AutoEncoderOutlierDetector, AutoEncoderTransformer, StackedAutoEncoder, VariationalAutoEncoder
from skae.outliers.errors import RIDGE, ErrorMeasure, make_measure


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    return rng.normal(size=(300, 2)) @ rng.normal(size=(2, 5)) + rng.normal(size=(300, 5)) * [0.01, 0.1, 0.1, 0.3, 1]


@pytest.fixture(scope="module")
def fitted(rows):
    return AutoEncoderTransformer(2, hidden_layer_sizes=(8,), max_iter=20, random_state=0).fit(rows)


def test_squared_and_absolute_errors_are_means_over_the_features(rows, fitted):
    residuals = rows - fitted.reconstruct(rows)
    np.testing.assert_allclose(make_measure("squared_error", fitted, rows).errors(rows), (residuals**2).mean(1))
    np.testing.assert_allclose(make_measure("absolute_error", fitted, rows).errors(rows), np.abs(residuals).mean(1))


def test_whitened_is_the_mahalanobis_norm(rows, fitted):
    residuals = rows - fitted.reconstruct(rows)
    covariance = np.cov(residuals.T, bias=True)
    covariance += RIDGE * np.trace(covariance) / 5 * np.eye(5)
    centered = residuals - residuals.mean(0)
    expected = np.einsum("ni,ij,nj->n", centered, np.linalg.inv(covariance), centered) / 5
    np.testing.assert_allclose(make_measure("whitened", fitted, rows).errors(rows), expected)


def test_whitened_without_residuals():
    class Perfect:
        def _reconstruct_checked(self, X):
            return X

    X = np.ones((4, 2))
    assert make_measure("whitened", Perfect(), X).errors(X).tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize("error", ["auto", "squared_error", "absolute_error", "whitened"])
@pytest.mark.parametrize("loss", ["squared_error", "huber", "binary_cross_entropy"])
def test_contributions_sum_to_the_error(error, loss, rows):
    X = (rows - rows.min()) / np.ptp(rows)
    model = StackedAutoEncoder(2, hidden_layer_sizes=(8,), max_iter=5, loss=loss, random_state=0).fit(X)
    measure = make_measure(error, model, X)
    np.testing.assert_allclose(measure.contributions(X).sum(1), measure.errors(X), rtol=1e-9)


@pytest.mark.parametrize("error", ["squared_error", "absolute_error", "whitened"])
@pytest.mark.parametrize(("unit", "offset"), [(1e-6, 0.0), (1.0, 1e8), (1e5, 0.0)])
def test_residuals_of_the_default_may_have_any_unit_and_offset(error, unit, offset):
    X = np.random.default_rng(0).normal(size=(200, 4))
    X[:5] *= 20
    detector = AutoEncoderOutlierDetector(n_estimators=20, error=error, random_state=0)
    plain, other = (clone(detector).fit(rows).predict(rows) for rows in (X, X * unit + offset))
    assert (plain[:5] == -1).all()
    assert (plain == other).mean() > 0.98  # float64 rounds rows so far from 0


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("unit", [1e-300, 1e200])
def test_residuals_that_cannot_be_whitened(unit):
    X = np.random.default_rng(0).normal(size=(50, 3)) * unit
    with pytest.raises(ValueError, match="needs residuals whose squares float64 holds: scale X"):
        AutoEncoderOutlierDetector(n_estimators=4, error="whitened", random_state=0).fit(X)


def test_a_bound_has_no_parts(rows):
    vae = VariationalAutoEncoder(2, max_iter=2, random_state=0).fit(rows)
    with pytest.raises(ValueError, match=r"score of a VariationalAutoEncoder is a bound.*error='squared_error'"):
        ErrorMeasure(vae, rows).contributions(rows)
