from itertools import pairwise

import numpy as np
import pytest
import torch
from descent import descend
from torch import nn

from skae import AutoEncoderTransformer
from skae.estimators.contractive import ContractiveAutoEncoder
from skae.interfaces import Batch, RowSummary
from skae.networks import DenseNetwork, ModuleNetwork
from skae.objectives import LOSSES
from skae.objectives.contractive import ContractiveObjective, encode_and_estimate, squared_jacobian_norm
from skae.random import RandomStreams

ACTIVATIONS = ["relu", "gelu", "silu", "tanh", "sigmoid", "identity"]


def quick(n_components=8, **parameters):
    return ContractiveAutoEncoder(
        n_components, **{"hidden_layer_sizes": (32,), "max_iter": 10, "random_state": 0, "device": "cpu", **parameters}
    )


def build(hidden, activation="silu", code_activation="identity", n_features=8, n_components=3, n_members=2):
    """Return a batch of networks in float64 with rows, (K, 5, n_features)."""
    specification = DenseNetwork(hidden, activation, code_activation=code_activation)
    rows = RowSummary(torch.linspace(-1, 1, n_features), 0.7)
    network = specification.build(rows, n_components, RandomStreams(range(n_members)), logits=False).double()
    for parameter in network.parameters():  # biases too: at 0 a relu of the centre has its kink
        parameter.data += 0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0)).double()
    x = torch.randn(n_members, 5, n_features, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return network, x


def closed_form(network, x):
    _, weights, derivatives = network.encoder.jacobian_factors(x)
    return squared_jacobian_norm(weights, derivatives).expand(x.shape[:2])


def by_autograd(network, x):
    """The same from one backward pass a component."""
    x = x.clone().requires_grad_()
    code = network.encode(x)
    parts = [torch.autograd.grad(code[..., j].sum(), x, create_graph=True)[0] for j in range(code.shape[-1])]
    return sum(part.square().sum(-1) for part in parts)


# ---- exact -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hidden", [(), (7,), (20,), (6, 9), (9, 4, 6)])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("code_activation", ["identity", "sigmoid", "relu"])
@pytest.mark.parametrize(("n_features", "n_components"), [(8, 3), (3, 8)])
def test_closed_form_is_autograds_jacobian(hidden, activation, code_activation, n_features, n_components):
    network, x = build(hidden, activation, code_activation, n_features, n_components)
    code, _, _ = network.encoder.jacobian_factors(x)
    torch.testing.assert_close(code, network.encode(x))
    torch.testing.assert_close(closed_form(network, x), by_autograd(network, x), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("hidden", [(), (7,), (6, 9)])
@pytest.mark.parametrize("activation", ["silu", "relu"])
@pytest.mark.parametrize("code_activation", ["identity", "tanh", "relu"])
def test_so_is_its_gradient(hidden, activation, code_activation):
    network, x = build(hidden, activation, code_activation)
    parameters = list(network.encoder.parameters())
    got, expected = (
        torch.autograd.grad(norm(network, x).sum(), parameters, allow_unused=True, materialize_grads=True)
        for norm in (closed_form, by_autograd)
    )
    torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("hidden", [(7,), (6, 4)])
@pytest.mark.parametrize("inner_grad", [True, False])
@pytest.mark.parametrize("chunk_values", [1, 2 * 2 * 3 * 7, 2**17])  # a row at a time, unequal chunks, all at once
def test_gradient_does_not_depend_on_the_chunks(hidden, inner_grad, chunk_values, monkeypatch):
    monkeypatch.setattr("skae.objectives.contractive.CHUNK_VALUES", chunk_values)
    generator = torch.Generator().manual_seed(0)
    sizes = [8, *hidden, 3]
    weights = [torch.randn(2, *size, generator=generator, dtype=torch.float64) for size in pairwise(sizes)]
    derivatives = [torch.randn(2, 5, size, generator=generator, dtype=torch.float64) for size in sizes[1:]]
    inputs = [tensor.requires_grad_() for tensor in [*weights, *(derivatives if inner_grad else derivatives[-1:])]]
    # each row's norm in turn, so that the rows' gradients have weights of their own
    assert torch.autograd.gradcheck(lambda *_: squared_jacobian_norm(weights, derivatives), inputs)


# ---- stochastic --------------------------------------------------------------------------------------------


def mean_estimate(network, x, n_draws):
    """Mean of many draws for each row, (K, B), and its standard error."""
    random = RandomStreams(range(x.shape[0]))
    with torch.no_grad():
        _, draws = encode_and_estimate(network, x.repeat_interleave(n_draws, 1), random)
    draws = draws.unflatten(1, (-1, n_draws))
    return draws.mean(-1), draws.std(-1) / n_draws**0.5


@pytest.mark.parametrize("hidden", [(), (7,), (6, 9)])
def test_the_estimate_is_unbiased(hidden):
    network, x = build(hidden)
    estimate, error = mean_estimate(network, x, 20_000)
    assert (error < 0.02 * estimate).all()
    assert ((estimate - by_autograd(network, x)).abs() < 4.5 * error).all()


class LastState(nn.Module):
    """Encode a row as a sequence of two steps."""

    def __init__(self, n_features, n_components):
        super().__init__()
        self.lstm = nn.LSTM(n_features // 2, n_components, batch_first=True)

    def forward(self, x):
        return self.lstm(x.unflatten(1, (2, -1)))[0][:, -1]


def convolutional(n_features, n_components):
    return nn.Sequential(
        nn.Unflatten(1, (1, -1)), nn.Conv1d(1, 4, 3, padding=1), nn.SiLU(), nn.Flatten(), nn.Linear(32, n_components)
    )


@pytest.mark.parametrize("encoder", [LastState, convolutional], ids=["lstm", "convolutional"])
def test_the_estimate_trains_every_network(encoder):
    torch.manual_seed(0)
    network, x = ModuleNetwork(encoder(8, 3), nn.Linear(3, 8)).double(), build(())[1][:1]
    estimate, error = mean_estimate(network, x, 5000)
    assert ((estimate - by_autograd(network, x)).abs() < 4.5 * error).all()
    objective = ContractiveObjective(network, LOSSES["squared_error"], 1000.0, exact=False)
    before = by_autograd(network, x).mean()
    for _ in range(30):
        descend(objective, Batch(x, x), RandomStreams([0]), lr=1e-4)
    assert by_autograd(network, x).mean() < 0.5 * before


@pytest.mark.parametrize("exact", [True, False])
def test_losses_under_no_grad_are_the_same_and_hold_no_graph(exact):
    network, x = build((7,))
    objective = ContractiveObjective(network, LOSSES["squared_error"], 1.0, exact)
    with_graph = objective.row_losses(Batch(x, x), RandomStreams([0, 1]))
    with torch.no_grad():
        without = objective.row_losses(Batch(x, x), RandomStreams([0, 1]))
    torch.testing.assert_close(with_graph, without, rtol=1e-12, atol=0)
    assert (with_graph.requires_grad, without.requires_grad) == (True, False)


# ---- the estimator -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["exact", "stochastic"])
def test_training_contracts(method, digits):
    train, test = digits[:1400], torch.from_numpy(digits[1400:].copy()).unsqueeze(0)
    plain = quick(activation="silu", contraction_weight=0).fit(train)
    contracted = quick(activation="silu", method=method, contraction_weight=3e-4).fit(train)
    norms = [closed_form(fitted._network, test).mean().item() for fitted in (plain, contracted)]
    assert norms[1] < 0.4 * norms[0]
    assert contracted.score(digits[1400:]) > 1.5 * plain.score(digits[1400:])


def test_both_methods_train_to_the_same_end(digits):
    parameters = {"contraction_weight": 3e-4, "activation": "silu"}
    exact, stochastic = (quick(method=method, **parameters).fit(digits) for method in ("exact", "stochastic"))
    assert stochastic.loss_curve_[-1] == pytest.approx(exact.loss_curve_[-1], rel=0.1)


def test_default_network_is_tied(digits):
    fitted = quick(max_iter=1).fit(digits)
    assert fitted.encoder_.layers[0] is fitted.decoder_.layers[-1].tied_to


def test_without_weight_it_is_the_plain_autoencoder(digits):
    network = DenseNetwork((32,), "tanh")
    plain = AutoEncoderTransformer(8, network=network, max_iter=2, random_state=0).fit(digits)
    contractive = quick(network=network, contraction_weight=0, max_iter=2).fit(digits)
    np.testing.assert_allclose(contractive.transform(digits), plain.transform(digits), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("method", ["exact", "stochastic"])
def test_early_stopping_and_the_same_random_state(method, digits):
    first, second = (quick(method=method, early_stopping=True, max_iter=3).fit(digits) for _ in range(2))
    assert np.array_equal(first.transform(digits), second.transform(digits))
    assert first.validation_loss_curve_ == second.validation_loss_curve_
    assert first.validation_loss_curve_[-1] < first.validation_loss_curve_[0]


def own_network(n_features, n_components):
    return nn.Linear(n_features, n_components), nn.Linear(n_components, n_features)


NOT_CLOSED = [
    own_network,
    DenseNetwork((8,), normalization="batch"),
    DenseNetwork((8,), normalization="layer"),
    DenseNetwork((8,), dropout=0.1),
]


@pytest.mark.parametrize("network", NOT_CLOSED)
def test_exact_names_its_remedy(network, digits, monkeypatch):
    quick(network=network, method="stochastic", max_iter=1).fit(digits)
    monkeypatch.setattr("skae.estimators.base.train", lambda *args, **kwargs: pytest.fail("training began"))
    with pytest.raises(ValueError, match=r"method='exact' needs a dense network .*method='stochastic'"):
        quick(network=network).fit(digits)


@pytest.mark.parametrize(("name", "value"), [("method", "finite"), ("contraction_weight", -1.0)])
def test_bad_parameters(name, value, digits):
    with pytest.raises(ValueError, match=f"'{name}' parameter of ContractiveAutoEncoder must be"):
        quick(**{name: value}).fit(digits)
