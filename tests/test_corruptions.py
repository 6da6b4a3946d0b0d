import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from skae.corruptions import FromCallable, Gaussian, GaussianOfManyLevels, Masking, SaltAndPepper, Swap
from skae.random import RandomStreams

X = torch.rand(2, 500, 4) + 1  # in [1, 2), so 0 is no value of its own
LOW, HIGH = X.amin((0, 1)), X.amax((0, 1))
MAKERS = {
    "gaussian": Gaussian,
    "masking": Masking,
    "salt_and_pepper": lambda level: SaltAndPepper(level, LOW, HIGH),
    "swap": Swap,
}


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
@given(level=st.floats(0, 1), seed=st.integers(0, 2**32))
def test_same_stream_same_noise_and_x_untouched(make, level, seed):
    before = X.clone()
    first, second = (make(level)(X, RandomStreams([seed, seed + 1])) for _ in range(2))
    assert first.equal(second)
    assert first.shape == X.shape
    assert X.equal(before)


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_level_zero_changes_nothing(make):
    assert make(0.0)(X, RandomStreams([0, 1])).equal(X)


def test_gaussian_has_the_stated_standard_deviation():
    noise = Gaussian(0.3)(X, RandomStreams([0, 1])) - X
    assert noise.std().item() == pytest.approx(0.3, rel=0.05)
    assert noise.mean().item() == pytest.approx(0, abs=0.02)


def test_masking_sets_the_stated_share_to_zero():
    corrupted = Masking(0.3)(X, RandomStreams([0, 1]))
    masked = corrupted == 0
    assert masked.float().mean().item() == pytest.approx(0.3, abs=0.03)
    assert corrupted[~masked].equal(X[~masked])


def test_salt_and_pepper_goes_to_each_columns_extremes_evenly():
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


def test_callable_sees_each_members_rows_and_generator():
    def double(x, generator):
        assert x.shape == (500, 4)
        return x * 2 + torch.rand(1, generator=generator)

    streams = [5, 6]
    corrupted = FromCallable(double)(X, RandomStreams(streams))
    offsets = [torch.rand(1, generator=torch.Generator().manual_seed(seed)) for seed in streams]
    assert corrupted.equal(torch.stack([x * 2 + offset for x, offset in zip(X, offsets, strict=True)]))


def test_each_row_draws_a_level_of_its_own():
    x = torch.zeros(1, 4000, 200)
    levels = GaussianOfManyLevels(0.01, 1.0)(x, RandomStreams([0])).std(2).log10()[0]  # 10 % off, by the 200 values
    assert levels.min() > -2.2
    assert levels.max() < 0.2
    assert torch.histc(levels, 4, -2, 0).min() > 850  # of 1,000 each: uniform in the logarithm
