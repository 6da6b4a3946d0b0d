import pickle

import numpy as np
import pytest
import torch
from scipy.special import softmax
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV

from skae import (
    AutoEncoderTransformer,
    ConditionalVariationalAutoEncoder,
    ContractiveAutoEncoder,
    DenoisingAutoEncoder,
    SparseAutoEncoder,
    StackedAutoEncoder,
    StackedAutoEncoderClassifier,
    VariationalAutoEncoder,
)
from skae.estimators.batched_training import Fit, can_be_batched, train_batched
from skae.interfaces import Network
from skae.networks import MemoryNetwork, memory
from skae.random import RandomStreams
from skae.training import summarize

ROWS = np.random.default_rng(0).normal(size=(60, 4)) * [1, 2, 0.5, 1] + [3, 0, -1, 5]
LABELS = np.arange(60) % 2


def make(kind=DenoisingAutoEncoder, **parameters):
    defaults = {"network": MemoryNetwork(), "max_iter": 5, "batch_size": 16, "random_state": 0}
    return kind(parameters.pop("n_components", 8), **{**defaults, **parameters})


def build(X, n_components=8, seeds=(0,), temperature=1.0):
    return MemoryNetwork(temperature).build(summarize(X), n_components, RandomStreams(seeds), False)


# ---- before training ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("temperature", [0.2, 1.0, 5.0])
def test_it_starts_as_the_documented_softmax_over_training_rows(temperature, dtype):
    X = ROWS.astype(dtype)
    network = build(X, temperature=temperature, seeds=(3, 4))
    with torch.no_grad():
        code = network.encode(torch.from_numpy(X).float().expand(2, -1, -1))
        restored = network.decode(code).numpy()
        values = network.decode(torch.eye(8).expand(2, -1, -1)).numpy()  # a code that is all one prototype
    for k in range(2):
        prototypes = values[k]
        # they are rows, all different
        nearest = np.abs(prototypes[:, None] - X).max(2).argmin(1)
        assert len(set(nearest)) == 8
        np.testing.assert_allclose(prototypes, X[nearest], rtol=1e-5, atol=1e-5)
        between = np.square(X[nearest][:, None] - X[nearest]).sum(2)
        s = np.sort(np.sort(between, axis=1)[:, 1])[3]  # torch's median is the lower of the two in the middle
        distances = np.square(X[:, None] - X[nearest]).sum(2)
        expected = softmax(-distances / (temperature * s), axis=1)
        np.testing.assert_allclose(code[k], expected, rtol=1e-3, atol=1e-6)
        np.testing.assert_allclose(restored[k], expected @ X[nearest], rtol=1e-4, atol=1e-4)
    assert not np.array_equal(values[0], values[1])  # each member draws its own


