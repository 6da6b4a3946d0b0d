"""The variational autoencoder against densities that are known."""

import numpy as np
import pytest
import torch
from scipy import integrate, stats
from torch import nn
from torch.distributions import Bernoulli, Laplace, Normal, kl_divergence

from skae.estimators.variational import VariationalAutoEncoder
from skae.interfaces import Batch, Network
from skae.networks import ConvNetwork, DenseNetwork, LSTMNetwork
from skae.objectives.losses import LOSSES
from skae.objectives.variational import (
    FAMILIES,
    Likelihood,
    VariationalNetwork,
    VariationalObjective,
    kl_to_standard_normal,
    normal_draws,
)
from skae.outliers import AutoEncoderOutlierDetector
from skae.random import RandomStreams


def quick(n_components=2, **parameters):
    return VariationalAutoEncoder(
        n_components, **{"hidden_layer_sizes": (16,), "max_iter": 10, "random_state": 0, "device": "cpu", **parameters}
    )


class Linear(Network):
    """A linear map as an encoder or decoder, the same for each of K members."""

    def __init__(self, encoder, decoder, n_members=1):
        super().__init__()
        self.encoder, self.decoder, self.n_members = encoder, decoder, n_members

    def encode(self, x, random=None):
        return self.encoder(x)

    def decode(self, z, random=None):
        return self.decoder(z)


def linear_network(loss="squared_error", n_members=1, dtype=torch.float32):
    """A network of 2 components over 3 features with weights of moderate size."""
    torch_random = torch.Generator().manual_seed(0)
    encoder, decoder = nn.Linear(3, 4, dtype=dtype), nn.Linear(2, 3, dtype=dtype)
    with torch.no_grad():
        for parameter in [*encoder.parameters(), *decoder.parameters()]:
            parameter.copy_(0.5 * torch.randn(parameter.shape, generator=torch_random))
    likelihood = Likelihood(loss, 0.7, n_members)
    network = VariationalNetwork(
        Linear(encoder, nn.Identity(), n_members), Linear(nn.Identity(), decoder, n_members), likelihood, 2
    )
    return network.eval()


# ---- the formulas ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", FAMILIES)
@pytest.mark.parametrize("s", [0.01, 0.5, 20.0])
def test_each_family_is_a_density_with_its_mean_distance(loss, s):
    def density(x):
        distance = LOSSES[loss].elementwise(torch.tensor(x), torch.tensor(0.0)).item()
        return np.exp(-distance / s), distance

    reach = 60 * max(s, np.sqrt(s))
    normalizer = 2 * integrate.quad(lambda x: density(x)[0], 0, reach, points=[1.0, np.sqrt(s)], limit=200)[0]
    mean = 2 * integrate.quad(lambda x: np.prod(density(x)), 0, reach, points=[1.0, np.sqrt(s)], limit=200)[0]
    family, s = FAMILIES[loss], torch.tensor(s, dtype=torch.float64)
    assert family.log_normalizer(s).exp().item() == pytest.approx(normalizer, rel=1e-4)
    assert family.mean_distance(s).item() == pytest.approx(mean / normalizer, rel=1e-4)


@pytest.mark.parametrize(
    ("loss", "distribution"),
    [
        ("squared_error", lambda raw, s: Normal(raw, (s / 2).sqrt())),
        ("absolute_error", lambda raw, s: Laplace(raw, s)),
        ("binary_cross_entropy", lambda raw, s: Bernoulli(logits=raw)),
    ],
)
def test_likelihoods_are_torchs_distributions(loss, distribution):
    likelihood = Likelihood(loss, 0.7, 2)
    random = torch.Generator().manual_seed(0)
    raw, x = torch.randn(2, 5, 3, generator=random), torch.randint(2, (2, 5, 3), generator=random).float()
    likelihood.log_scale.add_(torch.tensor([0.0, 0.3]))  # each member its own
    expected = -distribution(raw, likelihood.log_scale.exp().view(2, 1, 1)).log_prob(x).sum(-1)
    torch.testing.assert_close(likelihood.negative_log(likelihood.deviation(raw, x)), expected)


