"""One step of training: how an objective is differentiated, chosen once for each fit, and the optimizer."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn

from skae._compat import fused_adamw
from skae.distributed import ALONE, Processes
from skae.graph import Graphed
from skae.interfaces import Batch, Corruption, Gradients, Objective
from skae.random import RandomStreams

# a mean of gradients that moves a parameter by 1e-17 learning rates at most, and one of their squares beside epsilon's
NEGLIGIBLE, NEGLIGIBLE_SQUARE = 1e-25, 1e-35

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
            captured = device.type == "cuda" and optimizer.processes.size == 1
            return fused_step(objective.corruption, gradients, optimizer, captured)
    return partial(autograd_step, objective, optimizers)


def autograd_step(objective: Objective, optimizers: Sequence[AdamW], batch: Batch, random: RandomStreams) -> Tensor:
    """Update the parameters by autograd, one optimizer after the other; return each member's loss, (K,)."""
    assert batch.n_counted is None
    losses = objective.alternating_losses(batch, random)
    reported = torch.empty(0)
    for optimizer, (minimised, reported) in zip(optimizers, losses, strict=True):  # noqa: B007
        optimizer.zero_grad()
        minimised.sum().backward(inputs=optimizer.params)
        optimizer.step()
    return reported.detach()


def fused_step(corruption: Corruption | None, gradients: Gradients, optimizer: AdamW, captured: bool) -> Step:
    """Return a step by gradients that are written straight to the parameters."""

    def update(x: Tensor, target: Tensor, n_counted: Tensor | None = None) -> Tensor:
        losses = gradients.compute(x, target, n_counted)
        optimizer.step()
        return losses

    run: Callable[[Tensor, Tensor], Tensor] = Graphed(update) if captured else update

    def step(batch: Batch, random: RandomStreams) -> Tensor:
        x = batch.x if corruption is None else corruption(batch.x, random)
        return run(x, batch.target) if batch.n_counted is None else update(x, batch.target, batch.n_counted)

    return step


class AdamW:
    """Adam with decoupled weight decay (Loshchilov & Hutter, "Decoupled weight decay regularization", ICLR 2019).

    A step is one call: torch's class takes four times as long around it, and a second to load.

    Each member has its own learning rate and weight decay; a step subtracts learning rate * weight decay * parameter.
    Parameters without a gradient stay as they are. Several ``processes`` average their gradients before.
    """

    def __init__(
        self,
        learning_rates: Sequence[float],
        weight_decays: Sequence[float],
        params: Sequence[nn.Parameter],
        betas: tuple[float, float] = (0.9, 0.999),
        processes: Processes = ALONE,
    ):
        self.processes, self._share = processes, 1.0
        self.params = [p for p in params if p.requires_grad]
        self._values = [p.detach() for p in self.params]  # the same memory, which autograd does not track
        self.betas = betas
        self.means = [torch.zeros_like(p) for p in self.params]
        self.squares = [torch.zeros_like(p) for p in self.params]
        self.n_steps = torch.zeros((), dtype=torch.float32, device=self.params[0].device)
        # a captured step reads the rate from the device
        self._rate: float | Tensor = torch.ones_like(self.n_steps) if self.n_steps.is_cuda else 1.0
        self._learning_rate, self._weight_decay = learning_rates[0], weight_decays[0]
        self._moves: list[Tensor] = []  # where members have different rates
        if len({*learning_rates}) > 1 or len({*weight_decays}) > 1:
            self._moves = [torch.empty_like(p) for p in self.params]
            self._rates = torch.tensor(learning_rates, dtype=torch.float32, device=self.n_steps.device)
            decays = torch.tensor(weight_decays, dtype=torch.float32, device=self.n_steps.device)
            self._decays = [-_along_members(decays, p) for p in self.params]
        # a mean that only decays needs so many steps from `NEGLIGIBLE` to the least number that is not subnormal
        decay = max(betas[0], 1e-3)  # a mean without memory is 0 at once
        self._n_to_subnormal = int(math.log(torch.finfo(torch.float32).tiny / NEGLIGIBLE) / math.log(decay))
        self._n_since_flush = 0

    def begin_step(self, rate: float, share: float) -> None:
        """Set the factor of the learning rates, and this process's share of the batch, for the next step."""
        self._share = share
        if isinstance(self._rate, Tensor):
            self._rate.fill_(rate)
        else:
            self._rate = rate

    def zero_grad(self) -> None:
        """Set the gradients to None."""
        for p in self.params:
            p.grad = None

    def step(self) -> None:
        """Move the parameters against their gradients."""
        moved = [i for i, p in enumerate(self.params) if p.grad is not None]
        gradients = [cast(Tensor, self.params[i].grad) for i in moved]
        self.processes.average(gradients, self._share)
        self.n_steps += 1
        targets, lr, weight_decay = self._values, self._rate * self._learning_rate, self._weight_decay
        if self._moves:
            targets, lr, weight_decay = self._moves, 1.0, 0.0
            for i in moved:
                torch.mul(self._values[i], self._decays[i], out=self._moves[i])
        fused_adamw(
            [targets[i] for i in moved],
            gradients,
            [self.means[i] for i in moved],
            [self.squares[i] for i in moved],
            [],
            [self.n_steps] * len(moved),
            lr=lr,
            beta1=self.betas[0],
            beta2=self.betas[1],
            weight_decay=weight_decay,
            eps=1e-8,
            amsgrad=False,
            maximize=False,
        )
        if self._moves:
            rates = self._rates * self._rate
            for i in moved:
                self._values[i].addcmul_(self._moves[i], _along_members(rates, self._moves[i]))
        if not self.n_steps.is_cuda:
            self._flush()

    def _flush(self) -> None:
        """Set negligible means to 0, before processors take ten times as long: they do for subnormal numbers.

        The means of a unit that is never active fall by a tenth in each step.
        """
        self._n_since_flush += 1
        if self._n_since_flush >= self._n_to_subnormal:
            self._n_since_flush = 0
            for mean, square in zip(self.means, self.squares, strict=True):
                torch.hardshrink(mean, NEGLIGIBLE, out=mean)
                torch.hardshrink(square, NEGLIGIBLE_SQUARE, out=square)

    def state(self) -> list[Tensor]:
        """Return what `continue_from` takes."""
        return [self.n_steps, *self.means, *self.squares]

    @torch.no_grad()
    def continue_from(self, state: list[Tensor]) -> None:
        """Continue from the state of another optimizer of the same parameters."""
        for own, other in zip(self.state(), state, strict=True):
            own.copy_(other)
        self._n_since_flush = int(self.n_steps) % self._n_to_subnormal


def _along_members(numbers: Tensor, parameter: Tensor) -> Tensor:
    """Return numbers of members, (K,), with the axes of a parameter, (K, ...)."""
    return numbers.view(-1, *[1] * (parameter.ndim - 1))
