import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from skae import AutoEncoderTransformer, VariationalAutoEncoder
from skae.inference import BLOCK_ROWS, apply_in_blocks
from skae.interfaces import RowSummary
from skae.networks import DenseNetwork
from skae.networks.activations import OF_EACH_UNIT
from skae.random import RandomStreams

CPU = torch.device("cpu")
N_WIDE = 1500  # a batch of blocks and single ones


@pytest.fixture(scope="module")
def wide():
    """A network wide enough for BLAS to round a row differently in products of different sizes."""
    X = np.random.default_rng(0).normal(size=(N_WIDE, 784)).astype(np.float32)
    return AutoEncoderTransformer(32, hidden_layer_sizes=(512, 256), max_iter=1, random_state=0).fit(X), X


@settings(max_examples=25)
@given(st.lists(st.integers(0, N_WIDE - 1), min_size=1, max_size=300))
def test_a_row_is_mapped_alike_in_any_company(wide, chosen):
    """Up to rounding: the last bits depend on the processor and on a row's place in a block."""
    autoencoder, X = wide
    for method in (autoencoder.transform, autoencoder.reconstruct, autoencoder.score_samples):
        expected = method(X)[chosen]
        np.testing.assert_allclose(method(X[chosen]), expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())
        np.testing.assert_array_equal(method(X[chosen]), method(X[chosen]))


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


@pytest.mark.parametrize(
    "parameters", [{}, {"tied_weights": True}, {"dropout": 0.5}, {"normalization": "batch"}], ids=str
)
@pytest.mark.parametrize("activation", sorted(OF_EACH_UNIT))
def test_one_member_takes_many_batches(activation, parameters):
    rows = RowSummary(torch.tensor([1.0, 2.0, 3.0]), 0.5)
    specification = DenseNetwork((4,), activation, code_activation=activation, **parameters)
    network = specification.build(rows, 2, RandomStreams([0]), False).eval()
    x = torch.rand(5, 7, 3)
    for apply in (network, network.encode):
        expected = torch.cat([apply(part.unsqueeze(0)) for part in x]).detach()
        with torch.no_grad():  # where activations work in place
            torch.testing.assert_close(apply(x), expected)


def test_scores_follow_weights_that_a_user_changes(wide):
    autoencoder, X = wide
    before = autoencoder.transform(X[:3])
    autoencoder.encoder_.layers[-1].bias.data += 1
    np.testing.assert_allclose(autoencoder.transform(X[:3]), before + 1, rtol=1e-4, atol=1e-4)
    autoencoder.encoder_.layers[-1].bias.data -= 1


@pytest.mark.parametrize("n_threads", [1, 2])
def test_the_callers_threads_are_put_back(n_threads, wide):
    n = torch.get_num_threads()
    try:
        torch.set_num_threads(n_threads)
        autoencoder, X = wide
        autoencoder.score_samples(X[:1])
        AutoEncoderTransformer(2, hidden_layer_sizes=(4,), max_iter=1).fit(X[:50, :5])
        assert torch.get_num_threads() == n_threads
    finally:
        torch.set_num_threads(n)


@pytest.mark.parametrize(("n_hidden", "is_small"), [(8, True), (20_000, False)])
def test_blocks_of_small_networks_are_computed_in_one_thread(monkeypatch, n_hidden, is_small):
    X = np.random.default_rng(0).normal(size=(40, 10))
    autoencoder = VariationalAutoEncoder(2, hidden_layer_sizes=(n_hidden,), max_iter=1, random_state=0).fit(X)
    seen = []
    monkeypatch.setattr("skae.inference.limit_to_one_thread", lambda f, *args: seen.append(f) or f(*args))
    autoencoder.score_samples(X)
    assert bool(seen) == is_small
