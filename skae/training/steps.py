"""How an objective is differentiated: chosen here, once for each fit, and nowhere else."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from skae.graph import Graphed
from skae.interfaces import Batch, Gradients, Objective
from skae.random import RandomStreams
from skae.training.adamw import AdamW

Step = Callable[[Batch, RandomStreams], Tensor]


def make_step(objective: Objective, optimizers: Sequence[AdamW], device: torch.device) -> Step:
    """Return what updates the parameters and returns each member's loss, (K,), detached.

    A pure distance is differentiated by the network's fused gradients, where it has them, and its step is captured in a
    CUDA graph on an NVIDIA GPU. Everything else goes through autograd, which also supports autocast.
    """
    if objective.pure_distance is not None and not torch.is_autocast_enabled(device.type):
        gradients = objective.network.fused_gradients(objective.pure_distance, objective.loss_scale)
        if gradients is not None:
            (optimizer,) = optimizers
            return FusedStep(objective, gradients, optimizer, captured=device.type == "cuda")
    return AutogradStep(objective, optimizers)


class AutogradStep:
    """A step by autograd, one optimizer after the other."""

    def __init__(self, objective: Objective, optimizers: Sequence[AdamW]):
        self._objective, self._optimizers = objective, optimizers

    def __call__(self, batch: Batch, random: RandomStreams) -> Tensor:
        """Update the parameters; return each member's loss, (K,)."""
        losses = self._objective.alternating_losses(batch, random)
        reported = torch.empty(0)
        for optimizer, (minimised, reported) in zip(self._optimizers, losses, strict=True):  # noqa: B007
            optimizer.zero_grad()
            minimised.sum().backward(inputs=optimizer.params)
            optimizer.step()
        return reported.detach()


class FusedStep:
    """A step by gradients that are written straight to the parameters."""

    def __init__(self, objective: Objective, gradients: Gradients, optimizer: AdamW, captured: bool):
        self._corruption, self._gradients, self._optimizer = objective.corruption, gradients, optimizer
        self._move: Callable[[Tensor, Tensor], Tensor] = Graphed(self._update) if captured else self._update

    def __call__(self, batch: Batch, random: RandomStreams) -> Tensor:
        """Update the parameters; return each member's loss, (K,)."""
        x = batch.x if self._corruption is None else self._corruption(batch.x, random)
        return self._move(x, batch.target)

    def _update(self, x: Tensor, target: Tensor) -> Tensor:
        losses = self._gradients.compute(x, target)
        self._optimizer.step()
        return losses
