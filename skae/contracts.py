"""The protocols that join the parts. Read this file first.

A batch flows through everything with a leading member axis: ``(K, B, n_features)``, where ``K`` networks of
one shape train as one *stack* and a single autoencoder is a stack of one. Losses come back as one number a
member and row, ``(K, B)``; since members share no parameter, the gradient of their sum is the gradient of each.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from torch import Tensor, nn

from skae.random import RandomStreams


class Batch(NamedTuple):
    """What one step sees."""

    x: Tensor  # (K, B, n_features), the network's input
    target: Tensor  # (K, B, n_features), what is to be reconstructed; often x itself
    labels: Tensor | None = None  # (K, B), class numbers, -1 where unknown


class Network(nn.Module):
    """An encoder and a decoder that know how to take a stack of batches.

    ``random`` feeds layers that are random in training (dropout).
    """

    encoder: nn.Module
    decoder: nn.Module
    n_members: int

    def encode(self, x: Tensor, random: RandomStreams | None = None) -> Tensor:
        """(K, B, n_features) -> (K, B, n_components)."""
        raise NotImplementedError

    def decode(self, z: Tensor, random: RandomStreams | None = None) -> Tensor:
        """(K, B, n_components) -> (K, B, n_features), before the loss's link function."""
        raise NotImplementedError

    def forward(self, x: Tensor, random: RandomStreams | None = None) -> Tensor:
        """Decode the code of x."""
        return self.decode(self.encode(x, random), random)

    def for_inference(self) -> Any:
        """Return what encodes, decodes and reconstructs as this network does now.

        What is not the network itself takes any number of batches, (S, B, n_features), though there is one member.
        """
        return self

    def largest_product(self, n_rows: int) -> float:
        """Return how many multiplications the largest product of a step on ``n_rows`` a member has, if it is known."""
        return math.inf

    def gradients_by_hand(self, loss: Loss, unit: float | Tensor) -> Gradients | None:
        """Return what computes gradients faster than autograd, if there is such a thing for this network."""
        return None


class RowSummary(NamedTuple):
    """What a network may know of the rows before it is trained, so that their location and unit do not matter."""

    mean: Tensor  # (n_features,)
    scale: float  # root mean variance of the features: one number, for their relative weights are the user's
    coarse_columns: tuple[int, ...] = ()  # which vary too little, so far from 0, for float32 to resolve

    @property
    def n_features(self) -> int:
        """Width of a row."""
        return len(self.mean)


class NetworkSpecification(Protocol):
    """A description of a network that is built when the data is known."""

    def build(self, rows: RowSummary, n_components: int, random: RandomStreams, logits: bool) -> Network:
        """Return an initialised network of ``random.n_members`` members, on the CPU.

        ``logits`` says that the loss takes the output for logits, so that it must not be rescaled.
        """


class Loss(NamedTuple):
    """A measure of the distance between a network's raw output and its target."""

    elementwise: Callable[[Tensor, Tensor], Tensor]  # (raw output, target) -> the same shape
    # (raw output, target, scale, factor, out) -> each member's sum of the loss of scale * raw output and
    # scale * target, (K,); ``factor`` times its gradient for the raw output is written to ``out``, perhaps the same
    gradient: Callable[[Tensor, Tensor, float | Tensor, float | Tensor, Tensor], Tensor]
    link: nn.Module | None  # from raw output to reconstruction; None is the identity
    unit: Callable[[float], float]  # size of the loss of rows of a given scale


class Gradients(Protocol):
    """What computes a loss and its gradients; ``parameters`` are those to optimise, the network's own views of them."""

    parameters: list[nn.Parameter]

    def compute(self, x: Tensor, target: Tensor) -> Tensor:
        """Return each member's mean loss, (K,); leave the gradient of their sum over the unit in ``parameters``."""


class Corruption(Protocol):
    """Noise that a denoising autoencoder is trained to undo."""

    def __call__(self, x: Tensor, random: RandomStreams) -> Tensor:
        """Return a corrupted copy of x, (K, B, n_features)."""


class Objective(Protocol):
    """What is trained. The loop knows nothing else of an autoencoder.

    An objective owns its network and its optimizers; one that alternates between two of them does so inside
    ``step``. Its gradients are divided by ``unit``, the size of the loss, lest Adam's epsilon swallow small ones.
    """

    unit: float | Tensor  # (K,)

    @property
    def network(self) -> Network:
        """The network whose weights are kept and restored."""

    def parameter_groups(self) -> list:
        """One an optimizer: a list of parameters, or a dict of such ``params`` and Adam's ``betas``."""

    def step(self, batch: Batch, random: RandomStreams, optimizers: list) -> Tensor:
        """Update the parameters; return each member's loss, (K,), detached."""

    def row_losses(self, batch: Batch, random: RandomStreams) -> Tensor:
        """Return the loss of each row, (K, B); what early stopping watches."""


class EpochListener(Protocol):
    """Who is told of every epoch: scikit-learn's callbacks, through the estimator."""

    def begin(self) -> None:
        """Hear that an epoch begins."""

    def end(self) -> bool:
        """Hear that it has ended; return whether training is to stop."""
