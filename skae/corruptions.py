"""Noise for denoising autoencoders, drawn on the device for each mini-batch.

A corruption takes x, (K, B, n_features), and the random streams, and returns a corrupted copy of x.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from skae.interfaces import Corruption
from skae.random import RandomStreams


@dataclass(frozen=True)
class Gaussian:
    """Add normal noise. Its standard deviation is ``noise_level``, in the units of X."""

    noise_level: float

    @property
    def mean_square(self) -> float:
        """Of the noise."""
        return self.noise_level**2

    def __call__(self, x: Tensor, random: RandomStreams) -> Tensor:
        """Return a corrupted copy of x."""
        return torch.add(x, random.normal(*x.shape[1:]), alpha=self.noise_level)


@dataclass(frozen=True)
class GaussianOfManyLevels:
    """Add normal noise with a standard deviation drawn for each row, log-uniformly between ``low`` and ``high``."""

    low: float
    high: float

    @property
    def mean_square(self) -> float:
        """Of the noise."""
        same = self.low == self.high
        return self.low**2 if same else (self.high**2 - self.low**2) / (2 * np.log(self.high / self.low))

    def __call__(self, x: Tensor, random: RandomStreams) -> Tensor:
        """Return a corrupted copy of x."""
        level = self.low * (self.high / self.low) ** random.uniform(x.shape[1], 1)  # (K, B, 1)
        return torch.addcmul(x, random.normal(*x.shape[1:]), level)


@dataclass(frozen=True)
class Masking:
    """Set each value to 0, or another ``value``, with probability ``noise_level``."""

    noise_level: float
    value: float = 0.0

    def __call__(self, x: Tensor, random: RandomStreams) -> Tensor:
        """Return a corrupted copy of x."""
        return x.masked_fill(random.uniform(*x.shape[1:]) < self.noise_level, self.value)


@dataclass(frozen=True)
class SaltAndPepper:
    """Set each value to the minimum of its column, or to the maximum, with probability ``noise_level / 2`` each."""

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
    """With probability ``noise_level``, set each value to that of a random row of the batch in the same column."""

    noise_level: float

    def __call__(self, x: Tensor, random: RandomStreams) -> Tensor:
        """Return a corrupted copy of x."""
        other = random.integers(x.shape[1], *x.shape[1:])  # row numbers, (K, B, n_features)
        return torch.where(random.uniform(*x.shape[1:]) < self.noise_level, x.gather(1, other), x)


@dataclass(frozen=True)
class OfTable:
    """Put noise on the numbers of a table, and swap its categories."""

    noise: Corruption
    swap: Swap
    is_number: Tensor  # (n_features,)

    def __call__(self, x: Tensor, random: RandomStreams) -> Tensor:
        """Return a corrupted copy of x."""
        swapped = self.swap(x, random)
        swapped = torch.where(x.isnan() | swapped.isnan(), x, swapped)  # the noise makes and fills no holes
        return torch.where(self.is_number, self.noise(x, random), swapped)


@dataclass(frozen=True)
class FromCallable:
    """Apply a user's ``corruption(x, generator)`` to the (B, n_features) batch of each member."""

    function: Callable[[Tensor, torch.Generator], Tensor]

    def __call__(self, x: Tensor, random: RandomStreams) -> Tensor:
        """Return a corrupted copy of x."""
        corrupted = torch.empty_like(x, dtype=torch.float32)
        for rows, generator, out in zip(x, random.generators, corrupted, strict=True):
            result = self.function(rows.clone(), generator)  # a clone, because the function may write to its argument
            if not isinstance(result, Tensor) or result.shape != rows.shape or result.is_complex():
                got = type(result).__name__
                if isinstance(result, Tensor):
                    got = f"a tensor of shape {tuple(result.shape)} and dtype {result.dtype}"
                raise ValueError(
                    f"corruption must return a tensor of the batch's shape, {tuple(rows.shape)}, got {got}. Its values "
                    "must be real numbers."
                )
            out.copy_(result.detach())  # before the next call, for a function may reuse the tensor that it returns
        return corrupted


KINDS: dict[str, Callable[[float], Corruption]] = {"gaussian": Gaussian, "masking": Masking, "swap": Swap}
NAMES = {*KINDS, "salt_and_pepper"}


def make_corruption(
    corruption: str | Callable,
    noise_level: float | Sequence[float],
    bounds: Callable[[], tuple[np.ndarray, np.ndarray]],
    device: torch.device | str,
    layout: Any = None,
) -> Corruption:
    """Return the corruption that an estimator's parameters describe, on the device.

    ``bounds()`` returns the least and the largest value of each column, (n_features,) both.

    Of a table with a ``layout`` masked values become holes. Noise on numbers goes with a swap of categories: by
    "gaussian" so often that these change as much, by the mean square, and not at all by a callable.
    """
    made = _make(corruption, noise_level, bounds, device)
    if layout is not None and isinstance(made, Masking):
        return Masking(made.noise_level, np.nan)
    if layout is None or not layout.categories or isinstance(made, Swap):
        return made
    share = 0.0 if callable(corruption) else getattr(made, "noise_level", 0.0)
    if isinstance(made, Gaussian | GaussianOfManyLevels):
        share = min(1.0, made.mean_square / (2 * layout.scale**2))  # two random rows are so far apart
    return OfTable(made, Swap(share), torch.tensor([not n for n in layout.n_levels], device=device))


def _make(
    corruption: str | Callable,
    noise_level: float | Sequence[float],
    bounds: Callable[[], tuple[np.ndarray, np.ndarray]],
    device: torch.device | str,
) -> Corruption:
    if not isinstance(corruption, str):
        return FromCallable(corruption)
    if isinstance(noise_level, Sequence):
        if corruption != "gaussian" or len(noise_level) != 2 or not 0 < noise_level[0] <= noise_level[1] < np.inf:
            raise ValueError(
                f"noise_level={noise_level!r} with corruption={corruption!r}: give a number or, with 'gaussian', "
                "a range (low, high) with 0 < low <= high. The level of each row is drawn from this range."
            )
        return GaussianOfManyLevels(*map(float, noise_level))
    if corruption != "gaussian" and noise_level > 1:
        raise ValueError(
            f"noise_level={noise_level} must be in [0, 1] with corruption={corruption!r}: it is the probability that a "
            "value is changed."
        )
    if corruption == "salt_and_pepper":
        low, high = (torch.tensor(v, dtype=torch.float32, device=device) for v in bounds())
        return SaltAndPepper(float(noise_level), low, high)
    return KINDS[corruption](float(noise_level))
