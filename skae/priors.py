"""Prior distributions of codes.

A prior takes the number of codes, their width and a `torch.Generator`. It returns codes, (n, n_components), on the
device of the generator.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from numbers import Integral

import numpy as np
import torch
from scipy.spatial.distance import cdist
from torch import Tensor

from skae._compat import Interval, validate_parameter_constraints
from skae.device import on_cpu
from skae.random import RandomStreams, derived_seeds, seed_from

Prior = Callable[[int, int, torch.Generator], Tensor]

SAMPLING = 4  # key of the random streams of `draw_codes`; a fit uses other keys
N_DISTANCES = 2**22  # that are in memory at once, 32 MiB


def normal(n: int, n_components: int, generator: torch.Generator) -> Tensor:
    """Draw from the standard normal distribution, (n, n_components)."""
    return torch.randn(n, n_components, generator=generator, device=generator.device, dtype=torch.float32)


def uniform(n: int, n_components: int, generator: torch.Generator) -> Tensor:
    """Draw uniformly from [-1, 1], (n, n_components)."""
    return 2 * torch.rand(n, n_components, generator=generator, device=generator.device, dtype=torch.float32) - 1


def gaussian_mixture(n: int, n_components: int, generator: torch.Generator) -> Tensor:
    """Draw from a mixture of ten normal distributions, placed on a circle of radius 2 in the first two components.

    Each has a standard deviation of 0.5 along the radius and of 0.15 across it. The other components are standard
    normal.
    """
    z = normal(n, n_components, generator)
    which = torch.randint(10, (n,), generator=generator, device=generator.device)
    # Without float(), the product would have torch's default dtype, which may be float64.
    return _from_polar(z, 2 + 0.5 * z[:, 0], 0.15 * z[:, 1], which.float() * (math.pi / 5))


def swiss_roll(n: int, n_components: int, generator: torch.Generator) -> Tensor:
    """Draw from a spiral in the first two components, which makes one and a half turns and ends at radius 2.

    The other components are standard normal.
    """
    z = normal(n, n_components, generator)
    share = torch.rand(n, generator=generator, device=generator.device, dtype=torch.float32)
    share = (1 / 9 + 8 / 9 * share).sqrt()  # of the largest radius; almost uniform along the spiral
    return _from_polar(z, 2 * share, 0.05 * z[:, 1], 4.5 * math.pi * share)


def _from_polar(z: Tensor, along: Tensor, across: Tensor, angle: Tensor) -> Tensor:
    """Replace the first two components by the points (along, across), each rotated by its angle."""
    cos, sin = angle.cos(), angle.sin()
    plane = torch.stack([along * cos - across * sin, along * sin + across * cos], 1)
    return torch.cat([plane, z[:, 2:]], 1)


PRIORS: dict[str, Prior] = dict(
    normal=normal, uniform=uniform, gaussian_mixture=gaussian_mixture, swiss_roll=swiss_roll
)


def make_prior(prior: str | Prior, n_components: int) -> Prior:
    """Return the prior that an estimator's parameter describes, checked for codes of this width."""
    if isinstance(prior, str):
        if prior in {"gaussian_mixture", "swiss_roll"} and n_components < 2:
            raise ValueError(f"prior={prior!r} lies in a plane: n_components={n_components} must be 2 or more.")
        return PRIORS[prior]
    codes = prior(3, n_components, torch.Generator("cpu").manual_seed(0))
    if not isinstance(codes, Tensor) or codes.shape != (3, n_components) or not codes.is_floating_point():
        got = f"{codes.dtype} of shape {tuple(codes.shape)}" if isinstance(codes, Tensor) else type(codes).__name__
        raise ValueError(
            f"prior(3, {n_components}, generator) must return a tensor of floats of shape (3, {n_components}), got "
            f"{got}."
        )
    return prior


def draw(prior: Prior, n: int, n_components: int, random: RandomStreams) -> Tensor:
    """Draw codes for each member, (K, n, n_components), detached and in float32."""
    return torch.stack([prior(n, n_components, generator).detach() for generator in random.generators]).float()


def draw_codes(prior: Prior, n_samples: int, n_components: int, random_state) -> np.ndarray:
    """Return codes drawn on the CPU. With an integer ``random_state`` they are the same at each call."""
    constraints = {"n_samples": [Interval(Integral, 1, None, closed="left")]}
    validate_parameter_constraints(constraints, {"n_samples": n_samples}, caller_name="sample")
    random = RandomStreams(derived_seeds(seed_from(random_state), SAMPLING), "cpu")
    with torch.inference_mode(False), on_cpu():
        return draw(prior, n_samples, n_components, random)[0].numpy()


def energy_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Return the root of the energy distance of two samples of codes, relative to the largest it could be, 0 to 1."""

    def mean_distance(a: np.ndarray, b: np.ndarray) -> float:
        n_rows = max(1, N_DISTANCES // len(b))  # so that not all distances are in memory at once
        blocks = np.array_split(a, math.ceil(len(a) / n_rows))
        return sum(cdist(block, b).sum() for block in blocks) / (len(a) * len(b))

    within, between = mean_distance(a, a) + mean_distance(b, b), 2 * mean_distance(a, b)
    if between == 0:
        return 0.0  # all codes are one point
    return math.sqrt(max(1 - within / between, 0.0))  # rounding may end below 0; NaN stays
