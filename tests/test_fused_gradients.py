import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from skae import AutoEncoderTransformer, DenoisingAutoEncoder, SparseAutoEncoder
from skae.interfaces import Network, RowSummary
from skae.networks import DenseNetwork
from skae.networks.activations import ACTIVATIONS
from skae.objectives import LOSSES, ReconstructionObjective
from skae.random import RandomStreams


def build(n_members, **parameters):
    """A network of float64 weights and biases."""
    # a power of two, so that the buffers in which the network keeps it and its inverse are exact
    rows = RowSummary(torch.tensor([0.1, 0.5, -0.2, 0.3]), 0.5)
    logits = parameters.pop("logits", False)
    network = DenseNetwork(**parameters).build(rows, 2, RandomStreams(range(n_members)), logits).double()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, dtype=torch.float64)
    return network


@given(
    loss=st.sampled_from(sorted(LOSSES)),
    activation=st.sampled_from(sorted(ACTIVATIONS)),
    code=st.sampled_from(sorted(ACTIVATIONS)),
    hidden=st.lists(st.integers(1, 6), max_size=3),
    n_members=st.integers(1, 3),
    unit_of_each=st.booleans(),
)
@settings(max_examples=60)
def test_gradients_are_those_of_autograd(loss, activation, code, hidden, n_members, unit_of_each):
    torch.manual_seed(0)
    network = build(
        n_members,
        hidden_layer_sizes=hidden,
        activation=activation,
        code_activation=code,
        logits=loss == "binary_cross_entropy",
    )
    x, target = torch.rand(2, n_members, 7, 4, dtype=torch.float64)
    losses = LOSSES[loss].elementwise(network(x), target).mean((1, 2))
    unit = torch.rand(n_members, dtype=torch.float64) + 0.1 if unit_of_each else 0.3
    expected = torch.autograd.grad((losses / unit).sum(), list(network.parameters()))
    by_hand = network.fused_gradients(LOSSES[loss], unit)
    torch.testing.assert_close(by_hand.compute(x, target), losses.detach(), rtol=1e-10, atol=1e-12)
    for parameter, gradient in zip(network.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("layers", [{"dropout": 0.1}, {"normalization": "layer"}, {"tied_weights": True}], ids=str)
def test_other_layers_are_left_to_autograd(layers):
    assert build(1, **layers).fused_gradients(LOSSES["squared_error"], 1.0) is None


@pytest.mark.parametrize("make", [AutoEncoderTransformer, DenoisingAutoEncoder])
def test_training_is_the_same_by_hand_and_by_autograd(make, digits, monkeypatch):
    def fit():
        return make(4, hidden_layer_sizes=(16,), max_iter=3, random_state=0).fit(digits)

    by_hand = fit()
    monkeypatch.setattr("skae.networks.layers.DenseAutoEncoder.fused_gradients", Network.fused_gradients)
    np.testing.assert_allclose(by_hand.loss_curve_, fit().loss_curve_, rtol=1e-4)


def test_an_objective_of_its_own_is_left_to_autograd(digits):
    plain, sparse = (
        make(4, hidden_layer_sizes=(16,), max_iter=3, random_state=0).fit(digits).transform(digits)
        for make in (AutoEncoderTransformer, SparseAutoEncoder)
    )
    assert np.abs(sparse).mean() < np.abs(plain).mean()


def test_a_fitted_model_is_pickled_once(digits):
    import pickle

    fitted = AutoEncoderTransformer(8, hidden_layer_sizes=(64,), max_iter=1).fit(digits)
    n_parameters = sum(p.numel() for p in fitted._network.parameters())
    assert len(pickle.dumps(fitted)) < 1.5 * 4 * n_parameters + 20_000


def test_a_pure_distance_stays_one():
    with pytest.raises(TypeError, match="must inherit skae"):

        class Penalised(ReconstructionObjective):
            pass
