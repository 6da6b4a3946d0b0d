"""Noise for denoising autoencoders, drawn anew for every batch, on the device.

A corruption maps x, (K, B, n_features), and the random streams to a corrupted copy of x.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from skae.random import RandomStreams


@dataclass(frozen=True)
class Gaussian:
    """Add normal noise of standard deviation ``noise_level``, in X's units."""

    noise_level: float

    def __call__(self, x: Tensor, random: RandomStreams) -> Tensor:
        """Return a corrupted copy of x."""
        return torch.add(x, random.normal(*x.shape[1:]), alpha=self.noise_level)


@dataclass(frozen=True)
class Masking:
    """Set each value to 0 with probability ``noise_level``."""

    noise_level: float

    def __call__(self, x: Tensor, random: RandomStreams) -> Tensor:
        """Return a corrupted copy of x."""
        return x.masked_fill(random.uniform(*x.shape[1:]) < self.noise_level, 0.0)


@dataclass(frozen=True)
class SaltAndPepper:
    """Set each value, with probability ``noise_level``, to its column's minimum or maximum, by a fair coin."""

    noise_level: float
    low: Tensor  # (n_features,)
    high: Tensor  # (n_features,)

    def __call__(self, x: Tensor, random: RandomStreams) -> Tensor:
        """Return a corrupted copy of x."""
        u = random.uniform(*x.shape[1:])
        x = torch.where(u < self.noise_level, self.high, x)
        return torch.where(u < self.noise_level / 2, self.low, x)


@dataclass(frozen=True)
class Swap:
    """Set each value, with probability ``noise_level``, to that of another row of the batch, same column."""

    noise_level: float

    def __call__(self, x: Tensor, random: RandomStreams) -> Tensor:
        """Return a corrupted copy of x."""
        other = random.integers(x.shape[1], *x.shape[1:])  # row numbers, (K, B, n_features)
        return torch.where(random.uniform(*x.shape[1:]) < self.noise_level, x.gather(1, other), x)


@dataclass(frozen=True)
class FromCallable:
    """A user's ``corruption(x, generator)`` over (B, n_features) batches, applied to each member."""

    function: Callable[[Tensor, torch.Generator], Tensor]

    def __call__(self, x: Tensor, random: RandomStreams) -> Tensor:
        """Return a corrupted copy of x."""
        rows = zip(x, random.generators, strict=True)
        return torch.stack([self.function(member.clone(), generator) for member, generator in rows])
