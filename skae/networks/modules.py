"""Networks made of a user's own torch modules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from skae.interfaces import Network
from skae.random import RandomStreams, with_torch_seed


class ModuleNetwork(Network):
    """One encoder and one decoder over (B, n_features) batches; they may work in place, so they get copies."""

    n_members = 1

    def __init__(self, encoder: nn.Module, decoder: nn.Module):
        super().__init__()
        self.encoder, self.decoder = encoder, decoder

    def encode(self, x: Tensor, random: RandomStreams | None = None) -> Tensor:
        """(1, B, n_features) -> (1, B, n_components)."""
        return self.encoder(x[0].clone()).unsqueeze(0)

    def decode(self, z: Tensor, random: RandomStreams | None = None) -> Tensor:
        """(1, B, n_components) -> (1, B, n_features)."""
        return self.decoder(z[0].clone()).unsqueeze(0)


def build_from_callable(
    network: Callable[[int, int], Any], n_features: int, n_components: int, seed: int, logits: bool
) -> ModuleNetwork:
    """Call a user's ``network(n_features, n_components)``; raise a ValueError where its result is of no use."""

    def build() -> tuple[nn.Module, nn.Module, Tensor, Tensor]:
        built = network(n_features, n_components)
        if not (isinstance(built, tuple) and len(built) == 2 and all(isinstance(m, nn.Module) for m in built)):
            raise ValueError(
                "network must return a pair (encoder, decoder) of torch.nn.Module, got "
                f"{type(built).__name__}: {built!r}."
            )
        encoder, decoder = (module.float() for module in built)
        x = torch.zeros(2, n_features, dtype=torch.float32)
        try:
            with torch.no_grad():
                z = encoder.eval()(x)
                x_hat = decoder.eval()(z)
        except (RuntimeError, TypeError) as error:
            raise ValueError(
                f"network returned modules that do not take a batch of shape (2, {n_features}): {error}"
            ) from error
        return encoder, decoder, z, x_hat

    # lazy modules draw their weights at the first batch
    encoder, decoder, z, x_hat = with_torch_seed(seed, "cpu", build)
    if not any(p.requires_grad for p in (*encoder.parameters(), *decoder.parameters())):
        raise ValueError("network returned modules with nothing to train: no parameter requires a gradient.")
    for name, got, width in (("encoder", z, n_components), ("decoder", x_hat, n_features)):
        if got.shape != (2, width):
            raise ValueError(
                f"network's {name} maps a batch of 2 rows to shape {tuple(got.shape)}; it must be (2, {width}), "
                f"as n_components={n_components} and X has {n_features} features."
            )
    if logits and isinstance(list(decoder.modules())[-1], nn.Sigmoid):
        raise ValueError(
            "network's decoder ends in a Sigmoid: loss='binary_cross_entropy' takes its output as logits and applies "
            "the sigmoid itself. Remove the last layer."
        )
    return ModuleNetwork(encoder, decoder)
