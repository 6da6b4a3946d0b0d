import pickle

import numpy as np
import pytest
import torch

from skae import AutoEncoderTransformer, DenoisingAutoEncoder
from skae.estimators import greedy
from skae.estimators.greedy import layer_view
from skae.estimators.stacked import StackedAutoEncoder
from skae.interfaces import RowSummary
from skae.networks import DenseNetwork
from skae.random import RandomStreams
from skae.training import Rows


def quick(n_components=8, **parameters):
    return StackedAutoEncoder(
        n_components,
        **{
            "hidden_layer_sizes": (32, 16),
            "pretrain_max_iter": 3,
            "max_iter": 5,
            "random_state": 0,
            "device": "cpu",
            **parameters,
        },
    )


def weights(module):
    return torch.cat([p.detach().reshape(-1) for p in module.parameters()])


def build(digits, **parameters):
    specification = DenseNetwork(**{"hidden_layer_sizes": (32, 16), "activation": "sigmoid", **parameters})
    X = torch.tensor(digits).double()
    return specification.build(RowSummary(X.mean(0), float(X.std())), 8, RandomStreams([0]), False)


def pretrain(network, X, held_out=None, seed=0, **parameters):
    stacked = quick(**{"batch_size": 64, "learning_rate": "constant", "pretrain_max_iter": 2, **parameters})
    stacked._pretrain(network, X, held_out, seed)
    return stacked.pretraining_loss_curves_


# ---- pre-training ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tied_weights", [True, False])
def test_views_of_the_layers_compose_to_the_whole(tied_weights, digits):
    network = build(digits, tied_weights=tied_weights, normalization="batch").eval()
    views = [layer_view(network, layer).eval() for layer in range(3)]
    x = torch.tensor(digits[:50]).unsqueeze(0)
    z = x
    for view in views:
        z = view.encode(z)
    torch.testing.assert_close(z, network.encode(x))
    for view in reversed(views):
        z = view.decode(z)
    torch.testing.assert_close(z, network(x))


def test_each_layer_is_trained_on_the_frozen_codes_below(digits):
    network = build(digits, tied_weights=False)
    below = [[] for _ in range(3)]
    real = greedy.train

    def watched(objective, rows, *args, **kwargs):
        layer = sum(bool(seen) for seen in below)
        index = torch.arange(len(digits)).unsqueeze(0)
        z = torch.tensor(digits).unsqueeze(0)
        with torch.no_grad():
            for lower in range(layer):
                z = layer_view(network, lower).eval().encode(z)
        torch.testing.assert_close(rows.batch(index).x, z, rtol=1e-4, atol=1e-5)
        before = [weights(layer_view(network, other)).clone() for other in range(3)]
        real(objective, rows, *args, **kwargs)
        after = [weights(layer_view(network, other)) for other in range(3)]
        assert [not a.equal(b) for a, b in zip(after, before, strict=True)] == [other == layer for other in range(3)]
        below[layer].append(True)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(greedy, "train", watched)
        curves = pretrain(network, digits)
    assert all(below)
    assert [len(curve) for curve in curves] == [2, 2, 2]


def test_a_layer_alone_is_the_one_layer_autoencoder(digits):
    # the same rows, order and initial weights as an autoencoder without hidden layers
    network = build(digits, hidden_layer_sizes=(), activation="identity")
    alone = build(digits, hidden_layer_sizes=(), activation="identity")
    curves = pretrain(network, digits, seed=5)
    x = torch.tensor(digits).unsqueeze(0)
    before = (alone(x) - x).square().mean().item()
    after = (network(x) - x).square().mean().item()
    assert len(curves) == 1
    assert after < curves[0][0] < before


def test_rows_held_out_take_no_part(digits):
    held_out = np.arange(len(digits)) % 3 == 0
    reordered = digits.copy()
    reordered[::3] = digits[::3][::-1]

    def change(rows_left_out):
        networks = [build(digits), build(digits)]
        for network, X in zip(networks, (digits, reordered), strict=True):
            pretrain(network, X, rows_left_out)
        return (weights(networks[0]) - weights(networks[1])).abs().max()

    assert change(held_out) < 1e-5
    assert change(None) > 1e-2