@pytest.mark.parametrize("loss", FAMILIES)
def test_the_scale_goes_to_its_maximum_likelihood(loss):
    likelihood = Likelihood(loss, 1.0, 1)
    x = 3 * torch.randn(1, 50, 4, generator=torch.Generator().manual_seed(0))
    rows = likelihood.deviation(x, torch.zeros_like(x)).distances
    for _ in range(200):
        likelihood.follow(rows, 4)
    log_scale = likelihood.log_scale.clone().requires_grad_()
    s = log_scale.exp()
    (rows.mean() / s + 4 * FAMILIES[loss].log_normalizer(s)).sum().backward()
    assert log_scale.grad.abs().item() < 1e-3


def test_the_scale_has_a_floor():
    likelihood = Likelihood("squared_error", 2.0, 1)
    for _ in range(500):
        likelihood.follow(torch.zeros(1, 5), 3)
    assert (likelihood.log_scale.exp() / 2).sqrt().item() == pytest.approx(0.002 / np.sqrt(2), rel=1e-4)


def test_divergence_is_torchs():
    random = torch.Generator().manual_seed(0)
    mean, log_variance = torch.randn(2, 1, 6, 3, dtype=torch.float64, generator=random)
    expected = kl_divergence(Normal(mean, (log_variance / 2).exp()), Normal(0.0, 1.0)).sum(-1)
    torch.testing.assert_close(kl_to_standard_normal(mean, log_variance), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("beta", [0.0, 1.0, 4.0])
def test_row_loss_is_the_negative_bound(beta):
    network, x = linear_network(), torch.rand(1, 7, 3, generator=torch.Generator().manual_seed(1))
    mean, log_variance = network.posterior(x)
    noise = RandomStreams([5]).normal(7, 2)
    posterior = Normal(mean, (log_variance / 2).exp())
    likelihood = Normal(network.decode(mean + posterior.scale * noise), (network.likelihood.log_scale.exp() / 2).sqrt())
    expected = -likelihood.log_prob(x).sum(-1) + beta * kl_divergence(posterior, Normal(0.0, 1.0)).sum(-1)
    losses = VariationalObjective(network, beta).row_losses(Batch(x, x), RandomStreams([5]))
    torch.testing.assert_close(losses, expected)


def test_a_member_is_the_same_by_itself_and_in_a_batch():
    x = torch.rand(2, 7, 3, generator=torch.Generator().manual_seed(1))
    together, alone = linear_network(n_members=2).train(), linear_network().train()
    losses = VariationalObjective(together, 1.0).row_losses(Batch(x, x), RandomStreams([5, 6]))
    loss = VariationalObjective(alone, 1.0).row_losses(Batch(x[1:], x[1:]), RandomStreams([6]))
    torch.testing.assert_close(losses[1:], loss)
    torch.testing.assert_close(together.likelihood.log_scale[1:], alone.likelihood.log_scale)


# ---- the bounds against a density that is known ---------------------------------------------------------------


def test_the_bounds_of_a_linear_model_close_in_on_its_density():
    """With a linear decoder p(x) is normal, and its logarithm is known."""
    network = linear_network()
    x = torch.randn(1, 20, 3, generator=torch.Generator().manual_seed(1))
    decoder, variance = network.decoder, (network.likelihood.log_scale.exp() / 2).item()
    weight = decoder.weight.detach().numpy()
    to_mean = np.linalg.solve(weight.T @ weight + variance * np.eye(2), weight.T)  # the code's mean given x
    with torch.no_grad():
        encoder = network.recognition.encoder
        encoder.weight.copy_(torch.from_numpy(np.vstack([to_mean, np.zeros((2, 3))])))
        encoder.bias.copy_(torch.from_numpy(np.r_[-to_mean @ decoder.bias.detach().numpy(), 0, 0]))  # variance 1
    density = stats.multivariate_normal(decoder.bias.detach().numpy(), weight @ weight.T + variance * np.eye(3))
    exact = density.logpdf(x[0].numpy())

    def gap(n_draws, weighted, entropy=0):
        with torch.no_grad():
            return exact - network.log_density_bound(x, normal_draws(n_draws, 2, entropy), weighted)[0].numpy()

    # KL(N(mean, 1) || N(mean, posterior covariance)), the same for every row
    precision = weight.T @ weight / variance + np.eye(2)
    elbo_gap = 0.5 * (np.trace(precision) - 2 - np.log(np.linalg.det(precision)))
    np.testing.assert_allclose(gap(256, False), elbo_gap, rtol=0.02)
    assert 0 < np.mean([gap(4, True, entropy) for entropy in range(200)]) < elbo_gap
    np.testing.assert_allclose(gap(2048, True), 0, atol=0.01)


def test_even_draws_are_standard_normal_and_closer_to_it_than_independent_ones():
    draws = torch.stack([normal_draws(16, 5, seed) for seed in range(400)]).double()  # (400, 16, 5)
    assert stats.kstest(draws.flatten().numpy()[::7], "norm").pvalue > 0.01
    independent = torch.randn(400, 16, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert draws.square().mean((1, 2)).std() < 0.6 * independent.square().mean((1, 2)).std()
    assert normal_draws(16, 5, 3).equal(normal_draws(16, 5, 3))


def test_training_reaches_the_density_of_a_normal_distribution():
    rng = np.random.default_rng(0)
    cov = np.diag([4.0, 1.0, 0.2, 0.2, 0.2])
    X, test = (rng.multivariate_normal(np.full(5, 3.0), cov, n) for n in (2000, 1000))
    vae = quick(2, hidden_layer_sizes=(), max_iter=20, n_draws=128, learning_rate_init=2e-2).fit(X)
    best = stats.multivariate_normal(np.full(5, 3.0), cov).logpdf(test).mean()
    assert best - 0.05 < vae.score(test) < best + 0.02


@pytest.mark.parametrize("loss", ["squared_error", "absolute_error", "huber"])
def test_units_do_not_matter(loss, plane):
    X = plane if loss != "huber" else plane * 50  # far out it is absolute
    scores = quick(loss=loss).fit(X).score_samples(X)
    moved = quick(loss=loss).fit(X * 16 + 64).score_samples(X * 16 + 64)
    np.testing.assert_allclose(moved, scores - 5 * np.log(16), rtol=0.02, atol=0.1)


# ---- the estimator -----------------------------------------------------------------------------------------


def test_training_raises_the_bound_and_beta_simplifies_the_code(digits):
    train, test = digits[:1400], digits[1400:]
    scores = [
        quick(8, loss="binary_cross_entropy", hidden_layer_sizes=(64,), max_iter=n).fit(train).score(test)
        for n in (1, 10)
    ]
    assert scores[1] > scores[0] + 1
    spread = [quick(8, beta=beta, max_iter=5).fit(digits).transform(digits).var(0).sum() for beta in (1.0, 20.0)]
    assert spread[1] < 0.7 * spread[0]


def test_scores_are_the_bound_of_the_parameters(digits):
    vae = quick(loss="binary_cross_entropy").fit(digits)
    elbo, weighted = vae.score_samples(digits), clone_of(vae, bound="importance_weighted").score_samples(digits)
    assert weighted.mean() > elbo.mean()
    assert clone_of(vae, n_draws=2, bound="importance_weighted").score(digits) < weighted.mean()
    assert np.array_equal(vae.score_samples(digits[:7]), elbo[:7])
    assert not np.array_equal(clone_of(vae, n_draws=1).score_samples(digits), elbo)


def clone_of(fitted, **parameters):
    """Return a fitted copy with other parameters."""
    twin = type(fitted).__new__(type(fitted))
    twin.__dict__.update(vars(fitted))
    return twin.set_params(**parameters)


def test_code_is_the_posterior_mean_and_the_halves_are_modules(digits):
    vae = quick(loss="binary_cross_entropy").fit(digits)
    Z = vae.transform(digits)
    with torch.no_grad():
        np.testing.assert_allclose(vae.encoder_(torch.tensor(digits)), Z, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(vae.decoder_(torch.tensor(Z)), vae.reconstruct(digits), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(vae.inverse_transform(Z), vae.reconstruct(digits), rtol=1e-5, atol=1e-6)


def test_samples_resemble_the_rows_and_follow_random_state(digits):
    vae = quick(4, hidden_layer_sizes=(64,), max_iter=10).fit(digits)
    samples = vae.sample(1000)
    assert (samples.shape, samples.dtype) == ((1000, 64), np.float32)
    np.testing.assert_allclose(samples.mean(0), digits.mean(0), atol=0.1)
    assert np.array_equal(vae.sample(1000), samples)
    assert not np.array_equal(vae.set_params(random_state=None).sample(2), vae.sample(2))
    assert vae.sample().shape == (1, 64)


@pytest.mark.parametrize("n_samples", [0, -1, 1.5])
def test_bad_number_of_samples(n_samples, plane):
    with pytest.raises(ValueError, match="'n_samples' parameter of sample"):
        quick(max_iter=1).fit(plane).sample(n_samples)


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


NETWORKS = [DenseNetwork((8,), "tanh", dropout=0.1, normalization="batch"), DenseNetwork(()), own_network]


@pytest.mark.parametrize("network", NETWORKS)
def test_any_network(network, plane):
    def fit():
        return quick(network=network, max_iter=20, early_stopping=True).fit(plane)

    vae = fit()
    assert vae.transform(plane).shape == (200, 2)
    assert vae.best_epoch_ == np.argmin(vae.validation_loss_curve_) + 1
    assert vae.validation_loss_curve_[-1] < vae.validation_loss_curve_[0]
    assert np.array_equal(fit().score_samples(plane), vae.score_samples(plane))


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
        (
            {"network": DenseNetwork((8,), tied_weights=True)},
            "shares weights between encoder and decoder.*tied_weights",
        ),
        ({"network": DenseNetwork((8,), code_activation="relu")}, "code_activation='relu' of network must be"),
        ({"beta": -1.0}, "'beta' parameter of VariationalAutoEncoder"),
        ({"bound": "iwae"}, "'bound' parameter of VariationalAutoEncoder"),
        ({"n_draws": 0}, "'n_draws' parameter of VariationalAutoEncoder"),
    ],
)
def test_bad_parameters(parameters, message, plane, monkeypatch):
    monkeypatch.setattr("skae.estimators.base.train", lambda *args, **kwargs: pytest.fail("training began"))
    with pytest.raises(ValueError, match=message):
        quick(**parameters).fit(plane)


def test_more_training_goes_on_from_the_learnt_scale(plane):
    vae = quick(warm_start=True).fit(plane)
    before = vae.score(plane)
    vae.fit(plane).partial_fit(plane)
    assert vae.n_iter_ == 21
    assert vae.score(plane) > before


def test_rows_off_the_plane_are_outliers(plane):
    detector = AutoEncoderOutlierDetector(quick(max_iter=60), novelty=True).fit(plane)
    assert (detector.predict(plane) == 1).mean() > 0.95
    off = np.linalg.svd(plane)[2][-1]  # the direction that the plane does not span
    assert (detector.predict(plane + 5 * off) == -1).all()


def test_rows_far_away_have_finite_scores(plane):
    assert np.isfinite(quick().fit(plane).score_samples(plane * 1e6)).all()
