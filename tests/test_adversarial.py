"""The adversarial autoencoder: its step against one written out, its codes against the prior."""

import copy
import pickle
from functools import partial

import numpy as np
import pytest
import torch
from descent import descend
from scipy.spatial.distance import cdist
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from torch import nn
from torch.nn import functional as F

from skae import AutoEncoderTransformer
from skae.estimators.adversarial import AdversarialAutoEncoder
from skae.interfaces import Batch, RowSummary
from skae.networks import ConvNetwork, DenseNetwork, LSTMNetwork
from skae.objectives import LOSSES
from skae.objectives.adversarial import AdversarialNetwork, AdversarialObjective
from skae.outliers import AutoEncoderOutlierDetector
from skae.priors import PRIORS, draw, normal
from skae.random import RandomStreams


def quick(n_components=2, **parameters):
    settings = {"hidden_layer_sizes": (32,), "max_iter": 5, "batch_size": 64, "random_state": 0, "device": "cpu"}
    return AdversarialAutoEncoder(n_components, **{**settings, **parameters})


def energy_distance(a, b):
    """Szekely & Rizzo 2013: 0 where the distributions are the same."""
    return 2 * cdist(a, b).mean() - cdist(a, a).mean() - cdist(b, b).mean()


# ---- the step ----------------------------------------------------------------------------------------------


def make_objective(n_members=1, weight=0.3):
    random = RandomStreams(range(n_members))
    autoencoder = DenseNetwork((6,), "tanh").build(RowSummary(torch.zeros(4), 1.0), 2, random, False)
    discriminator = DenseNetwork((5,), "tanh").build(RowSummary(torch.zeros(2), 1.0), 1, random, True).encoder
    objective = AdversarialObjective(
        AdversarialNetwork(autoencoder, discriminator), LOSSES["squared_error"], partial(draw, normal), weight
    )
    objective.loss_scale = 0.5
    return objective


