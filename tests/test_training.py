import logging
from unittest.mock import patch

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from skae import (
    AdversarialAutoEncoder,
    AutoEncoderTransformer,
    ConditionalVariationalAutoEncoder,
    VariationalAutoEncoder,
)
from skae.interfaces import Network, Objective
from skae.networks import ConvNetwork, LSTMNetwork
from skae.objectives import LOSSES, ReconstructionObjective
from skae.random import RandomStreams
from skae.training import History, Rows, Schedule, auto_batch_size, rows, summarize, train
from skae.training.steps import AdamW

CPU = torch.device("cpu")


def schedule(**changes):
    numbers = {
        "batch_size": 4,
        "max_iter": 5,
        "learning_rate": "constant",
        "learning_rate_init": (0.01,),
        "alpha": (0.0,),
        "n_iter_no_change": 3,
        "tol": 0.0,
        "stops_on_stall": True,
    }
    return Schedule(**{**numbers, **changes})


class Scripted(Objective):
    """An objective whose losses are given beforehand, and whose only weight counts its steps."""

    def __init__(self, losses):
        self.network = Network()
        self.network.steps = nn.Parameter(torch.zeros(()))
        self.losses = iter(losses)
        self.seen, self.rates = [], []

    def make_step(self, optimizers):
        def step(batch, random):
            self.network.steps.data += 1
            self.seen.append(batch.x[0, :, 0].clone())
            self.rates.append(0.01 * optimizers[0]._rate)
            return torch.tensor([next(self.losses)])

        return step

    def row_losses(self, batch, random):
        return torch.full(batch.x.shape[:2], next(self.losses))


def run(objective, n=4, history=None, validation_index=None, **changes):
    history = History() if history is None else history
    X = np.arange(n, dtype=np.float32).reshape(-1, 1)
    with patch("skae.training.loop.make_step", lambda objective, optimizers, device: objective.make_step(optimizers)):
        train(
            objective,
            Rows(X, None, CPU, held_out=validation_index),
            schedule(**changes),
            seeds=[0],
            history=history,
        )
    return history


def curve(losses):
    return [float(loss[0]) for loss in losses]


# ---- the loop ----------------------------------------------------------------------------------------------


