"""The interfaces between the parts. Read this file first.

A batch has a leading member axis everywhere: ``(K, B, n_features)``, where ``K`` networks of one shape are trained at
once, *batched*; a single autoencoder is a batch of one. Losses are one number a member and row, ``(K, B)``; since
members share no parameter, the gradient of their sum is the gradient of each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from skae.random import RandomStreams

SHARED_MATMUL_SIZE = 2_500_000  # multiplications; fewer take longer to share among threads than to do


class Batch(NamedTuple):
    """What one step sees."""

    x: Tensor  # (K, B, n_features), the network's input
    target: Tensor  # (K, B, n_features), what is to be reconstructed; often x itself
    labels: Tensor | None = None  # (K, B), class numbers, -1 where unknown
    n_counted: Tensor | None = None  # (K,), B or, where a member's last row does not count, B - 1; None: all count


class Network(nn.Module):
    """An encoder and a decoder of batches with a member axis; ``random`` feeds dropout."""

    encoder: nn.Module
    decoder: nn.Module
    n_members: int
    broadcasts: bool = False  # whether a single member takes any number of batches, (S, B, n), at once
    layout: Any = None  # of the cells that it takes, a `skae.tables.TableLayout`; None where it takes numbers only

    def encode(self, x: Tensor, random: RandomStreams | None = None) -> Tensor:
        """(K, B, n_features) -> (K, B, n_components)."""
        raise NotImplementedError

    def decode(self, z: Tensor, random: RandomStreams | None = None) -> Tensor:
        """(K, B, n_components) -> (K, B, n_features), before the loss's link function."""
        raise NotImplementedError

    def forward(self, x: Tensor, random: RandomStreams | None = None) -> Tensor:
        """Decode the code of x."""
        return self.decode(self.encode(x, random), random)

    @property
    def depends_on_mode(self) -> bool:
        """Whether it may compute something else in training mode."""
        return True

    def is_small(self, n_rows: int) -> bool:
        """Whether one thread is faster than several, as far as is known, for a step on ``n_rows`` a member."""
        return False

    @property
    def device(self) -> torch.device:
        """Where it is."""
        return next(self.parameters()).device

    def for_inference(self, keep: bool) -> Any:
        """Return what computes the same as this network in evaluation mode, for one thread, perhaps faster.

        ``keep`` says whether this thread is to keep, as long as the network, what the next call can use.
        """
        return self

    def fused_gradients(self, loss: Loss, loss_scale: float | Tensor) -> Gradients | None:
        """Return what computes the gradients of a loss faster than autograd, where this network has that."""
        return None


class RowSummary(NamedTuple):
    """What a network may know of the rows before it is trained, so that their location and unit do not matter."""

    mean: Tensor  # (n_features,)
    scale: float  # root mean variance of the features: one number, for their relative weights are the user's
    unresolved_columns: tuple[int, ...] = ()  # float32 cannot resolve their variation, so far from 0
    X: Any = None  # the rows themselves, (n_samples, n_features); X[numbers] are some of them
    layout: Any = None  # of cells, where the network may be given NaN: a `skae.tables.TableLayout`

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
    """A distance between a network's raw output and its target; only the first field is required."""

    elementwise: Callable[[Tensor, Tensor], Tensor]  # (raw output, target) -> the same shape
    link: nn.Module | None = None  # from raw output to reconstruction; None is the identity
    # (raw output, target, scale, out) -> each member's sum of the loss of scale * raw output and scale * target, (K,);
    # its gradient for the raw output is written to ``out``, perhaps the same; both in ``units``
    gradient: Callable[[Tensor, Tensor, float | Tensor, Tensor], Tensor] | None = None
    # scale -> units of the sum and of the gradient: nobody has to multiply the numbers of a batch by them
    units: Callable[[float | Tensor], tuple[float | Tensor, float | Tensor]] = lambda scale: (1.0, 1.0)

    def scale(self, distance: float) -> float:
        """Return the loss of a value at this distance from its target."""
        raw, target = torch.tensor([0.0, distance], dtype=torch.float64, device="cpu")
        return float(self.elementwise(raw, target))


class Gradients(Protocol):
    """What computes a loss and the gradients of the network's parameters."""

    def compute(self, x: Tensor, target: Tensor, n_counted: Tensor | None = None) -> Tensor:
        """Return each member's mean loss, (K,); write the gradients of their sum over ``loss_scale``.

        ``n_counted`` is that of `Batch`.
        """


class Corruption(Protocol):
    """Noise that a denoising autoencoder is trained to undo."""

    def __call__(self, x: Tensor, random: RandomStreams) -> Tensor:
        """Return a corrupted copy of x, (K, B, n_features)."""


class Objective:
    """What is trained: its mathematics. How it is differentiated is chosen in `skae.training.steps`.

    A subclass writes `row_losses`, and with several optimizers also `parameter_groups` and `alternating_losses`.

    Examples
    --------
    >>> from skae.interfaces import Objective
    >>> class QuarticObjective(Objective):
    ...     def __init__(self, network):
    ...         self.network = network
    ...
    ...     def row_losses(self, batch, random):
    ...         reconstruction = self.network.decode(self.network.encode(batch.x, random), random)
    ...         return (reconstruction - batch.target).pow(4).mean(-1)
    """

    network: Network  # whose weights are kept and restored
    loss_scale: float | Tensor = 1.0  # (K,); gradients are divided by it, so that Adam's epsilon does not dominate
    corruption: Corruption | None = None
    # declares that the objective is nothing but this distance of the network's output for the, perhaps corrupted, input
    # to the target, so that the network's fused gradients may compute it
    pure_distance: Loss | None = None

    def row_losses(self, batch: Batch, random: RandomStreams) -> Tensor:
        """Return the loss of each row, (K, B), which early stopping monitors."""
        raise NotImplementedError

    def state(self) -> dict[str, Tensor]:
        """Return what it keeps from step to step, besides the network."""
        return {}

    def continue_from(self, state: dict[str, Tensor]) -> None:
        """Continue from the state of another objective, or from a new one's, which is empty."""

    def parameter_groups(self) -> list[dict]:
        """Return the parameters of each optimizer: ``params`` and, where they differ, Adam's ``betas``."""
        return [{"params": list(self.network.parameters())}]

    def alternating_losses(self, batch: Batch, random: RandomStreams) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield, for each optimizer in turn, what it minimises and what is reported, (K,) both.

        The optimizer takes its step before the next loss is computed; the last reported loss counts.
        """
        losses = self.row_losses(batch, random).mean(1)
        yield losses / self.loss_scale, losses


# called when an epoch begins; what it returns is called when it ends, and returns whether training is to stop
BeginEpoch = Callable[[], Callable[[], bool]]