def test_step_is_the_two_gradient_steps_of_the_formulas():
    x = torch.randn(1, 8, 4, generator=torch.Generator().manual_seed(0))
    objective, twin = make_objective(), make_objective()
    loss = descend(objective, Batch(x, x), RandomStreams([5]))

    network, of_prior = twin.network, draw(normal, 8, 2, RandomStreams([5]))

    def move(value, parameters):
        parameters = list(parameters)
        for parameter, gradient in zip(parameters, torch.autograd.grad(value, parameters), strict=True):
            parameter.data -= 0.1 * gradient

    z = network.encode(x)
    expected_loss = F.mse_loss(network.decode(z), x)
    real, fake = network.discriminator(of_prior).sigmoid(), network.discriminator(z).sigmoid()
    move(-(real.log() + (1 - fake).log()).mean(), network.discriminator.parameters())
    fake = network.discriminator(network.encode(x)).sigmoid()
    move(F.mse_loss(network(x), x) / 0.5 - 0.3 * fake.log().mean(), network.autoencoder.parameters())

    torch.testing.assert_close(loss, expected_loss.detach()[None])
    for ours, theirs in zip(objective.network.parameters(), network.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_a_member_steps_the_same_by_itself_and_in_a_batch():
    x = torch.randn(2, 8, 4, generator=torch.Generator().manual_seed(0))
    batched, single = make_objective(2), make_objective(1)  # which has the seed of member 0
    losses = descend(batched, Batch(x, x), RandomStreams([5, 6]))
    loss = descend(single, Batch(x[:1], x[:1]), RandomStreams([5]))
    torch.testing.assert_close(losses[:1], loss)
    for together, alone in zip(batched.network.parameters(), single.network.parameters(), strict=True):
        torch.testing.assert_close(together[:1], alone)


def test_a_step_leaves_nothing_behind_for_the_next():
    x = torch.randn(1, 8, 4, generator=torch.Generator().manual_seed(0))
    still = make_objective()
    gradients = []
    for _ in range(2):
        descend(still, Batch(x, x), RandomStreams([5]), lr=0.0)
        gradients.append(torch.cat([p.grad.flatten() for p in still.network.parameters()]))
    torch.testing.assert_close(*gradients)


# ---- codes follow the prior -----------------------------------------------------------------------------------


def ring(n, n_components, generator):
    angle = 6.2832 * torch.rand(n, generator=generator, device=generator.device)
    return torch.stack([angle.cos(), angle.sin()], 1)


@pytest.fixture(scope="module")
def sheet():
    """Rows of three features on a curved sheet, evenly spread over it."""
    u, v = np.random.default_rng(0).uniform(-1, 1, size=(2, 640))
    return np.c_[2 * u + v, v - u**2, u * v]


@pytest.mark.parametrize("prior", ["normal", "uniform", "gaussian_mixture", "swiss_roll", ring])
def test_codes_follow_the_prior(prior, sheet):
    draw_from = PRIORS.get(prior, prior)
    target = draw_from(1500, 2, torch.Generator().manual_seed(1)).numpy()
    settings = {"adversarial_weight": 0.3, "learning_rate_init": 1e-2, "max_iter": 60, "prior": prior}
    codes = quick(**settings).fit(sheet).transform(sheet)
    plain = quick(**{**settings, "adversarial_weight": 0.0, "max_iter": 5}).fit(sheet).transform(sheet)
    plain = (plain - plain.mean(0)) / plain.std(0) * target.std(0) + target.mean(0)
    assert energy_distance(codes, target) < 0.5 * energy_distance(plain, target)


def test_reconstruction_is_kept(digits):
    train, test = digits[:1400], digits[1400:]
    adversarial = quick(8, max_iter=15).fit(train)
    plain = AutoEncoderTransformer(8, hidden_layer_sizes=(32,), max_iter=15, batch_size=64, random_state=0).fit(train)
    assert adversarial.score(test) > 1.25 * plain.score(test)
    assert adversarial.loss_curve_[-1] == pytest.approx(-adversarial.score(train), rel=0.1)


def test_without_weight_it_is_the_plain_autoencoder(digits):
    adversarial = quick(adversarial_weight=0.0).fit(digits)
    plain = AutoEncoderTransformer(2, hidden_layer_sizes=(32,), max_iter=5, batch_size=64, random_state=0).fit(digits)
    np.testing.assert_allclose(adversarial.score_samples(digits), plain.score_samples(digits), rtol=1e-4)


def test_units_do_not_matter(plane):
    codes = quick(max_iter=15).fit(plane).transform(plane)
    moved = quick(max_iter=15).fit(plane * 1024).transform(plane * 1024)
    np.testing.assert_allclose(moved, codes, atol=0.02)


def test_samples_resemble_the_rows_and_follow_random_state(digits):
    autoencoder = quick(4, max_iter=10).fit(digits)
    samples = autoencoder.sample(1000)
    assert (samples.shape, samples.dtype) == ((1000, 64), np.float32)
    np.testing.assert_allclose(samples.mean(0), digits.mean(0), atol=0.15)
    assert np.array_equal(autoencoder.sample(1000), samples)
    assert not np.array_equal(autoencoder.set_params(random_state=None).sample(2), autoencoder.sample(2))


def test_samples_are_decoded_codes_of_the_prior(plane):
    autoencoder = quick(3, prior="swiss_roll", max_iter=1).fit(plane)
    codes = autoencoder.sample_codes(500)
    assert (codes.shape, codes.dtype) == ((500, 3), np.float32)
    np.testing.assert_allclose(autoencoder.sample(500), autoencoder.inverse_transform(codes), rtol=1e-5, atol=1e-6)
    radius = np.hypot(*codes[:, :2].T)
    assert (0.5 < radius.min() < 0.8) & (1.8 < radius.max() < 2.2)
    assert np.array_equal(autoencoder.sample_codes(500), codes)
    assert not np.array_equal(autoencoder.set_params(random_state=1).sample_codes(500), codes)
    autoencoder.set_params(random_state=0, prior="normal")  # the prior is fixed by fit
    assert np.array_equal(autoencoder.sample_codes(500), codes)


def test_distance_to_the_prior_is_that_of_the_codes(digits):
    adversarial, plain = quick(max_iter=20).fit(digits), quick(max_iter=20, adversarial_weight=0.0).fit(digits)
    codes, drawn = adversarial.transform(digits), adversarial.sample_codes(len(digits))
    distance = adversarial.prior_distance(digits)
    assert distance == pytest.approx(
        np.sqrt(energy_distance(codes, drawn) / (2 * cdist(codes, drawn).mean())), rel=1e-6
    )
    assert distance < 0.5 * plain.prior_distance(digits)
    assert adversarial.set_output(transform="pandas").prior_distance(digits) == distance


# ---- the estimator -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("network", [ConvNetwork((1, 8, 8), channels=(8, 4)), LSTMNetwork((8, 8), hidden_size=8)])
def test_images_and_sequences(network, digits):
    X = digits[:600]
    autoencoder = quick(4, network=network, max_iter=3).fit(X)
    assert autoencoder.loss_curve_[-1] < autoencoder.loss_curve_[0]
    Z = autoencoder.transform(X)
    with torch.no_grad():
        np.testing.assert_allclose(autoencoder.encoder_(torch.tensor(X)), Z, rtol=1e-4, atol=1e-5)
    assert autoencoder.sample(5).shape == (5, 64)


def own_network(n_features, n_components):
    encoder = nn.Sequential(nn.Linear(n_features, 8), nn.Dropout(0.1), nn.Tanh(), nn.Linear(8, n_components))
    return encoder, nn.Linear(n_components, n_features)


NETWORKS = [DenseNetwork((8,), "tanh", dropout=0.1, normalization="batch", tied_weights=True), own_network]


@pytest.mark.parametrize("network", NETWORKS)
def test_any_network_with_early_stopping_and_copies(network, plane):
    fitted = quick(network=network, early_stopping=True).fit(plane)
    scores = fitted.score_samples(plane)
    assert np.array_equal(clone(fitted).fit(plane).score_samples(plane), scores)
    assert fitted.best_epoch_ == np.argmin(fitted.validation_loss_curve_) + 1
    if network is own_network:
        return  # a function of this file, which not every test runner can pickle
    for twin in (copy.deepcopy(fitted), pickle.loads(pickle.dumps(fitted))):
        assert np.array_equal(twin.score_samples(plane), scores)
        assert np.array_equal(twin.sample(3), fitted.sample(3))


def test_more_training_goes_on_with_the_same_discriminator(plane):
    autoencoder = quick().fit(plane)
    before = copy.deepcopy(autoencoder._network.discriminator.state_dict())
    autoencoder.partial_fit(plane).set_params(warm_start=True).fit(plane)
    assert autoencoder.n_iter_ == 11
    after = autoencoder._network.discriminator.state_dict()
    assert not any(before[name].equal(after[name]) for name in before if name.startswith("layers"))


def test_under_the_detector(plane):
    detector = AutoEncoderOutlierDetector(quick(max_iter=60), novelty=True).fit(plane)
    assert (detector.predict(plane) == 1).mean() >= 0.9  # a tenth at most are called outliers
    off = np.linalg.svd(plane)[2][-1]  # the direction that the plane does not span
    assert (detector.predict(plane + 5 * off) == -1).all()


def test_torchs_defaults_have_no_part(plane):
    def fit():
        fitted = quick(max_iter=2).fit(plane)
        return np.r_[fitted.score_samples(plane), fitted.sample(3).ravel()]

    expected = fit()
    with torch.device("meta"):
        np.testing.assert_allclose(fit(), expected, rtol=1e-6)
    torch.set_default_dtype(torch.float64)
    try:
        np.testing.assert_allclose(fit(), expected, rtol=1e-6)
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"prior": "cauchy"}, "'prior' parameter of AdversarialAutoEncoder"),
        ({"prior": "swiss_roll", "n_components": 1}, "prior='swiss_roll' lies in a plane"),
        ({"prior": lambda n, d, g: torch.zeros(n)}, r"must return a tensor of floats of shape \(3, 2\)"),
        ({"adversarial_weight": -1.0}, "'adversarial_weight' parameter"),
        ({"discriminator_layer_sizes": (8, 0)}, r"must hold integers >= 1"),
    ],
)
def test_bad_parameters(parameters, message, plane, monkeypatch):
    monkeypatch.setattr("skae.estimators.base.train", lambda *args, **kwargs: pytest.fail("training began"))
    with pytest.raises(ValueError, match=message):
        quick(**parameters).fit(plane)


def test_bad_number_of_samples(plane):
    with pytest.raises(ValueError, match="'n_samples' parameter of sample"):
        quick(max_iter=1).fit(plane).sample(0)
    with pytest.raises(NotFittedError):
        quick().sample_codes(1)
