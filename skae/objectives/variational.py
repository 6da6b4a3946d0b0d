"""A lower bound on the logarithm of the density of the rows."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from skae.device import on_cpu
from skae.interfaces import Batch, Network, Objective
from skae.objectives.losses import LOSSES
from skae.random import RandomStreams, derived_seeds

LOG_VARIANCE_BOUNDS = (-20.0, 20.0)  # so that a row far from all others does not overflow float32


class Family(NamedTuple):
    """Densities exp(-d / s) / Z(s) of one value, whose distance from the network's output is d."""

    log_normalizer: Callable[[Tensor], Tensor]  # s -> log Z(s)
    mean_distance: Callable[[Tensor], Tensor]  # s -> E[d]


def _huber_parts(s: Tensor) -> tuple[Tensor, Tensor]:
    """Return the shares of Z(s) that lie within 1 of the centre and beyond."""
    return (2 * math.pi * s).sqrt() * torch.erf((2 * s).rsqrt()), 2 * s * (-0.5 / s).exp()


def _huber_mean_distance(s: Tensor) -> Tensor:
    inner, outer = _huber_parts(s)
    return s * (inner / 2 + outer) / (inner + outer)


FAMILIES = {
    "squared_error": Family(lambda s: 0.5 * (math.pi * s).log(), lambda s: s / 2),  # normal, of variance s / 2
    "absolute_error": Family(lambda s: (2 * s).log(), lambda s: s),  # Laplace
    "huber": Family(lambda s: torch.add(*_huber_parts(s)).log(), _huber_mean_distance),
    # "binary_cross_entropy" is Bernoulli's own logarithm: s and Z(s) are 1
}


class Deviation(NamedTuple):
    """How far rows are from the network's output."""

    distances: Tensor  # (K, ...), sum over the numbers of a row
    n_numbers: int | Tensor  # (K, ...), of a row
    nats: float | Tensor  # (K, ...), minus the log-probability of the categories of a row


class Likelihood(nn.Module):
    """The density of a row around the network's output: of each loss's family, with one learnt scale s a member.

    s begins at the loss of a value that is ``scale`` off, and stays above that of a thousandth: the density of rows
    that are reconstructed exactly has no upper bound.
    """

    log_scale: Tensor  # log s, (K,)
    cells: Any = None  # of a table, a `skae.tables.TableLoss`

    def __init__(self, loss: str, scale: float, n_members: int):
        super().__init__()
        self.loss = loss
        self.lowest, first = 0.0, 0.0
        if loss in FAMILIES:
            scales = [LOSSES[loss].scale(distance) for distance in (scale / 1000, scale)]
            bounded = torch.tensor(scales, dtype=torch.float64, device="cpu").clamp(1e-30, 1e30)
            self.lowest, first = bounded.log().tolist()
        self.register_buffer("log_scale", torch.full((n_members,), first, dtype=torch.float32, device="cpu"))

    def deviation(self, raw: Tensor, target: Tensor) -> Deviation:
        """Return how far outputs, (K, ..., n_features), are from their rows; holes of these count for nothing."""
        if self.cells is not None:
            numbers, nats, known_numbers = self.cells.parts(raw, target)
            return Deviation(numbers.sum(-1), known_numbers.sum(-1), nats.sum(-1))
        distances = LOSSES[self.loss].elementwise(raw, target.expand_as(raw)).sum(-1)
        return Deviation(distances, target.shape[-1], 0.0)

    def negative_log(self, deviation: Deviation) -> Tensor:
        """Return minus the logarithm of the density of rows that deviate so, in nats, (K, ...)."""
        distances, n_numbers, nats = deviation
        if self.loss not in FAMILIES:
            return distances
        s = self.log_scale.exp().view(-1, *[1] * (distances.ndim - 1))
        return distances / s + n_numbers * FAMILIES[self.loss].log_normalizer(s) + nats

    @torch.no_grad()
    def follow(self, distances: Tensor, n_numbers: int | Tensor) -> None:
        """Move the scale a tenth of the way to its maximum likelihood for rows at these distances, (K, B).

        At the maximum the predicted distance is the observed one. Unlike an optimizer's step, this does not depend on
        the unit of the rows.
        """
        if self.loss in FAMILIES:
            seen, step = distances.mean(1), torch.full_like(self.log_scale, 0.1)
            if isinstance(n_numbers, Tensor):  # a batch of few numbers says little
                n_columns = len(self.cells.layout.numbers)
                seen, n_numbers = distances.sum(1), n_numbers.sum(1)
                step = step * n_numbers / max(1, n_columns * distances.shape[1])
                n_numbers = n_numbers.clamp(min=1)
            ratio = (seen / n_numbers).clamp(min=1e-30) / FAMILIES[self.loss].mean_distance(self.log_scale.exp())
            self.log_scale.add_(step * ratio.log()).clamp_(min=self.lowest)


