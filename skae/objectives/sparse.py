"""Reconstruct from a code of few active units."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor

from skae.interfaces import Batch, Loss, Network, Objective
from skae.random import RandomStreams


class SparseObjective(Objective):
    """Reconstruction error plus a weighted penalty on the code, mean over its units.

    The penalty is the absolute value of the code or, for codes in [0, 1], the Kullback-Leibler divergence from a
    ``target_rate`` to each unit's mean over the batch. With a ``weight`` of None the weight is ``loss_scale``, and
    training holds each unit at the target.

    With a fixed weight, rates end off the target, where the gradients of penalty and error balance. A large weight
    makes this gap small, but also penalises random differences between batches, which increases the error. The method
    of multipliers (Bertsekas, "Constrained optimization and Lagrange multiplier methods", 1982) closes the gap with a
    moderate weight: it adds a constant to the gradient of each unit's penalty and adjusts it until rates are on target.
    """

    def __init__(self, network: Network, loss: Loss, weight: float | None, target_rate: float | None):
        self.network, self.loss = network, loss
        self.weight, self.target_rate = weight, target_rate
        self._rates: Tensor | None = None  # moving means over the batches, (K, h)
        self._multipliers: Tensor | None = None  # in units of the penalty's curvature at the target, (K, h)

    def state(self) -> dict[str, Tensor]:
        """Return the moving rates and the multipliers."""
        if self._rates is None or self._multipliers is None:
            return {}
        return {"rates": self._rates, "multipliers": self._multipliers}

    def continue_from(self, state: dict[str, Tensor]) -> None:
        """Continue with the rates and multipliers of another objective."""
        device = next(self.network.parameters()).device
        moved = {name: tensor.to(device) for name, tensor in state.items()}
        self._rates, self._multipliers = moved.get("rates"), moved.get("multipliers")

    def row_losses(self, batch: Batch, random: RandomStreams) -> Tensor:
        """Return error and penalty of each row, (K, B)."""
        code = self.network.encode(batch.x, random)
        errors = self.loss.elementwise(self.network.decode(code, random), batch.target).mean(-1)
        if self.target_rate is None:
            return errors + cast(float, self.weight) * code.abs().mean(-1)
        rates = code.mean(1)  # (K, h)
        penalty = kl_divergence(self.target_rate, rates)
        weight: float | Tensor | None = self.weight
        if weight is None:
            weight = self.loss_scale
            if isinstance(weight, Tensor):
                weight = weight.to(errors.dtype).view(-1, 1)
            if self.network.training:
                penalty = penalty + self._multiplier_term(rates)
        # one number a member, on each of its rows: the rate of a unit is a property of the batch
        return errors + weight * penalty.mean(-1, keepdim=True)

    def _multiplier_term(self, rates: Tensor) -> Tensor:
        """Move the multipliers; return a term that is 0 and adds them to the gradient of each rate, (K, h)."""
        target, now = cast(float, self.target_rate), rates.detach().float()
        if self._rates is None or self._multipliers is None:
            self._rates, self._multipliers = now, torch.zeros_like(now)
        self._rates = self._rates.lerp(now, 0.1)
        # Rates begin far above the target, where the penalty itself brings them down. So at most a quarter of the
        # target counts of an excess; otherwise multipliers grow so large in that time that they drive units to 0.
        self._multipliers = self._multipliers + 0.03 * (self._rates - target).clamp(max=target / 4)
        return self._multipliers / (target * (1 - target)) * (rates - rates.detach())


def kl_divergence(target_rate: float, rate: Tensor) -> Tensor:
    """Return KL(Bernoulli(target_rate) || Bernoulli(rate)), elementwise; finite where a rate is 0 or 1."""
    target = torch.full_like(rate, target_rate)
    rate = rate.clamp(1e-6, 1 - 1e-6)
    return target * (target / rate).log() + (1 - target) * ((1 - target) / (1 - rate)).log()
