"""Reconstruct the target from the, possibly corrupted, input."""

from __future__ import annotations

from torch import Tensor

from skae.interfaces import Batch, Corruption, Loss, Network, Objective
from skae.random import RandomStreams


class ReconstructionObjective(Objective):
    """Mean distance between the network's output and the target.

    ``corruption`` is put on the input before it is encoded (Vincent et al. 2008). Other objectives inherit
    `skae.interfaces.Objective`.
    """

    def __init__(self, network: Network, loss: Loss, corruption: Corruption | None = None):
        self.network, self.pure_distance, self.corruption = network, loss, corruption
        self._loss = loss

    def __init_subclass__(cls, **kwargs):
        raise TypeError(f"{cls.__name__} must inherit skae.interfaces.Objective: ReconstructionObjective is final.")

    def row_losses(self, batch: Batch, random: RandomStreams) -> Tensor:
        """Return the loss of each row, mean over its features, (K, B)."""
        x = batch.x if self.corruption is None else self.corruption(batch.x, random)
        return self._loss.elementwise(self.network(x, random), batch.target).mean(-1)
