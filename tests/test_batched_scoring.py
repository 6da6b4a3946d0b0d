import gc

import numpy as np
import pytest
import torch
from sklearn.base import clone

from skae import AutoEncoderTransformer, ContractiveAutoEncoder, DenoisingAutoEncoder, SparseAutoEncoder
from skae.estimators import batched_scoring
from skae.estimators.batched_scoring import feature_errors_of_members, score_members
from skae.networks import DenseNetwork, MemoryNetwork

SMALL = {"hidden_layer_sizes": (8,), "max_iter": 3}


def members(autoencoder, n=5):
    X = np.random.default_rng(0).normal(size=(60, 4))
    return [clone(autoencoder).set_params(random_state=k).fit(X) for k in range(n)]


def scores(autoencoders, X):
    return np.concatenate(list(score_members(autoencoders, X)))


def rows(n, seed=1):
    return np.random.default_rng(seed).normal(size=(n, 4))


@pytest.mark.parametrize(
    "autoencoder",
    [
        AutoEncoderTransformer(2, **SMALL),
        AutoEncoderTransformer(2, network=DenseNetwork((6,), "tanh", tied_weights=True, dropout=0.5), max_iter=3),
        AutoEncoderTransformer(2, network=DenseNetwork((6,), normalization="batch"), max_iter=3),
        SparseAutoEncoder(6, loss="huber", **SMALL),
        ContractiveAutoEncoder(2, **SMALL),
        DenoisingAutoEncoder(8, network=MemoryNetwork(), loss="absolute_error", max_iter=3),
    ],
    ids=lambda a: type(a).__name__,
)
@pytest.mark.parametrize("n_rows", [1, 32, 33, 300])
def test_scores_of_several_are_those_of_each(autoencoder, n_rows):
    autoencoders, X = members(autoencoder), rows(n_rows)
    expected = np.stack([a.score_samples(X) for a in autoencoders])
    np.testing.assert_allclose(scores(autoencoders, X), expected, rtol=1e-4, atol=1e-6)
    parts = np.concatenate(list(feature_errors_of_members(autoencoders, X)))
    expected = np.stack([a.feature_errors(X) for a in autoencoders])
    np.testing.assert_allclose(parts, expected, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(parts.sum(2), -scores(autoencoders, X), rtol=1e-9)
    assert len(batched_scoring._stacks[autoencoders[0]._network].parts) == 1


def test_large_networks_are_stacked_in_parts(monkeypatch):
    autoencoders, X = members(AutoEncoderTransformer(2, **SMALL)), rows(40)
    n_bytes = sum(4 * t.numel() for t in autoencoders[0]._network.state_dict().values())
    monkeypatch.setattr(batched_scoring, "STACK_BYTES", 2 * n_bytes)
    assert [len(part) for part in score_members(autoencoders, X)] == [2, 2, 1]
    np.testing.assert_allclose(scores(autoencoders, X), np.stack([a.score_samples(X) for a in autoencoders]), rtol=1e-4)


def test_changed_members_are_stacked_anew():
    autoencoders, X = members(AutoEncoderTransformer(2, **SMALL)), rows(10)
    before = scores(autoencoders, X)
    autoencoders[3].partial_fit(rows(60))  # another network
    with torch.no_grad():
        autoencoders[1].decoder_.layers[-1].block.mul_(2)  # the same one
    after = scores(autoencoders, X)
    np.testing.assert_allclose(after, np.stack([a.score_samples(X) for a in autoencoders]), rtol=1e-4)
    assert [k for k in range(5) if not np.allclose(before[k], after[k], rtol=1e-4)] == [1, 3]
    np.testing.assert_allclose(scores(autoencoders[:2], X), after[:2], rtol=1e-4)


def test_stacks_go_with_their_networks():
    autoencoders = members(AutoEncoderTransformer(2, **SMALL), n=2)
    scores(autoencoders, rows(2))
    gc.collect()
    n_before = len(batched_scoring._stacks)
    del autoencoders
    gc.collect()
    assert len(batched_scoring._stacks) == n_before - 1


def test_rows_that_overflow_are_scored_in_float64():
    autoencoders, X = members(AutoEncoderTransformer(2, **SMALL)), rows(5)
    X[2] = 1e30
    together = scores(autoencoders, X)
    assert np.isfinite(together).all()
    np.testing.assert_allclose(together, np.stack([a.score_samples(X) for a in autoencoders]), rtol=1e-6)


def test_networks_of_other_shapes_are_applied_one_by_one():
    autoencoders = members(AutoEncoderTransformer(2, **SMALL), n=2) + members(AutoEncoderTransformer(1, **SMALL), n=1)
    X = rows(9)
    np.testing.assert_array_equal(scores(autoencoders, X), np.stack([a.score_samples(X) for a in autoencoders]))
    assert len(batched_scoring._stacks[autoencoders[0]._network].parts) == 0
