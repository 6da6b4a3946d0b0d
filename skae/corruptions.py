"""Noise for denoising autoencoders, drawn anew for every batch, on the device.

A corruption maps x, (K, B, n_features), and the random streams to a corrupted copy of x.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from skae.interfaces import Corruption
from skae.random import RandomStreams


@dataclass(frozen=True)
class Gaussian:
    """Add normal noise of standard deviation ``noise_level``, in X's units."""

    noise_level: float

    def __call__(self, x: Tensor, random: RandomStreams) -> Tensor:
        """Return a corrupted copy of x."""
        return torch.add(x, random.normal(*x.shape[1:]), alpha=self.noise_level)


@dataclass(frozen=True)
class GaussianOfManyLevels:
    """Add normal noise whose standard deviation is drawn for each row, its logarithm uniformly."""

    low: float
    high: float

    def __call__(self, x: Tensor, random: RandomStreams) -> Tensor:
        """Return a corrupted copy of x."""
        level = self.low * (self.high / self.low) ** random.uniform(x.shape[1], 1)  # (K, B, 1)
        return torch.addcmul(x, random.normal(*x.shape[1:]), level)


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
        return torch.stack([self._corrupt(rows, g) for rows, g in zip(x, random.generators, strict=True)])

    def _corrupt(self, rows: Tensor, generator: torch.Generator) -> Tensor:
        corrupted = self.function(rows.clone(), generator)
        if not isinstance(corrupted, Tensor) or corrupted.shape != rows.shape:
            got = tuple(corrupted.shape) if isinstance(corrupted, Tensor) else type(corrupted).__name__
            raise ValueError(f"corruption must return a tensor of the batch's shape, {tuple(rows.shape)}, got {got}.")
        return corrupted


KINDS: dict[str, Callable[[float], Corruption]] = {"gaussian": Gaussian, "masking": Masking, "swap": Swap}
NAMES = {*KINDS, "salt_and_pepper"}


def make_corruption(
    corruption: str | Callable, noise_level: float | Sequence[float], X: np.ndarray, device: torch.device | str
) -> Corruption:
    """Return the corruption that an estimator's parameters stand for, over rows like those of X, on the device.

    Raises
    ------
    ValueError
        If ``noise_level`` is a probability and exceeds 1, or is not a range of levels where it is no number.
    """
    if not isinstance(corruption, str):
        return FromCallable(corruption)
    if isinstance(noise_level, Sequence):
        levels = list(noise_level)
        if corruption != "gaussian" or len(levels) != 2 or not 0 < levels[0] <= levels[1] < np.inf:
            raise ValueError(
                f"noise_level={noise_level!r} with corruption={corruption!r}: give a number or, with 'gaussian', "
                "a range (low, high) with 0 < low <= high, from which every row draws its level."
            )
        return GaussianOfManyLevels(float(levels[0]), float(levels[1]))
    if corruption != "gaussian" and noise_level > 1:
        raise ValueError(
            f"noise_level={noise_level} must be in [0, 1] with corruption={corruption!r}: it is the probability with "
            "which a value is changed."
        )
    if corruption == "salt_and_pepper":
        low, high = (torch.tensor(v, dtype=torch.float32, device=device) for v in (X.min(0), X.max(0)))
        return SaltAndPepper(noise_level, low, high)
    return KINDS[corruption](noise_level)
