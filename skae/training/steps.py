"""How an objective is differentiated: chosen here, once for each fit, and nowhere else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

from skae.graph import Graphed
from skae.interfaces import Batch, Corruption, Gradients, Objective
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
            return fused_step(objective.corruption, gradients, optimizer, captured=device.type == "cuda")
    return partial(autograd_step, objective, optimizers)


def autograd_step(objective: Objective, optimizers: Sequence[AdamW], batch: Batch, random: RandomStreams) -> Tensor:
    """Update the parameters by autograd, one optimizer after the other; return each member's loss, (K,)."""
    losses = objective.alternating_losses(batch, random)
    reported = torch.empty(0)
    for optimizer, (minimised, reported) in zip(optimizers, losses, strict=True):  # noqa: B007
        optimizer.zero_grad()
        minimised.sum().backward(inputs=optimizer.params)
        optimizer.step()
    return reported.detach()


def fused_step(corruption: Corruption | None, gradients: Gradients, optimizer: AdamW, captured: bool) -> Step:
    """Return a step by gradients that are written straight to the parameters."""

    def update(x: Tensor, target: Tensor) -> Tensor:
        losses = gradients.compute(x, target)
        optimizer.step()
        return losses

    run: Callable[[Tensor, Tensor], Tensor] = Graphed(update) if captured else update

    def step(batch: Batch, random: RandomStreams) -> Tensor:
        x = batch.x if corruption is None else corruption(batch.x, random)
        return run(x, batch.target)

    return step