def test_the_input_of_every_layer_is_corrupted_and_the_clean_one_its_target(digits):
    seen = []

    def erase(x, generator):
        seen.append(x.shape[1])
        return torch.zeros_like(x)

    network = build(digits)
    curves = pretrain(network, digits, corruption=erase, pretrain_max_iter=20)
    assert list(dict.fromkeys(seen)) == [64, 32, 16]
    # nothing is left of the input: the best answer is the mean row
    assert curves[0][-1] == pytest.approx(digits.var(0).mean(), rel=0.05)


@pytest.mark.parametrize(("corruption", "level"), {"gaussian": 0.3, "masking": 0.5, "swap": 0.5}.items())
def test_the_stacked_denoising_autoencoder_denoises(corruption, level, digits):
    def noisy(seed):
        rng = np.random.default_rng(seed)
        if corruption == "gaussian":
            return (digits + level * rng.normal(size=digits.shape)).astype(np.float32)
        other = rng.permuted(digits, axis=0) if corruption == "swap" else np.zeros_like(digits)
        return np.where(rng.uniform(size=digits.shape) < level, other, digits)

    def error(**parameters):
        fitted = quick(16, hidden_layer_sizes=(64,), max_iter=20, **parameters).fit(digits)
        return np.mean((fitted.reconstruct(noisy(0)) - digits) ** 2)

    assert error(corruption=corruption, noise_level=level) < 0.9 * error()


def test_gaussian_noise_keeps_its_proportion_to_the_codes(digits, monkeypatch):
    levels, codes = [], []
    monkeypatch.setattr("skae.estimators.greedy.make_corruption", lambda name, level, *args: levels.append(level))
    monkeypatch.setattr("skae.estimators.greedy.Rows", lambda X, *a, **k: (codes.append(X), Rows(X, *a, **k))[1])
    pretrain(build(digits), digits, corruption="gaussian", noise_level=0.3)
    scales = np.array([np.sqrt((X.std(0) ** 2).mean()) for X in codes])
    np.testing.assert_allclose(levels, 0.3 * scales / scales[0], rtol=1e-5)


# ---- the estimator -----------------------------------------------------------------------------------------


def test_pre_training_helps_a_deep_network_of_sigmoids(digits):
    settings = {"hidden_layer_sizes": (64, 32, 16), "activation": "sigmoid"}
    stacked = quick(**settings, pretrain_max_iter=5, max_iter=10).fit(digits)
    scratch = quick(**settings, pretrain_max_iter=0, max_iter=10 + 4 * 5).fit(digits)
    assert -stacked.score(digits) < 0.8 * -scratch.score(digits)
    assert stacked.loss_curve_[0] < scratch.loss_curve_[0]


def test_without_pre_training_it_is_the_plain_or_the_denoising_autoencoder(digits):
    shared = {"hidden_layer_sizes": (32,), "max_iter": 2, "random_state": 0, "device": "cpu"}
    plain = StackedAutoEncoder(8, pretrain_max_iter=0, tied_weights=False, **shared).fit(digits)
    assert np.array_equal(
        plain.reconstruct(digits), AutoEncoderTransformer(8, **shared).fit(digits).reconstruct(digits)
    )
    noisy = StackedAutoEncoder(8, pretrain_max_iter=0, tied_weights=False, corruption="swap", **shared).fit(digits)
    expected = DenoisingAutoEncoder(8, corruption="swap", **shared).fit(digits)
    assert np.array_equal(noisy.reconstruct(digits), expected.reconstruct(digits))
    assert plain.pretraining_loss_curves_ == []


def blur(x, generator):
    return x + 0.1 * torch.randn(x.shape, generator=generator)


def test_pre_training_losses(digits):
    fitted = quick(max_iter=1).fit(digits)
    assert [len(curve) for curve in fitted.pretraining_loss_curves_] == [3, 3, 3]
    assert all(curve[-1] < curve[0] for curve in fitted.pretraining_loss_curves_)
    assert fitted.n_iter_ == len(fitted.loss_curve_) == 1


@pytest.mark.parametrize("tied_weights", [True, False])
def test_tied_weights(tied_weights, digits):
    fitted = pickle.loads(pickle.dumps(quick(tied_weights=tied_weights).fit(digits)))
    pairs = zip(fitted.encoder_.layers, reversed(fitted.decoder_.layers), strict=True)
    assert all((getattr(d, "tied_to", None) is e) == tied_weights for e, d in pairs)


