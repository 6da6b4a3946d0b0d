"""The rows to train on: kept on the device, or taken to it batch by batch where they do not fit."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import suppress

import numpy as np
import torch
from torch import Tensor

from skae.device import free_memory
from skae.distributed import ALONE, Processes
from skae.interfaces import Batch
from skae.random import RandomStreams

logger = logging.getLogger(__name__)

SHARE_OF_FREE_MEMORY = 0.7  # the rest is for what training needs in addition: activations, gradients, Adam's moments


class Rows:
    """Inputs and targets of training, as float32 batches on the device.

    X, (n_samples, n_features), has any float type and is never written to. A target of None stands for X; labels are
    class numbers, -1 where unknown. ``index``, (K, n), are the rows that each member trains on, all where it is None;
    -1 at the end of a member's stands for no row. ``held_out``, (K, m), are those whose loss is monitored. Several
    ``processes`` with the same rows share every batch.
    """

    n_reading_threads = 0

    def __init__(
        self,
        X: np.ndarray,
        target: np.ndarray | None,
        device: torch.device,
        labels: np.ndarray | None = None,
        *,
        index: Tensor | None = None,
        held_out: Tensor | None = None,
        processes: Processes = ALONE,
    ):
        self.device, self.processes, self.held_out = device, processes, held_out
        self._index = torch.arange(len(X), device=device).unsqueeze(0) if index is None else index
        self.n_members, self.n_rows = self._index.shape
        is_shorter = self._index[:, -1] < 0
        self._is_shorter = is_shorter if is_shorter.any() else None
        self._labels = None if labels is None else torch.from_numpy(labels.astype(np.int64)).to(device)
        arrays = [X] if target is None else [X, target]
        self._sources: list[np.ndarray | Tensor] = list(arrays)
        self._buffers: dict[tuple, tuple[Tensor, Tensor]] = {}  # (K, B, n_features), and as (K * B, n_features)
        needed = sum(4 * a.size for a in arrays if not _shares_memory(a, device))
        if not needed or needed <= SHARE_OF_FREE_MEMORY * free_memory(device):
            with suppress(torch.OutOfMemoryError, MemoryError):
                self._sources = [torch.from_numpy(as_float32(a)).to(device) for a in arrays]
        if self._sources[0] is X:
            logger.warning("%.1f GB of rows do not fit on %s: they are streamed.", needed / 1e9, device)

    @property
    def n_rows_of_members(self) -> int | np.ndarray:
        """Number of rows that each member trains on, (K,) where they differ."""
        return self.n_rows if self._is_shorter is None else self.n_rows - self._is_shorter.cpu().numpy()

    def n_batches(self, batch_size: int) -> int:
        """Return the number of batches of an epoch, all of nearly one size <= ``batch_size``."""
        return -(-self.n_rows // batch_size)

    def epoch(self, batch_size: int, random: RandomStreams | None) -> Iterator[tuple[Batch, int, int]]:
        """Yield batches, each valid until the next, how many of their rows count, and of how many in all processes.

        A batch of which the process has no row is one row that does not count. They come in order without ``random``.
        """
        n_batches = self.n_batches(batch_size)
        if self._is_shorter is not None:
            yield from self._batches_of_two_sizes(self._is_shorter, n_batches, random)
            return
        index = self._index if random is None else self._index.gather(1, random.permutation(self.n_rows))
        yield from self._batches(index, n_batches)

    def validation(self, batch_size: int) -> Iterator[Batch]:
        """Yield batches of the rows held out."""
        assert self.held_out is not None
        for batch, n, _ in self._batches(self.held_out, -(-self.held_out.shape[1] // batch_size)):
            if n:
                yield batch

    @property
    def n_held_out(self) -> int:
        """Number of rows held out, of all processes."""
        return 0 if self.held_out is None else self.held_out.shape[1]

    def batch(self, index: Tensor) -> Batch:
        """Return the rows ``index``, (K, B), as a batch (K, B, n_features)."""
        parts = [self._take(i, index) for i in range(len(self._sources))]
        return Batch(parts[0], parts[-1], None if self._labels is None else self._labels[index])

    def _batches(self, index: Tensor, n_batches: int) -> Iterator[tuple[Batch, int, int]]:
        rank, size = self.processes.rank, self.processes.size
        for part in index.tensor_split(n_batches, dim=1):
            own = part if size == 1 else part.tensor_split(size, dim=1)[rank]
            n = own.shape[1]
            yield self.batch(own if n else part[:, :1]), n, part.shape[1]

    def _batches_of_two_sizes(
        self, is_shorter: Tensor, n_batches: int, random: RandomStreams | None
    ) -> Iterator[tuple[Batch, int, int]]:
        """Yield the batches that each member would have alone: all but one have the same size for all members."""
        sizes = (self.n_rows - is_shorter.int()).tolist()
        orders = [torch.arange(n, device=self.device) for n in sizes] if random is None else random.permutations(sizes)
        size, number = divmod(self.n_rows - 1, n_batches)  # of the batch that lacks a row, which is filled
        end = (number + 1) * (size + 1) - 1
        index = torch.empty_like(self._index)
        for own, order, rows in zip(index, orders, self._index, strict=True):
            order = torch.cat([order[:end], order[:1], order[end:]]) if len(order) < self.n_rows else order
            torch.index_select(rows, 0, order, out=own)
        for i, (batch, n, n_of_all) in enumerate(self._batches(index, n_batches)):
            yield batch if i != number else batch._replace(n_counted=n - is_shorter.int()), n, n_of_all

    def _take(self, i: int, index: Tensor) -> Tensor:
        source, flat = self._sources[i], index.reshape(-1)
        if not isinstance(source, Tensor):
            taken = torch.from_numpy(as_float32(source[flat.cpu().numpy()])).to(self.device)
            return taken.view(*index.shape, -1)
        buffers = self._buffers.get((i, index.shape))
        if buffers is None:
            taken = source.new_empty(*index.shape, source.shape[1])
            buffers = self._buffers[i, index.shape] = taken, taken.view(-1, source.shape[1])
        torch.index_select(source, 0, flat, out=buffers[1])
        return buffers[0]


def _shares_memory(array: np.ndarray, device: torch.device) -> bool:
    """Whether the array's float32 tensor on the device needs no memory of its own."""
    return device.type == "cpu" and array.dtype == np.float32 and array.flags.c_contiguous and array.flags.writeable


def as_float32(array: np.ndarray) -> np.ndarray:
    """Return an array that torch can share the memory of, copied only where it must be."""
    with np.errstate(under="ignore"):
        return np.require(array, np.float32, ["C", "W"])
