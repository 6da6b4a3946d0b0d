import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from torch import nn

from skae import AutoEncoderTransformer
from skae.interfaces import RowSummary
from skae.networks import DenseNetwork, build_from_callable
from skae.networks.activations import OF_EACH_UNIT
from skae.random import RandomStreams

ROWS = RowSummary(torch.tensor([1.0, -2.0, 3.0, 0.0]), 2.0)


def build(n_members=1, n_components=2, logits=False, rows=ROWS, **parameters):
    return DenseNetwork(**parameters).build(rows, n_components, RandomStreams(list(range(n_members))), logits)


SPECIFICATIONS = st.fixed_dictionaries(
    {
        "hidden_layer_sizes": st.lists(st.integers(1, 9), max_size=3),
        "activation": st.sampled_from(sorted(OF_EACH_UNIT)),
        "normalization": st.sampled_from([None, "batch", "layer"]),
        "tied_weights": st.booleans(),
        "dropout": st.sampled_from([0.0, 0.3]),
    }
)


@given(SPECIFICATIONS, st.integers(1, 3), st.integers(1, 6))
@settings(max_examples=60)
def test_a_member_computes_the_same_by_itself_and_in_a_batch(parameters, n_members, n_components):
    # in float64, for normalisation by a tiny variance blows float32's rounding up
    x = torch.randn(n_members, 7, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    network = build(n_members, n_components, **parameters).double().train()
    together = network(x, RandomStreams(range(n_members)))
    assert together.shape == x.shape
    assert network.encode(x).shape == (n_members, 7, n_components)
    for k in range(n_members):
        alone = DenseNetwork(**parameters).build(ROWS, n_components, RandomStreams([k]), False).double().train()
        torch.testing.assert_close(alone(x[k : k + 1], RandomStreams([k]))[0], together[k], rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("activation", sorted(OF_EACH_UNIT))
@pytest.mark.parametrize("normalization", [None, "batch", "layer"])
def test_gradients_agree_with_finite_differences(activation, normalization):
    network = build(2, hidden_layer_sizes=(5, 3), activation=activation, normalization=normalization).double()
    x = torch.randn(2, 6, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    parameters = [p.detach().requires_grad_() for p in network.parameters()]
    names = [name for name, _ in network.named_parameters()]

    def output(*values):
        return torch.func.functional_call(network, dict(zip(names, values, strict=True)), (x,))

    assert torch.autograd.gradcheck(output, parameters, fast_mode=True)


def test_halves_are_ordinary_modules_over_two_dimensional_batches():
    network = build(hidden_layer_sizes=(5,))
    x = torch.randn(6, 4)
    assert network.encoder(x).shape == (6, 2)
    torch.testing.assert_close(network.decoder(network.encoder(x)), network(x[None])[0])


def test_tied_weights_share_memory_and_keep_their_own_biases():
    network = build(hidden_layer_sizes=(5, 3), tied_weights=True)
    encoder, decoder = network.encoder.layers, network.decoder.layers
    assert all(d.tied_to is e for e, d in zip(encoder, reversed(decoder), strict=True))
    assert all(e.bias is not d.bias for e, d in zip(encoder, reversed(decoder), strict=True))
    n_untied = sum(p.numel() for p in build(hidden_layer_sizes=(5, 3)).parameters())
    assert sum(p.numel() for p in network.parameters()) == n_untied - (4 * 5 + 5 * 3 + 3 * 2)


def test_dropout_drops_its_share_in_training_only():
    network = build(hidden_layer_sizes=(4000,), activation="identity", dropout=0.25)
    hidden = []
    network.encoder.layers[1].register_forward_pre_hook(lambda module, args: hidden.append(args[0]))
    x = torch.randn(1, 3, 4)
    network.train()(x, RandomStreams([0]))
    network.eval()(x)
    in_training, in_scoring = hidden
    dropped = in_training == 0
    assert dropped.float().mean().item() == pytest.approx(0.25, abs=0.02)
    torch.testing.assert_close(in_training[~dropped], in_scoring[~dropped] / 0.75)


def test_batch_normalisation_centres_in_training_and_remembers():
    network = build(hidden_layer_sizes=(8,), activation="identity", normalization="batch")
    outputs = []
    network.encoder.norms[0].register_forward_hook(lambda module, args, out: outputs.append(out))
    x = torch.randn(1, 64, 4)
    for _ in range(200):
        network.train()(x)
    torch.testing.assert_close(outputs[-1].mean(1), torch.zeros(1, 8), atol=1e-5, rtol=0)
    torch.testing.assert_close(outputs[-1].std(1, correction=0), torch.ones(1, 8), atol=1e-2, rtol=0)
    network.eval()(x)
    torch.testing.assert_close(outputs[-1], outputs[-2], atol=1e-3, rtol=1e-3)


def test_layer_normalisation_centres_each_row():
    network = build(hidden_layer_sizes=(8,), activation="identity", normalization="layer")
    outputs = []
    network.encoder.norms[0].register_forward_hook(lambda module, args, out: outputs.append(out))
    network(torch.randn(1, 5, 4))
    torch.testing.assert_close(outputs[0].mean(-1), torch.zeros(1, 5), atol=1e-5, rtol=0)


@given(st.floats(-1e3, 1e3), st.floats(1e-3, 1e3))
@settings(max_examples=20)
def test_location_and_unit_of_the_rows_do_not_matter(shift, unit):
    x = torch.randn(1, 5, 4, generator=torch.Generator().manual_seed(0))
    network = build(rows=RowSummary(torch.zeros(4), 1.0))
    moved = build(rows=RowSummary(torch.full((4,), shift), unit))
    expected = network(x) * unit + shift
    torch.testing.assert_close(moved(x * unit + shift), expected, rtol=1e-3, atol=1e-3 * (abs(shift) + unit))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"hidden_layer_sizes": (64, 0)}, r"hidden_layer_sizes=\(64, 0\) must hold integers >= 1"),
        ({"hidden_layer_sizes": (2.5,)}, "must hold integers >= 1"),
        ({"dropout": 1.0}, "'dropout' parameter of DenseNetwork must be a float in the range"),
        ({"activation": "swish"}, "'activation' parameter of DenseNetwork must be a str among"),
        ({"normalization": "group"}, "'normalization' parameter of DenseNetwork must be"),
        ({"output_activation": "sigmoid", "logits": True}, "output_activation='sigmoid' must be 'identity'"),
    ],
)
def test_bad_specifications(parameters, message):
    with pytest.raises(ValueError, match=message):
        build(**parameters)


