"""The loss of cells: one unit for numbers and categories."""

from __future__ import annotations

from functools import cached_property, lru_cache
from typing import NamedTuple

import torch
from torch import Tensor, nn

from skae.interfaces import Loss
from skae.objectives import LOSSES
from skae.tables.layout import TableLayout
from skae.tables.network import OfLayout


class TableLoss:
    """Distance of a network's raw output to cells, as `Loss`.

    A number's is that of another loss. A category's is the cross-entropy over the entropy of its column, times the loss
    of a number that is off by the scale of the numbers: what is predicted no better than by a constant costs that much,
    whatever it is. A hole costs nothing, and the other cells of its row more, so that a mean over the row is one over
    these. A level that is not known costs as much as the rarest one.
    """

    def __init__(self, layout: TableLayout, name: str):
        self.layout, self.name = layout, name

    @cached_property
    def link(self) -> nn.Module:
        """From raw outputs to cells."""
        return OfLayout(self.layout, "cells")

    @property
    def _loss(self) -> Loss:
        return LOSSES[self.name]

    @property
    def unit(self) -> float:
        """Loss of a number that is off by the scale of the numbers."""
        return _loss_of_distance(self.name, self.layout.scale)

    def elementwise(self, raw: Tensor, target: Tensor) -> Tensor:
        """Return the loss of each cell, (..., n_raw) and (..., n_columns) -> (..., n_columns)."""
        numbers, nats, _ = self.parts(raw, target)
        known = ~target.isnan()
        t = self.layout.on(raw)
        losses = torch.cat([numbers, nats * (self.unit / t.entropies)], -1).index_select(-1, t.places)
        return losses * (known.shape[-1] / known.sum(-1, keepdim=True).clamp(min=1).to(raw.dtype))

    def parts(self, raw: Tensor, target: Tensor) -> Parts:
        """Return the loss of each number, and minus the log-probability of each level, 0 for holes."""
        layout, t = self.layout, self.layout.on(raw)
        known = ~target.isnan()
        target = torch.where(known, target, t.fill)
        known_numbers = known.index_select(-1, t.numbers)
        numbers = (
            self._loss.elementwise(raw[..., : len(layout.numbers)], target.index_select(-1, t.numbers)) * known_numbers
        )
        if not layout.categories:
            return Parts(numbers, numbers[..., :0], known_numbers)
        levels = torch.where(target < t.n_levels, target, t.rarest).index_select(-1, t.categories).long()
        # categories of few levels at once, filled up with logits of minus infinity; the others one by one
        n = t.slots.shape[0]
        logits = [(raw[..., t.slots] + t.filler).log_softmax(-1).gather(-1, levels[..., :n, None]).squeeze(-1)]
        for i, (start, stop) in enumerate(layout.wide_slices()):
            logits.append(raw[..., start:stop].log_softmax(-1).gather(-1, levels[..., n + i, None]))
        nats = -torch.cat(logits, -1) * known.index_select(-1, t.categories)
        return Parts(numbers, nats, known_numbers)


@lru_cache  # it is asked for while torch traces a network for a file, which needs a number
def _loss_of_distance(name: str, distance: float) -> float:
    return LOSSES[name].scale(distance)


class Parts(NamedTuple):
    """Losses of cells by their kinds, in the order of a raw output."""

    numbers: Tensor  # (..., n_numbers)
    nats: Tensor  # (..., n_categories)
    known_numbers: Tensor  # (..., n_numbers), whether they are no holes