@pytest.mark.parametrize(
    "parameters",
    [
        {"loss": "binary_cross_entropy", "corruption": "masking", "early_stopping": True},
        {"network": DenseNetwork((32,), "silu", normalization="layer", dropout=0.1), "learning_rate": "adaptive"},
        {"hidden_layer_sizes": (), "corruption": blur},
    ],
    ids=["cross-entropy", "network", "one layer"],
)
def test_the_same_random_state_gives_the_same_model_to_the_bit(parameters, digits):
    first, second = (quick(**parameters).fit(digits) for _ in range(2))
    assert np.array_equal(first.reconstruct(digits), second.reconstruct(digits))
    assert -first.score(digits) < 1.2 * first.loss_curve_[0]


def test_neither_warm_start_nor_partial_fit_pre_trains(digits, capsys):
    fitted = quick(warm_start=True, max_iter=2, verbose=True).fit(digits)
    assert capsys.readouterr().out.count("Pre-training of layer") == 3
    fitted.fit(digits).partial_fit(digits)
    quick(verbose=True).partial_fit(digits)
    assert "Pre-training" not in capsys.readouterr().out
    assert fitted.n_iter_ == 5


def test_the_unit_of_the_rows_does_not_matter(digits):
    X = digits.astype(float)
    expected = quick(corruption="gaussian", noise_level=0.1).fit(X).score(X)
    for unit in (1e-12, 1e6):
        moved = quick(corruption="gaussian", noise_level=0.1 * unit).fit(X * unit).score(X * unit)
        assert moved == pytest.approx(expected * unit**2, rel=0.05)


# ---- errors ------------------------------------------------------------------------------------------------


class OtherNetwork:
    def build(self, rows, n_components, random, logits):
        pytest.fail("must not be built")


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        (
            {"network": OtherNetwork()},
            "'network' parameter of StackedAutoEncoder must be an instance of .*DenseNetwork",
        ),
        ({"network": lambda n, k: None}, "'network' parameter of StackedAutoEncoder"),
        ({"corruption": "swap", "noise_level": 1.2}, r"noise_level=1.2 must be in \[0, 1\] with corruption='swap'"),
        ({"corruption": "blur"}, "'corruption' parameter"),
        ({"noise_level": -1}, "'noise_level' parameter"),
        ({"pretrain_max_iter": -1}, "'pretrain_max_iter' parameter"),
        ({"tied_weights": "yes"}, "'tied_weights' parameter"),
    ],
)
def test_bad_input_is_named_before_training(parameters, message, digits, monkeypatch):
    for module in ("base", "greedy"):
        monkeypatch.setattr(f"skae.estimators.{module}.train", lambda *a, **k: pytest.fail("training began"))
    with pytest.raises(ValueError, match=message):
        quick(**parameters).fit(digits)


@pytest.mark.parametrize("error", [KeyboardInterrupt, FloatingPointError])
def test_what_stops_pre_training_leaves_the_earlier_state(error, digits, monkeypatch):
    fitted = quick().fit(digits)
    scores, curves = fitted.score_samples(digits), fitted.pretraining_loss_curves_

    def stop(*args, **kwargs):
        raise error

    monkeypatch.setattr("skae.estimators.greedy.train", stop)
    with pytest.raises(error) as caught:
        fitted.fit(digits[:, :32])
    assert caught.value.__notes__[0] == "This was in the pre-training of layer 1 of 3."
    assert "left as it was" in caught.value.__notes__[1]
    assert fitted.n_features_in_ == 64
    assert fitted.pretraining_loss_curves_ is curves
    assert np.array_equal(fitted.score_samples(digits), scores)


def test_divergence_in_pre_training_is_named(digits):
    with pytest.raises(FloatingPointError, match=r"lower learning_rate_init=1e\+30"):
        pretrain(build(digits, activation="identity"), digits, learning_rate_init=1e30)
    unfitted = quick(learning_rate_init=1e30)
    with pytest.raises(FloatingPointError):
        unfitted.fit(digits)
    assert not hasattr(unfitted, "pretraining_loss_curves_")
