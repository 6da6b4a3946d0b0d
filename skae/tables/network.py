"""A network of cells, around one of numbers."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from skae.interfaces import Network
from skae.random import RandomStreams
from skae.tables.layout import TableLayout

N_FILLS = 2  # of holes by the reconstruction


class TableNetwork(Network):
    """A network that takes the cells of a table and returns numbers and a logit for each level.

    When it scores, holes are filled by the reconstruction: with a mean in its place, or an empty code, the other values
    of the row look less likely than they are. A network that was trained on holes made for it knows what to do.
    """

    def __init__(self, inner: Network, layout: TableLayout, fills_holes: bool = True):
        super().__init__()
        self.inner, self.layout, self.n_members, self.fills_holes = inner, layout, inner.n_members, fills_holes
        self.broadcasts, self.training = inner.broadcasts, inner.training

    def encode(self, x: Tensor, random: RandomStreams | None = None) -> Tensor:
        """(K, B, n_columns) -> (K, B, n_components)."""
        inputs = self.layout.expand(x)
        # an exported network cannot ask: it fills, which changes nothing where there is no hole
        if self.fills_holes and not self.training and (torch.compiler.is_exporting() or x.isnan().any()):
            for _ in range(N_FILLS):
                inputs = self.layout.filled(inputs, self.inner(inputs), x)
        return self.inner.encode(inputs, random)

    def decode(self, z: Tensor, random: RandomStreams | None = None) -> Tensor:
        """(K, B, n_components) -> (K, B, n_raw)."""
        return self.layout.logits(self.inner.decode(z, random))

    @property
    def depends_on_mode(self) -> bool:
        """Whether it computes something else in training mode."""
        return self.inner.depends_on_mode

    def is_small(self, n_rows: int) -> bool:
        """Whether the network of numbers is."""
        return self.inner.is_small(n_rows)

    @property
    def encoder(self) -> nn.Module:  # type: ignore[override]
        """From cells to codes."""
        return nn.Sequential(OfLayout(self.layout, "expand"), self.inner.encoder)

    @property
    def decoder(self) -> nn.Module:  # type: ignore[override]
        """From codes to numbers and logits."""
        return nn.Sequential(self.inner.decoder, OfLayout(self.layout, "logits"))


class OfLayout(nn.Module):
    """A method of a layout as a module."""

    def __init__(self, layout: TableLayout, method: str):
        super().__init__()
        self.layout, self.method = layout, method

    def forward(self, x: Tensor) -> Tensor:
        """(..., n_in) -> (..., n_out)."""
        return getattr(self.layout, self.method)(x)
