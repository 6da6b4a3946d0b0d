import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from skae.random import RandomStreams, derived_seeds, seed_from, with_torch_seed

SEEDS = st.lists(st.integers(0, 2**63 - 1), min_size=1, max_size=4)
DRAWS = [lambda r: r.uniform(3, 2), lambda r: r.normal(4), lambda r: r.integers(7, 5), lambda r: r.permutation(6)]


@pytest.mark.parametrize("draw", DRAWS)
@given(seeds=SEEDS)
def test_a_member_draws_the_same_alone_and_in_a_batch(draw, seeds):
    together = draw(RandomStreams(seeds))
    alone = [draw(RandomStreams([seed]))[0] for seed in seeds]
    assert torch.equal(together, torch.stack(alone))


def test_draws_are_what_they_say():
    random = RandomStreams([0, 1])
    assert random.permutation(50).sort(1).values.equal(torch.arange(50).expand(2, 50))
    uniform, normal = random.uniform(20_000), random.normal(20_000)
    assert 0 <= uniform.min() < 0.01 < 0.99 < uniform.max() < 1
    torch.testing.assert_close(normal.mean(1), torch.zeros(2), atol=0.03, rtol=0)
    torch.testing.assert_close(normal.std(1), torch.ones(2), atol=0.03, rtol=0)


@given(st.integers(0, 2**64 - 1))
def test_derived_seeds_differ_by_purpose_and_member(entropy):
    seeds = [seed for purpose in range(3) for seed in derived_seeds(entropy, purpose, n_members=4)]
    assert len(set(seeds)) == len(seeds)
    assert derived_seeds(entropy, 1, 2) == derived_seeds(entropy, 1, 2)


def test_seed_from_each_kind_of_random_state():
    assert seed_from(5) == seed_from(np.int64(5)) == 5
    assert seed_from(np.random.RandomState(3)) == seed_from(np.random.RandomState(3))
    assert seed_from(None) != seed_from(None)


def test_torchs_generator_is_seeded_and_put_back():
    before = torch.get_rng_state()
    drawn = [with_torch_seed(3, "cpu", lambda: torch.rand(4)) for _ in range(2)]
    assert drawn[0].equal(drawn[1])
    assert torch.get_rng_state().equal(before)
