"""Reconstruct from codes that a discriminator cannot tell from those of a prior."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from torch import Tensor, nn
from torch.nn import functional as F

from skae.interfaces import SHARED_MATMUL_SIZE, Batch, Loss, Network, Objective
from skae.random import RandomStreams


class AdversarialNetwork(Network):
    """An autoencoder and a discriminator: codes (K, B, n_components) -> logits (K, B, 1) that the prior drew them."""

    def __init__(self, autoencoder: Network, discriminator: nn.Module):
        super().__init__()
        self.autoencoder, self.discriminator = autoencoder, discriminator
        self.n_members = autoencoder.n_members

    def encode(self, x: Tensor, random: RandomStreams | None = None) -> Tensor:
        """(K, B, n_features) -> (K, B, n_components)."""
        return self.autoencoder.encode(x, random)

    def decode(self, z: Tensor, random: RandomStreams | None = None) -> Tensor:
        """(K, B, n_components) -> (K, B, n_features)."""
        return self.autoencoder.decode(z, random)

    def is_small(self, n_rows: int) -> bool:
        """Whether the autoencoder and the discriminator are."""
        of_discriminator = n_rows * max(parameter.numel() for parameter in self.discriminator.parameters())
        return of_discriminator < SHARED_MATMUL_SIZE and self.autoencoder.is_small(n_rows)

    @property
    def encoder(self) -> nn.Module:  # type: ignore[override]
        """The autoencoder's."""
        return self.autoencoder.encoder

    @property
    def decoder(self) -> nn.Module:  # type: ignore[override]
        """The autoencoder's."""
        return self.autoencoder.decoder


class AdversarialObjective(Objective):
    """Mean distance between output and target; in training the encoder also learns to deceive the discriminator.

    ``draw`` maps (n, n_components, random) to codes of the prior, (K, n, n_components). ``weight`` is that of the
    adversarial loss, in nats; the distance is divided by ``loss_scale``.
    """

    network: AdversarialNetwork

    def __init__(
        self,
        network: AdversarialNetwork,
        loss: Loss,
        draw: Callable[[int, int, RandomStreams], Tensor],
        weight: float,
    ):
        self.network, self.loss, self.draw, self.weight = network, loss, draw, weight

    def row_losses(self, batch: Batch, random: RandomStreams) -> Tensor:
        """Return the distance of each row, (K, B)."""
        return self.loss.elementwise(self.network(batch.x, random), batch.target).mean(-1)

    def parameter_groups(self) -> list[dict]:
        """Return one optimizer for the discriminator, with shorter memory as its target moves, and one for the rest.

        Measured on MNIST: with Adam's own memory of 10 steps, codes circle the prior at 7 times the distance.
        """
        return [
            {"params": list(self.network.discriminator.parameters()), "betas": (0.5, 0.999)},
            {"params": list(self.network.autoencoder.parameters())},
        ]

    def alternating_losses(self, batch: Batch, random: RandomStreams) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the discriminator's loss, then the autoencoder's against it; the distances are reported, (K,)."""
        network, discriminator = self.network, self.network.discriminator
        z = network.encode(batch.x, random)  # (K, B, n_components)
        prior_codes = self.draw(z.shape[1], z.shape[2], random)
        confusion = F.softplus(discriminator(z.detach())) + F.softplus(-discriminator(prior_codes))  # (K, B, 1)
        discriminator_loss = confusion.mean((1, 2))
        yield discriminator_loss, discriminator_loss

        distance = self.loss.elementwise(network.decode(z, random), batch.target).mean((1, 2))  # (K,)
        deception_loss = F.softplus(-discriminator(z)).mean((1, 2))
        yield distance / self.loss_scale + self.weight * deception_loss, distance
