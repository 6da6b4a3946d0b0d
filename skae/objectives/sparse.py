"""Reconstruct from a code of few active units."""

from __future__ import annotations

import torch
from torch import Tensor

from skae.interfaces import Batch, Loss, Network, Objective
from skae.random import RandomStreams


class SparseObjective(Objective):
    """Reconstruction error plus a weighted penalty on the code, mean over its units.

    Parameters
    ----------
    network : Network
        The network to train; its code lies in [0, 1] where ``target_rate`` is given.
    loss : Loss
        Distance between output and target.
    weight : float
        Weight of the penalty.
    target_rate : float in (0, 1) or None
        The penalty is the Kullback-Leibler divergence from this rate to each unit's mean over the batch; None
        penalises the absolute value of the code.
    """

    def __init__(self, network: Network, loss: Loss, weight: float, target_rate: float | None):
        self.network, self.loss = network, loss
        self.weight, self.target_rate = weight, target_rate

    def row_losses(self, batch: Batch, random: RandomStreams) -> Tensor:
        """Return error and penalty of each row, (K, B)."""
        code = self.network.encode(batch.x, random)
        errors = self.loss.elementwise(self.network.decode(code, random), batch.target).mean(-1)
        if self.target_rate is None:
            return errors + self.weight * code.abs().mean(-1)
        # one number a member, on each of its rows: the rate of a unit is a property of the batch
        divergence = kl_divergence(self.target_rate, code.mean(1)).mean(-1, keepdim=True)  # (K, 1)
        return errors + self.weight * divergence


def kl_divergence(target_rate: float, rate: Tensor) -> Tensor:
    """Return KL(Bernoulli(target_rate) || Bernoulli(rate)), elementwise; finite where a rate is 0 or 1."""
    target = torch.full_like(rate, target_rate)
    rate = rate.clamp(1e-6, 1 - 1e-6)
    return target * (target / rate).log() + (1 - target) * ((1 - target) / (1 - rate)).log()
