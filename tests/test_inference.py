import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from skae import AutoEncoderTransformer
from skae.inference import BLOCK_ROWS, apply_in_blocks

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def wide():
    """A network wide enough for BLAS to round a row differently in products of different sizes."""
    X = np.random.default_rng(0).normal(size=(600, 784)).astype(np.float32)
    return AutoEncoderTransformer(32, hidden_layer_sizes=(512, 256), max_iter=1, random_state=0).fit(X), X


@settings(max_examples=25)
@given(st.lists(st.integers(0, 599), min_size=1, max_size=300))
def test_a_row_is_mapped_alike_in_any_company(wide, chosen):
    autoencoder, X = wide
    for method in (autoencoder.transform, autoencoder.reconstruct, autoencoder.score_samples):
        assert np.array_equal(method(X[chosen]), method(X)[chosen])


@pytest.mark.parametrize("n", [1, BLOCK_ROWS["cpu"], BLOCK_ROWS["cpu"] + 1, 3 * BLOCK_ROWS["cpu"] - 1])
@pytest.mark.parametrize("order", ["C", "F"])
def test_blocks_cover_every_row_once(n, order):
    X = np.asarray(np.arange(2.0 * n).reshape(n, 2), order=order)
    result = apply_in_blocks(lambda x: 2 * x, X, CPU, np.float64)
    assert result.dtype == np.float64
    np.testing.assert_array_equal(result, 2 * X)
    np.testing.assert_array_equal(apply_in_blocks(lambda x: x.sum(-1), X, CPU, np.float32), X.sum(1))


def test_values_beyond_float32_are_refused():
    with pytest.raises(ValueError, match=r"X holds values up to 1e\+39, beyond float32"):
        apply_in_blocks(lambda x: x, np.array([[1.0], [1e39]]), CPU, np.float64)
