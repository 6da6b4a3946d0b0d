from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from skae import DenoisingAutoEncoder
from skae.corruptions import (
    FromCallable,
    Gaussian,
    GaussianOfManyLevels,
    Masking,
    SaltAndPepper,
    Swap,
    make_corruption,
)
from skae.random import RandomStreams
from skae.training import bounds

X = torch.rand(2, 500, 4, generator=torch.Generator().manual_seed(0)) + 1  # in [1, 2), so that no value is 0
LOW, HIGH = X.amin((0, 1)), X.amax((0, 1))
MAKERS = {
    "gaussian": Gaussian,
    "masking": Masking,
    "salt_and_pepper": lambda level: SaltAndPepper(level, LOW, HIGH),
    "swap": Swap,
}


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
@given(level=st.floats(0, 1), seed=st.integers(0, 2**32))
def test_same_seeds_give_the_same_noise_and_x_is_unchanged(make, level, seed):
    before = X.clone()
    first, second = (make(level)(X, RandomStreams([seed, seed + 1])) for _ in range(2))
    assert first.equal(second)
    assert first.shape == X.shape
    assert X.equal(before)


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_level_zero_changes_nothing(make):
    assert make(0.0)(X, RandomStreams([0, 1])).equal(X)


def test_gaussian_has_the_given_standard_deviation():
    noise = Gaussian(0.3)(X, RandomStreams([0, 1])) - X
    assert noise.std().item() == pytest.approx(0.3, rel=0.05)
    assert noise.mean().item() == pytest.approx(0, abs=0.02)


def test_masking_sets_the_given_share_to_zero():
    corrupted = Masking(0.3)(X, RandomStreams([0, 1]))
    masked = corrupted == 0
    assert masked.float().mean().item() == pytest.approx(0.3, abs=0.03)
    assert corrupted[~masked].equal(X[~masked])


def test_salt_and_pepper_sets_equal_shares_to_the_minimum_and_maximum_of_the_column():
    corrupted = SaltAndPepper(0.4, LOW - 1, HIGH + 1)(X, RandomStreams([0, 1]))
    low, high = corrupted == LOW - 1, corrupted == HIGH + 1
    assert low.float().mean().item() == pytest.approx(0.2, abs=0.03)
    assert high.float().mean().item() == pytest.approx(0.2, abs=0.03)
    assert corrupted[~low & ~high].equal(X[~low & ~high])


def test_swap_takes_values_of_the_same_member_and_column():
    corrupted = Swap(1.0)(X, RandomStreams([0, 1]))
    assert not corrupted.equal(X)
    for k in range(2):
        for j in range(4):
            assert torch.isin(corrupted[k, :, j], X[k, :, j]).all()


def test_each_row_has_its_own_level():
    x = torch.zeros(1, 4000, 200)
    levels = GaussianOfManyLevels(0.01, 1.0)(x, RandomStreams([0])).std(2).log10()[0]  # estimated from 200 values
    assert levels.min() > -2.2
    assert levels.max() < 0.2
    assert torch.histc(levels, 4, -2, 0).min() > 850  # of 1,000 in each bin: uniform in the logarithm


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("level", [np.float32(1), np.int64(1), True])
def test_noise_level_may_be_any_real_number(name, level):
    rows = X[0].numpy()
    expected = make_corruption(name, 1.0, partial(bounds, rows), "cpu")(X, RandomStreams([0, 1]))
    assert make_corruption(name, level, partial(bounds, rows), "cpu")(X, RandomStreams([0, 1])).equal(expected)


# ---- torch's default dtype -----------------------------------------------------------------------------------

LEVELS = {**dict.fromkeys(MAKERS, 0.3), "gaussian of many levels": (0.1, 1.0)}


@pytest.fixture(params=LEVELS)
def noise_in_float32(request):
    """How to corrupt X, and the result while torch's default dtype is float32."""

    def corrupt():
        name = request.param.split()[0]
        corruption = make_corruption(name, LEVELS[request.param], partial(bounds, X[0].double().numpy()), "cpu")
        return corruption(X, RandomStreams([0, 1]))

    return corrupt, corrupt()


@pytest.fixture
def float64_by_default():
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


def test_default_dtype_of_torch_is_not_used(noise_in_float32, float64_by_default):
    corrupt, expected = noise_in_float32
    assert corrupt().dtype == torch.float32
    assert corrupt().equal(expected)


