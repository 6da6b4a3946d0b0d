import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone

from skae import (
    AdversarialAutoEncoder,
    AutoEncoderTransformer,
    ConditionalVariationalAutoEncoder,
    ContractiveAutoEncoder,
    DenoisingAutoEncoder,
    SparseAutoEncoder,
    StackedAutoEncoder,
    StackedAutoEncoderClassifier,
    VariationalAutoEncoder,
)
from skae.estimators.batched_training import Fit, train_batched
from skae.interfaces import Network, RowSummary
from skae.networks import DenseNetwork, MemoryNetwork
from skae.networks.activations import OF_EACH_UNIT
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
    activation=st.sampled_from(sorted(OF_EACH_UNIT)),
    code=st.sampled_from(sorted(OF_EACH_UNIT)),
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


@given(
    loss=st.sampled_from(sorted(set(LOSSES) - {"binary_cross_entropy"})),
    n_components=st.integers(1, 9),
    n_members=st.integers(1, 3),
    temperature=st.sampled_from([0.1, 1.0, 10.0]),
    unit_of_each=st.booleans(),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
@settings(max_examples=60)
def test_gradients_of_a_softmax_code_are_those_of_autograd(
    loss, n_components, n_members, temperature, unit_of_each, dtype
):
    torch.manual_seed(0)
    rows = RowSummary(torch.tensor([0.1, 0.5, -0.2, 0.3]), 0.5, X=torch.rand(9, 4).numpy())
    network = MemoryNetwork(temperature).build(rows, n_components, RandomStreams(range(n_members)), False).to(dtype)
    x, target = torch.rand(2, n_members, 7, 4, dtype=dtype)
    losses = LOSSES[loss].elementwise(network(x), target).mean((1, 2))
    unit = torch.rand(n_members, dtype=torch.float64) + 0.1 if unit_of_each else 0.3
    expected = torch.autograd.grad((losses / unit).sum(), list(network.parameters()))
    by_hand = network.fused_gradients(LOSSES[loss], unit)
    found = by_hand.compute(x, target)
    # keys are large at a low temperature: float32 rounds what the softmax is taken of by some 1e-5
    for actual, wanted in [
        (found, losses.detach()),
        *zip([p.grad for p in network.parameters()], expected, strict=True),
    ]:
        close = 1e-10 if dtype == torch.float64 else 1e-3
        torch.testing.assert_close(
            actual, wanted, rtol=close, atol=1e-2 * close * float(wanted.abs().max()), check_dtype=False
        )


@pytest.mark.parametrize("layers", [{"dropout": 0.1}, {"normalization": "layer"}, {"tied_weights": True}], ids=str)
def test_other_layers_are_left_to_autograd(layers):
    assert build(1, **layers).fused_gradients(LOSSES["squared_error"], 1.0) is None


# ---- through fit, in float32 -------------------------------------------------------------------------------

# Both ways compute the same sums in another order. Each rounds a loss by about 1e-6 of itself, and a step moves a
# weight whose gradient is nothing but rounding either way, by 4e-3 at most: the losses of six steps were 3e-5 apart at
# most, 1e-4 on the simulated processor. A gradient or an activation that is wrong shows in the second digit.
SAME = {"rtol": 1e-3}
ROWS = np.random.default_rng(0).uniform(size=(48, 6)).astype(np.float32)
PLACES = ["activation", "code_activation", "output_activation"]


def small(make, loss, **network):
    network = DenseNetwork(**{"hidden_layer_sizes": (5,), **network})
    first = {"pretrain_max_iter": 1} if make is StackedAutoEncoder else {}
    return make(3, network=network, loss=loss, max_iter=2, batch_size=16, random_state=0, **first)


def losses_by_both(fit, monkeypatch):
    """Return the losses of a fit by fused gradients and by autograd."""
    fused = fit()
    with monkeypatch.context() as patch:
        patch.setattr("skae.networks.layers.DenseAutoEncoder.fused_gradients", Network.fused_gradients)
        return fused, fit()


@pytest.mark.parametrize("make", [AutoEncoderTransformer, DenoisingAutoEncoder, StackedAutoEncoder])
@pytest.mark.parametrize("loss", sorted(LOSSES))
@pytest.mark.parametrize("activation", sorted(OF_EACH_UNIT))
def test_fits_are_the_same_by_both(activation, loss, make, monkeypatch):
    logits = loss == "binary_cross_entropy"  # whose output activation is fixed
    for place in PLACES[: 2 if logits else 3]:
        autoencoder = small(make, loss, **{place: activation})

        def fit(autoencoder=autoencoder):
            fitted = clone(autoencoder).fit(ROWS)
            return [fitted.loss_curve_, *getattr(fitted, "pretraining_loss_curves_", [])]

        for fused, autograd in zip(*losses_by_both(fit, monkeypatch), strict=True):
            np.testing.assert_allclose(fused, autograd, **SAME, err_msg=place)


@pytest.mark.parametrize("loss", sorted(LOSSES))
@pytest.mark.parametrize("activation", sorted(OF_EACH_UNIT))
def test_batched_fits_are_the_same_by_both(activation, loss, monkeypatch):
    def fit():
        autoencoders = [
            small(AutoEncoderTransformer, loss, activation=activation).set_params(random_state=seed) for seed in (1, 2)
        ]
        train_batched([Fit(autoencoder, ROWS) for autoencoder in autoencoders])
        return [autoencoder.loss_curve_ for autoencoder in autoencoders]

    np.testing.assert_allclose(*losses_by_both(fit, monkeypatch), **SAME)


OTHERS = [
    SparseAutoEncoder(3),
    SparseAutoEncoder(3, sparsity="kl"),
    ContractiveAutoEncoder(3),
    ContractiveAutoEncoder(3, method="stochastic"),
    AdversarialAutoEncoder(3),
    VariationalAutoEncoder(3),
    ConditionalVariationalAutoEncoder(3),
    StackedAutoEncoderClassifier(3, pretrain_max_iter=1),
]


@pytest.mark.parametrize("autoencoder", OTHERS, ids=repr)
@pytest.mark.parametrize("activation", sorted(OF_EACH_UNIT))
def test_what_autograd_alone_trains_learns_with_every_activation(activation, autoencoder):
    for loss in sorted(LOSSES):
        fitted = clone(autoencoder).set_params(
            hidden_layer_sizes=(5,), activation=activation, loss=loss, max_iter=8, batch_size=16, random_state=0
        )
        losses = fitted.fit(ROWS, np.arange(48) % 2).loss_curve_
        assert np.isfinite(losses).all()
        assert min(losses[1:]) < losses[0]


@pytest.mark.parametrize("make", [AutoEncoderTransformer, DenoisingAutoEncoder, StackedAutoEncoder])
@pytest.mark.parametrize(
    "option",
    [{"tied_weights": True}, {"dropout": 0.2}, {"normalization": "batch"}, {"normalization": "layer"}],
    ids=str,
)
def test_every_activation_learns_with_every_dense_option(option, make):
    for loss in sorted(LOSSES):
        for activation in sorted(OF_EACH_UNIT):
            autoencoder = small(make, loss, activation=activation, code_activation=activation, **option)
            losses = autoencoder.set_params(max_iter=8, learning_rate_init=0.03).fit(ROWS).loss_curve_
            assert np.isfinite(losses).all()
            assert min(losses[1:]) < losses[0], (loss, activation)


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


@pytest.mark.parametrize("loss", sorted(LOSSES))
def test_a_last_row_that_does_not_count_changes_nothing(loss):
    torch.manual_seed(0)
    network = build(3, hidden_layer_sizes=(5,), logits=loss == "binary_cross_entropy")
    x, target = torch.rand(2, 3, 7, 4, dtype=torch.float64)
    units = torch.tensor([0.3, 1.0, 2.0], dtype=torch.float64)
    rows = LOSSES[loss].elementwise(network(x), target).mean(2)  # (K, B)
    losses = torch.stack([rows[0].mean(), rows[1, :-1].mean(), rows[2].mean()])
    expected = torch.autograd.grad((losses / units).sum(), list(network.parameters()))
    by_hand = network.fused_gradients(LOSSES[loss], units)
    for _ in range(2):
        got = by_hand.compute(x, target, torch.tensor([7, 6, 7]))
        torch.testing.assert_close(got, losses.detach(), rtol=1e-10, atol=1e-12)
        for parameter, gradient in zip(network.parameters(), expected, strict=True):
            torch.testing.assert_close(parameter.grad, gradient, rtol=1e-10, atol=1e-12)
        torch.testing.assert_close(by_hand.compute(x, target), rows.mean(1).detach(), rtol=1e-10, atol=1e-12)
