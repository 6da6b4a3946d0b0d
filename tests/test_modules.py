"""Networks of a user's own modules that work in place."""

import numpy as np
import pytest
import torch
from torch import nn

from skae import (
    AdversarialAutoEncoder,
    AutoEncoderOutlierDetector,
    AutoEncoderTransformer,
    ConditionalVariationalAutoEncoder,
    ContractiveAutoEncoder,
    DenoisingAutoEncoder,
    SparseAutoEncoder,
    VariationalAutoEncoder,
)

X = np.random.default_rng(0).normal(size=(60, 5)).astype(np.float32)
X.flags.writeable = False
ESTIMATORS = [
    AutoEncoderTransformer(2),
    DenoisingAutoEncoder(2),
    SparseAutoEncoder(2),
    ContractiveAutoEncoder(2, method="stochastic"),
    AdversarialAutoEncoder(2),
    VariationalAutoEncoder(2),
    ConditionalVariationalAutoEncoder(2),
]


def relu(inplace):
    return nn.ReLU(inplace=inplace)


def dropout(inplace):
    return nn.Dropout(0.3, inplace=inplace)


def fit(estimator, first, inplace, X, **parameters):
    def network(n_features, n_components):
        return (
            nn.Sequential(first(inplace), nn.Linear(n_features, 6), nn.ReLU(inplace), nn.Linear(6, n_components)),
            nn.Sequential(first(inplace), nn.Linear(n_components, n_features)),
        )

    return type(estimator)(
        **{**estimator.get_params(), "network": network, "max_iter": 3, "random_state": 0, **parameters}
    ).fit(X)


@pytest.mark.parametrize("first", [relu, dropout])
@pytest.mark.parametrize("estimator", ESTIMATORS, ids=repr)
def test_working_in_place_changes_nothing(estimator, first):
    rows = X.copy()
    in_place, twin = fit(estimator, first, True, rows), fit(estimator, first, False, X)
    # the same kernels on the same numbers: a few units in the last place, were one of them to be chosen by alignment
    np.testing.assert_allclose(in_place.loss_curve_, twin.loss_curve_, rtol=1e-5)
    for method in ("score_samples", "transform", "reconstruct"):
        found, expected = getattr(in_place, method)(rows), getattr(twin, method)(X)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
        np.testing.assert_array_equal(rows, X)
    codes = in_place.transform(rows)
    kept = codes.copy()
    in_place.inverse_transform(codes)
    np.testing.assert_array_equal(codes, kept)
    in_place.partial_fit(rows)
    np.testing.assert_array_equal(rows, X)


def test_clean_rows_to_reconstruct_are_not_overwritten():
    rows, clean = X.copy(), X[::-1].copy()
    fitted = fit(DenoisingAutoEncoder(2), relu, True, rows)
    losses = fitted.fit(rows, clean).loss_curve_
    twin = fit(DenoisingAutoEncoder(2), relu, False, X)
    np.testing.assert_allclose(losses, twin.fit(X, X[::-1].copy()).loss_curve_, rtol=1e-5)
    np.testing.assert_array_equal(rows, X)
    np.testing.assert_array_equal(clean, X[::-1])


def test_the_encoder_of_the_best_class_reads_rows_that_neither_half_has_changed():
    encoder = fit(ConditionalVariationalAutoEncoder(2), nn.SiLU, True, X).encoder_
    expected = fit(ConditionalVariationalAutoEncoder(2), nn.SiLU, False, X).encoder_
    with torch.no_grad():
        found, expected = (e(torch.from_numpy(X.copy())) for e in (encoder, expected))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_a_detector_explains_rows_that_have_not_been_changed():
    in_place, twin = (
        AutoEncoderOutlierDetector(fit(AutoEncoderTransformer(2), relu, inplace, X)).fit(X) for inplace in (True, False)
    )
    np.testing.assert_allclose(in_place.explain(X), twin.explain(X), rtol=1e-4, atol=1e-5)