@pytest.mark.usefixtures("float64_by_default")
def test_callable_may_use_the_default_dtype_of_torch():
    def add_noise(x, generator):
        noise = torch.rand(x.shape, generator=generator)
        assert noise.dtype == torch.float64
        return x + noise

    assert FromCallable(add_noise)(X, RandomStreams([0, 1])).dtype == torch.float32
    DenoisingAutoEncoder(2, corruption=add_noise, max_iter=2, random_state=0).fit(X[0].numpy())


# ---- callables -----------------------------------------------------------------------------------------------


def test_callable_gets_the_rows_and_generator_of_each_member():
    def double(x, generator):
        assert x.shape == (500, 4)
        return x * 2 + torch.rand(1, generator=generator)

    seeds = [5, 6]
    corrupted = FromCallable(double)(X, RandomStreams(seeds))
    offsets = [torch.rand(1, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
    assert corrupted.equal(torch.stack([x * 2 + offset for x, offset in zip(X, offsets, strict=True)]))


def reused_tensor(x, generator):
    return BUFFER[: len(x)].copy_(x)


BUFFER = torch.empty(500, 4)
WEIGHT = torch.ones(4, requires_grad=True)
# A callable and what it makes of x, in float32.
CALLABLES = {
    "float64": (lambda x, generator: x.double(), lambda x: x),
    "float16": (lambda x, generator: x.half(), lambda x: x.half().float()),
    "integers": (lambda x, generator: x.int(), lambda x: x.int().float()),
    "booleans": (lambda x, generator: x > 1.5, lambda x: (x > 1.5).float()),
    "requires grad": (lambda x, generator: x * WEIGHT, lambda x: x),
    "requires grad, a leaf": (lambda x, generator: x.requires_grad_(), lambda x: x),
    "a parameter": (lambda x, generator: torch.nn.Parameter(x), lambda x: x),
    "its argument": (lambda x, generator: x, lambda x: x),
    "its argument, written to": (lambda x, generator: x.zero_(), torch.zeros_like),
    "a view of its argument": (lambda x, generator: x.flip(0)[:], lambda x: x.flip(-2)),
    "an expanded tensor": (lambda x, generator: x[:1].expand_as(x), lambda x: x[..., :1, :].expand_as(x)),
    "the same tensor at each call": (reused_tensor, lambda x: x),
}
callables = pytest.mark.parametrize(("corruption", "expected"), CALLABLES.values(), ids=CALLABLES)


@callables
def test_result_of_a_callable_is_a_detached_float32_copy(corruption, expected):
    before, random = X.clone(), RandomStreams([0, 1])
    corrupted = FromCallable(corruption)(X, random)
    assert corrupted.dtype == torch.float32
    assert not corrupted.requires_grad
    assert corrupted.equal(expected(X))
    corrupted.fill_(7.0)
    assert X.equal(before)
    assert FromCallable(corruption)(X, random).equal(expected(X))


@callables
@pytest.mark.parametrize("early_stopping", [False, True])
def test_autoencoder_is_trained_with_what_a_callable_returns(corruption, expected, early_stopping):
    def fit(function):
        parameters = {"max_iter": 2, "batch_size": 100, "early_stopping": early_stopping, "random_state": 0}
        return DenoisingAutoEncoder(2, corruption=function, **parameters).fit(rows).transform(rows)

    rows = X[0].numpy()
    before = rows.copy()
    codes = fit(corruption)
    assert np.array_equal(rows, before)
    np.testing.assert_allclose(codes, fit(lambda x, generator: expected(x)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("corruption", "got"),
    [
        (lambda x, generator: x + 0j, r"a tensor of shape \(\d+, 4\) and dtype torch.complex64"),
        (lambda x, generator: x[:1], r"a tensor of shape \(1, 4\) and dtype torch.float32"),
        (lambda x, generator: x.T, r"a tensor of shape \(4, \d+\)"),
        (lambda x, generator: x.sum(), r"a tensor of shape \(\)"),
        (lambda x, generator: x.numpy(), "ndarray"),
        (lambda x, generator: x.tolist(), "list"),
        (lambda x, generator: None, "NoneType"),
    ],
)
def test_invalid_result_of_a_callable(corruption, got):
    message = rf"corruption must return a tensor of the batch's shape, \(\d+, 4\), got {got}.*must be real numbers"
    with pytest.raises(ValueError, match=message):
        FromCallable(corruption)(X, RandomStreams([0, 1]))
    with pytest.raises(ValueError, match=message):
        DenoisingAutoEncoder(2, corruption=corruption, random_state=0).fit(X[0].numpy())