class GenerativeNetwork(Network):
    """The encoder of one network for the distributions of codes, the decoder of another and the density around it."""

    def __init__(self, recognition: Network, generator: Network, likelihood: Likelihood):
        super().__init__()
        if {*generator.encoder.parameters()} & {*generator.decoder.parameters()}:
            raise ValueError(
                "network shares weights between encoder and decoder. Here one is wider than the other: set "
                "tied_weights=False."
            )
        recognition.decoder = nn.Identity()
        generator.encoder = nn.Identity()
        self.recognition, self.generator = recognition, generator
        self.likelihood, self.n_members = likelihood, recognition.n_members

    def is_small(self, n_rows: int) -> bool:
        """Whether both its networks are."""
        return self.recognition.is_small(n_rows) and self.generator.is_small(n_rows)

    def decode(self, z: Tensor, random: RandomStreams | None = None) -> Tensor:
        """Decode codes, (K, B, n) -> (K, B, n_features)."""
        return self.generator.decode(z, random)

    @property
    def decoder(self) -> nn.Module:  # type: ignore[override]
        """From codes to rows."""
        return self.generator.decoder

    def _bound(
        self, x: Tensor, posterior: tuple[Tensor, Tensor], decode: Callable[..., Tensor], noise: Tensor, weighted: bool
    ) -> Tensor:
        """Return a lower bound on the log-density of rows, in nats, (...).

        ``noise``, (n_draws, n_components), is standard normal and the same for every row, so that a row's bound does
        not depend on its neighbours. Where ``weighted``, the draws' densities are averaged (Burda et al. 2016), else
        their logarithms.
        """
        mean, log_variance = posterior  # (..., n_components) both
        bounds = []
        for draw in noise:
            z = mean + (0.5 * log_variance).exp() * draw
            bound = -self.likelihood.negative_log(self.likelihood.deviation(decode(z), x))
            if weighted:  # log p(z) - log q(z|x), in which the constants cancel
                bound = bound + 0.5 * (draw.square() + log_variance - z.square()).sum(-1)
            bounds.append(bound)
        all_bounds = torch.stack(bounds)  # (n_draws, ...)
        if weighted:
            return all_bounds.logsumexp(0) - math.log(len(noise))
        return all_bounds.mean(0) - kl_to_standard_normal(mean, log_variance)


class VariationalNetwork(GenerativeNetwork):
    """A code that is a normal distribution for each row; ``recognition`` gives its mean and log-variance."""

    def __init__(self, recognition: Network, generator: Network, likelihood: Likelihood, n_components: int):
        super().__init__(recognition, generator, likelihood)
        self.n_components = n_components

    def posterior(self, x: Tensor, random: RandomStreams | None = None) -> tuple[Tensor, Tensor]:
        """Return mean and log-variance of each row's code, (K, B, n_components) both."""
        mean, log_variance = self.recognition.encode(x, random).chunk(2, -1)
        return mean, log_variance.clamp(*LOG_VARIANCE_BOUNDS)

    def encode(self, x: Tensor, random: RandomStreams | None = None) -> Tensor:
        """Return the mean of each row's code, (K, B, n_components)."""
        return self.posterior(x, random)[0]

    def log_density_bound(self, x: Tensor, noise: Tensor, importance_weighted: bool) -> Tensor:
        """Return a lower bound on the log-density of each row, in nats, (K, B)."""
        return self._bound(x, self.posterior(x), self.decode, noise, importance_weighted)

    @property
    def encoder(self) -> nn.Module:  # type: ignore[override]
        """From rows to the means of their codes."""
        return nn.Sequential(self.recognition.encoder, FirstColumns(self.n_components))


class FirstColumns(nn.Module):
    """Keep the first n columns."""

    def __init__(self, n: int):
        super().__init__()
        self.n = n

    def forward(self, x: Tensor) -> Tensor:
        """(..., m) -> (..., n)."""
        return x[..., : self.n]


def check_linear_code(specification) -> None:
    """Raise a ValueError where the encoder's output, mean and log-variance of a code, would be bounded."""
    if getattr(specification, "code_activation", "identity") != "identity":
        raise ValueError(
            f"code_activation={specification.code_activation!r} of network must be 'identity': it would bound the "
            "mean and the log-variance of the code."
        )


SCORING = 3  # key of the random stream of `normal_draws`, in addition to those of a fit


def normal_draws(n_draws: int, n_components: int, seed: int) -> Tensor:
    """Return standard normal numbers, (n_draws, n_components), that are spread more evenly than independent ones.

    Points of a scrambled Sobol sequence, on the CPU: means over them are unbiased, too, and vary less (Buchholz,
    Wenzel & Mandt, "Quasi-Monte Carlo variational inference", ICML 2018).
    """
    with on_cpu():
        sobol = torch.quasirandom.SobolEngine(n_components, scramble=True, seed=derived_seeds(seed, SCORING)[0])
    uniform = sobol.draw(n_draws, dtype=torch.float64)
    return torch.special.ndtri(uniform.clamp(1e-9, 1 - 1e-9)).float()


def kl_to_standard_normal(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Return KL(N(mean, diag variance) || N(0, 1)) in nats, (..., n_components) -> (...)."""
    return 0.5 * (mean.square() + log_variance.exp() - log_variance - 1).sum(-1)


class VariationalObjective(Objective):
    """Minus the evidence lower bound of each row, from one draw of its code; ``beta`` weights the divergence."""

    network: VariationalNetwork

    def __init__(self, network: VariationalNetwork, beta: float):
        self.network, self.beta = network, beta

    def row_losses(self, batch: Batch, random: RandomStreams) -> Tensor:
        """Return the loss of each row, (K, B)."""
        network, likelihood = self.network, self.network.likelihood
        mean, log_variance = network.posterior(batch.x, random)
        z = mean + (0.5 * log_variance).exp() * random.normal(*mean.shape[1:])
        deviation = likelihood.deviation(network.decode(z, random), batch.target)
        losses = likelihood.negative_log(deviation) + self.beta * kl_to_standard_normal(mean, log_variance)
        if network.training:
            likelihood.follow(deviation.distances, deviation.n_numbers)
        return losses