@given(st.integers(1, 40), st.integers(1, 50))
def test_every_row_is_seen_once_an_epoch_in_a_new_order(n, batch_size):
    objective = Scripted([1.0] * 200)
    run(objective, n, batch_size=batch_size, max_iter=2, stops_on_stall=False)
    per_epoch = len(objective.seen) // 2
    assert per_epoch == -(-n // batch_size)
    sizes = [len(batch) for batch in objective.seen]
    assert max(sizes) <= batch_size
    assert max(sizes) - min(sizes) <= 1
    first, second = torch.cat(objective.seen[:per_epoch]), torch.cat(objective.seen[per_epoch:])
    assert first.sort().values.equal(torch.arange(n).float())
    assert second.sort().values.equal(torch.arange(n).float())
    assert n < 8 or not first.equal(second)


def test_without_stopping_the_last_weights_stay():
    objective = Scripted([3.0, 1.0, 2.0])
    history = run(objective, max_iter=3, stops_on_stall=False)
    assert curve(history.losses) == [3, 1, 2]
    assert history.best.epoch == 2
    assert objective.network.steps.item() == 3


def test_a_held_out_loss_brings_back_the_best_weights():
    # an epoch asks for the loss of its one step, then for the held-out loss
    objective = Scripted([9, 3.0, 8, 1.0, 7, 2.0, 6, 2.0, 5, 2.0, 4, 0.1])
    history = run(objective, validation_index=torch.tensor([[0]]), max_iter=6)
    assert curve(history.validation_losses) == [3, 1, 2, 2, 2]  # three epochs without a new low
    assert history.best.epoch == 2
    assert objective.network.steps.item() == 2


def test_tol_is_relative_to_the_lowest_loss():
    losses = [100.0, 99.5, 99.2, 99.1, 50.0]
    assert len(run(Scripted(losses), tol=0.01, max_iter=5).losses) == 4
    assert len(run(Scripted(losses), tol=0.001, max_iter=5).losses) == 5


def test_an_adaptive_rate_falls_when_the_loss_stalls():
    objective = Scripted([1.0] * 100)
    run(objective, learning_rate="adaptive", n_iter_no_change=2, max_iter=100)
    expected = [0.01] * 3 + [0.01 / 5] * 2 + [0.01 / 25] * 2 + [0.01 / 125] * 2 + [0.01 / 625] * 2
    assert objective.rates == pytest.approx(expected)


def test_a_cosine_rate_falls_to_zero():
    objective = Scripted([1.0] * 100)
    run(objective, n=4, batch_size=2, learning_rate="cosine", max_iter=50, stops_on_stall=False)
    expected = 0.01 * 0.5 * (1 + np.cos(np.pi * np.arange(100) / 100))
    np.testing.assert_allclose(objective.rates, expected, rtol=1e-9)


@pytest.mark.parametrize("stop", [float("nan"), float("inf"), KeyboardInterrupt])
def test_whatever_ends_training_leaves_the_best_weights(stop):
    def losses():
        yield from [3.0, 1.0, 2.0]
        if stop is KeyboardInterrupt:
            raise KeyboardInterrupt
        yield stop

    objective, history = Scripted(losses()), History()
    with pytest.raises(KeyboardInterrupt if stop is KeyboardInterrupt else FloatingPointError) as caught:
        run(objective, history=history, stops_on_stall=False)
    if stop is not KeyboardInterrupt:
        assert "epoch 4" in str(caught.value)
        assert "learning_rate_init=0.01" in str(caught.value)
    assert curve(history.losses) == [3, 1, 2]
    assert history.best.epoch == 2
    history.best.restore(objective.network)
    assert objective.network.steps.item() == 2


def test_weight_decay_shrinks_weights_without_gradient():
    class Idle(Scripted):
        def make_step(self, optimizers):
            def step(batch, random):
                self.network.steps.grad = torch.zeros(())
                optimizers[0].step()
                return torch.ones(1)

            return step

    objective = Idle([])
    objective.network.steps.data.fill_(1.0)
    run(objective, alpha=(0.5,), max_iter=3)
    assert objective.network.steps.item() == pytest.approx((1 - 0.01 * 0.5) ** 3)


def test_members_of_a_batch_keep_their_own_best_epoch():
    from skae.networks import DenseNetwork

    X = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    network = DenseNetwork((4,)).build(summarize(X), 1, RandomStreams([0, 1, 2]), False)
    objective = ReconstructionObjective(network, LOSSES["squared_error"])
    history = History()
    index, held_out = torch.arange(30).repeat(3, 1), torch.arange(30, 40).repeat(3, 1)
    train(
        objective,
        Rows(X, None, CPU, index=index, held_out=held_out),
        schedule(max_iter=12, learning_rate_init=(0.1,) * 3, alpha=(0.0,) * 3, stops_on_stall=False),
        seeds=range(3),
        history=history,
    )
    lowest = np.min(history.validation_losses, axis=0)
    assert len({int(e) for e in np.argmin(history.validation_losses, axis=0)}) > 1, "pick a seed where they differ"
    network.eval()
    x = torch.from_numpy(X[30:]).expand(3, -1, -1)
    with torch.no_grad():
        errors = (network(x) - x).square().mean((1, 2)).numpy()
    np.testing.assert_allclose(errors, lowest, rtol=1e-5)


# ---- rows --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("order", ["C", "F"])
def test_streamed_rows_are_the_resident_ones(monkeypatch, caplog, dtype, order):
    X = np.asarray(np.random.default_rng(0).normal(size=(50, 3)), dtype=dtype, order=order)
    X.flags.writeable = False  # else float32 rows need no memory of their own
    index = torch.tensor([[4, 4, 0], [49, 1, 2]])
    resident = Rows(X, X[::-1], CPU).batch(index)
    monkeypatch.setattr(rows, "free_memory", lambda device: 100)
    with caplog.at_level(logging.WARNING, logger="skae"):
        streamed = Rows(X, X[::-1], CPU).batch(index)
    assert "streamed" in caplog.text
    assert resident.x.equal(streamed.x)
    assert resident.target.equal(streamed.target)
    np.testing.assert_array_equal(resident.x, X.astype(np.float32)[index.numpy()])
    np.testing.assert_array_equal(resident.target, X[::-1].astype(np.float32)[index.numpy()])


def test_float32_rows_on_the_cpu_are_not_copied():
    X = np.zeros((10, 3), np.float32)
    taken = Rows(X, None, CPU)
    X[3] = 7.0
    assert taken.batch(torch.tensor([[3]])).x.eq(7).all()


def test_summarize_is_mean_and_root_mean_variance():
    X = np.random.default_rng(0).normal(5, 3, size=(3000, 4)).astype(np.float32)
    summary = summarize(X)
    np.testing.assert_allclose(summary.mean, X.mean(0), rtol=1e-5)
    assert summary.scale == pytest.approx(np.sqrt(X.var(0).mean()), rel=1e-5)
    assert summarize(np.ones((3, 2))).scale == 1


def test_auto_batch_size_is_bounded_and_grows():
    sizes = [auto_batch_size(n) for n in (1, 300, 2000, 5000, 20_000, 10**7)]
    assert sizes == [8, 8, 32, 64, 256, 256]


@pytest.mark.parametrize("rates", [[1e-2, 1e-2], [1e-2, 1e-3]])
def test_means_of_gradients_that_have_vanished_are_0_instead_of_subnormal(rates):
    parameter, expected = (torch.nn.Parameter(torch.ones(2, 3)) for _ in range(2))
    optimizer = AdamW(rates, [0.0, 0.0], [parameter])
    peers = [torch.optim.AdamW([expected], lr=rate, weight_decay=0.0, foreach=False) for rate in rates]
    values = []
    for k, peer in enumerate(peers):
        with torch.no_grad():
            expected.fill_(1)
        for step in range(1500):
            expected.grad = torch.full((2, 3), float(step < 10))
            peer.step()
        values.append(expected.detach()[k].clone())
    for step in range(1500):
        parameter.grad = torch.full((2, 3), float(step < 10))
        optimizer.begin_step(1.0, 1.0)
        optimizer.step()
    torch.testing.assert_close(parameter.detach(), torch.stack(values))
    assert (optimizer.means[0] == 0).all()
    assert (peers[0].state[expected]["exp_avg"] != 0).all()  # subnormal
    assert (optimizer.squares[0] > 0).all()


@pytest.mark.parametrize(
    ("autoencoder", "is_small"),
    [
        (AutoEncoderTransformer(2, hidden_layer_sizes=(8,)), True),
        (AutoEncoderTransformer(2, hidden_layer_sizes=(20000,)), False),
        (VariationalAutoEncoder(2, hidden_layer_sizes=(8,), early_stopping=True), True),
        (ConditionalVariationalAutoEncoder(2, hidden_layer_sizes=(8,)), True),
        (AdversarialAutoEncoder(2, hidden_layer_sizes=(8,)), True),
        (AutoEncoderTransformer(2, network=LSTMNetwork((5, 2), hidden_size=4)), True),
        (AutoEncoderTransformer(2, network=LSTMNetwork((5, 2), hidden_size=256)), False),
        (AutoEncoderTransformer(2, network=ConvNetwork((1, 2, 5), (4,))), False),  # whose work is not known
    ],
    ids=lambda value: type(value).__name__,
)
def test_small_networks_are_trained_in_one_thread(monkeypatch, autoencoder, is_small):
    seen = []
    monkeypatch.setattr("skae.training.loop.limit_threads", lambda n, f, *args: seen.append(n) or f(*args))
    X = np.random.default_rng(0).normal(size=(40, 10))
    autoencoder.set_params(batch_size=32, max_iter=2, random_state=0).fit(X, np.arange(40) % 2)
    assert seen == [1 if is_small else torch.get_num_threads()] * 2


def test_an_optimizer_may_have_no_memory():
    parameter = torch.nn.Parameter(torch.ones(1, 3))
    optimizer = AdamW([0.1], [0.0], [parameter], betas=(0.0, 0.999))
    for gradient in (1.0, 1.0, 0.0, 0.0):
        parameter.grad = torch.full((1, 3), gradient)
        optimizer.step()
    torch.testing.assert_close(parameter.detach(), torch.full((1, 3), 0.8), rtol=1e-4, atol=0)