def test_copies_of_prototypes_do_not_count_as_the_next_one():
    X = np.repeat(ROWS[:6], 2, axis=0)
    once, twice = (build(rows, len(rows)).encode(torch.from_numpy(ROWS).float()).sort(1)[0] for rows in (X[::2], X))
    # the temperature is that of the distinct rows, and each copy has a half of the share
    torch.testing.assert_close(twice[:, ::2], once / 2, rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(twice[:, 1::2], once / 2, rtol=1e-3, atol=1e-5)
    equal = build(np.ones((20, 3)), 4)
    torch.testing.assert_close(equal.encode(torch.ones(1, 3)), torch.full((1, 4), 0.25))


def test_the_temperature_is_measured_on_some_prototypes(monkeypatch):
    X = np.random.default_rng(0).uniform(size=(600, 2))
    every = build(X, 600).layers[0].weight.detach()
    monkeypatch.setattr(memory, "N_MEASURED", 100)
    some = build(X, 600).layers[0].weight.detach()
    torch.testing.assert_close(some / every, torch.full_like(every, float((some / every).mean())), rtol=1e-4, atol=0.0)
    assert 0.7 < (some / every).mean() < 1.4


# ---- after training ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [AutoEncoderTransformer, DenoisingAutoEncoder, SparseAutoEncoder])
def test_training_lowers_the_loss_and_changes_every_part(kind):
    X = load_iris().data
    fitted = make(kind, max_iter=30, learning_rate_init=1e-2).fit(X)
    assert min(fitted.loss_curve_) < 0.8 * fitted.loss_curve_[0]
    before = make(kind, max_iter=1, learning_rate_init=1e-12).fit(X)._network
    keys, values = fitted._network.layers
    old_keys, old_values = before.layers
    assert ((keys.weight - old_keys.weight).abs().amax(1) > 1e-3).all()  # those of each prototype
    assert ((keys.bias - old_keys.bias).abs() > 1e-3).all()
    assert ((values.weight - old_values.weight).abs().amax(2) > 1e-3).all()


def test_a_temperature_that_is_too_high_falls_in_training():
    """It is no parameter of its own: the keys, which are divided by it, grow."""
    X = load_iris().data
    autoencoder = make(AutoEncoderTransformer, network=MemoryNetwork(100.0), learning_rate_init=1e-2)
    before, after = (clone(autoencoder).set_params(max_iter=n).fit(X) for n in (1, 50))
    old, new = (fitted._network.layers[0].weight.detach() for fitted in (before, after))
    assert (new - new.mean(2, keepdim=True)).norm() > 1.2 * (old - old.mean(2, keepdim=True)).norm()
    assert after.transform(X).max(1).mean() > 1.2 * before.transform(X).max(1).mean()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_codes_are_shares_and_reconstructions_means(dtype):
    X = ROWS.astype(dtype)
    fitted = make(max_iter=20).fit(X)
    codes = fitted.transform(X)
    assert (codes >= 0).all()
    np.testing.assert_allclose(codes.sum(1), 1.0, rtol=1e-5)
    restored = fitted.reconstruct(X)
    assert restored.dtype == dtype
    np.testing.assert_allclose(fitted.inverse_transform(codes), restored, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(codes @ fitted.inverse_transform(np.eye(8, dtype=dtype)), restored, rtol=1e-4, atol=1e-4)


def test_what_is_far_cannot_be_reproduced():
    fitted = make(max_iter=20).fit(ROWS)
    values = fitted.inverse_transform(np.eye(8))
    directions = np.random.default_rng(1).normal(size=(50, 4))
    for distance in (1e2, 1e5, 1e15):
        far = fitted.reconstruct(distance * directions)
        room = 1e-4 * np.abs(values).max()  # for rounding
        assert (far >= values.min(0) - room).all()
        assert (far <= values.max(0) + room).all()
    errors = -fitted.score_samples(1e5 * directions)
    np.testing.assert_allclose(errors, np.square(1e5 * directions).mean(1), rtol=1e-2)


@pytest.mark.parametrize("loss", ["squared_error", "absolute_error", "huber"])
def test_members_of_a_batch_are_those_trained_alone(loss):
    X = load_iris().data
    members = [make(loss=loss, random_state=seed, learning_rate_init=rate) for seed, rate in enumerate([1e-3, 1e-2])]
    samples = [np.arange(0, 100), np.arange(50, 150)]
    assert can_be_batched(members[0])
    train_batched([Fit(member, X, rows) for member, rows in zip(members, samples, strict=True)])
    for member, rows in zip(members, samples, strict=True):
        alone = clone(member).fit(X[rows])
        np.testing.assert_allclose(member.loss_curve_, alone.loss_curve_, rtol=1e-4)
        np.testing.assert_allclose(member.transform(X), alone.transform(X), rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(member.reconstruct(X), alone.reconstruct(X), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("kind", [AutoEncoderTransformer, DenoisingAutoEncoder])
@pytest.mark.parametrize("loss", ["squared_error", "absolute_error", "huber"])
def test_fits_in_float32_are_the_same_by_fused_gradients_and_by_autograd(loss, kind, monkeypatch):
    def losses():
        alone = make(kind, loss=loss).fit(ROWS).loss_curve_
        batch = [make(kind, loss=loss, random_state=seed) for seed in (1, 2)]
        train_batched([Fit(member, ROWS) for member in batch])
        return [alone, *[member.loss_curve_ for member in batch]]

    fused = losses()
    calls = []
    monkeypatch.setattr(
        "skae.networks.layers.DenseAutoEncoder.fused_gradients",
        lambda self, *args: (calls.append(1), Network.fused_gradients(self, *args))[1],
    )
    np.testing.assert_allclose(fused, losses(), rtol=1e-3)
    assert len(calls) == 2  # one fit, one batch


def test_a_pickle_and_a_seed_give_the_same_codes():
    fitted = make().fit(ROWS)
    codes = fitted.transform(ROWS)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(fitted)).transform(ROWS), codes)
    np.testing.assert_array_equal(clone(fitted).fit(ROWS).transform(ROWS), codes)
    assert not np.array_equal(clone(fitted).set_params(random_state=1).fit(ROWS).transform(ROWS), codes)
    # the rows that it was built from are not kept
    many = np.random.default_rng(0).normal(size=(20_000, 4))
    assert len(pickle.dumps(make(max_iter=1, batch_size=2000).fit(many))) < 50_000


def test_warm_start_and_partial_fit_go_on_from_the_trained_prototypes():
    fitted = make(warm_start=True).fit(ROWS)
    values = fitted._network.layers[1].weight.clone()
    fitted.set_params(learning_rate_init=1e-12).fit(ROWS)
    torch.testing.assert_close(fitted._network.layers[1].weight, values)
    assert fitted.n_iter_ == 10
    fitted.partial_fit(ROWS[:3])  # fewer than prototypes, which need not be found any more
    torch.testing.assert_close(fitted._network.layers[1].weight, values)


def test_the_temperature_can_be_searched():
    search = GridSearchCV(make(max_iter=2), {"network__temperature": [0.1, 1.0, 100.0]}, cv=3).fit(load_iris().data)
    scores = search.cv_results_["mean_test_score"]
    assert search.best_params_["network__temperature"] < 100  # where all rows are reconstructed as their mean
    assert len(set(scores)) == 3
    assert search.best_estimator_._network.layers[0].weight.isfinite().all()


# ---- what it does not take -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("autoencoder", "message"),
    [
        (make(n_components=61), "n_components=61 prototypes need as many rows; X has 60"),
        (make(loss="binary_cross_entropy"), r"network=MemoryNetwork\(\) reconstructs means.*binary_cross_entropy"),
        (make(network=MemoryNetwork(0.0)), r"'temperature' parameter of MemoryNetwork .* range \(0\.0, inf\)"),
        (make(network=MemoryNetwork(-1.0)), "'temperature' parameter"),
        (make(network=MemoryNetwork(np.nan)), "'temperature' parameter"),
        (make(network=MemoryNetwork(np.inf)), "'temperature' parameter"),
        (make(network=MemoryNetwork("low")), "'temperature' parameter"),
        (make(network=MemoryNetwork), r"network=MemoryNetwork is a class.*MemoryNetwork\(\.\.\.\)"),
        (make(VariationalAutoEncoder), "code_activation='softmax' of network must be 'identity'"),
        (make(ConditionalVariationalAutoEncoder), "code_activation='softmax' of network must be 'identity'"),
        (make(StackedAutoEncoder), "'network' parameter of StackedAutoEncoder"),
        (make(StackedAutoEncoderClassifier), "'network' parameter of StackedAutoEncoderClassifier"),
        (make(ContractiveAutoEncoder), r"network=MemoryNetwork\(\) cannot .* Set method='stochastic'"),
    ],
    ids=str,
)
def test_what_it_does_not_take_is_named_before_training(autoencoder, message, monkeypatch):
    trainings = []
    monkeypatch.setattr("skae.estimators.base.train", lambda *args, **kwargs: trainings.append(1))
    X = (ROWS - ROWS.min(0)) / np.ptp(ROWS, axis=0)
    with pytest.raises(ValueError, match=message):
        autoencoder.fit(X, LABELS)
    assert not trainings
    assert not hasattr(autoencoder, "n_features_in_")


def test_as_many_prototypes_as_rows_are_enough():
    fitted = make(AutoEncoderTransformer, n_components=60, network=MemoryNetwork(1e-3), max_iter=1).fit(ROWS)
    np.testing.assert_allclose(fitted.reconstruct(ROWS), ROWS, atol=0.1)


@pytest.mark.parametrize("kind", [ContractiveAutoEncoder, SparseAutoEncoder])
def test_objectives_that_autograd_differentiates_take_it(kind):
    parameters = {"method": "stochastic"} if kind is ContractiveAutoEncoder else {"sparsity": "kl"}
    losses = make(kind, max_iter=20, learning_rate_init=1e-2, **parameters).fit(ROWS).loss_curve_
    assert min(losses) < losses[0]
