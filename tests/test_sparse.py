import numpy as np
import pytest
import torch
from torch import nn

from skae import AutoEncoderTransformer
from skae.estimators.sparse import SparseAutoEncoder
from skae.interfaces import Batch, RowSummary
from skae.networks import DenseNetwork
from skae.objectives import LOSSES
from skae.objectives.sparse import SparseObjective, kl_divergence
from skae.random import RandomStreams


def quick(n_components=16, **parameters):
    return SparseAutoEncoder(
        n_components, **{"hidden_layer_sizes": (32,), "max_iter": 10, "random_state": 0, "device": "cpu", **parameters}
    )


def test_divergence_is_that_of_two_coins():
    rate = torch.rand(3, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 0.98 + 0.01
    coin = torch.distributions.Bernoulli
    expected = torch.distributions.kl_divergence(coin(torch.full_like(rate, 0.05)), coin(rate))
    torch.testing.assert_close(kl_divergence(0.05, rate), expected)
    assert kl_divergence(0.05, torch.tensor([0.0, 1.0])).isfinite().all()


@pytest.mark.parametrize("target_rate", [None, 0.1])
def test_loss_is_error_plus_penalty(target_rate):
    rows = RowSummary(torch.zeros(6), 1.0)
    network = DenseNetwork((4,), code_activation="sigmoid").build(rows, 3, RandomStreams([0, 1]), logits=False)
    x = torch.randn(2, 5, 6, generator=torch.Generator().manual_seed(0))
    loss, no_noise = LOSSES["squared_error"], RandomStreams([0, 1])
    got = SparseObjective(network, loss, 0.7, target_rate).row_losses(Batch(x, x), no_noise).mean(1)
    for member in range(2):  # each has a rate of its own
        code = network.encode(x)[member].detach().double().numpy()
        rate = code.mean(0)
        if target_rate is None:
            penalty = np.abs(code).mean()
        else:
            penalty = np.mean(0.1 * np.log(0.1 / rate) + 0.9 * np.log(0.9 / (1 - rate)))
        error = (network(x)[member] - x[member]).square().mean()
        assert got[member].item() == pytest.approx(error.item() + 0.7 * penalty, rel=1e-5)


def test_l1_shrinks_the_code_and_switches_units_off(digits):
    plain = quick(sparsity_weight=0).fit(digits)
    sparse = quick(sparsity_weight=0.03).fit(digits)
    # tied weights: the decoder cannot make up for a smaller code
    network = DenseNetwork((), code_activation="relu", tied_weights=True)
    tied_plain = quick(64, network=network, sparsity_weight=0).fit(digits)
    tied_sparse = quick(64, network=network, sparsity_weight=0.05).fit(digits)
    assert sparse.transform(digits).min() == 0
    assert sparse.transform(digits).mean() < 0.3 * plain.transform(digits).mean()
    assert np.mean(tied_sparse.transform(digits) > 0) < 0.7 * np.mean(tied_plain.transform(digits) > 0)
    assert tied_sparse.score(digits) > 2 * tied_plain.score(digits) - 0.02


def test_kl_brings_each_unit_to_its_rate(digits):
    rates = quick(sparsity="kl", sparsity_weight=1, target_rate=0.2, max_iter=20).fit(digits).transform(digits).mean(0)
    free = quick(sparsity="kl", sparsity_weight=0, max_iter=20).fit(digits).transform(digits).mean(0)
    np.testing.assert_allclose(rates, 0.2, atol=0.04)
    assert np.abs(free - 0.2).max() > 0.2


@pytest.mark.parametrize("loss", ["squared_error", "binary_cross_entropy"])
@pytest.mark.parametrize("target_rate", [0.05, 0.1, 0.2])
def test_kl_holds_each_unit_at_its_rate(loss, target_rate, digits):
    for seed in (0, 1):
        held = quick(sparsity="kl", target_rate=target_rate, loss=loss, max_iter=30, random_state=seed).fit(digits)
        np.testing.assert_allclose(held.transform(digits).mean(0), target_rate, rtol=0.1)


def test_the_rate_is_held_in_any_unit(digits):
    for scale in (1e-3, 255):
        rates = quick(sparsity="kl", max_iter=30).fit(scale * digits).transform(scale * digits).mean(0)
        np.testing.assert_allclose(rates, 0.05, rtol=0.1)


def test_a_weight_of_ones_own_lets_the_rate_go_where_it_balances_the_loss(digits):
    parameters = {"sparsity": "kl", "loss": "binary_cross_entropy", "max_iter": 20}
    rates = [quick(sparsity_weight=w, **parameters).fit(digits).transform(digits).mean() for w in (0.1, 0.3, 1)]
    assert rates[0] > rates[1] > rates[2] > 0.05
    assert rates[1] > 1.1 * 0.05


def run_objective(units, members, n_steps=20):
    """Return the losses of each step, and the gradients of the last, of members whose weight is "auto"."""
    rows, streams = RowSummary(torch.zeros(6), 1.0), RandomStreams(members)
    network = DenseNetwork((4,), code_activation="sigmoid").build(rows, 3, streams, logits=False)
    objective = SparseObjective(network, LOSSES["squared_error"], None, 0.1)
    objective.loss_scale = units
    plain = SparseObjective(network, LOSSES["squared_error"], 1.0, 0.1)  # for a unit of 1
    x = torch.randn(1, 8, 6, generator=torch.Generator().manual_seed(0)).expand(len(members), -1, -1)
    values = [objective.row_losses(Batch(x, x), streams) for _ in range(n_steps)]
    parameters = list(network.encoder.parameters())
    gradients, without = (
        torch.autograd.grad(o.row_losses(Batch(x, x), streams).sum(), parameters) for o in (objective, plain)
    )
    return torch.stack(values), gradients, plain.row_losses(Batch(x, x), streams), without


def test_multipliers_pull_and_do_not_count():
    values, gradients, plain, without = run_objective(1.0, [0])
    torch.testing.assert_close(values, plain.expand_as(values))
    code_bias = -1
    assert (gradients[code_bias] > 1.05 * without[code_bias]).all()  # the rates are above the target: down with them
    values, *_ = run_objective(1.0, [0], n_steps=1)
    torch.testing.assert_close(values[0], plain)


def test_members_have_weights_and_multipliers_of_their_own():
    together = run_objective(torch.tensor([0.5, 2.0], dtype=torch.float64), [0, 1])
    for k, unit in enumerate((0.5, 2.0)):
        alone = run_objective(unit, [k])
        torch.testing.assert_close(together[0][:, [k]], alone[0])
        torch.testing.assert_close([g[[k]] for g in together[1]], list(alone[1]))


def test_without_weight_it_is_the_plain_autoencoder(digits):
    network = DenseNetwork((32,), code_activation="relu")
    plain = AutoEncoderTransformer(16, network=network, max_iter=3, random_state=0).fit(digits)
    sparse = quick(sparsity_weight=0, max_iter=3).fit(digits)
    np.testing.assert_allclose(sparse.transform(digits), plain.transform(digits), rtol=1e-3, atol=1e-4)


def test_scores_leave_the_penalty_out(digits):
    fitted = quick(sparsity_weight=1.0, early_stopping=True, max_iter=3).fit(digits)
    assert -fitted.score(digits) == pytest.approx(np.mean((fitted.reconstruct(digits) - digits) ** 2), rel=1e-4)
    assert min(fitted.validation_loss_curve_) > -fitted.score(digits)


@pytest.mark.parametrize("sparsity", ["l1", "kl"])
def test_the_same_random_state_gives_the_same_codes(sparsity, digits):
    first, second = (quick(sparsity=sparsity, max_iter=2).fit(digits).transform(digits) for _ in range(2))
    assert np.array_equal(first, second)


def own_network(code):
    return lambda n, k: (nn.Sequential(nn.Linear(n, k), code), nn.Linear(k, n))


def test_kl_takes_any_code_that_is_a_rate(digits):
    fitted = quick(sparsity="kl", network=own_network(nn.Sigmoid()), max_iter=2).fit(digits)
    assert 0 <= fitted.transform(digits).min() <= fitted.transform(digits).max() <= 1


@pytest.mark.parametrize("network", [DenseNetwork((8,)), DenseNetwork(code_activation="relu"), own_network(nn.Tanh())])
def test_kl_refuses_a_code_that_is_not(network, digits, monkeypatch):
    monkeypatch.setattr("skae.estimators.base.train", lambda *args, **kwargs: pytest.fail("training began"))
    with pytest.raises(ValueError, match=r"sparsity='kl' takes the code for rates.*sigmoid.*sparsity='l1'"):
        quick(sparsity="kl", network=network).fit(digits)


@pytest.mark.parametrize(
    ("parameters", "name"),
    [
        ({"sparsity": "l2"}, "sparsity"),
        ({"sparsity_weight": -1.0}, "sparsity_weight"),
        ({"target_rate": 0.0}, "target_rate"),
        ({"target_rate": 1.0}, "target_rate"),
    ],
)
def test_bad_parameters(parameters, name, digits):
    with pytest.raises(ValueError, match=f"'{name}' parameter of SparseAutoEncoder must be"):
        quick(**parameters).fit(digits)