def test_a_specification_can_be_cloned_and_searched():
    autoencoder = AutoEncoderTransformer(network=DenseNetwork((8,)))
    copy = clone(autoencoder).set_params(network__activation="tanh", network__hidden_layer_sizes=(4, 4))
    assert copy.network.activation == "tanh"
    assert autoencoder.network.activation == "relu"


# ---- a user's own modules ----------------------------------------------------------------------------------


def own_network(n_features, n_components):
    encoder = nn.Sequential(nn.Linear(n_features, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.1))
    return encoder.append(nn.Linear(16, n_components)), nn.Linear(n_components, n_features)


def test_a_users_network_trains_and_scores(plane):
    autoencoder = AutoEncoderTransformer(2, network=own_network, max_iter=60, random_state=0).fit(plane)
    assert isinstance(autoencoder.encoder_, nn.Sequential)
    assert -autoencoder.score(plane) < 0.5 * plane.var()


def test_a_users_network_is_reproducible_and_leaves_torchs_generator_alone(plane):
    def fit():
        return AutoEncoderTransformer(2, network=own_network, max_iter=3, random_state=0).fit(plane).transform(plane)

    before = torch.get_rng_state()
    first = fit()
    assert torch.get_rng_state().equal(before)
    torch.rand(3)
    assert np.array_equal(first, fit())


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (lambda d, k: nn.Linear(d, k), r"must return a pair \(encoder, decoder\)"),
        (lambda d, k: (nn.Linear(d, k + 1), nn.Linear(k + 1, d)), r"encoder maps .* must be \(2, 2\)"),
        (lambda d, k: (nn.Linear(d, k), nn.Linear(k, d + 1)), r"decoder maps .* must be \(2, 5\)"),
        (lambda d, k: (nn.Identity(), nn.Identity()), "nothing to train"),
        (lambda d, k: (nn.LSTM(d, k), nn.Linear(k, d)), "do not take a batch"),
        (lambda d, k: (nn.Linear(d, k), nn.Linear(k + 1, d)), r"do not take a batch of shape \(2, 5\)"),
    ],
)
def test_a_users_network_of_the_wrong_shape(network, message, plane):
    with pytest.raises(ValueError, match=message):
        AutoEncoderTransformer(2, network=network).fit(plane)


def test_a_sigmoid_in_front_of_the_cross_entropy_is_refused():
    def squashed(d, k):
        return nn.Linear(d, k), nn.Sequential(nn.Linear(k, d), nn.Sigmoid())

    with pytest.raises(ValueError, match="decoder ends in a Sigmoid"):
        build_from_callable(squashed, 4, 2, seed=0, logits=True)
