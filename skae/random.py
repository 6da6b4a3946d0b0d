"""Random numbers from generators of our own: the global ones are neither read nor changed."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

T = TypeVar("T")

SHAPES_ONLY = -1  # the seed of a network whose weights are not wanted: it is built on torch's meta device

_torch_random = threading.RLock()


def _renew_lock() -> None:
    global _torch_random
    _torch_random = threading.RLock()


if hasattr(os, "register_at_fork"):  # another thread may hold the lock, and there is none in the child to release it
    os.register_at_fork(after_in_child=_renew_lock)


class RandomStreams:
    """One stream of random numbers a member, so that a member draws the same whether or not others are batched with it.

    There is one seed a member. The numbers are drawn on the device. By the seed `SHAPES_ONLY` nothing is drawn: there
    are shapes on torch's meta device.
    """

    def __init__(self, seeds: Sequence[int], device: torch.device | str = "cpu"):
        self.device = torch.device("meta" if SHAPES_ONLY in seeds else device)
        self.generators: list[Any] = [  # torch has none of the meta device
            None if seed == SHAPES_ONLY else torch.Generator(self.device).manual_seed(seed) for seed in seeds
        ]

    @property
    def n_members(self) -> int:
        """Number of members, K."""
        return len(self.generators)

    def _draw(self, draw, shape: tuple[int, ...], **kwargs) -> Tensor:
        parts = [draw(shape, generator=g, device=self.device, **kwargs) for g in self.generators]
        return parts[0][None] if len(parts) == 1 else torch.stack(parts)

    def uniform(self, *shape: int) -> Tensor:
        """Draw uniformly from [0, 1), (K, *shape)."""
        return self._draw(torch.rand, shape, dtype=torch.float32)

    def normal(self, *shape: int) -> Tensor:
        """Draw from the standard normal distribution, (K, *shape)."""
        return self._draw(torch.randn, shape, dtype=torch.float32)

    def integers(self, high: int, *shape: int) -> Tensor:
        """Draw uniformly from {0, ..., high - 1}, (K, *shape)."""
        return self._draw(lambda size, **kwargs: torch.randint(high, size, **kwargs), shape)

    def permutation(self, n: int) -> Tensor:
        """Draw a permutation of range(n) for each member, (K, n)."""
        return torch.stack(self.permutations([n] * self.n_members))

    def permutations(self, sizes: Sequence[int]) -> list[Tensor]:
        """Draw a permutation of range(n) for each member and its n, (n,) each."""
        pairs = zip(sizes, self.generators, strict=True)
        return [torch.randperm(n, generator=generator, device=self.device) for n, generator in pairs]


def seed_from(random_state: int | np.random.RandomState | None) -> int:
    """Return the number from which every stream of a fit is derived.

    ``None`` asks the operating system: NumPy's global generator, which scikit-learn would use, stays untouched.
    """
    if random_state is None:
        return int(np.random.SeedSequence().generate_state(1, np.uint64)[0])
    if isinstance(random_state, np.random.RandomState):
        return int(random_state.randint(2**31))
    return int(random_state)


def random_mask(n: int, n_chosen: int, seed: int) -> np.ndarray:
    """Return whether each of n is among those drawn at random, (n,), with little memory besides."""
    random, mask, n_per_chunk = np.random.default_rng(seed), np.zeros(n, dtype=bool), 2**20
    for start in range(0, n, n_per_chunk):
        size = min(n_per_chunk, n - start)
        n_here = random.hypergeometric(n_chosen, n - start - n_chosen, size)
        mask[start + random.choice(size, n_here, replace=False)] = True
        n_chosen -= n_here
    return mask


def derived_seeds(seed: int, *key: int, n_members: int = 1) -> list[int]:
    """Return seeds for one purpose (``key``) of a fit, independent of those for any other key."""
    if seed == SHAPES_ONLY:
        return [seed] * n_members
    sequences = np.random.SeedSequence(seed, spawn_key=key).spawn(n_members)
    return [int(sequence.generate_state(1, np.uint64)[0] >> np.uint64(1)) for sequence in sequences]


def with_torch_seed(seed: int, device: torch.device | str, function: Callable[[], T]) -> T:
    """Call a function of code of the user's, which can use torch's own generators only: they are seeded and put back.

    They belong to the process: threads that need them wait for each other.
    """
    generators = _torch_generators(torch.device(device))
    with _torch_random:
        # a single call, into which no interrupt can come
        restoring = map(torch.Generator.set_state, generators, [generator.get_state() for generator in generators])
        try:
            for generator in generators:
                generator.manual_seed(seed)
            return function()
        finally:
            deque(restoring, 0)


def torch_generator_states(device: torch.device) -> list[Tensor]:
    """Return the states of torch's own generators, within `with_torch_seed`."""
    return [generator.get_state() for generator in _torch_generators(device)]


def set_torch_generators(device: torch.device, states: Sequence[Tensor]) -> None:
    """Set torch's own generators to states, where there are any, within `with_torch_seed`."""
    for generator, state in zip(_torch_generators(device) if states else [], states, strict=True):
        generator.set_state(state)


def _torch_generators(device: torch.device) -> list[torch.Generator]:
    generators = [torch.default_generator]
    if device.type == "cuda":
        torch.cuda.init()
        generators.append(torch.cuda.default_generators[device.index or 0])
    return generators
