import numpy as np
import pytest
import torch
from sklearn.base import clone

from skae import (
    AutoEncoderTransformer,
    ContractiveAutoEncoder,
    DenoisingAutoEncoder,
    SparseAutoEncoder,
    StackedAutoEncoder,
    VariationalAutoEncoder,
)
from skae.estimators import batched_training
from skae.estimators.batched_training import Fit, can_be_batched, train_batched
from skae.networks import ConvNetwork, DenseNetwork, stack_networks, unstack_networks
from skae.random import RandomStreams
from skae.training import summarize

SIZES = {"hidden_layer_sizes": (8,), "max_iter": 4, "batch_size": 16, "device": "cpu"}


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    return np.tanh(rng.normal(size=(90, 3)) @ rng.normal(size=(3, 6))) + 5.0


def make(kind, **parameters):
    return kind(3, **{**SIZES, **parameters})


def assert_alike(batched, alone, X):
    np.testing.assert_allclose(batched.loss_curve_, alone.loss_curve_, rtol=1e-4)
    np.testing.assert_allclose(batched.transform(X), alone.transform(X), rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(batched.score_samples(X), alone.score_samples(X), rtol=1e-3, atol=1e-5)
    assert batched.n_iter_ == alone.n_iter_
    assert batched.best_epoch_ == alone.best_epoch_
    assert batched.n_features_in_ == alone.n_features_in_


@pytest.mark.parametrize(
    "autoencoder",
    [
        make(AutoEncoderTransformer),
        make(AutoEncoderTransformer, loss="huber", activation="silu"),
        make(AutoEncoderTransformer, network=DenseNetwork((8,), normalization="layer", dropout=0.2)),
        make(AutoEncoderTransformer, network=DenseNetwork((8,), tied_weights=True)),
        make(DenoisingAutoEncoder),
        make(DenoisingAutoEncoder, corruption="swap"),
        make(SparseAutoEncoder),
        make(ContractiveAutoEncoder),
        make(VariationalAutoEncoder),
    ],
    ids=repr,
)
def test_batched_training_equals_training_one_by_one(autoencoder, rows):
    rates, decays = [1e-3, 1e-2, 1e-2, 1e-3], [0.0, 0.0, 0.1, 0.0]
    samples = [np.arange(0, 60), np.arange(30, 90), np.arange(0, 60), np.arange(10, 70)]
    parameters = autoencoder.get_params(deep=False)
    members = [
        type(autoencoder)(**{**parameters, "learning_rate_init": rate, "alpha": decay, "random_state": seed})
        for seed, (rate, decay) in enumerate(zip(rates, decays, strict=True))
    ]
    assert can_be_batched(autoencoder)
    train_batched([Fit(member, rows, sample) for member, sample in zip(members, samples, strict=True)])
    for member, sample in zip(members, samples, strict=True):
        assert_alike(member, type(autoencoder)(**member.get_params(deep=False)).fit(rows[sample]), rows)


def test_members_of_a_batch_may_train_on_different_rows(rows):
    X, other = rows[:50], 100 * rows[40:]
    members = [make(AutoEncoderTransformer, random_state=0) for _ in range(2)]
    train_batched([Fit(members[0], X), Fit(members[1], other)])
    assert_alike(members[0], make(AutoEncoderTransformer, random_state=0).fit(X), X)
    assert_alike(members[1], make(AutoEncoderTransformer, random_state=0).fit(other), other)


@pytest.mark.parametrize("unit", [1e-12, 1e15])
def test_units_do_not_matter(unit, rows):
    members = [make(AutoEncoderTransformer, random_state=0, learning_rate_init=rate) for rate in (1e-2, 1e-3)]
    train_batched([Fit(members[0], rows), Fit(members[1], unit * rows)])
    alone = make(AutoEncoderTransformer, random_state=0, learning_rate_init=1e-3).fit(unit * rows)
    np.testing.assert_allclose(members[1].loss_curve_, alone.loss_curve_, rtol=1e-3)
    assert members[1].score(unit * rows) == pytest.approx(alone.score(unit * rows), rel=1e-3)


def count_batches(monkeypatch):
    sizes = []
    train = batched_training._train_batch
    monkeypatch.setattr(batched_training, "_train_batch", lambda fits: (sizes.append(len(fits)), train(fits)))
    return sizes


def test_fits_are_batched_by_shape_and_size(rows, monkeypatch):
    sizes = count_batches(monkeypatch)
    kinds = [{}, {"random_state": 3}, {"alpha": 0.1}, {"hidden_layer_sizes": (9,)}, {"activation": "tanh"}]
    fits = [Fit(make(AutoEncoderTransformer, **kind), rows) for kind in kinds]
    train_batched([*fits, Fit(make(AutoEncoderTransformer), rows[:80])])
    assert sorted(sizes) == [1, 1, 1, 3]


def test_large_networks_make_small_batches(rows, monkeypatch):
    sizes = count_batches(monkeypatch)
    train_batched([Fit(make(AutoEncoderTransformer, hidden_layer_sizes=(600, 600)), rows) for _ in range(4)])
    assert sizes == [1, 1, 1, 1]


def test_a_batch_that_diverges_leaves_its_members_unfitted(rows):
    good, bad = (make(AutoEncoderTransformer, activation="identity", learning_rate_init=r) for r in (1e-3, 1e30))
    train_batched([Fit(good, rows), Fit(bad, rows)])
    assert not good.__sklearn_is_fitted__()
    assert not bad.__sklearn_is_fitted__()


def test_an_interruption_leaves_the_best_weights(rows, monkeypatch):
    steps = []
    step = batched_training.train.__globals__["AdamW"].step

    def interrupt(self):
        steps.append(self)
        if len(steps) == 10:  # of six an epoch
            raise KeyboardInterrupt
        step(self)

    monkeypatch.setattr("skae.training.steps.AdamW.step", interrupt)
    members = [make(AutoEncoderTransformer, random_state=seed) for seed in range(3)]
    with pytest.raises(KeyboardInterrupt):
        train_batched([Fit(member, rows) for member in members])
    assert [member.n_iter_ for member in members] == [1, 1, 1]
    assert all(np.isfinite(member.transform(rows)).all() for member in members)


@pytest.mark.parametrize(
    "autoencoder",
    [
        make(AutoEncoderTransformer, early_stopping=True),
        make(AutoEncoderTransformer, learning_rate="adaptive"),
        make(AutoEncoderTransformer, warm_start=True),
        make(AutoEncoderTransformer, random_state=np.random.RandomState(0)),
        make(AutoEncoderTransformer, network=ConvNetwork((1, 2, 3))),
        make(AutoEncoderTransformer, network=DenseNetwork(normalization="batch")),
        make(DenoisingAutoEncoder, corruption="salt_and_pepper"),
        make(StackedAutoEncoder),
    ],
    ids=["stops early", "adaptive", "warm", "RandomState", "convolutional", "batch norm", "columns", "pre-trained"],
)
def test_others_cannot_be_batched(autoencoder):
    assert not can_be_batched(autoencoder)


def test_networks_are_stacked_and_unstacked(rows):
    specification = DenseNetwork((4,), normalization="batch", tied_weights=True)
    networks = [specification.build(summarize(rows + k), 2, RandomStreams([k]), False).eval() for k in range(3)]
    batched = stack_networks(networks)
    x = torch.rand(3, 5, 6)
    with torch.no_grad():
        alone = torch.cat([network(x[k : k + 1]) for k, network in enumerate(networks)])
        torch.testing.assert_close(batched(x), alone)
        for parameter in batched.parameters():
            parameter += 1
        unstack_networks(batched, networks)
        torch.testing.assert_close(torch.cat([n(x[k : k + 1]) for k, n in enumerate(networks)]), batched(x))


@pytest.mark.parametrize("loss", ["squared_error", "huber", "binary_cross_entropy"])
@pytest.mark.parametrize("n_rows", [33, 40, 47, 48])
@pytest.mark.parametrize("shuffle", [True, False])
def test_a_batch_takes_fits_that_differ_by_a_row(rows, monkeypatch, loss, n_rows, shuffle):
    X = (rows - rows.min(0)) / (rows.max(0) - rows.min(0))
    options = {"loss": loss, "shuffle": shuffle}
    members = [make(AutoEncoderTransformer, random_state=k, **options) for k in range(4)]
    sizes = [n_rows, n_rows - 1, n_rows, n_rows - 1]
    batches, train_batch = [], batched_training._train_batch
    monkeypatch.setattr(batched_training, "_train_batch", lambda fits: batches.append(len(fits)) or train_batch(fits))
    train_batched([Fit(member, X, np.arange(n)[::-1]) for member, n in zip(members, sizes, strict=True)])
    # 32 rows make two batches, 33 three
    assert batches == ([2, 2] if n_rows == 33 else [4])
    for k, (member, n) in enumerate(zip(members, sizes, strict=True)):
        assert_alike(member, make(AutoEncoderTransformer, random_state=k, **options).fit(X[:n][::-1]), X)


@pytest.mark.parametrize(
    "autoencoder",
    [
        make(DenoisingAutoEncoder),
        make(SparseAutoEncoder),
        make(AutoEncoderTransformer, precision="bfloat16"),
        make(AutoEncoderTransformer, network=DenseNetwork((8,), dropout=0.2)),
        make(AutoEncoderTransformer, network=DenseNetwork((8,), normalization="layer")),
        make(AutoEncoderTransformer, network=DenseNetwork((8,), tied_weights=True)),
    ],
    ids=repr,
)
def test_fits_that_need_all_rows_of_a_batch_are_trained_with_those_of_their_size(rows, monkeypatch, autoencoder):
    batches, train_batch = [], batched_training._train_batch
    monkeypatch.setattr(batched_training, "_train_batch", lambda fits: batches.append(len(fits)) or train_batch(fits))
    members = [clone(autoencoder).set_params(random_state=k) for k in range(3)]
    train_batched([Fit(member, rows[: 40 + k % 2]) for k, member in enumerate(members)])
    assert batches == [2, 1]
    assert all(member.__sklearn_is_fitted__() for member in members)
