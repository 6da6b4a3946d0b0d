import numpy as np
import pytest
import torch
from scipy import stats

from skae import priors
from skae.random import RandomStreams


@pytest.fixture
def float64_by_default():
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


def codes(name, n_components=2, n=4000):
    return priors.PRIORS[name](n, n_components, torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", priors.PRIORS)
@pytest.mark.parametrize("n_components", [2, 5])
def test_shape_dtype_and_reproducibility(name, n_components):
    z = codes(name, n_components, 30)
    assert (z.shape, z.dtype) == ((30, n_components), torch.float32)
    assert z.equal(codes(name, n_components, 30))


@pytest.fixture(params=priors.PRIORS)
def codes_in_float32(request):
    """The name of a prior and what is drawn from it while torch's default dtype is float32."""
    prior = priors.make_prior(request.param, 3)
    return request.param, codes(request.param, 3, 30), priors.draw_codes(prior, 30, 3, 0)


def test_default_dtype_of_torch_is_not_used(codes_in_float32, float64_by_default):
    name, expected, expected_by_seed = codes_in_float32
    z = codes(name, 3, 30)
    assert z.dtype == torch.float32
    assert z.equal(expected)
    drawn = priors.draw_codes(priors.make_prior(name, 3), 30, 3, 0)
    assert drawn.dtype == np.float32
    assert np.array_equal(drawn, expected_by_seed)


@pytest.mark.usefixtures("float64_by_default")
def test_callable_prior_may_use_the_default_dtype_of_torch():
    prior = priors.make_prior(lambda n, n_components, g: torch.rand(n, n_components, generator=g), 3)
    assert priors.draw_codes(prior, 5, 3, 0).dtype == np.float32


@pytest.mark.parametrize("name", ["normal", "gaussian_mixture", "swiss_roll"])
def test_components_after_the_first_two_are_standard_normal(name):
    z = codes(name, 4)[:, 2:].numpy().ravel()
    assert stats.kstest(z, "norm").pvalue > 0.01


def test_normal_and_uniform():
    assert stats.kstest(codes("normal").numpy().ravel(), "norm").pvalue > 0.01
    assert stats.kstest(codes("uniform", 1).numpy().ravel(), stats.uniform(-1, 2).cdf).pvalue > 0.01


def test_mixture_has_ten_clusters_on_a_circle():
    z = codes("gaussian_mixture").double()
    radius, angle = z.norm(dim=1), torch.atan2(z[:, 1], z[:, 0])
    assert radius.mean().item() == pytest.approx(2, abs=0.05)
    outer = angle[radius > 1.5]
    nearest = torch.round(outer / (np.pi / 5))
    assert len(torch.unique(nearest % 10)) == 10
    assert (outer - nearest * np.pi / 5).std() < 0.1  # uniform angles would give 0.18


def test_swiss_roll_is_a_spiral():
    z = codes("swiss_roll").double()
    radius, angle = z.norm(dim=1), torch.atan2(z[:, 1], z[:, 0])
    assert 0.5 < radius.min() < 0.7
    assert 1.95 < radius.max() < 2.1
    turned = 4.5 * np.pi * radius / 2 - angle  # a whole number of turns, plus noise
    assert (turned / (2 * np.pi) - torch.round(turned / (2 * np.pi))).abs().mean() < 0.05
    outside = (radius > 1.5).double().mean().item()
    assert outside == pytest.approx((4 - 1.5**2) / (4 - 4 / 9), abs=0.03)  # the share of the spiral's length


def test_each_member_draws_from_its_own_stream():
    together = priors.draw(priors.normal, 6, 2, RandomStreams([1, 2]))
    assert together.shape == (2, 6, 2)
    assert together[1:].equal(priors.draw(priors.normal, 6, 2, RandomStreams([2])))


def test_callable_that_returns_float64_gives_float32():
    def exponential(n, n_components, generator):
        return -torch.rand(n, n_components, generator=generator, dtype=torch.float64).log()

    prior = priors.make_prior(exponential, 3)
    z = priors.draw_codes(prior, 2000, 3, 0)
    assert z.dtype == np.float32
    assert stats.kstest(z.ravel(), "expon").pvalue > 0.01


def test_callable_that_returns_a_tensor_that_requires_grad():
    scale = torch.ones(3, requires_grad=True)

    def scaled(n, n_components, generator):
        return scale * torch.randn(n, n_components, generator=generator)

    assert priors.draw_codes(priors.make_prior(scaled, 3), 5, 3, 0).shape == (5, 3)
    assert not priors.draw(scaled, 5, 3, RandomStreams([0])).requires_grad


def test_codes_follow_random_state():
    def drawn(random_state):
        return priors.draw_codes(priors.normal, 3, 2, random_state)

    assert np.array_equal(drawn(0), drawn(0))
    assert not np.array_equal(drawn(0), drawn(1))
    assert not np.array_equal(drawn(None), drawn(None))
    random_state = np.random.RandomState(0)
    assert not np.array_equal(drawn(random_state), drawn(random_state))


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
def test_invalid_priors(prior, n_components, message):
    with pytest.raises(ValueError, match=message):
        priors.make_prior(prior, n_components)


@pytest.mark.parametrize("n_samples", [0, 2.0, "3"])
def test_invalid_number_of_codes(n_samples):
    with pytest.raises(ValueError, match="'n_samples' parameter of sample must be an int"):
        priors.draw_codes(priors.normal, n_samples, 2, 0)


def test_energy_distance_of_points():
    a, b = np.array([[0.0], [2.0]]), np.array([[1.0], [5.0]])
    # means of all pairs: 1 within a, 2 within b, (1 + 5 + 1 + 3) / 4 between
    assert priors.energy_distance(a, b) == pytest.approx(np.sqrt(1 - (1 + 2) / (2 * 2.5)))
    assert priors.energy_distance(a, a) == 0
    assert priors.energy_distance(a[:1], a[:1]) == 0
    assert np.isnan(priors.energy_distance(a * np.nan, b))
    assert priors.energy_distance(a, a + 1e6) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("name", priors.PRIORS)
def test_energy_distance_of_draws_of_one_prior(name):
    prior, n = priors.make_prior(name, 2), 1500  # in two blocks
    distances = [
        priors.energy_distance(priors.draw_codes(prior, n, 2, seed), priors.draw_codes(prior, n, 2, seed + 10))
        for seed in range(5)
    ]
    assert np.mean(distances) == pytest.approx(n**-0.5, rel=0.3)


def test_energy_distance_holds_few_distances_at_once(monkeypatch):
    a, b = np.random.default_rng(0).normal(size=(2, 30, 2))
    sizes, expected = [], priors.energy_distance(a, b)
    cdist = priors.cdist
    monkeypatch.setattr(priors, "N_DISTANCES", 100)
    monkeypatch.setattr(priors, "cdist", lambda a, b: sizes.append(len(a) * len(b)) or cdist(a, b))
    assert priors.energy_distance(a, b) == pytest.approx(expected)
    assert max(sizes) <= 100
