import gc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from skae import AutoEncoderTransformer
from skae.interfaces import RowSummary
from skae.networks import DenseNetwork, MemoryNetwork, fused_output
from skae.networks.activations import OF_EACH_UNIT
from skae.random import RandomStreams

ROWS = RowSummary(torch.tensor([0.1, 5.0, -20.0]), 3.0)


def build(specification, n_members=1, logits=False):
    network = specification.build(ROWS, 2, RandomStreams(range(n_members)), logits).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.1 * torch.randn(parameter.shape)
    return network


@pytest.mark.parametrize("activation", sorted(OF_EACH_UNIT))
@pytest.mark.parametrize(("n_members", "n_batches"), [(1, 1), (1, 5), (3, 3)])
@pytest.mark.parametrize("logits", [True, False])
@torch.inference_mode()
def test_output_is_that_of_the_network(activation, n_members, n_batches, logits):
    torch.manual_seed(0)
    network = build(DenseNetwork((7, 4), activation, code_activation=activation), n_members, logits)
    fast = network.for_inference(keep=False)
    assert fast is not network
    for n_rows in (1, 9, 9):
        x = 3 * torch.randn(n_batches, n_rows, 3)
        before = x.clone()
        torch.testing.assert_close(fast(x), network(x))
        torch.testing.assert_close(x, before, rtol=0, atol=0)
        torch.testing.assert_close(fast.encode(x), network.encode(x))


def test_a_softmax_code_has_one_too():
    torch.manual_seed(0)
    network = MemoryNetwork().build(ROWS._replace(X=np.eye(3)), 2, RandomStreams([0]), logits=False).eval()
    with torch.inference_mode():
        x = torch.randn(1, 6, 3)
        torch.testing.assert_close(network.for_inference(keep=True)(x), network(x))


@pytest.mark.parametrize(
    "specification",
    [DenseNetwork((4,), tied_weights=True), DenseNetwork((4,), dropout=0.1), DenseNetwork((4,), normalization="layer")],
)
def test_other_layers_are_computed_by_the_network(specification):
    network = build(specification)
    assert network.for_inference(keep=True) is network


def test_what_is_kept_follows_the_weights_and_goes_with_the_network():
    X = np.random.default_rng(0).normal(size=(40, 3))
    autoencoder = AutoEncoderTransformer(2, hidden_layer_sizes=(5,), max_iter=2, random_state=0).fit(X)
    few, many = X[:5], np.repeat(X, 4, axis=0)[:100]

    def check(autoencoder):
        of_few, of_many = autoencoder.score_samples(few), autoencoder.score_samples(many)
        np.testing.assert_allclose(of_few, of_many[:20:4], rtol=1e-4)

    check(autoencoder)
    layer = autoencoder.decoder_.layers[-1]
    with torch.no_grad():
        layer.block.mul_(2)
    check(autoencoder)
    layer.block = torch.nn.Parameter(3 * layer.block.detach())
    check(autoencoder)
    network = autoencoder._network
    assert fused_output.kept_output(network) is not None
    n_kept = len(fused_output._outputs())
    del autoencoder, network, layer
    gc.collect()
    assert len(fused_output._outputs()) < n_kept


def test_threads_do_not_share_buffers():
    X = np.random.default_rng(0).normal(size=(64, 3))
    autoencoder = AutoEncoderTransformer(2, hidden_layer_sizes=(5,), max_iter=2, random_state=0).fit(X)
    expected = [autoencoder.reconstruct(X[k : k + 1]) for k in range(64)]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(10):
            results = list(pool.map(lambda k: autoencoder.reconstruct(X[k : k + 1]), range(64)))
            np.testing.assert_array_equal(np.vstack(results), np.vstack(expected))
