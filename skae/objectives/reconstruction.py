"""Reconstruct the target from the, possibly corrupted, input."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from skae.contracts import Batch, Corruption, Gradients, Loss, Network
from skae.graph import Graphed
from skae.random import RandomStreams


class ReconstructionObjective:
    """Mean distance between the network's output and the target.

    Other objectives inherit ``parameter_groups`` and ``step`` and write ``row_losses``.

    Parameters
    ----------
    network : Network
        The network to train.
    loss : Loss
        The distance.
    corruption : Corruption or None, default=None
        Noise put on the input before it is encoded (Vincent et al. 2008).
    """

    unit: float | Tensor = 1.0  # the estimator sets it
    _by_hand: Gradients | None = None
    _move: Callable[[Tensor, Tensor], Tensor] | None = None

    def __init__(self, network: Network, loss: Loss, corruption: Corruption | None = None):
        self.network, self.loss, self.corruption = network, loss, corruption

    def parameter_groups(self) -> list[list[nn.Parameter]]:
        """One optimizer for the whole network."""
        own, base = type(self), ReconstructionObjective
        # else autograd's gradients are asked for, or its choice of number formats
        plain = own.row_losses is base.row_losses and own.step is base.step
        if plain and not torch.is_autocast_enabled(next(self.network.parameters()).device.type):
            self._by_hand = self.network.gradients_by_hand(self.loss, self.unit)
        return [list(self.network.parameters()) if self._by_hand is None else self._by_hand.parameters]

    def row_losses(self, batch: Batch, random: RandomStreams) -> Tensor:
        """Return the loss of each row, mean over its features, (K, B)."""
        x = batch.x if self.corruption is None else self.corruption(batch.x, random)
        return self.loss.elementwise(self.network(x, random), batch.target).mean(-1)

    def step(self, batch: Batch, random: RandomStreams, optimizers: list) -> Tensor:
        """Take one gradient step; return each member's loss, (K,)."""
        (optimizer,) = optimizers
        if self._by_hand is not None:
            if self._move is None:
                self._move = partial(self._move_by_hand, self._by_hand, optimizer)
                if batch.x.is_cuda:
                    self._move = Graphed(self._move)
            x = batch.x if self.corruption is None else self.corruption(batch.x, random)
            return self._move(x, batch.target)
        optimizer.zero_grad()
        losses = self.row_losses(batch, random).mean(1)  # (K,)
        (losses / self.unit).sum().backward()
        optimizer.step()
        return losses.detach()

    @staticmethod
    def _move_by_hand(gradients: Gradients, optimizer: Any, x: Tensor, target: Tensor) -> Tensor:
        losses = gradients.compute(x, target)
        optimizer.step()
        return losses
