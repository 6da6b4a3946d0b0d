"""Tell classes apart."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from skae.interfaces import Batch, Network, Objective
from skae.random import RandomStreams


class ClassificationObjective(Objective):
    """Mean negative log-likelihood of the rows' classes; the network's output, (K, B, n_classes), are the logits."""

    def __init__(self, network: Network):
        self.network = network

    def row_losses(self, batch: Batch, random: RandomStreams) -> Tensor:
        """Return the negative log-likelihood of each row's class, in nats, (K, B); every label must be known."""
        assert batch.labels is not None
        logits = self.network(batch.x, random)
        return F.cross_entropy(logits.transpose(1, 2), batch.labels, reduction="none")
