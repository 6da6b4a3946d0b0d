import numpy as np
import pytest
import torch
from scipy import stats

from skae import priors
from skae.random import RandomStreams


def codes(name, n_components=2, n=4000):
    return priors.PRIORS[name](n, n_components, torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", priors.PRIORS)
@pytest.mark.parametrize("n_components", [2, 5])
def test_shape_type_and_reproducibility(name, n_components):
    z = codes(name, n_components, 30)
    assert (z.shape, z.dtype) == ((30, n_components), torch.float32)
    assert z.equal(codes(name, n_components, 30))


@pytest.mark.parametrize("name", ["normal", "gaussian_mixture", "swiss_roll"])
def test_components_beyond_the_plane_are_standard_normal(name):
    z = codes(name, 4)[:, 2:].numpy().ravel()
    assert stats.kstest(z, "norm").pvalue > 0.01


def test_normal_and_uniform():
    assert stats.kstest(codes("normal").numpy().ravel(), "norm").pvalue > 0.01
    assert stats.kstest(codes("uniform", 1).numpy().ravel(), stats.uniform(-1, 2).cdf).pvalue > 0.01


def test_mixture_is_ten_clusters_around_a_circle():
    z = codes("gaussian_mixture").double()
    radius, angle = z.norm(dim=1), torch.atan2(z[:, 1], z[:, 0])
    assert radius.mean().item() == pytest.approx(2, abs=0.05)
    outer = angle[radius > 1.5]
    nearest = torch.round(outer / (np.pi / 5))
    assert len(torch.unique(nearest % 10)) == 10
    assert (outer - nearest * np.pi / 5).std() < 0.1  # as against 0.18 of evenly spread angles


def test_roll_is_a_spiral():
    z = codes("swiss_roll").double()
    radius, angle = z.norm(dim=1), torch.atan2(z[:, 1], z[:, 0])
    assert 0.5 < radius.min() < 0.7
    assert 1.95 < radius.max() < 2.1
    turned = 4.5 * np.pi * radius / 2 - angle  # a whole number of turns, but for the noise
    assert (turned / (2 * np.pi) - torch.round(turned / (2 * np.pi))).abs().mean() < 0.05
    outside = (radius > 1.5).double().mean().item()
    assert outside == pytest.approx((4 - 1.5**2) / (4 - 4 / 9), abs=0.03)  # as dense at the rim as within


def test_members_draw_from_their_own_streams():
    together = priors.draw(priors.normal, 6, 2, RandomStreams([1, 2]))
    assert together.shape == (2, 6, 2)
    assert together[1:].equal(priors.draw(priors.normal, 6, 2, RandomStreams([2])))


def test_callable_of_doubles_gives_float32():
    def exponential(n, n_components, generator):
        return -torch.rand(n, n_components, generator=generator, dtype=torch.float64).log()

    prior = priors.make_prior(exponential, 3)
    z = priors.draw_codes(prior, 2000, 3, 0)
    assert z.dtype == np.float32
    assert stats.kstest(z.ravel(), "expon").pvalue > 0.01


def test_drawn_codes_follow_random_state():
    def drawn(random_state):
        return priors.draw_codes(priors.normal, 3, 2, random_state)

    assert np.array_equal(drawn(0), drawn(0))
    assert not np.array_equal(drawn(0), drawn(1))
    assert not np.array_equal(drawn(None), drawn(None))
    moving = np.random.RandomState(0)
    assert not np.array_equal(drawn(moving), drawn(moving))


@pytest.mark.parametrize(
    ("prior", "n_components", "message"),
    [
        ("swiss_roll", 1, "prior='swiss_roll' lies in a plane: n_components=1 must be 2 or more"),
        ("gaussian_mixture", 1, "prior='gaussian_mixture' lies in a plane"),
        (lambda n, d, g: torch.zeros(n, 1), 3, r"must return a tensor of floats of shape \(3, 3\), got .*\(3, 1\)"),
        (lambda n, d, g: torch.zeros(n, d, dtype=torch.int64), 3, "must return a tensor of floats .* got torch.int64"),
        (lambda n, d, g: np.zeros((n, d)), 3, "must return a tensor of floats .* got ndarray"),
    ],
)
def test_bad_priors(prior, n_components, message):
    with pytest.raises(ValueError, match=message):
        priors.make_prior(prior, n_components)


@pytest.mark.parametrize("n_samples", [0, 2.0, "3"])
def test_bad_number_of_codes(n_samples):
    with pytest.raises(ValueError, match="'n_samples' parameter of sample must be an int"):
        priors.draw_codes(priors.normal, n_samples, 2, 0)
